//! The ordering group follows the chain: whoever leads compares its configuration with the group that certified blocks
//! name, and proposes one joint change at a time towards it. Every step is derived anew from the two, so the next leader
//! finishes what one began.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use galen_consensus::{
    Membership, MembershipChange, MembershipChangeError, ProposeError, RaftId, Role, Stopped, TransferError,
};

use super::Orderer;
use crate::group::Group;
use crate::limits;

/// How far the ordering group is from what the chain says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MembershipProgress {
    /// Two sets of voters hold at once.
    pub joint: bool,
    /// The group is not yet the chain's.
    pub pending: bool,
    /// For so many ticks; 0 when it is.
    pub since_ticks: u64,
    /// On a leader: what keeps it.
    pub blocked_by: Option<String>,
}

/// What the orderer remembers of the change under way.
#[derive(Default)]
pub(super) struct Reconciliation {
    pub(super) group: Option<Group>,
    /// The greatest height of a group that a committed change was made for: older groups must not undo it.
    made_for: u64,
    /// When the configuration was first seen to differ.
    since: Option<u64>,
    blocked_by: Option<String>,
    /// Since when this leader, which is to go, tries to hand over.
    leaving_since: Option<u64>,
    /// The last answer of a leader to how far it has committed: index, and when.
    pub(super) read: Option<(u64, u64)>,
}

impl Reconciliation {
    /// A change was committed; its context is the height of the group that it was made for.
    pub(super) fn committed(&mut self, context: &[u8]) {
        if let Some(height) = context.first_chunk() {
            self.made_for = self.made_for.max(u64::from_le_bytes(*height));
        }
    }
}

fn ids<'group>(part: impl IntoIterator<Item = &'group RaftId>) -> BTreeSet<RaftId> {
    part.into_iter().copied().collect()
}

fn is_reached(membership: &Membership, group: &Group) -> bool {
    !membership.is_joint()
        && membership.voters.iter().eq(group.voters.keys())
        && membership.learners.iter().eq(group.learners.keys())
}

impl Orderer {
    /// The group that the newest certified block names ([`Executor::take_group`](crate::Executor::take_group)). Its nodes
    /// may speak from now on, and the configuration follows it.
    pub fn set_group(&mut self, group: Group) {
        if self.reconciliation.group.as_ref().is_some_and(|known| known.height > group.height) {
            return;
        }
        let own = self.config.core.id;
        let membership = self.core.membership();
        let heard: HashMap<_, _> = group.heard().collect();
        let gone: Vec<_> = self.by_id.keys().filter(|id| !heard.contains_key(id)).copied().collect();
        self.by_id.retain(|id, _| membership.contains(*id));
        for id in gone {
            self.core.dismiss(id);
        }
        for (id, name) in heard {
            self.by_id.insert(*id, name.clone());
            if *id != own {
                self.core.admit(*id);
            }
        }
        self.reconciliation.group = Some(group);
    }

    /// One step towards the group, where this node leads; asks how far the leader is, where it learns.
    pub(super) fn reconcile(&mut self) -> Result<(), Stopped> {
        self.ask_how_far()?;
        let Some(group) = &self.reconciliation.group else { return Ok(()) };
        #[cfg(feature = "planted")]
        let group = &crate::planted::wrong_group(group);
        if is_reached(self.core.membership(), group) {
            self.reconciliation.since = None;
            self.reconciliation.blocked_by = None;
            self.reconciliation.leaving_since = None;
            return Ok(());
        }
        self.reconciliation.since.get_or_insert(self.tick);
        if self.role.role != Role::Leader {
            self.reconciliation.blocked_by = None;
            self.reconciliation.leaving_since = None;
            return Ok(());
        }
        let stale = group.height < self.reconciliation.made_for;
        if stale || self.core.change_unfinished() || self.core.transferring().is_some() {
            return Ok(());
        }
        let group = group.clone();
        match self.propose_towards(&group)? {
            Ok(()) => {
                self.reconciliation.blocked_by = None;
                Ok(())
            }
            Err(blocked) => {
                self.reconciliation.blocked_by = blocked;
                self.leave(&group)
            }
        }
    }

