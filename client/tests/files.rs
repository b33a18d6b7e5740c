//! Publishing and downloading files against a server that plays the node.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests assert by panicking")]

mod support;

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use galen_client::{Client, ClientConfig, ClientError, Downloaded, Publication, silent};
use galen_filestore::{EncryptedDigest, FileKey, WrappedKey, decrypt, encrypt, unwrap_key, wrap_key};
use galen_keys::KeyPair;
use galen_types::api::FileKeyDeposit;
use galen_types::vocabulary::Purpose;
use galen_types::{Call, DecodedTransaction, Hash};
use serde_json::json;
use support::{Answer, Request, Server, chain_status, status_of};

fn keys() -> KeyPair {
    KeyPair::from_seed(&[7; 32])
}

fn client(server: &Server) -> Client {
    Client::new(ClientConfig::new(&server.url).with_account("alice@harlem".parse().unwrap(), keys())).unwrap()
}

fn table() -> Vec<u8> {
    let mut text = "Age,Group\n".to_owned();
    for row in 0..30_000 {
        text.push_str(&format!("{},{}\n", 18 + row % 30, if row % 2 == 0 { "C" } else { "T" }));
    }
    text.into_bytes()
}

fn content(digest: &EncryptedDigest) -> serde_json::Value {
    json!({
        "commitment": Hash([1; 32]), "ciphertext": digest.ciphertext, "ciphertext_sha256": digest.ciphertext_sha256,
        "ciphertext_bytes": digest.ciphertext_bytes, "plaintext_bytes": digest.plaintext_bytes, "format": "csv",
        "rows": 30_000, "columns": [{"name": "Age", "kind": "number"}, {"name": "Group", "kind": "text"}],
        "data_use": [], "card": null,
    })
}

/// Plays the node's part of a publication: stores the ciphertext, decrypts it with the deposited key.
fn publishing_node(lie: bool) -> impl Fn(&Request) -> Answer + Send + Sync {
    let stored = std::sync::Mutex::new(Vec::new());
    move |request| match (request.method.as_str(), request.path.as_str()) {
        (_, "/v1/chain") => chain_status(),
        ("POST", path) if path.starts_with("/v1/files?") => {
            let hash = Hash(*blake3::hash(&request.body).as_bytes());
            let announced = format!("/v1/files?ciphertext={hash}&bytes={}", request.body.len());
            assert_eq!(path, announced);
            *stored.lock().unwrap() = request.body.clone();
            Answer::json(&json!({"ciphertext": hash, "ciphertext_bytes": request.body.len()}))
        }
        ("PUT", path) => {
            let ciphertext = stored.lock().unwrap().clone();
            let hash = Hash(*blake3::hash(&ciphertext).as_bytes());
            assert_eq!(path, format!("/v1/files/{hash}/key"));
            let deposit: FileKeyDeposit = serde_json::from_slice(&request.body).unwrap();
            let wrapped = WrappedKey::from_bytes(&BASE64.decode(&deposit.wrapped_key).unwrap()).unwrap();
            let node = KeyPair::from_seed(&[42; 32]);
            let key = unwrap_key(&wrapped, node.encryption_secret(), &hash).unwrap();
            let mut plaintext = Vec::new();
            let digest = futures::executor::block_on(decrypt(&ciphertext[..], &mut plaintext, &key)).unwrap();
            assert_eq!(digest.hash, deposit.plaintext);
            assert_eq!(plaintext, table());
            let found = EncryptedDigest {
                ciphertext: if lie { Hash([0; 32]) } else { hash },
                ciphertext_sha256: sha256(&ciphertext),
                ciphertext_bytes: ciphertext.len() as u64,
                plaintext_bytes: digest.bytes,
                plaintext_hash: digest.hash,
            };
            Answer::json(&content(&found))
        }
        _ => status_of(&request.body, "applied"),
    }
}

/// SHA-256 as the client must arrive at it, by encrypting nothing but hashing the same bytes.
fn sha256(bytes: &[u8]) -> Hash {
    use sha2::Digest as _;
    Hash(sha2::Sha256::digest(bytes).into())
}

fn publication(folder: &Path) -> Publication {
    Publication {
        dataset: "harlem/opt".parse().unwrap(),
        previous: None,
        data_use: vec![galen_types::vocabulary::DataUse { term: "GRU".parse().unwrap(), parameter: None }],
        card: None,
        discoverable: true,
        temporary_folder: Some(folder.to_owned()),
    }
}

#[tokio::test]
async fn a_published_file_reaches_the_node_encrypted_and_the_chain_with_its_terms() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("opt.csv");
    std::fs::write(&path, table()).unwrap();
    let server = Server::start(publishing_node(false)).await;
    let published = client(&server).publish_file(&path, publication(folder.path()), &silent()).await.unwrap();
    assert_eq!(published.version.to_string(), "harlem/opt@1");

    let requests = server.requests();
    let transaction = requests.iter().find(|request| request.path.starts_with("/v1/transactions")).unwrap();
    let decoded = DecodedTransaction::decode(transaction.body.clone(), 1 << 20).unwrap();
    let Call::PublishDataset { dataset, content, discoverable } = decoded.body.call else { panic!("another call") };
    assert_eq!((dataset.as_str(), discoverable), ("opt", true));
    assert_eq!(content.data_use.len(), 1);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["opt.csv"], "the temporary ciphertext is deleted");
}

