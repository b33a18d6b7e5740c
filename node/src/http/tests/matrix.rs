//! Every route against strangers and against requests that are wrong, derived from the table. What accounts get is in
//! [`who_gets_what`](super::who_gets_what).

use galen_types::member::Role;
use serde_json::json;

use super::client::{Request, get, raw};
use super::world::{Served, World};
use crate::http::body::BodyRule;
use crate::http::route::{Access, Route};
use crate::http::routes;

pub(super) const ID: &str = "d74981efa70a0c880b8d8c1985d075dbcbf679b99a5f9914e5aaf96b831a9e24";

fn value_of(parameter: &str) -> String {
    match parameter {
        "height" => "1".to_owned(),
        "member" => "harlem".to_owned(),
        "dataset" => "opt".to_owned(),
        "account" => "owner@harlem".to_owned(),
        "node" => "node-1.harlem".to_owned(),
        "id" | "transaction" | "ciphertext" | "proposal" => ID.to_owned(),
        other => panic!("give the path parameter `{other}` a value"),
    }
}

/// A well-formed request of a route, about things that need not be there.
pub(super) fn sample(route: &Route) -> Request {
    request(route, &value_of)
}

/// A well-formed request of a route with values for the parameters of its path.
pub(super) fn request(route: &Route, value_of: &dyn Fn(&str) -> String) -> Request {
    let mut target = String::new();
    for segment in route.path.split('/').skip(1) {
        let parameter = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        target.push('/');
        target.push_str(&parameter.map_or(segment.to_owned(), value_of));
    }
    let needed = match route.path {
        "/v1/files" => format!("?ciphertext={}&bytes=0", blake3::hash(b"").to_hex()),
        "/v1/jobs/{id}/result" => format!("?receipt={ID}"),
        "/v1/proofs/state" => "?names=parameters".to_owned(),
        _ => String::new(),
    };
    let body = match route.path {
        "/v1/jobs/openings" => json!({"job": ID, "filter": "Age >= 18", "salt": ID}).to_string(),
        "/v1/files/{ciphertext}/key" => {
            let (key, hash) = ("AAAA", ID);
            json!({"dataset": "harlem/opt", "wrapped_key": key, "plaintext": hash, "plaintext_bytes": 1}).to_string()
        }
        "/v1/node/leader-transfer" => json!({}).to_string(),
        _ => String::new(),
    };
    let request = Request {
        method: route.method.to_string(),
        target: format!("{target}{needed}"),
        headers: Vec::new(),
        body: body.into_bytes(),
    };
    match route.body {
        BodyRule::Json { .. } => request.header("content-type", "application/json"),
        _ => request,
    }
}

#[tokio::test]
async fn nobody_gets_in_without_a_signature_where_one_is_needed() {
    let served = Served::new().await;
    for route in routes::all() {
        let answer = sample(&route).send(&served).await;
        match route.access {
            Access::Open | Access::Optional => assert_ne!(answer.status, 401, "{}", route.path),
            Access::Account | Access::Roles(_) | Access::Operator => {
                assert_eq!((answer.status, answer.code().as_str()), (401, "authentication-missing"), "{}", route.path);
                assert_eq!(answer.header("www-authenticate"), Some("Galen"));
            }
        }
    }
}

#[tokio::test]
async fn a_node_is_operated_by_its_own_members_administrators() {
    let served = Served::new().await;
    for route in routes::all().into_iter().filter(|route| route.access == Access::Operator) {
        let answer = sample(&route).signed(&served, "admin@kentucky").send(&served).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "wrong-member"), "{}", route.path);
        let answer = sample(&route).signed(&served, "admin@harlem").send(&served).await;
        assert!(answer.status < 300, "{}: {answer:?}", route.path);
    }
}

/// Every route and who may ask, written down: a new one, or another rule, is a decision that this page must show.
#[tokio::test]
async fn who_may_ask_for_what_is_written_down() {
    let who = |route: &Route| match route.access {
        Access::Open => "everyone".to_owned(),
        Access::Optional => "everyone, accounts are told more".to_owned(),
        Access::Account => "accounts".to_owned(),
        Access::Operator => "administrators of the node's member".to_owned(),
        Access::Roles(roles) => roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(" or "),
    };
    let told: Vec<_> =
        routes::all().iter().map(|route| format!("{} {}: {}", route.method, route.path, who(route))).collect();
    let written: Vec<_> = include_str!("who_may_ask.txt").lines().collect();
    assert_eq!(told, written, "{}", told.join("\n"));
}

