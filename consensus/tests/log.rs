//! The durable log on its own: what comes back after every way to lose or damage bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests assert by panicking")]

use std::io::ErrorKind;
use std::path::Path;

use bytes::Bytes;
use galen_consensus::vfs::{Crash, Fault, RealVfs, SimVfs, Vfs};
use galen_consensus::{
    Entry, EntryKind, HardState, Identity, Log, LogError, LogOptions, Membership, MembershipAt, Persist, PersistToken,
    RaftId, Recovered, SnapshotChange, SnapshotMeta,
};

const DIR: &str = "log";
const IDENTITY: Identity = Identity { cluster: [9; 32], node: RaftId(2) };
const OPTIONS: LogOptions = LogOptions { segment_bytes: 4096 };

fn open(disk: &SimVfs) -> Result<(Log<SimVfs>, Recovered), LogError> {
    Log::open(disk.clone(), Path::new(DIR), IDENTITY, OPTIONS)
}

fn entry(index: u64, term: u64) -> Entry {
    let size = usize::try_from(index * 7 % 90).unwrap();
    Entry { index, term, kind: EntryKind::Data, data: Bytes::from(vec![u8::try_from(index % 251).unwrap(); 1 + size]) }
}

fn entries(indexes: std::ops::RangeInclusive<u64>, term: u64) -> Persist {
    let last = *indexes.end();
    Persist {
        token: PersistToken(last),
        snapshot: None,
        entries: indexes.map(|index| entry(index, term)).collect(),
        membership: None,
        hard_state: Some(HardState { term, vote: Some(RaftId(1)), commit: last.saturating_sub(1) }),
    }
}

fn meta(index: u64, term: u64) -> SnapshotMeta {
    let membership = Membership::new([1, 2, 3].map(RaftId), []);
    SnapshotMeta {
        index,
        term,
        membership: MembershipAt { index: 0, membership },
        context: Bytes::from_static(b"height and hash"),
    }
}

fn snapshot(change: SnapshotChange) -> Persist {
    Persist {
        token: PersistToken(0),
        snapshot: Some(change),
        entries: Vec::new(),
        membership: None,
        hard_state: Some(HardState { term: 9, vote: None, commit: 0 }),
    }
}

fn file(number: u64) -> std::path::PathBuf {
    Path::new(DIR).join(format!("{number:020}.log"))
}

#[test]
fn what_was_appended_comes_back() {
    let disk = SimVfs::default();
    let (mut log, recovered) = open(&disk).unwrap();
    assert!(recovered.is_fresh());
    let member = MembershipAt { index: 0, membership: Membership::new([1, 2, 3].map(RaftId), [RaftId(4)]) };
    let first = Persist { membership: Some(member.clone()), ..entries(1..=3, 1) };
    log.append(&[first, entries(4..=5, 1)]).unwrap();
    // A new leader's suffix overwrites.
    log.append(&[entries(5..=6, 2)]).unwrap();
    drop(log);
    disk.crash(Crash::DropAll);
    let (_log, recovered) = open(&disk).unwrap();
    let terms: Vec<(u64, u64)> = recovered.entries.iter().map(|entry| (entry.index, entry.term)).collect();
    assert_eq!(terms, [(1, 1), (2, 1), (3, 1), (4, 1), (5, 2), (6, 2)]);
    assert_eq!(recovered.entries[5], entry(6, 2));
    assert_eq!(recovered.hard_state, HardState { term: 2, vote: Some(RaftId(1)), commit: 5 });
    assert_eq!(recovered.memberships, [member]);
    assert_eq!((recovered.torn, recovered.snapshot.is_none()), (None, true));
}

#[test]
fn one_batch_is_one_sync() {
    let disk = SimVfs::default();
    let (mut log, _) = open(&disk).unwrap();
    let before = disk.syncs();
    log.append(&[entries(1..=1, 1), entries(2..=9, 1), entries(10..=10, 1)]).unwrap();
    assert_eq!(disk.syncs(), before + 1);
}

