//! What a run's world does to its nodes, and what came of it.

use super::Random;

/// A defect put in on purpose: the oracle must find it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    None,
    /// The disk says "synced" and did not.
    NoSync,
    /// Writes count as durable before they are made.
    SendBeforePersist,
    /// A voter that crashed comes back under its id with an empty disk.
    Wiped,
}

#[derive(Clone, Copy)]
pub(crate) struct World {
    pub(crate) voters: u64,
    pub(crate) learners: u64,
    /// Per mille of messages lost and doubled.
    pub(crate) loss: u64,
    pub(crate) double: u64,
    /// Steps that a message or a write may take at most.
    pub(crate) delay: u64,
    pub(crate) write_delay: u64,
    /// Per mille of steps at which a node crashes, or the network splits.
    pub(crate) crash: u64,
    pub(crate) split: u64,
    /// Entries after which a node cuts its log; 0 never.
    pub(crate) compact: u64,
    /// Per mille of steps at which a voter and a learner change places.
    pub(crate) change: u64,
    /// Per mille of steps at which the wanted group changes: nodes join, are promoted, leave, die.
    pub(crate) churn: u64,
    pub(crate) mutant: Mutant,
}

impl World {
    pub(crate) fn calm(voters: u64) -> Self {
        Self {
            voters,
            learners: 0,
            loss: 0,
            double: 0,
            delay: 0,
            write_delay: 0,
            crash: 0,
            split: 0,
            compact: 0,
            change: 0,
            churn: 0,
            mutant: Mutant::None,
        }
    }

    /// Rates by the seed: some runs have much of one fault and nothing of another.
    pub(crate) fn swarm(seed: u64, mutant: Mutant) -> Self {
        let mut random = Random(seed ^ 0x5EED);
        Self {
            voters: [1, 3, 3, 5, 4][random.below(5) as usize],
            learners: random.below(2),
            loss: [0, 20, 100, 300][random.below(4) as usize],
            double: [0, 50, 300][random.below(3) as usize],
            delay: [0, 2, 6][random.below(3) as usize],
            write_delay: [0, 2, 6][random.below(3) as usize],
            crash: [0, 2, 10, 30][random.below(4) as usize],
            split: [0, 3, 15][random.below(3) as usize],
            compact: [0, 8, 40][random.below(3) as usize],
            change: [0, 0, 20][random.below(3) as usize],
            churn: 0,
            mutant,
        }
    }

    /// As `swarm`, with a group that changes.
    pub(crate) fn churning(seed: u64, mutant: Mutant) -> Self {
        let swarm = Self::swarm(seed, mutant);
        let mut random = Random(seed ^ 0xC4012);
        Self { churn: [8, 20, 50][random.below(3) as usize], change: 0, learners: 0, ..swarm }
    }
}

/// What a run went through: a run without faults proves little.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    pub(crate) commits: u64,
    pub(crate) crashes: u64,
    pub(crate) torn: u64,
    pub(crate) elections: u64,
    pub(crate) restored: u64,
    pub(crate) overwritten: u64,
    pub(crate) removed_segments: u64,
    pub(crate) changes: u64,
    /// Nodes that were added to the group, and that took a snapshot before they were named by it.
    pub(crate) joined: u64,
    pub(crate) joined_by_snapshot: u64,
    pub(crate) removed: u64,
    pub(crate) killed: u64,
    pub(crate) transfers: u64,
    pub(crate) taken_over: u64,
    /// Leaders that crashed or were cut off while the group was joint.
    pub(crate) joint_faults: u64,
}

impl std::ops::AddAssign for Seen {
    fn add_assign(&mut self, other: Self) {
        self.commits += other.commits;
        self.crashes += other.crashes;
        self.torn += other.torn;
        self.elections += other.elections;
        self.restored += other.restored;
        self.overwritten += other.overwritten;
        self.removed_segments += other.removed_segments;
        self.changes += other.changes;
        self.joined += other.joined;
        self.joined_by_snapshot += other.joined_by_snapshot;
        self.removed += other.removed;
        self.killed += other.killed;
        self.transfers += other.transfers;
        self.taken_over += other.taken_over;
        self.joint_faults += other.joint_faults;
    }
}