/// What a stranger, and so an applicant, may reach: every addition to this list is a decision.
#[tokio::test]
async fn strangers_reach_health_the_chains_face_submissions_and_the_way_to_join() {
    let open: Vec<_> = routes::all()
        .iter()
        .filter(|route| matches!(route.access, Access::Open | Access::Optional))
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    let expected = [
        "POST /v1/transactions",
        "POST /v1/transactions/batch",
        "GET /v1/transactions/{id}",
        "GET /livez",
        "GET /readyz",
        "GET /metrics",
        "GET /v1/openapi.json",
        "GET /v1/chain",
        "GET /v1/recoveries",
        "GET /v1/genesis",
        "POST /v1/applications",
        "GET /v1/join/{proposal}",
        "POST /v1/join/{proposal}/withdraw",
        "POST /v1/join/{proposal}/dial-back",
    ];
    assert_eq!(open, expected);
}

#[tokio::test]
async fn a_suspended_account_gets_in_nowhere() {
    let served = Served::new().await;
    for route in routes::all() {
        let answer = sample(&route).signed(&served, "suspended@harlem").send(&served).await;
        if route.access == Access::Open {
            assert_ne!(answer.status, 403, "{}", route.path);
        } else {
            assert_eq!((answer.status, answer.code().as_str()), (403, "account-not-active"), "{}", route.path);
        }
    }
}

#[tokio::test]
async fn every_route_refuses_what_it_does_not_know() {
    let served = Served::new().await;
    for route in routes::all() {
        let mut request = sample(&route);
        let join = if request.target.contains('?') { '&' } else { '?' };
        request.target = format!("{}{join}nonsense=1", request.target);
        let answer = request.signed(&served, "owner@harlem").send(&served).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "parameter-unknown"), "{}", route.path);

        let mut request = sample(&route);
        request.method = "DELETE".to_owned();
        let answer = request.send(&served).await;
        assert_eq!((answer.status, answer.code().as_str()), (405, "method-not-allowed"), "{}", route.path);
        assert!(answer.header("allow").unwrap().contains(route.method.as_str()), "{}", route.path);
    }
}

#[tokio::test]
async fn a_parameter_that_is_needed_is_missed() {
    let served = Served::new().await;
    for route in routes::all() {
        if route.query.iter().any(|parameter| parameter.needed) {
            let mut request = sample(&route);
            request.target = request.target.split('?').next().unwrap().to_owned();
            let answer = request.signed(&served, "owner@harlem").send(&served).await;
            assert_eq!((answer.status, answer.code().as_str()), (400, "parameter-missing"), "{}", route.path);
        }
    }
}

#[tokio::test]
async fn every_route_bounds_its_body_announced_or_chunked() {
    let served = Served::new().await;
    for route in routes::all() {
        let limit = match route.body {
            BodyRule::None => 0,
            BodyRule::Json { limit } | BodyRule::Octets { limit } => limit,
            BodyRule::Upload => continue,
        };
        let mut announced = sample(&route);
        announced.body = Vec::new();
        let announced = announced.signed(&served, "owner@harlem").header("content-length", &(limit + 1).to_string());
        let answer = announced.send(&served).await;
        assert_eq!((answer.status, answer.code().as_str()), (413, "body-too-large"), "{}", route.path);

        let mut chunked = sample(&route);
        chunked.body = vec![b' '; limit + 1];
        let account = match (route.path, route.access) {
            ("/v1/jobs/openings", _) => "researcher@harlem",
            (_, Access::Operator | Access::Roles(&[Role::Admin])) => "admin@harlem",
            _ => "owner@harlem",
        };
        let answer = chunked.signed(&served, account).chunked(16 << 10).send(&served).await;
        assert_eq!((answer.status, answer.code().as_str()), (413, "body-too-large"), "{}", route.path);
    }
}

#[tokio::test]
async fn every_answer_is_finished_alike() {
    let served = Served::new().await;
    let mut ids = std::collections::BTreeSet::new();
    for target in ["/v1/chain", "/v1/nothing", "/v1/jobs", "/livez"] {
        let answer = get(target).send(&served).await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{target}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.header("content-security-policy").is_some());
        assert!(answer.header("access-control-allow-origin").is_none());
        assert!(answer.header("strict-transport-security").is_none(), "only over TLS");
        assert!(ids.insert(answer.header("galen-request-id").unwrap().to_owned()));
    }
    assert_eq!(get("/v1/nothing").send(&served).await.code(), "path-unknown");
    assert_eq!(get("/v1/chain/").send(&served).await.code(), "path-unknown");
    let world: &World = &served.world;
    assert_eq!(get("/v1/chain").send(&served).await.json()["height"], world.height());
    let long = get(&format!("/v1/chain?{}", "a".repeat(5_000))).send(&served).await;
    assert_eq!((long.status, long.code().as_str()), (414, "path-too-long"));
    assert!(raw(&served, b"GET /v1/chain HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.is_some());
}
