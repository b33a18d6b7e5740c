//! A node that was away takes a snapshot from a peer, follows, fills in what came before, and prunes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    missing_docs,
    reason = "tests assert by panicking"
)]

use std::path::Path;
use std::sync::Arc;

use galen_chain::Executor;
use galen_chain::history::{HistoryAnswer, HistoryPolicy, HistoryRequest};
use galen_chain::recovery::HeldRecoveries;
use galen_chain::snapshot::{OfferError, SnapshotAnswer, SnapshotOffer, SnapshotRequest, genesis_state_root};
use galen_chain::sync::{SyncAnswer, SyncRequest};
use galen_ledger::install::Incoming;
use galen_ledger::snapshot::{self, SnapshotSource};
use galen_ledger::{EventSpan, Ledger, LedgerOptions};
use galen_simulation::consortium::{Clients, FOUNDED, batch, executor, folder, genesis, open_ledger};
use galen_types::{Encoding as _, Genesis, Hash, VoterSet};

/// The only voter, which certifies what it executes.
struct Source {
    replica: Executor,
    clients: Clients,
}

impl Source {
    fn new(folder: &Path, genesis: &Arc<Genesis>) -> Self {
        let replica = executor(open_ledger(folder, genesis), genesis, "node-1.harlem", true);
        Self { replica, clients: Clients::new(genesis) }
    }

    fn grow(&mut self, blocks: u64) {
        for _ in 0..blocks {
            let index = self.replica.ledger().applied().unwrap().index + 1;
            let soon = FOUNDED.plus_ms(60_000);
            let (one, other) = (self.clients.next("harlem", soon), self.clients.next("harlem", soon));
            assert!(self.replica.execute(&batch(index, FOUNDED, &[&one, &other])).unwrap().block.is_some());
        }
    }

    fn certify(&mut self) {
        for signature in self.replica.sign().unwrap() {
            self.replica.add_signature(signature).unwrap().unwrap();
        }
        assert_eq!(self.ledger().certified_height(), self.replica.tip().height);
    }

    fn ledger(&self) -> &Ledger {
        self.replica.ledger()
    }

    fn ask(&self, request: &SnapshotRequest, sources: &[Arc<SnapshotSource>]) -> SnapshotAnswer {
        let request = SnapshotRequest::decode(&request.encode(), 64).unwrap();
        let answer = SnapshotAnswer::to_request(&request, sources, self.ledger()).unwrap();
        SnapshotAnswer::from_peer(&answer.encode()).unwrap()
    }

    fn history(&self, request: &HistoryRequest) -> HistoryAnswer {
        let answer = HistoryAnswer::to_request(request, self.ledger()).unwrap();
        HistoryAnswer::from_peer(&answer.encode()).unwrap()
    }

    fn snapshot(&self, folder: &Path) -> Arc<SnapshotSource> {
        let taken = snapshot::take(self.ledger(), &folder.join("snapshots")).unwrap();
        Arc::new(SnapshotSource::open(&taken.path).unwrap())
    }
}

fn offer(answer: SnapshotAnswer) -> SnapshotOffer {
    let SnapshotAnswer::Offer(offer) = answer else { panic!("{answer:?}") };
    *offer
}

fn options(genesis: &Genesis) -> LedgerOptions {
    LedgerOptions::new(genesis.hash(), genesis.chain.clone(), genesis.state_bucket_bits)
}

/// Pulls and installs what the source offers.
fn install(source: &Source, sources: &[Arc<SnapshotSource>], genesis: &Genesis, folder: &Path, ledger: &Path) {
    let offer = offer(source.ask(&SnapshotRequest::Offer, sources));
    let (manifest, proof) = offer.verified(genesis, &[], &HeldRecoveries::default()).unwrap();
    let height = manifest.header.height;
    let mut incoming = Incoming::begin(&folder.join("incoming"), manifest, proof).unwrap();
    for index in incoming.missing(0, usize::MAX) {
        let SnapshotAnswer::Part(bytes) = source.ask(&SnapshotRequest::Part { height, index }, sources) else {
            panic!("part {index} is not given");
        };
        incoming.accept(index, &bytes).unwrap();
    }
    let built = incoming.build(ledger, &options(genesis), genesis_state_root(genesis).unwrap(), &mut |_| {}).unwrap();
    built.put_in_place(&mut |_| {}).unwrap();
}