#[test]
fn a_write_cut_off_at_any_byte_is_discarded_and_the_log_goes_on() {
    let disk = SimVfs::default();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&[entries(1..=2, 1)]).unwrap();
    let durable = disk.read(&file(1)).unwrap().len();
    log.append(&[entries(3..=4, 1)]).unwrap();
    drop(log);
    let whole = disk.read(&file(1)).unwrap();
    for length in durable..whole.len() {
        for zeros in [0, whole.len() - length] {
            let mut bytes = whole[..length].to_vec();
            bytes.resize(length + zeros, 0);
            let copy = SimVfs::default();
            copy.overwrite(&file(1), bytes);
            let (mut log, recovered) = open(&copy).unwrap_or_else(|error| panic!("{length} {zeros}: {error}"));
            let last = recovered.entries.last().unwrap().index;
            assert!((2..=4).contains(&last), "{length}");
            assert!(
                recovered.torn.is_none() || length + zeros > durable,
                "nothing was cut off, and it is told of: {length}"
            );
            log.append(&[entries(last + 1..=last + 1, 2)]).unwrap();
            drop(log);
            copy.crash(Crash::DropAll);
            let (_log, recovered) = open(&copy).unwrap();
            assert_eq!(recovered.entries.last().unwrap(), &entry(last + 1, 2));
            assert_eq!(recovered.torn, None);
        }
    }
}

#[test]
fn lost_sectors_of_the_last_write_are_a_torn_write() {
    let disk = SimVfs::default();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&[entries(1..=2, 1)]).unwrap();
    let durable = disk.read(&file(1)).unwrap().len();
    let large = Entry { data: Bytes::from(vec![5; 3000]), ..entry(3, 1) };
    log.append(&[Persist { entries: vec![large, entry(4, 1)], ..entries(3..=4, 1) }]).unwrap();
    drop(log);
    let whole = disk.read(&file(1)).unwrap();
    for sector in durable / 512 + 1..whole.len() / 512 {
        let mut bytes = whole.clone();
        bytes[sector * 512..(sector + 1) * 512].fill(0);
        let copy = SimVfs::default();
        copy.overwrite(&file(1), bytes);
        let (_log, recovered) = open(&copy).unwrap();
        assert_eq!(recovered.entries.len(), 2);
        assert!(recovered.torn.is_some());
    }
}

#[test]
fn any_flipped_bit_of_what_was_durable_is_found() {
    let disk = SimVfs::default();
    let (mut log, _) = open(&disk).unwrap();
    for index in 1..=4 {
        log.append(&[entries(index..=index, 1)]).unwrap();
    }
    drop(log);
    let whole = disk.read(&file(1)).unwrap();
    for position in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[position] ^= 1 << bit;
            let copy = SimVfs::default();
            copy.overwrite(&file(1), bytes);
            match open(&copy) {
                Err(error @ LogError::Damaged { .. }) => assert_eq!(error.code(), "log-damaged"),
                Err(other) => panic!("byte {position} bit {bit}: {other}"),
                Ok(_) => panic!("byte {position} bit {bit}: not found"),
            }
        }
    }
}

