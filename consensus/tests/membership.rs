//! Single stories about groups that change: joining, voting, handing over, leaving.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests assert by panicking")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use galen_consensus::{
    ConfigError, CoreConfig, Identity, Log, LogError, LogOptions, Membership, MembershipAt, MembershipChange,
    MembershipChangeError, MembershipError, MessageError, ProposeError, RaftCore, RaftId, Recovered, Refusal, Role,
    SnapshotMeta, TransferEnd, TransferError, TransferOutcome,
};
use support::churn::Churn;
use support::cluster::{Cluster, GROUP};
use support::disk::Disk;
use support::world::World;

/// A calm group in which nobody changes anything yet.
fn calm(voters: u64) -> Cluster {
    let mut cluster = Cluster::new(World::calm(voters), 11);
    cluster.until(100, |cluster| cluster.leader().is_some());
    cluster.run(3).unwrap();
    cluster
}

/// A calm group whose leader drives it towards what is wanted.
fn driven(voters: u64) -> Cluster {
    let mut cluster = calm(voters);
    cluster.churn = Some(Churn::new(&cluster.membership()));
    cluster.tell_all(1000);
    cluster
}

fn leader(cluster: &Cluster) -> u64 {
    cluster.leader().unwrap()
}

fn followers(cluster: &Cluster) -> Vec<u64> {
    let leader = leader(cluster);
    cluster.status(leader).membership.members().into_iter().map(|id| id.0).filter(|id| *id != leader).collect()
}

fn ids(list: &[u64]) -> BTreeSet<RaftId> {
    list.iter().copied().map(RaftId).collect()
}

fn fill(cluster: &mut Cluster, entries: u8) {
    for number in 0..entries {
        let id = leader(cluster);
        cluster.core(id).propose(Bytes::from(vec![number; 40])).unwrap();
        cluster.run(1).unwrap();
    }
    cluster.run(3).unwrap();
}

fn stop(cluster: &mut Cluster, id: u64) {
    cluster.crash(id);
    cluster.nodes[usize::try_from(id).unwrap() - 1].restart_at = u64::MAX;
}

fn settle(cluster: &mut Cluster) {
    cluster.until(600, |cluster| cluster.is_settled());
}

fn remove(id: u64) -> MembershipChange {
    MembershipChange { removed: ids(&[id]), ..MembershipChange::default() }
}

#[test]
fn a_node_that_joins_waits_for_whoever_was_admitted() {
    let mut core = RaftCore::new(CoreConfig::joining(RaftId(9), 1), Recovered::default(), 500).unwrap();
    for _ in 0..100 {
        core.tick().unwrap();
        core.campaign().unwrap();
        let effects = core.effects().unwrap();
        assert!(effects.send.is_empty() && effects.role.is_none());
        if let Some(last) = effects.persist.last() {
            core.persisted(last.token).unwrap();
        }
    }
    assert!(core.is_joining() && !core.membership().is_known());
    assert_eq!((core.status().role, core.committed(), core.status().applied), (Role::Follower, 0, 500));
    assert!(matches!(core.propose(Bytes::from_static(b"x")), Err(ProposeError::NotLeader { leader: None })));

    let mut cluster = calm(3);
    let first = leader(&cluster);
    let id = cluster.join_node(0);
    let add = MembershipChange { learners: [id].into(), ..MembershipChange::default() };
    cluster.core(first).propose_conf_change(add).unwrap();
    cluster.run(20).unwrap();
    let status = cluster.status(id.0);
    assert_eq!((status.term, status.last), (0, 0), "nobody was admitted there");
    assert!(status.refusals["stranger"] > 0);
    cluster.core(id.0).admit(RaftId(first));
    cluster.run(20).unwrap();
    assert_eq!(cluster.status(id.0).commit, cluster.status(first).commit);
    assert_eq!(cluster.status(id.0).membership, cluster.status(first).membership);
    assert!(!cluster.core(id.0).is_joining());
}

