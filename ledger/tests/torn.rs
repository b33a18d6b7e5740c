//! Loss of power keeps a prefix of what was not synced: wherever the write-ahead log ends, the ledger opens at a whole
//! block, with every column family at that height, and no synced block is missing.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests assert by panicking")]

mod fixture;

use std::path::{Path, PathBuf};

use fixture::{FixtureRules, genesis_state, grow, open, options, signature, verify_options, voters};
use galen_ledger::Ledger;
use galen_ledger::verify::verify_ledger;

/// The log that is being written: the newest.
fn log_file(folder: &Path) -> PathBuf {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "log")).max().unwrap()
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn wherever_the_log_is_cut_a_whole_block_is_the_tip() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    let signed = grow(&ledger);
    ledger.record_own_signature(&signature(&signed, 0)).unwrap();
    let length = || usize::try_from(std::fs::metadata(log_file(folder.path())).unwrap().len()).unwrap();
    let synced = length();
    // Each block's end in the log.
    let mut ends = vec![(synced, 1)];
    for height in 2..=4 {
        grow(&ledger);
        ends.push((length(), height));
    }
    let last = ends[ends.len() - 1].0;
    assert!(last > synced + 1_000);
    for cut in (synced..=last).step_by(200).chain([last]) {
        let copied = tempfile::tempdir().unwrap();
        copy(folder.path(), copied.path());
        std::fs::OpenOptions::new().write(true).open(log_file(copied.path())).unwrap().set_len(cut as u64).unwrap();
        let expected = ends.iter().rev().find(|(end, _)| *end <= cut).unwrap().1;
        let reopened = Ledger::open(copied.path(), &options()).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
        assert_eq!(reopened.tip().unwrap().height, expected, "cut at {cut}");
        assert!(reopened.view().unwrap().own_signature(1).unwrap().is_some(), "what was synced is there");
        drop(reopened);
        let (voters, state) = (voters(0), genesis_state());
        let report = verify_ledger(
            copied.path(),
            &verify_options(&voters, &state, None),
            &mut FixtureRules { steps: Vec::new() },
        );
        assert!(report.is_ok_and(|report| report.is_sound()), "cut at {cut}");
    }
}

#[test]
fn a_log_that_lost_synced_blocks_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    let block = grow(&ledger);
    let before = std::fs::metadata(log_file(folder.path())).unwrap().len();
    grow(&ledger);
    ledger.record_own_signature(&signature(&block, 0)).unwrap();
    let bytes = std::fs::read(log_file(folder.path())).unwrap();
    let copied = tempfile::tempdir().unwrap();
    copy(folder.path(), copied.path());
    // A flipped bit before the tail: opening must not silently drop what follows it.
    let mut altered = bytes;
    altered[usize::try_from(before).unwrap() / 2] ^= 1;
    std::fs::write(log_file(copied.path()), &altered).unwrap();
    let error = Ledger::open(copied.path(), &options()).map(drop).unwrap_err();
    assert!(error.is_fatal(), "{error}");
}
