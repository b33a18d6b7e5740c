//! Signatures in, certificates out, whichever comes first; what contradicts, and what is not believed.

use std::sync::Arc;

use galen_chain::executor::{Certification, FollowError, SignatureError};
use galen_chain::sync::{SyncAnswer, SyncRequest};
use galen_chain::{Executor, ExecutorError};
use galen_types::certificate::VoterSignature;
use galen_types::{Block, Certificate, Encoding, Genesis, Hash, HeaderSignature};
use tempfile::TempDir;

use super::support::{Clients, FOUNDED, batch, executor, folder, genesis, key, open_ledger, voter_name};

/// Replicas that execute the same batches.
struct Group {
    genesis: Arc<Genesis>,
    clients: Clients,
    folders: Vec<TempDir>,
    replicas: Vec<Executor>,
    index: u64,
}

impl Group {
    /// Four voters and the observer.
    fn new() -> Self {
        let genesis = genesis(4);
        let mut group = Self {
            clients: Clients::new(&genesis),
            genesis,
            folders: (0..5).map(|_| folder()).collect(),
            replicas: Vec::new(),
            index: 0,
        };
        group.replicas = (0..5).map(|place| group.open(place)).collect();
        group
    }

    fn open(&self, place: usize) -> Executor {
        let ledger = open_ledger(self.folders[place].path(), &self.genesis);
        let node = if place == 4 { String::from("watcher.harlem") } else { voter_name(place).to_string() };
        executor(ledger, &self.genesis, &node, place < 4)
    }

    fn restart(&mut self, place: usize) {
        let last = self.replicas.pop();
        if place == 4 {
            drop(last);
            self.replicas.push(self.open(4));
            return;
        }
        drop(self.replicas.remove(place));
        self.replicas.insert(place, self.open(place));
        self.replicas.extend(last);
    }

    /// A block on these replicas.
    fn block(&mut self, places: &[usize]) {
        self.index += 1;
        let transaction = self.clients.next("harlem", FOUNDED.plus_ms(60_000));
        let batch = batch(self.index, FOUNDED.plus_ms(self.index), &[&transaction]);
        for place in places {
            assert!(self.replicas[*place].execute(&batch).unwrap().block.is_some());
        }
    }

    /// A voter's signature over whatever it is asked to sign.
    fn signature(&self, place: usize, height: u64, header: Hash) -> HeaderSignature {
        let voter = voter_name(place);
        let secret = key(&voter.to_string());
        HeaderSignature::sign(&self.genesis.hash(), &self.genesis.voter_set().hash(), height, header, voter, &secret)
    }

    fn certificate(&self, places: &[usize], height: u64, header: Hash) -> Certificate {
        let part = |place: &usize| {
            let signed = self.signature(*place, height, header);
            VoterSignature { voter: signed.voter, signature: signed.signature }
        };
        Certificate { height, header, signatures: places.iter().map(part).collect() }
    }

    fn hash(&self, place: usize, height: u64) -> Hash {
        self.replicas[place].ledger().view().unwrap().header_hash(height).unwrap().unwrap()
    }

    fn certified(&self, place: usize) -> u64 {
        self.replicas[place].ledger().certified_height()
    }
}

#[test]
fn a_quorum_certifies_whether_signatures_come_before_or_after_the_block() {
    let mut group = Group::new();
    group.block(&[0, 1, 2]);
    let header = group.hash(0, 1);
    // Replica 1 has the block.
    let own = group.replicas[1].sign().unwrap();
    assert_eq!(own, [group.signature(1, 1, header)]);
    for (place, expected) in [(1, 0), (1, 0), (3, 0), (3, 0)] {
        let signature = group.signature(place, 1, header);
        assert_eq!(group.replicas[1].add_signature(signature).unwrap(), Ok(Certification::Nothing));
        assert_eq!(group.certified(1), expected, "twice the same is once");
    }
    let third = group.signature(0, 1, header);
    let taken = group.replicas[1].add_signature(third).unwrap().unwrap();
    let Certification::Certified(certificate) = taken else { panic!("{taken:?}") };
    certificate.verify(&group.genesis.hash(), &group.genesis.voter_set()).unwrap();
    assert_eq!((certificate.height, group.certified(1)), (1, 1));
    // Replica 3 has not; a quorum ahead says that the block can be pulled, one voter alone does not.
    for (place, ahead) in [(0, false), (1, false), (2, true)] {
        let expected = if ahead { Certification::Behind(1) } else { Certification::Nothing };
        let signature = group.signature(place, 1, header);
        assert_eq!(group.replicas[3].add_signature(signature).unwrap(), Ok(expected));
    }
    group.index = 0;
    group.clients = Clients::new(&group.genesis);
    group.block(&[3]);
    assert_eq!(group.certified(3), 0);
    let newest = group.replicas[3].certify_applied().unwrap().unwrap();
    assert_eq!((newest.height, group.certified(3)), (1, 1));
    assert_eq!(group.replicas[3].sign().unwrap(), [], "what is certified needs no signature more");
    // Replica 2 is told of the certificate itself, before it could count.
    assert_eq!(group.replicas[2].add_certificate(certificate.clone()).unwrap(), Certification::Certified(certificate));
}

