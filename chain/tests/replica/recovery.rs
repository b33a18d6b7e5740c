//! A chain that goes on by a recovery: wherever it came, whoever is behind, however the newcomer catches up.

use std::sync::Arc;

use galen_chain::Executor;
use galen_chain::executor::{ApplyRecoveryError, Certification, FollowError};
use galen_chain::history::{HistoryAnswer, HistoryPolicy};
use galen_chain::recovery::{HeldRecoveries, HeldRecovery};
use galen_chain::snapshot::{SnapshotAnswer, SnapshotRequest, genesis_state_root};
use galen_chain::sync::{Handover, HandoverProof, SyncAnswer, SyncRequest, verify_handovers};
use galen_ledger::LedgerOptions;
use galen_ledger::install::Incoming;
use galen_ledger::snapshot::SnapshotSource;
use galen_types::certificate::VoterSignature;
use galen_types::{Certificate, DecodedTransaction, Encoding, HeaderSignature};

use super::handover::Chain;
use super::support::{FOUNDED, batch, executor, folder, key, name, open_ledger, verify, voter_name};

impl Chain {
    fn held(&self, document: &[u8]) -> HeldRecovery {
        HeldRecovery::from_bytes(document, &self.genesis.hash()).unwrap()
    }

    /// The document alone, as a newcomer has it.
    fn document(&self, document: &[u8]) -> HeldRecovery {
        HeldRecovery::from_document(self.held(document).recovery)
    }

    fn certify(&mut self, height: u64, first: &str, places: &[usize]) {
        let certificate = self.certificate(height, &key(first), places);
        self.replica.add_certificate(certificate).unwrap();
        assert_eq!(self.certified(), height);
    }

    /// Applies it, and its voters certify the block.
    fn recover(&mut self, document: &[u8], first: &str, places: &[usize]) -> u64 {
        let height = self.replica.apply_recovery(document).unwrap().block.header.height;
        self.index = self.replica.ledger().applied().unwrap().index;
        self.certify(height, first, places);
        height
    }

    /// A block after the first recovery.
    fn later_block(&mut self, member: &str) -> u64 {
        let transaction = self.clients.next(member, self.replica.tip().time.plus_ms(50_000));
        self.index += 1;
        let mut batch = batch(self.index, FOUNDED, &[&transaction]);
        batch.term = self.replica.ledger().applied().unwrap().term;
        self.replica.execute(&batch).unwrap();
        self.replica.tip().height
    }

    fn handovers(&self, from_epoch: u64) -> Vec<Handover> {
        let SyncAnswer::Handovers { handovers } = self.ask(SyncRequest::Handovers { from_epoch }) else { panic!() };
        handovers
    }

    /// Whether handovers lead a node that believes these recoveries from the genesis to the voters of now.
    fn leads(&self, recoveries: &HeldRecoveries) -> Result<(), String> {
        let (hash, founders) = (self.genesis.hash(), self.genesis.voter_set());
        let led = verify_handovers(&hash, &founders, &self.handovers(0), recoveries);
        let led = led.map_err(|error| error.to_string())?;
        assert_eq!(&led, self.replica.voters());
        Ok(())
    }

    /// Catches up by snapshot, as a node with an empty folder does; the ledger is in `ledger` of the folder.
    fn install(&self, folder: &std::path::Path, recoveries: &HeldRecoveries) -> Result<(), String> {
        let ledger = self.replica.ledger();
        let taken = galen_ledger::snapshot::take(ledger, &folder.join("snapshots")).unwrap();
        let sources = [Arc::new(SnapshotSource::open(&taken.path).unwrap())];
        let ask = |request: &SnapshotRequest| SnapshotAnswer::to_request(request, &sources, ledger).unwrap();
        let SnapshotAnswer::Offer(offer) = ask(&SnapshotRequest::Offer) else { panic!("no offer") };
        let verified = offer.verified(&self.genesis, &self.handovers(0), recoveries);
        let (manifest, proof) = verified.map_err(|error| error.to_string())?;
        let height = manifest.header.height;
        let mut incoming = Incoming::begin(&folder.join("incoming"), manifest, proof).unwrap();
        for index in incoming.missing(0, usize::MAX) {
            let SnapshotAnswer::Part(bytes) = ask(&SnapshotRequest::Part { height, index }) else { panic!("no part") };
            incoming.accept(index, &bytes).unwrap();
        }
        let genesis = &self.genesis;
        let options = LedgerOptions::new(genesis.hash(), genesis.chain.clone(), genesis.state_bucket_bits);
        let root = genesis_state_root(genesis).unwrap();
        let built = incoming.build(&folder.join("ledger"), &options, root, &mut |_| {}).unwrap();
        built.put_in_place(&mut |_| {}).unwrap();
        Ok(())
    }

