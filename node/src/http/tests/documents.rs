//! The OpenAPI document against the table of routes, health, and metrics.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::client::get;
use super::world::{Served, World};
use crate::http::openapi;
use crate::http::route::{Schemas, Table};
use crate::http::routes;
use crate::http::services::ChainService;

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                found.insert(reference.clone());
            }
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_document_lists_exactly_what_is_served_and_refers_to_nothing_missing() {
    let served = Served::new().await;
    let answer = get("/v1/openapi.json").send(&served).await;
    let document = answer.json();
    let mut documented = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(operation["responses"]["default"].is_object(), "{method} {path}");
            documented.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let table: BTreeSet<_> = routes::all().iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    assert_eq!(documented, table);
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 40, "{}", found.len());
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} is missing");
    }
}

#[test]
fn no_two_types_share_a_name_in_the_document() {
    let mut schemas = Schemas::new();
    for route in routes::all() {
        for schema in route.answer.schema.into_iter().chain(route.body_schema) {
            schema(&mut schemas);
        }
    }
    let mut known: BTreeMap<String, Value> = BTreeMap::new();
    for (name, schema) in schemas {
        let schema = serde_json::to_value(&schema).unwrap();
        let first = known.entry(name.clone()).or_insert_with(|| schema.clone());
        assert_eq!(*first, schema, "two types are named {name}");
    }
}

#[test]
fn each_route_stands_once_and_says_what_it_is_for() {
    let mut seen = BTreeSet::new();
    for route in routes::all() {
        assert!(seen.insert((route.method.to_string(), route.path)), "{} stands twice", route.path);
        assert!(route.summary.len() > 5);
        assert!(route.answer.content_type.is_some() || route.answer.status == 204, "{} answers nothing", route.path);
    }
    let world = World::new();
    assert!(serde_json::to_string(&openapi::document(&Table::new(routes::all()), world.genesis())).is_ok());
}

#[tokio::test]
async fn health_says_why() {
    let served = Served::new().await;
    for target in ["/livez", "/readyz"] {
        let answer = get(target).send(&served).await;
        assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("ok")));
    }
    *served.world.well.lock().unwrap() = false;
    let answer = get("/readyz").send(&served).await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (503, Some("failing")));
    assert_eq!(answer.json()["checks"][0]["name"], "leader-known");
    assert_eq!(get("/livez").send(&served).await.status, 503);
}

#[tokio::test]
async fn metrics_count_requests_refusals_and_connections() {
    let served = Served::new().await;
    get("/v1/chain").send(&served).await;
    get("/v1/members").send(&served).await;
    get("/v1/nothing").send(&served).await;
    let answer = get("/metrics").send(&served).await;
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let text = String::from_utf8(answer.body).unwrap();
    for line in [
        "galen_http_requests_total{route=\"/v1/chain\",method=\"GET\",class=\"2xx\"} 1",
        "galen_http_requests_total{route=\"/v1/members\",method=\"GET\",class=\"4xx\"} 1",
        "galen_http_requests_total{route=\"none\",method=\"GET\",class=\"4xx\"} 1",
        "galen_http_refusals_total{code=\"authentication-missing\"} 1",
        "galen_http_connections_total 4",
        "galen_http_request_duration_seconds_count{route=\"/v1/chain\",method=\"GET\"} 1",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} is missing in:\n{text}");
    }
}
