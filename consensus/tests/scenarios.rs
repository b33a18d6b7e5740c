//! Single stories about a group, on a calm network unless the story says otherwise.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests assert by panicking")]

mod support;

use std::collections::BTreeMap;

use bytes::Bytes;
use galen_consensus::{
    CompactError, ConfigError, CoreConfig, Entry, EntryKind, HardState, LogEnd, Membership, MembershipAt,
    MembershipChange, MembershipChangeError, MembershipError, ProposeError, RaftCore, RaftId, Recovered, Role,
    SnapshotError, TransferError, VoteFloor,
};
use support::cluster::Cluster;
use support::world::World;

fn calm(voters: u64) -> Cluster {
    calm_by(voters, 11)
}

fn calm_by(voters: u64, seed: u64) -> Cluster {
    let mut cluster = Cluster::new(World::calm(voters), seed);
    cluster.until(100, |cluster| cluster.leader().is_some());
    cluster.run(3).unwrap();
    cluster
}

fn follower(cluster: &Cluster) -> u64 {
    (1..=cluster.world.voters).find(|id| Some(*id) != cluster.leader()).unwrap()
}

#[test]
fn a_sole_voter_commits_only_what_is_durable() {
    let membership = Membership::new([RaftId(1)], []);
    let mut core = RaftCore::new(CoreConfig::new(RaftId(1), membership, 1), Recovered::default(), 0).unwrap();
    core.campaign().unwrap();
    let start = core.effects().unwrap();
    // The group's first configuration is on its way to the disk, so the election waits.
    assert_eq!(core.status().role, Role::Follower);
    core.persisted(start.persist.last().unwrap().token).unwrap();
    core.campaign().unwrap();
    let opened = core.effects().unwrap();
    assert_eq!(opened.role.unwrap().role, Role::Leader);
    core.persisted(opened.persist.last().unwrap().token).unwrap();
    assert_eq!(core.effects().unwrap().committed.len(), 1);
    core.propose(Bytes::from_static(b"first")).unwrap();
    let first = core.effects().unwrap();
    core.propose(Bytes::from_static(b"second")).unwrap();
    let second = core.effects().unwrap();
    assert!(first.committed.is_empty() && second.committed.is_empty(), "nothing is durable yet");
    core.persisted(first.persist.last().unwrap().token).unwrap();
    let committed: Vec<u64> = core.effects().unwrap().committed.iter().map(|entry| entry.index).collect();
    assert_eq!(committed, [2], "only the first is durable");
    core.persisted(second.persist.last().unwrap().token).unwrap();
    let committed: Vec<u64> = core.effects().unwrap().committed.iter().map(|entry| entry.index).collect();
    assert_eq!(committed, [3], "right after the sync");
}

#[test]
fn a_leader_replicates_while_it_writes_and_a_follower_does_not_promise_before_it_wrote() {
    let mut cluster = calm(3);
    let leader = cluster.leader().unwrap();
    cluster.core(leader).propose(Bytes::from_static(b"entry")).unwrap();
    let effects = cluster.core(leader).effects().unwrap();
    assert_eq!((effects.persist.len(), effects.send.len()), (1, 2), "sent before it is durable here");
    let (to, bytes) = (effects.send[0].to, effects.send[0].bytes.clone());
    let receiver = cluster.core(to.0);
    receiver.message(RaftId(leader), bytes).unwrap();
    let received = receiver.effects().unwrap();
    assert!(received.send.is_empty(), "no promise before the sync");
    receiver.persisted(received.persist.last().unwrap().token).unwrap();
    assert_eq!(receiver.effects().unwrap().send.len(), 1);
}

#[test]
fn a_leader_whose_entry_a_majority_refuses_is_replaced_and_the_entry_never_commits() {
    let mut cluster = calm(3);
    let leader = cluster.leader().unwrap();
    let refused = Bytes::from_static(b"from the future");
    cluster.unacceptable = Some(refused.clone());
    cluster.core(leader).propose(refused).unwrap();
    let stuck = cluster.status(leader).last;
    cluster.until(400, |cluster| cluster.leader().is_some_and(|now| now != leader));
    cluster.until(2000, |cluster| {
        let now = cluster.leader();
        now.is_some_and(|now| now != leader && cluster.status(now).commit >= stuck)
    });
    let refusals = (1..=3).filter(|id| *id != leader).map(|id| cluster.status(id).refusals);
    assert!(refusals.into_iter().all(|codes| codes.contains_key("unacceptable")), "both had refused it");
    cluster.heal_and_check().unwrap();
    assert!(cluster.nodes.iter().all(|node| node.ledger == cluster.nodes[0].ledger));
}

