//! Proofs of random chains against what the ledger holds, and against the ledger's own proof code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests assert by panicking")]

mod support;

use galen_chain::recovery::HeldRecoveries;
use galen_chain::sync::{SyncAnswer, SyncRequest, verify_handovers};
use galen_contracts::keys;
use galen_ledger::StateProof;
use galen_types::proof::{Proof, Subject};
use galen_types::{Encoding, Hash, merkle};
use galen_verifier::{Fact, Verdict, hash_from_hex};
use support::{Chain, MEMBERS, Random, json, name, node_name};

/// Writes a random chain whose tip is certified; gives the recovery in it, if there is one.
fn write(chain: &mut Chain, random: &mut Random, blocks: u64, recovery: bool) -> Vec<Hash> {
    let mut recoveries = Vec::new();
    let middle = chain.height() + blocks / 2;
    let end = chain.height() + blocks;
    while chain.height() < end {
        match random.below(8) {
            0 | 1 => {
                // The last block of an epoch has a certificate of its own.
                let place = random.below(4);
                if recoveries.is_empty() || place < 2 {
                    let height = chain.rotate(place);
                    chain.certify(height);
                }
            }
            2 => {
                let grantee = format!("researcher@{}", MEMBERS[random.below(3)]);
                let dataset = format!("data-{}", chain.height());
                chain.grant(&dataset, &grantee);
            }
            _ => drop(chain.add_accounts(1 + random.below(9))),
        }
        if random.below(3) == 0 && chain.replica.ledger().certified_height() < chain.height() {
            chain.certify(chain.height());
        }
        if recovery && recoveries.is_empty() && chain.height() >= middle {
            // Nobody could certify what came last.
            chain.add_accounts(2);
            recoveries.push(chain.recover(&[0, 1]));
        }
    }
    if chain.replica.ledger().certified_height() < chain.height() {
        chain.certify(chain.height());
    }
    recoveries
}

fn check_block(chain: &Chain, verdict: &Verdict) {
    let header = chain.view().header(verdict.block.height).unwrap().unwrap();
    assert_eq!((verdict.block.hash, verdict.block.time_ms), (header.hash().0, header.time.0));
    assert_eq!(verdict.certificate.epoch, chain.view().header(verdict.certificate.height).unwrap().unwrap().epoch);
    assert!(verdict.certificate.signers.len() >= verdict.certificate.quorum);
}

#[test]
fn every_transaction_of_random_chains_is_proven_and_is_what_the_ledger_holds() {
    for seed in 0..6 {
        let (mut chain, mut random) = (Chain::new(), Random(seed));
        let recoveries = write(&mut chain, &mut random, 40, seed % 2 == 1);
        assert!(chain.epoch() >= 3, "seed {seed} changes voters");
        let mut across = 0;
        for id in &chain.transactions {
            let proof = chain.prove(id).unwrap();
            let verdict = chain.verify(&proof, &recoveries).unwrap();
            check_block(&chain, &verdict);
            let (location, receipt) = chain.view().receipt(id).unwrap().unwrap();
            assert_eq!(location.height, verdict.block.height);
            let [Fact::Recorded { transaction, body, receipt: told, receipt_bytes, bytes }] = verdict.facts.as_slice()
            else {
                panic!("{verdict}")
            };
            assert_eq!(*transaction, id.0.0);
            assert_eq!(*receipt_bytes, receipt.encode());
            assert_eq!(*bytes, chain.view().transaction_at(&location).unwrap().unwrap());
            let told = json(told.as_ref().unwrap());
            assert_eq!(serde_json::from_value::<galen_types::Receipt>(told).unwrap(), receipt);
            assert!(body.is_some());
            across += usize::from(!verdict.recoveries.is_empty());
            // The types' own reading of the paths.
            let Subject::Transaction(subject) = &proof.subject else { panic!() };
            let block = chain.view().block(location.height).unwrap().unwrap();
            let contents: Vec<&[u8]> = block.transactions.iter().map(Vec::as_slice).collect();
            let list = merkle::ListProof::of(&contents, location.index as usize).unwrap();
            assert!(list.proves(&subject.transaction, &block.header.transactions_root));
            let siblings: Vec<_> = subject.transaction_path.iter().map(|step| step.sibling).collect();
            assert_eq!(list.siblings, siblings);
        }
        assert_eq!(across > 0, !recoveries.is_empty());
    }
}

