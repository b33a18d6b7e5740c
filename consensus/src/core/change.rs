//! Changing the group: always by joint consensus, entered by a proposal and left by whoever leads (Raft dissertation,
//! section 4.3).

use std::collections::BTreeSet;

use bytes::Bytes;
use raft::Changer;
use raft::eraftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState, Entry as RaftEntry,
};

use super::{MembershipChangeError, Payload, ProposeError, RaftCore, Stopped};
use crate::limits::CHANGE_CONTEXT_BYTES_MAX;
use crate::membership::{Membership, MembershipError};
use crate::types::{HardState, MembershipAt, Persist, PersistToken, RaftId};

/// A change of the group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MembershipChange {
    /// Nodes that shall vote: learners that have caught up.
    pub voters: BTreeSet<RaftId>,
    /// Nodes that shall follow without a vote: new ones, or voters to be demoted.
    pub learners: BTreeSet<RaftId>,
    /// Nodes that shall go. Their ids never come back.
    pub removed: BTreeSet<RaftId>,
    /// Bytes that come back with the committed entry, to match it to its cause.
    pub context: Bytes,
}

impl RaftCore {
    /// Proposes a change of the group. It takes effect when committed, passes through a joint configuration, and is done
    /// when `membership()` is joint no more; match the committed entry by its context.
    ///
    /// # Errors
    /// When this node does not lead, an earlier change is unfinished, or the group would stand still with it.
    pub fn propose_conf_change(&mut self, change: MembershipChange) -> Result<(u64, u64), MembershipChangeError> {
        self.may_propose()?;
        if self.membership().is_joint() || self.raw.raft.has_pending_conf() {
            return Err(MembershipChangeError::Unfinished);
        }
        if change.context.len() > CHANGE_CONTEXT_BYTES_MAX {
            return Err(MembershipChangeError::Impossible(format!(
                "its context is above {CHANGE_CONTEXT_BYTES_MAX} bytes"
            )));
        }
        let single = |ids: &BTreeSet<RaftId>, change_type| {
            ids.iter().map(|id| ConfChangeSingle { node_id: id.0, change_type }).collect::<Vec<_>>()
        };
        let mut changes = single(&change.voters, ConfChangeType::AddNode);
        changes.extend(single(&change.learners, ConfChangeType::AddLearnerNode));
        changes.extend(single(&change.removed, ConfChangeType::RemoveNode));
        let conf_change =
            ConfChangeV2 { transition: ConfChangeTransition::Explicit, changes, context: change.context.clone() };
        let joint = self.successor(&conf_change)?;
        let current = self.membership();
        if joint.voters == joint.voters_outgoing && joint.learners == current.learners {
            return Err(MembershipChangeError::NoChange);
        }
        self.keeps_quorum(&joint)?;
        self.propose_change(conf_change)
    }

    fn propose_change(&mut self, change: ConfChangeV2) -> Result<(u64, u64), MembershipChangeError> {
        let proposed = self.guarded(|raw| raw.propose_conf_change(Vec::new(), change)).map_err(ProposeError::from)?;
        proposed.map_err(|error| MembershipChangeError::Impossible(error.to_string()))?;
        self.reset_timeout();
        Ok((self.raw.raft.raft_log.last_index(), self.raw.raft.term))
    }

    /// A majority of the new voters must be alive, and a new voter must hold the log.
    fn keeps_quorum(&self, joint: &Membership) -> Result<(), MembershipChangeError> {
        let progress = self.raw.raft.prs();
        let committed = self.raw.raft.raft_log.committed;
        let slack = self.config.appends_in_flight_max as u64;
        for id in joint.voters.difference(&joint.voters_outgoing) {
            let caught_up = self.membership().learners.contains(id)
                && progress.get(id.0).is_some_and(|progress| progress.matched.saturating_add(slack) >= committed);
            if !caught_up {
                return Err(MembershipChangeError::NotCaughtUp(*id));
            }
        }
        let recent = self.ticks.saturating_sub(2 * self.config.election_tick as u64);
        let alive = |id: &&RaftId| **id == self.config.id || self.heard.get(id).is_some_and(|tick| *tick >= recent);
        let (active, voters) = (joint.voters.iter().filter(alive).count(), joint.voters.len());
        if active * 2 <= voters {
            return Err(MembershipChangeError::WouldLoseQuorum { active, voters });
        }
        Ok(())
    }

