//! A whole cluster in one thread: voters, an observer, spare nodes, clients, and the network between them. One seed decides
//! everything but the bytes of ledgers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use galen_types::{Genesis, Parameters, Timestamp, TransactionId};

use crate::access::Access;
use crate::churn::Churn;
use crate::consortium::{Clients, FOUNDED, MEMBERS, Random, folder, genesis_of};
use crate::moments::Moments;
use crate::network::{Letter, Network};
use crate::node::{Frame, HomeCopy, Node, Seen, To};
use crate::oracle::Oracle;
use crate::reads::LinearizableReads;
use crate::world::World;

/// Milliseconds of a step, which is a tick.
pub(crate) const STEP_MS: u64 = 50;

/// Per mille of frames that take very long, where frames take their time.
const LONG_DELAYED: usize = 5;
/// Steps that these may take.
const LONG_DELAY_STEPS: usize = 200;

pub(crate) struct Cluster {
    pub(crate) world: World,
    pub(crate) genesis: Arc<Genesis>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) clients: Clients,
    pub(crate) random: Random,
    /// Of the network alone, so that another draw elsewhere does not shuffle it.
    network_random: Random,
    /// Of disks and execution.
    disk_random: Random,
    /// Of faults of ledgers.
    pub(crate) ledger_random: Random,
    pub(crate) step: u64,
    /// Milliseconds that passed at once while nothing could happen.
    pub(crate) passed_ms: u64,
    pub(crate) seed: u64,
    pub(crate) network: Network,
    pub(crate) oracle: Oracle,
    /// Faults injected, by kind.
    pub(crate) injected: BTreeMap<&'static str, u64>,
    /// Nodes that are gone, for good or until they are brought back.
    pub(crate) lost: BTreeSet<usize>,
    pub(crate) restart_at: BTreeMap<usize, u64>,
    /// Every transaction that clients made, with its bytes.
    pub(crate) submitted: BTreeMap<TransactionId, Vec<u8>>,
    /// Given to a node and not known to be on the chain: what the observer's node sends again.
    pub(crate) relayed: BTreeSet<TransactionId>,
    /// A voter that signs headers which nobody computed.
    pub(crate) evil: Option<usize>,
    pub(crate) churn: Churn,
    pub(crate) access: Access,
    /// Old copies of disks, by place.
    pub(crate) copies: BTreeMap<usize, HomeCopy>,
    /// Numbers whose disk was damaged, and the entry up to which it must hold the log again to count as whole.
    pub(crate) damaged: BTreeMap<galen_consensus::RaftId, u64>,
    pub(crate) moments: Moments,
    pub(crate) reads: LinearizableReads,
    /// Members or keys change, so that a transaction may wait for ever though it was signed by a key that counted.
    pub(crate) signers_change: bool,
    /// The furthest that each node's clock was ahead.
    skew_max: Vec<i64>,
    /// What was done to the nodes, for whoever has to understand a failure.
    pub(crate) story: Vec<String>,
    pub(crate) folder: tempfile::TempDir,
}

impl Cluster {
    pub(crate) fn new(world: World, seed: u64) -> Self {
        let parameters = Parameters { vote_threshold_percent: 0, voters_per_member_max: 3, ..Parameters::default() };
        let genesis = genesis_of(world.voters, world.spares, parameters);
        let folder = folder();
        let nodes = (0..=world.voters + world.spares).map(|place| {
            let mut node = Node::new(place, &genesis, folder.path(), world.compact_entries);
            node.snapshots = world.ledger.snapshots;
            node.durable_copy = world.power_loss.then(|| folder.path().join(format!("{}-durable", node.name)));
            node
        });
        let mut cluster = Self {
            world,
            signers_change: world.spares > 0 || world.access > 0,
            skew_max: vec![0; world.voters + world.spares + 1],
            nodes: nodes.collect(),
            clients: Clients::new(&genesis),
            oracle: Oracle::new(&genesis),
            genesis,
            random: Random(seed),
            network_random: Random(seed ^ 0x6e65_7477_6f72_6b00),
            disk_random: Random(seed ^ 0x6469_736b_7300_0000),
            ledger_random: Random(seed ^ 0x726f_7773_0000_0000),
            step: 0,
            passed_ms: 0,
            seed,
            network: Network::default(),
            injected: BTreeMap::new(),
            lost: BTreeSet::new(),
            restart_at: BTreeMap::new(),
            submitted: BTreeMap::new(),
            relayed: BTreeSet::new(),
            evil: world.liar.then_some(world.voters - 1),
            churn: Churn::default(),
            access: Access::default(),
            copies: BTreeMap::new(),
            damaged: BTreeMap::new(),
            moments: Moments::default(),
            reads: LinearizableReads::new(seed),
            story: Vec::new(),
            folder,
        };
        if let Some(forgery) = world.ledger.forgery {
            let liar = cluster.ledger_random.below(cluster.nodes.len());
            cluster.nodes[liar].forges = Some(forgery);
        }
        for place in 0..cluster.nodes.len() {
            cluster.start(place);
        }
        cluster
    }

