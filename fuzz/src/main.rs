//! `cargo run --release -p galen-fuzz -- COMMAND`: long runs, replays, and the corpus. See the README.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a command")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use galen_fuzz::campaign::{Plan, Report, run};
use galen_fuzz::corpus;
use galen_fuzz::judge::judge;
use galen_fuzz::target::Target;
use galen_fuzz::targets::{self, Make};

const USAGE: &str = "usage:
  galen-fuzz list                                   the targets
  galen-fuzz run [--seconds N] [--seed S] [--keep N] [TARGET...]
                                                    N seconds a target (60), all targets unless some are named; up to
                                                    --keep inputs a target that reached something new join the corpus
  galen-fuzz replay TARGET FILE...                  judges these inputs
  galen-fuzz seeds                                  writes the valid encodings of today into the corpus";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ok = match words.as_slice() {
        ["list"] => {
            targets::ALL.iter().for_each(|(name, _)| println!("{name}"));
            true
        }
        ["run", options @ ..] => match Options::read(options) {
            Some(options) => options.run(),
            None => usage(),
        },
        ["replay", target, files @ ..] if !files.is_empty() => match targets::find(target) {
            Some(make) => replay(make, files),
            None => usage(),
        },
        ["seeds"] => {
            targets::ALL.iter().for_each(|(name, make)| seeds(name, *make));
            true
        }
        _ => usage(),
    };
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage() -> bool {
    eprintln!("{USAGE}");
    false
}

struct Options {
    seconds: u64,
    seed: u64,
    keep: usize,
    targets: Vec<(&'static str, Make)>,
}

impl Options {
    fn read(words: &[&str]) -> Option<Self> {
        let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
        let mut options = Self { seconds: 60, seed: now, keep: 0, targets: Vec::new() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--seconds" => options.seconds = words.next()?.parse().ok()?,
                "--seed" => options.seed = words.next()?.parse().ok()?,
                "--keep" => options.keep = words.next()?.parse().ok()?,
                name => options.targets.push(*targets::ALL.iter().find(|(known, _)| *known == name)?),
            }
        }
        if options.targets.is_empty() {
            options.targets = targets::ALL.to_vec();
        }
        Some(options)
    }

    fn run(&self) -> bool {
        println!("seed {}, {} s a target", self.seed, self.seconds);
        println!(
            "{:<16} {:>12} {:>9} {:>8} {:>9} {:>8}",
            "target", "executions", "accepted", "reached", "seconds", "finding"
        );
        let mut sound = true;
        for (name, make) in &self.targets {
            let plan = Plan { time: Duration::from_secs(self.seconds), seed: self.seed, executions_max: u64::MAX };
            let report = run(name, &|| make(), plan);
            println!(
                "{name:<16} {:>12} {:>8.1}% {:>8} {:>9.1} {:>8}",
                report.executions,
                100.0 * report.accepted as f64 / report.executions.max(1) as f64,
                report.reached,
                report.time.as_secs_f64(),
                report.finding.as_ref().map_or("none", |finding| finding.cause.code()),
            );
            self.keep(name, &report);
            if let Some(finding) = &report.finding {
                println!("{}", corpus::report(name, finding));
                sound = false;
            }
        }
        sound
    }

    /// Keeps the shortest of what reached something new.
    fn keep(&self, name: &str, report: &Report) {
        let mut news: Vec<_> = report.news.iter().collect();
        news.sort_by_key(|input| input.len());
        for input in news.into_iter().take(self.keep) {
            corpus::keep(&corpus::folder(name), input);
        }
    }
}

fn replay(make: Make, files: &[&str]) -> bool {
    let mut target: Box<dyn Target> = make();
    target.seeds();
    let mut sound = true;
    for file in files {
        match std::fs::read(file) {
            Err(error) => {
                eprintln!("{file}: {error}");
                sound = false;
            }
            Ok(input) => match judge(&mut *target, &input) {
                Ok(trace) => println!("{file}: holds ({})", if trace.accepted() { "accepted" } else { "refused" }),
                Err(cause) => {
                    println!("{file}: {cause}");
                    sound = false;
                }
            },
        }
    }
    sound
}

/// Writes each different seed once.
fn seeds(name: &str, make: Make) {
    let seeds: BTreeMap<_, _> = make().seeds().into_iter().map(|seed| (corpus::name_of(&seed), seed)).collect();
    let bytes: usize = seeds.values().map(Vec::len).sum();
    for seed in seeds.values() {
        corpus::keep(&corpus::folder(name), seed);
    }
    println!("{name}: {} seeds, {bytes} bytes", seeds.len());
}
