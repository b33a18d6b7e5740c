//! The orderer alone and in threes, its disk at once durable.

use bytes::Bytes;
use galen_chain::clocks::{with_clock, without_clock};
use galen_chain::limits::BATCHES_UNEXECUTED_MAX;
use galen_chain::orderer::{BatchLimits, CutPoint, parse_snapshot_context};
use galen_chain::signatures::{VerifiedCache, VerifiedTransaction};
use galen_chain::{Group, OrderedBatch, Orderer, OrdererConfig, OrdererEffects, limits};
use galen_consensus::{CoreConfig, Membership, MessageError, RaftId, Recovered, Refusal, Role};
use galen_types::{Batch, DecodedTransaction, Encoding, Hash, Timestamp, TransactionId};

use super::support::{Clients, FOUNDED, genesis, key, voter_name};

fn orderer(id: u64, voters: u64) -> Orderer {
    let mut core = CoreConfig::new(RaftId(id), Membership::new((1..=voters).map(RaftId), []), id);
    core.log_bytes_max = 1 << 20;
    let config = OrdererConfig {
        core,
        node: voter_name(id as usize - 1),
        batch_limits: BatchLimits { transactions: 3, bytes: 1 << 20 },
        compact_entries: 4,
        compact_bytes: 1 << 20,
    };
    let ids = (1..=voters).map(|id| (RaftId(id), voter_name(id as usize - 1))).collect();
    let known = Group { ids, ..Group::default() };
    Orderer::new(config, Recovered::default(), 0, &known, FOUNDED).unwrap()
}

/// Effects until there are none more, with every write durable at once.
fn effects(orderer: &mut Orderer) -> OrdererEffects {
    let mut all = OrdererEffects::default();
    loop {
        let effects = orderer.effects().unwrap();
        let token = effects.persist.last().map(|persist| persist.token);
        all.send.extend(effects.send);
        all.ordered.extend(effects.ordered);
        all.expired.extend(effects.expired);
        all.forward = effects.forward.or(all.forward);
        match token {
            Some(token) => orderer.persisted(token).unwrap(),
            None => return all,
        }
    }
}

fn leader_alone() -> Orderer {
    let mut orderer = orderer(1, 1);
    let mut ordered = Vec::new();
    for _ in 0..40 {
        orderer.tick(FOUNDED).unwrap();
        ordered.extend(effects(&mut orderer).ordered);
    }
    assert_eq!(orderer.role().role, Role::Leader);
    // The entry by which it opens its term.
    assert_eq!(ordered.len(), 1);
    orderer.applied(1, 0, FOUNDED, &[]).unwrap();
    orderer
}

fn some(count: usize) -> Vec<VerifiedTransaction> {
    let mut clients = Clients::new(&genesis(1));
    let transactions = (0..count).map(|_| clients.next("harlem", FOUNDED.plus_ms(60_000)));
    let key = Some(key("admin@harlem").public_key());
    let admitted = VerifiedCache::default().admit(transactions.map(|transaction| (transaction, key)).collect());
    admitted.into_iter().map(Option::unwrap).collect()
}

fn submit(orderer: &mut Orderer, count: usize) -> Vec<TransactionId> {
    let transactions = some(count);
    let ids = transactions.iter().map(|transaction| transaction.decoded().id).collect();
    transactions.into_iter().for_each(|transaction| assert_eq!(orderer.submit(transaction), Ok(true)));
    ids
}

fn contents(batch: &OrderedBatch) -> Vec<TransactionId> {
    let batch = Batch::decode(&batch.bytes, 1 << 20).unwrap();
    let id = |bytes: Vec<u8>| DecodedTransaction::decode(bytes, 1 << 20).unwrap().id;
    batch.transactions.into_iter().map(id).collect()
}

