//! The node's HTTP face: JSON under `/v1`, uploads and downloads, server-sent events, health and metrics.
//!
//! A request's way: the accept loop (`server/`) takes the connection and guards it; the one warp filter (`filter.rs`)
//! takes the request apart; the table of routes (`route.rs`, `routes/`) says who may ask and what it takes; `auth/` proves
//! the account; a handler answers through the [`services`], telling each account only what `visibility.rs` lets it see.
//! Whatever is refused is a variant of `refusal.rs` with a stable code. All limits stand in `limits.rs`.

mod app;
mod auth;
mod body;
mod consistency;
mod filter;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod limits;
mod metrics;
mod openapi;
mod pages;
mod public_rate;
mod query;
mod quorum;
mod rate;
mod refusal;
mod rehearsal;
mod respond;
mod route;
mod routes;
mod server;
pub mod services;
mod stream_places;
#[cfg(test)]
mod tests;
pub(crate) mod visibility;
#[cfg(any(test, feature = "fuzzing"))]
#[path = "tests/world.rs"]
mod world;

use std::sync::Arc;

use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use app::App;
pub use metrics::HttpMetrics;
pub use server::{HttpError, HttpSettings, HttpSocket, Server, TlsError, TlsFiles};
use services::{ServiceError, Services};

/// Serves until `shutdown` is cancelled, then lets requests under way end for some seconds. `registry` is what `/metrics`
/// gives out; register everything before.
///
/// # Errors
/// When the OpenAPI document cannot be written.
pub async fn serve(
    server: Server,
    services: Services,
    metrics: HttpMetrics,
    registry: Arc<Registry>,
    shutdown: CancellationToken,
) -> Result<(), ServiceError> {
    let app = App::new(services, metrics, registry, &server, shutdown.clone())?;
    tracing::info!(address = %server.address(), tls = server.is_secure(), "serving HTTP");
    server.run(Arc::new(app), shutdown).await;
    Ok(())
}

/// The OpenAPI document of what is served, as JSON, without a running node: for publishing and for generating clients.
///
/// # Errors
/// When it cannot be written.
pub fn openapi_document(genesis: &galen_types::Genesis) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(&openapi::document(&route::Table::new(routes::all()), genesis))
}
