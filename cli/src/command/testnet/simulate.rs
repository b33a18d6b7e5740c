//! `galen testnet simulate`: whole consortiums in this process, under seeds; see the crate `galen-simulation`.

use clap::Args;
use galen_simulation::{Failure, Options, Report, Scenario, SeedReport, run};
use serde_json::{Value, json};

use crate::error::CliError;
use crate::output::Output;
use crate::progress::spinner;

/// The bugs that are planted for the simulator's own tests are in no program that anybody runs.
const _: () = assert!(!galen_simulation::PLANTED, "the feature `planted` is for tests of the simulator alone");

#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// How many seeds, one after the other
    #[arg(long, value_name = "N", default_value_t = Options::default().seeds)]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "S", default_value_t = Options::default().first_seed)]
    seed: u64,
    /// One scenario only: faults, members, recoveries, disks, liars, moments or snapshots [default: each in turn]
    #[arg(long)]
    scenario: Option<Scenario>,
    /// Steps under faults in each seed, 50 ms each
    #[arg(long, value_name = "N", default_value_t = Options::default().steps)]
    steps: u64,
    /// Every so many seeds one is run twice, which must give the same trace; 0 for never
    #[arg(long, value_name = "N", default_value_t = Options::default().repeat_every)]
    repeat_every: u64,
}

pub(super) fn simulate(arguments: &Simulate, output: Output) -> Result<(), CliError> {
    let options = Options {
        first_seed: arguments.seed,
        seeds: arguments.seeds,
        scenario: arguments.scenario,
        steps: arguments.steps,
        repeat_every: arguments.repeat_every,
    };
    // A broken rule ends its seed by a panic, which is caught there and told below.
    std::panic::set_hook(Box::new(|_| {}));
    let bar = spinner(output);
    let mut failed = 0;
    let report = run(&options, &mut |seed: &SeedReport| {
        if let Some(failure) = &seed.failure {
            failed += 1;
            bar.suspend(|| output.note(&told(seed, failure)));
        }
        bar.set_message(format!("seed {} done, {failed} failed", seed.seed));
    });
    bar.finish_and_clear();
    drop(std::panic::take_hook());
    output.document(&as_json(&report), || as_text(&report))?;
    match report.failures.first() {
        None => Ok(()),
        Some((_, failure)) => {
            let count = report.failures.len();
            Err(CliError::failed(format!("{count} of {} seeds failed", report.seeds)).or_hint(failure.replay.clone()))
        }
    }
}

/// A failing seed: the line that replays it, and the broken rule.
fn told(seed: &SeedReport, failure: &Failure) -> String {
    let rule = failure.cause.lines().next().unwrap_or_default();
    format!("seed {} ({}) failed: {rule}\n  {}", seed.seed, seed.scenario, failure.replay)
}

fn as_json(report: &Report) -> Value {
    let failures: Vec<Value> = report
        .failures
        .iter()
        .map(|(seed, failure)| {
            json!({ "seed": seed, "replay": failure.replay, "cause": failure.cause, "story": failure.story })
        })
        .collect();
    json!({
        "seeds": report.seeds,
        "repeated": report.repeated,
        "simulated_hours": report.simulated_hours(),
        "events": report.events,
        "blocks": report.blocks,
        "epochs": report.epochs,
        "faults": report.faults,
        "checks": report.checks,
        "failures": failures,
    })
}

fn as_text(report: &Report) -> String {
    let mut lines = vec![
        format!("seeds            {} ({} of them twice, with the same trace)", report.seeds, report.repeated),
        format!("simulated hours  {:.2}", report.simulated_hours()),
        format!("blocks           {}, on all nodes together", report.blocks),
        format!("frames           {}", report.events),
        format!("voter sets       {}", report.epochs),
    ];
    for (title, counts) in [("faults injected", &report.faults), ("checks made", &report.checks)] {
        lines.push(format!("{title}  {}", counts.values().sum::<u64>()));
        lines.extend(counts.iter().map(|(kind, count)| format!("  {count:>10}  {kind}")));
    }
    lines.push(format!("failed           {}", report.failures.len()));
    lines.join("\n")
}
