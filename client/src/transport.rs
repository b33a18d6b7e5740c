//! One request and its answer: addresses, signatures, size limits, and errors as the rest of the crate knows them.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use galen_types::Hash;
use galen_types::Timestamp;
use galen_types::api::{Consistency, Problem};
use galen_types::request_signature::{RequestSignature, SignedParts};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, RANGE, RETRY_AFTER};
use reqwest::{Method, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::error::{ClientError, chain};

/// Most bytes of a JSON answer: a page of 1,000 records of the largest kind fits.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Longest that a node waits for a read to be confirmed, milliseconds.
const TIMEOUT_MS_MAX: u128 = 60_000;
/// Most bytes of a problem document that are read.
const PROBLEM_BYTES_MAX: usize = 64 << 10;
/// First pause before a release is asked for again; doubled each time.
const RELEASE_PAUSE_FIRST: Duration = Duration::from_millis(20);
/// Longest pause before a release is asked for again.
const RELEASE_PAUSE_MAX: Duration = Duration::from_secs(1);
/// How often a request that changes nothing is sent when the connection breaks.
const READ_ATTEMPTS: u32 = 3;

/// What a request carries.
pub(crate) enum Content {
    /// Nothing.
    Empty,
    /// A JSON document.
    Json(Bytes),
    /// Octets.
    Octets(Bytes),
    /// Octets of a known hash and length, streamed once.
    Stream { body: reqwest::Body, hash: Hash, bytes: u64 },
}

/// A request before it is signed.
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) signing: Signing,
    pub(crate) content: Content,
    /// For the whole exchange; `None` for streams, which are timed between reads.
    pub(crate) timeout: Option<Duration>,
    /// First octet wanted of a file, where not from its start.
    pub(crate) range_start: u64,
}

/// Whether a request says whose it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signing {
    /// Open to everyone: not signed.
    Open,
    /// Signed where the client has an account.
    Optional,
    /// Needs an account.
    Required,
}

/// Why an exchange failed, with what a retry needs to know.
pub(crate) struct Failure {
    pub(crate) error: ClientError,
    /// Whether the node can have received the request.
    pub(crate) delivered: bool,
    /// When the node wants to be asked again.
    pub(crate) retry_after: Option<Duration>,
}

impl Failure {
    /// Whether the same request may succeed later.
    pub(crate) fn is_temporary(&self) -> bool {
        match &self.error {
            ClientError::Unreachable { .. } => true,
            ClientError::Problem(problem) => matches!(problem.status, 429 | 500..),
            _ => false,
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self { error, delivered: false, retry_after: None }
    }
}

impl Outgoing {
    pub(crate) fn get(url: Url, signing: Signing) -> Self {
        Self::new(Method::GET, url, signing, Content::Empty)
    }

    pub(crate) fn new(method: Method, url: Url, signing: Signing, content: Content) -> Self {
        Self { method, url, signing, content, timeout: None, range_start: 0 }
    }
}

impl Client {
    /// An address under the node's, each segment and value percent-encoded.
    pub(crate) fn url(&self, segments: &[&str], query: &[(&str, Option<String>)]) -> Url {
        let mut url = self.base().clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().extend(segments);
        }
        let given = query.iter().filter_map(|(name, value)| value.as_ref().map(|value| (*name, value)));
        for (name, value) in given {
            url.query_pairs_mut().append_pair(name, value);
        }
        url
    }

