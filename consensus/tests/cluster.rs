//! Groups under seeds: safety under faults, recovery after them, and mutants that must be caught.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests assert by panicking")]

mod support;

use support::cluster::Cluster;
use support::world::{Mutant, Seen};

/// Runs seeds in turn; a failure names its seed.
fn run(seeds: std::ops::Range<u64>, mutant: Mutant) -> (Vec<(u64, String)>, Seen) {
    let mut failed = Vec::new();
    let mut seen = Seen::default();
    for seed in seeds {
        match Cluster::torture(seed, mutant, 600) {
            Ok((_, one)) => seen += one,
            Err(error) => failed.push((seed, error)),
        }
    }
    (failed, seen)
}

#[test]
fn groups_stay_safe_under_faults_and_recover_after_them() {
    let (failed, seen) = run(0..250, Mutant::None);
    println!("{seen:?}");
    assert!(failed.is_empty(), "{failed:#?}");
    // A harness in which nothing goes wrong proves nothing.
    assert!(seen.commits > 10_000 && seen.crashes > 1_000 && seen.elections > 500, "{seen:?}");
    assert!(
        seen.torn > 10
            && seen.restored > 20
            && seen.overwritten > 20
            && seen.removed_segments > 100
            && seen.changes > 100,
        "{seen:?}"
    );
}

#[test]
fn a_disk_that_does_not_sync_is_caught() {
    let (failed, _) = run(0..40, Mutant::NoSync);
    println!("{failed:#?}");
    assert!(failed.len() >= 5, "only {failed:?}");
}

#[test]
fn messages_before_the_sync_are_caught() {
    let (failed, _) = run(0..40, Mutant::SendBeforePersist);
    println!("{failed:#?}");
    assert!(failed.len() >= 5, "only {failed:?}");
}

#[test]
fn one_seed_is_one_history() {
    for seed in [3, 14, 15, 92] {
        let first = trace(seed);
        for _ in 0..2 {
            assert_eq!(trace(seed), first, "seed {seed}");
        }
    }
    assert_ne!(trace(3), trace(4));
}

/// A hash over all effects of all nodes.
fn trace(seed: u64) -> blake3::Hash {
    Cluster::torture(seed, Mutant::None, 400).unwrap().0
}

/// Runs the seeds of `SEEDS` (`from..to`) as long as one likes: `SEEDS=0..100000 cargo test -p galen-consensus --test
/// cluster more -- --ignored --nocapture`.
#[test]
#[ignore = "a search of its own length"]
fn more_seeds() {
    let seeds = std::env::var("SEEDS").expect("SEEDS=from..to");
    let (from, to) = seeds.split_once("..").expect("SEEDS=from..to");
    for seed in from.parse::<u64>().unwrap()..to.parse().unwrap() {
        if let Err(error) = Cluster::torture(seed, Mutant::None, 600) {
            println!("seed {seed}: {error}");
        }
    }
}