    fn voter(&self, place: usize) -> (tempfile::TempDir, Executor) {
        let folder = folder();
        let node = voter_name(place).to_string();
        let replica = executor(open_ledger(folder.path(), &self.genesis), &self.genesis, &node, true);
        (folder, replica)
    }
}

fn believed(held: &[HeldRecovery]) -> HeldRecoveries {
    held.iter().cloned().collect()
}

fn refused(outcome: Result<Vec<galen_chain::Executed>, FollowError>) -> &'static str {
    match outcome {
        Err(FollowError::Answer(error)) => error.code(),
        Err(error) => panic!("{error}"),
        Ok(applied) => panic!("{applied:?}"),
    }
}

/// A chain of one certified block.
fn begun() -> Chain {
    let mut chain = Chain::new();
    chain.block();
    chain.certify(1, "node-1.harlem", &[0, 1, 2]);
    chain
}

/// Survivors with unequal ledgers: the voters that lack blocks get them, and the recovery's own, before anything is
/// certified, because it takes their signatures to certify it.
#[test]
fn voters_that_are_behind_get_what_the_recovery_keeps_before_it_is_certified() {
    for voters in [&[0, 1][..], &[0, 1, 2, 3]] {
        let mut chain = begun();
        let mut others: Vec<_> = voters[1..].iter().map(|place| (*place, chain.voter(*place))).collect();
        for (_, (_, other)) in &mut others {
            other.follow(chain.ask(SyncRequest::Blocks { from: 1 })).unwrap();
        }
        // Two blocks that the first alone has, none of them certified.
        chain.block();
        chain.block();
        let document = chain.recovery(voters);
        let block = chain.replica.apply_recovery(&document).unwrap();
        assert_eq!(block.block.header.height, 4);
        let mut signatures = chain.replica.sign().unwrap();
        for (_, (_, other)) in &mut others {
            assert!(other.apply_recovery(&document).is_err(), "it is behind");
            assert_eq!(refused(other.follow(chain.ask(SyncRequest::Blocks { from: 2 }))), "sync-not-certified");
            other.hold_recovery(chain.held(&document));
            for from in [2, 4] {
                other.follow(chain.ask(SyncRequest::Blocks { from })).unwrap();
            }
            assert_eq!(other.tip(), chain.replica.tip());
            signatures.extend(other.sign().unwrap());
        }
        for signature in signatures {
            let _ = chain.replica.add_signature(signature).unwrap();
        }
        assert_eq!(chain.certified(), 4, "{voters:?}");
    }
}

