//! Hostile messages against live nodes: each is refused by its rule, and the node goes on.

use bytes::Bytes;
use proptest::prelude::*;
use raft::eraftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, Entry, EntryType, Message, MessageType,
    Snapshot, SnapshotMetadata,
};

use crate::core::{CoreConfig, MessageError, RaftCore, Role};
use crate::limits::ENTRY_BYTES_MAX;
use crate::log::Recovered;
use crate::membership::{Membership, MembershipError};
use crate::types::{MembershipAt, RaftId, SnapshotMeta};
use crate::{DecodeError, Refusal, wire};

/// Three voters and a learner in memory, where every write is durable at once.
struct Group {
    cores: Vec<RaftCore>,
}

impl Group {
    /// Node 1 leads, with entries up to index 4.
    fn led_by_one() -> Self {
        let membership = Membership::new([1, 2, 3].map(RaftId), [RaftId(4)]);
        let cores = (1..=4)
            .map(|id| {
                let config = CoreConfig::new(RaftId(id), membership.clone(), id);
                RaftCore::new(config, Recovered::default(), 0).unwrap()
            })
            .collect();
        let mut group = Self { cores };
        group.core(1).campaign().unwrap();
        group.settle();
        for number in 0..3u8 {
            group.core(1).propose(Bytes::from(vec![number; 10])).unwrap();
            group.settle();
        }
        assert_eq!(group.status(1).role, Role::Leader);
        assert_eq!(group.status(2).last, 4);
        group
    }

    fn core(&mut self, id: usize) -> &mut RaftCore {
        &mut self.cores[id - 1]
    }

    fn status(&self, id: usize) -> crate::Status {
        self.cores[id - 1].status()
    }

    fn settle(&mut self) {
        loop {
            let mut sent = Vec::new();
            for core in &mut self.cores {
                let effects = core.effects().unwrap();
                if let Some(last) = effects.persist.last() {
                    core.persisted(last.token).unwrap();
                }
                let id = core.status().id;
                sent.extend(effects.send.into_iter().map(|out| (id, out)));
                sent.extend(core.effects().unwrap().send.into_iter().map(|out| (id, out)));
                let commit = core.status().commit;
                core.applied(commit).unwrap();
            }
            if sent.is_empty() {
                return;
            }
            for (from, out) in sent {
                let receiver = usize::try_from(out.to.0).unwrap();
                let _refused = self.core(receiver).message(from, out.bytes);
            }
        }
    }

    /// The refusal of a message that says what it is from and to; the node must be as before and go on working.
    fn refused(&mut self, node: usize, from: u64, message: &Message) -> Refusal {
        let before = self.status(node);
        let refusal = match self.core(node).message(RaftId(from), wire::encode(message)) {
            Err(MessageError::Refused(refusal)) => refusal,
            other => panic!("not refused: {other:?}, {message:?}"),
        };
        let after = self.status(node);
        assert_eq!(
            (after.term, after.commit, after.last, after.role),
            (before.term, before.commit, before.last, before.role)
        );
        assert_eq!(after.membership, before.membership);
        assert_eq!(after.refusals.get(refusal.code()), Some(&(before.refusals.get(refusal.code()).unwrap_or(&0) + 1)));
        assert!(!refusal.to_string().is_empty());
        self.works();
        refusal
    }

    fn works(&mut self) {
        let leader = (1..=3).find(|id| self.status(*id).role == Role::Leader).expect("a leader");
        let (index, _) = self.core(leader).propose(Bytes::from_static(b"alive")).unwrap();
        self.settle();
        assert!((1..=4).all(|id| self.status(id).commit >= index || self.status(id).last < index));
        assert_eq!(self.status(leader).commit, index);
    }
}

/// A message from `from` to `to` in the group's term.
fn message(msg_type: MessageType, from: u64, to: u64) -> Message {
    Message { msg_type, from, to, term: 1, ..Message::default() }
}

fn entry(index: u64, term: u64) -> Entry {
    Entry { index, term, data: Bytes::from_static(b"data"), ..Entry::default() }
}

