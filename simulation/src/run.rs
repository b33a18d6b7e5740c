//! Seeds, one after the other.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;

use crate::cluster::{Cluster, STEP_MS};
use crate::report::{Failure, Report, SeedReport};
use crate::world::World;

/// What is simulated beside faults of network, disks, clocks and processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// The founders, under the heaviest faults.
    Faults,
    /// Voters and members come and go, keys rotate, disks are lost.
    Members,
    /// The same, then a majority of voters is lost for good and the rest recover.
    Recoveries,
    /// Disks set back to old copies, lost, with flipped bits.
    Disks,
    /// Forged frames, and a voter that signs headers which nobody computed.
    Liars,
    /// Faults that come when they hurt most, while voters and members come and go.
    Moments,
    /// Disks that are lost, and ledgers that come by snapshot from peers that crash, rot and lie.
    Snapshots,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Faults, Self::Members, Self::Recoveries, Self::Disks, Self::Liars, Self::Moments, Self::Snapshots];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Faults => "faults",
            Self::Members => "members",
            Self::Recoveries => "recoveries",
            Self::Disks => "disks",
            Self::Liars => "liars",
            Self::Moments => "moments",
            Self::Snapshots => "snapshots",
        }
    }

    fn world(self, seed: u64) -> World {
        match self {
            Self::Faults => World::swarm(seed),
            Self::Members => World::members(seed),
            Self::Recoveries => World { churn: 20, ..World::members(seed) },
            Self::Disks => World::disks(seed),
            Self::Liars => World::liars(seed),
            Self::Moments => World::moments(seed),
            Self::Snapshots => World::snapshots(seed),
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A scenario that there is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no scenario `{0}`; give faults, members, recoveries, disks, liars, moments or snapshots")]
pub struct UnknownScenario(String);

impl FromStr for Scenario {
    type Err = UnknownScenario;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|scenario| scenario.as_str() == text);
        found.ok_or_else(|| UnknownScenario(String::from(text)))
    }
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The first seed.
    pub first_seed: u64,
    /// How many seeds.
    pub seeds: u64,
    /// One scenario only; else each seed's number picks one in turn.
    pub scenario: Option<Scenario>,
    /// Steps under faults in each seed, of 50 ms each.
    pub steps: u64,
    /// Every so many seeds one is run twice and its traces are compared; 0 for never. Scenarios take turns, so best a prime.
    pub repeat_every: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { first_seed: 1, seeds: 100, scenario: None, steps: 300, repeat_every: 61 }
    }
}

/// Runs the seeds in this thread, telling `progress` of each; goes on after a failure.
pub fn run(options: &Options, progress: &mut dyn FnMut(&SeedReport)) -> Report {
    let mut report = Report::default();
    for seed in options.first_seed..options.first_seed.saturating_add(options.seeds) {
        let turn = Scenario::ALL[(seed % Scenario::ALL.len() as u64) as usize];
        let scenario = options.scenario.unwrap_or(turn);
        let mut one = run_seed(scenario, seed, options.steps);
        if options.repeat_every > 0 && seed.is_multiple_of(options.repeat_every) && one.failure.is_none() {
            report.repeated += 1;
            let again = run_seed(scenario, seed, options.steps);
            if again.trace != one.trace {
                let cause = format!("the second run of the seed gave trace {}, the first {}", again.trace, one.trace);
                one.failure = Some(Failure { cause, story: Vec::new(), replay: replay(scenario, seed, options.steps) });
            }
        }
        report.add(&one);
        progress(&one);
    }
    report
}

fn replay(scenario: Scenario, seed: u64, steps: u64) -> String {
    format!("galen testnet simulate --scenario {scenario} --seed {seed} --seeds 1 --steps {steps}")
}

/// Runs one seed with a planted bug; the replay line names it by the environment that the tests of planted bugs read.
#[cfg(feature = "planted")]
pub fn run_seed_with(bug: galen_planted::Bug, scenario: Scenario, seed: u64, steps: u64) -> SeedReport {
    galen_planted::with(Some(bug), || run_seed(scenario, seed, steps))
}

/// Runs one seed: `steps` under faults, then healing, progress, equality, and each folder verified.
pub fn run_seed(scenario: Scenario, seed: u64, steps: u64) -> SeedReport {
    let world = scenario.world(seed);
    let begun = catch_unwind(AssertUnwindSafe(|| Cluster::new(world, seed)));
    let mut cluster = match begun {
        Ok(cluster) => cluster,
        Err(payload) => return not_begun(scenario, seed, steps, &world, payload.as_ref()),
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        play(&mut cluster, scenario, steps);
        cluster.finish()
    }));
    let failure = outcome.as_ref().err().map(|payload| Failure {
        cause: cause(payload.as_ref()),
        story: cluster.story.clone(),
        replay: replay(scenario, seed, steps),
    });
    SeedReport {
        seed,
        scenario,
        world: format!("{world:?}"),
        simulated_ms: cluster.step * STEP_MS,
        events: cluster.oracle.events,
        blocks: cluster.seen().blocks,
        epochs: outcome.unwrap_or_default(),
        faults: cluster.injected.clone(),
        checks: cluster.oracle.checks.clone(),
        trace: cluster.oracle.trace_hash(),
        failure,
    }
}

/// A seed that failed before its first step.
fn not_begun(scenario: Scenario, seed: u64, steps: u64, world: &World, payload: &(dyn Any + Send)) -> SeedReport {
    let failure = Failure { cause: cause(payload), story: Vec::new(), replay: replay(scenario, seed, steps) };
    SeedReport {
        seed,
        scenario,
        world: format!("{world:?}"),
        simulated_ms: 0,
        events: 0,
        blocks: 0,
        epochs: 0,
        faults: Default::default(),
        checks: Default::default(),
        trace: galen_types::Hash::ZERO,
        failure: Some(failure),
    }
}

/// What a seed does before everything heals.
fn play(cluster: &mut Cluster, scenario: Scenario, steps: u64) {
    match scenario {
        Scenario::Faults
        | Scenario::Members
        | Scenario::Disks
        | Scenario::Liars
        | Scenario::Moments
        | Scenario::Snapshots => cluster.run(steps),
        Scenario::Recoveries => {
            cluster.run(steps / 2);
            // A majority can be lost only of a group that has a leader and is in no joint phase.
            let recovered = (0..20).any(|_| {
                cluster.run(10);
                cluster.lose_and_recover()
            });
            cluster.run(steps / 4);
            if recovered {
                cluster.bring_old_nodes_back();
                cluster.run(steps / 4);
                cluster.replace_lost_nodes();
            }
        }
    }
}

fn cause(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| String::from("a panic without a text"))
}