#[test]
fn every_key_of_random_chains_is_proven_as_the_ledger_holds_it() {
    for seed in 10..14 {
        let (mut chain, mut random) = (Chain::new(), Random(seed));
        let recoveries = write(&mut chain, &mut random, 30, seed % 2 == 1);
        let root = chain.replica.ledger().state_root().unwrap();
        let rows = chain.view().state_scan(&[], None, 10_000).unwrap();
        let absent = (0..200_u32).map(|number| [&[0x10][..], format!("nobody-{number}\0").as_bytes()].concat());
        let all: Vec<Vec<u8>> = rows.iter().map(|(key, _)| key.clone()).chain(absent).collect();
        for keys in all.chunks(7) {
            let proof = chain.prove_keys(keys).unwrap();
            let verdict = chain.verify(&proof, &recoveries).unwrap();
            check_block(&chain, &verdict);
            assert_eq!(verdict.block.height, chain.height());
            assert_eq!(verdict.facts.len(), keys.len());
            let Subject::State(parts) = &proof.subject else { panic!() };
            for ((asked, fact), part) in keys.iter().zip(&verdict.facts).zip(parts) {
                let held = chain.view().state_get(asked).unwrap();
                match fact {
                    Fact::Present { key, bytes, .. } => assert_eq!((key, Some(bytes)), (asked, held.as_ref())),
                    Fact::Absent { key, .. } => assert_eq!((key, None), (asked, held.as_ref())),
                    Fact::Recorded { .. } | Fact::Deviated { .. } => panic!(),
                }
                let own = StateProof { entries: part.entries.clone(), siblings: part.siblings.clone() };
                own.verify(&root, asked, held.as_deref()).unwrap();
            }
        }
    }
}

#[test]
fn voters_are_followed_as_the_replicas_follow_them() {
    let (mut chain, mut random) = (Chain::new(), Random(5));
    write(&mut chain, &mut random, 40, false);
    let id = chain.add_account("last");
    chain.certify(chain.height());
    let proof = chain.prove(&id).unwrap();
    let verdict = chain.verify(&proof, &[]).unwrap();
    assert_eq!(verdict.handovers as u64, chain.epoch());
    let answer = SyncAnswer::to_request(&SyncRequest::Handovers { from_epoch: 0 }, chain.replica.ledger()).unwrap();
    let SyncAnswer::Handovers { handovers } = answer else { panic!() };
    assert_eq!(handovers.len(), verdict.handovers);
    let (genesis, founders) = (chain.genesis.hash(), chain.genesis.voter_set());
    let last = verify_handovers(&genesis, &founders, &handovers, &HeldRecoveries::default()).unwrap();
    assert_eq!((last.epoch, last.voters.len()), (verdict.certificate.epoch, verdict.certificate.voters));
    for (ours, theirs) in proof.handovers.iter().zip(&handovers) {
        assert_eq!((&ours.last, &ours.next), (&theirs.last, &theirs.next));
    }
}

#[test]
fn a_recovery_is_believed_only_by_who_was_told_of_it() {
    let mut chain = Chain::new();
    let early = chain.add_account("early");
    chain.certify(chain.height());
    let uncertified = chain.add_account("uncertified");
    let recovery = chain.recover(&[0, 1]);
    let late = chain.add_account("late");
    chain.certify(chain.height());
    // Certified before: no recovery stands between the founders and it.
    assert_eq!(chain.verify(&chain.prove(&early).unwrap(), &[]).unwrap().recoveries.len(), 0);
    for id in [uncertified, late] {
        let proof = chain.prove(&id).unwrap();
        let refusal = chain.verify(&proof, &[]).unwrap_err();
        assert_eq!(refusal.code(), "proof-recovery-not-accepted");
        assert!(refusal.to_string().contains(&recovery.to_string()), "{refusal}");
        assert_eq!(chain.verify(&proof, &[Hash::ZERO]).unwrap_err().code(), "proof-recovery-not-accepted");
        let verdict = chain.verify(&proof, &[recovery]).unwrap();
        assert_eq!(verdict.recoveries, [recovery.0]);
        assert_eq!((verdict.certificate.voters, verdict.certificate.quorum), (2, 2));
    }
    // The state says it too.
    let keys = [keys::last_recovery().into_bytes()];
    let verdict = chain.verify(&chain.prove_keys(&keys).unwrap(), &[recovery]).unwrap();
    let [Fact::Present { name, value: Some(value), .. }] = verdict.facts.as_slice() else { panic!("{verdict}") };
    assert_eq!((name.as_str(), value.as_text()), ("last-recovery", Some(recovery.to_string().as_str())));
}

#[test]
fn a_recovery_right_after_a_change_of_voters_and_after_one_that_nobody_certified() {
    for certified in [true, false] {
        let mut chain = Chain::new();
        chain.add_account("first");
        let end = chain.rotate(3);
        if certified {
            chain.certify(end);
        }
        let recovery = chain.recover(&[0, 1, 2]);
        let id = chain.add_account("after");
        chain.certify(chain.height());
        assert_eq!(chain.epoch(), 2);
        let proof = chain.prove(&id).unwrap();
        let verdict = chain.verify(&proof, &[recovery]).unwrap();
        assert_eq!((verdict.handovers, verdict.certificate.epoch), (1 + usize::from(certified), 2));
    }
}

