//! For those who run the node: health, metrics, and the description of the API itself.

use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::refusal::Refusal;
use crate::http::respond::{JSON, Response, bytes, json_with};
use crate::http::route::{Access, Handler, Route};
use crate::http::services::{HealthCheck, ServiceError};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/livez",
            "Whether the node's loops run; 503 means: restart the process",
            Handler::Act(|call, _| Box::pin(async move { health(call.app.services.health.live()) })),
        )
        .access(Access::Open)
        .gives::<Health>(),
        Route::get(
            "/readyz",
            "Whether the node should be given work; 503 with the reasons if not",
            Handler::Act(|call, _| Box::pin(async move { health(call.app.services.health.ready()) })),
        )
        .access(Access::Open)
        .gives::<Health>(),
        Route::get(
            "/metrics",
            "Metrics in the OpenMetrics text format",
            Handler::Act(|call, _| {
                Box::pin(async move {
                    let mut text = String::new();
                    prometheus_client::encoding::text::encode(&mut text, &call.app.registry)
                        .map_err(|error| Refusal::Service(ServiceError::internal(&error)))?;
                    Ok(bytes(StatusCode::OK, OPENMETRICS, text))
                })
            }),
        )
        .access(Access::Open)
        .gives_other(OPENMETRICS),
        Route::get(
            "/v1/openapi.json",
            "This document",
            Handler::Act(|call, _| Box::pin(async move { Ok(bytes(StatusCode::OK, JSON, call.app.openapi.clone())) })),
        )
        .access(Access::Open)
        .gives_other(JSON),
    ]
}

/// How the node is.
#[derive(Serialize, ToSchema)]
struct Health {
    /// `ok` or `failing`.
    status: &'static str,
    /// What was checked.
    checks: Vec<Check>,
}

/// One thing that was checked.
#[derive(Serialize, ToSchema)]
struct Check {
    /// What.
    name: &'static str,
    /// Whether it is well.
    ok: bool,
    /// How it is.
    detail: String,
}

fn health(checks: Vec<HealthCheck>) -> Result<Response, Refusal> {
    let ok = checks.iter().all(|check| check.ok);
    let checks = checks.into_iter().map(|HealthCheck { name, ok, detail }| Check { name, ok, detail }).collect();
    let (code, status) = if ok { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "failing") };
    json_with(code, &Health { status, checks })
}
