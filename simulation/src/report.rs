//! What a run of seeds gives.

use std::collections::BTreeMap;

use galen_types::Hash;

use crate::run::Scenario;

/// Why a seed failed, and how to see it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What was broken.
    pub cause: String,
    /// What was done to the nodes before, one line each.
    pub story: Vec<String>,
    /// The command that runs this seed again.
    pub replay: String,
}

/// One seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedReport {
    /// The seed.
    pub seed: u64,
    /// What was simulated.
    pub scenario: Scenario,
    /// The rates that the seed drew.
    pub world: String,
    /// Simulated time, milliseconds.
    pub simulated_ms: u64,
    /// Frames delivered.
    pub events: u64,
    /// Blocks executed, on all nodes.
    pub blocks: u64,
    /// Voter sets after the founders'.
    pub epochs: u64,
    /// Faults injected, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// How often each rule was checked after an event.
    pub checks: BTreeMap<&'static str, u64>,
    /// Stands for everything that was delivered and for the last state: the same seed gives the same.
    pub trace: Hash,
    /// `None` when everything held.
    pub failure: Option<Failure>,
}

/// All seeds of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Seeds run.
    pub seeds: u64,
    /// Simulated time, milliseconds.
    pub simulated_ms: u64,
    /// Frames delivered.
    pub events: u64,
    /// Blocks executed, on all nodes.
    pub blocks: u64,
    /// Voter sets after the founders'.
    pub epochs: u64,
    /// Faults injected, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// How often each rule was checked after an event.
    pub checks: BTreeMap<&'static str, u64>,
    /// Seeds that were run a second time to compare their trace.
    pub repeated: u64,
    /// The seeds that failed.
    pub failures: Vec<(u64, Failure)>,
}

impl Report {
    /// Whether everything held in every seed.
    pub fn is_sound(&self) -> bool {
        self.failures.is_empty()
    }

    /// Simulated hours.
    pub fn simulated_hours(&self) -> f64 {
        std::time::Duration::from_millis(self.simulated_ms).as_secs_f64() / 3_600.0
    }

    pub(crate) fn add(&mut self, seed: &SeedReport) {
        self.seeds += 1;
        self.simulated_ms += seed.simulated_ms;
        self.events += seed.events;
        self.blocks += seed.blocks;
        self.epochs += seed.epochs;
        for (sum, part) in [(&mut self.faults, &seed.faults), (&mut self.checks, &seed.checks)] {
            for (kind, count) in part {
                *sum.entry(kind).or_default() += count;
            }
        }
        self.failures.extend(seed.failure.clone().map(|failure| (seed.seed, failure)));
    }
}