/// The same nodes go on from a backup: nothing that they signed after it, before it was restored, counts any more.
#[test]
fn what_was_signed_before_a_recovery_says_nothing_after_it() {
    let (mut old, mut new) = (begun(), begun());
    for _ in 0..2 {
        old.block();
    }
    let stale = |height| old.certificate(height, &old.first.clone(), &[0, 1, 2, 3]);
    let signature = |certificate: &Certificate| {
        let (height, header, part) = (certificate.height, certificate.header, &certificate.signatures[1]);
        HeaderSignature { height, header, voter: part.voter.clone(), signature: part.signature }
    };
    let document = new.recovery(&[0, 1, 2, 3]);
    // Before the recovery's block is here, and after.
    new.replica.hold_recovery(new.held(&document));
    assert_eq!(new.replica.add_certificate(stale(3)).unwrap(), Certification::Behind(3));
    new.replica.apply_recovery(&document).unwrap();
    assert_eq!(new.replica.certify_applied().unwrap(), None);
    assert_eq!(new.replica.add_certificate(stale(2)).unwrap(), Certification::Nothing);
    assert_eq!(new.replica.add_certificate(stale(3)).unwrap(), Certification::Claimed(3));
    assert!(new.replica.add_signature(signature(&stale(2))).unwrap().is_err());
    assert_eq!(new.certified(), 1);
    new.certify(2, "node-1.harlem", &[0, 1, 2]);
    new.index = new.replica.ledger().applied().unwrap().index;
    let height = new.later_block("harlem");
    assert_eq!(height, 3);
    new.certify(3, "node-1.harlem", &[0, 1, 2]);
    assert!(new.replica.ledger().view().unwrap().evidence(0, 9).unwrap().is_empty(), "nobody lied");
}

/// The abandoned voters went on and certified it. Who holds the recovery takes nothing of that, neither blocks nor a
/// snapshot, whoever brings it.
#[test]
fn what_abandoned_voters_certified_is_not_taken_by_who_holds_the_recovery() {
    let (mut old, new) = (begun(), begun());
    assert_eq!(old.replica.tip(), new.replica.tip());
    let document = new.recovery(&[0]);
    for height in 2..=4 {
        old.block();
        old.certify(height, "node-1.harlem", &[1, 2, 3]);
    }
    let (_folder, mut behind) = old.voter(3);
    behind.hold_recovery(old.held(&document));
    // From before the block that is kept they lead up to it, and no further.
    behind.follow(old.ask(SyncRequest::Blocks { from: 1 })).unwrap();
    assert_eq!(behind.tip(), new.replica.tip());
    assert_eq!(refused(behind.follow(old.ask(SyncRequest::Blocks { from: 2 }))), "sync-given-up");
    assert_eq!(behind.tip().height, 1);
    let folder = folder();
    let outcome = old.install(folder.path(), &believed(&[old.held(&document)]));
    assert!(outcome.is_err_and(|error| error.contains("was given up")));
    old.install(folder.path(), &HeldRecoveries::default()).unwrap();
}

/// One recovery, completed twice: two blocks at one height, under one lineage. The one that the voters certify counts, and
/// who made the other is told, not that all is well.
#[test]
fn of_a_recovery_that_was_completed_twice_the_certified_block_counts() {
    let mut chain = begun();
    let document = chain.recovery(&[0, 1]);
    let mut body = DecodedTransaction::decode(document.clone(), 1 << 20).unwrap().body;
    body.salt = [1; 16];
    let other = body.sign(&key(&body.signer.to_string())).encode();
    assert_eq!(chain.held(&document).hash, chain.held(&other).hash);
    let (_folder, mut behind) = chain.voter(3);
    behind.follow(chain.ask(SyncRequest::Blocks { from: 1 })).unwrap();
    behind.hold_recovery(chain.held(&other));
    chain.replica.apply_recovery(&document).unwrap();
    assert_eq!(refused(behind.follow(chain.ask(SyncRequest::Blocks { from: 2 }))), "sync-not-certified");
    chain.certify(2, "node-1.harlem", &[0, 1]);
    behind.follow(chain.ask(SyncRequest::Blocks { from: 2 })).unwrap();
    assert_eq!(behind.tip(), chain.replica.tip());
    let again = |replica: &mut Executor, document: &[u8]| match replica.apply_recovery(document).unwrap_err() {
        ApplyRecoveryError::Recovery(error) => error.code(),
        ApplyRecoveryError::Fatal(error) => panic!("{error}"),
    };
    for replica in [&mut behind, &mut chain.replica] {
        assert_eq!(again(replica, &document), "recovery-applied");
        assert_eq!(again(replica, &other), "recovery-applied-otherwise");
    }
}

