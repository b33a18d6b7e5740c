//! The group and its world.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use bytes::Bytes;
use galen_consensus::vfs::{Crash, Fault};
use galen_consensus::{
    ConfigError, CoreConfig, Effects, Identity, Log, LogOptions, Membership, MembershipChange, MessageError, Outgoing,
    Persist, ProposeError, RaftCore, RaftId, Role, SnapshotChange, Status, TransferEnd,
};

use super::Random;
use super::churn::Churn;
use super::disk::Disk;
use super::oracle::{History, Mirror, fingerprint, logs_match};
use super::world::{Mutant, Seen, World};

pub(crate) struct Node {
    pub(crate) id: RaftId,
    pub(crate) disk: Disk,
    pub(crate) core: Option<RaftCore>,
    log: Option<Log<Disk>>,
    writes: VecDeque<(u64, Persist)>,
    pub(crate) mirror: Mirror,
    /// Applied entries from index 1.
    pub(crate) ledger: Vec<(u64, blake3::Hash)>,
    pub(crate) ledger_durable: usize,
    pub(crate) restart_at: u64,
    starts: u64,
    offer: Option<u64>,
    first_segment: u64,
    pub(crate) role: Role,
    /// Belongs to the group from its start.
    founder: bool,
    /// Never starts again.
    pub(crate) dead: bool,
}

pub(crate) struct Cluster {
    pub(crate) seen: Seen,
    pub(crate) world: World,
    pub(crate) seed: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) random: Random,
    pub(crate) now: u64,
    sequence: u64,
    network: BTreeMap<(u64, u64), (RaftId, RaftId, Bytes)>,
    /// Nodes on the far side of a split, and until when.
    pub(crate) far: BTreeSet<RaftId>,
    pub(crate) split_until: u64,
    pub(crate) history: History,
    pub(crate) trace: blake3::Hasher,
    proposals: u64,
    /// Whether nodes that need older entries pull them; off to look at the offer.
    pub(crate) pulls: bool,
    /// Confirmed reads: (node, index, context).
    pub(crate) reads: Vec<(RaftId, u64, Vec<u8>)>,
    /// What no node accepts from another.
    pub(crate) unacceptable: Option<Bytes>,
    /// The group that is wanted, for a membership driver; none in runs with a fixed group.
    pub(crate) churn: Option<Churn>,
    /// Ended handovers of leadership, by the node that began them.
    pub(crate) transfers: Vec<(RaftId, TransferEnd)>,
}

pub(crate) type Outcome = Result<(), String>;

pub(crate) const GROUP: [u8; 32] = [7; 32];

impl Cluster {
    pub(crate) fn new(world: World, seed: u64) -> Self {
        let mut cluster = Self {
            seen: Seen::default(),
            world,
            seed,
            nodes: Vec::new(),
            random: Random(seed),
            now: 0,
            sequence: 0,
            network: BTreeMap::new(),
            far: BTreeSet::new(),
            split_until: 0,
            history: History::default(),
            trace: blake3::Hasher::new(),
            proposals: 0,
            pulls: true,
            reads: Vec::new(),
            unacceptable: None,
            churn: None,
            transfers: Vec::new(),
        };
        for _ in 0..world.voters + world.learners {
            cluster.push_node(true);
        }
        cluster.history.memberships.insert(0, cluster.membership());
        if world.churn > 0 {
            cluster.churn = Some(Churn::new(&cluster.membership()));
        }
        for position in 0..cluster.nodes.len() {
            cluster.start(position).unwrap();
        }
        cluster
    }

    fn push_node(&mut self, founder: bool) -> RaftId {
        let id = RaftId(self.nodes.len() as u64 + 1);
        self.nodes.push(Node {
            id,
            disk: Disk { lies: self.world.mutant == Mutant::NoSync, ..Disk::default() },
            core: None,
            log: None,
            writes: VecDeque::new(),
            mirror: Mirror::default(),
            ledger: Vec::new(),
            ledger_durable: 0,
            restart_at: 0,
            starts: 0,
            offer: None,
            first_segment: 1,
            role: Role::Follower,
            founder,
            dead: false,
        });
        id
    }