fn forged_snapshot(index: u64, membership: &Membership) -> Message {
    let meta = SnapshotMeta {
        index,
        term: 1,
        membership: MembershipAt { index: 0, membership: membership.clone() },
        context: Bytes::new(),
    };
    Message {
        snapshot: Snapshot {
            data: wire::encode_snapshot_data(&meta),
            metadata: SnapshotMetadata { conf_state: membership.to_raft(), index, term: 1 },
        },
        ..message(MessageType::MsgSnapshot, 1, 2)
    }
}

// The table of RELIABILITY F1: each of these kills or takes over a node of raft 0.7.0.

#[test]
fn a_read_without_an_entry_is_refused() {
    let mut group = Group::led_by_one();
    let read = Message { term: 0, ..message(MessageType::MsgReadIndex, 2, 1) };
    assert_eq!(group.refused(1, 2, &read), Refusal::EntryCount(0));
    let stranger = Message { from: 99, ..read };
    assert_eq!(group.refused(1, 99, &stranger), Refusal::Stranger(RaftId(99)));
}

#[test]
fn proposals_from_peers_are_refused() {
    let mut group = Group::led_by_one();
    let empty = Message { term: 0, ..message(MessageType::MsgPropose, 2, 1) };
    assert_eq!(group.refused(1, 2, &empty), Refusal::Type(2));
    assert_eq!(group.refused(1, 99, &Message { from: 99, ..empty.clone() }), Refusal::Stranger(RaftId(99)));
    let change = ConfChangeV2 {
        changes: vec![ConfChangeSingle { node_id: 1, change_type: ConfChangeType::RemoveNode }],
        ..ConfChangeV2::default()
    };
    let data = change.encode().unwrap().into();
    let removal = Entry { entry_type: EntryType::EntryConfChangeV2, data, ..Entry::default() };
    assert_eq!(group.refused(1, 2, &Message { entries: vec![removal], ..empty }), Refusal::Type(2));
}

#[test]
fn a_heartbeat_that_commits_beyond_the_log_is_refused() {
    let mut group = Group::led_by_one();
    let last = group.status(2).last;
    let beyond = Message { commit: last + 1, ..message(MessageType::MsgHeartbeat, 1, 2) };
    assert_eq!(group.refused(2, 1, &beyond), Refusal::CommitBeyondLog { commit: last + 1, last });
    let last = group.status(2).last;
    let far = Message { commit: 1 << 40, ..message(MessageType::MsgHeartbeat, 1, 2) };
    assert_eq!(group.refused(2, 1, &far), Refusal::CommitBeyondLog { commit: 1 << 40, last });
    assert_eq!(group.refused(2, 99, &Message { from: 99, ..far }), Refusal::Stranger(RaftId(99)));
}

#[test]
fn a_term_near_its_end_or_far_ahead_is_refused() {
    let mut group = Group::led_by_one();
    let heartbeat = message(MessageType::MsgHeartbeat, 1, 2);
    assert_eq!(group.refused(2, 1, &Message { term: u64::MAX, ..heartbeat.clone() }), Refusal::Number);
    let far = Message { term: 1 + (1 << 20) + 1, ..heartbeat };
    assert!(matches!(group.refused(2, 1, &far), Refusal::TermAhead { .. }));
    let zero = Message { term: 0, ..message(MessageType::MsgTimeoutNow, 1, 2) };
    assert_eq!(group.refused(2, 1, &zero), Refusal::Term(0));
}

#[test]
fn a_snapshot_with_an_impossible_configuration_is_refused() {
    let mut group = Group::led_by_one();
    let both = Membership::new([1, 2, 3].map(RaftId), [RaftId(2)]);
    let refusal = group.refused(2, 1, &forged_snapshot(100, &both));
    assert_eq!(refusal, Refusal::SnapshotMembership(MembershipError::TwoRoles(RaftId(2))));
    let none = Membership::new([], [RaftId(2)]);
    let refusal = group.refused(2, 1, &forged_snapshot(100, &none));
    assert_eq!(refusal, Refusal::SnapshotMembership(MembershipError::NoVoter));
    let without = Membership { highest_id: RaftId(4), ..Membership::new([RaftId(1)], []) };
    let refusal = group.refused(2, 1, &forged_snapshot(100, &without));
    assert_eq!(refusal, Refusal::SnapshotMembership(MembershipError::Retired(RaftId(2))));
    let forgetful = Membership::new([1, 2, 3].map(RaftId), []);
    let refusal = group.refused(2, 1, &forged_snapshot(100, &forgetful));
    assert_eq!(refusal, Refusal::SnapshotMembership(MembershipError::HighestId(RaftId(4))));
}