#[test]
fn no_grant_is_proven_and_so_is_one_and_its_end() {
    let mut chain = Chain::new();
    let (grantee, dataset) = (name("researcher@harlem"), name("mississippi/opt"));
    let asked = [keys::grants_active(&grantee, &dataset).into_bytes()];
    let told = |chain: &mut Chain| {
        chain.certify(chain.height());
        let verdict = chain.verify(&chain.prove_keys(&asked).unwrap(), &[]).unwrap();
        (verdict.facts[0].clone(), verdict.to_string())
    };
    chain.add_account("first");
    let (fact, words) = told(&mut chain);
    assert!(matches!(fact, Fact::Absent { .. }), "{words}");
    assert!(
        words.contains("absent: grants:researcher@harlem:mississippi/opt\n    the account holds no grant"),
        "{words}"
    );
    assert!(words.contains("by 3 of 4 voters of epoch 0 (quorum 3)"), "{words}");
    let grant = chain.grant("opt", "researcher@harlem");
    let (fact, words) = told(&mut chain);
    let Fact::Present { value: Some(value), .. } = fact else { panic!("{words}") };
    assert_eq!(json(&value), serde_json::json!([grant.to_string()]));
    let reason = galen_types::vocabulary::ReasonCode::ProjectEnded;
    let call = galen_types::Call::RevokeGrant { grant: galen_types::GrantId(grant.0), reason };
    chain.block(vec![("owner@mississippi".to_owned(), call)]);
    let (fact, words) = told(&mut chain);
    assert!(matches!(fact, Fact::Absent { .. }), "{words}");
    // The grant itself stays, revoked.
    let record = [keys::grant(galen_types::GrantId(grant.0)).into_bytes()];
    let verdict = chain.verify(&chain.prove_keys(&record).unwrap(), &[]).unwrap();
    assert!(verdict.to_string().contains("revoked project-ended"), "{verdict}");
}

#[test]
fn what_cannot_be_proven_says_why_and_where_to_ask() {
    let mut chain = Chain::new();
    let nobody = galen_types::TransactionId(Hash([9; 32]));
    assert_eq!(chain.prove(&nobody).unwrap_err().code(), "proof-transaction-unknown");
    assert_eq!(chain.prove_keys(&[vec![1]]).unwrap_err().code(), "proof-no-block");
    let id = chain.add_account("one");
    assert_eq!(chain.prove(&id).unwrap_err().code(), "proof-not-certified");
    assert_eq!(chain.prove_keys(&[vec![1]]).unwrap_err().code(), "proof-not-certified");
    chain.certify(1);
    chain.add_account("two");
    let error = chain.replica.ledger().prove_keys(&[vec![1]], Some(1)).unwrap_err();
    assert_eq!(error.code(), "proof-state-not-held");
    assert!(error.to_string().contains("after height 2"), "{error}");
    assert!(chain.replica.ledger().prove_keys(&[vec![1]], Some(2)).is_ok());
}

#[test]
fn keys_in_words_are_the_names_by_which_they_are_asked_for() {
    let hash = Hash([0xab; 32]);
    let scope = galen_types::access::Scope::Member(name("harlem"));
    let table = [
        (keys::parameters().into_bytes(), "parameters".to_owned()),
        (keys::node(&node_name(0)).into_bytes(), "node:node-1.harlem".to_owned()),
        (keys::account(&name("alice@harlem")).into_bytes(), "account:alice@harlem".to_owned()),
        (keys::dataset(&name("harlem/opt")).into_bytes(), "dataset:harlem/opt".to_owned()),
        (keys::version(&name("harlem/opt"), 3).into_bytes(), "version:harlem/opt@3".to_owned()),
        (keys::replaced_contract(&scope, 2).into_bytes(), "replaced-contract:harlem/*@2".to_owned()),
        (keys::grant(galen_types::GrantId(hash)).into_bytes(), format!("grant:{hash}")),
        (vec![0x41, 1, 2], "key:410102".to_owned()),
        (vec![0x10, b'a'], "key:1061".to_owned()),
    ];
    for (key, words) in table {
        assert_eq!(galen_verifier::key_in_words(&key), words);
    }
    assert_eq!(hash_from_hex(&hash.to_string()), Some(hash.0));
}

#[test]
fn sizes_of_proofs() {
    let mut chain = Chain::new();
    let mut sizes = Vec::new();
    for handovers in [0_u64, 1, 10] {
        while chain.epoch() < handovers {
            let end = chain.rotate(0);
            chain.certify(end);
        }
        chain.add_accounts(100);
        chain.certify(chain.height());
        let id = chain.transactions.last().unwrap();
        let proof: Proof = chain.prove(id).unwrap();
        let state = chain.prove_keys(&[keys::member(&name("harlem")).into_bytes()]).unwrap();
        assert_eq!(proof.handovers.len() as u64, handovers);
        sizes.push((handovers, proof.genesis.len(), proof.to_file().len(), state.to_file().len()));
    }
    println!("handovers, genesis bytes, transaction proof bytes, state proof bytes: {sizes:?}");
    assert!(sizes.iter().all(|(handovers, _, bytes, _)| *bytes < 8_000 + 2_000 * usize::try_from(*handovers).unwrap()));
}
