//! Evidence: that a voter signed another header than the certified one, across changes of voters, from the founding document
//! alone; and that nothing accuses a voter that did not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests assert by panicking")]

mod support;

use galen_chain::executor::SignatureError;
use galen_types::proof::{Proof, Subject};
use galen_types::{Encoding, Hash, HeaderSignature, NodeName};
use galen_verifier::{Fact, verify};
use support::{Chain, node_name};

const LIE: Hash = Hash([0x5a; 32]);

/// What a voter of an epoch signs at a height.
fn signed(chain: &Chain, height: u64, header: Hash, epoch: u64, place: usize) -> HeaderSignature {
    let part = chain.signatures(height, header, epoch, &[place]).remove(0);
    HeaderSignature { height, header, voter: part.voter, signature: part.signature }
}

fn take(chain: &mut Chain, signature: HeaderSignature) -> Result<(), SignatureError> {
    chain.replica.add_signature(signature).unwrap().map(drop)
}

fn found(chain: &Chain) -> Vec<(u64, NodeName, bool)> {
    let found = chain.view().found_evidence(0, 1_000).unwrap().into_iter();
    found.map(|found| (found.signature.height, found.signature.voter, found.also.is_some())).collect()
}

fn evidence(chain: &Chain, height: u64, place: usize) -> Proof {
    chain.view().prove_evidence(&chain.genesis, height, &node_name(place)).unwrap()
}

/// A chain with two changes of voters, on which one voter signed a lie, and another two headers of one height.
fn chain() -> (Chain, u64, u64) {
    let mut chain = Chain::new();
    chain.add_accounts(2);
    let end = chain.rotate(3);
    chain.certify(end);
    let end = chain.rotate(2);
    chain.certify(end);
    for _ in 0..3 {
        chain.add_accounts(1);
    }
    let (lied, both) = (chain.height() - 2, chain.height() - 1);
    let lie = signed(&chain, lied, LIE, 2, 3);
    assert_eq!(take(&mut chain, lie), Err(SignatureError::Deviant));
    assert_eq!(found(&chain), [], "no quorum has said which header is the right one");
    assert_eq!(chain.replica.ledger().evidence_count().unwrap(), 0);
    let own = chain.view().header_hash(both).unwrap().unwrap();
    for (header, taken) in [(own, Ok(())), (LIE, Err(SignatureError::Deviant))] {
        let signature = signed(&chain, both, header, 2, 2);
        assert_eq!(take(&mut chain, signature), taken);
    }
    chain.certify(chain.height());
    (chain, lied, both)
}

#[test]
fn a_voter_that_signed_another_header_is_shown_across_changes_of_voters() {
    let (chain, lied, both) = chain();
    assert_eq!(found(&chain), [(lied, node_name(3), false), (both, node_name(2), true)]);
    assert_eq!(chain.replica.ledger().evidence_count().unwrap(), 2);
    for (height, place, two) in [(lied, 3, false), (both, 2, true)] {
        let proof = evidence(&chain, height, place);
        assert_eq!((proof.handovers.len(), proof.earlier.is_some()), (2, true));
        let verdict = chain.verify(&proof, &[]).unwrap();
        let accused = Fact::Deviated { voter: node_name(place).to_string(), header: LIE.0, both: two };
        assert_eq!((verdict.block.height, verdict.facts.as_slice()), (height, [accused].as_slice()));
        let words = verdict.to_string();
        assert!(words.contains(&format!("evidence: {} signed", node_name(place))), "{words}");
        assert!(words.contains(&verdict.certificate.signers.join(", ")) && words.contains(&LIE.to_string()), "{words}");
    }
    for (height, place) in [(lied, 2), (both, 3), (both + 1, 3), (0, 3), (99, 3)] {
        let none = chain.view().prove_evidence(&chain.genesis, height, &node_name(place));
        assert_eq!(none.unwrap_err().code(), "proof-no-evidence");
    }
}

#[test]
fn altered_evidence_is_refused() {
    let (chain, lied, both) = chain();
    let trust = chain.trust(&[]);
    for proof in [evidence(&chain, lied, 3), evidence(&chain, both, 2)] {
        let file = proof.to_file();
        verify(&file, &trust).unwrap();
        for place in 0..file.len() {
            let mut altered = file.clone();
            altered[place] ^= 1 << (place % 8);
            assert!(verify(&altered, &trust).is_err(), "byte {place}, its hash as it was");
            if place < file.len() - 32 {
                let content = file.len() - 32;
                let hash = Hash::of(galen_types::hash::Context::ProofFile, &altered[..content]);
                altered[content..].copy_from_slice(&hash.0);
                assert!(verify(&altered, &trust).is_err(), "byte {place}, its hash made anew");
            }
        }
    }
}