#[test]
fn batches_are_bounded_and_change_with_the_chains_limits() {
    let mut leader = leader_alone();
    let ids = submit(&mut leader, 10);
    let mut ordered = Vec::new();
    let mut sizes = Vec::new();
    while ordered.len() < ids.len() {
        let batches = effects(&mut leader).ordered;
        assert!(!batches.is_empty() && batches.len() <= BATCHES_UNEXECUTED_MAX, "ordering must not outrun execution");
        for batch in &batches {
            let contents = contents(batch);
            sizes.push(contents.len());
            leader.applied(batch.index, 0, FOUNDED, &contents).unwrap();
            ordered.extend(contents);
        }
    }
    assert_eq!(sizes, [3, 3, 3, 1]);
    assert_eq!(ordered, ids, "each once, in order");
    leader.set_batch_limits(BatchLimits { transactions: 100, bytes: 600 });
    let size = some(1)[0].decoded().bytes.len();
    let transactions = some(14).into_iter().skip(10);
    transactions.for_each(|transaction| assert_eq!(leader.submit(transaction), Ok(true)));
    let sizes: Vec<_> = effects(&mut leader).ordered.iter().map(|batch| contents(batch).len()).collect();
    assert!(sizes.iter().all(|count| count * size <= 600) && sizes.iter().sum::<usize>() == 4, "{sizes:?}");
}

#[test]
fn what_a_block_had_no_room_for_is_proposed_again_and_what_is_settled_is_not() {
    let mut leader = leader_alone();
    let ids = submit(&mut leader, 3);
    let first = effects(&mut leader).ordered;
    assert_eq!(contents(&first[0]), ids);
    assert!(effects(&mut leader).ordered.is_empty(), "it is not proposed twice while it is on its way");
    leader.applied(first[0].index, 0, FOUNDED, &ids[..2]).unwrap();
    let second = effects(&mut leader).ordered;
    assert_eq!(contents(&second[0]), ids[2..]);
    leader.applied(second[0].index, 0, FOUNDED, &ids[2..]).unwrap();
    assert!(effects(&mut leader).ordered.is_empty() && leader.mempool_len() == 0);
}

#[test]
fn ordering_does_not_outrun_execution() {
    let mut leader = leader_alone();
    submit(&mut leader, 60);
    assert_eq!(effects(&mut leader).ordered.len(), limits::BATCHES_UNEXECUTED_MAX);
    leader.applied(4, 0, FOUNDED, &[]).unwrap();
    let more = effects(&mut leader).ordered.len();
    assert!((3..3 + limits::BATCHES_IN_FLIGHT_MAX).contains(&more), "as many as were executed: {more}");
}

/// Orders what is queued and has it executed, each batch as a block or as none; the last height and whether there was more.
fn order(leader: &mut Orderer, height: &mut u64, makes_blocks: bool) -> bool {
    let ordered = effects(leader).ordered;
    for batch in &ordered {
        *height += u64::from(makes_blocks);
        leader.applied(batch.index, *height, FOUNDED, &contents(batch)).unwrap();
    }
    !ordered.is_empty()
}

#[test]
fn who_is_far_ahead_of_certification_proposes_slowly_but_goes_on() {
    let certified = |leader: &mut Orderer, height: u64| {
        leader.may_cut(CutPoint { index: height + 1, height, header: Hash::ZERO }).unwrap();
    };
    let mut leader = leader_alone();
    leader.set_batch_limits(BatchLimits { transactions: 1, bytes: 1 << 20 });
    submit(&mut leader, 200);
    let mut height = 0;
    assert!(order(&mut leader, &mut height, true));
    certified(&mut leader, height);
    let first = height;
    while order(&mut leader, &mut height, true) {}
    let blocks = height - first;
    let free = limits::BLOCKS_UNCERTIFIED_MAX + limits::BATCHES_UNEXECUTED_MAX as u64;
    assert!((limits::BLOCKS_UNCERTIFIED_MAX..=free).contains(&blocks), "{blocks} without a certificate");

    let behind = height;
    for _ in 1..limits::UNCERTIFIED_PAUSE_TICKS {
        leader.tick(FOUNDED).unwrap();
        assert!(!order(&mut leader, &mut height, true));
    }
    leader.tick(FOUNDED).unwrap();
    assert!(order(&mut leader, &mut height, true), "ordering does not depend on certification");
    assert!(!order(&mut leader, &mut height, true), "and waits again");
    certified(&mut leader, behind);
    assert!(order(&mut leader, &mut height, true), "certified: it goes on at once");

    // Nothing more is certified: that is not mended by waiting.
    while order(&mut leader, &mut height, true) {}
    for _ in 0..limits::UNCERTIFIED_PATIENCE_TICKS {
        leader.tick(FOUNDED).unwrap();
    }
    let stands = height;
    while order(&mut leader, &mut height, true) {}
    assert_eq!(leader.mempool_len(), 0, "all {} that waited are ordered", height - stands);
}

