//! A voter never signs two headers, and what it signed is durable.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests assert by panicking")]

mod fixture;

use fixture::{genesis_hash, grow, next_block, open, signature, transaction, voter_key, voter_name, voters};
use galen_types::{Hash, HeaderSignature};

#[test]
fn a_second_header_is_never_signed() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    let (first, second) = (grow(&ledger), grow(&ledger));
    assert_eq!(ledger.durable_height(), 0);
    let released = ledger.record_own_signature(&signature(&second, 0)).unwrap();
    assert_eq!(ledger.durable_height(), 2);
    let check = |ledger: &galen_ledger::Ledger| {
        // The same again gives the stored one.
        assert_eq!(ledger.record_own_signature(&signature(&second, 0)).unwrap(), released);
        let other =
            HeaderSignature::sign(&genesis_hash(), &voters(0).hash(), 2, Hash([1; 32]), voter_name(0), &voter_key(0));
        assert_eq!(ledger.record_own_signature(&other).unwrap_err().code(), "ledger-already-signed");
        // A lower height, even with the right header: its signature is not needed any more.
        assert_eq!(ledger.record_own_signature(&signature(&first, 0)).unwrap_err().code(), "ledger-already-signed");
        assert_eq!(ledger.view().unwrap().own_signature(2).unwrap(), Some(released.clone()));
    };
    check(&ledger);
    drop(ledger);
    check(&open(folder.path()));
}

#[test]
fn several_are_recorded_together_or_none_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    ledger.keep_signed_mark(&folder.path().join("signed")).unwrap();
    let blocks: Vec<_> = (0..4).map(|_| grow(&ledger)).collect();
    let signatures: Vec<_> = blocks.iter().map(|block| signature(block, 0)).collect();
    let mut altered = signatures.clone();
    altered[2] = HeaderSignature { header: Hash([1; 32]), ..altered[2].clone() };
    assert_eq!(ledger.record_own_signatures(&altered).unwrap_err().code(), "ledger-other-header");
    altered.swap(2, 3);
    altered[3] = signatures[0].clone();
    assert_eq!(ledger.record_own_signatures(&altered).unwrap_err().code(), "ledger-already-signed", "out of order");
    let own = |height| ledger.view().unwrap().own_signature(height).unwrap();
    assert!((1..=4).all(|height| own(height).is_none()) && ledger.durable_height() == 0, "none is recorded");
    assert_eq!(ledger.record_own_signatures(&signatures[..2]).unwrap(), signatures[..2]);
    // Those that were stored before come back with the new ones.
    assert_eq!(ledger.record_own_signatures(&signatures).unwrap(), signatures);
    assert_eq!(ledger.record_own_signatures(&[]).unwrap(), []);
    assert!((1..=4).all(|height| own(height).is_some()) && ledger.durable_height() == 4);
    assert_eq!(ledger.last_signed_height().unwrap(), 4);
}

#[test]
fn only_the_header_held_is_signed() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    grow(&ledger);
    let wrong =
        HeaderSignature::sign(&genesis_hash(), &voters(0).hash(), 1, Hash([1; 32]), voter_name(0), &voter_key(0));
    assert_eq!(ledger.record_own_signature(&wrong).unwrap_err().code(), "ledger-other-header");
    let (ahead, _) = next_block(&ledger, vec![transaction(5)]);
    assert_eq!(ledger.record_own_signature(&signature(&ahead, 0)).unwrap_err().code(), "ledger-beyond-tip");
    assert_eq!(ledger.put_signature(&signature(&ahead, 1)).unwrap_err().code(), "ledger-beyond-tip");
    let mut certificate = fixture::certificate(&ahead);
    assert_eq!(ledger.put_certificate(&certificate).unwrap_err().code(), "ledger-beyond-tip");
    certificate.height = 1;
    assert_eq!(ledger.put_certificate(&certificate).unwrap_err().code(), "ledger-other-header");
    assert_eq!(ledger.certified_height(), 0);
}

#[test]
fn sync_makes_all_blocks_durable() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    grow(&ledger);
    grow(&ledger);
    assert_eq!(ledger.sync().unwrap(), 2);
    assert_eq!(ledger.durable_height(), 2);
}
