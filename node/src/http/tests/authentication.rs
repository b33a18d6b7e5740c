//! Who is let in, and who is not.

use galen_types::{Hash, Timestamp};

use super::client::{get, octets};
use super::world::Served;

fn empty() -> Hash {
    Hash(*blake3::hash(b"").as_bytes())
}

#[tokio::test]
async fn a_signature_covers_the_whole_request() {
    let served = Served::new().await;
    let sound = get("/v1/members?limit=2").signed(&served, "owner@harlem");
    assert_eq!(sound.send(&served).await.status, 200);

    let mut other_target = get("/v1/members?limit=2").signed(&served, "owner@harlem");
    other_target.target = "/v1/members?limit=3".to_owned();
    assert_eq!(other_target.send(&served).await.code(), "authentication-failed");

    let mut other_method = get("/v1/transactions/batch").signed(&served, "owner@harlem");
    other_method.target = "/v1/datasets/harlem/opt/verify".to_owned();
    other_method.method = "POST".to_owned();
    assert_eq!(other_method.send(&served).await.code(), "authentication-failed");

    let other_node =
        get("/v1/members").signed_to("node-1.kentucky", &served, "owner@harlem", &empty(), Timestamp::now());
    assert_eq!(other_node.send(&served).await.code(), "authentication-failed");

    let other_body = get("/v1/members").signed_for(&served, "owner@harlem", &Hash::ZERO, Timestamp::now());
    let answer = other_body.send(&served).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "authentication-failed"));
    assert!(answer.json()["hint"].as_str().unwrap().contains("key file"));
}

#[tokio::test]
async fn a_request_is_taken_once() {
    let served = Served::new().await;
    let request = get("/v1/members").signed(&served, "owner@harlem");
    assert_eq!(request.send(&served).await.status, 200);
    let answer = request.send(&served).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "request-replayed"));
}

#[tokio::test]
async fn a_request_of_another_time_is_refused() {
    let served = Served::new().await;
    let now = Timestamp::now();
    for time in [Timestamp(now.0 - 61_000), now.plus_ms(62_000), Timestamp(0), Timestamp(u64::MAX / 2)] {
        let answer = get("/v1/members").signed_for(&served, "owner@harlem", &empty(), time).send(&served).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "request-stale"), "{time}");
    }
    let before_start = Timestamp(now.0 - 30_000);
    let answer = get("/v1/members").signed_for(&served, "owner@harlem", &empty(), before_start).send(&served).await;
    assert_eq!(answer.code(), "request-stale", "its nonce may be known to the process before this one");
    let ahead = get("/v1/members").signed_for(&served, "owner@harlem", &empty(), now.plus_ms(30_000));
    assert_eq!(ahead.send(&served).await.status, 200);
}

#[tokio::test]
async fn strangers_and_impostors_are_told_apart_by_nobody() {
    let served = Served::new().await;
    let stranger = get("/v1/members").signed(&served, "stranger@harlem").send(&served).await;
    let mut impostor = get("/v1/members").signed(&served, "researcher@harlem");
    let header = impostor.headers.pop().unwrap().1.replace("researcher@harlem", "owner@harlem");
    let impostor = impostor.header("authorization", &header).send(&served).await;
    assert_eq!(stranger.json(), impostor.json());
    assert_eq!(stranger.code(), "authentication-failed");
}

#[tokio::test]
async fn malformed_headers_are_refused() {
    let served = Served::new().await;
    let long = "a".repeat(2000);
    for value in ["", "Galen", "Galen ", "Basic YTpi", "Galen account=a", "Galen time=, nonce=, signature=", &long] {
        let answer = get("/v1/members").header("authorization", value).send(&served).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "authentication-malformed"), "{value}");
    }
    let twice = get("/v1/members").signed(&served, "owner@harlem").signed(&served, "owner@harlem");
    assert_eq!(twice.send(&served).await.code(), "authentication-malformed");
    // Where a signature is optional, a wrong one is still refused.
    let id = Hash::ZERO;
    let answer = get(&format!("/v1/transactions/{id}")).header("authorization", "Galen x").send(&served).await;
    assert_eq!(answer.code(), "authentication-malformed");
}

#[tokio::test]
async fn an_upload_is_signed_over_the_hash_in_its_query() {
    let served = Served::new().await;
    let body = vec![5; 100_000];
    let hash = Hash(*blake3::hash(&body).as_bytes());
    let target = format!("/v1/files?ciphertext={hash}&bytes={}", body.len());
    let sign =
        |account: &str, hash: &Hash| octets(&target, body.clone()).signed_for(&served, account, hash, Timestamp::now());
    assert_eq!(sign("owner@harlem", &empty()).send(&served).await.code(), "authentication-failed");
    assert_eq!(sign("owner@kentucky", &hash).send(&served).await.code(), "wrong-member");
    let answer = sign("owner@harlem", &hash).send(&served).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.json()["ciphertext"], hash.to_string());
    assert_eq!(served.world.stored.lock().unwrap().get(&hash).unwrap().len(), body.len());
}