#[test]
fn damage_names_its_place() {
    let disk = SimVfs::default();
    let (mut log, _) = open(&disk).unwrap();
    for index in 1..=200 {
        log.append(&[entries(index..=index, 1)]).unwrap();
    }
    assert!(log.segments().count() > 3);
    drop(log);
    let mut bytes = disk.read(&file(2)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    disk.overwrite(&file(2), bytes.clone());
    let Err(LogError::Damaged { segment, offset, index }) = open(&disk) else { panic!("not found") };
    assert_eq!(segment, 2);
    assert!(offset <= middle as u64 && index > 1 && index < 200);
    // Cut short in the middle of the log is damage too, also at a record's end.
    bytes.truncate(usize::try_from(offset).unwrap());
    disk.overwrite(&file(2), bytes);
    assert!(matches!(open(&disk), Err(LogError::Damaged { segment: 3, offset: 0, .. })));
    disk.remove(&file(2)).unwrap();
    assert!(matches!(open(&disk), Err(LogError::MissingSegment(2))));
}

#[test]
fn a_stale_or_misplaced_block_is_found() {
    let disk = SimVfs::default();
    let (mut log, _) = open(&disk).unwrap();
    for index in 1..=150 {
        log.append(&[entries(index..=index, 1)]).unwrap();
    }
    drop(log);
    // A segment of the right node that stands under another's name.
    let other = disk.read(&file(3)).unwrap();
    disk.overwrite(&file(2), other);
    assert!(matches!(open(&disk), Err(LogError::Damaged { segment: 2, offset: 0, .. })));
}

#[test]
fn another_node_or_group_is_refused() {
    let disk = SimVfs::default();
    drop(open(&disk).unwrap());
    for identity in [Identity { node: RaftId(3), ..IDENTITY }, Identity { cluster: [8; 32], ..IDENTITY }] {
        let refused = Log::open(disk.clone(), Path::new(DIR), identity, OPTIONS).map(|_| ());
        assert!(matches!(refused, Err(LogError::WrongIdentity { segment: 1, .. })), "{refused:?}");
    }
}

#[test]
fn compaction_removes_segments_and_keeps_the_state() {
    let disk = SimVfs::default();
    let (mut log, _) = open(&disk).unwrap();
    let member = MembershipAt { index: 60, membership: Membership::new([1, 2].map(RaftId), [RaftId(4)]) };
    for index in 1..=120 {
        let membership = (index == 60).then(|| member.clone());
        // The hard state is written once, long before: each segment repeats it.
        let hard_state = (index == 1).then_some(HardState { term: 3, vote: Some(RaftId(3)), commit: 0 });
        log.append(&[Persist { membership, hard_state, ..entries(index..=index, 3) }]).unwrap();
    }
    let before = log.segments().count();
    log.append(&[Persist { hard_state: None, ..snapshot(SnapshotChange::Compacted(meta(50, 3))) }]).unwrap();
    assert!(log.segments().count() < before);
    drop(log);
    disk.crash(Crash::DropAll);
    let (mut log, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.snapshot, Some(meta(50, 3)));
    assert_eq!(recovered.entries.first().unwrap().index, 51);
    assert_eq!(recovered.entries.last().unwrap(), &entry(120, 3));
    assert_eq!(recovered.hard_state, HardState { term: 3, vote: Some(RaftId(3)), commit: 0 });
    assert_eq!(recovered.memberships, std::slice::from_ref(&member));
    // The marks survive further segments, and a cut at the tip.
    for index in 121..=200 {
        log.append(&[Persist { hard_state: None, ..entries(index..=index, 3) }]).unwrap();
    }
    log.append(&[Persist { hard_state: None, ..snapshot(SnapshotChange::Compacted(meta(200, 3))) }]).unwrap();
    log.append(&[Persist { hard_state: None, ..entries(201..=201, 3) }]).unwrap();
    drop(log);
    disk.crash(Crash::DropAll);
    let (_log, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.snapshot, Some(meta(200, 3)));
    assert_eq!(recovered.entries, [entry(201, 3)]);
    assert_eq!(recovered.hard_state.vote, Some(RaftId(3)));
    assert_eq!(recovered.memberships, [member]);
}

#[test]
fn a_restored_snapshot_replaces_the_log() {
    let disk = SimVfs::default();
    let (mut log, _) = open(&disk).unwrap();
    for index in 1..=100 {
        log.append(&[entries(index..=index, 1)]).unwrap();
    }
    // Shorter than the log that it replaces: that one had diverged.
    log.append(&[snapshot(SnapshotChange::Restored(meta(40, 2)))]).unwrap();
    log.append(&[entries(41..=42, 2)]).unwrap();
    assert_eq!(log.segments().count(), 1);
    drop(log);
    let (_log, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.snapshot, Some(meta(40, 2)));
    assert_eq!(recovered.entries, [entry(41, 2), entry(42, 2)]);
}

#[test]
fn an_error_stops_the_log_for_good() {
    for fault in [Fault::FullAfter(100), Fault::SyncFails(0)] {
        let disk = SimVfs::default();
        let (mut log, _) = open(&disk).unwrap();
        log.append(&[entries(1..=2, 1)]).unwrap();
        disk.inject(fault);
        let error = log.append(&[entries(3..=9, 1)]).unwrap_err();
        assert_eq!(error.code(), "log-io", "{error}");
        assert!(matches!(log.append(&[entries(3..=3, 1)]), Err(LogError::Stopped)));
        drop(log);
        // Restarted with room, nothing acknowledged is lost.
        disk.crash(Crash::KeepAll);
        let (mut log, recovered) = open(&disk).unwrap();
        let last = recovered.entries.last().unwrap().index;
        assert!(last >= 2);
        log.append(&[entries(last + 1..=last + 1, 1)]).unwrap();
    }
}

#[test]
fn a_gap_is_refused_before_anything_is_written() {
    let disk = SimVfs::default();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&[entries(1..=2, 1)]).unwrap();
    let before = disk.read(&file(1)).unwrap();
    assert!(matches!(log.append(&[entries(4..=4, 1)]), Err(LogError::Gap { found: 4, last: 2 })));
    assert_eq!(disk.read(&file(1)).unwrap(), before);
}

