//! A whole cluster in one thread: voters and an observer, a network that loses, doubles and reorders, clients, crashes. One
//! seed decides everything but the bytes of ledgers and signatures.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use galen_chain::verify::{VerifyReport, verify_folder};
use galen_consensus::vfs::Crash;
use galen_types::{Genesis, Hash, HeaderSignature, Timestamp, TransactionId};

use super::node::{Frame, Node, Seen, To};
use super::support::{Clients, FOUNDED, MEMBERS, Random, folder, genesis, key};

/// Milliseconds of a step, which is a tick.
const STEP_MS: u64 = 50;

/// What goes wrong, in per mille of steps or frames.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World {
    pub(crate) voters: usize,
    pub(crate) loss: usize,
    pub(crate) double: usize,
    /// Steps that a frame may take.
    pub(crate) delay: usize,
    /// Steps that a write may take.
    pub(crate) write_delay: usize,
    pub(crate) crash: usize,
    /// Transactions submitted.
    pub(crate) load: usize,
    /// Of these, sent a second time to some node.
    pub(crate) again: usize,
    /// Batches executed late, and signed late.
    pub(crate) lag: usize,
    pub(crate) compact_entries: usize,
    /// Whether a crash also loses what the ledger has not synced.
    pub(crate) power_loss: bool,
}

impl World {
    pub(crate) fn calm(voters: usize) -> Self {
        Self {
            voters,
            loss: 0,
            double: 0,
            delay: 0,
            write_delay: 0,
            crash: 0,
            load: 500,
            again: 0,
            lag: 0,
            compact_entries: 1_000,
            power_loss: false,
        }
    }

    /// Rates drawn per seed: extremes find more than averages.
    pub(crate) fn swarm(seed: u64) -> Self {
        let mut random = Random(seed);
        let mut pick = |choices: [usize; 3]| choices[random.below(3)];
        Self {
            voters: pick([3, 4, 4]),
            loss: pick([0, 30, 200]),
            double: pick([0, 50, 200]),
            delay: pick([0, 2, 6]),
            write_delay: pick([0, 1, 4]),
            crash: pick([0, 5, 15]),
            load: pick([100, 500, 1000]),
            again: pick([0, 100, 400]),
            lag: pick([0, 200, 700]),
            compact_entries: pick([4, 20, 1_000]),
            power_loss: pick([0, 0, 1]) == 1,
        }
    }
}

pub(crate) struct Cluster {
    pub(crate) world: World,
    pub(crate) genesis: Arc<Genesis>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) clients: Clients,
    pub(crate) random: Random,
    pub(crate) step: u64,
    seed: u64,
    sequence: u64,
    network: BTreeMap<(u64, u64), (usize, usize, Frame)>,
    restart_at: BTreeMap<usize, u64>,
    /// Every transaction that clients made, with its bytes.
    pub(crate) submitted: BTreeMap<TransactionId, Vec<u8>>,
    /// Given to a node and not known to be on the chain: what the observer's node sends again.
    pub(crate) relayed: BTreeSet<TransactionId>,
    /// A voter that signs headers which nobody computed.
    pub(crate) evil: Option<usize>,
    /// Cut off from the others.
    pub(crate) isolated: BTreeSet<usize>,
    _folder: tempfile::TempDir,
}

impl Cluster {
    pub(crate) fn new(world: World, seed: u64) -> Self {
        let genesis = genesis(world.voters);
        let folder = folder();
        let nodes = (0..=world.voters).map(|place| {
            let mut node = Node::new(place, &genesis, folder.path(), world.compact_entries);
            node.durable_copy = world.power_loss.then(|| folder.path().join(format!("{}-durable", node.name)));
            node
        });
        let mut cluster = Self {
            world,
            nodes: nodes.collect(),
            clients: Clients::new(&genesis),
            genesis,
            random: Random(seed),
            step: 0,
            seed,
            sequence: 0,
            network: BTreeMap::new(),
            restart_at: BTreeMap::new(),
            submitted: BTreeMap::new(),
            relayed: BTreeSet::new(),
            evil: None,
            isolated: BTreeSet::new(),
            _folder: folder,
        };
        for place in 0..cluster.nodes.len() {
            cluster.start(place);
        }
        cluster
    }

    pub(crate) fn now(&self) -> Timestamp {
        FOUNDED.plus_ms(self.step * STEP_MS)
    }

    pub(crate) fn observer(&self) -> usize {
        self.world.voters
    }

    pub(crate) fn leader(&self) -> Option<usize> {
        let leaders = self.nodes.iter().filter(|node| node.leads());
        leaders.max_by_key(|node| node.orderer().unwrap().role().term).map(|node| node.place)
    }

    pub(crate) fn start(&mut self, place: usize) {
        self.restart_at.remove(&place);
        let now = self.now();
        self.nodes[place].start(self.seed, now);
    }

    pub(crate) fn crash(&mut self, place: usize) {
        let kind = match self.random.below(3) {
            0 => Crash::DropAll,
            1 => Crash::KeepAll,
            _ => Crash::Random(self.random.next()),
        };
        self.nodes[place].crash(kind);
    }

