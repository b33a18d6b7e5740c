//! Why an input is refused. Codes are stable.

use crate::firewall::Refusal;
use crate::membership::MembershipError;
use crate::types::RaftId;

/// The core has stopped (R4): after a storage or internal error it takes no further input. Restart from the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("ordering has stopped on this node: {cause}; restart it, it recovers from its log")]
pub struct Stopped {
    /// What happened.
    pub cause: String,
}

impl Stopped {
    /// A stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "consensus-stopped"
    }
}

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The firewall refused it. The node is unharmed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The core has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Why a proposal was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Another node leads, or none.
    #[error("this node does not lead")]
    NotLeader {
        /// Who does, if known.
        leader: Option<RaftId>,
    },
    /// Too much is uncommitted, uncut or unwritten.
    #[error("too many proposals wait; try again later")]
    Full,
    /// Leadership is being handed over.
    #[error("leadership is being handed over; try again")]
    Transferring,
    /// The data is empty.
    #[error("a proposal must not be empty")]
    Empty,
    /// The data is too large.
    #[error("a proposal of {bytes} bytes is above the limit of {limit}")]
    TooLarge {
        /// The proposal's size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The core has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl ProposeError {
    /// A stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotLeader { .. } => "consensus-not-leader",
            Self::Full => "consensus-full",
            Self::Transferring => "consensus-transferring",
            Self::Empty => "consensus-empty",
            Self::TooLarge { .. } => "consensus-too-large",
            Self::Stopped(stopped) => stopped.code(),
        }
    }
}

/// Why a change of the configuration was not proposed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembershipChangeError {
    /// As for any proposal.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// An earlier change is not finished.
    #[error("an earlier change of the configuration is not finished; wait for it")]
    Unfinished,
    /// It changes nothing.
    #[error("the change changes nothing")]
    NoChange,
    /// The configuration it leads to is none.
    #[error("the change is refused: {0}")]
    Membership(MembershipError),
    /// A new voter is no learner yet, or has not caught up.
    #[error("node {node} must first be a learner that has caught up: it holds {matched} of {committed} entries")]
    NotCaughtUp {
        /// The node.
        node: RaftId,
        /// It holds the log up to here; 0 when it is no learner.
        matched: u64,
        /// The group has committed up to here.
        committed: u64,
    },
    /// A new voter has not been heard lately.
    #[error("node {0} has not been heard lately and cannot become a voter now")]
    Silent(RaftId),
    /// The nodes heard from are no majority of the new voters.
    #[error("only {active} of the {voters} new voters have been heard from: the group would stand still")]
    WouldLoseQuorum {
        /// New voters heard from.
        active: usize,
        /// New voters.
        voters: usize,
    },
    /// The nodes heard from are no majority of the present voters, so the change would not commit.
    #[error("only {active} of the {voters} present voters have been heard from: the change would not commit")]
    NoQuorum {
        /// Present voters heard from.
        active: usize,
        /// Present voters.
        voters: usize,
    },
    /// Raft or the limits refuse it.
    #[error("the change is not possible: {0}")]
    Impossible(String),
}

impl MembershipChangeError {
    /// A stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Propose(error) => error.code(),
            Self::Unfinished => "consensus-change-unfinished",
            Self::NoChange => "consensus-change-nothing",
            Self::Membership(error) => error.code(),
            Self::NotCaughtUp { .. } => "consensus-change-not-caught-up",
            Self::Silent(_) => "consensus-change-silent",
            Self::WouldLoseQuorum { .. } => "consensus-change-loses-quorum",
            Self::NoQuorum { .. } => "consensus-change-no-quorum",
            Self::Impossible(_) => "consensus-change-impossible",
        }
    }
}

/// Why a read was not asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadIndexError {
    /// Nobody leads, or the leader has not committed in its term yet.
    #[error("no leader can confirm a read now; try again")]
    NoLeader,
    /// Too many reads wait.
    #[error("too many reads wait; try again later")]
    Full,
    /// The context is too long.
    #[error("a read's context is at most {} bytes", crate::limits::READ_CONTEXT_BYTES_MAX)]
    Context,
    /// The core has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Why leadership is not handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// This node does not lead.
    #[error("this node does not lead")]
    NotLeader,
    /// The other has no vote that will last, or is this node.
    #[error("node {0} cannot take over")]
    NotVoter(RaftId),
    /// An earlier handover has not ended; it does within an election timeout.
    #[error("leadership is being handed to node {0} already")]
    Underway(RaftId),
    /// The core has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Why a snapshot is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// None is held at this index; a newer one may be.
    #[error("no snapshot is held at this index")]
    NotHeld {
        /// The index of the held one.
        held: Option<u64>,
    },
    /// The ledger has not got there; call `applied` first.
    #[error("the ledger holds entries up to {applied} only")]
    LedgerBehind {
        /// What was last reported.
        applied: u64,
    },
    /// A newer leader or the log itself has overtaken the offer.
    #[error("the offer is out of date; wait for the next")]
    OutOfDate,
    /// The core has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Why the log is not cut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompactError {
    /// Not applied yet.
    #[error("index {index} is above the applied index {applied}")]
    NotApplied {
        /// The index asked for.
        index: u64,
        /// What is applied and committed here.
        applied: u64,
    },
    /// Cut there already.
    #[error("the log is cut up to {0} already")]
    Done(u64),
    /// This node joined and its log begins before it knew the group's configuration; a later index may be cut.
    #[error("the configuration at index {0} is not known here; cut the log at a later one")]
    MembershipUnknown(u64),
    /// The context is too long.
    #[error("a snapshot's context is at most {} bytes", crate::limits::SNAPSHOT_CONTEXT_BYTES_MAX)]
    Context,
    /// A snapshot is being restored.
    #[error("a snapshot is being restored; try again")]
    Restoring,
    /// The core has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}
