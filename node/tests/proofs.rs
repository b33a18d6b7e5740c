//! Proofs of the state of earlier heights, from the snapshots that a real node keeps.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests assert by panicking")]

mod support;

use galen_client::Wait;
use galen_types::member::{NewAccount, Role};
use galen_types::{Call, Provable, Slug};
use galen_verifier::{Fact, Trust, verify};

use support::{Consortium, keys_of, name};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_proves_the_state_of_the_heights_whose_snapshots_it_keeps() {
    let consortium = Consortium::start().await;
    let admin = consortium.client("admin@harlem");
    let genesis = admin.genesis().await.unwrap().hash();
    let add = |number: u64| {
        let keys = keys_of(&format!("filler-{number}"));
        Call::AddAccount(NewAccount {
            account: name::<Slug>(&format!("filler-{number}")),
            key: keys.public_key(),
            encryption_key: keys.encryption_key(),
            roles: vec![Role::Researcher],
        })
    };
    admin.apply(add(1), Wait::Certified).await.unwrap();
    let kept = admin.snapshot().await.unwrap().height;
    admin.apply(add(2), Wait::Certified).await.unwrap();
    let names: Vec<Provable> = ["account:filler-1@harlem", "account:filler-2@harlem"].map(name).to_vec();
    let trust = Trust { genesis: genesis.0, recoveries: Vec::new() };
    let then = verify(&admin.state_proof(&names, Some(kept)).await.unwrap(), &trust).unwrap();
    assert_eq!(then.block.height, kept);
    assert!(matches!(then.facts.as_slice(), [Fact::Present { .. }, Fact::Absent { .. }]), "{then}");
    let now = verify(&admin.state_proof(&names, None).await.unwrap(), &trust).unwrap();
    assert!(now.block.height > kept);
    assert!(matches!(now.facts.as_slice(), [Fact::Present { .. }, Fact::Present { .. }]), "{now}");
    let error = admin.state_proof(&names, Some(kept + 1_000)).await.unwrap_err();
    assert_eq!(error.code(), "proof-state-not-held");
    assert!(error.to_string().contains("yet"), "{error}");
    consortium.stop().await;
}
