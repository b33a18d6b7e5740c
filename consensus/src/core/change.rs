//! Changing the group: always by joint consensus, entered by a proposal and left by whoever leads (Raft dissertation,
//! section 4.3).

use std::collections::BTreeSet;

use bytes::Bytes;
use raft::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, Entry as RaftEntry};

use super::{MembershipChangeError, Payload, ProposeError, RaftCore, Stopped};
use crate::limits::CHANGE_CONTEXT_BYTES_MAX;
use crate::membership::Membership;
use crate::types::{HardState, MembershipAt, Persist, PersistToken, RaftId};
use crate::wire;

/// A change of the group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MembershipChange {
    /// Nodes that shall vote: learners that have caught up.
    pub voters: BTreeSet<RaftId>,
    /// Nodes that shall follow without a vote: new ones, or voters to be demoted. All new ids that are known must come in
    /// one change: an id below one that was added can never be.
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
        let conf_change = ConfChangeV2 {
            transition: ConfChangeTransition::Explicit,
            changes,
            context: wire::encode_change_context(&self.membership_at(), &change.context),
        };
        let joint = self.membership().after(&conf_change).map_err(MembershipChangeError::Membership)?;
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

    /// A new voter must hold the log, and majorities of both halves must be alive: the present voters commit the entry,
    /// then both together the one that ends the joint configuration, then the new voters alone.
    fn keeps_quorum(&self, joint: &Membership) -> Result<(), MembershipChangeError> {
        let committed = self.committed();
        let slack = self.config.appends_in_flight_max as u64;
        for node in joint.voters.difference(&joint.voters_outgoing).copied() {
            let progress = self.progress_of(node).filter(|_| self.membership().learners.contains(&node));
            let matched = progress.map_or(0, |progress| progress.matched);
            if matched.saturating_add(slack) < committed || matched == 0 {
                return Err(MembershipChangeError::NotCaughtUp { node, matched, committed });
            }
            if !self.heard_lately(node) {
                return Err(MembershipChangeError::Silent(node));
            }
        }
        let active = |voters: &BTreeSet<RaftId>| voters.iter().filter(|id| self.heard_lately(**id)).count();
        let (active_old, old) = (active(&joint.voters_outgoing), joint.voters_outgoing.len());
        if active_old * 2 <= old {
            return Err(MembershipChangeError::NoQuorum { active: active_old, voters: old });
        }
        let (active_new, new) = (active(&joint.voters), joint.voters.len());
        if active_new * 2 <= new {
            return Err(MembershipChangeError::WouldLoseQuorum { active: active_new, voters: new });
        }
        Ok(())
    }

    /// A committed change. What it does depends on the log alone, so that all nodes do the same.
    pub(super) fn change(&mut self, entry: &RaftEntry) -> Result<Payload, Stopped> {
        let Some(current) = self.memberships.back().cloned() else {
            return Ok(Payload::Nothing);
        };
        let change = ConfChangeV2::decode(&entry.data).unwrap_or_default();
        let decoded = wire::decode_change_context(&change.context).ok();
        let (base, context) = decoded.map_or((None, Bytes::new()), |(base, context)| (Some(base), context));
        if entry.index <= current.index {
            // Handed out again after a restart; the log knew its effect.
            let at = self.memberships.iter().rev().find(|at| at.index <= entry.index).unwrap_or(&current);
            let changed = at.index == entry.index;
            return Ok(Payload::Membership { membership: at.clone(), context, changed });
        }
        let joins = !current.membership.is_known();
        let fits = |base: &MembershipAt| {
            let first = joins && base.index < entry.index && !base.membership.is_joint();
            *base == current || (first && base.membership.check().is_ok())
        };
        let base = base.filter(fits);
        if base.is_none() {
            tracing::error!(node = self.config.id.0, index = entry.index, "a change for another configuration");
        }
        let next = base.and_then(|base| base.membership.after(&change).ok().map(|next| (base, next)));
        let Some((base, next)) = next else {
            return Ok(Payload::Membership { membership: current, context, changed: false });
        };
        if joins {
            self.adopt(&base.membership)?;
        }
        let state = self.guarded(|raw| raw.apply_conf_change(&change))?;
        if !state.is_ok_and(|state| next.is_what_raft_holds(&state, self.config.id)) {
            self.stop(format!("the change at index {} does not give what it must", entry.index));
            self.running()?;
        }
        let membership = MembershipAt { index: entry.index, membership: next };
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
        Ok(Payload::Membership { membership, context, changed: true })
    }

    /// Gives raft the group's configuration on a node that had none.
    fn adopt(&mut self, base: &Membership) -> Result<(), Stopped> {
        let state = base.to_raft_on(self.config.id);
        let voters = state.voters.into_iter().map(|id| (id, ConfChangeType::AddNode));
        for (node_id, change_type) in
            voters.chain(state.learners.into_iter().map(|id| (id, ConfChangeType::AddLearnerNode)))
        {
            let changes = vec![ConfChangeSingle { node_id, change_type }];
            let single = ConfChangeV2 { changes, ..ConfChangeV2::default() };
            if self.guarded(|raw| raw.apply_conf_change(&single))?.is_err() {
                self.stop("the group's configuration is not one that raft takes");
                return self.running();
            }
        }
        Ok(())
    }

    /// Whoever leads ends a joint configuration, so that none is left standing by a leader that stepped down.
    pub(super) fn leave_joint(&mut self) -> Result<(), Stopped> {
        let due = self.ticks.is_multiple_of(self.config.heartbeat_tick.max(1) as u64);
        if !due || !self.membership().is_joint() || self.raw.raft.has_pending_conf() || self.may_propose().is_err() {
            return Ok(());
        }
        let context = wire::encode_change_context(&self.membership_at(), b"");
        match self.propose_change(ConfChangeV2 { context, ..ConfChangeV2::default() }) {
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
