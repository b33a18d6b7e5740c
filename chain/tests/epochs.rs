//! Snapshots, history and offline checks of a chain that has seen several epochs, a recovery among them.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests assert by panicking")]

use std::path::Path;
use std::sync::Arc;

use galen_chain::executor::FollowError;
use galen_chain::history::HistoryPolicy;
use galen_chain::recovery::{HeldRecoveries, HeldRecovery};
use galen_chain::signatures::VerifiedCache;
use galen_chain::snapshot::{SnapshotAnswer, SnapshotOffer, SnapshotRequest, genesis_state_root};
use galen_chain::sync::{Handover, SyncAnswer, SyncRequest};
use galen_chain::verify::verify_folder;
use galen_chain::{Executor, ExecutorConfig, LedgerState, OrderedBatch};
use galen_contracts::query::get_node;
use galen_ledger::LedgerOptions;
use galen_ledger::install::Incoming;
use galen_ledger::snapshot::{self, SnapshotSource};
use galen_simulation::consortium::{Clients, batch, folder, genesis, key, name, open_ledger, voter_name};
use galen_types::certificate::Voter;
use galen_types::recovery::{Recovery, RecoverySignature, SignedRecovery};
use galen_types::{Call, DecodedTransaction, Encoding, Genesis, Timestamp, TransactionBody};

const KEYS: [&str; 4] = ["node-1.harlem", "second", "third", "fourth"];
const ADMINISTRATOR: &str = "admin@harlem";

/// The only voter, under all the keys that it has in turn.
fn replica(path: &Path, genesis: &Arc<Genesis>, recoveries: HeldRecoveries) -> Executor {
    let config = ExecutorConfig {
        genesis: Arc::clone(genesis),
        node: voter_name(0),
        voter_keys: KEYS.iter().map(|text| key(text)).collect(),
        orders: true,
        recoveries,
        verified: Arc::new(VerifiedCache::default()),
    };
    Executor::new(open_ledger(path, genesis), config).unwrap()
}

struct Source {
    genesis: Arc<Genesis>,
    replica: Executor,
    clients: Clients,
    held: Option<HeldRecovery>,
}

impl Source {
    fn execute(&mut self, time: Timestamp, transaction: &DecodedTransaction) {
        let applied = self.replica.ledger().applied().unwrap();
        // A recovery opens the next term.
        let ordered = OrderedBatch { term: applied.term.max(1), ..batch(applied.index + 1, time, &[transaction]) };
        assert!(self.replica.execute(&ordered).unwrap().block.is_some());
    }

    fn grow(&mut self, blocks: u64) {
        for _ in 0..blocks {
            let time = self.replica.tip().time.plus_ms(1);
            let transaction = self.clients.next("harlem", time.plus_ms(50_000));
            self.execute(time, &transaction);
        }
    }

    /// The last block of an epoch.
    fn rotate(&mut self, to: &str) {
        let call = Call::RotateNodeKey { node: voter_name(0), key: key(to).public_key() };
        // A node's key changes once a minute at most.
        let time = self.replica.tip().time.plus_ms(61_000);
        let transaction = self.clients.sign_with(&key(ADMINISTRATOR), ADMINISTRATOR, time.plus_ms(50_000), call);
        self.execute(time, &transaction);
    }

    fn certify(&mut self) {
        for signature in self.replica.sign().unwrap() {
            self.replica.add_signature(signature).unwrap().unwrap();
        }
        assert_eq!(self.replica.ledger().certified_height(), self.replica.tip().height);
    }

    fn recover(&mut self) {
        let tip = self.replica.tip();
        let node = {
            let state = LedgerState(self.replica.ledger().view().unwrap());
            get_node(&state, &voter_name(0)).unwrap().unwrap()
        };
        let recovery = Recovery {
            genesis: self.genesis.hash(),
            lineage: self.replica.lineage().unwrap(),
            height: tip.height,
            header: tip.hash,
            made: tip.time.plus_ms(10_000),
            abandoned: Vec::new(),
            voters: vec![Voter { node: node.name, key: node.key }],
        };
        let signatures = vec![RecoverySignature::sign(&recovery, name(ADMINISTRATOR), &key(ADMINISTRATOR))];
        let valid_until = recovery.made;
        let call = Call::Recover { recovery: Box::new(SignedRecovery { recovery, signatures }) };
        let (chain, signer) = (self.genesis.hash(), name(ADMINISTRATOR));
        let body = TransactionBody { chain, signer, salt: [0; 16], valid_until, call };
        let document = body.sign(&key(ADMINISTRATOR)).encode();
        self.replica.apply_recovery(&document).unwrap();
        let held = HeldRecovery::from_bytes(&document, &chain).unwrap();
        self.replica.hold_recovery(held.clone());
        self.held = Some(held);
    }

    fn recoveries(&self) -> HeldRecoveries {
        self.held.iter().cloned().collect()
    }

