//! The simulator sees: every planted bug is found, by the oracle and not by its own code, and without a bug the seeds that
//! find them pass.

use std::collections::BTreeSet;
use std::time::Instant;

use galen_planted::Bug;
use galen_simulation::{Scenario, SeedReport, run_seed, run_seed_with};

mod known;

use known::KNOWN;

/// Seeds that are tried from the known one on: a change of the replica or the simulator changes what a seed draws.
const NEAR: u64 = 60;
/// Seeds within which a bug must be found, from 1 on.
const SEEDS_MAX: u64 = 500;

/// The first seed from `first` on that finds a bug.
fn find(bug: Bug, scenario: Scenario, steps: u64, first: u64, seeds: u64) -> Option<SeedReport> {
    let mut reports = (first..first + seeds).map(|seed| run_seed_with(bug, scenario, seed, steps));
    reports.find(|report| report.failure.is_some())
}

/// The broken rule in one line.
fn rule(report: &SeedReport) -> String {
    let cause = report.failure.as_ref().map_or("", |failure| failure.cause.as_str());
    let mut line = cause.lines().next().unwrap_or_default().replace('|', "/");
    if line.starts_with("assertion `left == right` failed: ") {
        line = line.replace("assertion `left == right` failed: ", "");
    }
    line.chars().take(160).collect()
}

/// Every third of the known ones, so that they are looked for on several processors.
fn look_for(part: usize) {
    let mut found = BTreeSet::new();
    for (bug, scenario, steps, first) in KNOWN.iter().skip(part).step_by(3) {
        let report = find(*bug, *scenario, *steps, *first, NEAR);
        assert!(report.is_some(), "{bug} is not found by {NEAR} seeds of {scenario} from {first} on, of {steps} steps");
        if let Some(report) = report {
            println!("{bug}: {scenario}, seed {}: {}", report.seed, rule(&report));
            found.insert((*scenario, report.seed, *steps));
        }
    }
    for (scenario, seed, steps) in found {
        let sound = run_seed(scenario, seed, steps);
        assert_eq!(sound.failure, None, "without a bug: {scenario}, seed {seed}");
    }
}

#[test]
fn every_planted_bug_is_found_first_part() {
    look_for(0);
}

#[test]
fn every_planted_bug_is_found_second_part() {
    look_for(1);
}

#[test]
fn every_planted_bug_is_found_third_part() {
    look_for(2);
}

#[test]
fn every_bug_is_looked_for_once() {
    let known: BTreeSet<_> = KNOWN.iter().map(|(bug, ..)| *bug).collect();
    assert_eq!(known.len(), KNOWN.len());
    assert_eq!(known, Bug::ALL.iter().copied().collect());
    assert!(KNOWN.iter().all(|(.., first)| *first <= SEEDS_MAX));
}

/// Prints the table of `README.md`: the first seed from 1 on that finds each bug, in the scenario that is known to.
/// `GALEN_BUGS` names some, separated by commas; `GALEN_SCENARIO` and `GALEN_STEPS` look elsewhere.
#[test]
#[ignore = "takes long"]
fn table() {
    let set = |name: &str| std::env::var(name).ok();
    let bugs = set("GALEN_BUGS").filter(|list| list != "all");
    let bugs: Option<Vec<Bug>> = bugs.map(|list| list.split(',').map(|bug| bug.parse().unwrap()).collect());
    let seeds = set("GALEN_SEEDS").map_or(SEEDS_MAX, |text| text.parse().unwrap());
    println!("| bug | what it does wrong | scenario, steps | first seed | what the oracle said |");
    println!("|---|---|---|---|---|");
    for bug in Bug::ALL {
        let known = KNOWN.iter().find(|(known, ..)| known == bug);
        let (scenario, steps) = known.map_or((Scenario::Faults, 80), |(_, scenario, steps, _)| (*scenario, *steps));
        if bugs.as_ref().is_some_and(|bugs| !bugs.contains(bug)) {
            continue;
        }
        let scenario = set("GALEN_SCENARIO").map_or(scenario, |text| text.parse().unwrap());
        let steps = set("GALEN_STEPS").map_or(steps, |text| text.parse().unwrap());
        let began = Instant::now();
        let (seed, said) = match find(*bug, scenario, steps, 1, seeds) {
            Some(report) => (report.seed.to_string(), rule(&report)),
            None => (format!("none of {seeds}"), String::new()),
        };
        println!("| `{bug}` | {} | {scenario}, {steps} | {seed} | {said} |", bug.what());
        eprintln!("{bug}: {:.1?}", began.elapsed());
    }
}

/// Runs seeds without a bug and prints those that fail: a quick way to search where the command line is not built.
#[test]
#[ignore = "searches"]
fn sound() {
    let number = |name: &str, otherwise| std::env::var(name).map_or(otherwise, |text| text.parse().unwrap());
    let (first, seeds, steps) = (number("GALEN_SEED", 1), number("GALEN_SEEDS", 20), number("GALEN_STEPS", 150));
    let scenarios: Vec<Scenario> = std::env::var("GALEN_SCENARIO")
        .map_or(Scenario::ALL.to_vec(), |list| list.split(',').map(|text| text.parse().unwrap()).collect());
    let mut failed = 0;
    for scenario in scenarios {
        for seed in first..first + seeds {
            let report = run_seed(scenario, seed, steps);
            let Some(failure) = &report.failure else { continue };
            failed += 1;
            println!("{}\n{}\n{}\n{}\n", failure.replay, report.world, failure.cause, failure.story.join("\n"));
        }
        println!("{scenario}: {seeds} seeds from {first} on, {failed} failed so far");
    }
    assert_eq!(failed, 0);
}
