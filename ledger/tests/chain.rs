//! Committing, reading, reopening, and what is refused.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests assert by panicking")]

mod fixture;

use fixture::{commit, execute, fill, grow, next_block, open, options, transaction};
use galen_ledger::{BlockCommit, EventSpan, Ledger, LedgerError};
use galen_types::Hash;

#[test]
fn what_is_committed_is_read_and_survives_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    let block = grow(&ledger);
    let made = execute(1, &block.transactions);
    let check = |ledger: &Ledger| {
        let view = ledger.view().unwrap();
        assert_eq!(ledger.tip().unwrap().hash, block.header.hash());
        assert_eq!(view.block(1).unwrap().as_ref(), Some(&block));
        assert_eq!(view.header_hash(1).unwrap(), Some(block.header.hash()));
        assert_eq!(view.receipts(1).unwrap(), made.receipts);
        let (location, receipt) = view.receipt(&made.receipts[2].transaction).unwrap().unwrap();
        assert_eq!((location.height, location.index, receipt), (1, 2, made.receipts[2].clone()));
        assert_eq!(view.transaction_at(&location).unwrap().unwrap(), block.transactions[2]);
        assert_eq!(view.state_get(b"height").unwrap().unwrap(), 1_u64.to_le_bytes());
        assert_eq!(view.state_get(&[b'g', 1]).unwrap(), None);
        assert_eq!(ledger.applied().unwrap().index, block.header.raft_index);
        assert_eq!(ledger.state_root().unwrap(), block.header.state_root);
    };
    check(&ledger);
    drop(ledger);
    let ledger = open(folder.path());
    check(&ledger);
    assert_eq!(ledger.durable_height(), 1, "opening syncs what the log brought back");
    drop(ledger);
    check(&Ledger::open_read_only(folder.path()).unwrap());
}

#[test]
fn scans_page_forwards_and_backwards() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    fill(&ledger);
    let view = ledger.view().unwrap();
    let first = view.state_scan(b"g", None, 10).unwrap();
    let second = view.state_scan(b"g", Some(&first[9].0), 1000).unwrap();
    assert_eq!(first.len() + second.len(), 200 - 5);
    assert!(first[9].0 < second[0].0);
    let user = EventSpan { prefix: b"user-0@harlem\0", ..EventSpan::default() };
    let forward = view.event_scan(&user, 100).unwrap();
    let mut backward = view.event_scan(&EventSpan { reverse: true, ..user }, 100).unwrap();
    backward.reverse();
    assert_eq!(forward, backward);
    assert_eq!(forward.len(), 5);
    let inner = EventSpan { after: Some(&forward[0].0), before: Some(&forward[3].0), ..user };
    assert_eq!(view.event_scan(&inner, 100).unwrap(), forward[1..3]);
    assert_eq!(view.headers(2, 3).unwrap().iter().map(|header| header.height).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(view.certificate_covering(3).unwrap().unwrap().height, 3);
    assert_eq!(view.certificate_covering(1).unwrap().unwrap().height, 2);
    assert_eq!(view.certificate_covering(5).unwrap(), None);
    assert_eq!(ledger.certified_height(), 4);
    assert_eq!(view.signatures(2).unwrap().len(), 2);
    assert_eq!(view.evidence(0, 10).unwrap().len(), 1);
    assert_eq!(view.voter_set(1).unwrap(), Some(fixture::voters(1)));
}

#[test]
fn a_view_does_not_change_while_blocks_are_committed() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    grow(&ledger);
    let view = ledger.view().unwrap();
    std::thread::scope(|scope| scope.spawn(|| grow(&ledger)).join().unwrap());
    assert_eq!((view.height(), ledger.tip().unwrap().height), (1, 2));
    assert_eq!(view.state_get(b"height").unwrap().unwrap(), 1_u64.to_le_bytes());
    assert_eq!(view.block(2).unwrap(), None);
}

#[test]
fn blocks_that_do_not_follow_are_refused_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    grow(&ledger);
    let refuse = |change: &dyn Fn(&mut galen_types::Block)| {
        let (mut block, made) = next_block(&ledger, vec![transaction(1)]);
        change(&mut block);
        let state = ledger.prepare_state(made.writes).unwrap();
        let commit = BlockCommit { block: &block, receipts: &made.receipts, events: &[], next_voters: None };
        ledger.commit(&commit, &state).unwrap_err().code()
    };
    assert_eq!(refuse(&|block| block.header.height += 1), "ledger-height");
    assert_eq!(refuse(&|block| block.header.parent = Hash::ZERO), "ledger-parent");
    assert_eq!(refuse(&|block| block.header.genesis = Hash::ZERO), "ledger-other-chain-block");
    assert_eq!(refuse(&|block| block.header.raft_index = 2), "ledger-raft-order");
    assert_eq!(refuse(&|block| block.header.raft_term = 0), "ledger-raft-order");
    assert_eq!(refuse(&|block| block.header.history_root = Hash::ZERO), "ledger-root");
    assert_eq!(refuse(&|block| block.header.state_root = Hash::ZERO), "ledger-root");
    assert_eq!(refuse(&|block| block.transactions.push(Vec::new())), "ledger-receipt-count");
    assert_eq!(ledger.tip().unwrap().height, 1);
    grow(&ledger);
}