#[test]
fn crashes_at_random_never_lose_what_was_acknowledged() {
    for seed in 0..400 {
        let disk = SimVfs::default();
        let (mut log, _) = open(&disk).unwrap();
        let mut last = 0;
        for round in 0..12 {
            let count = 1 + (seed * 7 + round * 5) % 13;
            log.append(&[entries(last + 1..=last + count, 1)]).unwrap();
            last += count;
            if round % 5 == 4 {
                log.append(&[snapshot(SnapshotChange::Compacted(meta(last - 2, 1)))]).unwrap();
            }
        }
        // The last write gets a part of the way and is never synced.
        disk.inject(Fault::FullAfter(seed * 5));
        assert!(log.append(&[entries(last + 1..=last + 30, 1)]).is_err());
        let copy = disk.durable_copy();
        drop(log);
        disk.crash(Crash::Random(seed));
        for disk in [disk, copy] {
            let (_log, recovered) = open(&disk).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            let found = recovered.entries.last().unwrap();
            assert!((last..=last + 30).contains(&found.index), "seed {seed}");
            assert_eq!(found, &entry(found.index, 1), "seed {seed}");
        }
    }
}

#[test]
fn one_process_at_a_time_on_real_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node").join("raft");
    let (mut log, _) = Log::open(RealVfs, &path, IDENTITY, OPTIONS).unwrap();
    let second = Log::open(RealVfs, &path, IDENTITY, OPTIONS).map(|_| ());
    assert!(matches!(second, Err(LogError::Locked(_))), "{second:?}");
    for index in 1..=100 {
        log.append(&[entries(index..=index, 1)]).unwrap();
    }
    log.append(&[snapshot(SnapshotChange::Compacted(meta(90, 1)))]).unwrap();
    drop(log);
    let (_log, recovered) = Log::open(RealVfs, &path, IDENTITY, OPTIONS).unwrap();
    assert_eq!(recovered.entries.len(), 10);
    assert_eq!(RealVfs.create(&path.join("lock")).unwrap_err().kind(), ErrorKind::AlreadyExists);
}

fn create_at(disk: &SimVfs) -> Result<(Log<SimVfs>, Recovered), LogError> {
    Log::create_at(disk.clone(), Path::new(DIR), IDENTITY, OPTIONS, meta(40, 7))
}

