//! Faults that wait for their moment: each comes when it would hurt most, which chance rarely hits.
//!
//! A change of voters that nobody but the leader executes; an entry that a bare majority holds and only the leader knows to be
//! committed, while the leader dies and one of that majority gets its disk of a moment ago back; a leader whose clock runs
//! away while transactions wait that are still valid then. `reads` asks a leader that does not know yet that another leads.

use std::collections::BTreeMap;

use galen_consensus::RaftId;
use galen_consensus::vfs::SimVfs;

use crate::cluster::Cluster;
use crate::node::Node;

/// Per mille of steps in which a moment is used that is there.
const USED: usize = 400;
/// Steps for which nobody but the leader executes, at most.
const STALL_STEPS: usize = 60;
/// Steps without a leader that was killed, at most.
const DEAD_STEPS: usize = 60;
/// Milliseconds by which a leader's clock runs away: more than others take, less than a transaction lives.
const AHEAD_MS: (usize, usize) = (31_000, 58_000);
/// Steps between two clocks that run away.
const CLOCK_STEPS: u64 = 80;

/// What is kept between moments.
#[derive(Default)]
pub(crate) struct Moments {
    /// Disks of ordering logs as they were a moment ago, by place.
    copies: BTreeMap<usize, RecentCopy>,
    stalled_until: u64,
    /// Whose clock it is that runs away: one node's only, since the oracle forgives a minority's.
    runaway: Option<usize>,
    clock_from: u64,
}

/// The disk of an ordering log of a moment ago. The ledger has not grown since, or the copy is not used.
struct RecentCopy {
    number: RaftId,
    promised: Promised,
    last_index: u64,
    disk: SimVfs,
}

/// What a disk forgets beside entries when it is set back: with any of it another rule would come in.
#[derive(PartialEq, Eq)]
struct Promised {
    term: u64,
    vote: Option<RaftId>,
    height: u64,
    starts: u64,
}

impl Promised {
    fn of(node: &Node) -> Option<(Self, u64)> {
        let log = node.durable_log()?;
        let cut = log.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
        let last = log.entries.last().map_or(cut, |entry| entry.index);
        let height = node.executor().tip().height;
        let promised = Self { term: log.hard_state.term, vote: log.hard_state.vote, height, starts: node.starts };
        Some((promised, last))
    }
}

impl Cluster {
    /// Uses moments that are there, in worlds that do.
    pub(crate) fn seize_moments(&mut self) {
        if !self.world.moments {
            return;
        }
        let Some(leader) = self.leader().filter(|leader| self.acts(*leader)) else { return };
        self.stall_all_but(leader);
        self.run_clock_away(leader);
        self.kill_and_set_back(leader);
        self.keep_recent_copies(leader);
    }

    /// A block that changes the voters is executed by the leader, and for a while by too few others to certify it.
    fn stall_all_but(&mut self, leader: usize) {
        if self.step < self.moments.stalled_until || !self.changes_voters(leader) || !self.random.chance(USED) {
            return;
        }
        let until = self.step + 10 + self.random.below(STALL_STEPS) as u64;
        self.moments.stalled_until = until;
        for place in (0..self.nodes.len()).filter(|place| *place != leader) {
            self.nodes[place].executes_from = until;
        }
        self.count("only the leader executes");
        self.story.push(format!("step {}: only {} executes until {until}", self.step, self.nodes[leader].name));
    }

    /// Whether the leader has executed a block that changes the voters, and too few others have to certify it.
    fn changes_voters(&self, leader: usize) -> bool {
        let executor = self.nodes[leader].executor();
        let ledger = executor.ledger();
        let view = ledger.view().unwrap();
        let headers =
            (ledger.certified_height() + 1..=executor.tip().height).map(|height| view.header(height).unwrap());
        let Some(header) = headers.flatten().find(galen_ledger::hands_over) else { return false };
        let quorum = view.voter_set(header.epoch).unwrap().unwrap().quorum();
        let has = |node: &&Node| node.is_running() && node.executor().tip().height >= header.height;
        self.nodes.iter().filter(has).count() < quorum
    }