    pub(crate) fn seen(&self) -> Seen {
        let mut seen = Seen::default();
        for node in &self.nodes {
            seen += node.seen;
        }
        seen
    }

    /// A transaction of some member to some node that runs.
    pub(crate) fn submit(&mut self) {
        let member = MEMBERS[self.random.below(self.world.voters)];
        // Most live for a minute, some for a moment.
        let lifetime = if self.random.chance(100) { 300 } else { 60_000 };
        let valid_until = self.now().plus_ms(lifetime);
        let transaction = self.clients.next(member, valid_until);
        let place = self.random.below(self.nodes.len());
        self.submitted.insert(transaction.id, transaction.bytes.clone());
        self.give(place, transaction.id);
        if self.random.chance(self.world.again) {
            let place = self.random.below(self.nodes.len());
            self.give(place, transaction.id);
        }
    }

    /// A replay of a transaction that was submitted some time ago.
    fn replay(&mut self) {
        let Some(id) = self.submitted.keys().nth(self.random.below(self.submitted.len())).copied() else { return };
        let place = self.random.below(self.nodes.len());
        self.give(place, id);
    }

    pub(crate) fn give(&mut self, place: usize, id: TransactionId) {
        let bytes = self.submitted[&id].clone();
        if place == self.observer() {
            self.relayed.insert(id);
            let voter = self.random.below(self.world.voters);
            self.send(place, voter, Frame::Transactions(vec![bytes.into()]));
        } else if self.nodes[place].is_running() {
            self.nodes[place].submit(vec![bytes]);
        }
    }

    pub(crate) fn step(&mut self) {
        self.step += 1;
        self.faults();
        if self.random.chance(self.world.load) {
            self.submit();
        }
        if self.random.chance(self.world.again / 4) {
            self.replay();
        }
        let now = self.now();
        for place in 0..self.nodes.len() {
            if !self.nodes[place].is_running() {
                continue;
            }
            self.nodes[place].tick(now);
            self.turn(place);
            let peer = (place + 1 + self.random.below(self.nodes.len() - 1)) % self.nodes.len();
            self.nodes[place].catch_up(self.step, peer);
            self.turn(place);
        }
        self.deliver();
    }

    fn faults(&mut self) {
        for place in 0..self.nodes.len() {
            if self.restart_at.get(&place).is_some_and(|at| *at <= self.step) {
                self.start(place);
            } else if self.nodes[place].is_running() && self.random.chance(self.world.crash) {
                self.crash(place);
                self.restart_at.insert(place, self.step + 1 + self.random.below(60) as u64);
            }
        }
        // The relay of the observer's node sends again what it does not see on its chain.
        if self.step.is_multiple_of(20) {
            let recorded = &self.nodes[self.observer()].receipts;
            let again: Vec<_> = self.relayed.iter().filter(|id| !recorded.contains_key(*id)).copied().collect();
            for id in again {
                self.give(self.observer(), id);
            }
        }
    }

    /// Lets a node do what follows from its inputs, and puts what it says on the network.
    fn turn(&mut self, place: usize) {
        let write_delay = self.random.below(self.world.write_delay + 1) as u64;
        self.nodes[place].carry_out(self.step, write_delay);
        if !self.random.chance(self.world.lag) {
            let batches = if self.world.lag > 0 { 1 + self.random.below(3) } else { usize::MAX };
            self.nodes[place].execute(batches);
            self.nodes[place].carry_out(self.step, write_delay);
        }
        if !self.random.chance(self.world.lag) {
            self.nodes[place].sign().unwrap();
            self.nodes[place].carry_out(self.step, write_delay);
        }
        for (to, frame) in std::mem::take(&mut self.nodes[place].out) {
            let frame = if self.evil == Some(place) { self.forge(place, frame) } else { frame };
            match to {
                To::Place(to) => self.send(place, to, frame),
                To::Everyone => {
                    for to in (0..self.nodes.len()).filter(|to| *to != place) {
                        self.send(place, to, frame.clone());
                    }
                }
            }
        }
    }

    /// What an evil voter says instead of what it computed.
    fn forge(&self, place: usize, frame: Frame) -> Frame {
        match frame {
            Frame::Signature(HeaderSignature { height, voter, .. }) => {
                let secret = key(&self.nodes[place].name.to_string());
                Frame::Signature(HeaderSignature::sign(&self.genesis.hash(), height, Hash([6; 32]), voter, &secret))
            }
            other => other,
        }
    }

    fn send(&mut self, from: usize, to: usize, frame: Frame) {
        let copies = if self.random.chance(self.world.double) { 2 } else { 1 };
        for _ in 0..copies {
            if self.random.chance(self.world.loss) {
                continue;
            }
            self.sequence += 1;
            let due = self.step + self.random.below(self.world.delay + 1) as u64;
            self.network.insert((due, self.sequence), (from, to, frame.clone()));
        }
    }

