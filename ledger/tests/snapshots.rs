//! Snapshots of a running ledger: what they hold, how they are cut, and that an unsound one is never announced.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests assert by panicking")]

mod fixture;
mod past;

use std::sync::atomic::{AtomicBool, Ordering};

use fixture::{grow, open, options};
use galen_ledger::Ledger;
use galen_ledger::snapshot::{self, Manifest, SnapshotSource};
use galen_types::Encoding as _;
use past::grow_wide;

#[test]
fn a_snapshot_is_taken_at_the_end_of_a_block_while_blocks_are_committed() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, snapshots) = (open(&folder.path().join("ledger")), folder.path().join("snapshots"));
    assert_eq!(snapshot::take(&ledger, &snapshots).unwrap_err().code(), "snapshot-no-block");
    grow_wide(&ledger, 3_000);
    let done = AtomicBool::new(false);
    let taken = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                grow_wide(&ledger, 20);
            }
        });
        let taken: Vec<_> = (0..3).map(|_| snapshot::take(&ledger, &snapshots).unwrap()).collect();
        done.store(true, Ordering::Relaxed);
        taken
    });
    for taken in &taken {
        let header = &taken.manifest.header;
        assert_eq!(ledger.view().unwrap().header(header.height).unwrap().as_ref(), Some(header));
        // Every part is there, and rows and tree are those of that block.
        let source = SnapshotSource::open(&taken.path).unwrap();
        let parts = u32::try_from(taken.manifest.parts.len()).unwrap();
        assert!(parts > 3, "{parts}");
        let bytes: u64 = (0..parts).map(|index| source.part(index).unwrap().unwrap().len() as u64).sum();
        assert_eq!(bytes, taken.manifest.bytes);
        assert_eq!(source.part(parts).unwrap(), None);
    }
    let heights: Vec<u64> = taken.iter().map(|taken| taken.manifest.header.height).collect();
    assert!(heights.is_sorted() && heights[0] < heights[2], "{heights:?}");
    let mut distinct = heights.clone();
    distinct.dedup();
    assert_eq!(snapshot::list(&snapshots).unwrap(), distinct);
    assert_eq!(snapshot::remove_old(&snapshots, 1).unwrap().len(), distinct.len() - 1);
    assert_eq!(snapshot::list(&snapshots).unwrap(), heights[2..]);
    assert!(snapshot::open(&snapshots, heights[2]).is_ok());
    assert_eq!(snapshot::open(&snapshots, heights[0]).map(drop).unwrap_err().code(), "snapshot-absent");
    // At the same height again it is the one that is there.
    let again = snapshot::take(&ledger, &snapshots).unwrap();
    assert_eq!(snapshot::take(&ledger, &snapshots).unwrap().manifest, again.manifest);
}

#[test]
fn copies_of_a_ledger_that_is_to_be_closed_are_broken_off() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, snapshots) = (open(&folder.path().join("ledger")), folder.path().join("snapshots"));
    grow_wide(&ledger, 300);
    ledger.halt_copies();
    assert_eq!(snapshot::take(&ledger, &snapshots).unwrap_err().code(), "snapshot-halted");
    assert_eq!(snapshot::list(&snapshots).unwrap(), [] as [u64; 0]);
    let backup = folder.path().join("backup");
    assert_eq!(galen_ledger::backup::backup(&ledger, &backup).unwrap_err().code(), "snapshot-halted");
    assert_eq!(galen_ledger::backup::check_backup(&backup).unwrap_err().code(), "snapshot-absent");
}