    /// Starts a node that the group does not name yet, with the ledger of `blocks` entries that it pulled.
    pub(crate) fn join_node(&mut self, blocks: usize) -> RaftId {
        let longest = self.nodes.iter().map(|node| &node.ledger).max_by_key(|ledger| ledger.len()).unwrap();
        let ledger = longest[..blocks.min(longest.len())].to_vec();
        let id = self.push_node(false);
        let node = self.nodes.last_mut().unwrap();
        (node.ledger_durable, node.ledger) = (ledger.len(), ledger);
        self.start(id.0 as usize - 1).unwrap();
        id
    }

    pub(crate) fn membership(&self) -> Membership {
        let voters = (1..=self.world.voters).map(RaftId);
        Membership::new(voters, (self.world.voters + 1..=self.world.voters + self.world.learners).map(RaftId))
    }

    pub(crate) fn core(&mut self, id: u64) -> &mut RaftCore {
        self.nodes[id as usize - 1].core.as_mut().unwrap()
    }

    pub(crate) fn status(&self, id: u64) -> Status {
        self.nodes[id as usize - 1].core.as_ref().unwrap().status()
    }

    /// The leader with the highest term among the running nodes.
    pub(crate) fn leader(&self) -> Option<u64> {
        let cores = self.nodes.iter().filter_map(|node| node.core.as_ref());
        let leaders = cores.map(RaftCore::status).filter(|status| status.role == Role::Leader);
        leaders.max_by_key(|status| status.term).map(|status| status.id.0)
    }

    pub(crate) fn start(&mut self, position: usize) -> Outcome {
        let membership = self.membership();
        let node = &mut self.nodes[position];
        if self.world.mutant == Mutant::Wiped && node.starts > 0 && node.founder {
            node.disk = Disk::default();
            node.mirror = Mirror::default();
            node.first_segment = 1;
        }
        let identity = Identity { cluster: GROUP, node: node.id };
        let options = LogOptions { segment_bytes: 2048 };
        let opened = Log::open(node.disk.clone(), Path::new("log"), identity, options);
        let (log, recovered) = opened.map_err(|error| format!("node {}: {error}", node.id))?;
        self.seen.torn += u64::from(recovered.torn.is_some());
        node.mirror.check(&recovered).map_err(|error| format!("node {}: {error}", node.id))?;
        // What is there now is what may be relied on from here: a write may have finished unseen.
        node.mirror = Mirror {
            hard_state: recovered.hard_state,
            snapshot: recovered.snapshot.as_ref().map_or(0, |snapshot| snapshot.index),
            entries: recovered.entries.iter().map(|e| (e.index, (e.term, blake3::hash(&e.data)))).collect(),
        };
        node.starts += 1;
        let seed = self.seed ^ node.id.0 ^ (node.starts << 32);
        let mut config =
            if node.founder { CoreConfig::new(node.id, membership, seed) } else { CoreConfig::joining(node.id, seed) };
        config.append_bytes_max = 4096;
        config.appends_in_flight_max = 8;
        let core = RaftCore::new(config, recovered, node.ledger.len() as u64);
        if let Err(ConfigError::Retired(_)) = &core
            && self.churn.as_ref().is_some_and(|churn| !churn.wants(node.id))
        {
            node.dead = true;
            return Ok(());
        }
        node.core = Some(core.map_err(|error| format!("node {}: {error}", node.id))?);
        node.log = Some(log);
        node.role = Role::Follower;
        if self.churn.is_some() {
            self.tell(position);
        }
        self.drain(position)
    }

    /// The machine dies; what was not synced goes by the seed, the ledger's unsynced end too.
    pub(crate) fn crash(&mut self, id: u64) {
        self.seen.crashes += 1;
        let kind = match self.random.below(4) {
            0 => Crash::DropAll,
            1 => Crash::KeepAll,
            _ => Crash::Random(self.random.next()),
        };
        let position = id as usize - 1;
        let (cut, lost) = (self.random.chance(500), self.random.next());
        let node = &mut self.nodes[position];
        if cut && !node.writes.is_empty() {
            // In the middle of a write.
            node.disk.sim.inject(Fault::SyncCut);
            let batch: Vec<Persist> = node.writes.drain(..).map(|(_, persist)| persist).collect();
            if let Some(log) = &mut node.log {
                let _interrupted = log.append(&batch);
            }
        }
        node.core = None;
        node.log = None;
        node.writes.clear();
        node.offer = None;
        node.role = Role::Follower;
        let kept = node.ledger_durable as u64 + lost % (node.ledger.len() - node.ledger_durable + 1) as u64;
        node.ledger.truncate(kept as usize);
        node.disk.sim.crash(kind);
        node.restart_at = self.now + 1 + self.random.below(40);
    }

