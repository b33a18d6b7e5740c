//! Whole consortiums in one thread under a seed.
//!
//! A seed draws a world (how many voters, which faults and how often) and runs a cluster of real replicas in it: the real
//! ordering core and log over a simulated disk, the real executor, contracts and ledger, certification, catch-up, members
//! and voters that come and go, recoveries. Time, network, disks of the ordering log and clocks are simulated. After every event
//! the oracle checks what must hold; at the end all faults cease, the cluster must go on, and all replicas must be equal
//! and verify offline.
//!
//! A broken rule ends its seed with a panic, as does a panic in the code under test; both are caught at the seed's border
//! and become a [`Failure`] with the line that replays it.
//!
//! The ledgers are real ones, in a temporary folder in memory: what they store is part of what is tested, and a model of
//! them would hide their faults. What their disk loses is simulated by folders copied at each sync.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "a broken rule ends its seed by a panic, caught in `run`; the numbers of a simulation are small"
)]

mod access;
mod bases;
mod check;
mod churn;
mod cluster;
pub mod consortium;
mod damage;
mod faults;
mod ledger_faults;
mod ledger_world;
mod lies;
mod model;
mod moments;
mod network;
mod node;
mod oracle;
mod promises;
mod reads;
mod recoveries;
mod report;
mod run;
#[cfg(test)]
mod tests;
mod world;

pub use report::{Failure, Report, SeedReport};
#[cfg(feature = "planted")]
pub use run::run_seed_with;
pub use run::{Options, Scenario, UnknownScenario, run, run_seed};

/// Whether this is compiled with planted bugs: never in a release.
pub const PLANTED: bool = cfg!(feature = "planted");
