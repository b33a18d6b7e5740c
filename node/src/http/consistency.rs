//! How old an answer about the chain may be, and the height that it is true of.
//!
//! An answer names its height in the header `galen-height`: it says what the chain says after that block. By default that
//! is the newest block that this node has applied, which others may have gone beyond. With `consistency=linearizable` the
//! node first has it confirmed that it holds everything that was acknowledged anywhere before the request, and only then
//! looks who asks, whether they may, and what there is: all in the same view.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use galen_types::api::Consistency;

use super::limits::{WAIT_MS_DEFAULT, WAIT_MS_MAX};
use super::query::{Parameter, Query};
use super::refusal::Refusal;

/// How long to wait.
pub(crate) const TIMEOUT: Parameter = Parameter::new("timeout_ms", "How long to wait: 1 to 60000, 10000 if not said");
/// The parameters of every read of the chain.
pub(crate) const READ: [Parameter; 2] = [
    Parameter::new(
        "consistency",
        "`local` (if not said): what this node holds; `linearizable`: at least all that was acknowledged before the request, or 503",
    ),
    TIMEOUT,
];

/// How long the client waits.
pub(crate) fn patience(query: &Query) -> Result<Duration, Refusal> {
    let timeout_ms = query.get("timeout_ms")?.unwrap_or(WAIT_MS_DEFAULT);
    if (1..=WAIT_MS_MAX).contains(&timeout_ms) {
        return Ok(Duration::from_millis(timeout_ms));
    }
    Err(Refusal::ParameterInvalid { name: "timeout_ms", problem: format!("it must be 1 to {WAIT_MS_MAX}") })
}

/// Until when a read must be confirmed to be linearizable; `None` where it need not be.
pub(crate) fn confirmed_by(query: &Query) -> Result<Option<Instant>, Refusal> {
    match query.get("consistency")?.unwrap_or_default() {
        Consistency::Local => Ok(None),
        Consistency::Linearizable => Ok(Some(Instant::now() + patience(query)?)),
    }
}

/// The height that an answer is true of, and one; 0 while nothing of the chain was read for it.
#[derive(Debug, Default)]
pub(crate) struct ReadHeight(AtomicU64);

impl ReadHeight {
    /// Something was read as of a height; of several the highest counts.
    pub(crate) fn note(&self, height: u64) {
        self.0.fetch_max(height.saturating_add(1), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Option<u64> {
        self.0.load(Ordering::Relaxed).checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_height_counts() {
        let height = ReadHeight::default();
        assert_eq!(height.get(), None);
        for (noted, counts) in [(0, 0), (7, 7), (5, 7), (9, 9)] {
            height.note(noted);
            assert_eq!(height.get(), Some(counts));
        }
    }
}