    /// Sends once and waits for the answer's head; an answer that is a problem becomes an error.
    pub(crate) async fn exchange(&self, outgoing: Outgoing) -> Result<Response, Failure> {
        let request = self.sign_and_build(outgoing).await?;
        let response = self.http().execute(request).await.map_err(|error| Failure {
            delivered: !error.is_connect() && !error.is_builder(),
            error: self.unreachable(&error),
            retry_after: None,
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        Err(Failure { error: ClientError::Problem(Box::new(problem_of(response).await)), delivered: true, retry_after })
    }

    async fn sign_and_build(&self, outgoing: Outgoing) -> Result<reqwest::Request, ClientError> {
        let account = match outgoing.signing {
            Signing::Open => None,
            Signing::Optional => self.account(),
            Signing::Required => Some(self.account().ok_or(ClientError::NoAccount)?),
        };
        let authorization = match account {
            None => None,
            Some((name, keys)) => {
                let path = match outgoing.url.query() {
                    Some(query) => format!("{}?{query}", outgoing.url.path()),
                    None => outgoing.url.path().to_owned(),
                };
                let body = match &outgoing.content {
                    Content::Empty => plain_hash(&[]),
                    Content::Json(bytes) | Content::Octets(bytes) => plain_hash(bytes),
                    Content::Stream { hash, .. } => *hash,
                };
                let mut nonce = [0; 16];
                getrandom::fill(&mut nonce)?;
                let (genesis, node) = self.names().await?;
                let parts = SignedParts { genesis, node, method: outgoing.method.as_str(), path: &path, body: &body };
                let signature = RequestSignature::sign(&parts, name.clone(), Timestamp::now(), nonce, &keys.signing);
                Some(signature.to_string())
            }
        };
        let mut builder = self.http().request(outgoing.method, outgoing.url);
        if let Some(authorization) = authorization {
            builder = builder.header(AUTHORIZATION, authorization);
        }
        if let Some(timeout) = outgoing.timeout {
            builder = builder.timeout(timeout);
        }
        if outgoing.range_start > 0 {
            builder = builder.header(RANGE, format!("bytes={}-", outgoing.range_start));
        }
        builder = match outgoing.content {
            Content::Empty => builder,
            Content::Json(bytes) => builder.header(CONTENT_TYPE, "application/json").body(bytes),
            Content::Octets(bytes) => builder.header(CONTENT_TYPE, "application/octet-stream").body(bytes),
            Content::Stream { body, bytes, .. } => {
                builder.header(CONTENT_TYPE, "application/octet-stream").header(CONTENT_LENGTH, bytes).body(body)
            }
        };
        builder.build().map_err(|error| ClientError::Configuration(chain(&error)))
    }

    /// The parameters that say how old an answer may be, where that is not left to the node.
    pub(crate) fn consistency_query(&self) -> [(&'static str, Option<String>); 2] {
        let asked = Some(self.consistency()).filter(|consistency| *consistency != Consistency::Local);
        // The node's refusal comes before this side gives up waiting.
        let timeout_ms = (self.timeouts().request * 4 / 5).as_millis().clamp(1, TIMEOUT_MS_MAX);
        [
            ("consistency", asked.map(|consistency| consistency.to_string())),
            ("timeout_ms", asked.map(|_| timeout_ms.to_string())),
        ]
    }

    /// A read of the chain, as old as this client permits.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        signing: Signing,
        segments: &[&str],
        query: &[(&str, Option<String>)],
    ) -> Result<T, ClientError> {
        let query: Vec<_> = query.iter().cloned().chain(self.consistency_query()).collect();
        self.get_here(signing, segments, &query).await
    }

    /// A read of what the node holds itself: sent again when the connection breaks, since it changes nothing.
    pub(crate) async fn get_here<T: DeserializeOwned>(
        &self,
        signing: Signing,
        segments: &[&str],
        query: &[(&str, Option<String>)],
    ) -> Result<T, ClientError> {
        let url = self.url(segments, query);
        let mut attempt = 1;
        loop {
            let mut outgoing = Outgoing::get(url.clone(), signing);
            outgoing.timeout = Some(self.timeouts().request);
            match self.exchange_json(outgoing).await {
                Err(Failure { error: ClientError::Unreachable { .. }, delivered: true, .. })
                    if attempt < READ_ATTEMPTS =>
                {
                    attempt += 1
                }
                Err(failure) => return Err(failure.error),
                Ok(answer) => return Ok(answer),
            }
        }
    }

    /// A request with a JSON body and a JSON answer, sent once.
    pub(crate) async fn send_json<Body: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        segments: &[&str],
        body: &Body,
        timeout: Option<Duration>,
    ) -> Result<T, ClientError> {
        let mut outgoing =
            Outgoing::new(method, self.url(segments, &[]), Signing::Required, Content::Json(json_bytes(body)?));
        outgoing.timeout = timeout;
        self.exchange_json(outgoing).await.map_err(|failure| failure.error)
    }

    pub(crate) async fn exchange_json<T: DeserializeOwned>(&self, outgoing: Outgoing) -> Result<T, Failure> {
        let response = self.exchange(outgoing).await?;
        let bytes = self.read_all(response, ANSWER_BYTES_MAX).await?;
        serde_json::from_slice(&bytes).map_err(|error| Failure {
            error: ClientError::Answer(error.to_string()),
            delivered: true,
            retry_after: None,
        })
    }

    /// The whole body, if it is not longer than `limit`.
    pub(crate) async fn read_all(&self, mut response: Response, limit: usize) -> Result<Bytes, Failure> {
        let failure = |error| Failure { error, delivered: true, retry_after: None };
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failure(self.unreachable(&error)))? {
            if body.len() + chunk.len() > limit {
                return Err(failure(ClientError::Answer(format!("it is longer than {limit} bytes"))));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// Asks for what a certified receipt releases. The node that holds it may see the certificate a moment later than
    /// the one that waited for it, so temporary failures are asked again for as long as a request may take.
    pub(crate) async fn when_released<T>(
        &self,
        mut ask: impl AsyncFnMut() -> Result<T, Failure>,
    ) -> Result<T, ClientError> {
        let deadline = Instant::now() + self.timeouts().request;
        let mut pause = RELEASE_PAUSE_FIRST;
        loop {
            let failure = match ask().await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let wanted = failure.retry_after.unwrap_or(pause);
            if !failure.is_temporary() || Instant::now() + wanted >= deadline {
                return Err(failure.error);
            }
            sleep(wanted).await;
            pause = (pause * 2).min(RELEASE_PAUSE_MAX);
        }
    }

    pub(crate) fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        let url = self.base().as_str().trim_end_matches('/').to_owned();
        let reason = if error.is_timeout() {
            "it did not answer in time".to_owned()
        } else {
            let mut causes = Vec::new();
            let mut cause = std::error::Error::source(error);
            while let Some(next) = cause {
                causes.push(next.to_string());
                cause = next.source();
            }
            // The last cause is the system's own word; those before it are the libraries' layers.
            causes.pop().unwrap_or_else(|| chain(error))
        };
        ClientError::Unreachable { url, reason }
    }
}

pub(crate) fn json_bytes(body: &impl Serialize) -> Result<Bytes, ClientError> {
    serde_json::to_vec(body).map(Bytes::from).map_err(|error| ClientError::Configuration(error.to_string()))
}

/// BLAKE3 without context, as bodies and files are named.
pub(crate) fn plain_hash(bytes: &[u8]) -> Hash {
    Hash(*blake3::hash(bytes).as_bytes())
}

/// The problem that an answer is, or one made of its status where it is none.
async fn problem_of(mut response: Response) -> Problem {
    let status = response.status();
    let documented = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/problem+json"));
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        if body.len() + chunk.len() > PROBLEM_BYTES_MAX {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).ok().filter(|_| documented).unwrap_or_else(|| {
        Problem::new(
            status.as_u16(),
            "http-status",
            "Unexpected answer",
            format!("the node answered with HTTP status {status} and no explanation"),
        )
        .with_hint("check that the address is a Galen node's and that nothing stands between")
    })
}
