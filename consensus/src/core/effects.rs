//! What comes out of a core.

use bytes::Bytes;

use crate::membership::Membership;
use crate::types::{MembershipAt, Persist, RaftId};

/// Everything that the embedder has to do now. The order of the lists matters, that between them does not, except that
/// nothing of `committed` may be lost once it was handed out (after a restart it is handed out again).
#[derive(Debug, Clone, Default)]
pub struct Effects {
    /// To write, in order, in one write and one sync; then `RaftCore::persisted(token of the last)`.
    pub persist: Vec<Persist>,
    /// To send now. What promises something durable is here only once it is (R1).
    pub send: Vec<Outgoing>,
    /// To execute, in order. Committed and durable on this node (R2), above what was applied.
    pub committed: Vec<Committed>,
    /// The leader no longer has the entries that this node needs: pull blocks up to this one, then accept.
    pub snapshot_offer: Option<SnapshotOffer>,
    /// Who leads, when that changed.
    pub role: Option<RoleChange>,
    /// Reads that may be served once their index is applied.
    pub read_states: Vec<ReadState>,
    /// How the handover of leadership ended that `RaftCore::transfer_leader` began.
    pub transfer: Option<TransferEnd>,
}

impl Effects {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.persist.is_empty()
            && self.send.is_empty()
            && self.committed.is_empty()
            && self.snapshot_offer.is_none()
            && self.role.is_none()
            && self.read_states.is_empty()
            && self.transfer.is_none()
    }
}

/// A message for a peer. Losing it is allowed; sending it twice or late too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The peer.
    pub to: RaftId,
    /// The frame, for `RaftCore::message` there.
    pub bytes: Bytes,
}

/// A committed entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Its index. Indexes follow each other without gaps.
    pub index: u64,
    /// The term it was proposed in.
    pub term: u64,
    /// What it holds.
    pub payload: Payload,
}

/// What a committed entry holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// A leader opened its term; nothing to execute.
    Nothing,
    /// What someone proposed.
    Data(Bytes),
    /// The configuration changed, or a change that no longer fitted was passed over.
    Membership {
        /// The configuration that holds after this entry.
        membership: MembershipAt,
        /// The proposer's bytes.
        context: Bytes,
        /// False when the change was passed over.
        changed: bool,
    },
}

/// A node's part in its term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks whether it would win an election.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
}

/// The node's part, its leader and term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleChange {
    /// What this node is.
    pub role: Role,
    /// Who leads, if known.
    pub leader: Option<RaftId>,
    /// The term.
    pub term: u64,
}

/// The end of a handover of leadership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferEnd {
    /// Who was to take over.
    pub to: RaftId,
    /// What became of it.
    pub outcome: TransferOutcome,
}

/// What became of a handover of leadership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferOutcome {
    /// The other leads.
    TakenOver,
    /// The other did not take over within an election timeout: this node leads on and takes proposals again.
    TimedOut,
    /// A third node leads, or this one again in a later term.
    Lost {
        /// Who leads.
        leader: RaftId,
    },
}

/// A snapshot that the leader offers. It is not believed: the embedder checks it against certified blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotOffer {
    /// The offering leader.
    pub from: RaftId,
    /// The last index that it covers.
    pub index: u64,
    /// That entry's term.
    pub term: u64,
    /// The configuration that accepting it would put in force.
    pub membership: Membership,
    /// The embedder's bytes of the node that made it: which block this is.
    pub context: Bytes,
}

/// A read that a quorum has confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadState {
    /// Serve once this index is applied.
    pub index: u64,
    /// The context given to `RaftCore::read_index`.
    pub context: Bytes,
}
