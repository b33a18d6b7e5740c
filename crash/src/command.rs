//! The command's arguments, and what is done for them.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use galen_crash::campaign::{
    Failing, Report, Selection, alter_bytes, fail_calls, interrupt_commands, kill_at_calls, lose_power, rehearse,
};
use galen_crash::disk::Loss;
use galen_crash::life::{LifeError, Stage};
use galen_crash::trace::Kind;

#[derive(Debug, Parser)]
#[command(name = "galen-crash", about = "Crashes a real node at every point where it changes files")]
struct Arguments {
    /// The `galen` program [default: the one beside this program]
    #[arg(long, value_name = "FILE", global = true)]
    program: Option<PathBuf>,
    /// How many voters the consortium has, 1 to 3; only `kill` can be done to one of several
    #[arg(long, default_value_t = 1, global = true)]
    voters: usize,
    /// Try every point instead of a sample
    #[arg(long, global = true)]
    every: bool,
    /// Try every point of one part, as 2/4: so four commands side by side try all
    #[arg(long, value_name = "I/N", value_parser = part, conflicts_with_all = ["every", "points"], global = true)]
    part: Option<(usize, usize)>,
    /// How many points of each kind and chapter a sample has
    #[arg(long, default_value_t = 20, global = true)]
    points: usize,
    /// Decides which, and what is left of what was not synced
    #[arg(long, default_value_t = 1, global = true)]
    seed: u64,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Count the calls that change files in an undisturbed life
    Count,
    /// Kill the node at the n-th call
    Kill {
        /// Lose power at the same moment, and with it what was not synced
        #[arg(long)]
        lose: bool,
    },
    /// Lose power after the n-th change
    Power,
    /// Fail the n-th write or sync with EIO, or have the disk full from the n-th call on
    Fail,
    /// Cut files at each byte, alter each byte, and zero each sector
    Bytes {
        /// Only files whose path in the home holds this text
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
    },
    /// Interrupt commands that write files, and lose power after them
    Commands,
    /// All of these
    All,
}

pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.voters > 1 && !matches!(arguments.command, Command::Count | Command::Kill { .. }) {
        eprintln!("error: only `kill` can be done to one voter of several");
        eprintln!("hint: leave --voters out");
        return ExitCode::from(2);
    }
    let started = Instant::now();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(&arguments)) {
        Ok(report) => {
            println!("{report}; {} s", started.elapsed().as_secs());
            if report.tried.is_empty() && !matches!(arguments.command, Command::Count) {
                eprintln!("error: no point was tried");
                eprintln!("hint: there are fewer points than parts; give fewer parts");
                return ExitCode::FAILURE;
            }
            if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A part, counted from 1, and how many there are.
fn part(text: &str) -> Result<(usize, usize), String> {
    let numbers = text.split_once('/').and_then(|(part, parts)| Some((part.parse().ok()?, parts.parse().ok()?)));
    numbers.filter(|(part, parts)| (1..=*parts).contains(part)).ok_or_else(|| "write it like 2/4".to_owned())
}

fn program(arguments: &Arguments) -> Result<PathBuf, LifeError> {
    if let Some(program) = &arguments.program {
        return Ok(program.clone());
    }
    let own = std::env::current_exe().map_err(|cause| LifeError::File { path: "/proc/self/exe".into(), cause })?;
    Ok(own.with_file_name("galen"))
}

async fn run(arguments: &Arguments) -> Result<Report, LifeError> {
    let stage = Stage::found(&program(arguments)?, arguments.voters)?;
    let selection = match (arguments.part, arguments.every) {
        (Some((part, parts)), _) => Selection::Every { part: part - 1, parts },
        (None, true) => Selection::Every { part: 0, parts: 1 },
        (None, false) => Selection::Sample { points: arguments.points, seed: arguments.seed },
    };
    let mut report = Report::default();
    let chapters = rehearse(&stage).await?;
    let does = |commands: &[&str]| {
        let name = match arguments.command {
            Command::Count => "count",
            Command::Kill { .. } => "kill",
            Command::Power => "power",
            Command::Fail => "fail",
            Command::Bytes { .. } => "bytes",
            Command::Commands => "commands",
            Command::All => "all",
        };
        commands.contains(&name)
    };
    for (chapter, played) in &chapters {
        let count = |kind: Kind| played.ended.calls.iter().filter(|call| **call == kind).count();
        let counts: Vec<String> = Kind::ALL.iter().map(|kind| format!("{kind} {}", count(*kind))).collect();
        eprintln!("{chapter}: {} calls: {}", played.ended.calls.len(), counts.join(", "));
        if does(&["kill", "all"]) {
            let with_power = || Loss::ALL.map(Some);
            let losses = match arguments.command {
                Command::Kill { lose: true } => with_power().to_vec(),
                Command::All => std::iter::once(None).chain(with_power()).collect(),
                _ => vec![None],
            };
            for loss in losses {
                kill_at_calls(&stage, *chapter, played, selection, loss, &mut report).await?;
            }
        }
        if does(&["power", "all"]) {
            lose_power(&stage, *chapter, played, selection, &mut report).await?;
        }
        if does(&["fail", "all"]) {
            for failing in Failing::ALL {
                fail_calls(&stage, *chapter, played, failing, selection, &mut report).await?;
            }
        }
    }
    if does(&["bytes", "all"]) {
        let only = match &arguments.command {
            Command::Bytes { only } => only.as_deref(),
            _ => None,
        };
        alter_bytes(&stage, selection, only, &mut report).await?;
    }
    if does(&["commands", "all"]) {
        interrupt_commands(&stage, selection, &mut report).await?;
    }
    Ok(report)
}
