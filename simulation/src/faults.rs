//! What is done to nodes, disks, clocks and links while a seed runs.

use galen_consensus::vfs::{Crash, Fault};

use crate::cluster::Cluster;

impl Cluster {
    /// Ends a node's process, and mostly its machine.
    pub(crate) fn crash(&mut self, place: usize) {
        let (kind, name) = match self.random.below(3) {
            0 => (Crash::DropAll, "crash, unsynced writes dropped"),
            1 => (Crash::KeepAll, "crash, everything kept"),
            _ => (Crash::Random(self.random.draw()), "crash, unsynced writes torn"),
        };
        self.count(name);
        self.story.push(format!("step {}: {name} {}", self.step, self.nodes[place].name));
        self.nodes[place].crash(kind);
    }

    /// What a failed write means: the process ends, and with it what was not synced.
    pub(crate) fn disk_failed(&mut self, place: usize) {
        self.nodes[place].failed = false;
        self.crash(place);
        self.restart_at.insert(place, self.step + 1 + self.random.below(40) as u64);
    }

    pub(crate) fn inject_faults(&mut self) {
        for place in 0..self.nodes.len() {
            if self.restart_at.get(&place).is_some_and(|at| *at <= self.step) {
                self.start(place);
            } else if self.nodes[place].is_running() && self.random.chance(self.world.crash) {
                self.crash(place);
                self.restart_at.insert(place, self.step + 1 + self.random.below(60) as u64);
            }
        }
        if !self.network.is_whole() && self.network.cut_until <= self.step {
            self.network.heal();
        }
        if self.network.is_whole() && self.random.chance(self.world.partition) {
            self.partition();
        }
        let place = self.random.below(self.nodes.len());
        if self.random.chance(self.world.pause) && self.acts(place) {
            self.nodes[place].paused_until = self.step + 1 + self.random.below(60) as u64;
            self.count("pause");
        }
        if self.random.chance(self.world.lag / 10) {
            self.nodes[place].executes_from = self.step + 1 + self.random.below(30) as u64;
            self.count("execution behind");
        }
        if self.random.chance(self.world.clock) {
            let spread = i64::try_from(self.world.skew_ms).unwrap_or(i64::MAX);
            self.nodes[place].skew_ms = self.random.below(2 * self.world.skew_ms + 1) as i64 - spread;
            self.count("clock jump");
        }
        if self.random.chance(self.world.disk_error) && self.nodes[place].is_running() {
            let (fault, name) = match self.random.below(2) {
                0 => (Fault::SyncFails(self.random.below(4) as u32), "sync fails (EIO)"),
                _ => (Fault::FullAfter(self.random.below(4_096) as u64), "disk full (ENOSPC)"),
            };
            self.nodes[place].inject(fault);
            self.count(name);
        }
        if self.random.chance(self.world.hostile) {
            self.lie();
        }
        self.wear_disks();
        self.wear_ledgers();
        self.seize_moments();
    }

    /// Cuts links for a while.
    fn partition(&mut self) {
        let count = self.nodes.len();
        let until = self.step + 10 + self.random.below(80) as u64;
        let side: Vec<bool> = (0..count).map(|_| self.random.below(2) == 0).collect();
        let pairs = || (0..count).flat_map(move |from| (0..count).map(move |to| (from, to)));
        let bridge = self.random.below(count);
        let (links, name): (Vec<_>, _) = match self.random.below(3) {
            0 => (pairs().filter(|(from, to)| side[*from] != side[*to]).collect(), "partition, symmetric"),
            1 => (pairs().filter(|(from, to)| side[*from] && !side[*to]).collect(), "partition, one-way"),
            _ => {
                let apart = |(from, to): &(usize, usize)| side[*from] != side[*to] && *from != bridge && *to != bridge;
                (pairs().filter(apart).collect(), "partition, bridge")
            }
        };
        self.network.cut(links, until);
        self.count(name);
        self.story.push(format!("step {}: {name} until {until}", self.step));
    }

    /// Cuts a node off from all others.
    pub(crate) fn isolate(&mut self, place: usize, until: u64) {
        let others: Vec<_> = (0..self.nodes.len()).filter(|other| *other != place).collect();
        self.network.cut(others.into_iter().flat_map(|other| [(place, other), (other, place)]), until);
        self.count("partition, one node");
    }
}
