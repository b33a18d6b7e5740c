//! The client against a server that answers as told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests assert by panicking")]

mod support;

use std::time::Duration;

use futures::StreamExt as _;
use galen_client::{Client, ClientConfig, ClientError, EventKind, Timeouts, Wait};
use galen_keys::KeyPair;
use galen_types::api::StreamEvent;
use galen_types::request_signature::{RequestSignature, SignedParts};
use galen_types::{Call, DecodedTransaction, Hash, JobId};
use support::{Answer, Server, chain_status, job_detail, status_of};

fn keys() -> KeyPair {
    KeyPair::from_seed(&[7; 32])
}

fn client(server: &Server, validity: Duration) -> Client {
    let mut config = ClientConfig::new(&server.url).with_account("alice@harlem".parse().unwrap(), keys());
    config.timeouts = Timeouts { validity, unreachable: Duration::from_millis(200), ..Timeouts::default() };
    Client::new(config).unwrap()
}

fn call() -> Call {
    Call::ReadResult { job: JobId(Hash([3; 32])) }
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_problem_document_becomes_a_typed_error() {
    let server = Server::start(|_| Answer::problem(404, "dataset-unknown", "there is no such dataset")).await;
    let error = client(&server, LONG).chain().await.unwrap_err();
    assert_eq!(error.code(), "dataset-unknown");
    assert_eq!(error.to_string(), "there is no such dataset");
    assert_eq!(error.hint(), Some("look again"));
}

#[tokio::test]
async fn an_answer_without_a_problem_document_is_still_explained() {
    let server = Server::start(|_| Answer::new(502, "text/html", "<h1>Bad gateway</h1>")).await;
    let error = client(&server, LONG).chain().await.unwrap_err();
    assert_eq!(error.code(), "http-status");
    assert!(error.to_string().contains("502"), "{error}");
}

#[tokio::test]
async fn an_unreadable_answer_is_an_error_and_not_a_panic() {
    let server = Server::start(|_| Answer::new(200, "application/json", "{\"chain\":")).await;
    assert_eq!(client(&server, LONG).chain().await.unwrap_err().code(), "client-answer-unreadable");
}

#[tokio::test]
async fn a_node_that_takes_no_connection_is_unreachable() {
    let server = Server::start(|_| Answer::Drop).await;
    let url = server.url.clone();
    server.stop().await;
    let error = Client::new(ClientConfig::new(&url)).unwrap().chain().await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_node_of_another_chain_is_refused_before_anything_is_signed_for_it() {
    let server = Server::start(|_| chain_status()).await;
    let mut config = ClientConfig::new(&server.url).with_account("alice@harlem".parse().unwrap(), keys());
    config.genesis = Some(Hash([1; 32]));
    let error = Client::new(config).unwrap().members(galen_client::Paging::default()).await.unwrap_err();
    assert_eq!(error.code(), "client-integrity");
    assert_eq!(server.paths(), ["/v1/chain"]);
}

#[tokio::test]
async fn requests_are_signed_over_path_query_and_body() {
    let server = Server::start(|request| match request.path.as_str() {
        "/v1/chain" => chain_status(),
        _ => Answer::json(&serde_json::json!({"height": 1, "items": []})),
    })
    .await;
    let search = galen_types::api::DatasetSearch { text: Some("birth weight & more".to_owned()), ..Default::default() };
    client(&server, LONG).datasets(search).await.unwrap();
    let request = server.requests().pop().unwrap();
    assert_eq!(request.path, "/v1/datasets?text=birth+weight+%26+more");
    let signature: RequestSignature = request.authorization.unwrap().parse().unwrap();
    let body = Hash(*blake3::hash(b"").as_bytes());
    let node = "node-1.harlem".parse().unwrap();
    let parts =
        SignedParts { genesis: &support::genesis(), node: &node, method: "GET", path: &request.path, body: &body };
    signature.verify(&parts, &keys().public_key()).unwrap();
}

#[tokio::test]
async fn the_same_bytes_are_sent_again_when_the_connection_breaks_or_the_node_has_no_leader() {
    let server = Server::start(|request| match (request.path.as_str(), request.number) {
        ("/v1/chain", _) => chain_status(),
        (_, 1) => Answer::Drop,
        (_, 2) => Answer::problem(503, "no-leader", "there is no leader now"),
        _ => status_of(&request.body, "applied"),
    })
    .await;
    let status = client(&server, LONG).submit(call(), Wait::Committed).await.unwrap();
    let sent: Vec<_> = server.requests().into_iter().filter(|request| request.path != "/v1/chain").collect();
    assert_eq!(sent.len(), 3);
    assert!(sent.windows(2).all(|pair| pair[0].body == pair[1].body));
    assert!(sent.iter().all(|request| request.path.starts_with("/v1/transactions?wait=committed&timeout_ms=")));
    let decoded = DecodedTransaction::decode(sent[0].body.clone(), 1 << 20).unwrap();
    assert_eq!(decoded.id, status.id);
    decoded.verify(&keys().public_key()).unwrap();
    assert_eq!(decoded.body.chain, support::genesis());
}

#[tokio::test]
async fn two_submissions_of_one_call_have_different_ids() {
    let server = Server::start(|_| chain_status()).await;
    let client = client(&server, LONG);
    let (first, second) = (client.prepare(call()).await.unwrap(), client.prepare(call()).await.unwrap());
    assert_ne!(first.id, second.id);
}

#[tokio::test]
async fn a_transaction_whose_receipt_never_comes_has_an_unknown_outcome_with_its_id() {
    let server = Server::start(|request| match request.path.as_str() {
        "/v1/chain" => chain_status(),
        path if path.starts_with("/v1/transactions?") => Answer::problem(504, "outcome-unknown", "no receipt in time"),
        _ => Answer::problem(404, "transaction-unknown", "there is no such transaction"),
    })
    .await;
    let client = client(&server, Duration::from_millis(300));
    let prepared = client.prepare(call()).await.unwrap();
    match client.send(&prepared, Wait::Committed).await.unwrap_err() {
        ClientError::OutcomeUnknown { id } => assert_eq!(id, prepared.id),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_receipt_found_by_id_settles_what_no_answer_told() {
    let server = Server::start(|request| match request.path.as_str() {
        "/v1/chain" => chain_status(),
        path if path.starts_with("/v1/transactions?") => Answer::Drop,
        path => support::status_by_path(path, "applied"),
    })
    .await;
    let client = client(&server, Duration::from_millis(300));
    assert!(client.submit(call(), Wait::Committed).await.unwrap().receipt.unwrap().is_applied());
}

#[tokio::test]
async fn a_transaction_that_was_certainly_not_taken_is_no_unknown_outcome() {
    let server = Server::start(|request| match request.path.as_str() {
        "/v1/chain" => chain_status(),
        _ => Answer::problem(401, "signature-invalid", "the signature does not verify"),
    })
    .await;
    let error = client(&server, LONG).submit(call(), Wait::Committed).await.unwrap_err();
    assert_eq!(error.code(), "signature-invalid");
}

#[tokio::test]
async fn a_node_that_was_never_reached_is_given_up_soon() {
    let server = Server::start(|_| chain_status()).await;
    let client = client(&server, LONG);
    let prepared = client.prepare(call()).await.unwrap();
    server.stop().await;
    let error = client.send(&prepared, Wait::Committed).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_recorded_refusal_is_an_answer_to_submit_and_an_error_to_apply() {
    let server = Server::start(|request| match request.path.as_str() {
        "/v1/chain" => chain_status(),
        _ => status_of(&request.body, "refused"),
    })
    .await;
    let client = client(&server, LONG);
    assert!(!client.submit(call(), Wait::Committed).await.unwrap().receipt.unwrap().is_applied());
    let error = client.apply(call(), Wait::Committed).await.unwrap_err();
    assert!(matches!(error, ClientError::Denied { .. }));
    assert_eq!(error.to_string(), "denied by rule `job-not-yours`: the job was submitted by bob@harlem");
}

#[tokio::test]
async fn what_needs_an_account_is_not_sent_without_one() {
    let server = Server::start(|_| chain_status()).await;
    let client = Client::new(ClientConfig::new(&server.url)).unwrap();
    assert_eq!(client.peers().await.unwrap_err().code(), "client-no-account");
    assert!(server.paths().is_empty());
}

#[tokio::test]
async fn events_arrive_until_the_stream_ends() {
    let server = Server::start(|request| match request.path.as_str() {
        "/v1/chain" => chain_status(),
        _ => Answer::new(
            200,
            "text/event-stream",
            ": open\n\nevent: certified\ndata: {\"event\":\"certified\",\"height\":4}\n\nevent: certified\ndata: {\"event\":\"certified\",\"height\":9}\n\n",
        ),
    })
    .await;
    let events = client(&server, LONG).events(&[EventKind::Certified, EventKind::Job]).await.unwrap();
    let events: Vec<_> = events.map(Result::unwrap).collect().await;
    assert_eq!(events, [StreamEvent::Certified { height: 4 }, StreamEvent::Certified { height: 9 }]);
    assert_eq!(server.paths().last().unwrap(), "/v1/events?kinds=certified%2Cjob");
}

/// A node where one job finished; its result is `document`, its digest on the chain that of `{"tables":[]}`.
async fn result_server(document: &'static str) -> Server {
    Server::start(move |request| match request.path.as_str() {
        "/v1/chain" => chain_status(),
        path if path.starts_with("/v1/transactions?") => status_of(&request.body, "applied"),
        // The node that holds the result sees the certificate a moment later.
        path if path.contains("/result?receipt=") && request.number == 1 => {
            Answer::problem(503, "receipt-unknown", "there is no such receipt yet")
        }
        path if path.contains("/result?receipt=") => Answer::new(200, "application/json", document),
        _ => job_detail(b"{\"tables\":[]}"),
    })
    .await
}

#[tokio::test]
async fn a_result_is_given_out_only_when_its_digest_is_the_chains() {
    let server = result_server("{\"tables\":[]}").await;
    let result = client(&server, LONG).job_result(JobId(Hash([3; 32]))).await.unwrap();
    assert_eq!(&result.document[..], b"{\"tables\":[]}");
    assert!(server.paths().iter().any(|path| path.starts_with("/v1/transactions?wait=certified")));

    let server = result_server("{\"tables\":[1]}").await;
    let error = client(&server, LONG).job_result(JobId(Hash([3; 32]))).await.unwrap_err();
    assert_eq!(error.code(), "client-integrity");
}
