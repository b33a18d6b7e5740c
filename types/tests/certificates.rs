//! Quorums and certificates: what certifies a header, and everything that does not.
#![allow(clippy::expect_used, reason = "tests assert by panicking")]

mod common;

use common::{examples, text};
use galen_types::certificate::{CertificateError, Voter, VoterSignature};
use galen_types::{Certificate, Hash, HeaderSignature, VoterSet};

fn set_of(size: u8) -> VoterSet {
    let voter = |place: u8| Voter {
        node: text(&format!("node-{place}.member-{place}")),
        key: examples::secret(place).public_key(),
    };
    VoterSet::new(0, Hash::ZERO, (0..size).map(voter).collect())
}

#[test]
fn quorums_by_number_of_voters() {
    let table = [(1, 0, 1), (2, 0, 2), (3, 0, 2), (4, 1, 3), (5, 1, 4), (6, 1, 4), (7, 2, 5), (10, 3, 7)];
    for (voters, faults, quorum) in table {
        let set = set_of(voters);
        assert_eq!((set.faults_tolerated(), set.quorum()), (faults, quorum), "{voters} voters");
    }
}

/// Two quorums share an honest voter, and the honest voters alone are a quorum.
#[test]
fn quorums_are_safe_and_live() {
    for voters in 1..=100 {
        let set = set_of(voters);
        let (size, faults, quorum) = (usize::from(voters), set.faults_tolerated(), set.quorum());
        assert!(2 * quorum - size > faults, "{voters} voters: two quorums share only liars");
        assert!(size - faults >= quorum, "{voters} voters: liars can stop certification");
    }
}

#[test]
fn a_quorum_certifies() {
    let header = examples::header();
    let mut certificate = examples::certificate(&header);
    assert_eq!(certificate.verify(&header.genesis, &examples::voters()), Ok(()));
    // All voters do too.
    certificate.signatures.push(part(3));
    assert_eq!(certificate.verify(&header.genesis, &examples::voters()), Ok(()));
}

fn part(place: usize) -> VoterSignature {
    let (name, seed) = examples::VOTERS[place];
    let header = examples::header();
    let (set, key) = (examples::voters().hash(), examples::secret(seed));
    let made = HeaderSignature::sign(&header.genesis, &set, header.height, header.hash(), text(name), &key);
    assert!(made.verifies(&header.genesis, &set, &key.public_key()));
    assert!(!made.verifies(&header.genesis, &examples::hash(1), &key.public_key()));
    VoterSignature { voter: made.voter, signature: made.signature }
}

fn refusal(change: impl FnOnce(&mut Certificate)) -> CertificateError {
    let header = examples::header();
    let mut certificate = examples::certificate(&header);
    change(&mut certificate);
    certificate.verify(&header.genesis, &examples::voters()).expect_err("it certifies")
}

#[test]
fn nothing_less_certifies() {
    let below = CertificateError::BelowQuorum { got: 2, quorum: 3 };
    assert_eq!(refusal(|certificate| certificate.signatures.truncate(2)), below);
    let none = CertificateError::BelowQuorum { got: 0, quorum: 3 };
    assert_eq!(refusal(|certificate| certificate.signatures.clear()), none);
    // One voter three times is one voter.
    let twice = refusal(|certificate| certificate.signatures = vec![part(0), part(1), part(1)]);
    assert_eq!(twice, CertificateError::Unordered);
    // A quorum and a stranger.
    let stranger = VoterSignature { voter: text("node-9.elsewhere"), ..part(0) };
    let refused = refusal(|certificate| certificate.signatures.push(stranger));
    assert_eq!(refused, CertificateError::NotAVoter(text("node-9.elsewhere")));
    // A voter's name over another's signature.
    let swapped = VoterSignature { voter: text("node-1.mississippi"), ..part(0) };
    let refused = refusal(|certificate| certificate.signatures[2] = swapped);
    assert_eq!(refused, CertificateError::BadSignature(text("node-1.mississippi")));
}

#[test]
fn signatures_hold_for_their_chain_height_and_header_only() {
    let first = CertificateError::BadSignature(text("node-1.harlem"));
    assert_eq!(refusal(|certificate| certificate.height += 1), first);
    assert_eq!(refusal(|certificate| certificate.header = examples::hash(1)), first);
    let header = examples::header();
    let certificate = examples::certificate(&header);
    assert_eq!(certificate.verify(&examples::hash(1), &examples::voters()), Err(first));
    // Another set of voters with the same names.
    let mut others = examples::voters();
    others.voters[0].key = examples::secret(99).public_key();
    assert!(certificate.verify(&header.genesis, &others).is_err());
    assert_ne!(others.hash(), examples::voters().hash());
    // The same voters in another epoch, and after a recovery.
    let (mut later, mut recovered) = (examples::voters(), examples::voters());
    later.epoch += 1;
    recovered.lineage = examples::hash(7);
    for others in [later, recovered] {
        let first = CertificateError::BadSignature(text("node-1.harlem"));
        assert_eq!(certificate.verify(&header.genesis, &others), Err(first));
    }
}

#[test]
fn a_header_is_its_every_field() {
    let header = examples::header();
    let changes: [fn(&mut galen_types::BlockHeader); 15] = [
        |header| header.genesis.0[0] ^= 1,
        |header| header.chain = text("other"),
        |header| header.height += 1,
        |header| header.parent.0[0] ^= 1,
        |header| header.time.0 += 1,
        |header| header.epoch += 1,
        |header| header.voter_set.0[0] ^= 1,
        |header| header.rules_version += 1,
        |header| header.proposer = text("node-2.harlem"),
        |header| header.raft_term += 1,
        |header| header.raft_index += 1,
        |header| header.transactions_root.0[0] ^= 1,
        |header| header.receipts_root.0[0] ^= 1,
        |header| header.history_root.0[0] ^= 1,
        |header| header.state_root.0[0] ^= 1,
    ];
    let mut hashes = vec![header.hash()];
    for change in changes {
        let mut other = header.clone();
        change(&mut other);
        hashes.push(other.hash());
    }
    hashes.sort();
    assert!(hashes.windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn voters_are_in_order_whatever_order_they_come_in() {
    let set = set_of(7);
    let mut voters = set.voters.clone();
    voters.reverse();
    assert_eq!(VoterSet::new(0, Hash::ZERO, voters).hash(), set.hash());
}
