//! Proofs that were altered are refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests assert by panicking")]

mod support;

use galen_contracts::keys;
use galen_types::hash::Context;
use galen_types::proof::{HandoverReason, Proof, Subject};
use galen_types::{Encoding, Hash};
use galen_verifier::{Fact, Trust, Verdict, verify};
use support::{Chain, name};

/// A chain with two changes of voters and a recovery, and a proof across them with an earlier header.
fn chain() -> (Chain, Hash) {
    let mut chain = Chain::new();
    chain.add_accounts(3);
    for place in [3, 2] {
        let end = chain.rotate(place);
        chain.certify(end);
    }
    let recovery = chain.recover(&[0, 1, 2]);
    chain.add_accounts(5);
    chain.add_accounts(2);
    chain.certify(chain.height());
    (chain, recovery)
}

/// The file with its last hash made anew, as whoever forges one would.
fn sealed(mut file: Vec<u8>) -> Vec<u8> {
    let content = file.len() - 32;
    let hash = Hash::of(Context::ProofFile, &file[..content]);
    file[content..].copy_from_slice(&hash.0);
    file
}

fn proofs(chain: &Chain) -> Vec<Proof> {
    let covered = chain.transactions[chain.transactions.len() - 4];
    let present = vec![keys::member(&name("harlem")).into_bytes(), keys::voter_set().into_bytes()];
    vec![chain.prove(&covered).unwrap(), chain.prove_keys(&present).unwrap()]
}

#[test]
fn every_flipped_byte_is_refused() {
    let (chain, recovery) = chain();
    let trust = chain.trust(&[recovery]);
    for proof in proofs(&chain) {
        assert!(proof.handovers.len() == 3);
        let file = proof.to_file();
        verify(&file, &trust).unwrap();
        for place in 0..file.len() {
            let mut altered = file.clone();
            altered[place] ^= 1 << (place % 8);
            assert!(verify(&altered, &trust).is_err(), "byte {place}, its hash as it was");
            if place < file.len() - 32 {
                assert!(verify(&sealed(altered), &trust).is_err(), "byte {place}, its hash made anew");
            }
        }
    }
}

/// An absent key that is made another may be absent too: then that is what is proven, and it is true.
#[test]
fn what_an_altered_proof_of_absence_says_is_true() {
    let (chain, recovery) = chain();
    let trust = chain.trust(&[recovery]);
    let absent = keys::grants_active(&name("researcher@harlem"), &name("mississippi/opt")).into_bytes();
    let file = chain.prove_keys(&[absent]).unwrap().to_file();
    for place in 0..file.len() - 32 {
        let mut altered = file.clone();
        altered[place] ^= 1 << (place % 8);
        let Ok(Verdict { facts, .. }) = verify(&sealed(altered), &trust) else { continue };
        let [Fact::Absent { key, .. }] = facts.as_slice() else { panic!("byte {place}") };
        assert_eq!(chain.view().state_get(key).unwrap(), None, "byte {place}");
    }
}

#[test]
fn cut_and_padded_files_are_refused() {
    let (chain, recovery) = chain();
    let trust = chain.trust(&[recovery]);
    for proof in proofs(&chain) {
        let file = proof.to_file();
        for length in 0..file.len() {
            assert!(verify(&file[..length], &trust).is_err(), "{length}");
            if length > 64 && length % 7 == 0 {
                assert!(verify(&sealed(file[..length].to_vec()), &trust).is_err(), "{length}");
            }
        }
        let mut padded = file[..file.len() - 32].to_vec();
        padded.extend([0; 33]);
        assert_eq!(verify(&sealed(padded), &trust).unwrap_err().code(), "proof-malformed");
    }
    assert_eq!(verify(&vec![0; galen_verifier::PROOF_BYTES_MAX + 1], &trust).unwrap_err().code(), "proof-too-long");
    let mut later = proofs(&chain)[0].to_file();
    later[12] = 3;
    assert_eq!(verify(&later, &trust).unwrap_err().code(), "proof-version");
}