#[test]
fn batches_that_make_no_block_need_no_certificate() {
    let mut leader = leader_alone();
    leader.set_batch_limits(BatchLimits { transactions: 1, bytes: 1 << 20 });
    submit(&mut leader, 60);
    leader.may_cut(CutPoint { index: 1, height: 1, header: Hash::ZERO }).unwrap();
    let mut height = 1;
    while order(&mut leader, &mut height, false) {}
    assert_eq!((leader.mempool_len(), height), (0, 1));
}

#[test]
fn clients_are_told_of_what_expired() {
    let mut leader = leader_alone();
    leader.set_batch_limits(BatchLimits { transactions: 1, bytes: 1 << 20 });
    let ids = submit(&mut leader, 20);
    let ordered = effects(&mut leader).ordered.len();
    assert_eq!(ordered, limits::BATCHES_UNEXECUTED_MAX);
    leader.applied(2, 0, FOUNDED.plus_ms(60_001), &ids[..1]).unwrap();
    let expired: std::collections::BTreeSet<_> = effects(&mut leader).expired.into_iter().collect();
    assert_eq!(expired, ids[1..].iter().copied().collect());
    assert_eq!(leader.mempool_len(), 0);
}

#[test]
fn the_log_is_cut_in_halves_and_offers_name_their_block() {
    let mut leader = leader_alone();
    for number in 0..6_u64 {
        let index = number + 2;
        let transaction = some(number as usize + 1).pop().unwrap();
        let id = transaction.decoded().id;
        assert_eq!(leader.submit(transaction), Ok(true));
        assert_eq!(effects(&mut leader).ordered[0].index, index);
        leader.applied(index, 0, FOUNDED, &[id]).unwrap();
        leader.may_cut(CutPoint { index, height: number + 1, header: Hash([number as u8; 32]) }).unwrap();
        let cut = leader.effects().unwrap().persist.into_iter().find_map(|persist| persist.snapshot);
        let cut = cut.map(|change| (change.meta().index, parse_snapshot_context(&change.meta().context).unwrap()));
        // The fourth point fills it, half goes; two more fill it again.
        let expected = match number {
            3 => Some((3, (2, Hash([1; 32])))),
            5 => Some((5, (4, Hash([3; 32])))),
            _ => None,
        };
        assert_eq!(cut, expected, "after {index}");
    }
    assert_eq!(parse_snapshot_context(&[0; 39]), None);
}

/// A group above what a configuration holds is filled as far as it goes, and a full configuration still lets nodes go to
/// make room: it never stands still.
#[test]
fn a_full_configuration_still_follows_the_group() {
    let mut leader = leader_alone();
    let group = |height, learners: std::ops::Range<u64>| {
        let entry = |id: u64| (RaftId(id), format!("node-{id}.harlem").parse().unwrap());
        let learners: std::collections::BTreeMap<_, _> = learners.map(entry).collect();
        let voters: std::collections::BTreeMap<_, _> = [(RaftId(1), voter_name(0))].into();
        let ids = voters.iter().chain(&learners).map(|(id, name)| (*id, name.clone())).collect();
        Group { height, voters, learners, ids, ..Group::default() }
    };
    let follow = |leader: &mut Orderer, group: Group| {
        leader.set_group(group);
        for _ in 0..40 {
            leader.tick(FOUNDED).unwrap();
            for batch in effects(leader).ordered {
                leader.applied(batch.index, 0, FOUNDED, &[]).unwrap();
            }
        }
    };
    let known =
        |leader: &Orderer, ids: std::ops::Range<u64>| ids.filter(|id| leader.knowledge(RaftId(*id)).is_some()).count();
    follow(&mut leader, group(1, 2..72));
    assert_eq!(known(&leader, 2..72), 63);
    let blocked = leader.membership_progress().blocked_by.unwrap();
    assert!(blocked.contains("7 nodes wait"), "{blocked}");
    follow(&mut leader, group(2, 80..128));
    assert_eq!((known(&leader, 2..72), known(&leader, 80..128)), (0, 48));
    assert!(!leader.membership_progress().pending);
}

