//! Linearizable reads: when a read may be served, and that it is, on links that are slow, cut or forget.

use std::collections::BTreeSet;

use galen_chain::limits::{READ_AGAIN_TICKS, READS_WAITING_MAX};
use galen_chain::orderer::BatchLimits;
use galen_chain::{Group, Orderer, OrdererConfig, ReadTicket, ReadsFull};
use galen_consensus::{CoreConfig, Membership, Outgoing, RaftId, Recovered, Role};

use super::support::{FOUNDED, voter_name};

/// Three orderers whose disks are at once durable.
struct Trio {
    orderers: Vec<Orderer>,
    /// What is on its way: when it arrives, from whom, what.
    frames: Vec<(u64, usize, Outgoing)>,
    now: u64,
    /// Turns that a frame takes.
    delay: u64,
    /// Neither run nor hear anything.
    paused: BTreeSet<usize>,
    /// Do not execute what is committed.
    holding: BTreeSet<usize>,
    /// The last index that each was given to execute.
    committed: [u64; 3],
    /// What each has executed.
    applied: [u64; 3],
    served: Vec<(usize, ReadTicket)>,
    /// What each one's disk holds; nothing here overwrites.
    disks: [Recovered; 3],
    sent: usize,
}

fn orderer(id: u64, seed: u64, disk: Recovered, applied: u64) -> Orderer {
    let mut core = CoreConfig::new(RaftId(id), Membership::new((1..=3).map(RaftId), []), seed);
    core.election_tick = 40;
    let config = OrdererConfig {
        core,
        node: voter_name(id as usize - 1),
        batch_limits: BatchLimits { transactions: 3, bytes: 1 << 20 },
        compact_entries: 100,
        compact_bytes: 1 << 20,
    };
    let ids = (1..=3).map(|id| (RaftId(id), voter_name(id as usize - 1))).collect();
    Orderer::new(config, disk, applied, &Group { ids, ..Group::default() }, FOUNDED).unwrap()
}

impl Trio {
    fn led() -> (Self, usize) {
        let orderers = (1..=3).map(|id| orderer(id, id, Recovered::default(), 0)).collect();
        let mut trio = Self {
            orderers,
            frames: Vec::new(),
            now: 0,
            delay: 0,
            paused: BTreeSet::new(),
            holding: BTreeSet::new(),
            committed: [0; 3],
            applied: [0; 3],
            served: Vec::new(),
            disks: Default::default(),
            sent: 0,
        };
        trio.until(500, |trio| trio.leader().is_some() && trio.applied == [1; 3]);
        let leader = trio.leader().unwrap();
        (trio, leader)
    }

    fn leader(&self) -> Option<usize> {
        let leads = |place: &usize| self.orderers[*place].role().role == Role::Leader && !self.paused.contains(place);
        (0..3).find(leads)
    }

    fn collect(&mut self, place: usize) {
        loop {
            let effects = self.orderers[place].effects().unwrap();
            self.sent += effects.send.len();
            self.frames.extend(effects.send.into_iter().map(|frame| (self.now + self.delay, place, frame)));
            self.committed[place] = effects.ordered.last().map_or(self.committed[place], |batch| batch.index);
            self.served.extend(effects.reads.into_iter().map(|ticket| (place, ticket)));
            let token = effects.persist.last().map(|persist| persist.token);
            for persist in effects.persist {
                let disk = &mut self.disks[place];
                disk.entries.extend(persist.entries);
                disk.memberships.extend(persist.membership);
                disk.hard_state = persist.hard_state.unwrap_or(disk.hard_state);
            }
            let applies = !self.holding.contains(&place) && self.applied[place] < self.committed[place];
            if applies {
                self.applied[place] = self.committed[place];
                self.orderers[place].applied(self.applied[place], 0, FOUNDED, &[]).unwrap();
            }
            match token {
                Some(token) => self.orderers[place].persisted(token).unwrap(),
                None if !applies => return,
                None => {}
            }
        }
    }

    fn deliver(&mut self) {
        loop {
            let (due, waiting) = std::mem::take(&mut self.frames).into_iter().partition(|(due, ..)| *due <= self.now);
            self.frames = waiting;
            let due: Vec<(u64, usize, Outgoing)> = due;
            if due.is_empty() {
                return;
            }
            for (_, from, frame) in due {
                let to = frame.to.0 as usize - 1;
                if self.paused.contains(&to) || self.paused.contains(&from) {
                    continue;
                }
                // Refused or not: the sender tries again.
                let _ = self.orderers[to].message(RaftId(from as u64 + 1), frame.bytes);
                self.collect(to);
            }
        }
    }

    fn turn(&mut self) {
        self.now += 1;
        for place in (0..3).filter(|place| !self.paused.contains(place)).collect::<Vec<_>>() {
            self.orderers[place].tick(FOUNDED).unwrap();
            self.collect(place);
        }
        self.deliver();
    }

    #[track_caller]
    fn until(&mut self, turns: usize, done: impl Fn(&Self) -> bool) {
        for _ in 0..turns {
            if done(self) {
                return;
            }
            self.turn();
        }
        assert!(done(self), "not within {turns} turns");
    }

    fn read(&mut self, place: usize) -> ReadTicket {
        let ticket = self.orderers[place].read().unwrap();
        self.collect(place);
        ticket
    }

    fn is_served(&self, place: usize, ticket: ReadTicket) -> bool {
        self.served.contains(&(place, ticket))
    }
}

