//! Who belongs to the group, and what may never be believed about it.

use std::collections::BTreeSet;

use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2, ConfState};

use crate::limits::MEMBERS_MAX;
use crate::types::RaftId;

/// A configuration of the group. While `voters_outgoing` is not empty it is joint: a decision needs a majority of both
/// voter sets (Raft dissertation, section 4.3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Membership {
    /// Voters, of the incoming half while joint.
    pub voters: BTreeSet<RaftId>,
    /// Nodes that get the log and have no vote.
    pub learners: BTreeSet<RaftId>,
    /// Voters of the outgoing half while joint.
    pub voters_outgoing: BTreeSet<RaftId>,
    /// Outgoing voters that become learners when the joint configuration is left.
    pub learners_next: BTreeSet<RaftId>,
    /// The greatest id that was ever in the configuration. An id up to it that is no member has left and never comes
    /// back: a node whose disk was lost may have forgotten its votes. So new ids must be greater, and several that are
    /// known at once must be added at once.
    pub highest_id: RaftId,
}

/// Why a configuration is none, or a change does not lead to one. The code is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// There is no voter.
    #[error("the configuration has no voter")]
    NoVoter,
    /// Id 0 is raft's "nobody".
    #[error("the configuration names node 0, which is nobody")]
    NodeZero,
    /// A node stands in two sets that exclude each other.
    #[error("node {0} is a voter and a learner at once")]
    TwoRoles(RaftId),
    /// A node is to become a learner and is no outgoing voter.
    #[error("node {0} is to become a learner and is no outgoing voter")]
    NotOutgoing(RaftId),
    /// An id that left, or was passed over by a greater one, is back.
    #[error("the id {0} was used before or passed over; give the machine a new id")]
    Retired(RaftId),
    /// A member's id is above the highest.
    #[error("node {0} is above the configuration's highest id")]
    HighestId(RaftId),
    /// More nodes than the limit.
    #[error("the configuration has more than {MEMBERS_MAX} nodes")]
    TooLarge,
    /// A node to be removed is no member.
    #[error("node {0} is not in the configuration and cannot be removed")]
    NotMember(RaftId),
    /// A change within a joint configuration, or leaving one that is not joint.
    #[error("the change does not fit a configuration that is joint or is not")]
    Joint,
}

impl MembershipError {
    /// A stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoVoter => "membership-no-voter",
            Self::NodeZero => "membership-node-zero",
            Self::TwoRoles(_) => "membership-two-roles",
            Self::NotOutgoing(_) => "membership-not-outgoing",
            Self::Retired(_) => "membership-retired",
            Self::HighestId(_) => "membership-highest-id",
            Self::TooLarge => "membership-too-large",
            Self::NotMember(_) => "membership-not-member",
            Self::Joint => "membership-joint",
        }
    }
}

impl Membership {
    /// A configuration that is not joint.
    #[must_use]
    pub fn new(voters: impl IntoIterator<Item = RaftId>, learners: impl IntoIterator<Item = RaftId>) -> Self {
        let membership =
            Self { voters: voters.into_iter().collect(), learners: learners.into_iter().collect(), ..Self::default() };
        membership.with_highest_id(RaftId::default())
    }

    fn with_highest_id(self, before: RaftId) -> Self {
        let highest_id = self.members().last().copied().unwrap_or_default().max(before);
        Self { highest_id, ..self }
    }

