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
pub(crate) struct Rates<K> {
    buckets: HashMap<K, Bucket>,
    burst: u64,
    /// Thousandths of a token that come back in a second.
    millitokens_per_second: u64,
    max: usize,
}

impl<K: Hash + Eq + Clone> Rates<K> {
    pub(crate) fn new(burst: u32, per_second: u32, max: usize) -> Self {
        Self::of(burst, u64::from(per_second) * 1000, max)
    }

    /// With so many tokens a minute.
    pub(crate) fn per_minute(burst: u32, per_minute: u32, max: usize) -> Self {
        Self::of(burst, u64::from(per_minute) * 1000 / 60, max)
    }

    fn of(burst: u32, millitokens_per_second: u64, max: usize) -> Self {
        Self { buckets: HashMap::new(), burst: u64::from(burst) * 1000, millitokens_per_second, max }
    }

    fn level(&self, bucket: &Bucket, now: Instant) -> u64 {
        let elapsed = u64::try_from(now.saturating_duration_since(bucket.filled).as_millis()).unwrap_or(u64::MAX);
        let back = elapsed.saturating_mul(self.millitokens_per_second) / 1000;
        bucket.millitokens.saturating_add(back).min(self.burst)
    }

    /// Whether a token is there; takes none.
    pub(crate) fn has(&self, key: &K, now: Instant) -> bool {
        self.buckets.get(key).is_none_or(|bucket| self.level(bucket, now) >= 1000)
    }

    /// Takes a token if one is there.
    pub(crate) fn take(&mut self, key: &K, now: Instant) -> bool {
        let level = match self.buckets.get(key) {
            Some(bucket) => self.level(bucket, now),
            None => {
                self.make_room(now);
                self.burst
            }
        };
        // A bucket that gives nothing is left as it is: what came back since is not rounded away by those who keep asking.
        let Some(millitokens) = level.checked_sub(1000) else { return false };
        self.buckets.insert(key.clone(), Bucket { millitokens, filled: now });
        true
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
    fn slow_rates_come_back_even_to_those_who_keep_asking() {
        let mut rates = Rates::per_minute(1, 6, 10);
        let start = Instant::now();
        let taken = (0..60_000).filter(|ms| rates.take(&"a", start + Duration::from_millis(*ms))).count();
        assert_eq!(taken, 6);
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
