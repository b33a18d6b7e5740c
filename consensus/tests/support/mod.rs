//! A whole group in one thread: cores, logs on simulated disks, a network that loses, doubles and reorders, crashes, and
//! the invariants of Raft checked after every step. One seed decides everything.

// Each test binary uses its own part of this.
#![allow(dead_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests assert by panicking")]
#![allow(clippy::cast_possible_truncation, reason = "the numbers of a test are small")]

pub(crate) mod churn;
pub(crate) mod cluster;
pub(crate) mod disk;
pub(crate) mod oracle;
pub(crate) mod world;

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// True in `per_mille` of 1000 cases.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }
}