#[test]
fn a_founder_is_named_by_the_first_configuration() {
    let founders = Membership::new(ids(&[1, 2, 3]), []);
    let error = RaftCore::new(CoreConfig::new(RaftId(4), founders, 1), Recovered::default(), 0).err().unwrap();
    assert_eq!(error, ConfigError::NotFounder(RaftId(4)));
    let error = RaftCore::new(CoreConfig::joining(RaftId(0), 1), Recovered::default(), 0).err().unwrap();
    assert_eq!(error, ConfigError::Membership(MembershipError::NodeZero));
}

/// Whatever the node has when it dies (nothing, an offer, a snapshot, entries, a configuration), it goes on from there.
#[test]
fn a_node_that_joins_may_restart_at_any_moment() {
    for (cut, blocks) in [(false, 0), (false, 1000), (true, 0), (true, 7), (true, 1000)] {
        for moment in 0..12 {
            let mut cluster = driven(3);
            fill(&mut cluster, 20);
            if cut {
                let id = leader(&cluster);
                let commit = cluster.status(id).commit;
                cluster.core(id).compact(commit - 2, Bytes::from_static(b"before it was added")).unwrap();
            }
            let id = cluster.want_new(blocks);
            cluster.pulls = moment % 3 != 1;
            for _ in 0..moment {
                fill(&mut cluster, 1);
            }
            cluster.crash(id.0);
            cluster.pulls = true;
            settle(&mut cluster);
            cluster.wanted().learners.clear();
            cluster.wanted().voters.insert(id);
            settle(&mut cluster);
            cluster.settle_and_check().unwrap();
            let status = cluster.status(id.0);
            assert_eq!(status.snapshot > 0, cut, "moment {moment}");
            // It is a voter like any other.
            if leader(&cluster) != id.0 {
                let from = leader(&cluster);
                cluster.core(from).transfer_leader(id).unwrap();
                cluster.until(20, |cluster| cluster.leader() == Some(id.0));
            }
            cluster.crash(id.0);
            cluster.settle_and_check().unwrap();
        }
    }
}

#[test]
fn new_ids_come_at_once_in_any_order_and_an_id_passed_over_never_comes() {
    let mut cluster = calm(3);
    let first = leader(&cluster);
    let add = |list: &[u64]| MembershipChange { learners: ids(list), ..MembershipChange::default() };
    cluster.core(first).propose_conf_change(add(&[7, 5])).unwrap();
    cluster.run(20).unwrap();
    assert_eq!(cluster.status(first).membership.learners, ids(&[5, 7]));
    for (gone, list) in [(6, [6, 9]), (4, [9, 4])] {
        let refused = cluster.core(first).propose_conf_change(add(&list));
        assert_eq!(refused, Err(MembershipChangeError::Membership(MembershipError::Retired(RaftId(gone)))));
    }
    cluster.core(first).propose_conf_change(remove(5)).unwrap();
    cluster.run(20).unwrap();
    let refused = cluster.core(first).propose_conf_change(add(&[5]));
    assert_eq!(refused, Err(MembershipChangeError::Membership(MembershipError::Retired(RaftId(5)))));
    let refused = cluster.core(first).propose_conf_change(remove(5));
    assert_eq!(refused, Err(MembershipChangeError::Membership(MembershipError::NotMember(RaftId(5)))));
}

#[test]
fn a_joint_configuration_is_ended_by_the_next_leader() {
    for also in [false, true] {
        let mut cluster = calm(5);
        let first = leader(&cluster);
        let mut change = remove(followers(&cluster)[0]);
        if also {
            // The leader itself goes too, and dies in between.
            change.removed.insert(RaftId(first));
        }
        cluster.core(first).propose_conf_change(change.clone()).unwrap();
        cluster.until(20, |cluster| cluster.status(first).membership.is_joint());
        assert!(cluster.core(first).change_unfinished());
        stop(&mut cluster, first);
        cluster.until(200, |cluster| {
            cluster.leader().is_some_and(|id| {
                let membership = cluster.status(id).membership;
                !membership.is_joint() && change.removed.iter().all(|id| membership.is_retired(*id))
            })
        });
        fill(&mut cluster, 3);
        let now = leader(&cluster);
        assert!(!cluster.core(now).change_unfinished());
    }
}