#[test]
fn a_forged_snapshot_changes_nothing_until_the_ledger_has_its_block() {
    let mut group = Group::led_by_one();
    let membership = group.status(2).membership;
    let before = group.status(2);
    let forged = forged_snapshot(100, &membership);
    group.core(2).message(RaftId(1), wire::encode(&forged)).unwrap();
    let offer = group.core(2).effects().unwrap().snapshot_offer.unwrap();
    assert_eq!((offer.from, offer.index, offer.term), (RaftId(1), 100, 1));
    let after = group.status(2);
    assert_eq!((after.commit, after.last), (before.commit, before.last));
    let applied = before.applied;
    assert_eq!(group.core(2).accept_snapshot(100), Err(crate::SnapshotError::LedgerBehind { applied }));
    group.core(2).reject_snapshot();
    assert_eq!(group.core(2).accept_snapshot(100), Err(crate::SnapshotError::NotHeld { held: None }));
    group.works();
}

#[test]
fn a_snapshot_that_contradicts_the_committed_log_is_refused() {
    let mut group = Group::led_by_one();
    let (index, membership) = (group.status(2).commit, group.status(2).membership);
    let mut forged = forged_snapshot(index, &membership);
    forged.term = 3;
    forged.snapshot.metadata.term = 3;
    assert_eq!(group.refused(2, 1, &forged), Refusal::SnapshotConflict(index));
}

// The other rules.

#[test]
fn the_sender_is_who_the_connection_says() {
    let mut group = Group::led_by_one();
    let heartbeat = message(MessageType::MsgHeartbeat, 1, 2);
    let wrong = Refusal::WrongSender { claimed: RaftId(1), authenticated: RaftId(3) };
    assert_eq!(group.refused(2, 3, &heartbeat), wrong);
    assert_eq!(group.refused(3, 1, &heartbeat), Refusal::WrongReceiver(RaftId(2)));
    assert_eq!(group.refused(2, 2, &message(MessageType::MsgHeartbeat, 2, 2)), Refusal::FromSelf);
}

#[test]
fn local_events_from_peers_are_refused() {
    let mut group = Group::led_by_one();
    let local = [
        MessageType::MsgHup,
        MessageType::MsgBeat,
        MessageType::MsgUnreachable,
        MessageType::MsgSnapStatus,
        MessageType::MsgCheckQuorum,
        MessageType::MsgTransferLeader,
    ];
    for msg_type in local {
        assert_eq!(group.refused(1, 2, &message(msg_type, 2, 1)), Refusal::Type(msg_type as u8));
    }
}

#[test]
fn entries_must_follow_each_other_within_the_message_term() {
    let mut group = Group::led_by_one();
    let append = |entries| Message { index: 4, log_term: 1, entries, ..message(MessageType::MsgAppend, 1, 2) };
    assert_eq!(group.refused(2, 1, &append(vec![entry(6, 1)])), Refusal::EntryOrder(6));
    assert_eq!(group.refused(2, 1, &append(vec![entry(5, 1), entry(5, 1)])), Refusal::EntryOrder(5));
    assert_eq!(group.refused(2, 1, &append(vec![entry(5, 2)])), Refusal::EntryTerm(5));
    assert_eq!(group.refused(2, 1, &append(vec![entry(5, 0)])), Refusal::EntryTerm(5));
    let log_term = Message { log_term: 2, ..append(vec![]) };
    assert_eq!(group.refused(2, 1, &log_term), Refusal::EntryTerm(4));
    let gap = Message { index: 9, log_term: 0, ..append(vec![entry(10, 1)]) };
    assert_eq!(group.refused(2, 1, &gap), Refusal::EntryTerm(9));
    let change = Entry { entry_type: EntryType::EntryConfChangeV2, ..entry(5, 1) };
    assert_eq!(group.refused(2, 1, &append(vec![change])), Refusal::EntryChange(5));
    let extra = Message { entries: vec![entry(5, 1)], ..message(MessageType::MsgHeartbeat, 1, 2) };
    assert_eq!(group.refused(2, 1, &extra), Refusal::EntryCount(1));
}