/// Three orderers; delivers everything until nothing is on its way.
fn exchange(orderers: &mut [Orderer], now: Timestamp) -> Vec<(usize, RaftId, usize)> {
    let mut forwards = Vec::new();
    for orderer in orderers.iter_mut() {
        orderer.tick(now).unwrap();
    }
    loop {
        let mut frames = Vec::new();
        for (place, orderer) in orderers.iter_mut().enumerate() {
            let effects = effects(orderer);
            frames.extend(effects.send.into_iter().map(|message| (place, message)));
            forwards.extend(effects.forward.map(|(leader, transactions)| (place, leader, transactions.len())));
        }
        if frames.is_empty() {
            return forwards;
        }
        for (from, message) in frames {
            let outcome = orderers[message.to.0 as usize - 1].message(RaftId(from as u64 + 1), message.bytes);
            assert!(!matches!(outcome, Err(MessageError::Stopped(_))));
        }
    }
}

fn three() -> (Vec<Orderer>, usize) {
    let mut orderers: Vec<_> = (1..=3).map(|id| orderer(id, 3)).collect();
    for _ in 0..100 {
        exchange(&mut orderers, FOUNDED);
        if let Some(leader) = orderers.iter().position(|orderer| orderer.role().role == Role::Leader) {
            return (orderers, leader);
        }
    }
    panic!("nobody leads");
}

#[test]
fn a_follower_sends_to_the_leader_and_again_after_a_while() {
    let (mut orderers, leader) = three();
    let follower = (leader + 1) % 3;
    exchange(&mut orderers, FOUNDED);
    let ids = submit(&mut orderers[follower], 5);
    let sent = exchange(&mut orderers, FOUNDED);
    assert_eq!(sent, [(follower, RaftId(leader as u64 + 1), 5)]);
    let mut ticks = 0;
    let again = loop {
        ticks += 1;
        let sent = exchange(&mut orderers, FOUNDED);
        if !sent.is_empty() {
            break sent;
        }
    };
    assert_eq!((ticks, again), (limits::FORWARD_AGAIN_TICKS, sent));
    orderers[follower].applied(1, 0, FOUNDED, &ids).unwrap();
    assert_eq!(orderers[follower].mempool_len(), 0);
}

/// A frame as its sender would send it with another clock.
fn told(frame: Bytes, clock: Timestamp) -> Bytes {
    with_clock(without_clock(frame).unwrap().0, clock)
}

#[test]
fn a_batch_from_the_future_is_not_acknowledged_until_it_is_not() {
    let (mut orderers, leader) = three();
    let follower = (leader + 1) % 3;
    let ahead = FOUNDED.plus_ms(limits::PROPOSED_AHEAD_MS_MAX + 1);
    let (from, to) = (RaftId(leader as u64 + 1), RaftId(follower as u64 + 1));
    // The others say that it is as late with them.
    for _ in 0..20 {
        orderers[leader].tick(FOUNDED).unwrap();
        for message in effects(&mut orderers[leader]).send {
            let place = message.to.0 as usize - 1;
            orderers[place].message(from, message.bytes).unwrap();
            for answer in effects(&mut orderers[place]).send {
                orderers[leader].message(message.to, told(answer.bytes, ahead)).unwrap();
            }
        }
    }
    orderers[leader].set_now(ahead);
    submit(&mut orderers[leader], 1);
    let frames = effects(&mut orderers[leader]).send;
    let frame = frames.into_iter().find(|message| message.to == to).unwrap().bytes;
    let refused = orderers[follower].message(from, frame.clone());
    assert!(matches!(refused, Err(MessageError::Refused(Refusal::Unacceptable(_)))), "{refused:?}");
    assert!(effects(&mut orderers[follower]).send.is_empty());
    orderers[follower].set_now(FOUNDED.plus_ms(1));
    assert_eq!(orderers[follower].message(from, frame), Ok(()));
    assert!(!effects(&mut orderers[follower]).send.is_empty());
}

#[test]
fn a_leader_whose_clock_is_ahead_orders_by_the_clocks_of_the_others() {
    let (mut orderers, leader) = three();
    exchange(&mut orderers, FOUNDED);
    let day = FOUNDED.plus_ms(86_400_000);
    orderers[leader].set_now(day);
    submit(&mut orderers[leader], 1);
    let follower = (leader + 1) % 3;
    let from = RaftId(leader as u64 + 1);
    let frames = effects(&mut orderers[leader]).send;
    let frame = frames.into_iter().find(|message| message.to.0 as usize == follower + 1).unwrap().bytes;
    assert_eq!(without_clock(frame.clone()).unwrap().1, day, "it says what its clock says");
    assert_eq!(orderers[follower].message(from, frame), Ok(()));
    assert!(!effects(&mut orderers[follower]).send.is_empty(), "acknowledged");
}
