//! The vote of a node that cannot know whether its disk is as new as its promises.
//!
//! A disk that was set back to an older copy has forgotten entries that the node acknowledged. If it then votes for a
//! candidate that never had them, what was committed is lost. Nothing on the disk tells, and those who could (the leader
//! of then) may be gone. But whatever a majority with this node in it has committed lies in the log of at least one node
//! out of any `voters - majority + 1` others. So the embedder asks that many where their logs end, and the core gives no
//! vote to a candidate whose log ends before the furthest of them, itself included. Once this node's own log reaches
//! that far, Raft's own rule says the same, and the floor has no effect any more.

use raft::eraftpb::{Message, MessageType};

use super::RaftCore;
use crate::firewall::Refusal;
use crate::types::LogEnd;

impl RaftCore {
    /// Gives no vote from now on to a candidate, this node itself included, whose log ends before `floor`. A later call
    /// replaces it: it may be lower when those who must be asked were asked again.
    pub fn set_vote_floor(&mut self, floor: LogEnd) {
        if floor > self.log_end() {
            tracing::info!(node = self.config.id.0, ?floor, own = ?self.log_end(), "others' logs go further than this one");
        }
        self.vote_floor = floor;
    }

    /// Whether the floor still holds this node's vote back from somebody to whom Raft would give it.
    #[must_use]
    pub fn is_below_vote_floor(&self) -> bool {
        self.log_end() < self.vote_floor
    }

    /// Where this node's log ends; what is not on its disk yet included.
    #[must_use]
    pub fn log_end(&self) -> LogEnd {
        let log = &self.raw.raft.raft_log;
        LogEnd { term: log.last_term(), index: log.last_index() }
    }

    pub(super) fn judge_candidate(&self, message: &Message) -> Result<(), Refusal> {
        let asks = matches!(message.msg_type, MessageType::MsgRequestVote | MessageType::MsgRequestPreVote);
        if asks && (LogEnd { term: message.log_term, index: message.index }) < self.vote_floor {
            return Err(Refusal::BelowVoteFloor(self.vote_floor));
        }
        Ok(())
    }
}
