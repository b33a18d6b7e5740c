//! Files in and out.

use bytes::Bytes;
use galen_types::access::GrantLimits;
use galen_types::vocabulary::{Action, Purpose};
use galen_types::{Call, Hash, RequestId, Timestamp};
use serde_json::json;

use super::client::{Answer, Request, get, json as json_request, octets};
use super::visible::terms;
use super::world::{Served, content, name};

fn file() -> Bytes {
    (0..5_000_u32).map(|number| (number % 251) as u8).collect::<Vec<_>>().into()
}

fn upload(served: &Served, body: &Bytes, bytes: usize) -> Request {
    let hash = Hash(*blake3::hash(body).as_bytes());
    octets(&format!("/v1/files?ciphertext={hash}&bytes={bytes}"), body.to_vec()).signed_for(
        served,
        "owner@harlem",
        &hash,
        Timestamp::now(),
    )
}

#[tokio::test]
async fn an_upload_must_be_what_was_announced() {
    let served = Served::new().await;
    let file = file();
    assert_eq!(upload(&served, &file, file.len()).send(&served).await.status, 201);
    let longer = upload(&served, &file, file.len() + 1);
    assert_eq!(longer.send(&served).await.code(), "body-length-differs");
    let ends_early = upload(&served, &file, file.len() + 1).chunked(1000).send(&served).await;
    assert_eq!((ends_early.status, ends_early.code().as_str()), (400, "upload-broken"));
    let brings_more = upload(&served, &file, file.len() - 1).chunked(1000).send(&served).await;
    assert_eq!(brings_more.code(), "upload-broken");
    let mut altered = upload(&served, &file, file.len());
    altered.body[7] ^= 1;
    assert_eq!(altered.send(&served).await.code(), "upload-hash-differs");
    let hash = Hash::ZERO;
    let huge = octets(&format!("/v1/files?ciphertext={hash}&bytes={}", u64::MAX), Vec::new()).signed_for(
        &served,
        "owner@harlem",
        &hash,
        Timestamp::now(),
    );
    assert_eq!(huge.send(&served).await.code(), "body-too-large");
    let unsaid = octets("/v1/files?bytes=1", Vec::new()).signed(&served, "owner@harlem").send(&served).await;
    assert_eq!(unsaid.code(), "parameter-missing");
}

#[tokio::test]
async fn a_key_is_deposited_for_an_own_dataset() {
    let served = Served::new().await;
    let file = file();
    upload(&served, &file, file.len()).send(&served).await;
    let hash = content(&file).ciphertext;
    let deposit = async |dataset: &str| {
        let body = json!({"dataset": dataset, "wrapped_key": "AAAA", "plaintext": hash, "plaintext_bytes": 10});
        let request = json_request("PUT", &format!("/v1/files/{hash}/key"), &body);
        request.signed(&served, "owner@harlem").send(&served).await
    };
    let answer = deposit("harlem/opt").await;
    assert_eq!((answer.status, answer.json()["ciphertext"].as_str()), (200, Some(hash.to_string().as_str())));
    assert_eq!(deposit("kentucky/opt").await.code(), "parameter-invalid");
}

#[tokio::test]
async fn a_file_is_given_out_to_its_grantee_against_the_certified_receipt() {
    let served = Served::new().await;
    let world = &served.world;
    let file = file();
    world.stored.lock().unwrap().insert(content(&file).ciphertext, file.clone());
    let publish = Call::PublishDataset { dataset: name("opt"), content: content(&file), discoverable: true };
    world.done("owner@harlem", publish);
    let download = || Call::Download { version: name("harlem/opt@1"), purpose: Purpose::HealthcareResearch };
    let ask = async |account: &str, target: &str| get(target).signed(&served, account).send(&served).await;

    // Refused by the chain: recorded, and the receipt releases nothing but the rule's name.
    let bytes = world.transaction("researcher@kentucky", download());
    let refused = octets("/v1/transactions", bytes).send(&served).await;
    assert_eq!((refused.status, refused.json()["receipt"]["outcome"]["status"].as_str()), (200, Some("refused")));
    let id = refused.json()["id"].as_str().unwrap().to_owned();
    let answer = ask("researcher@kentucky", &format!("/v1/downloads/{id}")).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "receipt-refused"));
    assert!(answer.json()["detail"].as_str().unwrap().contains("nothing-permits"), "{answer:?}");

    let terms = terms(Action::Download);
    let request = Call::RequestAccess { dataset: name("harlem/opt"), terms, draft: false };
    let request = RequestId(world.done("researcher@kentucky", request));
    world.done("owner@harlem", Call::ApproveRequest { request, limits: GrantLimits::default() });
    *world.uncertified.lock().unwrap() = true;
    let id = world.done("researcher@kentucky", download());
    let (ticket, target) = (format!("/v1/downloads/{id}"), format!("/v1/downloads/{id}/content"));
    for target in [&ticket, &target] {
        let early = ask("researcher@kentucky", target).await;
        assert_eq!((early.status, early.code().as_str()), (409, "receipt-not-certified"));
    }
    world.certify();
    assert_eq!(ask("researcher@kentucky", &ticket).await.json()["version"], "harlem/opt@1");
    let whole = ask("researcher@kentucky", &target).await;
    assert_eq!((whole.status, whole.body.as_slice()), (200, file.as_ref()));
    assert_eq!(whole.header("content-length"), Some("5000"));

    let part = async |range: &str| -> Answer {
        get(&target).header("range", range).signed(&served, "researcher@kentucky").send(&served).await
    };
    let middle = part("bytes=1000-2999").await;
    assert_eq!((middle.status, middle.body.as_slice()), (206, &file[1000..3000]));
    assert_eq!(middle.header("content-range"), Some("bytes 1000-2999/5000"));
    assert_eq!(part("bytes=-10").await.body, file[4990..]);
    assert_eq!(part("bytes=5000-").await.code(), "range-invalid");
    assert_eq!(part("bytes=9-1").await.status, 416);

    // For everyone else there is no such download.
    for account in ["owner@harlem", "owner@kentucky", "auditor@harlem", "admin@kentucky"] {
        assert_eq!(ask(account, &target).await.status, 404, "{account}");
    }
    let other = ask("researcher@kentucky", &format!("/v1/downloads/{}/content", request)).await;
    assert_eq!(other.status, 404, "a receipt of another call releases nothing");
}

#[tokio::test]
async fn stored_files_are_verified_at_their_members_node() {
    let served = Served::new().await;
    for member in ["harlem", "kentucky"] {
        let call = Call::PublishDataset { dataset: name("opt"), content: content(&file()), discoverable: true };
        served.world.done(&format!("owner@{member}"), call);
    }
    let verify = async |account: &str, dataset: &str| {
        let mut request = get(&format!("/v1/datasets/{dataset}/verify"));
        request.method = "POST".to_owned();
        request.signed(&served, account).send(&served).await
    };
    assert_eq!(verify("owner@harlem", "harlem/opt").await.status, 200);
    assert_eq!(verify("auditor@harlem", "harlem/opt").await.status, 200);
    assert_eq!(verify("researcher@harlem", "harlem/opt").await.code(), "role-missing");
    assert_eq!(verify("owner@harlem", "harlem/absent").await.code(), "not-found");
    assert_eq!(verify("owner@kentucky", "kentucky/opt").await.code(), "wrong-member");
    assert_eq!(verify("owner@kentucky", "harlem/opt").await.code(), "not-found");
}
