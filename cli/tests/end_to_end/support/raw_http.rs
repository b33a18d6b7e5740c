//! HTTP byte by byte, so that what a proper client would never send can be sent.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The stable code of a problem document.
    pub(crate) fn code(&self) -> String {
        assert!(self.head.to_ascii_lowercase().contains("content-type: application/problem+json"), "{self:?}");
        let document: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        document["code"].as_str().unwrap().to_owned()
    }
}

/// Sends bytes and reads until the node closes.
pub(crate) async fn send(port: u16, bytes: &[u8]) -> Answer {
    let mut stream = connect(port).await;
    // The node may answer and close before everything is sent.
    let _ = stream.write_all(bytes).await;
    answer(&mut stream).await
}

/// A POST of octets, as one write.
pub(crate) async fn post(port: u16, target: &str, body: &[u8]) -> Answer {
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    send(port, &[head.as_bytes(), body].concat()).await
}

/// A GET with an Authorization header.
pub(crate) async fn get(port: u16, target: &str, authorization: &str) -> Answer {
    let head =
        format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {authorization}\r\n\r\n");
    send(port, head.as_bytes()).await
}

pub(crate) async fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).await.unwrap()
}

/// Reads an answer until the node closes.
pub(crate) async fn answer(stream: &mut TcpStream) -> Answer {
    let text = String::from_utf8_lossy(&until_closed(stream).await).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    Answer {
        status: status.unwrap_or_else(|| panic!("no HTTP answer: {text:?}")),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// Everything that comes until the node closes.
pub(crate) async fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        match timeout(PATIENCE, stream.read(&mut part)).await {
            Ok(Ok(0) | Err(_)) => return bytes,
            Ok(Ok(read)) => bytes.extend_from_slice(&part[..read]),
            Err(_) => panic!("the node does not close the connection; so far: {:?}", String::from_utf8_lossy(&bytes)),
        }
    }
}
