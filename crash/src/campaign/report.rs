//! What came of the points that were tried.

use std::collections::BTreeMap;
use std::fmt;

use crate::life::Fault;

/// A point after which a promise was broken.
#[derive(Debug)]
pub struct Failure {
    /// Which point.
    pub point: String,
    /// What was broken.
    pub fault: Fault,
}

/// The points that were tried, by kind, and those that failed.
#[derive(Debug, Default)]
pub struct Report {
    /// How many of each kind.
    pub tried: BTreeMap<&'static str, usize>,
    /// What failed.
    pub failures: Vec<Failure>,
}

impl Report {
    /// Counts a point.
    pub(super) fn add(&mut self, kind: &'static str, point: &str, outcome: Result<(), Fault>) {
        *self.tried.entry(kind).or_default() += 1;
        match outcome {
            Ok(()) => eprintln!("ok      {kind}: {point}"),
            Err(fault) => {
                eprintln!("FAILED  {kind}: {point}\n        {fault}");
                self.failures.push(Failure { point: format!("{kind}: {point}"), fault });
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, count) in &self.tried {
            writeln!(formatter, "{kind:12} {count:6} points")?;
        }
        for failure in &self.failures {
            writeln!(formatter, "failed: {}\n  {}", failure.point, failure.fault)?;
        }
        write!(formatter, "{} failed", self.failures.len())
    }
}