#[test]
fn a_restart_keeps_signatures_and_joins_those_that_were_not_joined() {
    let mut group = Group::new();
    for _ in 0..3 {
        group.block(&[0]);
    }
    assert_eq!(group.replicas[0].sign().unwrap().len(), 3);
    group.block(&[0]);
    group.restart(0);
    let signed: Vec<_> = group.replicas[0].sign().unwrap().into_iter().map(|signature| signature.height).collect();
    assert_eq!(signed, [4], "what was signed before is not signed again");
    // As a crash between the last signature and the certificate leaves it.
    for place in [1, 2] {
        let signature = group.signature(place, 3, group.hash(0, 3));
        group.replicas[0].ledger().put_signature(&signature).unwrap();
    }
    assert_eq!(group.certified(0), 0);
    group.restart(0);
    assert_eq!(group.certified(0), 3);
    let heights = |points: Vec<galen_chain::orderer::CutPoint>| {
        points.into_iter().map(|point| (point.index, point.height)).collect::<Vec<_>>()
    };
    assert_eq!(heights(group.replicas[0].cut_points()), [(1, 1), (2, 2), (3, 3)], "also of blocks from before");
    assert_eq!(heights(group.replicas[0].cut_points()), []);
    let quorum = group.certificate(&[0, 1, 2], 4, group.hash(0, 4));
    group.replicas[0].add_certificate(quorum).unwrap();
    assert_eq!(heights(group.replicas[0].cut_points()), [(4, 4)]);
    assert_eq!(group.replicas[4].cut_points(), [], "who does not order has no log to cut");
}

#[test]
fn the_log_is_not_cut_below_a_block_that_a_loss_of_power_could_take() {
    let mut group = Group::new();
    group.block(&[0]);
    // Certified by the others before this node signed, and so synced, anything.
    let quorum = group.certificate(&[1, 2, 3], 1, group.hash(0, 1));
    group.replicas[0].add_certificate(quorum).unwrap();
    assert_eq!((group.certified(0), group.replicas[0].cut_points()), (1, Vec::new()));
    group.replicas[0].sync().unwrap();
    assert_eq!(group.replicas[0].cut_points().len(), 1);
}

#[test]
fn forged_signatures_and_certificates_change_nothing() {
    let mut group = Group::new();
    group.block(&[0]);
    let header = group.hash(0, 1);
    let mut stranger = group.signature(1, 1, header);
    stranger.voter = "watcher.harlem".parse().unwrap();
    let mut forged = group.signature(1, 1, header);
    forged.voter = voter_name(2);
    for (signature, error) in [(stranger, SignatureError::NotAVoter), (forged, SignatureError::Bad)] {
        assert_eq!(group.replicas[0].add_signature(signature).unwrap(), Err(error));
    }
    let mut twisted = group.certificate(&[0, 1, 2], 1, header);
    twisted.signatures[1].signature = group.signature(1, 2, header).signature;
    let below = group.certificate(&[0, 1], 1, header);
    let twice = group.certificate(&[0, 1, 1], 1, header);
    for certificate in [twisted, below, twice] {
        assert_eq!(group.replicas[0].add_certificate(certificate).unwrap(), Certification::Nothing);
    }
    assert_eq!(group.certified(0), 0);
}

#[test]
fn a_deviant_signature_is_kept_once_also_after_the_certificate() {
    let mut group = Group::new();
    group.block(&[0]);
    let quorum = group.certificate(&[0, 1, 2], 1, group.hash(0, 1));
    group.replicas[0].add_certificate(quorum).unwrap();
    for header in [[6; 32], [6; 32], [7; 32]] {
        let deviant = group.signature(3, 1, Hash(header));
        assert_eq!(group.replicas[0].add_signature(deviant).unwrap(), Err(SignatureError::Deviant));
    }
    let kept = group.replicas[0].ledger().view().unwrap().evidence(1, 10).unwrap();
    assert_eq!(kept, [group.signature(3, 1, Hash([6; 32]))], "one is proof; more would only fill the disk");
}

