use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::hash::Hash;
use crate::member::Node;
use crate::name::NodeName;
use crate::time::Timestamp;
use crate::vocabulary::text_enum;

/// A node in `GET /v1/nodes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeDetail {
    /// The record on the chain, with the standing of its member where that does not take part.
    #[serde(flatten)]
    pub node: Node,
    /// Whether it stands in the voter set: its signature counts for certificates.
    pub in_voter_set: bool,
    /// A short form of its key, for people.
    pub fingerprint: String,
    /// How often the answering node knows it to have signed another header than the certified one: `GET /v1/evidence`.
    #[serde(default)]
    pub evidence: usize,
}

text_enum! {
    /// How a node takes part in ordering and voting.
    pub enum Participation {
        /// An observer or aggregator: it follows certified blocks.
        Following = 1 "following",
        /// A voter that asks its peers what they know of it, before it orders: its disk may be an old one.
        Checking = 2 "checking",
        /// A voter that waits for its number in ordering.
        Starting = 3 "starting",
        /// It orders and catches up; its vote does not count yet.
        Learning = 4 "learning",
        /// In the voter set.
        Voting = 5 "voting",
        /// Its disk is new, old or lost its ordering log: it follows, and comes back under a new number.
        Stale = 6 "stale",
        /// Suspended, left or removed: it neither orders nor is it heard; it serves what it holds.
        Retired = 7 "retired",
        /// Its stored bytes have rotted, or its ledger is behind its ordering log: it fetches what it lacks from its peers, and
        /// orders and signs nothing until it has that.
        Repairing = 8 "repairing",
    }
}

/// What a node knows of the bytes that it stores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeStorage {
    /// When all that is stored had been read again last; absent for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrubbed: Option<Timestamp>,
    /// Stored files that were found changed or missing then.
    #[serde(default)]
    pub files_damaged: u64,
}

/// How a node takes part, and how far ordering is in following the chain's voter set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeOrdering {
    /// What it does.
    pub participation: Participation,
    /// What it waits for, or what its operator is to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Its number in ordering; 0 for none.
    pub raft_id: u64,
    /// Whether two sets of voters hold at once: for moments in the middle of a change.
    pub joint: bool,
    /// Whether ordering's members differ from those on the chain, as the leader sees it.
    pub change_pending: bool,
    /// Since when, seconds.
    pub change_pending_seconds: u64,
    /// What the change waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<String>,
    /// Lowest height whose block is held whole; 1 for the whole history.
    pub history_from: u64,
}

/// `POST /v1/node/leader-transfer`: who shall lead.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaderTransferOrder {
    /// A voter; without it the one that is caught up the furthest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<NodeName>,
}

/// The answer to a transfer of leadership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeaderTransfer {
    /// Who leads now.
    pub leader: NodeName,
}

/// `POST /v1/node/backup`: a backup as made, in a folder of the node's machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupMade {
    /// Where, on the node's machine.
    pub folder: String,
    /// The last block in it.
    pub height: u64,
    /// Bytes of all its files.
    pub bytes: u64,
}

/// `POST /v1/node/snapshot`: a snapshot as made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SnapshotMade {
    /// The block after which it was taken; certified.
    pub height: u64,
    /// That block's header.
    pub header: Hash,
    /// Keys of the state.
    pub rows: u64,
    /// Bytes to transfer.
    pub bytes: u64,
}
