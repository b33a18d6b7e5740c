//! A short run of every target, the kept corpora, and the canaries. In a build without optimisation this takes under a
//! minute on two cores; long runs are a command, see the README.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests assert by panicking")]

use std::time::Duration;

use galen_fuzz::campaign::{Plan, run};
use galen_fuzz::corpus;
use galen_fuzz::judge::judge;
use galen_fuzz::target::Target;
use galen_fuzz::targets::canary::{Bug, Canary};
use galen_fuzz::targets::{self, ALL};

/// For each target; several run at once.
const TIME: Duration = Duration::from_secs(3);
/// Bytes of all corpora together.
const CORPUS_BYTES_MAX: u64 = 500 << 10;

fn short(name: &str) {
    let make = targets::find(name).unwrap();
    let mut target = make();
    for seed in target.seeds() {
        // Those that may be refused are made for the moment.
        assert!(
            !target.accepts_seeds() || corpus::folder(name).join(corpus::name_of(&seed)).is_file(),
            "{name}: the corpus lacks a valid encoding of today: cargo run -p galen-fuzz -- seeds"
        );
        match judge(&mut *target, &seed) {
            Ok(trace) => assert!(
                trace.accepted() || !target.accepts_seeds(),
                "{name}: a valid encoding of today is refused: {}",
                hex(&seed)
            ),
            Err(cause) => panic!("{name}: {cause} with the valid encoding {}", hex(&seed)),
        }
    }
    for folder in [corpus::folder(name), corpus::crashes(name)] {
        for (path, input) in corpus::read(&folder) {
            if let Err(cause) = judge(&mut *target, &input) {
                panic!("{name}: {cause}\n  see it again: cargo run -p galen-fuzz -- replay {name} {}", path.display());
            }
        }
    }
    drop(target);
    let report = run(name, &|| make(), Plan { time: TIME, seed: 1, executions_max: u64::MAX });
    println!("{name}: {} executions, {} accepted, {} reached", report.executions, report.accepted, report.reached);
    if let Some(finding) = &report.finding {
        panic!("{}", corpus::report(name, finding));
    }
    assert!(report.accepted > 0 && report.reached > 1, "{name} reaches nothing: {report:?}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(200).map(|byte| format!("{byte:02x}")).collect()
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            short(stringify!($name));
        })*

        #[test]
        fn every_target_has_a_short_run() {
            let here = [$(stringify!($name)),*];
            assert!(ALL.iter().all(|(name, _)| here.contains(name)), "add the new target's name above");
        }
    };
}

targets! {
    configuration
    consensus
    execution
    files
    frames
    http
    keys
    log
    ordering
    proofs
    sync
    tables
    transactions
}

/// Whether the harness finds what was planted: a harness that is blind finds nothing anywhere.
#[test]
fn every_canary_is_caught_and_its_input_shows_it_again() {
    for bug in Bug::ALL {
        let make = || Box::new(Canary::new(bug)) as Box<dyn Target>;
        let plan = Plan { time: Duration::from_secs(20), seed: 1, executions_max: u64::MAX };
        let report = run("canary", &make, plan);
        let finding = report.finding.unwrap_or_else(|| panic!("{bug:?} is not found in {} inputs", report.executions));
        let expected = match bug {
            Bug::Panic => "panic",
            Bug::Memory => "memory",
            Bug::Time => "time",
            Bug::TwoEncodings | Bug::Forgery => "claim",
        };
        assert_eq!(finding.cause.code(), expected, "{bug:?}: {}", finding.cause);
        println!("{bug:?}: after {} inputs: {}", report.executions, finding.cause);
        let again = judge(&mut *make(), &finding.input).expect_err("the input shows it again");
        assert_eq!(again.code(), expected);
    }
}

#[test]
fn the_corpora_stay_small() {
    let folders = ALL.iter().flat_map(|(name, _)| [corpus::folder(name), corpus::crashes(name)]);
    let bytes: usize = folders.flat_map(|folder| corpus::read(&folder)).map(|(_, bytes)| bytes.len()).sum();
    assert!((bytes as u64) < CORPUS_BYTES_MAX, "{bytes} bytes");
}
