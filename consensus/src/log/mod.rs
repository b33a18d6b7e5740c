//! The durable log: entries, hard state, configurations and snapshot marks in one stream of records, in segment files.
//!
//! - A batch is one write and one sync. What `append` returned for is durable.
//! - A segment begins with who it belongs to, and the snapshot mark, configurations and hard state of that moment: so
//!   older segments can go whole.
//! - A suffix that a new leader replaces is overwritten by later records; nothing is ever changed in place.
//! - Opening reads every record and its chain. A write that a crash cut off is discarded and reported; anything else
//!   that is wrong is damage, and the log does not open: a node that forgot a promise must not vote.
//! - After any error the log takes nothing more. A sync that failed is never tried again (R4).

mod check;
mod error;
mod record;
mod recovery;
mod tail;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use crate::limits::{RECORD_BYTES_MAX, SEGMENT_BYTES};
use crate::types::{Entry, HardState, LogEnd, MembershipAt, Persist, RaftId, SnapshotChange, SnapshotMeta};
use crate::vfs::{Vfs, VfsFile};

pub use check::{Extent, Link, SegmentCheck, segment_path};
pub use error::LogError;
use record::{Chain, Draft, Place, SnapshotRecord};

/// Whose log it is: stored in every segment, checked at every start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The group, for instance by the hash of its genesis.
    pub cluster: [u8; 32],
    /// The node in it.
    pub node: RaftId,
}

/// Settings of the log.
#[derive(Debug, Clone, Copy)]
pub struct LogOptions {
    /// Bytes after which the next batch begins a new segment.
    pub segment_bytes: u64,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { segment_bytes: SEGMENT_BYTES }
    }
}

/// What the log held when it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Term, vote and commit.
    pub hard_state: HardState,
    /// What stands for the entries that were cut; `None` when none ever were.
    pub snapshot: Option<SnapshotMeta>,
    /// Entries after the snapshot.
    pub entries: Vec<Entry>,
    /// Configurations after the snapshot's, oldest first.
    pub memberships: Vec<MembershipAt>,
    /// A write that a crash cut off and that was discarded: nobody was told that it was durable.
    pub torn: Option<TornTail>,
}

impl Recovered {
    /// Whether the log was empty: a first start, or a disk that was lost. A node that has been running before must not go
    /// on under its id then. What a core asks to write first is never empty, also on a node that joins.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.snapshot.is_none()
            && self.memberships.is_empty()
            && self.entries.is_empty()
            && self.hard_state == HardState::default()
    }

    /// Where the log ends.
    #[must_use]
    pub fn log_end(&self) -> LogEnd {
        let entry = self.entries.last().map(|entry| LogEnd { term: entry.term, index: entry.index });
        let cut = self.snapshot.as_ref().map(|snapshot| LogEnd { term: snapshot.term, index: snapshot.index });
        entry.or(cut).unwrap_or_default()
    }
}

/// A discarded tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TornTail {
    /// The segment.
    pub segment: u64,
    /// Where it was cut.
    pub offset: u64,
    /// How many bytes went.
    pub bytes: u64,
}

/// The log, open for appending.
pub struct Log<V: Vfs> {
    vfs: V,
    dir: PathBuf,
    identity: Identity,
    options: LogOptions,
    file: V::File,
    /// Oldest first; the last one is being written. Never empty.
    segments: VecDeque<Segment>,
    /// Bytes of the segment being written.
    length: u64,
    chain: Chain,
    state: State,
    buffer: Vec<u8>,
    stopped: bool,
    _lock: V::Lock,
}

/// A segment file.
#[derive(Debug, Clone, Copy)]
struct Segment {
    number: u64,
    /// The highest index of an entry in it that may still count.
    last_index: u64,
}

/// What a new segment repeats.
#[derive(Debug, Clone, Default)]
struct State {
    hard_state: HardState,
    snapshot: Option<SnapshotMeta>,
    memberships: Vec<MembershipAt>,
    /// Index of the last entry.
    last: u64,
}