#[test]
fn leadership_is_handed_over() {
    let mut cluster = calm(3);
    let (leader, next) = (cluster.leader().unwrap(), follower(&cluster));
    assert_eq!(cluster.core(next).transfer_leader(RaftId(leader)), Err(TransferError::NotLeader));
    assert_eq!(cluster.core(leader).transfer_leader(RaftId(9)), Err(TransferError::NotVoter(RaftId(9))));
    cluster.core(leader).transfer_leader(RaftId(next)).unwrap();
    assert_eq!(cluster.core(leader).propose(Bytes::from_static(b"x")), Err(ProposeError::Transferring));
    cluster.until(10, |cluster| cluster.leader() == Some(next));
    assert_eq!(cluster.status(leader).leader, Some(RaftId(next)));
}

#[test]
fn an_isolated_leader_steps_down_and_an_isolated_follower_disturbs_nobody() {
    let mut cluster = calm(5);
    let leader = cluster.leader().unwrap();
    cluster.far.insert(RaftId(leader));
    cluster.until(60, |cluster| cluster.status(leader).role != Role::Leader);
    let isolated = cluster.core(leader).propose(Bytes::from_static(b"x"));
    assert!(matches!(isolated, Err(ProposeError::NotLeader { .. })));
    cluster.until(100, |cluster| cluster.leader().is_some_and(|now| now != leader));
    let (now, term) = (cluster.leader().unwrap(), cluster.status(cluster.leader().unwrap()).term);
    // Long alone, it asks in vain; its term stays, so its return deposes nobody.
    cluster.run(200).unwrap();
    cluster.far.clear();
    cluster.run(60).unwrap();
    assert_eq!((cluster.leader(), cluster.status(now).term), (Some(now), term));
    assert_eq!(cluster.status(leader).leader, Some(RaftId(now)));
}

#[test]
fn voters_that_lose_the_connection_to_their_leader_together_do_not_wait_for_its_heartbeats() {
    let steps_without_leader = |told: bool, seed: u64| {
        let mut cluster = calm_by(5, seed);
        let leader = cluster.leader().unwrap();
        cluster.far.insert(RaftId(leader));
        for other in (1..=5).filter(|id| told && *id != leader) {
            cluster.core(other).peer_lost(RaftId(leader));
        }
        let leads = |cluster: &Cluster, id: u64| cluster.status(id).role == Role::Leader;
        let mut steps = 0;
        while !(1..=5).any(|id| id != leader && leads(&cluster, id)) {
            cluster.run(1).unwrap();
            steps += 1;
            assert!(steps < 200, "nobody is elected");
        }
        steps
    };
    // Votes may be split either way, and then another wait is drawn: over many elections that weighs little.
    let sum = |told| (1..=20).map(|seed| steps_without_leader(told, seed)).sum::<u64>();
    let (told, untold) = (sum(true), sum(false));
    assert!(2 * told < untold, "{told} steps when told, {untold} when not");
}

#[test]
fn a_voter_that_alone_lost_the_connection_to_the_leader_disturbs_nobody() {
    let mut cluster = calm(5);
    let (leader, lonely) = (cluster.leader().unwrap(), follower(&cluster));
    let term = cluster.status(leader).term;
    for _ in 0..20 {
        cluster.core(lonely).peer_lost(RaftId(leader));
        cluster.run(3).unwrap();
        assert_eq!((cluster.leader(), cluster.status(leader).term), (Some(leader), term));
    }
    // Of another's connection it says nothing of the leader.
    let other = (1..=5).find(|id| ![leader, lonely].contains(id)).unwrap();
    cluster.core(lonely).peer_lost(RaftId(other));
    cluster.run(60).unwrap();
    assert_eq!((cluster.leader(), cluster.status(leader).term), (Some(leader), term));
}

#[test]
fn a_leader_whose_disk_is_stuck_steps_down() {
    let mut cluster = calm(3);
    let leader = cluster.leader().unwrap();
    let core = cluster.core(leader);
    core.propose(Bytes::from_static(b"never written")).unwrap();
    let _unwritten = core.effects().unwrap();
    for _ in 0..30 {
        core.tick().unwrap();
        let _unsent = core.effects().unwrap();
        if core.status().role != Role::Leader {
            return;
        }
    }
    panic!("it leads on");
}

