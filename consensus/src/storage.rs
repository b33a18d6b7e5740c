//! The log as raft reads it: entries since the last compaction, in memory.
//!
//! The durable log is written behind it (`crate::log`); what is here may not be synced yet, and raft knows how much is
//! by `on_persist_ready`.

use std::collections::VecDeque;

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot, SnapshotMetadata};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

use crate::types::SnapshotMeta;
use crate::wire;

/// Entries after the snapshot, and the state that raft starts from.
pub(crate) struct EntryStore {
    pub(crate) snapshot: SnapshotMeta,
    entries: VecDeque<Entry>,
    bytes: u64,
    initial_hard_state: HardState,
    initial_conf_state: ConfState,
}

impl EntryStore {
    pub(crate) fn new(
        snapshot: SnapshotMeta,
        entries: VecDeque<Entry>,
        initial_hard_state: HardState,
        initial_conf_state: ConfState,
    ) -> Self {
        let bytes = entries.iter().map(size).sum();
        Self { snapshot, entries, bytes, initial_hard_state, initial_conf_state }
    }

    /// Bytes of entry data held.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn first(&self) -> u64 {
        self.snapshot.index + 1
    }

    pub(crate) fn last(&self) -> u64 {
        self.snapshot.index + self.entries.len() as u64
    }

    pub(crate) fn term_of(&self, index: u64) -> Option<u64> {
        if index == self.snapshot.index {
            return Some(self.snapshot.term);
        }
        self.position(index).and_then(|position| self.entries.get(position)).map(|entry| entry.term)
    }

    /// Appends entries, overwriting what stands at or after the first. False when they leave a gap or reach below the
    /// snapshot, which raft never asks for.
    pub(crate) fn append(&mut self, entries: &[Entry]) -> bool {
        let Some(first) = entries.first() else {
            return true;
        };
        if first.index < self.first() || first.index > self.last() + 1 {
            return false;
        }
        while self.last() >= first.index {
            if let Some(entry) = self.entries.pop_back() {
                self.bytes = self.bytes.saturating_sub(size(&entry));
            }
        }
        for entry in entries {
            self.bytes += size(entry);
            self.entries.push_back(entry.clone());
        }
        true
    }

    /// Drops the entries that `snapshot` covers; later ones stay.
    pub(crate) fn compact(&mut self, snapshot: SnapshotMeta) {
        while self.first() <= snapshot.index {
            match self.entries.pop_front() {
                Some(entry) => {
                    self.bytes = self.bytes.saturating_sub(size(&entry));
                    self.snapshot.index = entry.index;
                }
                None => break,
            }
        }
        self.snapshot = snapshot;
    }

    /// Replaces everything by `snapshot`.
    pub(crate) fn restore(&mut self, snapshot: SnapshotMeta) {
        self.entries.clear();
        self.bytes = 0;
        self.snapshot = snapshot;
    }

    fn position(&self, index: u64) -> Option<usize> {
        index.checked_sub(self.first()).and_then(|position| usize::try_from(position).ok())
    }
}

fn size(entry: &Entry) -> u64 {
    entry.data.len() as u64
}

impl Storage for EntryStore {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState { hard_state: self.initial_hard_state.clone(), conf_state: self.initial_conf_state.clone() })
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low < self.first() {
            return Err(StorageError::Compacted.into());
        }
        if high > self.last() + 1 {
            return Err(StorageError::Unavailable.into());
        }
        let (Some(low), Some(high)) = (self.position(low), self.position(high)) else {
            return Err(StorageError::Unavailable.into());
        };
        let limit = max_size.into().unwrap_or(u64::MAX);
        let mut taken = Vec::new();
        let mut total = 0u64;
        for entry in self.entries.range(low..high.max(low)) {
            total = total.saturating_add(u64::from(protobuf_size(entry)));
            if !taken.is_empty() && total > limit {
                break;
            }
            taken.push(entry.clone());
        }
        Ok(taken)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        match self.term_of(index) {
            Some(term) => Ok(term),
            None if index < self.snapshot.index => Err(StorageError::Compacted.into()),
            None => Err(StorageError::Unavailable.into()),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.first())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, _request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        if self.snapshot.index == 0 {
            // Any other error would stop the node (raft's `prepare_send_snapshot`).
            return Err(StorageError::SnapshotTemporarilyUnavailable.into());
        }
        Ok(Snapshot {
            data: wire::encode_snapshot_data(&self.snapshot),
            metadata: SnapshotMetadata {
                conf_state: self.snapshot.membership.membership.to_raft(),
                index: self.snapshot.index,
                term: self.snapshot.term,
            },
        })
    }
}

/// An entry's size as raft's own limits count it.
fn protobuf_size(entry: &Entry) -> u32 {
    u32::try_from(entry.data.len().saturating_add(wire::ENTRY_OVERHEAD)).unwrap_or(u32::MAX)
}