#[test]
fn a_recovery_right_after_the_end_of_an_epoch_is_followed() {
    let mut chain = begun();
    let end = chain.rotate("new");
    chain.certify(end, "node-1.harlem", &[0, 1, 2]);
    // The quorum is lost on an idle chain: no block of epoch 1 was made.
    let document = chain.recovery(&[0, 1]);
    chain.recover(&document, "new", &[0, 1]);
    let held = believed(&[chain.document(&document)]);
    chain.leads(&held).unwrap();
    assert_eq!(chain.handovers(0).len(), 2);
    assert_eq!(chain.handovers(1).len(), 1, "from the epoch that never began");
    let folder = folder();
    chain.install(folder.path(), &held).unwrap();
    let report = verify(&folder.path().join("ledger"), &chain.genesis, false);
    assert!(report.is_sound(), "{:#?}", report.findings);
    assert_eq!(report.recoveries.len(), 1);
    // An offline check from a snapshot of the very block that the recovery keeps.
    let (_kept, mut observer) = chain.observer();
    observer.follow(chain.ask(SyncRequest::Blocks { from: 1 })).unwrap();
    assert_eq!(observer.tip().height, end);
}

/// Keys that no voter set had before: an observer's, and one that a voter took in the last block that is kept.
#[test]
fn a_recovery_may_name_any_node_with_its_registered_key() {
    for (voters, first) in
        [(["node-1.harlem", "watcher.harlem"].as_slice(), "node-1.harlem"), (&["node-1.harlem"], "new")]
    {
        let mut chain = begun();
        if first == "new" {
            chain.rotate("new");
        }
        let voters: Vec<_> = voters.iter().map(|voter| name(voter)).collect();
        let document = chain.recovery_with(&voters, &["harlem"]);
        let height = chain.replica.apply_recovery(&document).unwrap().block.header.height;
        let header = chain.replica.ledger().view().unwrap().header(height).unwrap().unwrap();
        let signed = |voter: &galen_types::NodeName| {
            let secret = if *voter == voter_name(0) { key(first) } else { key(&voter.to_string()) };
            let (genesis, set) = (chain.genesis.hash(), header.voter_set);
            let made = HeaderSignature::sign(&genesis, &set, height, header.hash(), voter.clone(), &secret);
            VoterSignature { voter: made.voter, signature: made.signature }
        };
        let signatures = voters.iter().map(signed).collect();
        chain.replica.add_certificate(Certificate { height, header: header.hash(), signatures }).unwrap();
        assert_eq!(chain.certified(), height);
        let held = believed(&[chain.document(&document)]);
        chain.leads(&held).unwrap();
        let folder = folder();
        chain.install(folder.path(), &held).unwrap();
        assert!(verify(&folder.path().join("ledger"), &chain.genesis, false).is_sound());
        // Whoever holds the old key of a voter cannot name other voters for the recovery that is believed.
        let mut forged = chain.handovers(0);
        let HandoverProof::Recovery { header, .. } = &mut forged.last_mut().unwrap().proof else { panic!() };
        let mut stolen = chain.replica.voters().clone();
        stolen.voters[0].key = key("stolen").public_key();
        header.voter_set = stolen.hash();
        forged.last_mut().unwrap().next = stolen;
        let led = verify_handovers(&chain.genesis.hash(), &chain.genesis.voter_set(), &forged, &held);
        assert_eq!(led.unwrap_err().code(), "sync-handover");
    }
}

/// Epoch 1 was announced and began, but nothing of it was certified when the quorum was lost.
fn passed_over() -> (Chain, Vec<u8>) {
    let mut chain = begun();
    chain.rotate("new");
    chain.block();
    let document = chain.recovery(&[1, 2]);
    chain.recover(&document, "new", &[1, 2]);
    (chain, document)
}