#[test]
fn a_follower_behind_the_cut_holds_the_offer_until_its_ledger_has_the_block() {
    let mut cluster = calm(3);
    let (leader, late) = (cluster.leader().unwrap(), follower(&cluster));
    cluster.pulls = false;
    cluster.far.insert(RaftId(late));
    for number in 0..20u8 {
        let id = cluster.leader().unwrap();
        cluster.core(id).propose(Bytes::from(vec![number])).unwrap();
        cluster.run(1).unwrap();
    }
    let cut = cluster.status(leader).commit;
    let core = cluster.core(leader);
    assert!(matches!(core.compact(cut + 1, Bytes::new()), Err(CompactError::NotApplied { .. })));
    core.compact(cut, Bytes::from_static(b"height 20")).unwrap();
    assert_eq!(core.compact(cut, Bytes::new()), Err(CompactError::Done(cut)));
    cluster.run(3).unwrap();
    cluster.far.clear();
    cluster.run(100).unwrap();
    let before = cluster.status(late);
    assert!(before.commit < cut, "nothing was replaced by the message");
    assert!(cluster.status(leader).peers[&RaftId(late)].needs_snapshot);
    let applied = before.applied;
    assert_eq!(cluster.core(late).accept_snapshot(cut), Err(SnapshotError::LedgerBehind { applied }));
    assert_eq!(cluster.core(late).accept_snapshot(cut + 1), Err(SnapshotError::NotHeld { held: Some(cut) }));
    cluster.pulls = true;
    cluster.until(100, |cluster| cluster.status(late).snapshot == cut);
    cluster.core(leader).propose(Bytes::from_static(b"after")).unwrap();
    cluster.until(20, |cluster| cluster.status(late).commit > cut);
    cluster.heal_and_check().unwrap();
}

#[test]
fn reads_are_confirmed_by_a_quorum() {
    let mut cluster = calm(3);
    let (leader, other) = (cluster.leader().unwrap(), follower(&cluster));
    for id in [leader, other] {
        let commit = cluster.status(id).commit;
        cluster.core(id).read_index(b"question").unwrap();
        let read = cluster.core(id).effects().unwrap();
        assert!(read.read_states.is_empty(), "nobody was asked yet");
        cluster.reads.clear();
        cluster.send(RaftId(id), read.send);
        cluster.run(2).unwrap();
        assert_eq!(cluster.reads, [(RaftId(id), commit, b"question".to_vec())]);
    }
    // Alone it gets no answer.
    cluster.far.insert(RaftId(leader));
    cluster.core(leader).read_index(b"alone").unwrap();
    cluster.reads.clear();
    cluster.run(5).unwrap();
    assert!(cluster.reads.is_empty());
}

#[test]
fn proposals_are_bounded() {
    let mut cluster = calm(3);
    let (leader, other) = (cluster.leader().unwrap(), follower(&cluster));
    assert_eq!(cluster.core(leader).propose(Bytes::new()), Err(ProposeError::Empty));
    let large = Bytes::from(vec![0; galen_consensus::limits::ENTRY_BYTES_MAX + 1]);
    assert!(matches!(cluster.core(leader).propose(large), Err(ProposeError::TooLarge { .. })));
    let refused = cluster.core(other).propose(Bytes::from_static(b"x"));
    assert_eq!(refused, Err(ProposeError::NotLeader { leader: Some(RaftId(leader)) }));
    let large = Bytes::from(vec![0; 4 << 20]);
    let taken = (0..100).take_while(|_| cluster.core(leader).propose(large.clone()).is_ok()).count();
    assert_eq!(taken, 16, "64 MiB uncommitted");
    assert_eq!(cluster.core(leader).propose(large), Err(ProposeError::Full));
}

