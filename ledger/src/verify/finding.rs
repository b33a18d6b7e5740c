//! What verification found.

use std::fmt;

use crate::constants::FINDINGS_MAX;
use crate::error::LedgerError;
use crate::store::column::Column;
use crate::store::place_in;

/// One thing that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The column family.
    pub column: &'static str,
    /// The height or key.
    pub place: String,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, {}: {}", self.column, self.place, self.problem)
    }
}

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// RocksDB cannot read it: its own checksums do not match, or the disk fails.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// The bytes are no such key or value.
    #[error("it is malformed: {0}")]
    Malformed(String),
    /// A row that must be there is not.
    #[error("it is missing")]
    Missing,
    /// A row that nothing accounts for.
    #[error("nothing accounts for it")]
    Stray,
    /// A value that differs from what the rest of the chain says.
    #[error("its {what} is {stored}, but must be {expected}")]
    Differs {
        /// Which part.
        what: &'static str,
        /// As stored.
        stored: String,
        /// As recomputed.
        expected: String,
    },
    /// A signature or certificate that does not hold.
    #[error("its signature does not hold: {0}")]
    Signature(String),
    /// Executing the block again failed.
    #[error("it cannot be executed again: {0}")]
    Execution(String),
}

impl Problem {
    /// A stable code for interfaces and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "verify-unreadable",
            Self::Malformed(_) => "verify-malformed",
            Self::Missing => "verify-missing",
            Self::Stray => "verify-stray",
            Self::Differs { .. } => "verify-differs",
            Self::Signature(_) => "verify-signature",
            Self::Execution(_) => "verify-execution",
        }
    }

    /// A value that differs.
    pub(crate) fn differs(what: &'static str, stored: impl fmt::Display, expected: impl fmt::Display) -> Self {
        Self::Differs { what, stored: stored.to_string(), expected: expected.to_string() }
    }
}

/// Collects findings, a bounded number of them.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) kept: Vec<Finding>,
    pub(crate) total: u64,
}

impl Findings {
    /// Adds a finding about a row.
    pub(crate) fn add<C: Column>(&mut self, key: &[u8], problem: Problem) {
        self.add_at::<C>(place_in(C::NAME, key), problem);
    }

    /// Adds a finding about a place.
    pub(crate) fn add_at<C: Column>(&mut self, place: String, problem: Problem) {
        self.total += 1;
        if self.kept.len() < FINDINGS_MAX {
            self.kept.push(Finding { column: C::NAME, place, problem });
        }
    }

    /// Adds a finding when a value differs from what it must be.
    pub(crate) fn check<C: Column, T: PartialEq + fmt::Display>(
        &mut self,
        key: &[u8],
        what: &'static str,
        stored: &T,
        expected: &T,
    ) {
        if stored != expected {
            self.add::<C>(key, Problem::differs(what, stored, expected));
        }
    }

    /// Adds what an error of reading says.
    pub(crate) fn add_error<C: Column>(&mut self, key: &[u8], error: LedgerError) {
        match error {
            LedgerError::Damaged { problem, .. } => self.add::<C>(key, Problem::Malformed(problem)),
            // Where reading ended it knows better than its caller.
            LedgerError::Unreadable { place, problem, .. } => self.add_at::<C>(place, Problem::Unreadable(problem)),
            error => self.add::<C>(key, Problem::Unreadable(error.to_string())),
        }
    }
}