/// A ledger that a snapshot made lacks the voters that never certified anything; with and without its earlier headers.
#[test]
fn a_ledger_from_a_snapshot_over_an_epoch_that_was_passed_over_is_sound() {
    let (chain, document) = passed_over();
    let folder = folder();
    chain.install(folder.path(), &believed(&[chain.document(&document)])).unwrap();
    let path = folder.path().join("ledger");
    let report = verify(&path, &chain.genesis, false);
    assert!(report.is_sound(), "{:#?}", report.findings);
    assert_eq!((report.certified_height, report.recoveries.len()), (4, 1));
    let ledger = open_ledger(&path, &chain.genesis);
    let policy = HistoryPolicy { fetch: true, keep_bodies_blocks: 0 };
    while let Some(request) = policy.wanted(&ledger).unwrap() {
        let answer = HistoryAnswer::to_request(&request, chain.replica.ledger()).unwrap();
        answer.fill(&ledger).unwrap();
    }
    // From its own base it tells others how the voters changed.
    let SyncAnswer::Handovers { handovers } =
        SyncAnswer::to_request(&SyncRequest::Handovers { from_epoch: 0 }, &ledger).unwrap()
    else {
        panic!()
    };
    assert_eq!(handovers, chain.handovers(0));
    drop(ledger);
    let report = verify(&path, &chain.genesis, true);
    assert!(report.is_sound(), "{:#?}", report.findings);
    assert_eq!((report.headers_from, report.bodies_from), (1, 1));
}

/// Two recoveries, and the blocks of both pruned: who believes both catches up, who believes one does not.
#[test]
fn newcomers_catch_up_over_several_recoveries_also_where_their_blocks_are_pruned() {
    let (mut chain, first) = passed_over();
    chain.later_block("hennepin");
    let kept = chain.later_block("hennepin");
    chain.certify(kept, "new", &[1, 2]);
    let second = chain.recovery_with(&[voter_name(2)], &["kentucky"]);
    let height = chain.recover(&second, "new", &[2]);
    let tip = chain.later_block("kentucky");
    chain.certify(tip, "new", &[2]);
    let (one, two) = (chain.document(&first), chain.document(&second));
    assert_eq!(two.recovery.lineage, one.hash, "it names the one before");
    assert_eq!((chain.replica.lineage().unwrap(), height), (two.hash, kept + 1));
    let both = believed(&[one.clone(), two.clone()]);
    assert_eq!(both.lineage_from(galen_types::Hash::ZERO), two.hash);
    chain.leads(&both).unwrap();
    for part in [&one, &two] {
        assert!(chain.leads(&believed(std::slice::from_ref(part))).is_err());
    }
    let policy = HistoryPolicy { fetch: false, keep_bodies_blocks: 1 };
    policy.prune(chain.replica.ledger(), 100).unwrap();
    assert!(chain.replica.ledger().view().unwrap().block(height).unwrap().is_none());
    chain.leads(&both).unwrap();
    let folder = folder();
    chain.install(folder.path(), &both).unwrap();
    let path = folder.path().join("ledger");
    let report = verify(&path, &chain.genesis, false);
    assert!(report.is_sound(), "{:#?}", report.findings);
    let found: Vec<_> = report.recoveries.iter().map(|found| found.recovery).collect();
    assert_eq!(found, [one.hash, two.hash]);
    // A ledger without the earlier headers hands on what it rests on.
    let ledger = open_ledger(&path, &chain.genesis);
    let SyncAnswer::Handovers { handovers } =
        SyncAnswer::to_request(&SyncRequest::Handovers { from_epoch: 0 }, &ledger).unwrap()
    else {
        panic!()
    };
    assert_eq!(handovers, chain.handovers(0));
    // What the state records is believed by the node that has it.
    let mut recorded = HeldRecoveries::default();
    recorded.add_recorded(&galen_chain::LedgerState(ledger.view().unwrap())).unwrap();
    chain.leads(&recorded).unwrap();
}