    fn handovers(&self) -> Vec<Handover> {
        let answer = SyncAnswer::to_request(&SyncRequest::Handovers { from_epoch: 0 }, self.replica.ledger()).unwrap();
        let SyncAnswer::Handovers { handovers } = answer else { panic!("{answer:?}") };
        handovers
    }

    fn offer(&self, sources: &[Arc<SnapshotSource>]) -> SnapshotOffer {
        let ledger = self.replica.ledger();
        let answer = SnapshotAnswer::to_request(&SnapshotRequest::Offer, sources, ledger).unwrap();
        let SnapshotAnswer::Offer(offer) = answer else { panic!("{answer:?}") };
        *offer
    }
}

/// Epochs: 0 up to height 3, where the key rotates; 1 up to 5, which a recovery keeps; 2 from its block at 6 up to 9,
/// where the key rotates again; 3 has not begun.
fn source(path: &Path) -> Source {
    let genesis = genesis(1);
    let replica = replica(path, &genesis, HeldRecoveries::default());
    let mut source = Source { clients: Clients::new(&genesis), genesis, replica, held: None };
    source.grow(2);
    source.rotate(KEYS[1]);
    source.certify();
    source.grow(1);
    source.certify();
    source.grow(1);
    source.recover();
    source.certify();
    source.grow(2);
    source.rotate(KEYS[2]);
    source.certify();
    assert_eq!((source.replica.tip().height, source.replica.voters().epoch), (9, 3));
    source
}

#[test]
fn a_snapshot_is_believed_by_the_handovers_that_lead_to_it() {
    let folder = folder();
    let mut source = source(&folder.path().join("source"));
    let taken = snapshot::take(source.replica.ledger(), &folder.path().join("snapshots")).unwrap();
    let sources = [Arc::new(SnapshotSource::open(&taken.path).unwrap())];
    let (offer, handovers) = (source.offer(&sources), source.handovers());
    assert_eq!((offer.header().height, offer.header().epoch, handovers.len()), (9, 2, 3));
    let code = |handovers: &[Handover], recoveries: &HeldRecoveries| {
        let outcome = offer.clone().verified(&source.genesis, handovers, recoveries);
        outcome.map(|_| ()).map_err(|error| error.code())
    };
    let held = source.recoveries();
    assert_eq!(code(&handovers, &HeldRecoveries::default()), Err("sync-handover"), "the recovery is not held");
    assert_eq!(code(&handovers[1..], &held), Ok(()), "a recovery that is held names its voters, whoever was before");
    assert_eq!(code(&handovers[2..], &held), Err("snapshot-other-voters"), "the way to its epoch is missing");
    assert_eq!(code(&handovers[..1], &held), Err("snapshot-other-voters"), "they end before its epoch");
    assert_eq!(code(&[], &held), Err("snapshot-other-voters"));
    let mut forged = handovers.clone();
    forged.remove(1);
    assert_eq!(code(&forged, &held), Err("snapshot-other-voters"), "one in the middle is missing");

    // The epoch after the snapshot's has not begun: its voters come with the snapshot all the same.
    let (manifest, proof) = offer.clone().verified(&source.genesis, &handovers, &held).unwrap();
    let mut incoming = Incoming::begin(&folder.path().join("incoming"), manifest, proof).unwrap();
    for index in incoming.missing(0, usize::MAX) {
        let request = SnapshotRequest::Part { height: 9, index };
        let answer = SnapshotAnswer::to_request(&request, &sources, source.replica.ledger()).unwrap();
        let SnapshotAnswer::Part(bytes) = answer else { panic!("part {index} is not given") };
        incoming.accept(index, &bytes).unwrap();
    }
    let ledger = folder.path().join("ledger");
    let options =
        LedgerOptions::new(source.genesis.hash(), source.genesis.chain.clone(), source.genesis.state_bucket_bits);
    let root = genesis_state_root(&source.genesis).unwrap();
    incoming.build(&ledger, &options, root, &mut |_| {}).unwrap().put_in_place(&mut |_| {}).unwrap();
    let mut installed = replica(&ledger, &source.genesis, held.clone());
    assert_eq!(installed.voters(), source.replica.voters());
    assert_eq!((installed.tip(), installed.ledger().certified_height()), (source.replica.tip(), 9));
    assert_eq!(installed.lineage().unwrap(), source.held.as_ref().unwrap().hash);

    // It follows into the epoch that had not begun, and over the next handover.
    source.grow(1);
    source.rotate(KEYS[3]);
    source.certify();
    source.grow(1);
    source.certify();
    while installed.tip().height < 12 {
        let request = SyncRequest::Blocks { from: installed.tip().height + 1 };
        let answer = SyncAnswer::to_request(&request, source.replica.ledger()).unwrap();
        assert!(!installed.follow(answer).unwrap().is_empty());
    }
    assert_eq!((installed.tip(), installed.ledger().certified_height()), (source.replica.tip(), 12));
    assert_eq!(installed.voters(), source.replica.voters());
    drop(installed);
    let report = verify_folder(&ledger, &source.genesis, None, &mut |_| {}).unwrap();
    assert!(report.is_sound(), "{:#?}", report.findings);

    // The past comes back over both handovers and the recovery, whose document then is in the ledger.
    let installed = replica(&ledger, &source.genesis, HeldRecoveries::default());
    let policy = HistoryPolicy { fetch: true, keep_bodies_blocks: 0 };
    while let Some(wanted) = policy.wanted(installed.ledger()).unwrap() {
        let answer = galen_chain::history::HistoryAnswer::to_request(&wanted, source.replica.ledger()).unwrap();
        assert!(answer.fill(installed.ledger()).unwrap().advanced);
    }
    drop(installed);
    let scratch = folder.path().join("scratch");
    let report = verify_folder(&ledger, &source.genesis, Some(&scratch), &mut |_| {}).unwrap();
    assert!(report.is_sound(), "{:#?}", report.findings);
    assert_eq!((report.executed, report.recoveries.len()), (Some(12), 1));
}

