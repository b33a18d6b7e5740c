//! Which points are tried.

use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// All points, or some of each stratum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// Every one.
    Every,
    /// So many, the same for the same seed: the strata take turns, so that the rare ones are among them.
    Sample {
        /// How many.
        points: usize,
        /// Decides which.
        seed: u64,
    },
}

impl Selection {
    /// A number that decides everything else about a point.
    pub(super) fn seed(self, point: usize) -> u64 {
        let seed = match self {
            Self::Every => 0,
            Self::Sample { seed, .. } => seed,
        };
        ChaCha8Rng::seed_from_u64(seed ^ ((point as u64) << 20)).random()
    }

    /// The places that are tried of a list of strata, ascending.
    pub(super) fn of<Stratum: Ord + Copy>(self, strata: &[Stratum]) -> Vec<usize> {
        let Self::Sample { points, seed } = self else { return (0..strata.len()).collect() };
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut by_stratum = std::collections::BTreeMap::<Stratum, Vec<usize>>::new();
        for (place, stratum) in strata.iter().enumerate() {
            by_stratum.entry(*stratum).or_default().push(place);
        }
        for places in by_stratum.values_mut() {
            places.shuffle(&mut random);
        }
        let mut by_stratum: Vec<_> = by_stratum.into_values().collect();
        by_stratum.shuffle(&mut random);
        let mut chosen = Vec::new();
        while chosen.len() < points.min(strata.len()) {
            for places in &mut by_stratum {
                chosen.extend(places.pop());
            }
        }
        chosen.truncate(points);
        chosen.sort_unstable();
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_the_rare_points_too() {
        let strata: Vec<u8> = (0..1_000).map(|place| u8::from(place == 700)).collect();
        let chosen = Selection::Sample { points: 10, seed: 7 }.of(&strata);
        assert_eq!(chosen.len(), 10);
        assert!(chosen.contains(&700) && chosen.is_sorted());
        assert_eq!(chosen, Selection::Sample { points: 10, seed: 7 }.of(&strata));
        assert_ne!(chosen, Selection::Sample { points: 10, seed: 8 }.of(&strata));
        assert_eq!(Selection::Every.of(&strata).len(), 1_000);
    }
}
