//! What a core is made from.

use crate::limits;
use crate::membership::{Membership, MembershipError};
use crate::types::RaftId;

/// Settings of one node. Pre-vote and check-quorum are always on, reads are always confirmed by a quorum.
#[derive(Debug, Clone)]
pub struct CoreConfig {
    /// This node.
    pub id: RaftId,
    /// The configuration at the group's start, the same on every founder. `None` on a node that joins: it never campaigns,
    /// hears only nodes that were admitted, and takes the configuration from its leader's log or snapshot. Either way
    /// it is used only while the log holds none.
    pub bootstrap: Option<Membership>,
    /// Ticks without a leader before an election; the timeout is drawn from one to two times this.
    pub election_tick: usize,
    /// Ticks between heartbeats; less than `election_tick`, best a tenth of it.
    pub heartbeat_tick: usize,
    /// Decides the election timeouts. Different on every node and start: reads are told apart by it, too.
    pub seed: u64,
    /// Bytes of one proposal.
    pub entry_bytes_max: usize,
    /// Bytes of entries in one append message.
    pub append_bytes_max: u64,
    /// Append messages on their way to one follower.
    pub appends_in_flight_max: usize,
    /// Bytes of uncommitted proposals.
    pub uncommitted_bytes_max: u64,
    /// Bytes of entries in memory before proposals are refused.
    pub log_bytes_max: u64,
    /// Ticks that a write may take before a leader steps down for a node with a working disk.
    pub persist_stall_tick: usize,
}

impl CoreConfig {
    /// A founder of the group. Default limits; an election after 10 ticks, a heartbeat each tick.
    #[must_use]
    pub fn new(id: RaftId, bootstrap: Membership, seed: u64) -> Self {
        Self { bootstrap: Some(bootstrap), ..Self::joining(id, seed) }
    }

    /// A node that the group adds, or has added, as a learner; also one whose log begins at a snapshot
    /// ([`Log::create_at`](crate::Log::create_at)).
    #[must_use]
    pub fn joining(id: RaftId, seed: u64) -> Self {
        Self {
            id,
            bootstrap: None,
            election_tick: 10,
            heartbeat_tick: 1,
            seed,
            entry_bytes_max: limits::ENTRY_BYTES_MAX,
            append_bytes_max: limits::APPEND_BYTES_MAX,
            appends_in_flight_max: limits::APPENDS_IN_FLIGHT_MAX,
            uncommitted_bytes_max: limits::UNCOMMITTED_BYTES_MAX,
            log_bytes_max: limits::LOG_BYTES_MAX,
            persist_stall_tick: 20,
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.id == RaftId(0) {
            return Err(ConfigError::Membership(MembershipError::NodeZero));
        }
        if let Some(bootstrap) = &self.bootstrap {
            bootstrap.check().map_err(ConfigError::Membership)?;
        }
        if self.entry_bytes_max == 0 || self.entry_bytes_max > limits::ENTRY_BYTES_MAX {
            return Err(ConfigError::EntryBytes);
        }
        if self.heartbeat_tick == 0 || self.election_tick <= self.heartbeat_tick || self.election_tick > 1 << 16 {
            return Err(ConfigError::Ticks);
        }
        let room = u64::try_from(self.entry_bytes_max).unwrap_or(u64::MAX);
        if self.append_bytes_max > limits::APPEND_BYTES_MAX
            || self.appends_in_flight_max == 0
            || self.uncommitted_bytes_max < self.append_bytes_max.max(room)
        {
            return Err(ConfigError::Limits);
        }
        Ok(())
    }

    pub(crate) fn to_raft(&self, applied: u64) -> raft::Config {
        raft::Config {
            id: self.id.0,
            election_tick: self.election_tick,
            heartbeat_tick: self.heartbeat_tick,
            applied,
            max_size_per_msg: self.append_bytes_max,
            max_inflight_msgs: self.appends_in_flight_max,
            check_quorum: true,
            pre_vote: true,
            read_only_option: raft::ReadOnlyOption::Safe,
            max_uncommitted_size: self.uncommitted_bytes_max,
            max_committed_size_per_ready: limits::COMMITTED_BYTES_PER_STEP,
            ..raft::Config::default()
        }
    }
}

/// Why a core does not start. The code is stable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The configuration of the group is none.
    #[error("the group's configuration is refused: {0}")]
    Membership(MembershipError),
    /// The largest entry is 0 or above the wire's limit.
    #[error("the largest entry must be 1 to {} bytes", limits::ENTRY_BYTES_MAX)]
    EntryBytes,
    /// The log is empty and the configuration at the group's start does not name this node.
    #[error("node {0} is no founder of the group: it must be started as one that joins")]
    NotFounder(RaftId),
    /// The ticks do not fit each other.
    #[error("the election tick must be above the heartbeat tick, and both above 0")]
    Ticks,
    /// A size limit does not fit the others.
    #[error("the size limits contradict each other")]
    Limits,
    /// The log ends before what it says is committed, or has gaps.
    #[error("the log contradicts itself at index {0}; restore this node from its peers")]
    Log(u64),
    /// The ledger has not got what the log was cut below. The node must pull blocks first.
    #[error("the ledger holds entries up to {applied}, the log begins after {snapshot}: pull blocks from a peer first")]
    LedgerBehind {
        /// The ledger's applied index.
        applied: u64,
        /// The log's snapshot index.
        snapshot: u64,
    },
    /// The log of the only voter lost entries: nobody else could have brought the ledger further. Written on, new entries
    /// would take the places of those that are blocks already.
    #[error(
        "the ordering log ends at entry {last}, and the ledger holds what came up to {applied}: entries that were synced \
         are gone from the log of the only voter; bring the log back, or recover the consortium from the ledger \
         (galen recovery)"
    )]
    LogBehind {
        /// The log's last index.
        last: u64,
        /// The ledger's applied index.
        applied: u64,
    },
    /// This id was removed from the group, or passed over by a greater one.
    #[error("node {0} was removed from the group or passed over; give this machine a new id")]
    Retired(RaftId),
    /// Raft refused for a reason of its own.
    #[error("raft does not start: {0}")]
    Raft(String),
}

impl ConfigError {
    /// A stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Membership(_) => "consensus-membership",
            Self::EntryBytes => "consensus-entry-bytes",
            Self::NotFounder(_) => "consensus-not-founder",
            Self::Ticks => "consensus-ticks",
            Self::Limits => "consensus-limits",
            Self::Log(_) => "consensus-log",
            Self::LedgerBehind { .. } => "consensus-ledger-behind",
            Self::LogBehind { .. } => "consensus-log-behind",
            Self::Retired(_) => "consensus-retired",
            Self::Raft(_) => "consensus-raft",
        }
    }
}