    fn deliver(&mut self) {
        for _ in 0..32 {
            let later = self.network.split_off(&(self.step + 1, 0));
            let due = std::mem::replace(&mut self.network, later);
            if due.is_empty() {
                return;
            }
            let mut touched = BTreeSet::new();
            for (from, to, frame) in due.into_values() {
                if self.isolated.contains(&from) || self.isolated.contains(&to) {
                    continue;
                }
                self.nodes[to].take(from, frame);
                touched.insert(to);
            }
            for place in touched {
                if self.nodes[place].is_running() {
                    self.turn(place);
                }
            }
        }
    }

    pub(crate) fn run(&mut self, steps: u64) {
        (0..steps).for_each(|_| self.step());
    }

    /// Steps until `done`; panics after `limit` steps.
    #[track_caller]
    pub(crate) fn until(&mut self, limit: u64, mut done: impl FnMut(&Self) -> bool) {
        for _ in 0..limit {
            if done(self) {
                return;
            }
            self.step();
        }
        assert!(done(self), "not reached in {limit} steps: {}", self.describe());
    }

    fn describe(&self) -> String {
        let line = |node: &Node| {
            let tip = node.executor().tip().height;
            let certified = node.executor().ledger().certified_height();
            let status = node.orderer().map(|orderer| orderer.status());
            format!("{}: tip {tip}, certified {certified}, waiting {}, {status:?}", node.name, node.waiting())
        };
        self.nodes.iter().filter(|node| node.is_running()).map(line).collect::<Vec<_>>().join("\n")
    }

    fn settled(&self) -> bool {
        let tip = self.nodes[0].executor().tip();
        let observer = &self.nodes[self.observer()];
        self.nodes.iter().all(|node| {
            let executor = node.executor();
            executor.tip() == tip && executor.ledger().certified_height() == tip.height && node.waiting() == 0
        }) && self.relayed.iter().all(|id| observer.receipts.contains_key(id) || self.is_over(id))
    }

    fn is_over(&self, id: &TransactionId) -> bool {
        let decoded = galen_types::DecodedTransaction::decode(self.submitted[id].clone(), 1 << 20).unwrap();
        decoded.body.valid_until < self.now()
    }

    /// Ends all faults and demands what must hold then.
    #[track_caller]
    pub(crate) fn heal_and_check(&mut self) {
        let calm = World { load: 0, compact_entries: self.world.compact_entries, ..World::calm(self.world.voters) };
        self.world = World { power_loss: self.world.power_loss, ..calm };
        self.isolated.clear();
        for place in 0..self.nodes.len() {
            if !self.nodes[place].is_running() {
                self.start(place);
            }
        }
        // A transaction after the faults is recorded: the cluster lives.
        self.until(1_500, |cluster| cluster.leader().is_some());
        let valid_until = self.now().plus_ms(600_000);
        let last = self.clients.next(MEMBERS[0], valid_until);
        self.submitted.insert(last.id, last.bytes.clone());
        self.give(1, last.id);
        self.until(1_500, |cluster| cluster.nodes.iter().all(|node| node.receipts.contains_key(&last.id)));
        self.until(1_500, Self::settled);
        self.check();
    }

    /// What must hold between all nodes.
    #[track_caller]
    pub(crate) fn check(&self) {
        let first = self.nodes[0].executor();
        let tip = first.tip().height;
        let view = first.ledger().view().unwrap();
        let mut places = BTreeMap::new();
        for height in 1..=tip {
            for (place, bytes) in view.block(height).unwrap().unwrap().transactions.into_iter().enumerate() {
                let id = galen_types::DecodedTransaction::decode(bytes, 1 << 20).unwrap().id;
                assert!(self.submitted.contains_key(&id), "nobody made {id}");
                assert_eq!(places.insert(id, (height, place)), None, "{id} stands twice");
            }
        }
        for node in &self.nodes {
            let ledger = node.executor().ledger();
            let other = ledger.view().unwrap();
            assert_eq!(ledger.state_root().unwrap(), first.ledger().state_root().unwrap());
            for height in 1..=tip {
                assert_eq!(other.header_hash(height).unwrap(), view.header_hash(height).unwrap(), "{}", node.name);
            }
            for (id, place) in &node.receipts {
                assert_eq!(places.get(id), Some(place), "{} told a client of {id}", node.name);
            }
            for (id, (height, place)) in &places {
                let location = other.location(id).unwrap().unwrap();
                assert_eq!((location.height, location.index as usize), (*height, *place));
            }
        }
    }

    /// Stops every node and verifies its folder; `execute` also executes every block again.
    pub(crate) fn verify_folders(&mut self, execute: bool) -> Vec<VerifyReport> {
        self.nodes.iter_mut().for_each(Node::stop);
        let verify = |node: &Node| verify(&node.folder, &self.genesis, execute);
        self.nodes.iter().map(verify).collect()
    }
}

pub(crate) fn verify(folder: &std::path::Path, genesis: &Genesis, execute: bool) -> VerifyReport {
    let scratch = super::support::folder();
    let scratch = scratch.path().join("scratch");
    verify_folder(folder, genesis, execute.then_some(scratch.as_path()), &mut |_| {}).unwrap()
}