    /// The configuration that a change leads to, by raft's rules and ours.
    fn successor(&self, change: &ConfChangeV2) -> Result<Membership, MembershipChangeError> {
        let state =
            self.conf_state_after(change).map_err(|error| MembershipChangeError::Impossible(error.to_string()))?;
        let next = self.membership().succeeded_by(&state);
        next.check().map_err(MembershipChangeError::Membership)?;
        let added = change.changes.iter().filter(|single| single.change_type != ConfChangeType::RemoveNode);
        if let Some(single) = added.into_iter().find(|single| next.retired.contains(&RaftId(single.node_id))) {
            return Err(MembershipChangeError::Membership(MembershipError::Retired(RaftId(single.node_id))));
        }
        Ok(next)
    }

    fn conf_state_after(&self, change: &ConfChangeV2) -> raft::Result<ConfState> {
        let mut changer = Changer::new(self.raw.raft.prs());
        let (configuration, _) = if change.leave_joint() {
            changer.leave_joint()?
        } else if let Some(auto_leave) = change.enter_joint() {
            changer.enter_joint(auto_leave, &change.changes)?
        } else {
            changer.simple(&change.changes)?
        };
        Ok(configuration.to_conf_state())
    }

    /// A committed change. What it does depends on the log alone, so that all nodes do the same.
    pub(super) fn change(&mut self, entry: &RaftEntry) -> Result<Payload, Stopped> {
        let Some(current) = self.memberships.back().cloned() else {
            return Ok(Payload::Nothing);
        };
        let change = ConfChangeV2::decode(&entry.data).unwrap_or_default();
        if entry.index <= current.index {
            // Handed out again after a restart; the log knew its effect.
            let at = self.memberships.iter().rev().find(|at| at.index <= entry.index).unwrap_or(&current);
            let changed = at.index == entry.index;
            return Ok(Payload::Membership { membership: at.clone(), context: change.context, changed });
        }
        let allowed = change.enter_joint() != Some(true) && self.successor(&change).is_ok();
        if !allowed {
            return Ok(Payload::Membership { membership: current, context: change.context, changed: false });
        }
        let Ok(state) = self.guarded(|raw| raw.apply_conf_change(&change))? else {
            return Ok(Payload::Membership { membership: current, context: change.context, changed: false });
        };
        let membership = MembershipAt { index: entry.index, membership: current.membership.succeeded_by(&state) };
        tracing::info!(node = self.config.id.0, index = entry.index, ?membership, "the group's configuration changed");
        self.memberships.push_back(membership.clone());
        self.write(Persist {
            token: PersistToken(0),
            snapshot: None,
            entries: Vec::new(),
            membership: Some(membership.clone()),
            hard_state: Some(self.hard_state_now()),
        });
        self.step_down_if_removed()?;
        Ok(Payload::Membership { membership, context: change.context, changed: true })
    }

    /// Whoever leads ends a joint configuration, so that none is left standing by a leader that stepped down.
    pub(super) fn leave_joint(&mut self) -> Result<(), Stopped> {
        let due = self.ticks.is_multiple_of(self.config.heartbeat_tick.max(1) as u64);
        if !due || !self.membership().is_joint() || self.raw.raft.has_pending_conf() || self.may_propose().is_err() {
            return Ok(());
        }
        match self.propose_change(ConfChangeV2::default()) {
            Err(MembershipChangeError::Propose(ProposeError::Stopped(stopped))) => Err(stopped),
            _ => Ok(()),
        }
    }

    /// The hard state to write beside something else than raft's own step: entries that raft holds and has not handed
    /// out may overwrite the log's end, so only what is durable counts as committed here.
    pub(super) fn hard_state_now(&self) -> HardState {
        let log = &self.raw.raft.raft_log;
        HardState { commit: self.written.commit.max(log.committed.min(log.persisted)), ..self.written }
    }
}