#[test]
fn a_certificate_that_contradicts_the_own_header_stops_the_node_and_is_kept() {
    for certified in [false, true] {
        let mut group = Group::new();
        group.block(&[0]);
        if certified {
            let quorum = group.certificate(&[0, 1, 2], 1, group.hash(0, 1));
            group.replicas[0].add_certificate(quorum).unwrap();
        }
        let other = group.certificate(&[1, 2, 3], 1, Hash([6; 32]));
        let error = group.replicas[0].add_certificate(other).unwrap_err();
        assert!(matches!(error, ExecutorError::Contradicted { height: 1, .. }), "{error}");
        assert_eq!(error.code(), "header-contradicted");
        assert_eq!(group.replicas[0].ledger().view().unwrap().evidence(1, 10).unwrap().len(), 3);
    }
    // One that came before the block stops it when the block is there.
    let mut group = Group::new();
    let early = group.certificate(&[1, 2, 3], 1, Hash([6; 32]));
    assert_eq!(group.replicas[0].add_certificate(early).unwrap(), Certification::Behind(1));
    group.block(&[0]);
    assert!(matches!(group.replicas[0].certify_applied(), Err(ExecutorError::Contradicted { height: 1, .. })));
}

/// A peer's answer with three certified blocks.
fn three_blocks() -> (Group, SyncAnswer) {
    let mut group = Group::new();
    for _ in 0..3 {
        group.block(&[0]);
    }
    let quorum = group.certificate(&[0, 1, 2], 3, group.hash(0, 3));
    group.replicas[0].add_certificate(quorum).unwrap();
    let answer = SyncAnswer::to_request(&SyncRequest::Blocks { from: 1 }, group.replicas[0].ledger()).unwrap();
    (group, answer)
}

#[test]
fn pulled_blocks_give_the_same_chain() {
    let (mut group, answer) = three_blocks();
    let answer = SyncAnswer::from_peer(&answer.encode()).unwrap();
    let applied = group.replicas[4].follow(answer.clone()).unwrap();
    let indexes: Vec<_> = applied.iter().map(|executed| executed.applied_index).collect();
    assert_eq!((indexes, group.certified(4)), (vec![1, 2, 3], 3));
    assert_eq!(group.replicas[4].tip(), group.replicas[0].tip());
    assert!(group.replicas[4].follow(answer.clone()).unwrap().is_empty(), "an answer that comes late does no harm");
    // A voter that got the first block by ordering meanwhile.
    let third = SyncAnswer::to_request(&SyncRequest::Blocks { from: 4 }, group.replicas[0].ledger()).unwrap();
    assert!(group.replicas[1].follow(third).unwrap().is_empty(), "the peer has none");
    group.index = 0;
    group.clients = Clients::new(&group.genesis);
    group.block(&[1]);
    assert_eq!(group.replicas[1].follow(answer.clone()).unwrap().len(), 2);
    // And one that got them all learns of the certificate.
    group.index = 0;
    group.clients = Clients::new(&group.genesis);
    (0..3).for_each(|_| group.block(&[2]));
    assert!(group.certified(2) == 0 && group.replicas[2].follow(answer).unwrap().is_empty());
    assert_eq!(group.certified(2), 3);
}

#[test]
fn altered_answers_are_refused_and_change_nothing() {
    let (mut group, answer) = three_blocks();
    let SyncAnswer::Blocks { blocks, trail, certificate } = answer else { panic!("not blocks") };
    let decode = |bytes: &[u8]| Block::decode(bytes, 1 << 20).unwrap();
    let altered = |place: usize, change: &dyn Fn(&mut Block)| {
        let mut blocks = blocks.clone();
        let mut block = decode(&blocks[place]);
        change(&mut block);
        blocks[place] = block.encode();
        blocks
    };
    let mut swapped = blocks.clone();
    swapped.swap(1, 2);
    let below = Some(group.certificate(&[0, 1], 3, group.hash(0, 3)));
    let other = Some(group.certificate(&[0, 1, 2], 2, group.hash(0, 2)));
    let whole = certificate.clone();
    let cases = [
        ("sync-not-linked", swapped, whole.clone()),
        ("sync-not-linked", blocks[1..].to_vec(), whole.clone()),
        ("sync-not-linked", altered(0, &|block| block.header.raft_term += 1), whole.clone()),
        ("sync-not-linked", altered(1, &|block| block.header.genesis = Hash([9; 32])), whole.clone()),
        ("sync-transactions", altered(1, &|block| block.transactions.clear()), whole.clone()),
        ("sync-transactions", altered(1, &|block| block.transactions[0][40] ^= 1), whole.clone()),
        ("sync-not-certified", altered(2, &|block| block.header.raft_term += 1), whole.clone()),
        ("sync-not-certified", blocks[..2].to_vec(), whole),
        ("sync-not-certified", blocks.clone(), None),
        ("sync-not-certified", blocks.clone(), other),
        ("sync-certificate", blocks.clone(), below),
        ("sync-malformed", vec![blocks[0][1..].to_vec()], certificate),
    ];
    for (code, blocks, certificate) in cases {
        let answer = SyncAnswer::Blocks { blocks, trail: trail.clone(), certificate };
        match group.replicas[4].follow(answer) {
            Err(FollowError::Answer(error)) => assert_eq!(error.code(), code),
            outcome => panic!("{code}: {outcome:?}"),
        }
        assert_eq!((group.replicas[4].tip().height, group.certified(4)), (0, 0));
    }
    let unexpected = SyncAnswer::Signatures { signatures: Vec::new(), certificates: Vec::new() };
    assert!(matches!(group.replicas[4].follow(unexpected), Err(FollowError::Answer(_))));
    assert!(SyncAnswer::from_peer(b"\x07garbage").is_err());
}