#[test]
fn the_group_changes_through_a_joint_configuration_and_ids_do_not_come_back() {
    let mut world = World::calm(3);
    world.learners = 1;
    let mut cluster = Cluster::new(world, 5);
    cluster.until(100, |cluster| cluster.leader().is_some());
    cluster.run(30).unwrap();
    let leader = cluster.leader().unwrap();
    let removed = RaftId(follower(&cluster));
    let change = MembershipChange {
        voters: [RaftId(4)].into(),
        removed: [removed].into(),
        context: Bytes::from_static(b"vote 7"),
        ..MembershipChange::default()
    };
    let stranger = MembershipChange { voters: [RaftId(9)].into(), ..MembershipChange::default() };
    let refused = cluster.core(leader).propose_conf_change(stranger);
    let committed = cluster.status(leader).commit;
    assert_eq!(refused, Err(MembershipChangeError::NotCaughtUp { node: RaftId(9), matched: 0, committed }));
    let nothing = cluster.core(leader).propose_conf_change(MembershipChange::default());
    assert_eq!(nothing, Err(MembershipChangeError::NoChange));
    cluster.core(leader).propose_conf_change(change.clone()).unwrap();
    assert_eq!(cluster.core(leader).propose_conf_change(change), Err(MembershipChangeError::Unfinished));
    cluster.until(50, |cluster| {
        let membership = cluster.status(leader).membership;
        !membership.is_joint() && membership.voters.contains(&RaftId(4)) && !membership.contains(removed)
    });
    cluster.run(30).unwrap();
    assert!(cluster.status(4).membership.is_retired(removed));
    let back = MembershipChange { learners: [removed].into(), ..MembershipChange::default() };
    let leader = cluster.leader().unwrap();
    let refused = cluster.core(leader).propose_conf_change(back);
    assert_eq!(refused, Err(MembershipChangeError::Membership(MembershipError::Retired(removed))));
    // What the log says outlives a restart, whatever the configuration file says.
    cluster.crash(4);
    cluster.start(3).unwrap();
    let membership = cluster.status(4).membership;
    assert!(membership.voters.contains(&RaftId(4)) && membership.is_retired(removed));
}

#[test]
fn a_change_that_would_lose_the_quorum_is_refused() {
    let mut cluster = calm(5);
    let leader = cluster.leader().unwrap();
    let down: Vec<u64> = (1..=5).filter(|id| *id != leader).take(2).collect();
    for id in &down {
        cluster.far.insert(RaftId(*id));
    }
    cluster.run(30).unwrap();
    let leader = cluster.leader().unwrap();
    // Of the remaining three voters only one would be heard.
    let removed = (1..=5).filter(|id| *id != leader && !down.contains(id)).map(RaftId).collect();
    let change = MembershipChange { removed, ..MembershipChange::default() };
    let refused = cluster.core(leader).propose_conf_change(change);
    assert_eq!(refused, Err(MembershipChangeError::WouldLoseQuorum { active: 1, voters: 3 }));
}

#[test]
fn a_stopped_core_takes_nothing_more() {
    let mut cluster = calm(3);
    let core = cluster.core(1);
    core.stop("the disk is full");
    assert!(core.tick().is_err() && core.effects().is_err() && core.applied(9).is_err());
    let message = core.propose(Bytes::from_static(b"x")).unwrap_err().to_string();
    assert!(message.contains("the disk is full"), "{message}");
}

#[test]
fn a_ledger_ahead_of_the_log_is_not_handed_entries_again_and_one_behind_is_refused() {
    let mut cluster = calm(3);
    for _ in 0..10 {
        let leader = cluster.leader().unwrap();
        cluster.core(leader).propose(Bytes::from_static(b"entry")).unwrap();
        cluster.run(1).unwrap();
    }
    cluster.run(3).unwrap();
    let id = follower(&cluster);
    let position = usize::try_from(id).unwrap() - 1;
    // The harness panics on an entry that does not follow its ledger.
    cluster.crash(id);
    let longest = cluster.nodes.iter().map(|node| node.ledger.clone()).max_by_key(Vec::len).unwrap();
    cluster.nodes[position].ledger = longest;
    cluster.start(position).unwrap();
    cluster.heal_and_check().unwrap();

    let meta = galen_consensus::SnapshotMeta {
        index: 50,
        term: 1,
        membership: galen_consensus::MembershipAt { index: 0, membership: cluster.membership() },
        context: Bytes::new(),
    };
    let recovered = Recovered { snapshot: Some(meta), ..Recovered::default() };
    let config = CoreConfig::new(RaftId(1), cluster.membership(), 1);
    let error = RaftCore::new(config, recovered, 49).err().unwrap();
    assert_eq!(error.code(), "consensus-ledger-behind");
}

