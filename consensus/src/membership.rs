//! Who belongs to the group, and what may never be believed about it.

use std::collections::BTreeSet;

use raft::eraftpb::ConfState;

use crate::limits::{MEMBERS_MAX, RETIRED_MAX};
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
    /// Ids that left. They never come back: a node whose disk was lost may have forgotten its votes.
    pub retired: BTreeSet<RaftId>,
}

/// Why a configuration is none. The code is stable.
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
    /// A removed id is back.
    #[error("node {0} was removed; give the machine a new id")]
    Retired(RaftId),
    /// More nodes than the limit.
    #[error("the configuration has more than {MEMBERS_MAX} nodes or more than {RETIRED_MAX} removed ones")]
    TooLarge,
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
            Self::TooLarge => "membership-too-large",
        }
    }
}

impl Membership {
    /// A configuration that is not joint.
    #[must_use]
    pub fn new(voters: impl IntoIterator<Item = RaftId>, learners: impl IntoIterator<Item = RaftId>) -> Self {
        Self { voters: voters.into_iter().collect(), learners: learners.into_iter().collect(), ..Self::default() }
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
        if members.len() > MEMBERS_MAX || self.retired.len() > RETIRED_MAX {
            return Err(MembershipError::TooLarge);
        }
        if members.contains(&RaftId(0)) || self.retired.contains(&RaftId(0)) {
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
        if let Some(id) = self.retired.intersection(&members).next() {
            return Err(MembershipError::Retired(*id));
        }
        Ok(())
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

    /// What raft made of `self` by a change; who is gone is retired.
    pub(crate) fn succeeded_by(&self, state: &ConfState) -> Self {
        let set = |list: &[u64]| list.iter().copied().map(RaftId).collect::<BTreeSet<_>>();
        let mut next = Self {
            voters: set(&state.voters),
            learners: set(&state.learners),
            voters_outgoing: set(&state.voters_outgoing),
            learners_next: set(&state.learners_next),
            retired: self.retired.clone(),
        };
        let members = next.members();
        next.retired.extend(self.members().difference(&members));
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(list: &[u64]) -> BTreeSet<RaftId> {
        list.iter().copied().map(RaftId).collect()
    }

    #[test]
    fn a_configuration_is_checked_by_each_rule() {
        let good = Membership::new(ids(&[1, 2, 3]), ids(&[4]));
        assert_eq!(good.check(), Ok(()));
        assert_eq!(Membership::new([], ids(&[4])).check(), Err(MembershipError::NoVoter));
        assert_eq!(Membership::new(ids(&[0, 1]), []).check(), Err(MembershipError::NodeZero));
        assert_eq!(Membership::new(ids(&[1, 2]), ids(&[2])).check(), Err(MembershipError::TwoRoles(RaftId(2))));
        let mut next = good.clone();
        next.learners_next = ids(&[5]);
        assert_eq!(next.check(), Err(MembershipError::NotOutgoing(RaftId(5))));
        let mut retired = good.clone();
        retired.retired = ids(&[3]);
        assert_eq!(retired.check(), Err(MembershipError::Retired(RaftId(3))));
        assert_eq!(Membership::new((1..=65).map(RaftId), []).check(), Err(MembershipError::TooLarge));
    }

    #[test]
    fn who_leaves_is_retired() {
        let before = Membership::new(ids(&[1, 2, 3]), ids(&[4]));
        let after = before.succeeded_by(&Membership::new(ids(&[1, 2, 4]), []).to_raft());
        assert_eq!(after.voters, ids(&[1, 2, 4]));
        assert_eq!(after.retired, ids(&[3]));
    }
}