#[tokio::test]
async fn a_node_that_read_another_file_gets_nothing_published() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("opt.csv");
    std::fs::write(&path, table()).unwrap();
    let server = Server::start(publishing_node(true)).await;
    let error = client(&server).publish_file(&path, publication(folder.path()), &silent()).await.unwrap_err();
    assert_eq!(error.code(), "client-integrity");
    assert!(!server.paths().iter().any(|path| path.starts_with("/v1/transactions")));
}

/// What the owner's node holds for a download.
struct Owned {
    ciphertext: Vec<u8>,
    digest: EncryptedDigest,
    wrapped: String,
}

async fn owned() -> Owned {
    let key = FileKey::generate().unwrap();
    let mut ciphertext = Vec::new();
    let digest = encrypt(&table()[..], &mut ciphertext, &key).await.unwrap();
    let wrapped = wrap_key(&key, &keys().encryption_key(), &digest.ciphertext).unwrap();
    Owned { ciphertext, digest, wrapped: BASE64.encode(wrapped.as_bytes()) }
}

fn owning_node(
    owned: Owned,
    serve: impl Fn(&Request, &[u8]) -> Answer + Send + Sync,
) -> impl Fn(&Request) -> Answer + Send + Sync {
    move |request| {
        let path = request.path.as_str();
        if path == "/v1/chain" {
            chain_status()
        } else if path.starts_with("/v1/transactions?") {
            status_of(&request.body, "applied")
        } else if path.ends_with("/content") {
            serve(request, &owned.ciphertext)
        } else if let Some(transaction) = path.strip_prefix("/v1/downloads/") {
            Answer::json(&json!({
                "transaction": transaction, "version": "kentucky/opt@2",
                "decision": {"effect": "permit", "basis": {"type": "own_data"}},
                "content": content(&owned.digest), "wrapped_key": owned.wrapped,
            }))
        } else {
            let version = |number| {
                json!({
                    "number": number, "content": content(&owned.digest), "publisher": "olga@kentucky",
                    "published": "2026-11-21T10:00:00.000Z", "state": "active", "reason": null, "tampering_reported": null,
                })
            };
            Answer::json(&json!({
                "height": 3,
                "dataset": {"name": "kentucky/opt", "latest": 2, "state": "active", "created": "2026-11-21T10:00:00.000Z"},
                "versions": [version(1), version(2)],
            }))
        }
    }
}

async fn download(server: &Server, target: &Path) -> Result<Downloaded, ClientError> {
    let version = "kentucky/opt@2".parse().unwrap();
    client(server).download(&version, Purpose::HealthcareResearch, target, &silent()).await
}

#[tokio::test]
async fn a_download_goes_on_where_its_connection_broke() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("opt.csv");
    let server = Server::start(owning_node(owned().await, |request, ciphertext| {
        let total = ciphertext.len();
        match &request.range {
            None => Answer::Broken { status: 200, headers: vec![], body: ciphertext.to_vec(), sent: total / 2 },
            Some(range) => {
                let start: usize = range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap();
                let headers = vec![("content-range".to_owned(), format!("bytes {start}-{}/{total}", total - 1))];
                Answer::Full { status: 206, headers, body: ciphertext[start..].to_vec() }
            }
        }
    }))
    .await;
    let downloaded = download(&server, &target).await.unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), table());
    assert_eq!(downloaded.plaintext_bytes, table().len() as u64);
    assert!(server.requests().iter().any(|request| request.range.is_some()));
}

#[tokio::test]
async fn a_node_that_ignores_ranges_starts_over_and_the_file_is_still_right() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("opt.csv");
    let server = Server::start(owning_node(owned().await, |request, ciphertext| match request.number {
        1 => Answer::Broken { status: 200, headers: vec![], body: ciphertext.to_vec(), sent: 100_000 },
        _ => Answer::new(200, "application/octet-stream", ciphertext),
    }))
    .await;
    download(&server, &target).await.unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), table());
}

#[tokio::test]
async fn a_changed_byte_is_found_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("opt.csv");
    let server = Server::start(owning_node(owned().await, |_, ciphertext| {
        let mut changed = ciphertext.to_vec();
        changed[70_000] ^= 1;
        Answer::new(200, "application/octet-stream", changed)
    }))
    .await;
    assert_eq!(download(&server, &target).await.unwrap_err().code(), "client-integrity");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_file_longer_than_the_chain_says_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("opt.csv");
    let server = Server::start(owning_node(owned().await, |_, ciphertext| {
        Answer::new(200, "application/octet-stream", [ciphertext, b"more"].concat())
    }))
    .await;
    assert_eq!(download(&server, &target).await.unwrap_err().code(), "client-integrity");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