/// Written on, new entries would take the places of blocks, and no receipt would come back for them.
#[test]
fn the_only_voter_does_not_start_on_a_log_that_lost_its_end() {
    let start = |voters: u64, applied: u64| {
        let membership = Membership::new((1..=voters).map(RaftId), []);
        let entry = |index| Entry { index, term: 1, kind: EntryKind::Data, data: Bytes::from_static(b"entry") };
        let recovered = Recovered {
            entries: (1..=3).map(entry).collect(),
            hard_state: HardState { term: 1, vote: Some(RaftId(1)), commit: 2 },
            memberships: vec![MembershipAt { index: 0, membership: membership.clone() }],
            ..Recovered::default()
        };
        RaftCore::new(CoreConfig::new(RaftId(1), membership, 1), recovered, applied).map(|_| ())
    };
    assert_eq!(start(1, 3), Ok(()));
    let error = start(1, 5).unwrap_err();
    assert_eq!((error.code(), &error), ("consensus-log-behind", &ConfigError::LogBehind { last: 3, applied: 5 }));
    // Among several the ledger may have come further by blocks of the others.
    assert_eq!(start(3, 5), Ok(()));
}

/// The core and the log live on threads of their own.
#[test]
fn the_parts_may_move_to_other_threads() {
    fn moves<T: Send + 'static>() {}
    moves::<RaftCore>();
    moves::<galen_consensus::Effects>();
    moves::<galen_consensus::Log<galen_consensus::vfs::RealVfs>>();
}

/// Five voters of whom the first, the leader, is gone. Entry 2 was committed by the first three, and the third has it no
/// more: its disk was set back. `asked` says whose logs' ends the third knows.
fn after_a_disk_was_set_back(asked: &[u64]) -> BTreeMap<u64, RaftCore> {
    let membership = Membership::new((1..=5).map(RaftId), []);
    let entry = |index| Entry { index, term: 1, kind: EntryKind::Data, data: Bytes::from_static(b"entry") };
    let start = |id: u64, last: u64| {
        let recovered = Recovered {
            entries: (1..=last).map(entry).collect(),
            hard_state: HardState { term: 1, vote: Some(RaftId(1)), commit: 1 },
            memberships: vec![MembershipAt { index: 0, membership: membership.clone() }],
            ..Recovered::default()
        };
        RaftCore::new(CoreConfig::new(RaftId(id), membership.clone(), 7), recovered, 1).unwrap()
    };
    let mut cores: BTreeMap<u64, RaftCore> =
        [(2, 2), (3, 1), (4, 1), (5, 1)].map(|(id, last)| (id, start(id, last))).into();
    let log_end = asked.iter().map(|id| cores[id].log_end()).max().unwrap_or_default();
    let term = asked.iter().map(|id| cores[id].status().term).max().unwrap_or_default();
    cores.get_mut(&3).unwrap().set_vote_floor(VoteFloor { log_end, term });
    cores
}

/// Delivers what cores write and send until they are silent; the second hears and says nothing while it is away.
fn settle(cores: &mut BTreeMap<u64, RaftCore>, second_is_away: bool) {
    loop {
        let mut sent = Vec::new();
        for (id, core) in cores.iter_mut() {
            let effects = core.effects().unwrap();
            if let Some(last) = effects.persist.last() {
                core.persisted(last.token).unwrap();
                sent.extend(core.effects().unwrap().send.into_iter().map(|message| (*id, message)));
            }
            sent.extend(effects.send.into_iter().map(|message| (*id, message)));
        }
        if sent.is_empty() {
            return;
        }
        for (from, message) in sent {
            let away = second_is_away && (from == 2 || message.to.0 == 2);
            if let Some(core) = cores.get_mut(&message.to.0).filter(|_| !away) {
                let _refused = core.message(RaftId(from), message.bytes);
            }
        }
    }
}

fn leads(cores: &BTreeMap<u64, RaftCore>, id: u64) -> bool {
    cores[&id].status().role == Role::Leader
}

#[test]
fn a_disk_that_was_set_back_elects_nobody_who_lacks_what_it_had_promised() {
    // What would happen else: two that never had the entry, and the one that lost it, are a majority.
    let mut unaware = after_a_disk_was_set_back(&[]);
    unaware.get_mut(&4).unwrap().campaign().unwrap();
    settle(&mut unaware, true);
    assert!(leads(&unaware, 4));

    let mut cores = after_a_disk_was_set_back(&[2, 4, 5]);
    assert!(cores[&3].is_below_vote_floor());
    for candidate in [4, 3] {
        cores.get_mut(&candidate).unwrap().campaign().unwrap();
        settle(&mut cores, true);
        assert!(!leads(&cores, candidate), "node {candidate} leads without what was committed");
    }
    assert!(cores[&3].status().refusals.contains_key("below-vote-floor"));
    // With the one that has the entry they go on, and the floor is behind.
    cores.get_mut(&2).unwrap().campaign().unwrap();
    settle(&mut cores, false);
    assert!(leads(&cores, 2));
    assert_eq!(cores[&2].membership().voters.len(), 5);
    let status = cores[&3].status();
    assert!(status.last >= 2 && !cores[&3].is_below_vote_floor(), "{status:?}");
}