/// Eight bytes that claim a long list reserve nothing and are refused, wherever they stand.
#[test]
fn lengths_that_lie_are_refused() {
    let (chain, recovery) = chain();
    let trust = chain.trust(&[recovery]);
    let file = proofs(&chain)[0].to_file();
    for place in 14..file.len() - 40 {
        for lie in [u64::MAX, 1 << 40, file.len() as u64] {
            let mut altered = file.clone();
            altered[place..place + 8].copy_from_slice(&lie.to_le_bytes());
            // The bytes may be those already.
            assert!(altered == file || verify(&sealed(altered), &trust).is_err(), "byte {place}");
        }
    }
}

#[test]
fn another_genesis_is_refused() {
    let (chain, recovery) = chain();
    let file = proofs(&chain)[0].to_file();
    let trust = Trust { genesis: [7; 32], recoveries: vec![recovery.0] };
    assert_eq!(verify(&file, &trust).unwrap_err().code(), "proof-other-genesis");
    // Another founding document in the file is another chain, whoever signs.
    let mut proof = proofs(&chain)[0].clone();
    let mut genesis = (*chain.genesis).clone();
    genesis.members[0].nodes[0].key = support::key("mallory").public_key();
    proof.genesis = genesis.encode();
    assert_eq!(chain.verify(&proof, &[recovery]).unwrap_err().code(), "proof-other-genesis");
}

#[test]
fn forged_certificates_are_refused() {
    let (chain, recovery) = chain();
    let proof = proofs(&chain)[0].clone();
    let (height, hash, epoch) = (proof.certified.height, proof.certified.hash(), proof.certified.epoch);
    let code = |alter: &dyn Fn(&mut Proof)| {
        let mut altered = proof.clone();
        alter(&mut altered);
        chain.verify(&altered, &[recovery]).unwrap_err().code()
    };
    assert_eq!(code(&|proof| drop(proof.signatures.pop())), "proof-below-quorum");
    assert_eq!(code(&|proof| proof.signatures.clear()), "proof-below-quorum");
    assert_eq!(code(&|proof| proof.signatures.reverse()), "proof-signers-unordered");
    assert_eq!(code(&|proof| proof.signatures[1] = proof.signatures[0].clone()), "proof-signers-unordered");
    assert_eq!(
        code(&|proof| proof.signatures.last_mut().unwrap().voter = name("node-9.mississippi")),
        "proof-not-a-voter"
    );
    // Voters of the founders' epoch, of which one is none any more and one has another key.
    assert_eq!(code(&|proof| proof.signatures = chain.signatures(height, hash, 0, &[0, 1, 2])), "proof-bad-signature");
    // The same voters and keys, before the recovery: what they sign is for another epoch.
    assert_eq!(code(&|proof| proof.signatures = chain.signatures(height, hash, 2, &[0, 1, 2])), "proof-bad-signature");
    // Of another header.
    let other = proof.handovers[0].last.hash();
    assert_eq!(
        code(&|proof| proof.signatures = chain.signatures(height, other, epoch, &[0, 1, 2])),
        "proof-bad-signature"
    );
    // A certificate of an earlier epoch for what came later, and the other way round.
    assert_eq!(code(&|proof| proof.handovers.truncate(2)), "proof-header");
    let early = chain.prove(&chain.transactions[0]).unwrap();
    let late = chain.view().header(chain.height()).unwrap().unwrap();
    let mut altered = early.clone();
    altered.certified = late;
    altered.signatures = proof.signatures.clone();
    assert_eq!(chain.verify(&altered, &[recovery]).unwrap_err().code(), "proof-header");
}