/// A newcomer that holds documents alone follows block by block, once the recovery's voters have certified its block; it
/// takes no other block made of the same document.
#[test]
fn a_newcomer_with_the_document_alone_takes_the_block_that_is_certified() {
    let mut chain = begun();
    let document = chain.recovery(&[0, 1]);
    // The first signer completed it twice: the same document, another transaction.
    let mut other = begun();
    let body = galen_types::DecodedTransaction::decode(document.clone(), 1 << 20).unwrap().body;
    let again = galen_types::TransactionBody { salt: [9; 16], ..body }.sign(&key("admin@harlem")).encode();
    other.replica.apply_recovery(&again).unwrap();
    chain.replica.apply_recovery(&document).unwrap();
    let (_folder, mut observer) = chain.observer();
    observer.follow(chain.ask(SyncRequest::Blocks { from: 1 })).unwrap();
    assert_eq!(refused(observer.follow(chain.ask(SyncRequest::Blocks { from: 2 }))), "sync-recovery");
    observer.hold_recovery(chain.document(&document));
    for source in [&chain, &other] {
        assert_eq!(refused(observer.follow(source.ask(SyncRequest::Blocks { from: 2 }))), "sync-not-certified");
    }
    chain.certify(2, "node-1.harlem", &[0, 1]);
    chain.index = chain.replica.ledger().applied().unwrap().index;
    let tip = chain.later_block("harlem");
    chain.certify(tip, "node-1.harlem", &[0, 1]);
    assert_eq!(observer.follow(chain.ask(SyncRequest::Blocks { from: 2 })).unwrap().len(), 2);
    assert_eq!((observer.tip(), observer.ledger().certified_height()), (chain.replica.tip(), tip));
}

/// What a recovery block brought is told, although the blocks after it are not believed.
#[test]
fn a_recovery_block_is_told_although_what_follows_it_is_not_believed() {
    let mut chain = begun();
    let document = chain.recovery(&[0, 1]);
    chain.recover(&document, "node-1.harlem", &[0, 1]);
    let tip = chain.later_block("harlem");
    chain.certify(tip, "node-1.harlem", &[0, 1]);
    let (_folder, mut observer) = chain.observer();
    observer.follow(chain.ask(SyncRequest::Blocks { from: 1 })).unwrap();
    observer.hold_recovery(chain.held(&document));
    let SyncAnswer::Blocks { blocks, trail, .. } = chain.ask(SyncRequest::Blocks { from: 2 }) else { panic!() };
    assert_eq!(blocks.len(), 2);
    let applied = observer.follow(SyncAnswer::Blocks { blocks, trail, certificate: None }).unwrap();
    assert_eq!((applied.len(), observer.tip().height), (1, 2));
}

/// Certification never passed the first epoch's end without its certificate; a recovery that came later does not hide that
/// it is gone.
#[test]
fn a_handover_that_is_lost_below_a_recovery_is_found() {
    let mut chain = begun();
    let end = chain.rotate("new");
    chain.certify(end, "node-1.harlem", &[0, 1, 2]);
    let after = chain.block();
    chain.certify(after, "new", &[0, 1, 2]);
    let document = chain.recovery(&[0, 1]);
    chain.recover(&document, "new", &[0, 1]);
    let Chain { genesis, folder, replica, .. } = chain;
    drop(replica);
    assert!(verify(folder.path(), &genesis, true).is_sound());
    let names = rocksdb::DB::list_cf(&rocksdb::Options::default(), folder.path()).unwrap();
    let database = rocksdb::DB::open_cf(&rocksdb::Options::default(), folder.path(), &names).unwrap();
    database.delete_cf(database.cf_handle("certificates").unwrap(), end.to_be_bytes()).unwrap();
    drop(database);
    let report = verify(folder.path(), &genesis, false);
    assert!(report.findings.iter().any(|finding| finding.column == "certificates"), "{:#?}", report.findings);
}

/// A recovery changes who orders and votes: the group that ordering is led by changes with its block.
#[test]
fn a_recovery_makes_a_new_group() {
    let mut chain = begun();
    assert_eq!(chain.replica.take_group().map(|group| group.voters.len()), Some(4));
    let document = chain.recovery(&[0, 1]);
    chain.recover(&document, "node-1.harlem", &[0, 1]);
    let group = chain.replica.take_group().unwrap();
    assert_eq!((group.height, group.voters.len(), group.learners.len()), (2, 2, 0));
    let members: Vec<_> = group.voters.values().cloned().collect();
    assert_eq!(members, [voter_name(0), voter_name(1)]);
}