    /// Whether there is a configuration at all: a node that joins has none before its log tells it.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !self.voters.is_empty()
    }

    /// Whether two voter sets hold at once.
    #[must_use]
    pub fn is_joint(&self) -> bool {
        !self.voters_outgoing.is_empty()
    }

    /// Whether the node votes, in either half.
    #[must_use]
    pub fn is_voter(&self, id: RaftId) -> bool {
        self.voters.contains(&id) || self.voters_outgoing.contains(&id)
    }

    /// Whether the node belongs to the group in any role.
    #[must_use]
    pub fn contains(&self, id: RaftId) -> bool {
        self.is_voter(id) || self.learners.contains(&id) || self.learners_next.contains(&id)
    }

    /// Whether the id left the group, or can no longer enter it because a greater one did.
    #[must_use]
    pub fn is_retired(&self, id: RaftId) -> bool {
        id <= self.highest_id && !self.contains(id)
    }

    /// Every node, in order.
    #[must_use]
    pub fn members(&self) -> BTreeSet<RaftId> {
        let sets = [&self.voters, &self.learners, &self.voters_outgoing, &self.learners_next];
        sets.into_iter().flatten().copied().collect()
    }

    /// Whether this node alone decides.
    #[must_use]
    pub fn is_sole_voter(&self, id: RaftId) -> bool {
        !self.is_joint() && self.voters.len() == 1 && self.voters.contains(&id)
    }

    /// Checks every rule that raft assumes and would otherwise panic on.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), MembershipError> {
        if self.voters.is_empty() {
            return Err(MembershipError::NoVoter);
        }
        let members = self.members();
        if members.len() > MEMBERS_MAX {
            return Err(MembershipError::TooLarge);
        }
        if members.contains(&RaftId(0)) {
            return Err(MembershipError::NodeZero);
        }
        if let Some(id) = self.learners.iter().find(|id| self.is_voter(**id) || self.learners_next.contains(*id)) {
            return Err(MembershipError::TwoRoles(*id));
        }
        if let Some(id) = self.learners_next.intersection(&self.voters).next() {
            return Err(MembershipError::TwoRoles(*id));
        }
        if let Some(id) = self.learners_next.difference(&self.voters_outgoing).next() {
            return Err(MembershipError::NotOutgoing(*id));
        }
        match members.last().filter(|id| **id > self.highest_id) {
            Some(id) => Err(MembershipError::HighestId(*id)),
            None => Ok(()),
        }
    }

    /// What a change makes of this configuration, by raft's rules (its `Changer`) and Galen's: always through a joint
    /// configuration, and never an id twice. A function of its arguments alone, so that all nodes agree.
    pub(crate) fn after(&self, change: &ConfChangeV2) -> Result<Self, MembershipError> {
        let next = if change.leave_joint() {
            self.after_joint()?
        } else if change.enter_joint() == Some(false) {
            self.joint_with(&change.changes)?
        } else {
            return Err(MembershipError::Joint);
        };
        let next = next.with_highest_id(self.highest_id);
        next.check()?;
        Ok(next)
    }

    fn after_joint(&self) -> Result<Self, MembershipError> {
        if !self.is_joint() {
            return Err(MembershipError::Joint);
        }
        let mut next = self.clone();
        next.learners.append(&mut next.learners_next);
        next.voters_outgoing.clear();
        Ok(next)
    }

    fn joint_with(&self, changes: &[ConfChangeSingle]) -> Result<Self, MembershipError> {
        if self.is_joint() {
            return Err(MembershipError::Joint);
        }
        let mut next = Self { voters_outgoing: self.voters.clone(), ..self.clone() };
        for change in changes {
            let id = RaftId(change.node_id);
            if id == RaftId(0) {
                return Err(MembershipError::NodeZero);
            }
            let adds = change.change_type != ConfChangeType::RemoveNode;
            if adds && self.is_retired(id) {
                return Err(MembershipError::Retired(id));
            }
            if !adds && !self.contains(id) {
                return Err(MembershipError::NotMember(id));
            }
            if change.change_type == ConfChangeType::AddLearnerNode && next.learners.contains(&id) {
                continue;
            }
            next.voters.remove(&id);
            next.learners.remove(&id);
            next.learners_next.remove(&id);
            match change.change_type {
                ConfChangeType::AddNode => next.voters.insert(id),
                ConfChangeType::AddLearnerNode if next.voters_outgoing.contains(&id) => next.learners_next.insert(id),
                ConfChangeType::AddLearnerNode => next.learners.insert(id),
                ConfChangeType::RemoveNode => true,
            };
        }
        Ok(next)
    }

    /// The configuration in raft's terms. Galen leaves joint configurations itself (raft's own way can stick when a
    /// leader steps down), so `auto_leave` is always off.
    pub(crate) fn to_raft(&self) -> ConfState {
        let list = |set: &BTreeSet<RaftId>| set.iter().map(|id| id.0).collect();
        ConfState {
            voters: list(&self.voters),
            learners: list(&self.learners),
            voters_outgoing: list(&self.voters_outgoing),
            learners_next: list(&self.learners_next),
            auto_leave: false,
        }
    }

    /// The configuration as node `id` gives it to raft. Raft takes a snapshot only when the configuration in it names the
    /// node, also one that was made before the node was added. So a node that the configuration does not name yet counts
    /// itself a learner, which gives it no say in anything.
    pub(crate) fn to_raft_on(&self, id: RaftId) -> ConfState {
        let mut state = self.to_raft();
        if self.is_known() && !self.contains(id) {
            state.learners.push(id.0);
        }
        state
    }

    /// Whether raft on node `id` holds this configuration.
    pub(crate) fn is_what_raft_holds(&self, state: &ConfState, id: RaftId) -> bool {
        let set = |list: &[u64]| list.iter().copied().map(RaftId).collect::<BTreeSet<_>>();
        let mut learners = set(&state.learners);
        if !self.contains(id) {
            learners.remove(&id);
        }
        learners == self.learners
            && set(&state.voters) == self.voters
            && set(&state.voters_outgoing) == self.voters_outgoing
            && set(&state.learners_next) == self.learners_next
    }
}

#[cfg(test)]
mod tests;
