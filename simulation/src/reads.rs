//! Clients that read and demand to see all that was acknowledged before they asked (linearizable reads, Raft's ReadIndex).

use std::collections::BTreeMap;

use galen_chain::ReadTicket;

use crate::cluster::Cluster;
use crate::consortium::Random;
use crate::node::Node;

/// Steps for which a client waits.
const PATIENCE_STEPS: u64 = 120;

/// A read at a node, in its n-th start.
type AskedAt = (usize, u64, ReadTicket);

/// Reads under way.
pub(crate) struct LinearizableReads {
    /// Of clients that read alone, so that they shuffle nothing else.
    random: Random,
    /// The height that is to be seen, and when it was asked.
    asked: BTreeMap<AskedAt, (u64, u64)>,
    /// The greatest height of a block of which some client was told.
    told_height: u64,
}

impl LinearizableReads {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: Random(seed ^ 0x7265_6164_7300_0000), asked: BTreeMap::new(), told_height: 0 }
    }

    /// A client was told of a block.
    pub(crate) fn told(&mut self, height: u64) {
        self.told_height = self.told_height.max(height);
    }

    /// Blocks above this height were given up, and with them what was acknowledged there.
    pub(crate) fn given_up_above(&mut self, height: u64) {
        self.told_height = self.told_height.min(height);
        self.asked.clear();
    }
}

impl Cluster {
    /// Now and then a client reads, and those that waited too long are given up.
    pub(crate) fn read(&mut self) {
        let over: Vec<_> = self
            .reads
            .asked
            .iter()
            .filter(|(_, (_, since))| self.step > since + PATIENCE_STEPS)
            .map(|(asked, _)| *asked)
            .collect();
        for (place, starts, ticket) in over {
            self.reads.asked.remove(&(place, starts, ticket));
            if self.nodes[place].starts == starts {
                self.nodes[place].forget_read(ticket);
            }
        }
        let deposed = if self.world.moments { self.deposed() } else { None };
        let place = match deposed {
            Some(deposed) => deposed,
            None if self.reads.random.chance(self.world.reads) => self.reads.random.below(self.nodes.len()),
            None => return,
        };
        if self.acts(place) && !self.nodes[place].parted {
            self.ask(place);
        }
    }

    /// A leader that does not know yet that another leads.
    fn deposed(&self) -> Option<usize> {
        let leader = self.leader()?;
        self.participants()
            .find(|node| node.leads() && node.place != leader && self.acts(node.place))
            .map(|node| node.place)
    }

    /// Whoever votes answers a linearizable read, where nothing is in its way.
    #[track_caller]
    pub(crate) fn demand_reads(&mut self) {
        let Some(leader) = self.leader().and_then(|leader| self.nodes[leader].orderer()) else { return };
        let voters = leader.status().membership.voters;
        let votes = |node: &&Node| node.is_running() && node.raft_id.is_some_and(|number| voters.contains(&number));
        let places: Vec<_> = self.participants().filter(votes).map(|node| node.place).collect();
        let asked: Vec<_> = places.into_iter().filter_map(|place| self.ask(place)).collect();
        assert!(!asked.is_empty(), "nobody can be asked: {}", self.describe());
        self.until(PATIENCE_STEPS - 1, |cluster| {
            asked.iter().all(|at| !cluster.reads.asked.contains_key(at) || cluster.nodes[at.0].starts != at.1)
        });
    }

    /// A client asks a node; none where it cannot.
    fn ask(&mut self, place: usize) -> Option<AskedAt> {
        let at = (place, self.nodes[place].starts, self.nodes[place].read()?);
        self.reads.asked.insert(at, (self.reads.told_height, self.step));
        Some(at)
    }

    /// What reads were shown at a node that runs.
    pub(crate) fn check_reads(&mut self, place: usize) {
        let (name, starts) = (self.nodes[place].name.clone(), self.nodes[place].starts);
        for (ticket, shown) in std::mem::take(&mut self.nodes[place].served_now) {
            let Some((demanded, since)) = self.reads.asked.remove(&(place, starts, ticket)) else { continue };
            assert!(
                shown >= demanded,
                "{name} shows height {shown} to a linearizable read of step {since}, when height {demanded} was \
                 acknowledged"
            );
            self.oracle.checked("linearizable reads see what was acknowledged before them");
        }
    }
}