    /// One step of the world: time passes by a tick for most nodes, what is due arrives.
    pub(crate) fn step(&mut self) -> Outcome {
        self.now += 1;
        self.faults()?;
        for position in 0..self.nodes.len() {
            let slow = self.world.delay > 0 && self.random.chance(100);
            if let Some(core) = self.nodes[position].core.as_mut().filter(|_| !slow) {
                core.tick().map_err(|error| error.to_string())?;
            }
            self.drain(position)?;
            self.finish_writes(position)?;
            self.catch_up(position)?;
            self.cut_log(position);
            self.drain(position)?;
        }
        self.deliver()
    }

    pub(crate) fn run(&mut self, steps: u64) -> Outcome {
        (0..steps).try_for_each(|_| self.step())
    }

    /// Steps until `done`; panics after `limit` steps.
    pub(crate) fn until(&mut self, limit: u64, mut done: impl FnMut(&mut Self) -> bool) {
        for _ in 0..limit {
            if done(self) {
                return;
            }
            self.step().unwrap();
        }
        panic!("not reached in {limit} steps");
    }

    fn faults(&mut self) -> Outcome {
        for position in 0..self.nodes.len() {
            let down = self.nodes[position].core.is_none();
            if self.nodes[position].dead {
                continue;
            }
            if down && self.nodes[position].restart_at <= self.now {
                self.start(position)?;
            } else if !down && self.random.chance(self.world.crash) {
                self.crash(position as u64 + 1);
            }
        }
        if self.split_until > 0 && self.now >= self.split_until {
            self.far.clear();
            self.split_until = 0;
        }
        if self.far.is_empty() && self.random.chance(self.world.split) {
            let side = self.random.next();
            self.far = self.nodes.iter().map(|node| node.id).filter(|id| side >> id.0 & 1 == 1).collect();
            self.split_until = self.now + 10 + self.random.below(80);
        }
        if self.random.chance(300) {
            self.propose_somewhere()?;
        }
        self.churn()?;
        if self.random.chance(self.world.change) {
            self.change_places();
        }
        Ok(())
    }

    /// Promotes a learner or demotes a voter, where a leader allows it.
    fn change_places(&mut self) {
        let Some(leader) = self.leader() else { return };
        let node = RaftId(1 + self.random.below(self.nodes.len() as u64));
        let mut change = MembershipChange::default();
        if self.status(leader).membership.learners.contains(&node) {
            change.voters.insert(node);
        } else {
            change.learners.insert(node);
        }
        if self.core(leader).propose_conf_change(change).is_ok() {
            self.seen.changes += 1;
        }
    }

