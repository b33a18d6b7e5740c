//! Token buckets, one a key, for a bounded number of keys.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

/// A bucket: tokens in thousandths, as they were at a time.
struct Bucket {
    millitokens: u64,
    filled: Instant,
}

/// Rates of many keys. A key that is not remembered has a full bucket.
pub(super) struct Rates<K> {
    buckets: HashMap<K, Bucket>,
    burst: u64,
    per_second: u64,
    max: usize,
}

impl<K: Hash + Eq + Clone> Rates<K> {
    pub(super) fn new(burst: u32, per_second: u32, max: usize) -> Self {
        Self { buckets: HashMap::new(), burst: u64::from(burst) * 1000, per_second: per_second.into(), max }
    }

    fn level(&self, bucket: &Bucket, now: Instant) -> u64 {
        let elapsed = u64::try_from(now.saturating_duration_since(bucket.filled).as_millis()).unwrap_or(u64::MAX);
        // A token a second is a thousandth a millisecond.
        bucket.millitokens.saturating_add(elapsed.saturating_mul(self.per_second)).min(self.burst)
    }

    /// Whether a token is there; takes none.
    pub(super) fn has(&self, key: &K, now: Instant) -> bool {
        self.buckets.get(key).is_none_or(|bucket| self.level(bucket, now) >= 1000)
    }

    /// Takes a token if one is there.
    pub(super) fn take(&mut self, key: &K, now: Instant) -> bool {
        let level = match self.buckets.get(key) {
            Some(bucket) => self.level(bucket, now),
            None => {
                self.make_room(now);
                self.burst
            }
        };
        let (millitokens, taken) = match level.checked_sub(1000) {
            Some(rest) => (rest, true),
            None => (level, false),
        };
        self.buckets.insert(key.clone(), Bucket { millitokens, filled: now });
        taken
    }

    /// Forgets full buckets, and where that is not enough the tenth that was used the longest ago.
    fn make_room(&mut self, now: Instant) {
        if self.buckets.len() < self.max {
            return;
        }
        let full: Vec<K> = self
            .buckets
            .iter()
            .filter(|(_, bucket)| self.level(bucket, now) >= self.burst)
            .map(|(key, _)| key.clone())
            .collect();
        for key in &full {
            self.buckets.remove(key);
        }
        if self.buckets.len() < self.max {
            return;
        }
        let mut times: Vec<Instant> = self.buckets.values().map(|bucket| bucket.filled).collect();
        let place = times.len() / 10;
        let (_, cut, _) = times.select_nth_unstable(place);
        let cut = *cut;
        self.buckets.retain(|_, bucket| bucket.filled > cut);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_is_allowed_and_then_the_rate() {
        let mut rates = Rates::new(3, 2, 10);
        let start = Instant::now();
        let taken = (0..5).filter(|_| rates.take(&"a", start)).count();
        assert_eq!(taken, 3);
        assert!(!rates.has(&"a", start));
        assert!(rates.has(&"b", start));
        let later = start + Duration::from_millis(1000);
        assert_eq!((0..5).filter(|_| rates.take(&"a", later)).count(), 2);
    }

    #[test]
    fn keys_are_bounded() {
        let mut rates = Rates::new(1, 1, 10);
        let start = Instant::now();
        for key in 0..100u64 {
            assert!(rates.take(&key, start + Duration::from_millis(key)));
        }
        assert!(rates.buckets.len() <= 10);
        assert!(!rates.has(&99, start + Duration::from_millis(99)), "the newest is still known");
    }
}
