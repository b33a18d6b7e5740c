//! Disks that come back older than they were, empty, or with a flipped bit. One at a time: what a group of voters promises
//! holds as long as no second disk forgets what the first one has not learnt again.

use galen_consensus::RaftId;

use crate::cluster::Cluster;
use crate::node::Flipped;

/// Steps for which a node asks its peers before its operator stands for its disk.
const OPERATOR_STEPS: u64 = 150;

impl Cluster {
    /// Whether every disk that was damaged holds again what it held, or orders no more under the number that it had.
    pub(crate) fn is_undamaged(&self) -> bool {
        self.damaged.is_empty()
    }

    /// Operators stand for disks that were not damaged, where nodes wait for answers that will not come.
    pub(crate) fn stand_for_disks(&mut self) {
        let damaged = |number: Option<RaftId>| number.is_some_and(|number| self.damaged.contains_key(&number));
        let waits = |since: u64| self.step > since + OPERATOR_STEPS;
        let trusted: Vec<_> = (0..self.nodes.len())
            .filter(|place| {
                let node = &self.nodes[*place];
                node.asks_since().is_some_and(waits) && !node.trusts_disk && !damaged(node.raft_id)
            })
            .collect();
        for place in trusted {
            self.nodes[place].trusts_disk = true;
            self.count("operator stands for a disk");
        }
    }

    /// Copies disks, and damages them.
    pub(crate) fn wear_disks(&mut self) {
        self.forget_repaired();
        let place = self.random.below(self.nodes.len());
        if self.random.chance(self.world.copy) && self.nodes[place].is_running() && self.nodes[place].raft_id.is_some()
        {
            let folder = self.folder.path().join(format!("{}-copy", self.nodes[place].name));
            let copy = self.nodes[place].copy_home(&folder);
            self.copies.insert(place, copy);
            self.start(place);
            self.count("disk copied");
        }
        if self.random.chance(self.world.damage)
            && let Some(informed) = self.informed()
            && self.nodes[informed].executor().voters().voters.len() > 2
            && self.may_shrink(informed)
            && let Some(kind) = self.damage_disk(place)
        {
            self.count(kind);
        }
    }

    /// Damages the disk of a node that orders, and starts it again; what was done. Only where the group can do without it:
    /// see `may_shrink`, and never in a group of two.
    pub(crate) fn damage_disk(&mut self, place: usize) -> Option<&'static str> {
        let number = self.nodes[place].raft_id.filter(|_| self.nodes[place].is_running())?;
        let orders = self.nodes[place].orderer()?.status().membership.contains(number);
        if !orders {
            return None;
        }
        let last = self.nodes.iter().filter_map(|node| node.orderer()).map(|orderer| orderer.status().last).max()?;
        let kind = match (self.random.below(3), self.copies.contains_key(&place)) {
            (0, true) => {
                self.nodes[place].stop();
                let copy = self.copies.remove(&place)?;
                self.nodes[place].set_back(copy);
                "disk set back"
            }
            (1, _) => {
                self.nodes[place].stop();
                let flipped = self.nodes[place].flip_bit(&mut self.random);
                if flipped.is_some() {
                    self.oracle.checked("a log with a flipped bit is refused, or loses its last write alone");
                }
                match flipped {
                    Some(Flipped::Refused) => {
                        // It never votes again: its operator sets it up anew.
                        self.nodes[place].wipe();
                        "bit flip, log refused"
                    }
                    Some(Flipped::LastWriteLost) => "bit flip, last write lost",
                    None => "disk stopped",
                }
            }
            _ => {
                self.nodes[place].stop();
                self.nodes[place].wipe();
                "disk wiped"
            }
        };
        self.damaged.insert(number, last);
        self.oracle.forget(place);
        self.story.push(format!("step {}: {kind}, {} under {number}", self.step, self.nodes[place].name));
        self.start(place);
        Some(kind)
    }

    fn forget_repaired(&mut self) {
        if self.damaged.is_empty() {
            return;
        }
        let leader = self.leader().and_then(|leader| self.nodes[leader].orderer());
        let membership = leader.map(|leader| leader.status().membership);
        let in_use = |number: &RaftId| self.nodes.iter().any(|node| node.raft_id == Some(*number));
        let repaired = |number: &RaftId, until: u64| {
            self.nodes.iter().filter(|node| node.raft_id == Some(*number) && node.speaks()).any(|node| {
                node.durable_log().is_some_and(|log| {
                    let cut = log.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
                    log.entries.last().map_or(cut, |entry| entry.index).max(cut) >= until
                })
            })
        };
        let gone = |number: &RaftId| {
            !in_use(number) && membership.as_ref().is_some_and(|membership| !membership.contains(*number))
        };
        let done: Vec<_> = self
            .damaged
            .iter()
            .filter(|(number, until)| gone(number) || repaired(number, **until))
            .map(|(number, _)| *number)
            .collect();
        for number in done {
            self.damaged.remove(&number);
        }
    }
}
