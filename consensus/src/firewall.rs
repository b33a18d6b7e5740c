//! The checks that every message from a peer passes before Raft sees it.
//!
//! raft 0.7.0 checks almost nothing: one message with a commit beyond the log, an empty read request or a term at the
//! end of its range panics a node, and a forged snapshot replaces its log, even from a stranger. So nothing reaches it
//! that an honest peer in the sender's position could not have sent.
//!
//! A member that lies within these bounds (a leader that forges entries, a follower that acknowledges what it did not
//! write) is not found here: Raft trusts its members. The certificates on blocks are for that.

use raft::eraftpb::{ConfChangeV2, EntryType, Message, MessageType};

use crate::core::Role;
use crate::limits::{ENTRY_BYTES_MAX, NUMBER_MAX, READ_CONTEXT_BYTES_MAX, READS_PENDING_MAX, TERM_LEAD_MAX};
use crate::membership::{Membership, MembershipError};
use crate::reader::DecodeError;
use crate::types::{LogEnd, RaftId};
use crate::wire;

/// Why a message is refused. The code is stable; each is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The bytes are no message.
    #[error("the bytes are no message: {0}")]
    Malformed(DecodeError),
    /// It names another sender than the authenticated one.
    #[error("the message says it is from {claimed}, the connection is of {authenticated}")]
    WrongSender {
        /// What the message says.
        claimed: RaftId,
        /// Who sent it.
        authenticated: RaftId,
    },
    /// It is for another node.
    #[error("the message is for node {0}")]
    WrongReceiver(RaftId),
    /// The sender is the node itself.
    #[error("the message is from this node itself")]
    FromSelf,
    /// The sender is not in the configuration.
    #[error("node {0} is neither voter nor learner")]
    Stranger(RaftId),
    /// The sender was removed, or passed over by a greater id.
    #[error("node {0} was removed from the group or passed over")]
    Retired(RaftId),
    /// No honest peer sends this type: local events, proposals, leadership transfers.
    #[error("messages of type {0} are not accepted from peers")]
    Type(u8),
    /// The term is 0, or set where it must not be.
    #[error("term {0} is not allowed in this message")]
    Term(u64),
    /// The term is too far ahead.
    #[error("term {message} is too far ahead of {ours}")]
    TermAhead {
        /// The message's.
        message: u64,
        /// This node's.
        ours: u64,
    },
    /// An index, term or commit near the end of its range.
    #[error("a number in the message is out of range")]
    Number,
    /// Entries where none belong, or none where one belongs.
    #[error("the message has {0} entries")]
    EntryCount(usize),
    /// Entries that do not follow each other.
    #[error("the entry at index {0} does not follow the one before it")]
    EntryOrder(u64),
    /// An entry's term falls, or is above the message's.
    #[error("the entry at index {0} has an impossible term")]
    EntryTerm(u64),
    /// An entry is too large.
    #[error("the entry at index {0} is larger than {ENTRY_BYTES_MAX} bytes")]
    EntrySize(u64),
    /// An entry that should change the configuration does not decode.
    #[error("the entry at index {0} is no configuration change")]
    EntryChange(u64),
    /// A heartbeat commits what this node does not have.
    #[error("commit {commit} is beyond the log's end {last}; this node may have lost its disk")]
    CommitBeyondLog {
        /// The message's commit.
        commit: u64,
        /// The log's last index.
        last: u64,
    },
    /// An answer acknowledges what this leader never had.
    #[error("index {index} is beyond the log's end {last}")]
    AcknowledgedBeyondLog {
        /// The message's index.
        index: u64,
        /// The log's last index.
        last: u64,
    },
    /// A context of a wrong size or of another node.
    #[error("the message's context is not one that its sender makes")]
    Context,
    /// An order that only the leader of this term gives.
    #[error("node {0} is not the leader of this term")]
    NotLeader(RaftId),
    /// A read asked of a node that does not lead. Honest around an election.
    #[error("this node does not lead")]
    NotLeading,
    /// The disk is behind: too much waits to become durable. Honest.
    #[error("this node's disk is behind")]
    DiskBehind,
    /// A second leader in one term.
    #[error("node {claimed} acts as leader of a term that node {leader} leads")]
    SecondLeader {
        /// Who sent the message.
        claimed: RaftId,
        /// Who leads.
        leader: RaftId,
    },
    /// A snapshot's configuration is none.
    #[error("the snapshot's configuration is refused: {0}")]
    SnapshotMembership(MembershipError),
    /// A snapshot that contradicts what is committed here.
    #[error("the snapshot at index {0} contradicts this node's committed log")]
    SnapshotConflict(u64),
    /// A vote for a request that was not sent yet or is over. Honest when late.
    #[error("no such vote was asked for")]
    VoteNotAsked,
    /// More reads wait than the limit. Honest under load.
    #[error("{READS_PENDING_MAX} reads wait already")]
    TooManyReads,
    /// The node is replacing its log by a snapshot. Honest.
    #[error("the node is restoring a snapshot")]
    Restoring,
    /// The embedder does not accept an entry's data.
    #[error("the entry at index {0} is not acceptable to this node")]
    Unacceptable(u64),
    /// A candidate whose log may lack what this node has promised once. Honest.
    #[error("the candidate's log ends before {0:?}")]
    BelowVoteFloor(LogEnd),
    /// A candidate in a term in which this node may have voted and not know it. Honest.
    #[error("this node may have voted in a term up to {0} already")]
    TermMayBeVoted(u64),
    /// A leader whose entries were not acceptable says that it still leads.
    #[error("the last entries of node {0} were not acceptable to this node")]
    Distrusted(RaftId),
}