    /// Proposes as much of the difference as can be done now, all but this leader's own going; the inner error is what
    /// blocks the rest.
    fn propose_towards(&mut self, group: &Group) -> Result<Result<(), Option<String>>, Stopped> {
        let own = self.config.core.id;
        let membership = self.core.membership().clone();
        let (voters, learners) = (ids(group.voters.keys()), ids(group.learners.keys()));
        let named: BTreeSet<_> = voters.union(&learners).copied().collect();
        let mut blocked = None;
        let mut added = BTreeSet::new();
        for id in named.iter().filter(|id| !membership.contains(**id)) {
            if membership.is_retired(*id) {
                blocked = Some(format!("node {id} was passed over; it must ask for a new number"));
            } else {
                added.insert(*id);
            }
        }
        added.extend(membership.voters.intersection(&learners).filter(|id| **id != own));
        let mut promoted: BTreeSet<_> = membership.learners.intersection(&voters).copied().collect();
        let removed: BTreeSet<_> =
            membership.members().into_iter().filter(|id| *id != own && !named.contains(id)).collect();
        // In a joint configuration those that go count beside those that come. The configuration has room to replace some
        // of a full group at a time; what finds none comes with the next change.
        let room = galen_consensus::limits::MEMBERS_MAX.saturating_sub(membership.members().len());
        let (coming, demoted): (Vec<_>, Vec<_>) = added.into_iter().partition(|id| !membership.contains(*id));
        if coming.len() > room {
            blocked = Some(format!("{} nodes wait until the configuration has room for them", coming.len() - room));
        }
        let added: BTreeSet<_> = coming.into_iter().take(room).chain(demoted).collect();
        // All at once; else without those that must wait, or without what would stop the group; else nobody new, so that
        // who is to go makes room.
        let parts = [true, false]
            .map(|added| [(true, true), (true, false), (false, true), (false, false)].map(|rest| (added, rest)));
        for (with_added, (with_promoted, with_removed)) in parts.into_iter().flatten() {
            loop {
                let change = MembershipChange {
                    voters: if with_promoted { promoted.clone() } else { BTreeSet::new() },
                    learners: if with_added { added.clone() } else { BTreeSet::new() },
                    removed: if with_removed { removed.clone() } else { BTreeSet::new() },
                    context: Bytes::copy_from_slice(&group.height.to_le_bytes()),
                };
                if change.voters.is_empty() && change.learners.is_empty() && change.removed.is_empty() {
                    break;
                }
                match self.core.propose_conf_change(change) {
                    Ok(_) => return Ok(Ok(())),
                    Err(MembershipChangeError::Propose(ProposeError::Stopped(stopped))) => return Err(stopped),
                    Err(MembershipChangeError::NoChange) => break,
                    Err(
                        ref error @ (MembershipChangeError::NotCaughtUp { node, .. }
                        | MembershipChangeError::Silent(node)),
                    ) if promoted.remove(&node) => blocked = Some(error.to_string()),
                    Err(error) => {
                        blocked = Some(error.to_string());
                        break;
                    }
                }
            }
        }
        Ok(Err(blocked))
    }

