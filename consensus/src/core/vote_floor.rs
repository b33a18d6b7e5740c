//! The vote of a node that cannot know whether its disk is as new as its promises.
//!
//! A disk that was set back to an older copy has forgotten entries that the node acknowledged. If it then votes for a
//! candidate that never had them, what was committed is lost. Nothing on the disk tells, and those who could (the leader
//! of then) may be gone. But whatever a majority with this node in it has committed lies in the log of at least one node
//! out of any `voters - majority + 1` others. So the embedder asks that many where their logs end, and the core gives no
//! vote to a candidate whose log ends before the furthest of them, itself included. Once this node's own log reaches
//! that far, Raft's own rule says the same, and the floor has no effect any more.
//!
//! The same disk has forgotten its votes. If it votes again in a term in which it helped a leader into office, that term
//! may have two. Whoever else voted for that leader stored the term with its vote, and one of those who were asked is
//! among them; so no vote is given in a term up to the greatest that they know. A candidate that had this node's vote and
//! gets the rest of its majority only after these were asked is not seen: it would have to campaign on from before the
//! restart, for longer than the questions take.
//!
//! Nor may it acknowledge to a leader of an earlier term what stands in the place of an entry that it had acknowledged to
//! a later one: the leader that was replaced would take that for a majority's word. So it takes the greatest term that they
//! know for its own, as it would have from the first message of that term.

use raft::eraftpb::{Message, MessageType};

use super::{RaftCore, Role};
use crate::firewall::Refusal;
use crate::limits::TERM_LEAD_MAX;
use crate::types::{LogEnd, VoteFloor};

impl RaftCore {
    /// Gives no vote from now on, this node's own for itself included, to a candidate whose log ends before
    /// `floor.log_end`, nor in a term up to `floor.term`, which becomes this node's own. A later call replaces it: it may be lower when those who must be
    /// asked were asked again.
    pub fn set_vote_floor(&mut self, floor: VoteFloor) {
        if floor.log_end > self.log_end() {
            tracing::info!(node = self.config.id.0, ?floor, own = ?self.log_end(), "others' logs go further than this one");
        }
        let own = self.raw.raft.term;
        // A greater lead is a liar's, or comes with the messages of those who have that term.
        let believed = floor.term > own && floor.term <= own.saturating_add(TERM_LEAD_MAX);
        if believed && self.role() != Role::Leader && self.restoring.is_none() {
            self.raw.raft.become_follower(floor.term, raft::INVALID_ID);
            self.reset_timeout();
        }
        #[cfg(feature = "planted")]
        let floor = match galen_planted::is_on(galen_planted::Bug::VoteFloorLeftOut) {
            true => VoteFloor::default(),
            false => floor,
        };
        self.vote_floor = floor;
    }

    /// Whether the floor still holds this node's vote back from somebody to whom Raft would give it, whatever the term.
    #[must_use]
    pub fn is_below_vote_floor(&self) -> bool {
        self.log_end() < self.vote_floor.log_end || self.raw.raft.term < self.vote_floor.term
    }

    /// Where this node's log ends; what is not on its disk yet included.
    #[must_use]
    pub fn log_end(&self) -> LogEnd {
        let log = &self.raw.raft.raft_log;
        LogEnd { term: log.last_term(), index: log.last_index() }
    }

    pub(super) fn judge_candidate(&self, message: &Message) -> Result<(), Refusal> {
        let votes = message.msg_type == MessageType::MsgRequestVote;
        if !votes && message.msg_type != MessageType::MsgRequestPreVote {
            return Ok(());
        }
        let VoteFloor { log_end, term } = self.vote_floor;
        if (LogEnd { term: message.log_term, index: message.index }) < log_end {
            return Err(Refusal::BelowVoteFloor(log_end));
        }
        // A pre-vote promises nothing.
        if votes && message.term <= term {
            return Err(Refusal::TermMayBeVoted(term));
        }
        Ok(())
    }
}