#[test]
fn a_leader_may_remove_or_demote_itself() {
    for demote in [false, true] {
        let mut cluster = calm(3);
        let first = leader(&cluster);
        let mut change = remove(first);
        if demote {
            change = MembershipChange { learners: ids(&[first]), ..MembershipChange::default() };
        }
        cluster.core(first).propose_conf_change(change).unwrap();
        cluster.until(200, |cluster| cluster.leader().is_some_and(|id| id != first));
        fill(&mut cluster, 5);
        let now = leader(&cluster);
        let membership = cluster.status(now).membership;
        assert_eq!((membership.voters.len(), membership.is_joint()), (2, false));
        assert_eq!(membership.learners.contains(&RaftId(first)), demote);
        assert_eq!(membership.is_retired(RaftId(first)), !demote);
        assert_eq!(cluster.status(first).commit == cluster.status(now).commit, demote);
        assert_ne!(cluster.status(first).role, Role::Leader);
    }
}

#[test]
fn a_sole_voter_takes_a_second_in_and_lets_it_go() {
    let mut cluster = driven(1);
    fill(&mut cluster, 3);
    let second = cluster.want_new(0);
    settle(&mut cluster);
    cluster.wanted().learners.clear();
    cluster.wanted().voters.insert(second);
    settle(&mut cluster);
    fill(&mut cluster, 3);
    // Either may be the one that stays; the first hands over and goes.
    cluster.wanted().voters = [second].into();
    settle(&mut cluster);
    assert_eq!(cluster.leader(), Some(second.0));
    fill(&mut cluster, 3);
    cluster.crash(second.0);
    cluster.settle_and_check().unwrap();
    assert_eq!(cluster.status(second.0).membership.voters, [second].into());
}

#[test]
fn a_group_may_be_replaced_whole() {
    let mut cluster = driven(3);
    fill(&mut cluster, 5);
    let new: BTreeSet<RaftId> = (0..3).map(|_| cluster.want_new(0)).collect();
    settle(&mut cluster);
    cluster.wanted().learners.clear();
    cluster.wanted().voters = new.clone();
    settle(&mut cluster);
    for id in 1..=3 {
        stop(&mut cluster, id);
    }
    fill(&mut cluster, 3);
    cluster.settle_and_check().unwrap();
    assert!(new.contains(&RaftId(leader(&cluster))));
}

#[test]
fn a_change_needs_majorities_of_the_old_and_the_new_voters() {
    let mut cluster = driven(3);
    let learners: Vec<RaftId> = (0..3).map(|_| cluster.want_new(0)).collect();
    settle(&mut cluster);
    cluster.churn = None;
    let first = leader(&cluster);
    let late = cluster.join_node(0);
    let add = MembershipChange { learners: [late].into(), ..MembershipChange::default() };
    cluster.core(first).propose_conf_change(add).unwrap();
    cluster.run(20).unwrap();
    let promote =
        |list: &[RaftId]| MembershipChange { voters: list.iter().copied().collect(), ..MembershipChange::default() };
    let committed = cluster.status(first).commit;
    let refused = cluster.core(first).propose_conf_change(promote(&[late]));
    assert_eq!(refused, Err(MembershipChangeError::NotCaughtUp { node: late, matched: 0, committed }));
    assert!(!cluster.core(first).progress_of(late).unwrap().heard_lately);
    // A learner that went silent may not vote now, though it holds the log.
    stop(&mut cluster, learners[0].0);
    cluster.run(30).unwrap();
    let refused = cluster.core(first).propose_conf_change(promote(&learners));
    assert_eq!(refused, Err(MembershipChangeError::Silent(learners[0])));
    // With one old voter dead, three new ones are welcome, and the dead one may go.
    let dead = followers(&cluster).into_iter().find(|id| *id <= 3).unwrap();
    stop(&mut cluster, dead);
    cluster.run(30).unwrap();
    let alive = cluster.core(first).progress_of(learners[1]).unwrap();
    assert!(alive.heard_lately && alive.matched == cluster.status(first).commit, "{alive:?} {committed}");
    let change = MembershipChange { removed: ids(&[dead]), ..promote(&learners[1..]) };
    cluster.core(first).propose_conf_change(change).unwrap();
    cluster.run(30).unwrap();
    assert_eq!(cluster.status(first).membership.voters.len(), 4);
}

