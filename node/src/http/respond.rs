//! Building answers.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER,
    STRICT_TRANSPORT_SECURITY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use warp::Reply;
pub(crate) use warp::reply::Response;

use super::refusal::Refusal;
use super::services::{ByteStream, ServiceError};

/// Names the request in answers and logs.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("galen-request-id");
/// The digest of a result document.
pub(crate) const DIGEST: HeaderName = HeaderName::from_static("galen-digest");

/// The height that the answer is true of.
pub(crate) const HEIGHT: HeaderName = HeaderName::from_static("galen-height");

pub(crate) const JSON: &str = "application/json";
pub(crate) const PROBLEM: &str = "application/problem+json";
pub(crate) const OCTETS: &str = "application/octet-stream";

/// An answer of bytes.
pub(crate) fn bytes(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(body.into().into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// An answer that is a JSON document.
pub(crate) fn json_with<T: Serialize>(status: StatusCode, value: &T) -> Result<Response, Refusal> {
    let document = serde_json::to_vec(value).map_err(|error| Refusal::Service(ServiceError::internal(&error)))?;
    Ok(bytes(status, JSON, document))
}

/// 200 with a JSON document.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<Response, Refusal> {
    json_with(StatusCode::OK, value)
}

/// 204.
pub(crate) fn nothing() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// warp wants bodies that can be shared between threads; the mutex makes them so, and is never waited for because a body
/// has one reader.
struct Shared(Mutex<ByteStream>);

impl Stream for Shared {
    type Item = std::io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().0.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll_next(context)
    }
}

/// An answer that comes in parts.
pub(crate) fn streamed(status: StatusCode, content_type: &'static str, stream: ByteStream) -> Response {
    let mut response = warp::reply::stream(Shared(Mutex::new(stream))).into_response();
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The answer to a request that is refused.
pub(crate) fn refused(refusal: &Refusal) -> Response {
    let problem = refusal.problem();
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    // A problem holds only texts and a number: it always has a document.
    let document = serde_json::to_vec(&problem).unwrap_or_default();
    let mut response = bytes(status, PROBLEM, document);
    let headers = response.headers_mut();
    if let Some(seconds) = refusal.retry_after_s() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Refusal::MethodNotAllowed { allowed } = refusal
        && let Ok(value) = HeaderValue::from_str(allowed)
    {
        headers.insert(ALLOW, value);
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Galen"));
    }
    if refusal.closes_connection() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A refusal as bytes on the wire, for connections on which no request could be read.
pub(crate) fn bare_response(refusal: &Refusal) -> Vec<u8> {
    let problem = refusal.problem();
    let document = serde_json::to_string(&problem).unwrap_or_default();
    let reason =
        StatusCode::from_u16(problem.status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error");
    let retry = refusal.retry_after_s().map_or(String::new(), |seconds| format!("retry-after: {seconds}\r\n"));
    format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: {PROBLEM}\r\ncontent-length: {}\r\n{retry}connection: close\r\n\r\n{document}",
        problem.status,
        document.len()
    )
    .into_bytes()
}

/// Adds what every answer carries.
pub(crate) fn finish(response: &mut Response, request_id: &str, read_height: Option<u64>, secure: bool) {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if secure {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, value);
    }
    if let Some(height) = read_height {
        headers.insert(HEIGHT, HeaderValue::from(height));
    }
}