    /// The leader's clock runs ahead for a while, where it is the node whose clock does.
    fn run_clock_away(&mut self, leader: usize) {
        if self.step < self.moments.clock_from {
            return;
        }
        if let Some(place) = self.moments.runaway {
            self.nodes[place].skew_ms = 0;
        }
        let fits = self.moments.runaway.is_none_or(|place| place == leader) && self.nodes[leader].waiting() > 0;
        if !fits || !self.random.chance(USED) {
            return;
        }
        self.moments.runaway = Some(leader);
        self.moments.clock_from = self.step + CLOCK_STEPS;
        let (low, high) = AHEAD_MS;
        self.nodes[leader].skew_ms = (low + self.random.below(high - low)) as i64;
        self.count("leader's clock ahead");
    }

    /// The leader dies when it alone knows an entry to be committed that a bare majority holds; one of these gets its disk
    /// of before that back.
    fn kill_and_set_back(&mut self, leader: usize) {
        let places: Vec<_> = self.moments.copies.keys().copied().filter(|place| *place != leader).collect();
        let Some((place, last)) =
            places.into_iter().find_map(|place| Some((place, self.promised_alone(leader, place)?)))
        else {
            return;
        };
        let may = self.informed().is_some_and(|informed| self.may_shrink(informed));
        if !may {
            return;
        }
        let Some(copy) = self.moments.copies.remove(&place) else { return };
        self.crash(leader);
        self.restart_at.insert(leader, self.step + 1 + self.random.below(DEAD_STEPS) as u64);
        self.nodes[place].stop();
        self.nodes[place].set_log_back(copy.disk);
        self.damaged.insert(copy.number, last);
        self.oracle.forget(place);
        self.count("leader killed, disk of a moment ago");
        let (step, name, copied) = (self.step, &self.nodes[place].name, copy.last_index);
        self.story.push(format!("step {step}: {name} gets its disk back that ended at {copied}, not {last}"));
        self.start(place);
    }

    /// Where the log of a node ends that is one of a bare majority that hold what the leader alone knows to be committed, and
    /// whose disk of a moment ago lacks that and nothing else that it promised.
    fn promised_alone(&self, leader: usize, place: usize) -> Option<u64> {
        let copy = self.moments.copies.get(&place)?;
        let status = self.nodes[leader].orderer()?.status();
        let known = self.nodes[place].orderer()?.status().commit;
        let voters = &status.membership.voters;
        let fits = self.nodes[place].raft_id == Some(copy.number)
            && self.nodes[place].starts == copy.promised.starts
            && voters.contains(&copy.number)
            && voters.len() > 2
            && !status.membership.is_joint()
            && copy.last_index < status.commit
            && known <= copy.last_index;
        if !fits {
            return None;
        }
        let (promised, last) = Promised::of(&self.nodes[place])?;
        if promised != copy.promised || promised.term != status.term {
            return None;
        }
        let log = self.nodes[leader].durable_log()?;
        let entry = log.entries.iter().find(|entry| entry.index == status.commit)?;
        let (index, term) = (entry.index, entry.term);
        let votes = |node: &&Node| node.raft_id.is_some_and(|number| voters.contains(&number));
        let holders = self.nodes.iter().filter(votes).filter(|node| node.holds_durably(index, term)).count();
        let knows = |node: &Node| node.orderer().is_some_and(|orderer| orderer.status().commit >= index);
        let alone = self.nodes.iter().filter(|node| node.place != leader).all(|node| !knows(node));
        let bare = holders == voters.len() / 2 + 1 && self.nodes[place].holds_durably(index, term);
        (alone && bare).then_some(last)
    }

    /// Copies the disks of those that follow, as they run: where the one that is there is of an earlier promise.
    fn keep_recent_copies(&mut self, leader: usize) {
        for node in &self.nodes {
            let Some(number) = node.raft_id.filter(|_| node.place != leader && node.is_running() && node.speaks())
            else {
                continue;
            };
            let Some((promised, last_index)) = Promised::of(node) else { continue };
            let known = self.moments.copies.get(&node.place);
            if known.is_some_and(|copy| copy.promised == promised && copy.number == number) {
                continue;
            }
            let copy = RecentCopy { number, promised, last_index, disk: node.copy_log() };
            self.moments.copies.insert(node.place, copy);
        }
    }
}