#[test]
fn a_certified_block_that_executes_to_another_header_stops_the_node() {
    let (mut group, answer) = three_blocks();
    let SyncAnswer::Blocks { blocks, .. } = answer else { panic!("not blocks") };
    let mut block = Block::decode(&blocks[0], 1 << 20).unwrap();
    block.header.state_root = Hash([6; 32]);
    let certificate = Some(group.certificate(&[1, 2, 3], 1, block.header.hash()));
    let lie = SyncAnswer::Blocks { blocks: vec![block.encode()], trail: Vec::new(), certificate };
    let outcome = group.replicas[4].follow(lie);
    assert!(matches!(outcome, Err(FollowError::Fatal(ExecutorError::Contradicted { height: 1, .. }))), "{outcome:?}");
    assert_eq!(group.replicas[4].tip().height, 0);
}

#[test]
fn who_lacks_signatures_is_told_certificates() {
    let mut group = Group::new();
    for _ in 0..5 {
        group.block(&[0, 1]);
    }
    for height in [2, 4] {
        let quorum = group.certificate(&[0, 1, 2], height, group.hash(0, height));
        group.replicas[0].add_certificate(quorum).unwrap();
    }
    let signature = group.signature(3, 5, group.hash(0, 5));
    group.replicas[0].add_signature(signature.clone()).unwrap().unwrap();
    let answer = SyncAnswer::to_request(&SyncRequest::Signatures { from: 1 }, group.replicas[0].ledger()).unwrap();
    let SyncAnswer::Signatures { signatures, certificates } = answer else { panic!("not signatures") };
    assert_eq!(signatures, [signature]);
    let heights: Vec<_> = certificates.iter().map(|certificate| certificate.height).collect();
    assert_eq!(heights, [2, 4], "the lowest that covers, and the newest");
}

#[test]
fn blocks_whose_certificate_is_beyond_an_answers_bound_come_with_the_headers_up_to_it() {
    use galen_types::Call;
    use galen_types::member::Role;

    let mut group = Group::new();
    // Twenty blocks of 250 kB: an answer holds 4 MB.
    for index in 1..=20 {
        let call =
            Call::SetAccountRoles { account: "admin@harlem".parse().unwrap(), roles: vec![Role::Owner; 250_000] };
        let secret = key("admin@harlem");
        let large = group.clients.sign_with(&secret, "admin@harlem", FOUNDED.plus_ms(60_000), call);
        assert!(group.replicas[0].execute(&batch(index, FOUNDED, &[&large])).unwrap().block.is_some());
    }
    let quorum = group.certificate(&[0, 1, 2], 20, group.hash(0, 20));
    group.replicas[0].add_certificate(quorum).unwrap();
    let ask = |group: &Group| {
        let from = group.replicas[4].tip().height + 1;
        let answer = SyncAnswer::to_request(&SyncRequest::Blocks { from }, group.replicas[0].ledger()).unwrap();
        SyncAnswer::from_peer(&answer.encode()).unwrap()
    };
    let first = ask(&group);
    let SyncAnswer::Blocks { blocks, trail, .. } = &first else { panic!("not blocks") };
    assert_eq!((blocks.len(), trail.len()), (17, 3));
    let mut cut = first.clone();
    if let SyncAnswer::Blocks { trail, .. } = &mut cut {
        trail.remove(1);
    }
    assert!(matches!(group.replicas[4].follow(cut), Err(FollowError::Answer(_))));
    assert_eq!(group.replicas[4].follow(first).unwrap().len(), 17);
    assert_eq!((group.replicas[4].tip().height, group.certified(4)), (17, 0), "not certified before it is");
    let second = ask(&group);
    assert_eq!(group.replicas[4].follow(second).unwrap().len(), 3);
    assert_eq!((group.replicas[4].tip().height, group.certified(4)), (20, 20));
}