#[test]
fn a_node_whose_ledger_holds_a_recovery_needs_its_document_no_more() {
    let folder = folder();
    let path = folder.path().join("source");
    let mut source = source(&path);
    let Source { genesis, .. } = &source;
    let genesis = Arc::clone(genesis);
    drop(source.replica);
    // A restart without the document, and whoever holds it follows through from the genesis on.
    source.replica = replica(&path, &genesis, HeldRecoveries::default());
    assert_eq!(source.replica.lineage().unwrap(), source.held.as_ref().unwrap().hash);
    source.grow(2);
    source.certify();
    let follow = |recoveries: HeldRecoveries| {
        let path = folder.path().join(format!("follower-{}", recoveries.holds(&source.held.as_ref().unwrap().hash)));
        let mut follower = replica(&path, &genesis, recoveries);
        for _ in 0..20 {
            let request = SyncRequest::Blocks { from: follower.tip().height + 1 };
            let answer = SyncAnswer::to_request(&request, source.replica.ledger()).unwrap();
            if let Err(error) = follower.follow(answer) {
                let FollowError::Answer(error) = error else { panic!("{error}") };
                return (follower.tip().height, Some(String::from(error.code())));
            }
        }
        (follower.tip().height, None)
    };
    assert_eq!(follow(source.recoveries()), (11, None));
    let (height, error) = follow(HeldRecoveries::default());
    assert!(height == 5 && error.as_deref() == Some("sync-recovery"), "{height}: {error:?}");
    drop(source.replica);
    let scratch = folder.path().join("scratch");
    let report = verify_folder(&path, &genesis, Some(&scratch), &mut |_| {}).unwrap();
    assert!(report.is_sound(), "{:#?}", report.findings);
    assert_eq!((report.executed, report.recoveries.len()), (Some(11), 1));
}

#[test]
fn a_folder_is_verified_where_the_recoverys_body_is_pruned_or_missing() {
    let folder = folder();
    let path = folder.path().join("source");
    let mut source = source(&path);
    source.grow(3);
    source.certify();
    let policy = HistoryPolicy { fetch: false, keep_bodies_blocks: 4 };
    assert_eq!(policy.prune(source.replica.ledger(), 100).unwrap().bodies_from, 9);
    let genesis = Arc::clone(&source.genesis);
    drop(source);
    // Its header, the epochs on both sides and the certificates of the new voters are still checked.
    let report = verify_folder(&path, &genesis, None, &mut |_| {}).unwrap();
    assert!(report.is_sound(), "{:#?}", report.findings);
    assert_eq!((report.height, report.bodies_from, report.recoveries.len()), (12, 9, 1));
    let replica = replica(&path, &genesis, HeldRecoveries::default());
    assert_eq!(replica.tip().height, 12);
    drop(replica);

    // Where the body must be held and is not, or is another block's, the recovery explains nothing.
    let path = folder.path().join("another");
    drop(self::source(&path));
    let names = rocksdb::DB::list_cf(&rocksdb::Options::default(), &path).unwrap();
    let database = rocksdb::DB::open_cf(&rocksdb::Options::default(), &path, &names).unwrap();
    let column = database.cf_handle("transactions").unwrap();
    let of = |height: u64| {
        let mut rows = database.prefix_iterator_cf(column, height.to_be_bytes());
        rows.next().unwrap().unwrap()
    };
    let ((_, other), (place, _)) = (of(5), of(6));
    database.put_cf(column, place, other).unwrap();
    drop(database);
    let report = verify_folder(&path, &genesis, None, &mut |_| {}).unwrap();
    assert!(!report.is_sound());
    assert!(
        report.findings.iter().any(|finding| format!("{:?}", finding.problem).contains("no recovery explains it")),
        "{:#?}",
        report.findings
    );
}
