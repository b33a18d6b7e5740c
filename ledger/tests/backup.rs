//! A backup is an independent, checked copy of a ledger in use; a restore never overwrites and never forgets.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests assert by panicking")]

mod fixture;

use fixture::{fill, grow, open, options, signature};
use galen_ledger::Ledger;
use galen_ledger::backup::{backup, backup_folder, check_backup, restore};

#[test]
fn a_backup_of_a_ledger_in_use_is_restored_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (path, kept) = (folder.path().join("ledger"), folder.path().join("kept"));
    let ledger = open(&path);
    fill(&ledger);
    ledger.note_ordering_started(3).unwrap();
    let manifest = backup(&ledger, &kept).unwrap();
    assert_eq!((manifest.height, manifest.certified_height), (5, 4));
    assert_eq!(manifest.header, ledger.tip().unwrap().hash);
    assert_eq!(backup(&ledger, &kept).unwrap_err().code(), "restore-not-empty");
    let block = grow(&ledger);
    assert_eq!(check_backup(&kept).unwrap(), manifest);
    assert_eq!(restore(&kept, &path).unwrap_err().code(), "restore-not-empty");
    drop(ledger);
    let later = backup_folder(&path, &folder.path().join("later")).unwrap();
    assert_eq!(later.height, 6);
    let restored_path = folder.path().join("restored");
    assert_eq!(restore(&kept, &restored_path).unwrap(), manifest);
    let restored = Ledger::open(&restored_path, &options()).unwrap();
    assert_eq!((restored.tip().unwrap().height, restored.state_root().unwrap()), (5, manifest.state_root));
    assert_eq!(restored.ordering_started().unwrap(), Some(3));
    assert!(restored.view().unwrap().own_signature(5).unwrap().is_some());
    assert_eq!(restored.view().unwrap().evidence(1, 9).unwrap().len(), 1);
    // It goes on, and the backup stays as it was.
    assert_eq!(grow(&restored), block);
    restored.record_own_signature(&signature(&block, 0)).unwrap();
    assert_eq!(check_backup(&kept).unwrap(), manifest);
    assert!(!folder.path().join("ledger.backup-copying").exists());
}

#[test]
fn what_a_killed_backup_left_goes_at_the_next_start_and_what_a_person_copied_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    fill(&open(&path));
    let beside = |name: &str| folder.path().join(name);
    for name in ["ledger.backup-copying", "ledger.restoring", "ledger.backup"] {
        std::fs::create_dir(beside(name)).unwrap();
        std::fs::write(beside(name).join("000012.sst"), b"pinned").unwrap();
    }
    drop(open(&path));
    assert!(!beside("ledger.backup-copying").exists() && !beside("ledger.restoring").exists());
    assert!(beside("ledger.backup").exists());
}

#[test]
fn a_backup_that_failed_leaves_no_copy_beside_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let ledger = open(&path);
    fill(&ledger);
    // A file stands where the backup is to be.
    std::fs::write(folder.path().join("file"), b"").unwrap();
    backup(&ledger, &folder.path().join("file/kept")).unwrap_err();
    assert!(!folder.path().join("ledger.backup-copying").exists());
}

#[test]
fn a_backup_that_is_not_whole_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, kept) = (folder.path().join("ledger"), folder.path().join("kept"));
    let ledger = open(&path);
    fill(&ledger);
    backup(&ledger, &kept).unwrap();
    assert_eq!(check_backup(folder.path()).unwrap_err().code(), "snapshot-absent");
    let text = std::fs::read_to_string(kept.join("backup.toml")).unwrap();
    std::fs::write(kept.join("backup.toml"), text.replace("height = 5", "height = 6")).unwrap();
    assert_eq!(check_backup(&kept).unwrap_err().code(), "backup-unsound");
    std::fs::write(kept.join("backup.toml"), "height = 5\n").unwrap();
    assert_eq!(check_backup(&kept).unwrap_err().code(), "backup-unsound");
    std::fs::write(kept.join("backup.toml"), &text).unwrap();
    check_backup(&kept).unwrap();
    // A flipped byte in any table file, and a missing one.
    let tables: Vec<_> = std::fs::read_dir(kept.join("db"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sst"))
        .collect();
    assert!(tables.len() > 5);
    let restored = folder.path().join("restored");
    let (mut missed, mut found) = (0, 0);
    for table in &tables {
        let bytes = std::fs::read(table).unwrap();
        std::fs::remove_file(table).unwrap();
        // A table that a merge had just replaced may be among them, and nothing needs it.
        missed += usize::from(check_backup(&kept).is_err());
        let mut altered = bytes.clone();
        altered[10] ^= 1;
        std::fs::write(table, &altered).unwrap();
        if check_backup(&kept).is_err() {
            found += 1;
            assert!(restore(&kept, &restored).is_err());
            assert!(!restored.exists());
        }
        std::fs::write(table, &bytes).unwrap();
    }
    // Columns that the state does not need are for `galen ledger verify`; those of state and chain are found here.
    assert!(found >= 5, "{found} of {}", tables.len());
    assert!(missed > 5 && missed >= found, "{missed} of {}", tables.len());
    restore(&kept, &restored).unwrap();
}