#[test]
fn a_silent_majority_of_the_present_voters_is_not_outvoted_by_new_ones() {
    let mut refused = 0;
    for wait in 0..10 {
        let mut cluster = driven(3);
        let learners: Vec<RaftId> = (0..3).map(|_| cluster.want_new(0)).collect();
        settle(&mut cluster);
        cluster.churn = None;
        cluster.run(wait).unwrap();
        let first = leader(&cluster);
        let change = MembershipChange {
            voters: learners.iter().copied().collect(),
            removed: (1..=3).filter(|id| *id != first).map(RaftId).collect(),
            ..MembershipChange::default()
        };
        // The two others fall silent. The leader finds out after a while; before that it must not begin the change, which
        // could neither commit nor be taken back.
        cluster.far = change.removed.clone();
        for _ in 0..11 {
            cluster.run(1).unwrap();
        }
        if cluster.status(first).role == Role::Leader {
            let result = cluster.core(first).propose_conf_change(change);
            assert_eq!(result, Err(MembershipChangeError::NoQuorum { active: 1, voters: 3 }));
            refused += 1;
        }
    }
    assert!(refused > 3, "only {refused} leaders were asked");
}

#[test]
fn leadership_goes_to_whoever_can_take_it_and_the_end_is_told() {
    let mut cluster = calm(3);
    let (first, others) = (leader(&cluster), followers(&cluster));
    // To one that holds the log.
    cluster.core(first).transfer_leader(RaftId(others[0])).unwrap();
    let second = cluster.core(first).transfer_leader(RaftId(others[1]));
    assert_eq!(second, Err(TransferError::Underway(RaftId(others[0]))));
    cluster.until(10, |cluster| cluster.leader() == Some(others[0]));
    cluster.run(5).unwrap();
    let end = TransferEnd { to: RaftId(others[0]), outcome: TransferOutcome::TakenOver };
    assert_eq!(cluster.transfers, [(RaftId(first), end)]);
    // To a dead one: after an election timeout the leader leads on.
    let (now, dead) = (others[0], others[1]);
    stop(&mut cluster, dead);
    cluster.transfers.clear();
    cluster.core(now).transfer_leader(RaftId(dead)).unwrap();
    assert_eq!(cluster.core(now).propose(Bytes::from_static(b"x")), Err(ProposeError::Transferring));
    cluster.until(15, |cluster| !cluster.transfers.is_empty());
    let end = TransferEnd { to: RaftId(dead), outcome: TransferOutcome::TimedOut };
    assert_eq!(cluster.transfers, [(RaftId(now), end)]);
    fill(&mut cluster, 3);
    // To one that is behind: it catches up first.
    cluster.nodes[usize::try_from(dead).unwrap() - 1].restart_at = 0;
    cluster.far.insert(RaftId(dead));
    cluster.run(3).unwrap();
    fill(&mut cluster, 20);
    assert_eq!(leader(&cluster), now);
    cluster.far.clear();
    cluster.transfers.clear();
    let last = cluster.core(now).last_index();
    assert!(cluster.core(now).progress_of(RaftId(dead)).unwrap().matched < last);
    cluster.core(now).transfer_leader(RaftId(dead)).unwrap();
    cluster.until(15, |cluster| !cluster.transfers.is_empty());
    assert_eq!(cluster.transfers[0].1.outcome, TransferOutcome::TakenOver);
    fill(&mut cluster, 3);
}

#[test]
fn a_removed_node_that_knocks_disturbs_nobody() {
    for partitioned in [false, true] {
        let mut cluster = calm(4);
        let (first, gone) = (leader(&cluster), followers(&cluster)[0]);
        if partitioned {
            cluster.far.insert(RaftId(gone));
            cluster.run(40).unwrap();
        }
        cluster.core(first).propose_conf_change(remove(gone)).unwrap();
        cluster.run(30).unwrap();
        let (now, term) = (leader(&cluster), cluster.status(first).term);
        cluster.far.clear();
        // It does not know, times out and asks for votes, for long.
        cluster.run(300).unwrap();
        assert_eq!((leader(&cluster), cluster.status(now).term), (now, term));
        let knows = !partitioned;
        assert_eq!(cluster.status(gone).membership.is_retired(RaftId(gone)), knows);
        if !knows {
            assert_eq!(cluster.status(gone).role, Role::PreCandidate);
            assert!(cluster.status(now).refusals["retired"] > 10);
        }
        fill(&mut cluster, 5);
        if knows {
            continue;
        }
        // Also after a restart, and when the embedder admits it by mistake.
        cluster.crash(gone);
        for id in (1..=4).filter(|id| *id != gone) {
            cluster.core(id).admit(RaftId(gone));
        }
        cluster.run(200).unwrap();
        assert_eq!((leader(&cluster), cluster.status(now).term), (now, term));
    }
}