impl State {
    fn cut(&mut self, snapshot: &SnapshotMeta) {
        self.memberships.retain(|at| at.index > snapshot.membership.index);
        self.snapshot = Some(snapshot.clone());
        self.last = self.last.max(snapshot.index);
    }
}

fn segment_name(number: u64) -> String {
    format!("{number:020}.log")
}

impl<V: Vfs> Log<V> {
    /// Opens the log in `dir`, making it if there is none, for this process alone.
    ///
    /// # Errors
    /// When another process has it, it belongs to another node, or it is damaged.
    pub fn open(vfs: V, dir: &Path, identity: Identity, options: LogOptions) -> Result<(Self, Recovered), LogError> {
        recovery::open(vfs, dir, identity, options)
    }

    /// Makes a log in `dir` that begins at `snapshot`, durably: the start after a recovery, where nothing before it counts.
    /// What comes back is what [`open`](Self::open) would give from then on. When a crash comes before it returns, it
    /// can be called again.
    ///
    /// # Errors
    /// [`LogError::NotEmpty`] when `dir` holds a log that a core has written to, or anything else; else as
    /// [`open`](Self::open) and [`append`](Self::append).
    pub fn create_at(
        vfs: V,
        dir: &Path,
        identity: Identity,
        options: LogOptions,
        snapshot: SnapshotMeta,
    ) -> Result<(Self, Recovered), LogError> {
        recovery::create_at(vfs, dir, identity, options, snapshot)
    }

    /// Writes all of `batch`, in order, in one write and one sync. After `Ok` it is durable: call
    /// `RaftCore::persisted` with the last one's token. After an error stop the node: `RaftCore::stop`.
    ///
    /// # Errors
    /// When the file system fails, or the batch does not fit the log. The log has stopped then.
    pub fn append(&mut self, batch: &[Persist]) -> Result<(), LogError> {
        if self.stopped {
            return Err(LogError::Stopped);
        }
        if batch.is_empty() {
            return Ok(());
        }
        // Until everything below has succeeded, what the files hold is unknown.
        self.stopped = true;
        #[cfg(feature = "planted")]
        if galen_planted::is_on(galen_planted::Bug::HardStateFirst) {
            let hard_state = batch.iter().rev().find_map(|persist| persist.hard_state);
            let token = crate::types::PersistToken(0);
            self.write(&[Persist { token, snapshot: None, entries: Vec::new(), membership: None, hard_state }])?;
        }
        self.write(batch)?;
        self.remove_old()?;
        self.stopped = false;
        Ok(())
    }

    fn write(&mut self, batch: &[Persist]) -> Result<(), LogError> {
        check(batch, self.state.last)?;
        let rotates = self.length >= self.options.segment_bytes;
        if rotates {
            self.begin_segment()?;
        }
        let place = self.here();
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        if rotates {
            self.repeat_state(&mut buffer, place);
        }
        for persist in batch {
            self.put_persist(&mut buffer, place, persist);
        }
        let path = self.path(place.segment);
        self.file.append(&buffer).map_err(|source| LogError::Io { action: "write", path: path.clone(), source })?;
        #[cfg(feature = "planted")]
        if galen_planted::is_on(galen_planted::Bug::SyncLeftOut) {
            self.length += buffer.len() as u64;
            return Ok(());
        }
        self.file.sync().map_err(|source| LogError::Io { action: "sync", path, source })?;
        if rotates {
            self.sync_dir()?;
        }
        self.length += buffer.len() as u64;
        // One unusually large batch must not hold its memory for ever.
        buffer.shrink_to(4 * RECORD_BYTES_MAX);
        self.buffer = buffer;
        Ok(())
    }

