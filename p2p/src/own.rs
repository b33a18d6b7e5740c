//! What this node says of itself and may change while it runs. (Its role, too, but that is read from the registry.)

use std::sync::RwLock;
use std::time::{SystemTime, UNIX_EPOCH};

use galen_types::Hash;

use crate::sync::{read, write};

/// See the module's description.
pub(crate) struct Own {
    lineage: RwLock<Hash>,
}

impl Own {
    pub(crate) fn new(lineage: Hash) -> Self {
        Self { lineage: RwLock::new(lineage) }
    }

    /// Hash of the last recovery that this node's ledger holds; zero if none.
    pub(crate) fn lineage(&self) -> Hash {
        *read(&self.lineage)
    }

    /// Returns whether it was another one before.
    pub(crate) fn set_lineage(&self, lineage: Hash) -> bool {
        std::mem::replace(&mut *write(&self.lineage), lineage) != lineage
    }
}

/// This node's clock: milliseconds since 1970, UTC.
pub(crate) fn clock_ms() -> u64 {
    // A clock before 1970 says 0, and its difference shows.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// How far a peer's clock is ahead of ours, in milliseconds; behind is negative.
pub(crate) fn clock_difference_ms(theirs_ms: u64) -> i64 {
    let difference = i128::from(theirs_ms) - i128::from(clock_ms());
    i64::try_from(difference).unwrap_or(if difference < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_have_a_sign_and_never_overflow() {
        assert!((59_000..=60_000).contains(&clock_difference_ms(clock_ms() + 60_000)));
        assert!(clock_difference_ms(clock_ms() - 60_000) <= -60_000);
        assert_eq!(clock_difference_ms(u64::MAX), i64::MAX);
        assert!(clock_difference_ms(0) < 0);
    }

    #[test]
    fn a_change_of_lineage_is_told_from_a_repetition() {
        let own = Own::new(Hash::ZERO);
        assert!(own.set_lineage(Hash([1; 32])));
        assert!(!own.set_lineage(Hash([1; 32])));
        assert_eq!(own.lineage(), Hash([1; 32]));
    }
}