    fn propose_somewhere(&mut self) -> Outcome {
        let position = self.random.below(self.nodes.len() as u64) as usize;
        let size = 1 + self.random.below(300) as usize;
        self.proposals += 1;
        let mut data = self.proposals.to_le_bytes().to_vec();
        data.resize(8 + size, 0xAB);
        if let Some(core) = &mut self.nodes[position].core {
            match core.propose(data.into()) {
                Ok(_) | Err(ProposeError::NotLeader { .. } | ProposeError::Full | ProposeError::Transferring) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    /// Takes effects until there are none.
    pub(crate) fn drain(&mut self, position: usize) -> Outcome {
        loop {
            let Some(core) = &mut self.nodes[position].core else { return Ok(()) };
            let effects = core.effects().map_err(|error| error.to_string())?;
            if effects.is_empty() {
                return Ok(());
            }
            self.record(position, &effects);
            self.take(position, effects)?;
        }
    }

    fn record(&mut self, position: usize, effects: &Effects) {
        self.trace.update(&self.now.to_le_bytes());
        self.trace.update(&[position as u8]);
        self.trace.update(format!("{effects:?}").as_bytes());
    }

    fn take(&mut self, position: usize, effects: Effects) -> Outcome {
        let from = self.nodes[position].id;
        self.send(from, effects.send);
        self.reads.extend(effects.read_states.into_iter().map(|read| (from, read.index, read.context.to_vec())));
        if let Some(change) = effects.role {
            self.nodes[position].role = change.role;
            if change.role == Role::Leader {
                self.seen.elections += 1;
                self.history.lead(change.term, from.0)?;
            }
        }
        self.transfers.extend(effects.transfer.map(|end| (from, end)));
        let due = self.now + self.random.below(self.world.write_delay + 1);
        let last = effects.persist.last().map(|persist| persist.token);
        for persist in effects.persist {
            // The mirror is what must be there: on a lying disk and for a hasty core it is believed all the same.
            self.nodes[position].writes.push_back((due, persist));
        }
        if let Some(token) = last.filter(|_| self.world.mutant == Mutant::SendBeforePersist) {
            self.core(from.0).persisted(token).map_err(|error| error.to_string())?;
        }
        for committed in effects.committed {
            if self.history.commit(&committed)? {
                self.seen.commits += 1;
                self.durable_on_quorum(committed.index, committed.term)?;
            }
            let node = &mut self.nodes[position];
            if committed.index != node.ledger.len() as u64 + 1 {
                return Err(format!("node {from} got {} after {}", committed.index, node.ledger.len()));
            }
            node.ledger.push(fingerprint(&committed));
            if let Some(core) = &mut node.core {
                core.applied(committed.index).map_err(|error| error.to_string())?;
            }
        }
        if let Some(offer) = effects.snapshot_offer {
            self.nodes[position].offer = Some(offer.index);
        }
        Ok(())
    }

    /// The strongest cheap check: what is handed out as committed is on a majority's disks at that moment.
    fn durable_on_quorum(&self, index: u64, term: u64) -> Outcome {
        let holds = |id: &&RaftId| self.nodes[id.0 as usize - 1].mirror.holds(index, term);
        let majority = |voters: &BTreeSet<RaftId>| voters.iter().filter(holds).count() * 2 > voters.len();
        let quorum = |membership: &Membership| {
            majority(&membership.voters) && (!membership.is_joint() || majority(&membership.voters_outgoing))
        };
        // A change counts once its leader has applied it: what was committed together with it came before.
        let in_force = self.history.memberships.range(..=index).rev().take(2);
        if in_force.clone().any(|(_, membership)| quorum(membership)) {
            Ok(())
        } else {
            Err(format!("entry {index} was handed out and is not durable on a quorum of {in_force:?}"))
        }
    }

    fn finish_writes(&mut self, position: usize) -> Outcome {
        let now = self.now;
        let node = &mut self.nodes[position];
        let mut batch = Vec::new();
        while node.writes.front().is_some_and(|(due, _)| *due <= now) {
            batch.extend(node.writes.pop_front().map(|(_, persist)| persist));
        }
        let (Some(log), Some(core), Some(last)) = (&mut node.log, &mut node.core, batch.last()) else {
            return Ok(());
        };
        log.append(&batch).map_err(|error| error.to_string())?;
        let first = log.segments().next().unwrap_or(1);
        self.seen.removed_segments += first - std::mem::replace(&mut node.first_segment, first);
        for persist in &batch {
            if matches!(persist.snapshot, Some(SnapshotChange::Restored(_))) {
                self.seen.restored += 1;
                self.seen.joined_by_snapshot += u64::from(core.is_joining());
            }
            if persist.entries.first().is_some_and(|entry| node.mirror.entries.contains_key(&entry.index)) {
                self.seen.overwritten += 1;
            }
            node.mirror.write(persist);
        }
        if self.world.mutant != Mutant::SendBeforePersist {
            core.persisted(last.token).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Pulls blocks from whoever has them and takes the held snapshot.
    fn catch_up(&mut self, position: usize) -> Outcome {
        let Some(index) = self.nodes[position].offer.filter(|_| self.pulls) else { return Ok(()) };
        let id = self.nodes[position].id;
        let reachable = |other: &&Node| self.far.contains(&other.id) == self.far.contains(&id) && other.core.is_some();
        let source = self.nodes.iter().filter(reachable).max_by_key(|other| other.ledger.len());
        let ledger = source.map(|other| other.ledger.clone()).unwrap_or_default();
        let node = &mut self.nodes[position];
        if ledger.len() > node.ledger.len() {
            node.ledger = ledger;
        }
        let Some(core) = &mut node.core else { return Ok(()) };
        core.applied(node.ledger.len() as u64).map_err(|error| error.to_string())?;
        if (node.ledger.len() as u64) < index {
            return Ok(());
        }
        node.ledger_durable = node.ledger.len();
        node.offer = None;
        let _overtaken = core.accept_snapshot(index);
        Ok(())
    }

    fn cut_log(&mut self, position: usize) {
        let compact = self.world.compact;
        let node = &mut self.nodes[position];
        let Some(core) = node.core.as_mut().filter(|_| compact > 0) else { return };
        let status = core.status();
        let index = status.commit.min(status.durable).min(node.ledger.len() as u64);
        if index >= status.snapshot + compact {
            node.ledger_durable = node.ledger.len();
            let _not_yet = core.compact(index, Bytes::from(index.to_le_bytes().to_vec()));
        }
    }

    pub(crate) fn send(&mut self, from: RaftId, messages: Vec<Outgoing>) {
        for outgoing in messages {
            self.post(from, outgoing.to, outgoing.bytes);
        }
    }

    fn post(&mut self, from: RaftId, to: RaftId, bytes: Bytes) {
        let copies = if self.random.chance(self.world.double) { 2 } else { 1 };
        for _ in 0..copies {
            if self.random.chance(self.world.loss) {
                continue;
            }
            let due = self.now + self.random.below(self.world.delay + 1);
            self.sequence += 1;
            let order =
                if self.world.delay > 0 { self.random.next() >> 32 << 32 | self.sequence } else { self.sequence };
            self.network.insert((due, order), (from, to, bytes.clone()));
        }
    }

    /// Delivers what is due, in rounds, so that a calm world settles within a step.
    fn deliver(&mut self) -> Outcome {
        for _ in 0..64 {
            let later = self.network.split_off(&(self.now + 1, 0));
            let due = std::mem::replace(&mut self.network, later);
            if due.is_empty() {
                break;
            }
            let mut touched = BTreeSet::new();
            for (from, to, bytes) in due.into_values() {
                if self.far.contains(&from) != self.far.contains(&to) {
                    continue;
                }
                let position = to.0 as usize - 1;
                let Some(core) = self.nodes.get_mut(position).and_then(|node| node.core.as_mut()) else { continue };
                let unacceptable = self.unacceptable.as_deref();
                match core.message_with(from, bytes, |data| unacceptable != Some(data)) {
                    Err(MessageError::Refused(refusal)) if refusal.is_suspicious() => {
                        return Err(format!("node {to} suspects {from}: {refusal}"));
                    }
                    Err(MessageError::Stopped(stopped)) => return Err(stopped.to_string()),
                    Ok(()) | Err(MessageError::Refused(_)) => {}
                }
                touched.insert(position);
            }
            for position in touched {
                self.drain(position)?;
                self.finish_writes(position)?;
                self.drain(position)?;
            }
        }
        Ok(())
    }

    /// Ends all faults, and demands that the group works again and that all nodes agree.
    pub(crate) fn heal_and_check(&mut self) -> Outcome {
        let calm = World { compact: self.world.compact, mutant: self.world.mutant, ..World::calm(self.world.voters) };
        self.world = World { learners: self.world.learners, ..calm };
        self.far.clear();
        self.split_until = 0;
        self.run(200)?;
        let before = self.history.committed.len();
        if let Some(leader) = self.leader() {
            self.core(leader).propose(Bytes::from_static(b"healed")).map_err(|error| error.to_string())?;
        }
        self.run(20)?;
        if self.history.committed.len() <= before {
            return Err("the healed group commits nothing".into());
        }
        let longest = self.nodes.iter().map(|node| node.ledger.len()).max().unwrap_or(0);
        for node in &self.nodes {
            if node.ledger.len() + 20 < longest {
                return Err(format!("node {} stays behind: {} of {longest}", node.id, node.ledger.len()));
            }
            for (position, entry) in node.ledger.iter().enumerate() {
                if self.history.committed.get(&(position as u64 + 1)) != Some(entry) {
                    return Err(format!("node {} holds another entry {}", node.id, position + 1));
                }
            }
        }
        logs_match(&self.nodes.iter().map(|node| &node.mirror).collect::<Vec<_>>())
    }

    /// A run under a seed: faults, then healing.
    pub(crate) fn torture(seed: u64, mutant: Mutant, steps: u64) -> Result<(blake3::Hash, Seen), String> {
        let mut cluster = Self::new(World::swarm(seed, mutant), seed);
        cluster.run(steps)?;
        cluster.heal_and_check()?;
        Ok((cluster.trace.finalize(), cluster.seen))
    }
}
