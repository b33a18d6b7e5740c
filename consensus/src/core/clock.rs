//! What time alone causes.

use raft::{ProgressState, SnapshotStatus, StateRole};

use super::{RaftCore, Role, Stopped};
use crate::types::RaftId;

impl RaftCore {
    /// One tick of the embedder's clock.
    ///
    /// # Errors
    /// When the core has stopped.
    pub fn tick(&mut self) -> Result<(), Stopped> {
        self.running()?;
        self.ticks += 1;
        if self.restoring.is_some() {
            return Ok(());
        }
        let stalled = self.disk_stalled();
        if stalled && self.role() == Role::Leader && !self.membership().is_sole_voter(self.config.id) {
            tracing::warn!(node = self.config.id.0, "the log's disk is stuck; stepping down");
            self.step_down()?;
        }
        if self.role() != Role::Leader && (stalled || !self.may_campaign()) {
            return Ok(());
        }
        let elects = self.raw.raft.state != StateRole::Leader;
        self.guarded(|raw| raw.tick())?;
        if elects && self.raw.raft.election_elapsed == 0 {
            self.draws += 1;
        }
        self.reset_timeout();
        if self.role() == Role::Leader {
            self.renew_snapshots()?;
            self.leave_joint()?;
        }
        Ok(())
    }

    /// Whether the oldest write takes longer than it may: then this node must neither lead nor ask for votes.
    pub(super) fn disk_stalled(&self) -> bool {
        let oldest = self.pending.iter().find(|pending| pending.token.is_some()).map(|pending| pending.since);
        oldest.is_some_and(|since| self.ticks.saturating_sub(since) >= self.config.persist_stall_tick as u64)
    }

    /// A sole voter wins in the same step in which it asks, and raft then asserts that its log is durable.
    pub(super) fn may_campaign(&self) -> bool {
        self.restoring.is_none() && (self.pending.is_empty() || !self.membership().is_sole_voter(self.config.id))
    }

    /// A snapshot message that was lost would leave its follower waiting for ever: offer it again.
    fn renew_snapshots(&mut self) -> Result<(), Stopped> {
        let waiting: Vec<RaftId> = self
            .raw
            .raft
            .prs()
            .iter()
            .filter(|(_, progress)| progress.state == ProgressState::Snapshot)
            .map(|(id, _)| RaftId(*id))
            .collect();
        self.snapshot_since.retain(|id, _| waiting.contains(id));
        for id in waiting {
            let since = *self.snapshot_since.entry(id).or_insert(self.ticks);
            if self.ticks - since >= 2 * self.config.election_tick as u64 {
                self.snapshot_since.remove(&id);
                self.guarded(|raw| raw.report_snapshot(id.0, SnapshotStatus::Failure))?;
            }
        }
        Ok(())
    }
}
