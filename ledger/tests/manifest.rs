//! RocksDB's list of its table files (MANIFEST) loses its end after the write-ahead log that could replay it went: that is
//! no crash but damage. The ledger opens whole or refuses; it never opens with some column families behind the others.
//! (A crash in the middle of a flush is played on real processes: see the crate `galen-crash`.)
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests assert by panicking")]

mod fixture;

use std::path::{Path, PathBuf};

use fixture::{FixtureRules, genesis_state, grow, open, verify_options, voters};
use galen_ledger::Ledger;
use galen_ledger::backup::backup;
use galen_ledger::verify::verify_ledger;

/// Bytes between two cuts, less than the shortest record.
const STEP: usize = 23;
/// Bytes at the list's end that are cut into: most of those of the last flush.
const BYTES: usize = 1_200;

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_file()).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn is_sound(folder: &Path) -> bool {
    let (voters, state) = (voters(0), genesis_state());
    let options = verify_options(&voters, &state, None);
    verify_ledger(folder, &options, &mut FixtureRules { steps: Vec::new() }).is_ok_and(|report| report.is_sound())
}

#[test]
fn a_list_of_table_files_that_lost_its_end_leaves_no_column_family_behind() {
    let scratch = tempfile::tempdir().unwrap();
    let whole = scratch.path().join("ledger");
    let ledger = open(&whole);
    for round in 0..2 {
        (0..4).for_each(|_| drop(grow(&ledger)));
        // A backup flushes; what the log held before it is gone after it.
        backup(&ledger, &scratch.path().join(format!("backup-{round}"))).unwrap();
    }
    drop(ledger);

    let list = files(&whole).into_iter().find(|path| name(path).starts_with("MANIFEST")).unwrap();
    let length = usize::try_from(std::fs::metadata(&list).unwrap().len()).unwrap();
    for cut in (0..length).rev().take(BYTES).step_by(STEP) {
        let folder = scratch.path().join("cut");
        std::fs::create_dir(&folder).unwrap();
        for path in files(&whole) {
            std::fs::copy(&path, folder.join(name(&path))).unwrap();
        }
        std::fs::OpenOptions::new().write(true).open(folder.join(name(&list))).unwrap().set_len(cut as u64).unwrap();
        if let Ok(ledger) = Ledger::open(&folder, &fixture::options()) {
            let height = ledger.tip().unwrap().height;
            drop(ledger);
            assert!(is_sound(&folder), "cut at {cut} of {length} it opens at height {height} and is not whole");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

/// A ledger of some blocks in `scratch`, closed, and its height.
fn closed(scratch: &Path) -> (PathBuf, u64) {
    let folder = scratch.join("ledger");
    let ledger = open(&folder);
    (0..4).for_each(|_| drop(grow(&ledger)));
    // Table files, beside what is in the log alone.
    backup(&ledger, &scratch.join("backup")).unwrap();
    (0..2).for_each(|_| drop(grow(&ledger)));
    let height = ledger.tip().unwrap().height;
    (folder, height)
}

#[test]
fn an_opening_that_lost_the_name_of_its_new_list_is_made_good() {
    let scratch = tempfile::tempdir().unwrap();
    let (folder, height) = closed(scratch.path());
    // The next list was written and named, and a loss of power took its entry in the folder.
    std::fs::write(folder.join("CURRENT"), "MANIFEST-000999\n").unwrap();
    assert_eq!(open(&folder).tip().unwrap().height, height);
    assert!(is_sound(&folder));

    // With no list at all it is damage, which a node with peers repairs, and no empty ledger.
    for path in files(&folder).into_iter().filter(|path| name(path).starts_with("MANIFEST")) {
        std::fs::remove_file(path).unwrap();
    }
    let error = Ledger::open(&folder, &fixture::options()).err().unwrap();
    assert!(error.is_damage(), "{error}");
}

#[test]
fn a_folder_without_current_is_damaged_and_not_empty() {
    let scratch = tempfile::tempdir().unwrap();
    let (folder, _) = closed(scratch.path());
    let tables = |folder: &Path| files(folder).iter().filter(|path| name(path).ends_with(".sst")).count();
    let before = tables(&folder);
    std::fs::remove_file(folder.join("CURRENT")).unwrap();
    let error = Ledger::open(&folder, &fixture::options()).err().unwrap();
    assert!(error.is_damage(), "{error}");
    assert!(before > 0);
    assert_eq!(tables(&folder), before, "nothing is removed");
}
