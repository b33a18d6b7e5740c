//! Messages, entries and configuration changes.

use bytes::Bytes;

/// What an entry's data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EntryType {
    /// Data of the application; empty for the entry by which a leader opens its term.
    #[default]
    EntryNormal = 0,
    /// An encoded [`ConfChange`].
    EntryConfChange = 1,
    /// An encoded [`ConfChangeV2`].
    EntryConfChangeV2 = 2,
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MessageType {
    /// Local: start an election.
    #[default]
    MsgHup = 0,
    /// Local: send heartbeats.
    MsgBeat = 1,
    /// Propose entries.
    MsgPropose = 2,
    /// Append entries.
    MsgAppend = 3,
    /// Answer to `MsgAppend` and `MsgSnapshot`.
    MsgAppendResponse = 4,
    /// Ask for a vote.
    MsgRequestVote = 5,
    /// Answer to `MsgRequestVote`.
    MsgRequestVoteResponse = 6,
    /// Replace the log by a snapshot.
    MsgSnapshot = 7,
    /// The leader lives.
    MsgHeartbeat = 8,
    /// Answer to `MsgHeartbeat`.
    MsgHeartbeatResponse = 9,
    /// Local: a peer cannot be reached.
    MsgUnreachable = 10,
    /// Local: what became of a sent snapshot.
    MsgSnapStatus = 11,
    /// Local: is a quorum active?
    MsgCheckQuorum = 12,
    /// Hand leadership over.
    MsgTransferLeader = 13,
    /// Start an election at once.
    MsgTimeoutNow = 14,
    /// Ask for a read index.
    MsgReadIndex = 15,
    /// Answer to `MsgReadIndex`.
    MsgReadIndexResp = 16,
    /// Ask whether a vote would be given.
    MsgRequestPreVote = 17,
    /// Answer to `MsgRequestPreVote`.
    MsgRequestPreVoteResponse = 18,
}

/// How a configuration change uses joint consensus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConfChangeTransition {
    /// The simple protocol if possible, else joint consensus that raft leaves by itself.
    #[default]
    Auto = 0,
    /// Joint consensus that raft leaves by itself.
    Implicit = 1,
    /// Joint consensus that the application leaves.
    Explicit = 2,
}

/// What a configuration change does to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConfChangeType {
    /// Make it a voter.
    #[default]
    AddNode = 0,
    /// Remove it.
    RemoveNode = 1,
    /// Make it a learner.
    AddLearnerNode = 2,
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    pub entry_type: EntryType,
    pub term: u64,
    pub index: u64,
    pub data: Bytes,
    pub context: Bytes,
}

/// Where a snapshot stands in the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SnapshotMetadata {
    pub conf_state: ConfState,
    pub index: u64,
    pub term: u64,
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    pub data: Bytes,
    pub metadata: SnapshotMetadata,
}

impl Snapshot {
    /// A snapshot at index 0 is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.metadata.index == 0
    }
}

/// A message between raft nodes, or from a node to itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    pub msg_type: MessageType,
    pub to: u64,
    pub from: u64,
    pub term: u64,
    pub log_term: u64,
    pub index: u64,
    pub entries: Vec<Entry>,
    pub commit: u64,
    pub commit_term: u64,
    pub snapshot: Snapshot,
    pub request_snapshot: u64,
    pub reject: bool,
    pub reject_hint: u64,
    pub context: Bytes,
    pub deprecated_priority: u64,
    pub priority: i64,
}

/// What a node must remember across restarts beside its log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HardState {
    pub term: u64,
    pub vote: u64,
    pub commit: u64,
}

/// Who belongs to the group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfState {
    pub voters: Vec<u64>,
    pub learners: Vec<u64>,
    pub voters_outgoing: Vec<u64>,
    pub learners_next: Vec<u64>,
    pub auto_leave: bool,
}

/// A change of one node; raft still names it, Galen does not use it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfChange {
    pub change_type: ConfChangeType,
    pub node_id: u64,
    pub context: Bytes,
    pub id: u64,
}

/// One step of a [`ConfChangeV2`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfChangeSingle {
    pub change_type: ConfChangeType,
    pub node_id: u64,
}

/// A change of the group; one without steps leaves a joint configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfChangeV2 {
    pub transition: ConfChangeTransition,
    pub changes: Vec<ConfChangeSingle>,
    pub context: Bytes,
}
