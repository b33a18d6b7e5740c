//! From a folder and a disk to a running replica.

use super::*;

impl Node {
    pub(crate) fn start(&mut self, seed: u64, now: Timestamp, step: u64) {
        let ledger = self.open_settled();
        let verified = Arc::new(VerifiedCache::default());
        let record = self.record_in(&ledger);
        self.must_restart = false;
        self.trusts_disk = false;
        self.write_fails = false;
        self.stopped_by = None;
        self.key = self.secret(&record).public_key();
        let rejoin = self.must_rejoin(&ledger);
        let number = if rejoin.is_some() { None } else { self.number(&record, &ledger) };
        self.new_number = number != self.raft_id;
        self.raft_id = number;
        self.last_number = self.raft_id.or(self.last_number);
        if let Some(id) = self.raft_id {
            // Noted before it speaks; what it asked for is answered.
            self.home.started = Some(id.0);
            self.home.asked = None;
            self.home.gave_up = None;
        }
        let config = ExecutorConfig {
            genesis: Arc::clone(&self.genesis),
            node: self.name.clone(),
            voter_keys: match rejoin {
                Some(rejoin) if rejoin.is_damaged => Vec::new(),
                _ => self.keys.iter().map(|text| key(text)).collect(),
            },
            orders: self.raft_id.is_some(),
            recoveries: self.held.iter().cloned().collect(),
            verified: Arc::clone(&verified),
        };
        let executor = Executor::new(Arc::clone(&ledger), config).unwrap();
        self.starts += 1;
        self.taken.clear();
        self.told_now.clear();
        self.served_now.clear();
        self.named_now.push((executor.tip().height, executor.group().unwrap().voters.keys().copied().collect()));
        let mut is_behind = None;
        let ordering = self.raft_id.and_then(|id| {
            let identity = Identity { cluster: self.genesis.hash().0, node: id };
            let options = LogOptions { segment_bytes: 16 << 10 };
            let folder = PathBuf::from(format!("log-{id}"));
            let absent = self.disk.list(&folder).unwrap().is_empty();
            if let Some(snapshot) = executor.log_after_recovery(id).unwrap().filter(|_| absent) {
                Log::create_at(self.disk.clone(), &folder, identity, options, snapshot).unwrap();
            }
            let (log, recovered) = Log::open(self.disk.clone(), &folder, identity, options).unwrap();
            self.seen.torn += u64::from(recovered.torn.is_some());
            let known = executor.group().unwrap();
            let founders = self.genesis.nodes().into_iter().map(|node| RaftId(node.raft_id)).filter(|id| id.0 > 0);
            let membership = Membership::new(founders, []);
            let seed = seed ^ id.0 ^ (self.starts << 32);
            let mut core = if membership.contains(id) {
                CoreConfig::new(id, membership, seed)
            } else {
                CoreConfig::joining(id, seed)
            };
            (core.election_tick, core.heartbeat_tick) = (ELECTION_TICKS, HEARTBEAT_TICKS);
            let config = OrdererConfig {
                core,
                node: self.name.clone(),
                batch_limits: executor.parameters().into(),
                compact_entries: self.compact_entries,
                compact_bytes: 1 << 20,
            };
            let applied = ledger.applied().unwrap().index;
            let orderer = match Orderer::new(config, recovered, applied, &known, self.clock(now)) {
                Err(ConfigError::LedgerBehind { snapshot, .. }) if self.snapshots.is_some() => {
                    is_behind = Some(snapshot);
                    return None;
                }
                orderer => orderer.unwrap(),
            };
            Some(Ordering { orderer, log, writes: VecDeque::new() })
        });
        if is_behind.is_some() {
            // It follows until its ledger has come to where its log begins.
            self.rejoin_until = is_behind;
            drop((executor, ledger));
            return self.start(seed, now, step);
        }
        let known_height = executor.tip().height;
        self.running = Some(Running {
            executor,
            verified,
            ordering,
            ordered: VecDeque::new(),
            goal: None,
            known_height,
            certified: (0, 0),
            asked: 0,
            asked_signatures: 0,
            led_at: step,
            copied: 0,
            asking: None,
            speaks: false,
            held_back_since: None,
            seen: SeenSignatures::default(),
            part_of: 0,
            sources: self.open_snapshots(),
            leap: None,
            leaps_again: false,
            leaps_from: 0,
            asked_heights: None,
            asked_past: 0,
            rejoin,
        });
        self.tidy_snapshots(known_height);
        self.step = step;
        self.close_gate(step);
    }

    pub(super) fn record_in(&self, ledger: &galen_ledger::Ledger) -> galen_types::member::Node {
        let found = galen_contracts::query::get_node(&LedgerState(ledger.view().unwrap()), &self.name).unwrap();
        found.unwrap_or_else(|| self.genesis.nodes().into_iter().find(|node| node.name == self.name).unwrap())
    }

    /// The number under which it must order, as the node's `runtime::part` finds it: its former one until that may be given
    /// up; else that of its record, where it was given to this very disk.
    pub(super) fn number(&self, record: &galen_types::member::Node, ledger: &galen_ledger::Ledger) -> Option<RaftId> {
        // A recovery that is not applied yet takes its number from every node.
        let lineage = galen_chain::recovery::lineage(&LedgerState(ledger.view().unwrap())).unwrap();
        if self.held.last().is_some_and(|held| held.hash != lineage) {
            return None;
        }
        if self.last_number.is_some() {
            return self.last_number;
        }
        let number = record.raft_id;
        if number == 0 || record.role != NodeRole::Voter || self.home.started == Some(number) {
            return None;
        }
        let founding = self.genesis.nodes().iter().any(|node| node.name == self.name && node.raft_id == number);
        let given = match founding {
            // One that finds nothing on its disk begins, and hears from its peers that it is not the first.
            true => ledger.applied().unwrap().index == 0,
            false => self.home.asked.is_some_and(|replaces| replaces < number) || self.votes_since_recovery(ledger),
        };
        given.then_some(RaftId(number))
    }

    /// Whether it is in every voter set since the last recovery: then its number is the one that the recovery gave it.
    fn votes_since_recovery(&self, ledger: &galen_ledger::Ledger) -> bool {
        let Some(header) = ledger.tip().unwrap().header else { return false };
        let view = ledger.view().unwrap();
        let mut lineage = None;
        for epoch in (0..=galen_ledger::next_epoch(&header)).rev() {
            let Some(set) = view.voter_set(epoch).unwrap() else { return false };
            match lineage {
                None if set.lineage == Hash::ZERO => return false,
                Some(lineage) if set.lineage != lineage => return true,
                _ => lineage = Some(set.lineage),
            }
            if set.key_of(&self.name).is_none() {
                return false;
            }
        }
        false
    }

    /// Gives the number up that the chain and the group have dropped.
    pub(super) fn retire(&mut self) {
        if self.orderer().is_some_and(Orderer::may_retire) {
            self.last_number = None;
            self.must_restart = true;
        }
    }
}
