//! `galen testnet record` and `check`: whether what concurrent clients are told is linearizable, while nodes are killed
//! and paused.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use galen_histories::{Action, History, by_chain, by_search};
use galen_testnet::Testnet;
use galen_testnet::fault::Lines;
use galen_testnet::history::{FaultCounts, RecordOptions, Recorder, play};
use serde_json::json;
use tokio::time::Instant;

use super::Place;
use crate::error::CliError;
use crate::output::Output;

#[derive(Debug, Args)]
pub(crate) struct Record {
    /// Where the history is written, one JSON document a line
    file: PathBuf,
    /// How long clients write and read
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Clients at a time
    #[arg(long, default_value_t = RecordOptions::default().clients)]
    clients: u32,
    /// Records that they write and read
    #[arg(long, default_value_t = RecordOptions::default().records)]
    records: u32,
    /// Decides what is done and what fails, not when
    #[arg(long, default_value_t = RecordOptions::default().seed)]
    seed: u64,
    /// Neither kill nor pause nodes. Else, on a testnet that is isolated, a leader that was paused wakes cut off, too
    #[arg(long)]
    calm: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn record(arguments: Record, program: &Path, output: Output) -> Result<(), CliError> {
    let Record { file, seconds, clients, records, seed, calm, place } = arguments;
    let testnet = Testnet::open(place.dir)?;
    testnet.up(program, &|_| {}).await?;
    let recorder = Recorder::start(&testnet, &RecordOptions { clients, records, seed }).await?;
    let until = Instant::now() + Duration::from_secs(seconds);
    let faults = if calm {
        tokio::time::sleep_until(until).await;
        FaultCounts::default()
    } else {
        play(&testnet, program, seed, until, Lines::of(&testnet).as_ref(), &|text| output.detail(text)).await?
    };
    let history = recorder.stop().await?;
    std::fs::write(&file, history.to_lines()).map_err(|error| CliError::file(&file, &error))?;
    output.note(&format!("{} operations are written to {}", history.operations.len(), file.display()));
    output.detail(&format!("{faults:?}"));
    judge(&history, Some(faults), output)
}

pub(super) fn check(file: &Path, output: Output) -> Result<(), CliError> {
    let text = std::fs::read_to_string(file).map_err(|error| CliError::file(file, &error))?;
    let history = History::from_lines(&text).map_err(|error| CliError::failed(error.to_string()))?;
    judge(&history, None, output)
}

/// Says what both checkers find.
fn judge(history: &History, faults: Option<FaultCounts>, output: Output) -> Result<(), CliError> {
    let began = Instant::now();
    let by_chain = by_chain::check(history).err().map(|violation| violation.to_string());
    let by_search = by_search::check(history).err().map(|violation| violation.to_string());
    let count = |fits: fn(&Action) -> bool| history.operations.iter().filter(|one| fits(&one.action)).count();
    let writes = count(|action| matches!(action, Action::Write { .. }));
    let (reads, local) = (count(|action| *action == Action::Read), count(|action| *action == Action::ReadLocal));
    let seconds = began.elapsed().as_secs_f64();
    let wrong = by_chain.is_some() || by_search.is_some();
    let found = |found: &Option<String>| found.clone().unwrap_or_else(|| "nothing wrong".to_owned());
    output.document(
        &json!({
            "operations": history.operations.len(), "writes": writes, "reads": reads, "local_reads": local,
            "height": history.tip, "faults": faults, "check_seconds": seconds,
            "by_chain": by_chain, "by_search": by_search,
        }),
        || {
            format!(
                "{writes} writes, {reads} linearizable reads, {local} plain reads up to height {}\n\
                 against the chain's order: {}\nby search for an order:   {}",
                history.tip,
                found(&by_chain),
                found(&by_search)
            )
        },
    )?;
    if wrong {
        return Err(
            CliError::failed("the history is not linearizable").or_hint("keep the file and the testnet's folder")
        );
    }
    Ok(())
}
