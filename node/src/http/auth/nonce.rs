//! Each nonce is taken once: remembered until its request would be too old anyway.

use std::collections::{BTreeMap, HashSet};

use galen_types::request_signature::REQUEST_TIME_WINDOW_MS;
use galen_types::{AccountName, Timestamp};

use crate::http::limits::NONCES_MAX;

/// What became of a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// New; now it is used.
    First,
    /// Used before.
    Again,
    /// Nothing more can be remembered for now.
    Full,
}

/// The nonces of requests whose time still lies in the window, by the second of their time.
pub(super) struct Nonces {
    by_second: BTreeMap<u64, HashSet<(AccountName, [u8; 16])>>,
    count: usize,
    max: usize,
}

impl Nonces {
    pub(super) fn new() -> Self {
        Self::with_max(NONCES_MAX)
    }

    fn with_max(max: usize) -> Self {
        Self { by_second: BTreeMap::new(), count: 0, max }
    }

    /// Takes the nonce of a request whose time was found within the window around `now`.
    pub(super) fn take(&mut self, account: &AccountName, nonce: [u8; 16], time: Timestamp, now: Timestamp) -> Taken {
        let oldest = now.0.saturating_sub(REQUEST_TIME_WINDOW_MS) / 1000;
        while let Some(entry) = self.by_second.first_entry().filter(|entry| *entry.key() < oldest) {
            self.count -= entry.remove().len();
        }
        let used = self.by_second.entry(time.0 / 1000).or_default();
        let request = (account.clone(), nonce);
        if used.contains(&request) {
            return Taken::Again;
        }
        if self.count >= self.max {
            return Taken::Full;
        }
        used.insert(request);
        self.count += 1;
        Taken::First
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice() -> AccountName {
        "alice@harlem".parse().unwrap()
    }

    #[test]
    fn a_nonce_is_taken_once_within_the_window() {
        let mut nonces = Nonces::new();
        let sent = Timestamp(1_000_000);
        let late = sent.plus_ms(REQUEST_TIME_WINDOW_MS);
        assert_eq!(nonces.take(&alice(), [1; 16], sent, sent), Taken::First);
        assert_eq!(nonces.take(&alice(), [1; 16], sent, late), Taken::Again);
        assert_eq!(nonces.take(&alice(), [2; 16], sent, late), Taken::First);
        assert_eq!(nonces.take(&"bob@harlem".parse().unwrap(), [1; 16], sent, late), Taken::First);
    }

    #[test]
    fn memory_is_bounded_and_comes_back() {
        let mut nonces = Nonces::with_max(2);
        let sent = Timestamp(1_000_000);
        assert_eq!(nonces.take(&alice(), [1; 16], sent, sent), Taken::First);
        assert_eq!(nonces.take(&alice(), [2; 16], sent, sent), Taken::First);
        assert_eq!(nonces.take(&alice(), [3; 16], sent, sent), Taken::Full);
        assert_eq!(nonces.take(&alice(), [1; 16], sent, sent), Taken::Again, "a full memory still finds replays");
        let later = sent.plus_ms(REQUEST_TIME_WINDOW_MS + 2_000);
        assert_eq!(nonces.take(&alice(), [3; 16], later, later), Taken::First);
        assert_eq!(nonces.count, 1);
    }
}
