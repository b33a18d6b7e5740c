//! Opening a log: every record is read and checked.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use bytes::Bytes;

use super::record::{self, Chain, Header, Record, SnapshotRecord};
use super::{Identity, Log, LogError, LogOptions, Recovered, Segment, State, TornTail, segment_name, tail};
use crate::types::{Entry, HardState, MembershipAt, Persist, PersistToken, SnapshotChange, SnapshotMeta};
use crate::vfs::{Vfs, VfsFile};

/// What the records read so far amount to.
#[derive(Default)]
struct Replay {
    hard_state: HardState,
    snapshot: Option<SnapshotMeta>,
    memberships: Vec<MembershipAt>,
    entries: VecDeque<Entry>,
    segments: VecDeque<Segment>,
    /// The last record's chain value; `None` before the first.
    chain: Option<Chain>,
}

/// Why a segment ends before its file does.
struct Bad {
    offset: usize,
}

pub(super) fn open<V: Vfs>(
    vfs: V,
    dir: &Path,
    identity: Identity,
    options: LogOptions,
) -> Result<(Log<V>, Recovered), LogError> {
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| LogError::Io { action, path, source }
    };
    vfs.create_dir(dir).map_err(failed("create", dir))?;
    let lock_path = dir.join("lock");
    let lock = vfs.lock(&lock_path).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => LogError::Locked(dir.to_owned()),
        _ => LogError::Io { action: "lock", path: lock_path.clone(), source },
    })?;
    let numbers = segment_numbers(&vfs.list(dir).map_err(failed("list", dir))?)?;

    let mut replay = Replay::default();
    let mut length = 0;
    let mut torn = None;
    let newest = numbers.last().copied();
    for number in numbers {
        let path = dir.join(segment_name(number));
        let bytes = Bytes::from(vfs.read(&path).map_err(failed("read", &path))?);
        replay.segments.push_back(Segment { number, last_index: 0 });
        let bad = replay.segment(number, &bytes, identity)?;
        length = bytes.len() as u64;
        let Some(Bad { offset }) = bad else { continue };
        if Some(number) != newest || !tail::is_torn(&bytes, offset, number) {
            return Err(LogError::Damaged { segment: number, offset: offset as u64, index: replay.next_index() });
        }
        let cut = TornTail { segment: number, offset: offset as u64, bytes: (bytes.len() - offset) as u64 };
        tracing::warn!(node = identity.node.0, ?cut, "discarded a write that was never acknowledged");
        torn = Some(cut);
        if offset == 0 {
            // The crash came before the segment had its first record; the one before it goes on.
            vfs.remove(&path).map_err(failed("remove", &path))?;
            vfs.sync_dir(dir).map_err(failed("sync", dir))?;
            replay.segments.pop_back();
            length = previous_length(&vfs, dir, &replay)?;
        } else {
            #[cfg(feature = "planted")]
            if galen_planted::is_on(galen_planted::Bug::TornTailKept) {
                continue;
            }
            let mut file = vfs.open(&path).map_err(failed("open", &path))?;
            file.truncate(offset as u64).map_err(failed("cut", &path))?;
            file.sync().map_err(failed("sync", &path))?;
            length = offset as u64;
        }
    }
    replay.finish()?;

    let state = State {
        hard_state: replay.hard_state,
        snapshot: replay.snapshot.clone(),
        memberships: replay.memberships.clone(),
        last: replay.next_index() - 1,
    };
    let first = replay.segments.is_empty();
    let number = replay.segments.back().map_or(1, |segment| segment.number);
    let path = dir.join(segment_name(number));
    let file = if first { vfs.create(&path) } else { vfs.open(&path) };
    let mut log = Log {
        file: file.map_err(failed("open", &path))?,
        vfs,
        dir: dir.to_owned(),
        identity,
        options,
        segments: replay.segments,
        length,
        chain: replay.chain.unwrap_or_default(),
        state,
        buffer: Vec::new(),
        stopped: false,
        _lock: lock,
    };
    if first {
        log.segments.push_back(Segment { number, last_index: 0 });
        log.length = 0;
        let (mut buffer, place) = (Vec::new(), log.here());
        log.repeat_state(&mut buffer, place);
        log.file.append(&buffer).map_err(failed("write", &path))?;
        log.file.sync().map_err(failed("sync", &path))?;
        log.sync_dir()?;
        log.length = buffer.len() as u64;
    }
    let recovered = Recovered {
        hard_state: replay.hard_state,
        snapshot: replay.snapshot,
        entries: replay.entries.into(),
        memberships: replay.memberships,
        torn,
    };
    Ok((log, recovered))
}

pub(super) fn create_at<V: Vfs>(
    vfs: V,
    dir: &Path,
    identity: Identity,
    options: LogOptions,
    snapshot: SnapshotMeta,
) -> Result<(Log<V>, Recovered), LogError> {
    let failed = |action| move |source| LogError::Io { action, path: dir.to_owned(), source };
    vfs.create_dir(dir).map_err(failed("create"))?;
    // A crash during an earlier call may have left the first segment's begin.
    let ours = |name: &String| *name == "lock" || *name == segment_name(1);
    if !vfs.list(dir).map_err(failed("list"))?.iter().all(ours) {
        return Err(LogError::NotEmpty(dir.to_owned()));
    }
    let (mut log, recovered) = open(vfs, dir, identity, options)?;
    if !recovered.is_fresh() {
        return Err(LogError::NotEmpty(dir.to_owned()));
    }
    let hard_state = HardState { term: snapshot.term, vote: None, commit: snapshot.index };
    log.append(&[Persist {
        token: PersistToken(0),
        snapshot: Some(SnapshotChange::Restored(snapshot.clone())),
        entries: Vec::new(),
        membership: None,
        hard_state: Some(hard_state),
    }])?;
    Ok((log, Recovered { hard_state, snapshot: Some(snapshot), ..Recovered::default() }))
}

