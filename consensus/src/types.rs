//! The values that cross the crate's border.

use std::fmt;

use bytes::Bytes;

use crate::membership::Membership;

/// A node's number in the Raft group: never 0 (nobody), never used again once removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RaftId(pub u64);

impl RaftId {
    /// `None` for raft's "nobody".
    pub(crate) fn known(id: u64) -> Option<Self> {
        (id != 0).then_some(Self(id))
    }
}

impl fmt::Display for RaftId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

/// What a node must remember beside its entries (Raft, figure 2: persistent state).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HardState {
    /// The latest term the node has seen.
    pub term: u64,
    /// Whom it voted for in that term.
    pub vote: Option<RaftId>,
    /// An index known to be committed; may lag.
    pub commit: u64,
}

/// What an entry's data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// The embedder's bytes; empty for the entry by which a leader opens its term.
    Data,
    /// A change of the configuration.
    Membership,
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Position in the log, from 1.
    pub index: u64,
    /// The term in which a leader created it.
    pub term: u64,
    /// What `data` is.
    pub kind: EntryKind,
    /// The bytes. A slice of a larger buffer where it was received in one.
    pub data: Bytes,
}

/// Where a log ends. Of two ends the later term is the greater, within a term the longer log: the order by which Raft judges
/// candidates (Raft dissertation, 3.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct LogEnd {
    /// The last entry's term; 0 of an empty log.
    pub term: u64,
    /// The last entry's index; 0 of an empty log.
    pub index: u64,
}

/// What a node that may have forgotten promises must not go below when it votes: see
/// [`RaftCore::set_vote_floor`](crate::RaftCore::set_vote_floor).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VoteFloor {
    /// No vote for a candidate whose log ends before this.
    pub log_end: LogEnd,
    /// No vote in this term or an earlier one: it may have been given already.
    pub term: u64,
}

/// A configuration and the index of the entry that made it (0: from the start).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MembershipAt {
    /// Index of the entry by which it holds.
    pub index: u64,
    /// The configuration.
    pub membership: Membership,
}

/// The state that stands for all entries up to an index. It carries no data: a follower gets that by pulling blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotMeta {
    /// The last index that it covers; 0 when nothing was ever cut.
    pub index: u64,
    /// That entry's term.
    pub term: u64,
    /// The configuration at that index.
    pub membership: MembershipAt,
    /// The embedder's bytes: which block this is.
    pub context: Bytes,
}

/// What a new snapshot does to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotChange {
    /// Entries up to its index may go; later ones stay.
    Compacted(SnapshotMeta),
    /// It replaces the whole log, which was behind or had diverged.
    Restored(SnapshotMeta),
}

impl SnapshotChange {
    /// The snapshot itself.
    #[must_use]
    pub fn meta(&self) -> &SnapshotMeta {
        match self {
            Self::Compacted(meta) | Self::Restored(meta) => meta,
        }
    }
}

/// Names one [`Persist`]. Later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersistToken(pub u64);

/// What must become durable, all of it or a prefix in this order: snapshot, entries, membership, hard state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Persist {
    /// To hand to `RaftCore::persisted` once this and all earlier ones are synced.
    pub token: PersistToken,
    /// A snapshot that cuts or replaces the log.
    pub snapshot: Option<SnapshotChange>,
    /// Entries to append. The first may stand at or before the log's end: then it and what follows overwrite.
    pub entries: Vec<Entry>,
    /// A configuration that now holds.
    pub membership: Option<MembershipAt>,
    /// Term, vote and commit.
    pub hard_state: Option<HardState>,
}