#[test]
fn an_entry_above_the_limit_does_not_decode() {
    let mut group = Group::led_by_one();
    let large = Entry { data: vec![0; ENTRY_BYTES_MAX + 1].into(), ..entry(5, 1) };
    let append = Message { index: 4, log_term: 1, entries: vec![large], ..message(MessageType::MsgAppend, 1, 2) };
    assert_eq!(group.refused(2, 1, &append), Refusal::Malformed(DecodeError::TooLong));
}

#[test]
fn only_the_leader_leads() {
    let mut group = Group::led_by_one();
    let second = Refusal::SecondLeader { claimed: RaftId(3), leader: RaftId(1) };
    assert_eq!(group.refused(2, 3, &message(MessageType::MsgHeartbeat, 3, 2)), second);
    assert_eq!(group.refused(1, 3, &message(MessageType::MsgAppend, 3, 1)), second);
    let learner = Refusal::SecondLeader { claimed: RaftId(4), leader: RaftId(1) };
    assert_eq!(group.refused(2, 4, &message(MessageType::MsgHeartbeat, 4, 2)), learner);
    assert_eq!(group.refused(2, 3, &message(MessageType::MsgTimeoutNow, 3, 2)), Refusal::NotLeader(RaftId(3)));
    let ahead = Message { term: 2, ..message(MessageType::MsgTimeoutNow, 3, 2) };
    assert_eq!(group.refused(2, 3, &ahead), Refusal::NotLeader(RaftId(3)));
}

#[test]
fn an_acknowledgement_beyond_the_leader_log_is_refused() {
    let mut group = Group::led_by_one();
    let last = group.status(1).last;
    let beyond = Message { index: last + 1, ..message(MessageType::MsgAppendResponse, 2, 1) };
    assert_eq!(group.refused(1, 2, &beyond), Refusal::AcknowledgedBeyondLog { index: last + 1, last });
    let hint = Message { reject: true, reject_hint: u64::MAX, ..message(MessageType::MsgAppendResponse, 2, 1) };
    assert_eq!(group.refused(1, 2, &hint), Refusal::Number);
}

#[test]
fn reads_carry_the_id_of_the_node_that_asks() {
    let mut group = Group::led_by_one();
    let read = |data: &[u8]| Message {
        term: 0,
        entries: vec![Entry { data: Bytes::copy_from_slice(data), ..Entry::default() }],
        ..message(MessageType::MsgReadIndex, 2, 1)
    };
    assert_eq!(group.refused(1, 2, &read(b"short")), Refusal::Context);
    assert_eq!(group.refused(1, 2, &read(&3u64.to_le_bytes())), Refusal::Context);
    let own = read(&2u64.to_le_bytes());
    assert_eq!(group.refused(3, 2, &Message { to: 3, ..own.clone() }), Refusal::NotLeading);
    let context = Message { context: Bytes::from_static(b"x"), ..message(MessageType::MsgAppend, 1, 2) };
    assert_eq!(group.refused(2, 1, &context), Refusal::Context);
}