#[test]
fn every_node_cuts_a_height_into_the_same_parts() {
    let folder = tempfile::tempdir().unwrap();
    let manifests: Vec<Manifest> = ["one", "other"]
        .map(|name| {
            let path = folder.path().join(name);
            let mut ledger = open(&path);
            for _ in 0..3 {
                grow_wide(&ledger, 1_500);
                grow(&ledger);
                if name == "other" {
                    // Other files on disk, same content.
                    drop(ledger);
                    ledger = Ledger::open(&path, &options()).unwrap();
                }
            }
            snapshot::take(&ledger, &folder.path().join(name).join("snapshots")).unwrap().manifest
        })
        .into();
    assert_eq!(manifests[0], manifests[1]);
    assert!(manifests[0].parts.len() > 3);
    assert!(manifests[0].parts.iter().all(|part| part.bytes as usize <= 1 << 20));
    assert_eq!(Manifest::from_peer(&manifests[0].encode()).unwrap(), manifests[0]);
    let refused = |alter: &dyn Fn(&mut Manifest)| {
        let mut manifest = manifests[0].clone();
        alter(&mut manifest);
        assert_eq!(Manifest::from_peer(&manifest.encode()).unwrap_err().code(), "snapshot-manifest");
    };
    refused(&|manifest| manifest.rows += 1);
    refused(&|manifest| manifest.bytes -= 1);
    refused(&|manifest| manifest.parts[0].rows = 0);
    refused(&|manifest| manifest.parts[1].bytes = u32::MAX);
    refused(&|manifest| manifest.header.height += 1);
    refused(&|manifest| manifest.header.history_root = manifest.header.state_root);
    refused(&|manifest| manifest.history = Default::default());
    let bytes = manifests[0].encode();
    assert!(Manifest::from_peer(&bytes[..bytes.len() - 1]).is_err());
}

#[test]
fn a_copy_whose_rows_are_not_those_of_its_tree_is_not_announced() {
    let folder = tempfile::tempdir().unwrap();
    let (path, snapshots) = (folder.path().join("ledger"), folder.path().join("snapshots"));
    let ledger = open(&path);
    grow_wide(&ledger, 500);
    drop(ledger);
    let alter = |column: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let names = rocksdb::DB::list_cf(&rocksdb::Options::default(), &path).unwrap();
        let database = rocksdb::DB::open_cf(&rocksdb::Options::default(), &path, names).unwrap();
        let handle = database.cf_handle(column).unwrap();
        let (key, value) = database.iterator_cf(handle, rocksdb::IteratorMode::Start).nth(3).unwrap().unwrap();
        let mut altered = value.to_vec();
        change(&mut altered);
        database.put_cf(handle, &key, &altered).unwrap();
        (key, value)
    };
    let restore = |column: &str, (key, value): (Box<[u8]>, Box<[u8]>)| {
        let names = rocksdb::DB::list_cf(&rocksdb::Options::default(), &path).unwrap();
        let database = rocksdb::DB::open_cf(&rocksdb::Options::default(), &path, names).unwrap();
        database.put_cf(database.cf_handle(column).unwrap(), key, value).unwrap();
    };
    for column in ["state", "state_buckets"] {
        let row = alter(column, &|value| *value.last_mut().unwrap() ^= 1);
        let ledger = Ledger::open(&path, &options()).unwrap();
        let error = snapshot::take(&ledger, &snapshots).map(drop).unwrap_err();
        assert_eq!(error.code(), "snapshot-unsound", "{column}: {error}");
        assert!(snapshot::list(&snapshots).unwrap().is_empty());
        drop(ledger);
        restore(column, row);
    }
    let ledger = Ledger::open(&path, &options()).unwrap();
    assert!(snapshot::take(&ledger, &snapshots).is_ok());
}

#[test]
fn what_a_crash_left_of_a_snapshot_goes_and_snapshots_stay() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(&folder.path().join("ledger"));
    grow(&ledger);
    let snapshots = folder.path().join("snapshots");
    snapshot::tidy(&snapshots).unwrap();
    snapshot::take(&ledger, &snapshots).unwrap();
    for left in ["taking", "removing"] {
        std::fs::create_dir_all(snapshots.join(left).join("db")).unwrap();
        std::fs::write(snapshots.join(left).join("db/000012.sst"), b"pinned").unwrap();
    }
    snapshot::tidy(&snapshots).unwrap();
    assert!(!snapshots.join("taking").exists() && !snapshots.join("removing").exists());
    assert_eq!(snapshot::list(&snapshots).unwrap(), [1]);
}