#[test]
fn a_read_is_served_everywhere_once_a_quorum_has_confirmed_it() {
    let (mut trio, leader) = Trio::led();
    for place in [leader, (leader + 1) % 3, (leader + 2) % 3] {
        let ticket = trio.read(place);
        assert!(!trio.is_served(place, ticket), "nobody was asked yet");
        trio.until(3, |trio| trio.is_served(place, ticket));
    }
    // One voter is no quorum.
    trio.paused.extend([(leader + 1) % 3, (leader + 2) % 3]);
    let ticket = trio.read(leader);
    (0..300).for_each(|_| trio.turn());
    assert!(!trio.is_served(leader, ticket));
    trio.paused.clear();
    trio.until(300, |trio| trio.is_served(leader, ticket));
}

#[test]
fn reads_that_come_together_share_their_rounds() {
    let (mut trio, leader) = Trio::led();
    let follower = (leader + 1) % 3;
    trio.turn();
    trio.sent = 0;
    trio.turn();
    let idle = trio.sent;
    let tickets: Vec<_> = (0..1_000).map(|_| trio.orderers[follower].read().unwrap()).collect();
    trio.sent = 0;
    trio.collect(follower);
    trio.until(3, |trio| tickets.iter().all(|ticket| trio.is_served(follower, *ticket)));
    assert!(trio.sent <= 3 * idle + 10, "{} frames for 1000 reads, {idle} in an idle turn", trio.sent);
}

#[test]
fn a_read_waits_until_the_ledger_holds_what_was_confirmed() {
    let (mut trio, leader) = Trio::led();
    let follower = (leader + 1) % 3;
    trio.holding.insert(follower);
    // The next leader's entry is committed, and the follower has not executed it.
    trio.orderers[leader].transfer_leader(RaftId(((leader + 2) % 3) as u64 + 1)).unwrap();
    trio.until(200, |trio| trio.committed[follower] == 2 && trio.applied[leader] == 2);
    let (there, here) = (trio.read(leader), trio.read(follower));
    trio.until(3, |trio| trio.is_served(leader, there));
    (0..20).for_each(|_| trio.turn());
    assert!(!trio.is_served(follower, here), "its ledger is behind");
    trio.holding.clear();
    trio.until(3, |trio| trio.is_served(follower, here));
}

#[test]
fn a_leader_that_slept_serves_nothing_from_before_its_sleep() {
    let (mut trio, leader) = Trio::led();
    trio.paused.insert(leader);
    // Another leads by now, and has committed its first entry.
    trio.until(300, |trio| trio.leader().is_some_and(|now| trio.applied[now] >= 2));
    trio.paused.clear();
    assert_eq!(trio.orderers[leader].role().role, Role::Leader, "it does not know yet");
    let ticket = trio.read(leader);
    trio.until(300, |trio| {
        let served = trio.is_served(leader, ticket);
        assert!(!served || trio.applied[leader] >= 2, "a stale answer");
        served
    });
}

#[test]
fn a_round_that_takes_longer_than_the_next_takes_to_begin_still_counts() {
    let (mut trio, leader) = Trio::led();
    trio.delay = READ_AGAIN_TICKS + 1;
    (0..50).for_each(|_| trio.turn());
    let leader = trio.leader().unwrap_or(leader);
    let follower = (leader + 1) % 3;
    let (there, here) = (trio.read(leader), trio.read(follower));
    trio.until(2 * trio.delay as usize + 1, |trio| trio.is_served(leader, there));
    trio.until(2 * trio.delay as usize + 1, |trio| trio.is_served(follower, here));
}

#[test]
fn a_lost_round_is_begun_anew_and_who_gave_up_is_forgotten() {
    let (mut trio, leader) = Trio::led();
    let follower = (leader + 1) % 3;
    let (given_up, ticket) = (trio.orderers[follower].read().unwrap(), trio.read(follower));
    trio.orderers[follower].forget_read(given_up);
    trio.frames.clear();
    trio.until(READ_AGAIN_TICKS as usize + 3, |trio| trio.is_served(follower, ticket));
    assert!(!trio.is_served(follower, given_up));
}

#[test]
fn an_answer_to_the_process_before_this_one_confirms_nothing() {
    let (mut trio, leader) = Trio::led();
    let follower = (leader + 1) % 3;
    trio.read(follower);
    // What the leader says to it stays on its way; the third voter makes the quorum.
    let mut late = Vec::new();
    while !trio.frames.is_empty() {
        for (_, from, frame) in std::mem::take(&mut trio.frames) {
            if (from, frame.to.0 as usize) == (leader, follower + 1) {
                late.push(frame.bytes);
            } else {
                let _ = trio.orderers[frame.to.0 as usize - 1].message(RaftId(from as u64 + 1), frame.bytes);
            }
        }
        [leader, (leader + 2) % 3].into_iter().for_each(|place| trio.collect(place));
    }
    let answers_now = |orderer: &mut Orderer| {
        for bytes in &late {
            let _ = orderer.message(RaftId(leader as u64 + 1), bytes.clone());
        }
        orderer.effects().unwrap().reads
    };
    assert_eq!(answers_now(&mut trio.orderers[follower]).len(), 1, "it was this process that asked");
    // Its next process asks its own first question.
    let disk = trio.disks[follower].clone();
    trio.orderers[follower] = orderer(follower as u64 + 1, 77, disk, trio.applied[follower]);
    trio.frames.clear();
    trio.until(200, |trio| trio.orderers[follower].role().leader.is_some());
    trio.read(follower);
    trio.frames.clear();
    assert_eq!(answers_now(&mut trio.orderers[follower]), []);
}

#[test]
fn reads_that_wait_are_bounded() {
    let mut alone = orderer(1, 1, Recovered::default(), 0);
    let tickets: Vec<_> = (0..READS_WAITING_MAX).map(|_| alone.read().unwrap()).collect();
    assert_eq!(alone.read(), Err(ReadsFull));
    alone.forget_read(tickets[7]);
    assert!(alone.read().is_ok());
}
