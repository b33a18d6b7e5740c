//! A small HTTP server whose answers a test decides.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use galen_types::hash::Context;
use galen_types::{DecodedTransaction, Hash};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub authorization: Option<String>,
    pub range: Option<String>,
    pub body: Vec<u8>,
    /// Counts the requests to the same path without its query, from 1.
    pub number: usize,
}

/// What the server does.
pub enum Answer {
    Full {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// Closes the connection without an answer.
    Drop,
    /// Promises the whole body, sends `sent` bytes of it and closes the connection.
    Broken {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
        sent: usize,
    },
}

impl Answer {
    pub fn new(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::Full { status, headers: vec![("content-type".to_owned(), kind.to_owned())], body: body.into() }
    }

    pub fn json(value: &impl serde::Serialize) -> Self {
        Self::new(200, "application/json", serde_json::to_vec(value).unwrap())
    }

    pub fn problem(status: u16, code: &str, detail: &str) -> Self {
        let problem = galen_types::api::Problem::new(status, code, "Problem", detail).with_hint("look again");
        Self::new(status, "application/problem+json", serde_json::to_vec(&problem).unwrap())
    }
}

pub struct Server {
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (requests.clone(), Arc::new(answer));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (seen, answer) = (seen.clone(), answer.clone());
                let service = service_fn(move |request| respond(request, seen.clone(), answer.clone()));
                connections.spawn(async move {
                    // A connection that the test broke ends in an error.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { url, requests, task }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub fn paths(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.path).collect()
    }

    /// Closes the port and every connection.
    pub async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, std::io::Error>;

async fn respond<A: Fn(&Request) -> Answer>(
    request: hyper::Request<Incoming>,
    seen: Arc<Mutex<Vec<Request>>>,
    answer: Arc<A>,
) -> Result<hyper::Response<Body>, std::io::Error> {
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (authorization, range) = (header("authorization"), header("range"));
    let method = request.method().to_string();
    let path = request.uri().path_and_query().unwrap().to_string();
    let body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes().to_vec();
    let request = {
        let mut seen = seen.lock().unwrap();
        let bare = |path: &str| path.split('?').next().unwrap().to_owned();
        let mut counts = HashMap::new();
        for earlier in seen.iter() {
            *counts.entry(bare(&earlier.path)).or_insert(0) += 1;
        }
        let number = counts.get(&bare(&path)).copied().unwrap_or(0) + 1;
        let request = Request { method, path, authorization, range, body, number };
        seen.push(request.clone());
        request
    };
    let (status, headers, body) = match answer(&request) {
        Answer::Drop => return Err(std::io::Error::other("dropped by the test")),
        Answer::Full { status, headers, body } => {
            (status, headers, Full::new(Bytes::from(body)).map_err(|never: Infallible| match never {}).boxed_unsync())
        }
        Answer::Broken { status, mut headers, body, sent } => {
            headers.push(("content-length".to_owned(), body.len().to_string()));
            let parts = [
                Ok(hyper::body::Frame::data(Bytes::from(body[..sent].to_vec()))),
                Err(std::io::Error::other("broken by the test")),
            ];
            // The pause lets the first part reach the client before the connection breaks.
            let parts = futures::StreamExt::then(futures::stream::iter(parts), async |part| {
                if part.is_err() {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                part
            });
            (status, headers, StreamBody::new(parts).boxed_unsync())
        }
    };
    let mut response = hyper::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    Ok(response.body(body).unwrap())
}

pub fn genesis() -> Hash {
    Hash([9; 32])
}

pub fn encryption_key() -> galen_types::member::EncryptionKey {
    galen_keys::KeyPair::from_seed(&[42; 32]).encryption_key()
}

pub fn chain_status() -> Answer {
    Answer::json(&serde_json::json!({
        "chain": "main", "genesis": genesis(), "node": "node-1.harlem", "role": "voter",
        "version": "0.1.0",
        "encryption_key": encryption_key(), "height": 3, "header": Hash([4; 32]),
        "time": "2026-11-21T10:00:00.000Z", "certified_height": 3, "epoch": 0, "voters": ["node-1.harlem"],
        "quorum": 1, "faults_tolerated": 0, "peers": 0, "ready": true,
    }))
}

fn status(id: &str, outcome: &str) -> Answer {
    let outcome = match outcome {
        "applied" => serde_json::json!({"status": "applied"}),
        _ => serde_json::json!({
            "status": "refused", "rule": "job-not-yours", "explanation": "the job was submitted by bob@harlem",
        }),
    };
    Answer::json(&serde_json::json!({
        "id": id, "finality": "certified", "height": 4, "index": 0, "time": "2026-11-21T10:00:01.000Z",
        "receipt": {"transaction": id, "outcome": outcome, "events": [], "write_set": Hash([5; 32])},
    }))
}

/// The certified status of the transaction in a request's body.
pub fn status_of(body: &[u8], outcome: &str) -> Answer {
    let decoded = DecodedTransaction::decode(body.to_vec(), 1 << 20).unwrap();
    status(&decoded.id.to_string(), outcome)
}

/// The certified status of the transaction in a path.
pub fn status_by_path(path: &str, outcome: &str) -> Answer {
    let id = path.split('?').next().unwrap().rsplit('/').next().unwrap();
    status(id, outcome)
}

/// A finished job whose result document is `document`.
pub fn job_detail(document: &[u8]) -> Answer {
    Answer::json(&serde_json::json!({
        "height": 5,
        "job": {
            "id": Hash([3; 32]), "submitter": "alice@harlem",
            "specification": {"datasets": ["harlem/opt"], "statistics": ["mean"], "columns": ["Age"], "purpose": "HRESCH"},
            "sites": [], "submitted": "2026-11-21T10:00:00.000Z", "height": 4, "state": "finished",
            "result": Hash::of(Context::JobResult, document), "outcomes": [], "failure": null, "aggregator": null,
        },
        "progress": {"answered": 1, "sites": 1},
    }))
}