impl Refusal {
    /// A stable name, for counters.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::WrongSender { .. } => "wrong-sender",
            Self::WrongReceiver(_) => "wrong-receiver",
            Self::FromSelf => "from-self",
            Self::Stranger(_) => "stranger",
            Self::Retired(_) => "retired",
            Self::Type(_) => "type",
            Self::Term(_) => "term",
            Self::TermAhead { .. } => "term-ahead",
            Self::Number => "number",
            Self::EntryCount(_) => "entry-count",
            Self::EntryOrder(_) => "entry-order",
            Self::EntryTerm(_) => "entry-term",
            Self::EntrySize(_) => "entry-size",
            Self::EntryChange(_) => "entry-change",
            Self::CommitBeyondLog { .. } => "commit-beyond-log",
            Self::AcknowledgedBeyondLog { .. } => "acknowledged-beyond-log",
            Self::Context => "context",
            Self::NotLeader(_) => "not-leader",
            Self::NotLeading => "not-leading",
            Self::DiskBehind => "disk-behind",
            Self::SecondLeader { .. } => "second-leader",
            Self::SnapshotMembership(_) => "snapshot-membership",
            Self::SnapshotConflict(_) => "snapshot-conflict",
            Self::VoteNotAsked => "vote-not-asked",
            Self::TooManyReads => "too-many-reads",
            Self::Restoring => "restoring",
            Self::Unacceptable(_) => "unacceptable",
            Self::BelowVoteFloor(_) => "below-vote-floor",
            Self::TermMayBeVoted(_) => "term-may-be-voted",
            Self::Distrusted(_) => "distrusted",
        }
    }

    /// Whether an honest peer can never cause it, so that the sender deserves suspicion.
    #[must_use]
    pub fn is_suspicious(&self) -> bool {
        !matches!(
            self,
            Self::VoteNotAsked
                | Self::TooManyReads
                | Self::Restoring
                | Self::NotLeading
                | Self::DiskBehind
                | Self::Stranger(_)
                | Self::Retired(_)
                | Self::NotLeader(_)
                | Self::Unacceptable(_)
                | Self::BelowVoteFloor(_)
                | Self::TermMayBeVoted(_)
                | Self::Distrusted(_)
        )
    }
}

/// What the checks need to know of the node.
pub(crate) struct View<'a> {
    pub(crate) id: RaftId,
    pub(crate) term: u64,
    pub(crate) role: Role,
    pub(crate) leader: Option<RaftId>,
    pub(crate) last: u64,
    pub(crate) membership: &'a Membership,
    /// Peers that may speak though this node's configuration does not name them yet.
    pub(crate) admitted: bool,
    /// The request that this node's votes answer was sent: (is a pre-vote, term asked for).
    pub(crate) votes_asked: Option<(bool, u64)>,
    pub(crate) reads_pending: usize,
    /// A term that more members claim than may lie, however far ahead it is.
    pub(crate) term_claimed: u64,
}

