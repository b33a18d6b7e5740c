//! Handing leadership over, and telling how it ended.

use super::{RaftCore, Role, Stopped, TransferEnd, TransferError, TransferOutcome};
use crate::types::RaftId;

/// A handover that this node began.
#[derive(Clone, Copy)]
pub(super) struct Transfer {
    to: RaftId,
    /// The term that this node leads.
    term: u64,
}

impl RaftCore {
    /// Hands leadership to another voter, once that one holds the whole log; until it ends this node takes no proposals.
    /// How it ended is in `Effects::transfer`: when the other is dead or too far behind, this node leads on after an
    /// election timeout.
    ///
    /// # Errors
    /// When this node does not lead, an earlier handover has not ended, or the other cannot lead.
    pub fn transfer_leader(&mut self, to: RaftId) -> Result<(), TransferError> {
        self.running()?;
        if self.role() != Role::Leader {
            return Err(TransferError::NotLeader);
        }
        if let Some(underway) = self.transferring() {
            return Err(TransferError::Underway(underway));
        }
        // An outgoing voter would step down at once.
        if to == self.config.id || !self.membership().voters.contains(&to) {
            return Err(TransferError::NotVoter(to));
        }
        self.report_transfer();
        self.guarded(|raw| raw.transfer_leader(to.0))?;
        self.reset_timeout();
        self.transfer = Some(Transfer { to, term: self.raw.raft.term });
        Ok(())
    }

    /// To whom leadership is being handed.
    #[must_use]
    pub fn transferring(&self) -> Option<RaftId> {
        self.raw.raft.lead_transferee.map(RaftId).filter(|_| self.role() == Role::Leader)
    }

    /// Says how a handover ended, if it has.
    pub(super) fn report_transfer(&mut self) {
        let Some(Transfer { to, term }) = self.transfer else {
            return;
        };
        if self.transferring() == Some(to) && self.raw.raft.term == term {
            return;
        }
        let outcome = match self.leader() {
            Some(leader) if leader == self.config.id && self.raw.raft.term == term => TransferOutcome::TimedOut,
            Some(leader) if leader == to => TransferOutcome::TakenOver,
            Some(leader) => TransferOutcome::Lost { leader },
            // Nobody is elected yet.
            None => return,
        };
        self.transfer = None;
        self.out.transfer = Some(TransferEnd { to, outcome });
    }

    /// Steps down without a successor; the others elect one.
    pub(super) fn step_down(&mut self) -> Result<(), Stopped> {
        self.guarded(|raw| {
            let term = raw.raft.term;
            raw.raft.become_follower(term, raft::INVALID_ID);
        })?;
        self.reset_timeout();
        Ok(())
    }
}
