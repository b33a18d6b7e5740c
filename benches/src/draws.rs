//! Choices that follow from a seed.

use std::time::Duration;

/// A stream of choices: the same seed and name give the same ones in every run and on every machine.
pub(crate) struct Draws {
    stream: blake3::OutputReader,
}

impl Draws {
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("galen 2026 bench draws v1");
        hasher.update(&seed.to_le_bytes());
        hasher.update(name.as_bytes());
        Self { stream: hasher.finalize_xof() }
    }

    /// A number below a bound; 0 where that is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let mut bytes = [0; 8];
        self.stream.fill(&mut bytes);
        // The bias is below 2^-32 for every bound that is used.
        usize::try_from(u64::from_le_bytes(bytes) % (bound.max(1) as u64)).unwrap_or(0)
    }

    /// One of several; `None` of none.
    pub(crate) fn one_of<'items, T>(&mut self, items: &'items [T]) -> Option<&'items T> {
        items.get(self.below(items.len()))
    }

    /// A time from `low` to below `high`, in whole milliseconds.
    pub(crate) fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let width = usize::try_from(high.saturating_sub(low).as_millis()).unwrap_or(usize::MAX);
        low + Duration::from_millis(self.below(width) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_name_choose_the_same() {
        let drawn = |seed, name| (0..20).map(|_| Draws::new(seed, name).below(1_000)).collect::<Vec<_>>();
        assert_eq!(drawn(1, "a"), drawn(1, "a"));
        let all = |seed, name: &str| {
            let mut draws = Draws::new(seed, name);
            (0..20).map(|_| draws.below(1_000)).collect::<Vec<_>>()
        };
        assert_eq!(all(1, "a"), all(1, "a"));
        assert_ne!(all(1, "a"), all(2, "a"));
        assert_ne!(all(1, "a"), all(1, "b"));
        let mut draws = Draws::new(1, "time");
        let (low, high) = (Duration::from_millis(300), Duration::from_secs(3));
        assert!((0..100).map(|_| draws.between(low, high)).all(|time| (low..high).contains(&time)));
        assert_eq!(draws.one_of::<u8>(&[]), None);
    }
}