#[test]
fn a_node_whose_log_says_that_it_was_removed_does_not_start() {
    let mut cluster = calm(3);
    let first = leader(&cluster);
    cluster.core(first).propose_conf_change(remove(first)).unwrap();
    cluster.until(200, |cluster| cluster.leader().is_some_and(|id| id != first));
    cluster.run(5).unwrap();
    assert!(cluster.status(first).membership.is_retired(RaftId(first)));
    stop(&mut cluster, first);
    let position = usize::try_from(first).unwrap() - 1;
    let refused = cluster.start(position).unwrap_err();
    assert!(refused.contains("give this machine a new id"), "{refused}");
}

/// After a lost quorum: two nodes go on under new ids from a block that both hold, and a third joins them.
#[test]
fn a_log_may_begin_at_a_snapshot() {
    let mut cluster = calm(3);
    fill(&mut cluster, 10);
    let ledger = cluster.nodes[0].ledger.clone();
    let (index, term) = (ledger.len() as u64, cluster.status(1).term + 1);
    for id in 1..=3 {
        stop(&mut cluster, id);
        cluster.nodes[usize::try_from(id).unwrap() - 1].dead = true;
    }
    let membership = Membership::new(ids(&[4, 5]), []);
    cluster.history.memberships.insert(index, membership.clone());
    for _ in 4..=5 {
        let id = cluster.join_node(1000);
        let position = cluster.nodes.len() - 1;
        cluster.crash(id.0);
        let disk = Disk::default();
        let meta = SnapshotMeta {
            index,
            term,
            membership: MembershipAt { index, membership: membership.clone() },
            context: Bytes::from_static(b"recovered"),
        };
        let identity = Identity { cluster: GROUP, node: id };
        let create = || Log::create_at(disk.clone(), Path::new("log"), identity, LogOptions::default(), meta.clone());
        let (log, recovered) = create().unwrap();
        drop(log);
        assert!(matches!(create(), Err(LogError::NotEmpty(_))));
        let (log, again) = Log::open(disk.clone(), Path::new("log"), identity, LogOptions::default()).unwrap();
        drop(log);
        assert_eq!(again, recovered);
        cluster.nodes[position].ledger.clone_from(&ledger);
        cluster.nodes[position].disk = disk;
        cluster.nodes[position].mirror = support::oracle::Mirror::default();
        cluster.nodes[position].ledger_durable = usize::try_from(index).unwrap();
        cluster.start(position).unwrap();
    }
    cluster.until(100, |cluster| cluster.leader().is_some());
    let first = leader(&cluster);
    assert!(cluster.status(first).term > term);
    cluster.churn = Some(Churn::new(&membership));
    cluster.tell_all(1000);
    fill(&mut cluster, 5);
    let third = cluster.want_new(0);
    settle(&mut cluster);
    cluster.wanted().learners.clear();
    cluster.wanted().voters.insert(third);
    settle(&mut cluster);
    assert_eq!(cluster.status(third.0).snapshot, index, "the log before the recovery is nowhere");
    // Nobody of before can come back into it.
    let first = leader(&cluster);
    let back = MembershipChange { learners: ids(&[2]), ..MembershipChange::default() };
    let refused = cluster.core(first).propose_conf_change(back);
    assert_eq!(refused, Err(MembershipChangeError::Membership(MembershipError::Retired(RaftId(2)))));
    let knock = cluster.core(first).message(RaftId(2), Bytes::from_static(b"nonsense"));
    assert!(matches!(knock, Err(MessageError::Refused(Refusal::Malformed(_)))));
    cluster.settle_and_check().unwrap();
}