#[test]
fn a_node_starts_from_a_snapshot_follows_and_fills_in_the_past() {
    let (genesis, folder) = (genesis(1), folder());
    let mut source = Source::new(&folder.path().join("source"), &genesis);
    source.grow(30);
    let snapshot = source.snapshot(folder.path());
    let sources = [Arc::clone(&snapshot)];
    assert_eq!(source.ask(&SnapshotRequest::Offer, &sources), SnapshotAnswer::Nothing, "not certified yet");
    source.grow(3);
    source.certify();
    let beyond = SnapshotRequest::Part { height: 30, index: 99 };
    assert_eq!(source.ask(&beyond, &sources), SnapshotAnswer::Nothing);
    assert_eq!(source.ask(&SnapshotRequest::Part { height: 29, index: 0 }, &sources), SnapshotAnswer::Nothing);

    let path = folder.path().join("ledger");
    install(&source, &sources, &genesis, folder.path(), &path);
    let mut replica = executor(open_ledger(&path, &genesis), &genesis, "node-2.harlem", false);
    assert_eq!(replica.tip().height, 30);
    assert_eq!(replica.voters().hash(), source.replica.voters().hash());
    let answer = SyncAnswer::to_request(&SyncRequest::Blocks { from: 31 }, source.ledger()).unwrap();
    assert_eq!(replica.follow(answer).unwrap().len(), 3);
    assert_eq!(replica.tip(), source.replica.tip());
    assert_eq!(replica.ledger().certified_height(), 33);

    // History on another node that does not hold it: an empty answer changes nothing.
    let policy = HistoryPolicy { fetch: true, keep_bodies_blocks: 0 };
    let wanted = policy.wanted(replica.ledger()).unwrap().unwrap();
    assert_eq!(wanted, HistoryRequest::Headers { below: 30 });
    let empty = HistoryAnswer::to_request(&wanted, replica.ledger()).unwrap();
    assert_eq!(empty, HistoryAnswer::Headers(Vec::new()));
    assert!(!empty.fill(replica.ledger()).unwrap().advanced);
    let none = HistoryPolicy { fetch: false, ..policy };
    assert_eq!(none.wanted(replica.ledger()).unwrap(), None);
    // Altered answers are refused, and blame the peer.
    let HistoryAnswer::Headers(mut headers) = source.history(&wanted) else { panic!("headers") };
    headers[4].time.0 += 1;
    let error = HistoryAnswer::Headers(headers).fill(replica.ledger()).unwrap_err();
    assert!(error.blames_peer() && error.code() == "history-not-the-chains", "{error}");
    let mut questions = 0;
    while let Some(wanted) = policy.wanted(replica.ledger()).unwrap() {
        if let HistoryRequest::Bodies { below: 31 } = wanted {
            let HistoryAnswer::Bodies(mut bodies) = source.history(&wanted) else { panic!("bodies") };
            bodies[0].receipts.pop();
            let error = HistoryAnswer::Bodies(bodies).fill(replica.ledger()).unwrap_err();
            assert_eq!(error.code(), "history-not-the-chains");
        }
        assert!(source.history(&wanted).fill(replica.ledger()).unwrap().advanced);
        questions += 1;
        assert!(questions < 10);
    }
    let (ours, theirs) = (replica.ledger().view().unwrap(), source.ledger().view().unwrap());
    let all = EventSpan::default();
    assert_eq!(ours.event_scan(&all, 10_000).unwrap(), theirs.event_scan(&all, 10_000).unwrap());
    for height in 1..=33 {
        assert_eq!(ours.block(height).unwrap(), theirs.block(height).unwrap());
    }
    drop((ours, theirs));
    drop(replica);
    let scratch = folder.path().join("scratch");
    let report = galen_chain::verify::verify_folder(&path, &genesis, Some(&scratch), &mut |_| {}).unwrap();
    assert!(report.is_sound(), "{:#?}", report.findings);
    assert_eq!((report.executed, report.headers_from), (Some(33), 1));
}

