//! Joining, and operating a node, against a server that answers as told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests assert by panicking")]

mod support;

use galen_client::{Client, ClientConfig};
use galen_keys::KeyPair;
use galen_types::{Hash, ProposalId};
use support::{Answer, Server, chain_status};

fn stranger(server: &Server) -> Client {
    Client::new(ClientConfig::new(&server.url)).unwrap()
}

#[tokio::test]
async fn where_an_application_stands_is_asked_without_an_account() {
    let id = ProposalId(Hash([5; 32]));
    let server = Server::start(move |_| {
        Answer::json(&serde_json::json!({
            "proposal": id, "state": "pending", "member": "ohio", "node": "node-1.ohio",
            "ballots": {"approvals": 1, "rejections": 0, "approvals_needed": 3, "members": 4},
            "closes": "2026-12-01T10:00:00.000Z", "height": 9, "node_time": "2026-11-21T10:00:00.000Z", "version": "0.1.0",
        }))
    })
    .await;
    let status = stranger(&server).join_status(id).await.unwrap();
    assert_eq!((status.state.as_str(), status.ballots.approvals_needed), ("pending", 3));
    let request = server.requests().remove(0);
    assert_eq!((request.path, request.authorization), (format!("/v1/join/{id}"), None));
}

#[tokio::test]
async fn a_founding_document_of_another_hash_is_not_believed() {
    let genesis = galen_types::Genesis {
        chain: "main".parse().unwrap(),
        founded: galen_types::Timestamp(0),
        rules_version: 1,
        state_bucket_bits: 8,
        parameters: galen_types::Parameters::default(),
        members: Vec::new(),
    };
    let served = genesis.clone();
    let server = Server::start(move |request| match request.path.as_str() {
        "/v1/chain" => chain_status(),
        _ => Answer::json(&served),
    })
    .await;
    // The status names another chain than the document founds.
    assert_ne!(support::genesis(), genesis.hash());
    assert_eq!(stranger(&server).checked_genesis().await.unwrap_err().code(), "client-integrity");
}

#[tokio::test]
async fn operators_orders_are_signed_and_are_not_repeated() {
    let server = Server::start(|request| match request.path.as_str() {
        "/v1/chain" => chain_status(),
        "/v1/node/leader-transfer" => Answer::json(&serde_json::json!({"leader": "node-1.kentucky"})),
        _ => Answer::Drop,
    })
    .await;
    let config =
        ClientConfig::new(&server.url).with_account("admin@harlem".parse().unwrap(), KeyPair::from_seed(&[7; 32]));
    let client = Client::new(config).unwrap();
    let made = client.transfer_leadership(Some("node-1.kentucky".parse().unwrap())).await.unwrap();
    assert_eq!(made.leader.to_string(), "node-1.kentucky");
    let request = server.requests().pop().unwrap();
    assert_eq!(request.body, br#"{"to":"node-1.kentucky"}"#);
    assert!(request.authorization.unwrap().starts_with("Galen account=admin@harlem"));
    assert_eq!(client.snapshot().await.unwrap_err().code(), "client-unreachable");
    assert_eq!(server.paths().iter().filter(|path| *path == "/v1/node/snapshot").count(), 1);
}