/// Decodes and checks a message. What it lets through, raft 0.7.0 handles without a panic, except that a snapshot must
/// not be stepped before the core has seen to it.
pub(crate) fn check(view: &View<'_>, authenticated: RaftId, bytes: bytes::Bytes) -> Result<Message, Refusal> {
    let message = wire::decode(bytes).map_err(Refusal::Malformed)?;
    sender(view, authenticated, &message)?;
    numbers(&message)?;
    term(view, &message)?;
    shape(&message)?;
    let from = authenticated;
    match message.msg_type {
        MessageType::MsgAppend => {
            leads(view, &message, from)?;
            entries(&message)?;
        }
        MessageType::MsgHeartbeat => {
            leads(view, &message, from)?;
            if message.term >= view.term && message.commit > view.last {
                return Err(Refusal::CommitBeyondLog { commit: message.commit, last: view.last });
            }
        }
        MessageType::MsgSnapshot => {
            leads(view, &message, from)?;
            snapshot(view, &message)?;
        }
        MessageType::MsgAppendResponse => {
            // A leader's log never shrinks in its term, so an answer in this term cannot name more than it has.
            let current = view.role == Role::Leader && message.term == view.term;
            if current && message.index > view.last {
                return Err(Refusal::AcknowledgedBeyondLog { index: message.index, last: view.last });
            }
        }
        MessageType::MsgRequestVoteResponse | MessageType::MsgRequestPreVoteResponse => {
            vote_was_asked(view, &message)?;
        }
        MessageType::MsgTimeoutNow => {
            follows(view, &message, from)?;
        }
        MessageType::MsgReadIndex => {
            read_context(&message, from)?;
            if view.role != Role::Leader {
                // Raft would pass it on under the asker's name, which the next node refuses.
                return Err(Refusal::NotLeading);
            }
            if view.reads_pending >= READS_PENDING_MAX {
                return Err(Refusal::TooManyReads);
            }
        }
        MessageType::MsgReadIndexResp => {
            read_context(&message, view.id)?;
            follows(view, &message, from)?;
        }
        _ => {}
    }
    Ok(message)
}

fn sender(view: &View<'_>, authenticated: RaftId, message: &Message) -> Result<(), Refusal> {
    if message.from != authenticated.0 {
        return Err(Refusal::WrongSender { claimed: RaftId(message.from), authenticated });
    }
    if authenticated == view.id {
        return Err(Refusal::FromSelf);
    }
    if message.to != view.id.0 {
        return Err(Refusal::WrongReceiver(RaftId(message.to)));
    }
    if view.membership.is_retired(authenticated) {
        return Err(Refusal::Retired(authenticated));
    }
    if !view.membership.contains(authenticated) && !view.admitted {
        return Err(Refusal::Stranger(authenticated));
    }
    match message.msg_type {
        MessageType::MsgAppend
        | MessageType::MsgAppendResponse
        | MessageType::MsgRequestVote
        | MessageType::MsgRequestVoteResponse
        | MessageType::MsgSnapshot
        | MessageType::MsgHeartbeat
        | MessageType::MsgHeartbeatResponse
        | MessageType::MsgTimeoutNow
        | MessageType::MsgReadIndex
        | MessageType::MsgReadIndexResp
        | MessageType::MsgRequestPreVote
        | MessageType::MsgRequestPreVoteResponse => Ok(()),
        MessageType::MsgHup
        | MessageType::MsgBeat
        | MessageType::MsgPropose
        | MessageType::MsgUnreachable
        | MessageType::MsgSnapStatus
        | MessageType::MsgCheckQuorum
        | MessageType::MsgTransferLeader => Err(Refusal::Type(message.msg_type as u8)),
    }
}

fn numbers(message: &Message) -> Result<(), Refusal> {
    let numbers = [
        message.term,
        message.log_term,
        message.index,
        message.commit,
        message.commit_term,
        message.reject_hint,
        message.snapshot.metadata.index,
        message.snapshot.metadata.term,
    ];
    if numbers.iter().any(|number| *number > NUMBER_MAX) { Err(Refusal::Number) } else { Ok(()) }
}

fn term(view: &View<'_>, message: &Message) -> Result<(), Refusal> {
    // Raft takes term 0 for a local event; only a forwarded read travels without a term.
    if (message.term == 0) != (message.msg_type == MessageType::MsgReadIndex) {
        return Err(Refusal::Term(message.term));
    }
    if message.term > view.term.saturating_add(TERM_LEAD_MAX).max(view.term_claimed) {
        return Err(Refusal::TermAhead { message: message.term, ours: view.term });
    }
    Ok(())
}