/// The first of three voters leads and was cut off; the second led after it, and committed an entry with the third, whose disk
/// was set back to before that. What the second knows keeps the third from acknowledging another entry to the first.
#[test]
fn a_disk_that_was_set_back_acknowledges_nothing_to_a_leader_of_an_earlier_term() {
    let membership = Membership::new((1..=3).map(RaftId), []);
    let start = || {
        (1..=3)
            .map(|id| {
                (
                    id,
                    RaftCore::new(CoreConfig::new(RaftId(id), membership.clone(), 7), Recovered::default(), 0).unwrap(),
                )
            })
            .collect::<BTreeMap<u64, RaftCore>>()
    };
    for floor in [VoteFloor::default(), VoteFloor { log_end: LogEnd { term: 2, index: 2 }, term: 2 }] {
        let mut cores = start();
        cores.get_mut(&1).unwrap().campaign().unwrap();
        settle(&mut cores, true);
        assert!(leads(&cores, 1), "two of three are enough");
        let (term, commit) = (cores[&1].status().term, cores[&1].status().commit);
        assert_eq!((term, cores[&3].status().term), (1, 1));
        cores.get_mut(&3).unwrap().set_vote_floor(floor);
        cores.get_mut(&1).unwrap().propose(Bytes::from_static(b"another entry")).unwrap();
        settle(&mut cores, true);
        let went_on = cores[&1].status().commit > commit;
        assert_eq!(went_on, floor == VoteFloor::default(), "{floor:?}: {:?}", cores[&1].status());
        if !went_on {
            assert!(!leads(&cores, 1), "it hears that there is a later term");
            assert_eq!(cores[&3].status().term, 2);
        }
    }
}

/// A liar among four voters pushed the terms of the two that ran, a step at a time. The third was away meanwhile: it believes
/// the two, and not the liar alone.
#[test]
fn one_that_was_away_follows_terms_far_ahead_that_more_claim_than_may_lie() {
    const FAR: u64 = 5 << 20;
    let membership = Membership::new((1..=4).map(RaftId), []);
    let start = |id: u64, term: u64| {
        let recovered = Recovered {
            entries: vec![Entry { index: 1, term: 1, kind: EntryKind::Data, data: Bytes::from_static(b"entry") }],
            hard_state: HardState { term, vote: None, commit: 1 },
            memberships: vec![MembershipAt { index: 0, membership: membership.clone() }],
            ..Recovered::default()
        };
        RaftCore::new(CoreConfig::new(RaftId(id), membership.clone(), id), recovered, 1).unwrap()
    };
    let mut cores: BTreeMap<u64, RaftCore> =
        [(1, FAR), (2, FAR), (3, 1)].map(|(id, term)| (id, start(id, term))).into();
    // What the liar sends is a vote request of its own, at the end of all terms.
    let mut liar = start(4, 1 << 60);
    liar.campaign().unwrap();
    for _ in 0..3 {
        let asked = liar.effects().unwrap().send.into_iter().find(|message| message.to == RaftId(3));
        let Some(asked) = asked else { break };
        let refused = cores.get_mut(&3).unwrap().message(RaftId(4), asked.bytes);
        assert!(refused.is_err_and(|error| error.to_string().contains("too far ahead")));
        liar.campaign().unwrap();
    }
    assert_eq!(cores[&3].status().refusals.get("term-ahead").copied().unwrap_or(0).min(1), 1);
    for candidate in [1, 2] {
        assert_eq!(cores[&3].status().term, 1, "one more claims it, beside the liar none");
        cores.get_mut(&candidate).unwrap().campaign().unwrap();
        settle(&mut cores, false);
    }
    cores.get_mut(&1).unwrap().campaign().unwrap();
    settle(&mut cores, false);
    assert!(cores.values().any(|core| core.status().role == Role::Leader), "nobody leads");
    let term = cores[&3].status().term;
    assert!((FAR..FAR + 100).contains(&term), "{term}");
}