fn segment_numbers(names: &[String]) -> Result<Vec<u64>, LogError> {
    let mut numbers: Vec<u64> = names
        .iter()
        .filter_map(|name| name.strip_suffix(".log")?.parse().ok().filter(|number| segment_name(*number) == *name))
        .collect();
    numbers.sort_unstable();
    for pair in numbers.windows(2) {
        if let [before, after] = pair
            && *after != before + 1
        {
            return Err(LogError::MissingSegment(before + 1));
        }
    }
    Ok(numbers)
}

pub(super) fn wrong_identity(segment: u64, found: Identity, wanted: Identity) -> LogError {
    let name = |identity: Identity| {
        let cluster: String = identity.cluster.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("node {} of group {cluster}", identity.node)
    };
    LogError::WrongIdentity { segment, found: name(found), wanted: name(wanted) }
}

fn previous_length<V: Vfs>(vfs: &V, dir: &Path, replay: &Replay) -> Result<u64, LogError> {
    let Some(segment) = replay.segments.back() else {
        return Ok(0);
    };
    let path = dir.join(segment_name(segment.number));
    let bytes = vfs.read(&path).map_err(|source| LogError::Io { action: "read", path, source })?;
    Ok(bytes.len() as u64)
}

impl Replay {
    /// Reads a segment's records up to its end or the first that is not right.
    fn segment(&mut self, number: u64, bytes: &Bytes, identity: Identity) -> Result<Option<Bad>, LogError> {
        let mut offset = 0;
        let mut batch = 0;
        while offset < bytes.len() {
            let bad = Ok(Some(Bad { offset }));
            let rest = bytes.slice(offset..);
            let Some(header) = Header::read(&rest) else {
                return bad;
            };
            let place = header.place;
            let placed = place.segment == number
                && place.offset == offset as u64
                && (place.batch == batch || place.batch == place.offset);
            if !placed || self.chain.is_some_and(|chain| chain != header.previous) {
                return bad;
            }
            let Some((record, chain)) = record::read(&header, &rest) else {
                return bad;
            };
            if (offset == 0) != matches!(record, Record::Segment(_)) || !self.take(number, record, identity)? {
                return bad;
            }
            self.chain = Some(chain);
            batch = place.batch;
            offset += header.record_bytes();
        }
        // A file without a single record was cut before its first write.
        Ok((offset == 0).then_some(Bad { offset }))
    }

    /// Adds a record; false when it cannot follow what came before.
    fn take(&mut self, number: u64, record: Record, identity: Identity) -> Result<bool, LogError> {
        match record {
            Record::Segment(found) => {
                if found != identity {
                    return Err(wrong_identity(number, found, identity));
                }
            }
            Record::Entry(entry) => {
                if let Some(segment) = self.segments.back_mut() {
                    segment.last_index = segment.last_index.max(entry.index);
                }
                return Ok(self.entry(entry));
            }
            Record::HardState(state) => self.hard_state = state,
            Record::Membership(at) => {
                // A segment's begin repeats those that the one before it has.
                if self.memberships.last().is_none_or(|last| last.index < at.index) {
                    self.memberships.push(at);
                }
            }
            Record::Snapshot(reason, meta) => {
                if reason == SnapshotRecord::Restored {
                    self.entries.clear();
                    self.memberships.clear();
                    for segment in &mut self.segments {
                        segment.last_index = 0;
                    }
                }
                self.memberships.retain(|at| at.index > meta.membership.index);
                while self.entries.front().is_some_and(|first| first.index <= meta.index) {
                    self.entries.pop_front();
                }
                self.snapshot = Some(meta);
            }
        }
        Ok(true)
    }

    fn entry(&mut self, entry: Entry) -> bool {
        while self.entries.back().is_some_and(|last| last.index >= entry.index) {
            self.entries.pop_back();
        }
        match self.entries.back() {
            Some(last) if last.index + 1 != entry.index || last.term > entry.term => false,
            _ => {
                self.entries.push_back(entry);
                true
            }
        }
    }

    fn next_index(&self) -> u64 {
        let cut = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
        self.entries.back().map_or(cut, |entry| entry.index.max(cut)) + 1
    }

    /// The entries must reach back to the snapshot.
    fn finish(&mut self) -> Result<(), LogError> {
        let cut = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
        while self.entries.front().is_some_and(|first| first.index <= cut) {
            self.entries.pop_front();
        }
        match self.entries.front() {
            Some(first) if first.index != cut + 1 => Err(LogError::Damaged {
                segment: self.segments.front().map_or(0, |segment| segment.number),
                offset: 0,
                index: cut + 1,
            }),
            _ => Ok(()),
        }
    }
}