#[test]
fn a_pruning_node_keeps_what_it_is_told_to_and_still_serves_headers() {
    let (genesis, folder) = (genesis(1), folder());
    let path = folder.path().join("source");
    let mut source = Source::new(&path, &genesis);
    source.grow(20);
    let policy = HistoryPolicy { fetch: true, keep_bodies_blocks: 8 };
    assert_eq!(policy.prune(source.ledger(), 100).unwrap().blocks, 0, "nothing is certified");
    source.certify();
    let first = policy.prune(source.ledger(), 5).unwrap();
    assert_eq!((first.blocks, first.bodies_from), (5, 6));
    assert_eq!(policy.prune(source.ledger(), 100).unwrap().bodies_from, 13);
    assert_eq!(policy.prune(source.ledger(), 100).unwrap().blocks, 0);
    assert_eq!(policy.wanted(source.ledger()).unwrap(), None, "what was pruned is not fetched again");
    let HistoryAnswer::Headers(headers) = source.history(&HistoryRequest::Headers { below: 11 }) else { panic!() };
    assert_eq!(headers.iter().map(|header| header.height).collect::<Vec<_>>(), (1..=10).rev().collect::<Vec<_>>());
    assert_eq!(source.history(&HistoryRequest::Bodies { below: 11 }), HistoryAnswer::Bodies(Vec::new()));
    let answer = SyncAnswer::to_request(&SyncRequest::Blocks { from: 5 }, source.ledger()).unwrap();
    assert!(matches!(answer, SyncAnswer::Blocks { blocks, .. } if blocks.is_empty()));
    let events = source.ledger().view().unwrap().event_scan(&EventSpan::default(), 10_000).unwrap();
    assert!(!events.is_empty());
    source.grow(2);
    drop(source);
    // A restart goes on, and verification reports what it could see.
    let source = Source::new(&path, &genesis);
    assert_eq!(source.replica.tip().height, 22);
    drop(source);
    let scratch = folder.path().join("scratch");
    let report = galen_chain::verify::verify_folder(&path, &genesis, Some(&scratch), &mut |_| {}).unwrap();
    assert!(report.is_sound(), "{:#?}", report.findings);
    assert_eq!((report.executed, report.bodies_from, report.height), (None, 13, 22));
}

#[test]
fn offers_that_do_not_hold_are_refused() {
    let (genesis, folder) = (genesis(1), folder());
    let mut source = Source::new(&folder.path().join("source"), &genesis);
    source.grow(4);
    let sources = [source.snapshot(folder.path())];
    source.grow(2);
    source.certify();
    let good = offer(source.ask(&SnapshotRequest::Offer, &sources));
    let recoveries = HeldRecoveries::default();
    let refused = |alter: &dyn Fn(&mut SnapshotOffer), code: &str| {
        let mut offer = good.clone();
        alter(&mut offer);
        let error: OfferError = offer.verified(&genesis, &[], &recoveries).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    };
    refused(&|offer| offer.certificate.signatures.clear(), "sync-certificate");
    refused(&|offer| offer.certificate.header = Hash::ZERO, "sync-not-certified");
    refused(&|offer| offer.trail.push(offer.manifest.header.clone()), "sync-not-linked");
    refused(&|offer| offer.manifest.rows += 1, "snapshot-manifest");
    refused(&|offer| offer.manifest.header.state_root = Hash::ZERO, "sync-not-certified");
    refused(&|offer| offer.manifest.header.epoch = 1, "snapshot-other-voters");
    refused(&|offer| offer.manifest.header.genesis = Hash::ZERO, "snapshot-other-voters");
    let strangers = VoterSet::new(0, Hash::ZERO, Vec::new());
    let error = good.verify(&genesis.hash(), &genesis.chain, &strangers).unwrap_err();
    assert_eq!(error.code(), "snapshot-other-voters");
    assert!(good.verified(&genesis, &[], &recoveries).is_ok());
    assert_eq!(SnapshotAnswer::from_peer(&[9, 9]).unwrap_err().code(), "snapshot-malformed");
}
