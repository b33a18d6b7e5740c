//! Entry points for fuzzing: the table of routes above a consortium in memory, without sockets. Only with the feature
//! `fuzzing`, which no program turns on.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use galen_types::request_signature::{RequestSignature, SignedParts};
use galen_types::{AccountName, Call, Hash, Timestamp};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body::Body as _;

use super::app::App;
use super::body::BodyRule;
use super::route::Access;
use super::server::Arrival;
use super::world::{World, key_of};
use super::{filter, routes};

/// How long an answer that streams is listened to.
const STREAM_FOR: Duration = Duration::from_millis(5);

/// The face of one node.
pub struct Face {
    app: Arc<App>,
    world: Arc<World>,
    runtime: tokio::runtime::Runtime,
    count: AtomicU64,
}

/// A request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ask {
    /// By whom it is signed; nobody where it is empty.
    pub account: String,
    /// As in the request's line.
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    /// Name and value.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its status.
    pub status: u16,
    /// The content type.
    pub content_type: String,
    /// The body, or its beginning where it does not end.
    pub body: Vec<u8>,
}

impl Face {
    /// A face over a consortium of its own.
    ///
    /// # Errors
    /// When the runtime or the face cannot be made.
    pub fn new() -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let (world, app) = runtime.block_on(World::face())?;
        Ok(Self { app, world, runtime, count: AtomicU64::new(0) })
    }

    /// One well-formed request of every route, by somebody who may ask.
    #[must_use]
    pub fn examples(&self) -> Vec<Ask> {
        routes::all().iter().map(example).collect()
    }

    /// The bytes of a signed transaction that this consortium takes.
    #[must_use]
    pub fn transaction(&self, signer: &str, call: Call) -> Vec<u8> {
        self.world.transaction(signer, call)
    }

    /// Whether strangers may ask that path with that method; `None` where there is no such route.
    #[must_use]
    pub fn is_open(&self, method: &str, target: &str) -> Option<bool> {
        let target: http::uri::PathAndQuery = target.parse().ok()?;
        let method = Method::from_bytes(method.as_bytes()).ok()?;
        let matched = self.app.table.find(&method, target.path()).ok()?;
        Some(matches!(matched.route.access, Access::Open | Access::Optional))
    }

    /// Asks. `None` where the request cannot be written as one.
    #[must_use]
    pub fn ask(&self, ask: &Ask) -> Option<Told> {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let method = Method::from_bytes(ask.method.as_bytes()).ok()?;
        let target: http::uri::PathAndQuery = ask.target.parse().ok()?;
        let mut headers = HeaderMap::new();
        for (name, value) in &ask.headers {
            let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) else { continue };
            headers.append(name, value);
        }
        if let Ok(account) = ask.account.parse::<AccountName>() {
            headers.insert(http::header::AUTHORIZATION, self.signature(ask, &method, account, count)?);
        }
        // Every request from another address: what one address may do in a minute is not what is looked at.
        let [.., a, b, c, d] = count.to_be_bytes();
        let arrival = Arrival { address: IpAddr::V4(Ipv4Addr::new(a | 1, b, c, d)), target: Some(target) };
        let chunks: Vec<_> = ask.body.chunks(16 << 10).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        let body = futures::stream::iter(chunks).boxed();
        Some(self.runtime.block_on(async {
            let response = filter::serve(Arc::clone(&self.app), method, headers, arrival, body).await;
            let content_type = response.headers().get(http::header::CONTENT_TYPE);
            let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
            let status = response.status().as_u16();
            let mut body = pin!(response.into_body());
            let mut told = Told { status, content_type, body: Vec::new() };
            let reading = async {
                while let Some(Ok(frame)) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
                    if let Ok(data) = frame.into_data() {
                        told.body.extend_from_slice(&data);
                    }
                }
            };
            // Streams of events do not end.
            let _unended = tokio::time::timeout(STREAM_FOR * if status == 200 { 1 } else { 100 }, reading).await;
            told
        }))
    }

    fn signature(&self, ask: &Ask, method: &Method, account: AccountName, count: u64) -> Option<HeaderValue> {
        let body = Hash(*blake3::hash(&ask.body).as_bytes());
        // An upload is signed by the hash that its query names.
        let named = ask.target.split_once("ciphertext=").and_then(|(_, rest)| rest.get(..64)?.parse().ok());
        let body = named.filter(|_| ask.target.starts_with("/v1/files?")).unwrap_or(body);
        let (genesis, node) = (self.world.genesis_of(), self.world.own_node());
        let path = ask.target.as_str();
        let parts = SignedParts { genesis: &genesis, node: &node, method: method.as_str(), path, body: &body };
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&count.to_le_bytes());
        let key = key_of(&ask.account);
        HeaderValue::from_str(&RequestSignature::sign(&parts, account, Timestamp::now(), nonce, &key).to_string()).ok()
    }
}

const ID: &str = "d74981efa70a0c880b8d8c1985d075dbcbf679b99a5f9914e5aaf96b831a9e24";

fn example(route: &super::route::Route) -> Ask {
    let value = |parameter: &str| match parameter {
        "height" => "1",
        "member" => "harlem",
        "dataset" => "opt",
        "account" => "owner@harlem",
        "node" => "node-1.harlem",
        _ => ID,
    };
    let mut target = String::new();
    for segment in route.path.split('/').skip(1) {
        let parameter = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        target.push('/');
        target.push_str(parameter.map_or(segment, value));
    }
    let query: Vec<String> =
        route.query.iter().map(|parameter| format!("{}={}", parameter.name, of(parameter.name))).collect();
    if !query.is_empty() {
        target.push('?');
        target.push_str(&query.join("&"));
    }
    let body = match route.path {
        "/v1/jobs/openings" => format!("{{\"job\":\"{ID}\",\"filter\":\"Age >= 18\",\"salt\":\"{ID}\"}}"),
        "/v1/files/{ciphertext}/key" => format!(
            "{{\"dataset\":\"harlem/opt\",\"wrapped_key\":\"AAAA\",\"plaintext\":\"{ID}\",\"plaintext_bytes\":1}}"
        ),
        "/v1/node/leader-transfer" => "{}".to_owned(),
        _ => String::new(),
    };
    let content_type = match route.body {
        BodyRule::Json { .. } => "application/json",
        _ => "application/octet-stream",
    };
    let account = match route.access {
        Access::Open => "",
        Access::Operator | Access::Roles(&[galen_types::member::Role::Admin]) => "admin@harlem",
        _ if route.path.contains("/jobs") => "researcher@harlem",
        _ => "owner@harlem",
    };
    Ask {
        account: account.to_owned(),
        method: route.method.to_string(),
        target,
        headers: vec![("content-type".to_owned(), content_type.to_owned())],
        body: body.into_bytes(),
    }
}

/// A value of a query's parameter.
fn of(parameter: &str) -> &str {
    match parameter {
        "limit" | "from" | "height" | "wait_ms" | "timeout_ms" => "1",
        "bytes" => "0",
        "ciphertext" => "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
        "receipt" | "transaction" => ID,
        "member" => "harlem",
        "dataset" => "harlem/opt",
        "account" | "operator" => "owner@harlem",
        "wait" => "committed",
        _ => "a",
    }
}
