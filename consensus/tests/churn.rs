//! Groups whose members change under seeds: nodes join, are promoted, hand over, leave and die, through every fault.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests assert by panicking")]

mod support;

use support::cluster::Cluster;
use support::world::{Mutant, Seen};

/// Runs seeds in turn; a failure names its seed.
fn run(seeds: std::ops::Range<u64>, mutant: Mutant) -> (Vec<(u64, String)>, Seen) {
    let mut failed = Vec::new();
    let mut seen = Seen::default();
    for seed in seeds {
        match Cluster::churned(seed, mutant, 600) {
            Ok((_, one)) => seen += one,
            Err(error) => failed.push((seed, error)),
        }
    }
    (failed, seen)
}

#[test]
fn groups_that_change_stay_safe_and_become_what_is_wanted() {
    let (failed, seen) = run(0..300, Mutant::None);
    println!("{seen:?}");
    for (seed, error) in &failed {
        println!("seed {seed}: {error}");
    }
    assert!(failed.is_empty(), "{} seeds failed", failed.len());
    // A harness in which nothing goes wrong proves nothing.
    assert!(seen.commits > 10_000 && seen.crashes > 1_000 && seen.elections > 500, "{seen:?}");
    assert!(
        seen.changes > 1_000 && seen.joined > 300 && seen.joined_by_snapshot > 50 && seen.removed > 200,
        "{seen:?}"
    );
    assert!(seen.killed > 20 && seen.taken_over > 50 && seen.joint_faults > 100, "{seen:?}");
}

#[test]
fn an_id_that_comes_back_with_an_empty_disk_is_caught() {
    let (failed, _) = run(0..60, Mutant::Wiped);
    println!("{failed:#?}");
    assert!(failed.len() >= 5, "only {failed:?}");
}

#[test]
fn one_seed_is_one_history() {
    let trace = |seed| Cluster::churned(seed, Mutant::None, 300).unwrap().0;
    for seed in [1, 2, 3] {
        assert_eq!(trace(seed), trace(seed), "seed {seed}");
    }
    assert_ne!(trace(1), trace(2));
}

/// Runs the seeds of `SEEDS` (`from..to`) as long as one likes.
#[test]
#[ignore = "a search of its own length"]
fn more_seeds() {
    let seeds = std::env::var("SEEDS").expect("SEEDS=from..to");
    let (from, to) = seeds.split_once("..").expect("SEEDS=from..to");
    for seed in from.parse::<u64>().unwrap()..to.parse().unwrap() {
        if let Err(error) = Cluster::churned(seed, Mutant::None, 600) {
            println!("seed {seed}: {error}");
        }
    }
}
