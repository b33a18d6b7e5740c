//! A client that writes its requests byte by byte, so that it can also write wrong ones.

use std::sync::atomic::{AtomicU64, Ordering};

use galen_types::request_signature::{RequestSignature, SignedParts};
use galen_types::{Hash, Timestamp};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::world::{Served, key_of, name};

/// An answer as read from the wire.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of a problem document; checks that it is one.
    #[track_caller]
    pub(super) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        assert!(problem["type"].as_str().unwrap().starts_with("/problems/"));
        problem["code"].as_str().unwrap().to_owned()
    }

    /// The items of a page.
    #[track_caller]
    pub(super) fn items(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self.json()["items"].as_array().unwrap().clone()
    }
}

/// Reads an answer's bytes.
pub(super) fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let rest = &bytes[end + 4..];
    let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if chunked { unchunked(rest) } else { rest.to_vec() };
    Some(Answer { status, headers, body })
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        let start = end + 2;
        if size == 0 || bytes.len() < start + size {
            break;
        }
        body.extend_from_slice(&bytes[start..start + size]);
        bytes = bytes.get(start + size + 2..).unwrap_or_default();
    }
    body
}

/// Writes bytes and reads until the server closes.
pub(super) async fn exchange<T: AsyncRead + AsyncWrite + Unpin>(mut stream: T, request: &[u8]) -> Option<Answer> {
    // The server may answer and close before it has taken everything.
    let _ = stream.write_all(request).await;
    let mut bytes = Vec::new();
    // A reset after the answer was read leaves the answer.
    let _ = stream.read_to_end(&mut bytes).await;
    parse(&bytes)
}

pub(super) async fn raw(served: &Served, request: &[u8]) -> Option<Answer> {
    exchange(TcpStream::connect(served.address).await.unwrap(), request).await
}

/// A request that can be changed before it is sent.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

pub(super) fn get(target: &str) -> Request {
    Request { method: "GET".to_owned(), target: target.to_owned(), headers: Vec::new(), body: Vec::new() }
}

fn with_body(method: &str, target: &str, content_type: &str, body: Vec<u8>) -> Request {
    let headers = vec![("content-type".to_owned(), content_type.to_owned())];
    Request { method: method.to_owned(), target: target.to_owned(), headers, body }
}

pub(super) fn octets(target: &str, body: Vec<u8>) -> Request {
    with_body("POST", target, "application/octet-stream", body)
}

pub(super) fn json(method: &str, target: &str, body: &Value) -> Request {
    with_body(method, target, "application/json", body.to_string().into_bytes())
}

fn nonce() -> [u8; 16] {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    nonce
}

impl Request {
    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Signed by an account for a hash in place of the body's, at a time.
    pub(super) fn signed_for(self, served: &Served, account: &str, body: &Hash, time: Timestamp) -> Self {
        self.signed_to("node-1.harlem", served, account, body, time)
    }

    /// Signed for a node.
    pub(super) fn signed_to(self, node: &str, served: &Served, account: &str, body: &Hash, time: Timestamp) -> Self {
        let (genesis, node) = (served.world.genesis_of(), name(node));
        let parts = SignedParts { genesis: &genesis, node: &node, method: &self.method, path: &self.target, body };
        let signature = RequestSignature::sign(&parts, name(account), time, nonce(), &key_of(account));
        self.header("authorization", &signature.to_string())
    }

    pub(super) fn signed(self, served: &Served, account: &str) -> Self {
        let body = Hash(*blake3::hash(&self.body).as_bytes());
        self.signed_for(served, account, &body, Timestamp::now())
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let framed = self.headers.iter().any(|(name, _)| name == "transfer-encoding" || name == "content-length");
        if !framed && (!self.body.is_empty() || self.method != "GET") {
            text.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Sends the body in chunks, without announcing its length.
    pub(super) fn chunked(mut self, chunk: usize) -> Self {
        let mut body = Vec::new();
        for part in self.body.chunks(chunk) {
            body.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
            body.extend_from_slice(part);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"0\r\n\r\n");
        self.body = body;
        self.header("transfer-encoding", "chunked")
    }

    pub(super) async fn send(&self, served: &Served) -> Answer {
        raw(served, &self.bytes()).await.expect("an answer")
    }
}