    pub(crate) fn now(&self) -> Timestamp {
        FOUNDED.plus_ms(self.step * STEP_MS + self.passed_ms)
    }

    pub(crate) fn observer(&self) -> usize {
        self.world.voters
    }

    pub(crate) fn leader(&self) -> Option<usize> {
        let leaders = self.participants().filter(|node| node.leads());
        leaders.max_by_key(|node| node.orderer().unwrap().role().term).map(|node| node.place)
    }

    pub(crate) fn start(&mut self, place: usize) {
        self.restart_at.remove(&place);
        let now = self.now();
        self.nodes[place].start(self.seed, now, self.step);
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
        }
        if self.nodes[place].raft_id.is_none() {
            let voter = self.random.below(self.nodes.len());
            self.send(place, voter, Frame::Transactions(vec![bytes.into()]));
        } else if self.nodes[place].is_running() {
            self.nodes[place].submit(vec![bytes]);
        }
    }

    pub(crate) fn step(&mut self) {
        self.step += 1;
        self.inject_faults();
        self.allow_time();
        self.stand_for_disks();
        self.relay();
        self.churn();
        self.share();
        self.read();
        if self.random.chance(self.world.load) {
            self.submit();
        }
        if self.random.chance(self.world.again / 4) {
            self.replay();
        }
        let now = self.now();
        for place in 0..self.nodes.len() {
            if !self.acts(place) {
                continue;
            }
            self.nodes[place].tick(now, self.step);
            self.turn(place);
            let peer = (place + 1 + self.random.below(self.nodes.len() - 1)) % self.nodes.len();
            if self.nodes[place].is_running() {
                self.nodes[place].catch_up(self.step, peer);
                self.turn(place);
            }
        }
        self.deliver();
    }

    /// Tells the oracle how late a block may be now. Whoever acknowledges a batch judges its time by its own clock, so a
    /// majority's clocks allowed it, its proposer's among them.
    fn allow_time(&mut self) {
        for (place, node) in self.nodes.iter().enumerate() {
            self.skew_max[place] = self.skew_max[place].max(node.skew_ms);
        }
        let voters = self.world.voters;
        let mut ahead: Vec<i64> = match self.world.spares {
            0 => self.skew_max[..voters].to_vec(),
            _ => self.skew_max.clone(),
        };
        ahead.sort_unstable_by(|one, other| other.cmp(one));
        // Where voters change there are two at least, whichever they are, but after a recovery.
        let allowed = match self.world.spares {
            0 => ahead[voters / 2],
            _ if self.oracle.was_recovered() => ahead[0],
            _ => ahead[1],
        };
        let latest = self.now().0.saturating_add_signed(allowed) + galen_chain::limits::PROPOSED_AHEAD_MS_MAX;
        self.oracle.latest_time = latest;
    }

    /// Whether it runs and does not stand still.
    pub(crate) fn acts(&self, place: usize) -> bool {
        self.nodes[place].is_running() && self.nodes[place].paused_until <= self.step
    }

    /// The relay of the observer's node sends again what it does not see on its chain.
    fn relay(&mut self) {
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
        self.work(place);
        let out = std::mem::take(&mut self.nodes[place].out);
        self.check_promises(place, &out);
        if self.nodes[place].failed {
            self.check_stop(place);
            self.disk_failed(place);
        } else if self.nodes[place].is_running() {
            self.observe(place);
        }
        if self.nodes[place].must_restart {
            if let Some(why) = self.nodes[place].gave_up.take() {
                let name = &self.nodes[place].name;
                self.story.push(format!("step {}: {name} gives its number up: {why}", self.step));
            }
            let built = self.nodes[place].take_built();
            self.nodes[place].stop();
            if let Some(built) = built {
                self.install(place, &built);
            }
            self.start(place);
        }
        for (to, frame) in out {
            if self.disturb(place, to, &frame) {
                continue;
            }
            let frame = if self.evil == Some(place) { self.forge(place, frame) } else { frame };
            match to {
                To::Place(to) => self.send(place, to, frame),
                To::Number(number) => {
                    if let Some(to) = self.nodes.iter().position(|node| node.raft_id == Some(number)) {
                        self.send(place, to, frame);
                    }
                }
                To::Everyone => {
                    for to in (0..self.nodes.len()).filter(|to| *to != place) {
                        self.send(place, to, frame.clone());
                    }
                }
            }
        }
    }

    /// What follows from a node's inputs, as far as its disk lets it.
    fn work(&mut self, place: usize) {
        let write_delay = self.disk_random.below(self.world.write_delay + 1) as u64;
        self.nodes[place].carry_out(self.step, write_delay);
        if self.step < self.nodes[place].executes_from {
            return;
        }
        if !self.nodes[place].failed && !self.disk_random.chance(self.world.lag) {
            let batches = if self.world.lag > 0 { 1 + self.disk_random.below(3) } else { usize::MAX };
            self.nodes[place].execute(batches);
            self.nodes[place].carry_out(self.step, write_delay);
        }
        if !self.nodes[place].failed && !self.disk_random.chance(self.world.lag) {
            self.nodes[place].sign();
            self.nodes[place].carry_out(self.step, write_delay);
        }
    }

    pub(crate) fn send(&mut self, from: usize, to: usize, frame: Frame) {
        let copies = if self.network_random.chance(self.world.double) { 2 } else { 1 };
        if copies == 2 {
            self.count("duplicated");
        }
        for _ in 0..copies {
            if self.network_random.chance(self.world.loss) {
                self.count("lost");
                continue;
            }
            let mut late = self.network_random.below(self.world.delay + 1) as u64;
            // Some come when another leads already.
            if self.world.delay > 0 && self.network_random.chance(LONG_DELAYED) {
                late += self.network_random.below(LONG_DELAY_STEPS) as u64;
                self.count("delayed past an election");
            }
            if late > 0 {
                self.count("delayed");
            }
            let (starts, sent_by) = (self.nodes[to].starts, self.nodes[from].starts);
            let letter = Letter { from, to, frame: frame.clone(), starts, sent_by, hostile: false };
            self.network.put(self.step + late, letter);
        }
    }

    /// Sends what its sender did not say so.
    pub(crate) fn send_hostile(&mut self, from: usize, to: usize, frame: Frame) {
        let (starts, sent_by) = (self.nodes[to].starts, self.nodes[from].starts);
        self.network.put(self.step + 1, Letter { from, to, frame, starts, sent_by, hostile: true });
    }

    pub(crate) fn count(&mut self, fault: &'static str) {
        *self.injected.entry(fault).or_default() += 1;
    }

    fn deliver(&mut self) {
        for _ in 0..32 {
            let due = self.network.take_due(self.step);
            if due.is_empty() {
                return;
            }
            let mut touched = BTreeSet::new();
            for letter in due {
                let (from, to) = (letter.from, letter.to);
                if self.network.is_cut(from, to) {
                    self.count("cut off");
                    continue;
                }
                if self.nodes[to].is_running() && !self.acts(to) {
                    self.network.put(self.nodes[to].paused_until, letter);
                    continue;
                }
                let is_former = self.network.is_superseded(&letter) || letter.starts != self.nodes[to].starts;
                if is_former && matches!(letter.frame, Frame::Raft(..)) {
                    continue;
                }
                self.oracle.trace(self.step, from, to, &letter.frame);
                // The handshake refuses peers of another branch.
                if self.nodes[from].parted != self.nodes[to].parted {
                    self.count("refused, another branch");
                    continue;
                }
                if letter.hostile {
                    self.nodes[to].take_hostile(from, letter.frame);
                } else {
                    self.nodes[to].take(from, letter.frame);
                }
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
}