#[test]
fn forged_evidence_accuses_nobody() {
    let (chain, lied, both) = chain();
    let code = |proof: &Proof| chain.verify(proof, &[]).unwrap_err().code();
    let forged = |height: u64, place: usize, part: HeaderSignature, also: Option<HeaderSignature>| {
        let mut proof = evidence(&chain, height, place);
        let Subject::Evidence(subject) = &mut proof.subject else { panic!("no evidence") };
        (subject.voter, subject.header, subject.signature) = (part.voter, part.header, part.signature);
        subject.also = also.map(|also| also.signature);
        code(&proof)
    };
    let right = chain.view().header_hash(lied).unwrap().unwrap();
    assert_eq!(forged(lied, 3, signed(&chain, lied, right, 2, 1), None), "proof-no-deviation");
    // By a voter of other epochs, at another height, in another's name, with a false second signature.
    assert_eq!(forged(lied, 3, signed(&chain, lied, LIE, 0, 3), None), "proof-bad-signature");
    assert_eq!(forged(lied, 3, signed(&chain, both, LIE, 2, 3), None), "proof-bad-signature");
    let mut named = signed(&chain, lied, LIE, 2, 3);
    named.voter = node_name(1);
    assert_eq!(forged(lied, 3, named.clone(), None), "proof-bad-signature");
    named.voter = "watcher.harlem".parse().unwrap();
    assert_eq!(forged(lied, 3, named, None), "proof-not-a-voter");
    let lie = signed(&chain, lied, LIE, 2, 3);
    assert_eq!(forged(lied, 3, lie.clone(), Some(lie)), "proof-bad-signature");
    // What is evidence is told in version 2, everything else in version 1.
    let mut file = evidence(&chain, lied, 3).to_file();
    file[12] = 1;
    let content = file.len() - 32;
    let hash = Hash::of(galen_types::hash::Context::ProofFile, &file[..content]);
    file[content..].copy_from_slice(&hash.0);
    assert_eq!(verify(&file, &chain.trust(&[])).unwrap_err().code(), "proof-malformed");
    let mut genesis = (*chain.genesis).clone();
    genesis.state_bucket_bits += 1;
    let mut proof = evidence(&chain, lied, 3);
    proof.genesis = genesis.encode();
    assert_eq!(code(&proof), "proof-other-genesis");
}

/// Before a recovery nobody could certify: a signature over what the lost quorum may have made accuses nobody.
#[test]
fn what_was_signed_before_a_recovery_is_no_evidence() {
    let mut chain = Chain::new();
    chain.add_accounts(1);
    chain.certify(1);
    chain.add_accounts(1);
    let lie = signed(&chain, 2, LIE, 0, 3);
    assert_eq!(take(&mut chain, lie), Err(SignatureError::Deviant));
    let recovery = chain.recover(&[0, 1, 2]);
    chain.add_accounts(1);
    chain.certify(chain.height());
    // Height 3 is the recovery's: those of the old set mean nothing there.
    let early = signed(&chain, 3, LIE, 0, 3);
    assert_eq!(take(&mut chain, early), Err(SignatureError::NotAVoter));
    let early = signed(&chain, 3, LIE, 0, 1);
    assert_eq!(take(&mut chain, early), Err(SignatureError::Bad));
    assert_eq!(found(&chain), []);
    assert_eq!(chain.view().prove_evidence(&chain.genesis, 2, &node_name(3)).unwrap_err().code(), "proof-no-evidence");
    // Whoever puts such a file together by hand is refused.
    let late = signed(&chain, 4, LIE, 1 + u64::from(chain.epoch() > 1), 1);
    let _ = take(&mut chain, late);
    let proven = chain.view().found_evidence(0, 10).unwrap().pop().expect("a voter lied after the recovery");
    let mut proof = chain.view().prove_evidence(&chain.genesis, 4, &proven.signature.voter).unwrap();
    chain.verify(&proof, &[recovery]).unwrap();
    assert_eq!(chain.verify(&proof, &[]).unwrap_err().code(), "proof-recovery-not-accepted");
    let kept = chain.view().header(2).unwrap().unwrap();
    let state = chain.view().certified_proof(&chain.genesis, proof.subject.clone(), &kept).unwrap();
    proof.earlier = state.earlier;
    assert_eq!(chain.verify(&proof, &[recovery]).unwrap_err().code(), "proof-header");
}

/// A liar that signs at every height fills no disk; and one more row of the same signature is none.
#[test]
fn evidence_is_bounded_a_voter() {
    let mut chain = Chain::new();
    let most = galen_ledger::constants::EVIDENCE_PER_VOTER_MAX as u64;
    for height in 1..=most + 3 {
        chain.add_accounts(1);
        let lie = signed(&chain, height, LIE, 0, 3);
        assert_eq!(take(&mut chain, lie.clone()), Err(SignatureError::Deviant));
        assert_eq!(take(&mut chain, lie), Err(SignatureError::Deviant));
    }
    let other = signed(&chain, most + 3, LIE, 0, 1);
    assert_eq!(take(&mut chain, other), Err(SignatureError::Deviant));
    chain.certify(chain.height());
    assert_eq!(chain.replica.ledger().evidence_count().unwrap() as u64, most + 1, "the room of one is not another's");
    assert_eq!(found(&chain).last(), Some(&(most + 3, node_name(1), true)));
}