#[test]
fn a_log_that_begins_at_a_snapshot_is_durable_and_goes_on_from_there() {
    let disk = SimVfs::default();
    let (mut log, recovered) = create_at(&disk).unwrap();
    assert_eq!(recovered.hard_state, HardState { term: 7, vote: None, commit: 40 });
    assert_eq!((recovered.snapshot.clone(), recovered.is_fresh()), (Some(meta(40, 7)), false));
    disk.crash(Crash::DropAll);
    assert!(log.append(&[entries(41..=41, 8)]).is_err(), "a handle from before the crash");
    drop(log);
    let (mut log, again) = open(&disk).unwrap();
    assert_eq!(again, recovered);
    assert!(matches!(log.append(&[entries(43..=43, 8)]), Err(LogError::Gap { found: 43, last: 40 })));
    drop(log);
    let (mut log, _) = open(&disk).unwrap();
    log.append(&[entries(41..=42, 8)]).unwrap();
}

#[test]
fn a_log_begins_at_a_snapshot_only_in_a_folder_of_its_own() {
    let used = SimVfs::default();
    let (mut log, _) = open(&used).unwrap();
    log.append(&[Persist { entries: Vec::new(), ..entries(1..=1, 1) }]).unwrap();
    drop(log);
    let foreign = SimVfs::default();
    foreign.overwrite(&Path::new(DIR).join("notes"), b"mine".to_vec());
    let later = SimVfs::default();
    later.overwrite(&file(2), Vec::new());
    for disk in [used, foreign, later] {
        let error = create_at(&disk).err().unwrap();
        assert_eq!(error.code(), "log-not-empty");
    }
    let begun = SimVfs::default();
    drop(create_at(&begun).unwrap());
    assert!(matches!(create_at(&begun), Err(LogError::NotEmpty(_))));
    // Opened and never written to: nothing was promised.
    let opened = SimVfs::default();
    drop(open(&opened).unwrap());
    create_at(&opened).unwrap();
}

#[test]
fn a_crash_while_a_log_begins_leaves_nothing_or_the_snapshot() {
    for seed in 0..200 {
        let disk = SimVfs::default();
        disk.inject(Fault::SyncFails(u32::try_from(seed % 2).unwrap()));
        assert!(create_at(&disk).is_err());
        disk.crash(Crash::Random(seed));
        let (log, recovered) = open(&disk).unwrap();
        drop(log);
        assert!(recovered.is_fresh() || recovered.snapshot == Some(meta(40, 7)));
        if recovered.is_fresh() {
            let (_log, recovered) = create_at(&disk).unwrap();
            assert_eq!(recovered.snapshot, Some(meta(40, 7)));
        }
    }
}

#[test]
fn a_log_that_holds_only_a_term_is_not_fresh() {
    let disk = SimVfs::default();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&[Persist { entries: Vec::new(), ..entries(1..=1, 1) }]).unwrap();
    drop(log);
    assert!(!open(&disk).unwrap().1.is_fresh());
}

/// The first bytes of a new log, pinned: logs of released versions must open for ever.
#[test]
fn the_stored_format_is_pinned() {
    let disk = SimVfs::default();
    let (mut log, _) = open(&disk).unwrap();
    let member = MembershipAt { index: 0, membership: Membership::new([1, 2, 3].map(RaftId), [RaftId(4)]) };
    log.append(&[Persist { membership: Some(member), ..entries(1..=3, 1) }]).unwrap();
    log.append(&[snapshot(SnapshotChange::Compacted(meta(2, 1)))]).unwrap();
    let bytes = disk.read(&file(1)).unwrap();
    assert_eq!(
        blake3::hash(&bytes).to_hex().as_str(),
        "4a7d36d6d06499e153c034794ce29b6d52dc39d89c3203344b2dc9458dc5b9bf"
    );
}
