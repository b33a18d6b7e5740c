//! Clients that send too much, nonsense, forgeries, the same again, or hardly anything at all.

use std::time::Duration;

use galen_client::Wait;
use galen_testnet::PlanOptions;
use galen_types::request_signature::{RequestSignature, SignedParts};
use galen_types::{AccountName, Hash, Signer, Timestamp};
use tokio::io::AsyncWriteExt as _;
use tokio::time::sleep;

use crate::support::{Cluster, PATIENCE, VOTERS, eventually, noise, publication, raw_http};

const TRANSACTIONS: &str = "/v1/transactions";

/// That every node lives and a transaction still comes through at each.
async fn assert_all_live(cluster: &Cluster) {
    for node in &cluster.nodes() {
        assert!(cluster.process(node).is_some(), "{node} ended");
        let client = cluster.client(node, "owner@harlem");
        eventually("the node is ready", PATIENCE, async || client.ready().await.ok()).await;
        let status = client.apply(publication(), Wait::Certified).await.unwrap();
        assert!(status.height.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_with_a_code_and_hurts_nobody() {
    let cluster = Cluster::start(PlanOptions::default()).await;
    let port = cluster.testnet.node(VOTERS[0]).unwrap().http_port;
    let client = cluster.client(VOTERS[0], "owner@harlem");
    let slow = tokio::spawn(slow_clients(port));

    // Too much: by what is announced, and by what the chain allows.
    let oversized = raw_http::post(port, TRANSACTIONS, &vec![7; 600 << 10]).await;
    assert_eq!(oversized.status, 413, "{oversized:?}");
    oversized.code();
    let long_target = format!("/v1/chain?{}", "x".repeat(40 << 10));
    let answer = raw_http::send(port, format!("GET {long_target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await;
    assert!(matches!(answer.status, 414 | 431), "{answer:?}");

    // Nonsense.
    let malformed = raw_http::post(port, TRANSACTIONS, &noise("transaction", 200)).await;
    assert_eq!((malformed.status, malformed.code().as_str()), (400, "encoding-malformed"));
    let empty = raw_http::post(port, TRANSACTIONS, &[]).await;
    assert_eq!(empty.status, 400, "{empty:?}");
    let target = format!("{TRANSACTIONS}?wait=forever");
    assert_eq!(raw_http::post(port, &target, &[0]).await.status, 400);
    assert_eq!(raw_http::send(port, b"\x16\x03\x01 nonsense\r\n\r\n").await.status, 400);

    // Forged: one bit of the signature is another.
    let prepared = client.prepare(publication()).await.unwrap();
    let mut forged = prepared.bytes.to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let answer = raw_http::post(port, TRANSACTIONS, &forged).await;
    assert_eq!(answer.status, 401, "{answer:?}");

    // The same again, to any node: the first receipt.
    let first = client.send(&prepared, Wait::Certified).await.unwrap();
    for node in VOTERS {
        let again = cluster.client(node, "owner@harlem").send(&prepared, Wait::Certified).await.unwrap();
        assert_eq!((again.height, again.index, &again.receipt), (first.height, first.index, &first.receipt));
    }

    // An authenticated request is taken once.
    let authorization = signed_get(&cluster, "owner@harlem", "/v1/members");
    assert_eq!(raw_http::get(port, "/v1/members", &authorization).await.status, 200);
    let replayed = raw_http::get(port, "/v1/members", &authorization).await;
    assert_eq!(replayed.status, 401, "{replayed:?}");
    let elsewhere = signed_get(&cluster, "owner@harlem", "/v1/members");
    assert_eq!(raw_http::get(port, "/v1/accounts", &elsewhere).await.status, 401, "signed for another target");

    assert_all_live(&cluster).await;
    slow.await.unwrap();
    assert_all_live(&cluster).await;
}

/// Many clients that announce a body and send next to nothing of it; each is told or cut off.
async fn slow_clients(port: u16) {
    let mut streams = Vec::new();
    for _ in 0..100 {
        let mut stream = raw_http::connect(port).await;
        let head = format!(
            "POST {TRANSACTIONS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: 5000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        streams.push(stream);
    }
    // A byte a second is no progress.
    for _ in 0..3 {
        for stream in &mut streams {
            stream.write_all(b"x").await.unwrap();
        }
        sleep(Duration::from_secs(1)).await;
    }
    for mut stream in streams {
        let answer = raw_http::until_closed(&mut stream).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 408"), "{text}");
    }
}

fn signed_get(cluster: &Cluster, account: &str, path: &str) -> String {
    let account: AccountName = account.parse().unwrap();
    let keys = cluster.testnet.plan().keys_of(&Signer::Account(account.clone()));
    let parts = SignedParts {
        genesis: &cluster.testnet.genesis_hash(),
        node: &VOTERS[0].parse().unwrap(),
        method: "GET",
        path,
        body: &Hash(*blake3::hash(b"").as_bytes()),
    };
    let now = Timestamp::now();
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&now.0.to_le_bytes());
    nonce[8..].copy_from_slice(&blake3::hash(path.as_bytes()).as_bytes()[..8]);
    RequestSignature::sign(&parts, account, now, nonce, &keys.signing).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn random_bytes_at_every_port_end_no_node() {
    let cluster = Cluster::start(PlanOptions::default()).await;
    for node in &cluster.testnet.plan().nodes {
        for port in [node.http_port, node.network_port, node.files_port] {
            for turn in 0..12 {
                let mut stream = raw_http::connect(port).await;
                let bytes = noise(&format!("{port} {turn}"), 1 << turn);
                // The node may cut the connection at any byte.
                let _ = stream.write_all(&bytes).await;
                // The start of libp2p's negotiation, then noise: one layer deeper.
                let mut deeper = raw_http::connect(port).await;
                let opening = [b"\x13/multistream/1.0.0\n\x07/noise\n".as_slice(), &bytes].concat();
                let _ = deeper.write_all(&opening).await;
            }
        }
    }
    assert_all_live(&cluster).await;
}
