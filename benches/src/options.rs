//! How much load, of what kind, for how long.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::BenchError;

/// What the transactions do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// Each publishes a dataset: the path of `data add`.
    Publish,
    /// Each asks for access to a dataset.
    Access,
    /// Half of each.
    Mixed,
}

/// Settings of a measurement.
#[derive(Debug, Clone)]
pub struct BenchOptions {
    /// Transactions a second in all; as fast as the clients can when `None`.
    pub rate: Option<u32>,
    /// How long is measured.
    pub duration: Duration,
    /// How long load runs before it is measured.
    pub warm_up: Duration,
    /// Transactions under way at a time: each client waits for its receipt before it sends the next.
    pub clients: usize,
    /// Accounts that sign.
    pub accounts: usize,
    /// What the transactions do.
    pub workload: Workload,
    /// Every acknowledged transaction is written here, synced at the end.
    pub acknowledged: Option<PathBuf>,
}

impl Default for BenchOptions {
    fn default() -> Self {
        Self {
            rate: None,
            duration: Duration::from_secs(20),
            warm_up: Duration::from_secs(3),
            clients: 256,
            accounts: 64,
            workload: Workload::Publish,
            acknowledged: None,
        }
    }
}

impl BenchOptions {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`BenchError::Options`] naming the first that does not go.
    pub fn check(&self) -> Result<(), BenchError> {
        let bounds = [
            ("--clients", self.clients, 1, 4_096),
            ("--accounts", self.accounts, 1, 10_000),
            ("--rate", self.rate.map_or(1, |rate| rate as usize), 1, 1_000_000),
        ];
        for (name, value, low, high) in bounds {
            if !(low..=high).contains(&value) {
                return Err(BenchError::Options(format!("{name} is {value}; it must be {low} to {high}")));
            }
        }
        if self.duration.is_zero() {
            return Err(BenchError::Options("--duration must be above 0".to_owned()));
        }
        Ok(())
    }
}