#[test]
fn a_state_prepared_before_another_block_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    let stale = ledger.prepare_state(vec![(b"k".to_vec(), None)]).unwrap();
    let (empty, _) = next_block(&ledger, Vec::new());
    grow(&ledger);
    let (mut block, _) = next_block(&ledger, Vec::new());
    block.header.state_root = stale.root();
    let commit = BlockCommit { block: &block, receipts: &[], events: &[], next_voters: None };
    assert_eq!(ledger.commit(&commit, &stale).unwrap_err().code(), "ledger-stale-prepared-state");
    let commit = BlockCommit { block: &empty, ..commit };
    assert_eq!(ledger.commit(&commit, &stale).unwrap_err().code(), "ledger-height");
    let unsorted = vec![(b"b".to_vec(), None), (b"a".to_vec(), None)];
    assert_eq!(ledger.prepare_state(unsorted).unwrap_err().code(), "ledger-writes-unsorted");
}

#[test]
fn the_ordering_log_only_goes_forward() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    grow(&ledger);
    ledger.mark_applied(3, 1).unwrap();
    assert_eq!(ledger.mark_applied(3, 1).unwrap_err().code(), "ledger-raft-order");
    drop(ledger);
    let ledger = open(folder.path());
    assert_eq!(ledger.applied().unwrap().index, 3);
    let (block, made) = next_block(&ledger, Vec::new());
    commit(&ledger, &block, made);
}

#[test]
fn settings_that_may_never_change_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let code = |change: &dyn Fn(&mut galen_ledger::LedgerOptions)| {
        let mut options = options();
        change(&mut options);
        Ledger::open(folder.path(), &options).map(drop).unwrap_err()
    };
    let error = code(&|options| options.genesis_hash = Hash::ZERO);
    assert_eq!(error.code(), "ledger-other-genesis");
    assert!(error.to_string().contains("give the folder of this chain"), "{error}");
    assert_eq!(code(&|options| options.chain = "compute".parse().unwrap()).code(), "ledger-other-chain");
    assert_eq!(code(&|options| options.state_bucket_bits = 9).code(), "ledger-other-bucket-bits");
    assert_eq!(code(&|options| options.state_bucket_bits = 0).code(), "ledger-bucket-bits");
}

#[test]
fn a_folder_is_open_once_and_several_ledgers_side_by_side() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, second) = (open(one.path()), open(two.path()));
    grow(&first);
    assert_eq!((first.tip().unwrap().height, second.tip().unwrap().height), (1, 0));
    let error = Ledger::open(one.path(), &options()).map(drop).unwrap_err();
    assert!(matches!(error, LedgerError::Locked { .. }), "{error}");
    let absent = tempfile::tempdir().unwrap();
    assert_eq!(Ledger::open_read_only(absent.path()).map(drop).unwrap_err().code(), "ledger-absent");
    let reader = Ledger::open_read_only(one.path()).unwrap();
    assert_eq!(reader.mark_applied(100, 1).unwrap_err().code(), "ledger-read-only");
}

#[test]
fn state_proofs_show_presence_and_absence_under_the_header() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    for _ in 0..3 {
        grow(&ledger);
    }
    let proved = |key: &[u8], value: Option<&[u8]>| {
        let (proof, header) = ledger.prove_state(key).unwrap();
        proof.verify(&header.unwrap().state_root, key, value)
    };
    proved(b"height", Some(&3_u64.to_le_bytes())).unwrap();
    proved(&[b'g', 50], Some(&[50; 20])).unwrap();
    proved(&[b'g', 2], None).unwrap();
    assert_eq!(proved(b"height", None).unwrap_err().code(), "state-proof-value");
    assert_eq!(proved(&[b'g', 2], Some(&[2; 20])).unwrap_err().code(), "state-proof-value");
    assert_eq!(proved(&[b'g', 50], Some(&[51; 20])).unwrap_err().code(), "state-proof-value");
    let (mut proof, header) = ledger.prove_state(&[b'g', 50]).unwrap();
    let root = header.unwrap().state_root;
    proof.entries.clear();
    assert_eq!(proof.verify(&root, &[b'g', 50], None).unwrap_err().code(), "state-proof-root");
}
