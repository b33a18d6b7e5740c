//! What goes wrong in a seed, and how often.

use crate::consortium::Random;
use crate::ledger_world::LedgerWorld;

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
    /// Nodes beside the founding voters that may become voters.
    pub(crate) spares: usize,
    /// Steps in which someone joins, leaves, is suspended, rotates a key, loses its disk.
    pub(crate) churn: usize,
    /// Steps in which links are cut for a while: symmetric, one-way, around a bridge.
    pub(crate) partition: usize,
    /// Steps in which a node stands still for a while.
    pub(crate) pause: usize,
    /// Steps in which a clock jumps.
    pub(crate) clock: usize,
    /// Milliseconds that a clock may be off, either way.
    pub(crate) skew_ms: usize,
    /// Steps in which a write or sync of a log is made to fail.
    pub(crate) disk_error: usize,
    /// Steps in which a peer that does not order sends frames that nobody made.
    pub(crate) hostile: usize,
    /// Steps in which somebody shares, asks for, or takes data.
    pub(crate) access: usize,
    /// Steps in which a disk is copied, to be set back to it later.
    pub(crate) copy: usize,
    /// Steps in which a disk is set back to a copy, lost, or a bit of its log flips; one at a time.
    pub(crate) damage: usize,
    /// Steps in which a client reads, and demands all that was acknowledged.
    pub(crate) reads: usize,
    /// One voter signs headers that nobody computed.
    pub(crate) liar: bool,
    /// Faults that wait for their moment.
    pub(crate) moments: bool,
    /// How ledgers come to those that lack much, and what goes wrong with them.
    pub(crate) ledger: LedgerWorld,
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
            spares: 0,
            churn: 0,
            partition: 0,
            pause: 0,
            clock: 0,
            skew_ms: 0,
            disk_error: 0,
            hostile: 0,
            access: 0,
            copy: 0,
            damage: 0,
            reads: 0,
            liar: false,
            moments: false,
            ledger: LedgerWorld::by_blocks(),
        }
    }

    /// Rates drawn per seed: extremes find more than averages.
    pub(crate) fn swarm(seed: u64) -> Self {
        let mut random = Random(seed);
        let mut pick = |choices: [usize; 3]| choices[random.below(3)];
        let mut world = Self {
            voters: pick([3, 4, 5]),
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
            spares: 0,
            churn: 0,
            partition: pick([0, 10, 30]),
            pause: pick([0, 5, 20]),
            clock: pick([0, 5, 20]),
            skew_ms: pick([200, 45_000, 86_400_000]),
            disk_error: pick([0, 3, 10]),
            hostile: pick([0, 0, 100]),
            access: pick([0, 100, 400]),
            copy: 0,
            damage: 0,
            reads: 0,
            liar: false,
            moments: false,
            ledger: LedgerWorld::by_blocks(),
        };
        if random.chance(200) {
            world.voters = [6, 7][random.below(2)];
        }
        world.reads = [0, 100, 400][random.below(3)];
        world
    }

    /// The world in which members change: fewer faults of other kinds, since each change takes undisturbed moments.
    pub(crate) fn members(seed: u64) -> Self {
        let swarm = Self::swarm(seed);
        Self {
            spares: 2,
            churn: 60,
            crash: swarm.crash / 3,
            loss: swarm.loss / 4,
            lag: swarm.lag / 2,
            partition: swarm.partition / 4,
            pause: swarm.pause / 4,
            disk_error: swarm.disk_error / 3,
            skew_ms: swarm.skew_ms.min(1_000),
            ..swarm
        }
    }

    /// The world of bad disks: set back to old copies, lost, with flipped bits, one at a time among crashes.
    pub(crate) fn disks(seed: u64) -> Self {
        let swarm = Self::swarm(seed);
        Self {
            copy: 30,
            damage: 25,
            crash: swarm.crash / 2,
            loss: swarm.loss / 4,
            partition: swarm.partition / 2,
            pause: swarm.pause / 2,
            lag: swarm.lag / 2,
            skew_ms: swarm.skew_ms.min(5_000),
            disk_error: swarm.disk_error.max(3),
            ..swarm
        }
    }

    /// The world of moments: faults that come when they hurt most, while members change; frames and writes take their time,
    /// so that there is a moment between two events.
    pub(crate) fn moments(seed: u64) -> Self {
        let members = Self::members(seed);
        Self {
            moments: true,
            delay: members.delay.max(2),
            write_delay: members.write_delay.max(1),
            load: members.load.max(500),
            churn: 150,
            clock: 0,
            skew_ms: 0,
            ..members
        }
    }

    /// The world of snapshots: disks that are lost, and ledgers that come by snapshot while members change; fewer faults of
    /// other kinds, so that a chain grows that is worth a snapshot.
    pub(crate) fn snapshots(seed: u64) -> Self {
        let swarm = Self::swarm(seed);
        Self {
            ledger: LedgerWorld::drawn(seed),
            spares: 2,
            churn: 25,
            copy: 10,
            damage: 30,
            load: swarm.load.max(500),
            crash: swarm.crash / 3,
            loss: swarm.loss / 4,
            lag: swarm.lag / 2,
            partition: swarm.partition / 4,
            pause: swarm.pause / 4,
            skew_ms: swarm.skew_ms.min(1_000),
            disk_error: swarm.disk_error / 3,
            ..swarm
        }
    }

    /// The world of lies: forged frames all the time, and one voter of at least four that signs what nobody computed.
    pub(crate) fn liars(seed: u64) -> Self {
        let swarm = Self::swarm(seed);
        Self {
            voters: swarm.voters.max(4),
            hostile: 300,
            liar: true,
            access: swarm.access.max(100),
            crash: swarm.crash / 3,
            loss: swarm.loss / 4,
            skew_ms: swarm.skew_ms.min(5_000),
            ..swarm
        }
    }
}