    fn put_persist(&mut self, buffer: &mut Vec<u8>, place: Place, persist: &Persist) {
        if let Some(change) = &persist.snapshot {
            let reason = match change {
                SnapshotChange::Compacted(_) => SnapshotRecord::Compacted,
                SnapshotChange::Restored(meta) => {
                    for segment in &mut self.segments {
                        segment.last_index = 0;
                    }
                    self.state.memberships.clear();
                    self.state.last = meta.index;
                    SnapshotRecord::Restored
                }
            };
            self.put(buffer, place, &Draft::Snapshot(reason, change.meta()));
            self.state.cut(change.meta());
        }
        for entry in &persist.entries {
            self.put(buffer, place, &Draft::Entry(entry));
            self.state.last = entry.index;
            if let Some(segment) = self.segments.back_mut() {
                segment.last_index = segment.last_index.max(entry.index);
            }
        }
        if let Some(at) = &persist.membership {
            self.put(buffer, place, &Draft::Membership(at));
            self.state.memberships.push(at.clone());
        }
        if let Some(state) = &persist.hard_state {
            self.put(buffer, place, &Draft::HardState(state));
            self.state.hard_state = *state;
        }
    }

    fn put(&mut self, buffer: &mut Vec<u8>, batch: Place, draft: &Draft<'_>) {
        let place = Place { offset: batch.offset + buffer.len() as u64, ..batch };
        self.chain = draft.write(buffer, place, self.chain);
    }

    /// Where the next batch begins.
    fn here(&self) -> Place {
        let segment = self.segments.back().map_or(0, |segment| segment.number);
        Place { segment, offset: self.length, batch: self.length }
    }

    fn begin_segment(&mut self) -> Result<(), LogError> {
        let number = self.segments.back().map_or(1, |segment| segment.number + 1);
        let path = self.path(number);
        self.file = self.vfs.create(&path).map_err(|source| LogError::Io { action: "create", path, source })?;
        self.segments.push_back(Segment { number, last_index: 0 });
        self.length = 0;
        Ok(())
    }

    fn repeat_state(&mut self, buffer: &mut Vec<u8>, place: Place) {
        let (identity, state) = (self.identity, self.state.clone());
        self.put(buffer, place, &Draft::Segment(&identity));
        if let Some(snapshot) = &state.snapshot {
            self.put(buffer, place, &Draft::Snapshot(SnapshotRecord::Carried, snapshot));
        }
        for at in &state.memberships {
            self.put(buffer, place, &Draft::Membership(at));
        }
        self.put(buffer, place, &Draft::HardState(&state.hard_state));
    }

    /// Removes the oldest segments whose entries the durable snapshot covers.
    fn remove_old(&mut self) -> Result<(), LogError> {
        let Some(cut) = self.state.snapshot.as_ref().map(|snapshot| snapshot.index) else {
            return Ok(());
        };
        let mut removed = false;
        while self.segments.len() > 1 && self.segments.front().is_some_and(|oldest| oldest.last_index <= cut) {
            let Some(oldest) = self.segments.pop_front() else {
                break;
            };
            let path = self.path(oldest.number);
            self.vfs.remove(&path).map_err(|source| LogError::Io { action: "remove", path, source })?;
            removed = true;
        }
        if removed { self.sync_dir() } else { Ok(()) }
    }

    fn sync_dir(&self) -> Result<(), LogError> {
        let failed = |source| LogError::Io { action: "sync", path: self.dir.clone(), source };
        self.vfs.sync_dir(&self.dir).map_err(failed)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(segment_name(number))
    }

    /// How far the log goes: for whoever reads its files again while it is written.
    pub fn extent(&self) -> Extent {
        let number = |segment: Option<&Segment>| segment.map_or(0, |segment| segment.number);
        Extent { first: number(self.segments.front()), last: number(self.segments.back()), last_bytes: self.length }
    }

    /// Numbers of the segment files, oldest first.
    pub fn segments(&self) -> impl Iterator<Item = u64> {
        self.segments.iter().map(|segment| segment.number)
    }
}

/// Refuses a batch before any of it is written.
fn check(batch: &[Persist], mut last: u64) -> Result<(), LogError> {
    for persist in batch {
        if let Some(SnapshotChange::Restored(meta)) = &persist.snapshot {
            last = meta.index;
        }
        for entry in &persist.entries {
            if entry.index > last + 1 {
                return Err(LogError::Gap { found: entry.index, last });
            }
            if entry.data.len() >= RECORD_BYTES_MAX {
                return Err(LogError::TooLarge(entry.data.len()));
            }
            last = entry.index;
        }
    }
    Ok(())
}
