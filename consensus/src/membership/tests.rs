//! The rules of configurations and their changes, and their agreement with raft's own.

use proptest::prelude::*;
use raft::eraftpb::{ConfChangeTransition, ConfChangeV2};
use raft::{Changer, ProgressTracker};

use super::*;

fn ids(list: &[u64]) -> BTreeSet<RaftId> {
    list.iter().copied().map(RaftId).collect()
}

fn change(steps: &[(ConfChangeType, u64)]) -> ConfChangeV2 {
    let changes = steps.iter().map(|(change_type, id)| ConfChangeSingle { change_type: *change_type, node_id: *id });
    let changes = changes.collect();
    ConfChangeV2 { transition: ConfChangeTransition::Explicit, changes, ..ConfChangeV2::default() }
}

use ConfChangeType::{AddLearnerNode, AddNode, RemoveNode};

#[test]
fn a_configuration_is_checked_by_each_rule() {
    let good = Membership::new(ids(&[1, 2, 3]), ids(&[4]));
    assert_eq!(good.check(), Ok(()));
    assert_eq!(good.highest_id, RaftId(4));
    assert_eq!(Membership::new([], ids(&[4])).check(), Err(MembershipError::NoVoter));
    assert_eq!(Membership::new(ids(&[0, 1]), []).check(), Err(MembershipError::NodeZero));
    assert_eq!(Membership::new(ids(&[1, 2]), ids(&[2])).check(), Err(MembershipError::TwoRoles(RaftId(2))));
    let next = Membership { learners_next: ids(&[5]), ..good.clone() };
    assert_eq!(next.check(), Err(MembershipError::NotOutgoing(RaftId(5))));
    let low = Membership { highest_id: RaftId(3), ..good };
    assert_eq!(low.check(), Err(MembershipError::HighestId(RaftId(4))));
    assert_eq!(Membership::new((1..=65).map(RaftId), []).check(), Err(MembershipError::TooLarge));
}

#[test]
fn who_leaves_is_retired_and_who_was_passed_over_too() {
    let group = Membership::new(ids(&[1, 2, 3]), ids(&[4]));
    let joint = group.after(&change(&[(RemoveNode, 3), (AddLearnerNode, 9)])).unwrap();
    assert!(!joint.is_retired(RaftId(3)), "it votes until the joint configuration is left");
    let after = joint.after(&ConfChangeV2::default()).unwrap();
    assert_eq!((after.voters.clone(), after.highest_id), (ids(&[1, 2]), RaftId(9)));
    for id in [3, 5, 8].map(RaftId) {
        assert!(after.is_retired(id));
        for kind in [AddLearnerNode, AddNode] {
            assert_eq!(after.after(&change(&[(kind, id.0)])), Err(MembershipError::Retired(id)));
        }
    }
    assert!(!after.is_retired(RaftId(4)) && !after.is_retired(RaftId(10)));
}

#[test]
fn several_new_ids_come_at_once_in_any_order() {
    let group = Membership::new(ids(&[1, 2, 3]), []);
    let joint = group.after(&change(&[(AddLearnerNode, 7), (AddLearnerNode, 5), (AddLearnerNode, 6)])).unwrap();
    let after = joint.after(&ConfChangeV2::default()).unwrap();
    assert_eq!((after.learners, after.highest_id), (ids(&[5, 6, 7]), RaftId(7)));
}

#[test]
fn changes_that_lead_nowhere_are_refused() {
    let group = Membership::new(ids(&[1, 2]), ids(&[3]));
    assert_eq!(group.after(&change(&[(RemoveNode, 1), (RemoveNode, 2)])), Err(MembershipError::NoVoter));
    assert_eq!(group.after(&change(&[(RemoveNode, 9)])), Err(MembershipError::NotMember(RaftId(9))));
    assert_eq!(group.after(&change(&[(AddNode, 0)])), Err(MembershipError::NodeZero));
    assert_eq!(group.after(&ConfChangeV2::default()), Err(MembershipError::Joint));
    let joint = group.after(&change(&[(AddNode, 3)])).unwrap();
    assert_eq!(joint.after(&change(&[(RemoveNode, 1)])), Err(MembershipError::Joint));
    let simple = ConfChangeV2 { transition: ConfChangeTransition::Auto, ..change(&[(AddNode, 3)]) };
    assert_eq!(group.after(&simple), Err(MembershipError::Joint));
}

proptest! {
    /// Raft's changer and ours agree on every change that ours allows.
    #[test]
    fn raft_makes_the_same_of_a_change(
        voters in proptest::collection::btree_set(1u64..7, 1..5),
        learners in proptest::collection::btree_set(1u64..7, 0..3),
        steps in proptest::collection::vec((0usize..3, 1u64..9), 0..6),
        own in 1u64..9,
    ) {
        let learners = learners.difference(&voters).copied().map(RaftId).collect::<Vec<_>>();
        let group = Membership::new(voters.into_iter().map(RaftId), learners);
        let kinds = [AddNode, AddLearnerNode, RemoveNode];
        let enter = change(&steps.into_iter().map(|(kind, id)| (kinds[kind], id)).collect::<Vec<_>>());
        // The node's own phantom place must not show.
        let mut tracker = ProgressTracker::new(8);
        let state = group.to_raft_on(RaftId(own));
        let all = state.voters.iter().map(|id| (AddNode, *id)).chain(state.learners.iter().map(|id| (AddLearnerNode, *id)));
        for (kind, id) in all {
            let (next, changes) = Changer::new(&tracker).simple(&change(&[(kind, id)]).changes).unwrap();
            tracker.apply_conf(next, changes, 1);
        }
        if let Ok(joint) = group.after(&enter) {
            let (next, changes) = Changer::new(&tracker).enter_joint(false, &enter.changes).unwrap();
            tracker.apply_conf(next, changes, 1);
            prop_assert!(joint.is_what_raft_holds(&tracker.conf().to_conf_state(), RaftId(own)));
            let left = joint.after(&ConfChangeV2::default()).unwrap();
            let (next, changes) = Changer::new(&tracker).leave_joint().unwrap();
            tracker.apply_conf(next, changes, 1);
            prop_assert!(left.is_what_raft_holds(&tracker.conf().to_conf_state(), RaftId(own)));
        }
    }
}
