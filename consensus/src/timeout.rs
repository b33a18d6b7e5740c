//! Election timeouts from a seed.
//!
//! Raft draws them from the thread's random numbers, so that no run could be repeated. The core sets them again after
//! every tick and step from this function of its own state, and a run under one seed replays bit for bit.

/// The timeout in ticks, in `election_tick .. 2 * election_tick`, for the `draw`-th election timer of a node in a term.
pub(crate) fn election_timeout(seed: u64, id: u64, term: u64, draw: u64, election_tick: usize) -> usize {
    let mixed = mix(mix(mix(mix(seed) ^ id) ^ term) ^ draw);
    let span = u64::try_from(election_tick.max(1)).unwrap_or(u64::MAX);
    election_tick.saturating_add(usize::try_from(mixed % span).unwrap_or(0))
}

/// SplitMix64's output function (Steele, Lea, Flood 2014).
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_stay_in_range_and_differ_by_node_term_and_draw() {
        let all: Vec<usize> = (0..1000).map(|draw| election_timeout(7, 1, 1, draw, 10)).collect();
        assert!(all.iter().all(|timeout| (10..20).contains(timeout)));
        for wanted in 10..20 {
            assert!(all.contains(&wanted), "{wanted} is never drawn");
        }
        let other: Vec<usize> = (0..1000).map(|draw| election_timeout(7, 2, 1, draw, 10)).collect();
        assert_ne!(all, other);
    }
}
