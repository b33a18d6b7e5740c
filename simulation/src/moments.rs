//! Faults that wait for their moment: each comes when it would hurt most, which chance rarely hits.
//!
//! A change of voters that nobody but the leader executes; an entry that a bare majority holds and only the leader knows to be
//! committed, while the leader dies and one of that majority gets its disk of a moment ago back; a leader whose clock runs
//! away while transactions wait that are still valid then. `reads` asks a leader that does not know yet that another leads.

use galen_consensus::{LogEnd, RaftId};

use crate::cluster::Cluster;
use crate::node::{HomeCopy, Node};

/// Per mille of steps in which a moment is used that is there.
const USED: usize = 400;
/// Steps after which a copy of a disk is made anew.
const COPY_STEPS: u64 = 6;
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
    copy: Option<RecentCopy>,
    stalled_until: u64,
    clock_from: u64,
}

/// A disk of a moment ago.
struct RecentCopy {
    place: usize,
    number: RaftId,
    made: u64,
    promised: Promised,
    last_index: u64,
    disk: HomeCopy,
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
        self.keep_recent_copy(leader);
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

    /// The leader's clock runs ahead, and comes back with the next one's.
    fn run_clock_away(&mut self, leader: usize) {
        if self.step < self.moments.clock_from || self.nodes[leader].waiting() == 0 || !self.random.chance(USED) {
            return;
        }
        self.moments.clock_from = self.step + CLOCK_STEPS;
        for node in &mut self.nodes {
            node.skew_ms = 0;
        }
        let (low, high) = AHEAD_MS;
        self.nodes[leader].skew_ms = (low + self.random.below(high - low)) as i64;
        self.count("leader's clock ahead");
    }

    /// The leader dies when it alone knows an entry to be committed that a bare majority holds; one of these gets its disk
    /// of before that back.
    fn kill_and_set_back(&mut self, leader: usize) {
        let Some(copy) = &self.moments.copy else { return };
        let (place, last_index) = (copy.place, copy.last_index);
        let (Some(orderer), Some(holder)) = (self.nodes[leader].orderer(), self.nodes[place].orderer()) else { return };
        let (status, commit) = (orderer.status(), holder.status().commit);
        let voters = &status.membership.voters;
        let fits = place != leader
            && self.nodes[place].raft_id == Some(copy.number)
            && voters.contains(&copy.number)
            && voters.len() > 2
            && !status.membership.is_joint()
            && status.commit > last_index
            && commit <= last_index;
        if !fits {
            return;
        }
        let Some((promised, last)) = Promised::of(&self.nodes[place]) else { return };
        if promised != copy.promised || last < status.commit {
            return;
        }
        let Some(log) = self.nodes[leader].durable_log() else { return };
        let Some(entry) = log.entries.iter().find(|entry| entry.index == status.commit) else { return };
        let end = LogEnd { term: entry.term, index: entry.index };
        let of_voters = || self.nodes.iter().filter(|node| node.raft_id.is_some_and(|number| voters.contains(&number)));
        let holders = of_voters().filter(|node| node.holds_durably(end.index, end.term)).count();
        let alone = of_voters()
            .filter(|node| node.place != leader)
            .all(|node| node.orderer().is_none_or(|orderer| orderer.status().commit < end.index));
        let may = self.informed().is_some_and(|informed| self.may_shrink(informed));
        if holders > voters.len() / 2 + 1 || !alone || !may || !self.random.chance(USED) {
            return;
        }
        let Some(copy) = self.moments.copy.take() else { return };
        self.crash(leader);
        self.restart_at.insert(leader, self.step + 1 + self.random.below(DEAD_STEPS) as u64);
        self.nodes[place].stop();
        self.nodes[place].set_back(copy.disk);
        self.damaged.insert(copy.number, last);
        self.oracle.forget(place);
        self.count("leader killed, disk of a moment ago");
        let (step, name) = (self.step, &self.nodes[place].name);
        self.story.push(format!("step {step}: {name} gets its disk back that ended at {last_index}, not {last}"));
        self.start(place);
    }

    /// Copies the disk of one that follows, as it runs.
    fn keep_recent_copy(&mut self, leader: usize) {
        if self.moments.copy.as_ref().is_some_and(|copy| self.step < copy.made + COPY_STEPS) {
            return;
        }
        let place = self.random.below(self.nodes.len());
        let node = &self.nodes[place];
        let Some(number) = node.raft_id.filter(|_| place != leader && node.is_running() && node.speaks()) else {
            return;
        };
        let Some((promised, last_index)) = Promised::of(node) else { return };
        let folder = self.folder.path().join(format!("{}-recent", node.name));
        let disk = node.copy_running(&folder);
        self.moments.copy = Some(RecentCopy { place, number, made: self.step, promised, last_index, disk });
    }
}