/// Entries and contexts stand only where their type has them.
fn shape(message: &Message) -> Result<(), Refusal> {
    let count = message.entries.len();
    let counts = match message.msg_type {
        MessageType::MsgAppend => true,
        MessageType::MsgReadIndex | MessageType::MsgReadIndexResp => count == 1,
        _ => count == 0,
    };
    if !counts {
        return Err(Refusal::EntryCount(count));
    }
    let context = match message.msg_type {
        // A read's mark travels with heartbeats, a forced election's with its vote requests.
        MessageType::MsgHeartbeat | MessageType::MsgHeartbeatResponse => true,
        MessageType::MsgRequestVote => {
            message.context.is_empty() || message.context.as_ref() == raft::CAMPAIGN_TRANSFER
        }
        _ => message.context.is_empty(),
    };
    if context { Ok(()) } else { Err(Refusal::Context) }
}

fn entries(message: &Message) -> Result<(), Refusal> {
    let mut term = message.log_term;
    let mut index = message.index;
    // Raft takes the term of an entry it does not have for 0, and would append with a gap.
    if term > message.term || (term == 0) != (index == 0) {
        return Err(Refusal::EntryTerm(index));
    }
    for entry in &message.entries {
        index += 1;
        if entry.index != index {
            return Err(Refusal::EntryOrder(entry.index));
        }
        if entry.term < term || entry.term > message.term || entry.term == 0 {
            return Err(Refusal::EntryTerm(index));
        }
        term = entry.term;
        if entry.data.len() > ENTRY_BYTES_MAX {
            return Err(Refusal::EntrySize(index));
        }
        if entry.entry_type != EntryType::EntryNormal && !is_change(&entry.data) {
            return Err(Refusal::EntryChange(index));
        }
    }
    Ok(())
}

fn is_change(data: &[u8]) -> bool {
    ConfChangeV2::decode(data).is_ok_and(|change| wire::decode_change_context(&change.context).is_ok())
}

/// One node leads a term. Which one need not be known: a learner here may have become a voter since.
fn leads(view: &View<'_>, message: &Message, from: RaftId) -> Result<(), Refusal> {
    match view.leader {
        Some(leader) if message.term == view.term && leader != from => {
            Err(Refusal::SecondLeader { claimed: from, leader })
        }
        _ => Ok(()),
    }
}

/// An order that only the leader gives, and only after this node has acknowledged something in its term.
fn follows(view: &View<'_>, message: &Message, from: RaftId) -> Result<(), Refusal> {
    if message.term > view.term || (message.term == view.term && view.leader != Some(from)) {
        return Err(Refusal::NotLeader(from));
    }
    Ok(())
}

/// A granted vote counts only for a request that has been sent: raft asserts that its own log and vote are durable when
/// it wins, which holds exactly when its requests could leave (R1).
fn vote_was_asked(view: &View<'_>, message: &Message) -> Result<(), Refusal> {
    let pre_vote = message.msg_type == MessageType::MsgRequestPreVoteResponse;
    let counts = match view.role {
        Role::PreCandidate => pre_vote,
        Role::Candidate => !pre_vote,
        Role::Follower | Role::Leader => false,
    };
    if !counts || (message.reject && message.term > view.term) {
        // Raft ignores it, or steps down to the higher term that a refusal shows.
        return Ok(());
    }
    match view.votes_asked {
        Some((asked_pre_vote, term)) if asked_pre_vote == pre_vote && (message.reject || term == message.term) => {
            Ok(())
        }
        _ => Err(Refusal::VoteNotAsked),
    }
}

/// A read's context begins with the id of the node that asked, so that nodes cannot answer or block each other's reads.
fn read_context(message: &Message, asker: RaftId) -> Result<(), Refusal> {
    let data = message.entries.first().map(|entry| entry.data.as_ref()).unwrap_or_default();
    let own = data.strip_prefix(&asker.0.to_le_bytes()).is_some_and(|rest| rest.len() <= READ_CONTEXT_BYTES_MAX);
    if own { Ok(()) } else { Err(Refusal::Context) }
}

fn snapshot(view: &View<'_>, message: &Message) -> Result<(), Refusal> {
    let metadata = &message.snapshot.metadata;
    if metadata.index == 0 || metadata.term == 0 || metadata.term > message.term {
        return Err(Refusal::Number);
    }
    let (at, _) = wire::decode_snapshot_data(&message.snapshot.data).map_err(Refusal::Malformed)?;
    if at.index > metadata.index {
        return Err(Refusal::Number);
    }
    at.membership.check().map_err(Refusal::SnapshotMembership)?;
    // One made before this node was added does not name it.
    if at.membership.is_retired(view.id) {
        return Err(Refusal::SnapshotMembership(MembershipError::Retired(view.id)));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