    /// A leader that is to go hands over to the voter that has most of the log. Only when nobody takes over for long does
    /// it propose its own removal: then the group is without a leader for an election.
    fn leave(&mut self, group: &Group) -> Result<(), Stopped> {
        let own = self.config.core.id;
        let membership = self.core.membership();
        if group.voters.contains_key(&own) || !membership.voters.contains(&own) {
            return Ok(());
        }
        let since = *self.reconciliation.leaving_since.get_or_insert(self.tick);
        if self.tick - since >= limits::LEADERSHIP_HANDOVER_TICKS {
            let (removed, learners) = match group.learners.contains_key(&own) {
                true => (BTreeSet::new(), BTreeSet::from([own])),
                false => (BTreeSet::from([own]), BTreeSet::new()),
            };
            let context = Bytes::copy_from_slice(&group.height.to_le_bytes());
            let change = MembershipChange { voters: BTreeSet::new(), learners, removed, context };
            match self.core.propose_conf_change(change) {
                Err(MembershipChangeError::Propose(ProposeError::Stopped(stopped))) => return Err(stopped),
                Err(error) => self.reconciliation.blocked_by = Some(error.to_string()),
                Ok(_) => self.reconciliation.blocked_by = None,
            }
            return Ok(());
        }
        let target = group
            .voters
            .keys()
            .filter(|id| membership.voters.contains(id))
            .filter_map(|id| Some((self.core.progress_of(*id).filter(|progress| progress.heard_lately)?.matched, *id)))
            .max();
        let Some((_, target)) = target else {
            self.reconciliation.blocked_by = Some(String::from("no other voter that stays was heard lately"));
            return Ok(());
        };
        match self.core.transfer_leader(target) {
            Err(TransferError::Stopped(stopped)) => Err(stopped),
            Err(error) => {
                self.reconciliation.blocked_by = Some(error.to_string());
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// A learner asks its leader now and then how far the group has committed.
    fn ask_how_far(&mut self) -> Result<(), Stopped> {
        let learns = self.core.membership().learners.contains(&self.config.core.id);
        if !learns || !self.tick.is_multiple_of(limits::CAUGHT_UP_ASK_TICKS) {
            return Ok(());
        }
        match self.core.read_index(&self.tick.to_le_bytes()) {
            Err(galen_consensus::ReadIndexError::Stopped(stopped)) => Err(stopped),
            // Nobody leads as far as this node knows: then it has not caught up either.
            _ => Ok(()),
        }
    }

    /// Whether this node, a learner, holds what its leader has committed, but for a few entries: then it can join the
    /// voters.
    pub fn caught_up(&self) -> bool {
        let learns = self.core.membership().learners.contains(&self.config.core.id);
        learns
            && self.reconciliation.read.is_some_and(|(index, tick)| {
                self.tick.saturating_sub(tick) <= 3 * limits::CAUGHT_UP_ASK_TICKS
                    && self.core.committed().saturating_add(limits::CAUGHT_UP_ENTRIES) >= index
                    && self.applied.saturating_add(limits::CAUGHT_UP_ENTRIES) >= index
            })
    }

    /// Whether this node, which the chain no longer counts among those that order, may stop ordering under its number. Until
    /// the group's configuration is without it, its vote is needed to change that: a node that stopped at once could
    /// take the majority away that removes it.
    pub fn may_retire(&self) -> bool {
        let own = self.config.core.id;
        let named = self.reconciliation.group.as_ref().is_none_or(|group| group.ids.contains_key(&own));
        if named {
            return false;
        }
        let membership = self.core.membership();
        if membership.is_known() && !membership.contains(own) {
            return true;
        }
        // Who is removed may never hear of it; but the ledger shows that the others go on. Not what it acknowledged itself
        // does: that may have been committed with its vote, which may be needed still.
        let silent = self.tick.saturating_sub(self.led_at) > limits::RETIRE_TICKS;
        silent && self.applied > self.core.last_index()
    }

    /// How far the ordering group is from what the chain says.
    pub fn membership_progress(&self) -> MembershipProgress {
        let since = self.reconciliation.since;
        MembershipProgress {
            joint: self.core.membership().is_joint(),
            pending: since.is_some(),
            since_ticks: since.map_or(0, |since| self.tick - since),
            blocked_by: self.reconciliation.blocked_by.clone(),
        }
    }

    /// What this node, as leader, knows that another holds of the ordering log: up to which index. `None` when it does not
    /// lead or does not know the number.
    pub fn knowledge(&self, of: RaftId) -> Option<u64> {
        self.core.progress_of(of).map(|progress| progress.matched)
    }

    /// Hands leadership to another voter, once that one holds the whole log; batches wait meanwhile.
    ///
    /// # Errors
    /// [`TransferError`] when this node does not lead or the other cannot.
    pub fn transfer_leader(&mut self, to: RaftId) -> Result<(), TransferError> {
        self.core.transfer_leader(to)
    }
}
