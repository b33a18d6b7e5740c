//! Clients that mean harm or are broken: each gets a clear answer or is cut off, and others are served on.

use galen_types::Encoding;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{Request, get, json as json_request, octets, parse, raw};
use super::world::Served;
use crate::http::limits::{HEADER_TIMEOUT, TRANSACTION_BODY_BYTES_MAX};

async fn assert_serves(served: &Served) {
    assert_eq!(get("/livez").send(served).await.status, 200);
}

#[tokio::test]
async fn heads_that_are_no_http_get_a_problem() {
    let served = Served::new().await;
    let many_headers: String = (0..10_000).map(|count| format!("x-{count}: 1\r\n")).collect();
    let long_header = "a".repeat(100_000);
    let cases: Vec<(Vec<u8>, u16, &str)> = vec![
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), 400, "head-malformed"),
        (b"NONSENSE\r\n\r\n".to_vec(), 400, "head-malformed"),
        (b"GET /livez HTTP/9.9\r\n\r\n".to_vec(), 400, "head-malformed"),
        (b"GET /livez HTTP/1.1\r\nbad header\r\n\r\n".to_vec(), 400, "head-malformed"),
        (format!("GET /livez HTTP/1.1\r\n{many_headers}\r\n").into_bytes(), 431, "head-too-large"),
        (format!("GET /livez HTTP/1.1\r\nx: {long_header}\r\n\r\n").into_bytes(), 431, "head-too-large"),
        (format!("GET /{long_header} HTTP/1.1\r\n\r\n").into_bytes(), 431, "head-too-large"),
    ];
    for (request, status, code) in cases {
        let answer = raw(&served, &request).await.expect("an answer");
        let start = String::from_utf8_lossy(&request[..request.len().min(40)]).into_owned();
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{start}");
        assert_eq!(answer.header("connection"), Some("close"));
    }
    assert_serves(&served).await;
}

#[tokio::test]
async fn random_bytes_are_survived() {
    let served = Served::new().await;
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..100 {
        let mut bytes = Vec::new();
        for _ in 0..64 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            bytes.extend_from_slice(&seed.to_le_bytes());
        }
        bytes.extend_from_slice(b"\r\n\r\n");
        if let Some(answer) = raw(&served, &bytes).await {
            assert_eq!(answer.status / 100, 4);
        }
    }
    assert_serves(&served).await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_dribbles_is_cut_off_with_a_problem() {
    let served = Served::new().await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\nx-slow: ").await.unwrap();
    let start = tokio::time::Instant::now();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let answer = parse(&bytes).unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (408, "head-slow"));
    assert!(start.elapsed() >= HEADER_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_is_closed_without_a_word() {
    let served = Served::new().await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    assert!(bytes.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_dribbles_is_cut_off_with_a_problem() {
    let served = Served::new().await;
    for framing in ["content-length: 1000\r\n\r\nabc", "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"] {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        let head = format!("POST /v1/transactions HTTP/1.1\r\nhost: a\r\n{framing}");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let answer = parse(&bytes).unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (408, "body-slow"));
    }
}

#[tokio::test]
async fn malformed_content_is_named() {
    let served = Served::new().await;
    let deep = "[".repeat(50_000);
    let wrong_types = json!({"job": 5, "filter": "a", "salt": ""}).to_string();
    let unknown_field = json!({"job": "0".repeat(64), "filter": "a", "salt": "0".repeat(64), "more": 1}).to_string();
    for body in ["", "{", "null", "\u{0}", deep.as_str(), wrong_types.as_str(), unknown_field.as_str()] {
        let mut request = json_request("POST", "/v1/jobs/openings", &json!(null));
        request.body = body.as_bytes().to_vec();
        let answer = request.signed(&served, "researcher@harlem").send(&served).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "json-malformed"), "{body:.40}");
    }
    let mut request = json_request("POST", "/v1/jobs/openings", &json!({}));
    request.headers[0].1 = "text/plain".to_owned();
    let answer = request.signed(&served, "researcher@harlem").send(&served).await;
    assert_eq!((answer.status, answer.code().as_str()), (415, "content-type-unsupported"));

    let answer = octets("/v1/transactions", b"no transaction".to_vec()).send(&served).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "encoding-malformed"));
    let answer = octets("/v1/transactions/batch", b"no batch".to_vec()).send(&served).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "body-malformed"));
    for count in [0, 1_001] {
        let batch = vec![Vec::<u8>::new(); count].encode();
        let answer = octets("/v1/transactions/batch", batch).send(&served).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "body-malformed"), "{count}");
    }
    for target in
        ["/v1/transactions?wait=forever", "/v1/transactions?timeout_ms=0", "/v1/transactions?timeout_ms=60001"]
    {
        let answer = octets(target, Vec::new()).send(&served).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "parameter-invalid"), "{target}");
    }
}

#[tokio::test]
async fn framing_tricks_do_not_smuggle() {
    let served = Served::new().await;
    let smuggled = "GET /livez HTTP/1.1\r\nhost: a\r\n\r\n";
    for framing in [
        format!("content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"),
        format!("content-length: 0\r\ncontent-length: 5\r\n\r\n{smuggled}"),
        format!("transfer-encoding: chunked\r\n\r\nzz\r\n\r\n{smuggled}"),
        format!("content-length: -1\r\n\r\n{smuggled}"),
    ] {
        let request = format!("POST /v1/transactions HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{framing}");
        let answer = raw(&served, request.as_bytes()).await.expect("an answer");
        assert_eq!(answer.status, 400, "{framing}");
    }
}

#[tokio::test]
async fn a_body_that_is_refused_early_ends_in_an_answer_and_not_in_a_reset() {
    let served = Served::new().await;
    let request = octets("/v1/transactions", vec![0; TRANSACTION_BODY_BYTES_MAX + (200 << 10)]).bytes();
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(&request).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("the end, not a reset");
    let answer = parse(&bytes).unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (413, "body-too-large"));
}

#[tokio::test]
async fn many_idle_connections_do_not_keep_others_out() {
    let served = Served::new().await;
    let mut idle = Vec::new();
    for _ in 0..2_000 {
        idle.push(TcpStream::connect(served.address).await.unwrap());
    }
    assert_serves(&served).await;
}

#[tokio::test]
async fn a_kept_alive_connection_serves_request_after_request() {
    let served = Served::new().await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let request = Request { method: "GET".to_owned(), ..get("/v1/chain") };
    let bytes = String::from_utf8(request.bytes()).unwrap().replace("connection: close\r\n", "");
    for _ in 0..5 {
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while parse(&head).is_none_or(|answer| {
            let length: usize = answer.header("content-length").unwrap().parse().unwrap();
            answer.body.len() < length
        }) {
            let count = stream.read_buf(&mut head).await.unwrap();
            assert!(count > 0);
        }
        assert_eq!(parse(&head).unwrap().status, 200);
    }
    // A head that is no HTTP after good ones gets its problem as well.
    stream.write_all(b"NONSENSE\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(parse(&rest).unwrap().code(), "head-malformed");
}
