//! Which points are tried.

use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// All points, or some of each stratum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// Every one, or every one of a part, so that several runs side by side try all.
    Every {
        /// Which part, from 0.
        part: usize,
        /// How many parts there are, at least 1.
        parts: usize,
    },
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
            Self::Every { .. } => 0,
            Self::Sample { seed, .. } => seed,
        };
        ChaCha8Rng::seed_from_u64(seed ^ ((point as u64) << 20)).random()
    }

    /// The places that are tried of a list of strata, ascending.
    pub(super) fn of<Stratum: Ord + Copy>(self, strata: &[Stratum]) -> Vec<usize> {
        let (points, seed) = match self {
            Self::Every { part, parts } => return (part..strata.len()).step_by(parts).collect(),
            Self::Sample { points, seed } => (points, seed),
        };
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
    }

    #[test]
    fn the_parts_make_up_the_whole() {
        assert_eq!(Selection::Every { part: 0, parts: 1 }.of(&[0; 10]), (0..10).collect::<Vec<_>>());
        let mut all: Vec<_> = (0..3).flat_map(|part| Selection::Every { part, parts: 3 }.of(&[0; 10])).collect();
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
    }
}