#[test]
fn votes_count_only_for_a_request_that_was_sent() {
    let mut group = Group::led_by_one();
    // Node 2 asks itself into a pre-candidacy; its requests have not left yet.
    group.core(2).campaign().unwrap();
    assert_eq!(group.status(2).role, Role::PreCandidate);
    let early = Message { term: 2, ..message(MessageType::MsgRequestPreVoteResponse, 3, 2) };
    let refusal = match group.core(2).message(RaftId(3), wire::encode(&early)) {
        Err(MessageError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    };
    assert_eq!(refusal, Refusal::VoteNotAsked);
    assert!(!refusal.is_suspicious());
    group.settle();
    group.works();
}

#[test]
fn more_reads_than_the_limit_are_refused() {
    let mut group = Group::led_by_one();
    for number in 0..crate::limits::READS_PENDING_MAX as u64 {
        group.core(1).read_index(&number.to_le_bytes()).unwrap();
    }
    assert_eq!(group.core(1).read_index(b"one more"), Err(crate::ReadIndexError::Full));
    let mut data = 2u64.to_le_bytes().to_vec();
    data.push(1);
    let read = Message {
        term: 0,
        entries: vec![Entry { data: data.into(), ..Entry::default() }],
        ..message(MessageType::MsgReadIndex, 2, 1)
    };
    assert_eq!(group.refused(1, 2, &read), Refusal::TooManyReads);
}

/// Messages that a lying member could send: all types, numbers near the interesting ones.
fn plausible() -> impl Strategy<Value = Message> {
    let number = prop_oneof![0u64..8, Just(1u64 << 20), Just(1 << 40), Just(1 << 62), Just(u64::MAX)];
    let numbers = proptest::array::uniform7(number.clone());
    let entries = proptest::collection::vec((0u64..8, 0u64..4, any::<bool>(), 0usize..3), 0..4);
    let context = prop_oneof![
        Just(Bytes::new()),
        Just(Bytes::from_static(raft::CAMPAIGN_TRANSFER)),
        Just(Bytes::copy_from_slice(&2u64.to_le_bytes()))
    ];
    (0usize..19, any::<bool>(), numbers, entries, context, 1u64..6).prop_map(
        |(kind, reject, [term, log_term, index, commit, commit_term, hint, snapshot], entries, context, voters)| {
            let entries: Vec<Entry> = entries
                .into_iter()
                .enumerate()
                .map(|(position, (offset, term, change, size))| Entry {
                    entry_type: if change { EntryType::EntryConfChangeV2 } else { EntryType::EntryNormal },
                    // Mostly contiguous, or nothing would pass.
                    index: if offset < 6 { index.wrapping_add(1 + position as u64) } else { offset },
                    term,
                    data: if change {
                        let node_id = offset;
                        let kinds =
                            [ConfChangeType::RemoveNode, ConfChangeType::AddLearnerNode, ConfChangeType::AddNode];
                        let changes = vec![ConfChangeSingle { node_id, change_type: kinds[size] }];
                        let membership = Membership::new([1, 2, 3].map(RaftId), [RaftId(4)]);
                        let context = wire::encode_change_context(&MembershipAt { index: 0, membership }, b"");
                        let transition = [ConfChangeTransition::Explicit, ConfChangeTransition::Auto][size / 2];
                        ConfChangeV2 { transition, changes, context }.encode().unwrap().into()
                    } else {
                        vec![2; size * 8].into()
                    },
                    ..Entry::default()
                })
                .collect();
            let membership = Membership::new((1..=voters).map(RaftId), []);
            let types = wire_types();
            let mut message = Message {
                msg_type: types[kind],
                reject,
                term,
                log_term,
                index,
                commit,
                commit_term,
                reject_hint: hint,
                context,
                entries,
                ..Message::default()
            };
            if message.msg_type == MessageType::MsgSnapshot {
                let forged = forged_snapshot(snapshot, &membership);
                message.snapshot = forged.snapshot;
            }
            message
        },
    )
}

fn wire_types() -> Vec<MessageType> {
    (0u8..19)
        .map(|number| {
            let mut bytes = wire::encode(&Message::default()).to_vec();
            bytes[1] = number;
            if number == MessageType::MsgSnapshot as u8 {
                return MessageType::MsgSnapshot;
            }
            wire::decode(bytes.into()).unwrap().msg_type
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever members send, no node stops: raft's own panics would show as `Stopped`.
    #[test]
    fn no_message_of_a_member_stops_a_node(
        messages in proptest::collection::vec((1usize..4, 1u64..5, plausible(), any::<bool>()), 1..40),
    ) {
        let mut group = Group::led_by_one();
        for (node, from, mut message, tick) in messages {
            (message.from, message.to) = (from, node as u64);
            let result = group.core(node).message(RaftId(from), wire::encode(&message));
            prop_assert!(!matches!(result, Err(MessageError::Stopped(_))), "{:?} {:?}", result, message);
            if tick {
                for core in &mut group.cores {
                    core.tick().unwrap();
                }
                group.settle();
            }
        }
        for _ in 0..30 {
            for core in &mut group.cores {
                core.tick().unwrap();
            }
            group.settle();
        }
    }

    #[test]
    fn no_bytes_stop_a_node(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut group = Group::led_by_one();
        let result = group.core(2).message(RaftId(1), bytes.into());
        prop_assert!(!matches!(result, Err(MessageError::Stopped(_))));
        prop_assert!(group.core(2).tick().is_ok());
    }
}