#[test]
fn forged_handovers_are_refused() {
    let (chain, recovery) = chain();
    let proof = proofs(&chain)[0].clone();
    let code = |alter: &dyn Fn(&mut Proof)| {
        let mut altered = proof.clone();
        alter(&mut altered);
        chain.verify(&altered, &[recovery]).unwrap_err().code()
    };
    assert_eq!(code(&|proof| drop(proof.handovers.remove(0))), "proof-handover");
    assert_eq!(code(&|proof| proof.handovers.swap(0, 1)), "proof-handover");
    assert_eq!(code(&|proof| drop(proof.handovers.remove(2))), "proof-header");
    assert_eq!(
        code(&|proof| proof.handovers[0].next.voters[0].key = support::key("mallory").public_key()),
        "proof-handover"
    );
    assert_eq!(code(&|proof| proof.handovers[2].next.voters.truncate(1)), "proof-handover");
    let signatures = |proof: &mut Proof, change: &dyn Fn(&mut Vec<_>)| {
        let HandoverReason::Certificate(signatures) = &mut proof.handovers[0].reason else { panic!() };
        change(signatures);
    };
    assert_eq!(code(&|proof| signatures(proof, &|signatures| signatures.truncate(2))), "proof-below-quorum");
    // A certificate instead of the recovery.
    assert_eq!(
        code(&|proof| {
            let last = &proof.handovers[2].last;
            let signed = chain.signatures(last.height, last.hash(), 1, &[0, 1, 2]);
            proof.handovers[2].reason = HandoverReason::Certificate(signed);
        }),
        "proof-handover"
    );
    // A recovery of which nobody told the reader.
    assert_eq!(
        code(&|proof| {
            let HandoverReason::Recovery(recovery) = &mut proof.handovers[2].reason else { panic!() };
            recovery.voters.pop();
        }),
        "proof-recovery-not-accepted"
    );
}

#[test]
fn what_does_not_stand_under_the_header_is_refused() {
    let (chain, recovery) = chain();
    let [transaction, state] = proofs(&chain).try_into().unwrap();
    let code = |proof: &Proof| chain.verify(proof, &[recovery]).unwrap_err().code();
    let mut altered = transaction.clone();
    let later = chain.view().header(chain.height()).unwrap().unwrap();
    altered.earlier.as_mut().unwrap().header = later.clone();
    assert_eq!(code(&altered), "proof-malformed", "a header is not in its own history");
    let mut altered = transaction.clone();
    altered.earlier.as_mut().unwrap().header.time.0 += 1;
    assert_eq!(code(&altered), "proof-not-under-header");
    let mut altered = transaction.clone();
    altered.earlier = None;
    assert_eq!(code(&altered), "proof-not-under-header");
    let other = chain.prove(chain.transactions.last().unwrap()).unwrap();
    let mut altered = transaction.clone();
    let (Subject::Transaction(ours), Subject::Transaction(theirs)) = (&mut altered.subject, &other.subject) else {
        panic!()
    };
    ours.receipt = theirs.receipt.clone();
    assert_eq!(code(&altered), "proof-not-under-header");
    // A receipt of the same block's other transaction, with its own good path.
    let block = chain.transactions.len() - 4;
    let neighbour = chain.prove(&chain.transactions[block - 1]).unwrap();
    let mut altered = transaction.clone();
    let (Subject::Transaction(ours), Subject::Transaction(theirs)) = (&mut altered.subject, neighbour.subject) else {
        panic!()
    };
    (ours.receipt, ours.receipt_path) = (theirs.receipt, theirs.receipt_path);
    assert_eq!(code(&altered), "proof-not-under-header");
    let alter = |change: &dyn Fn(&mut galen_types::proof::KeyProof)| {
        let mut altered = state.clone();
        let Subject::State(parts) = &mut altered.subject else { panic!() };
        change(&mut parts[0]);
        code(&altered)
    };
    assert_eq!(alter(&|part| part.value = None), "proof-not-under-header");
    assert_eq!(alter(&|part| part.value.as_mut().unwrap()[0] ^= 1), "proof-not-under-header");
    assert_eq!(alter(&|part| part.entries.clear()), "proof-not-under-header");
    assert_eq!(alter(&|part| part.entries = vec![(Hash::ZERO, Hash::ZERO); 65]), "proof-malformed");
    assert_eq!(alter(&|part| part.siblings = vec![Hash::ZERO; 257]), "proof-malformed");
    let mut altered = state.clone();
    altered.subject = Subject::State(Vec::new());
    assert_eq!(code(&altered), "proof-malformed");
}
