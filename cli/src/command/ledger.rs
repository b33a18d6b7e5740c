//! `galen ledger`: a node's stored chain.

mod copy;
mod evidence;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use galen_chain::verify::{Progress, Step, VerifyReport, verify_folder};
use galen_types::Genesis;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::arguments::Global;
use crate::error::CliError;
use crate::output::Output;
use crate::table::fields;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Recompute every hash, signature and certificate of a stopped node's ledger, and execute every block again
    Verify(Verify),
    /// Have the running node take a snapshot of its state, for peers that are far behind
    Snapshot,
    /// Back a node's home up: ledger, configuration, encrypted keys, stored files; never its ordering log
    Backup(copy::Backup),
    /// Restore a backup into a new home, checked before and after
    Restore(copy::Restore),
    /// Voters that signed another header than the certified one: list, export and check what proves it
    Evidence(evidence::EvidenceArguments),
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The node's home, or the ledger's folder itself
    folder: PathBuf,
    /// Your own copy of the founding document; without it the one in the node's home is believed
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Check what is stored, without executing the blocks again
    #[arg(long)]
    no_execution: bool,
    /// Where blocks are executed again: a folder that does not exist yet, on a disk with as much room as the ledger
    /// takes [default: in the system's temporary folder]
    #[arg(long, value_name = "DIR", conflicts_with = "no_execution")]
    scratch: Option<PathBuf>,
}

pub(crate) async fn run(command: Command, global: &Global, output: Output) -> Result<(), CliError> {
    match command {
        Command::Verify(arguments) => verify(&arguments, output),
        Command::Snapshot => copy::snapshot(global, output).await,
        Command::Backup(backup) => copy::backup(backup, global, output).await,
        Command::Restore(restore) => copy::restored(restore, output),
        Command::Evidence(arguments) => evidence::run(arguments, global, output).await,
    }
}

fn verify(verify: &Verify, output: Output) -> Result<(), CliError> {
    let (ledger, genesis_file) = places(&verify.folder, verify.genesis.as_ref())?;
    let text = std::fs::read_to_string(&genesis_file).map_err(|error| CliError::file(&genesis_file, &error))?;
    let genesis =
        Genesis::from_toml(&text).map_err(|error| CliError::failed(format!("{}: {error}", genesis_file.display())))?;
    output.note(&format!("checking against the founding document {} ({})", genesis.hash(), genesis_file.display()));
    let scratch = scratch(verify);
    let bars = Bars::new(output);
    let report = verify_folder(&ledger, &genesis, scratch.as_deref(), &mut |progress| bars.show(progress))
        .map_err(|error| CliError::failed(error.to_string()).or_hint("is the node that uses this folder stopped?"))?;
    bars.clear();
    output.document(&document(&report), || human(&report))?;
    if report.is_sound() {
        return Ok(());
    }
    Err(CliError::failed(format!("{} things are wrong in {}", report.findings_total, ledger.display()))
        .or_hint("delete the folder's ledger and log, and let the node fetch the chain from the others"))
}

/// The ledger's folder, and the founding document to believe.
fn places(folder: &Path, genesis: Option<&PathBuf>) -> Result<(PathBuf, PathBuf), CliError> {
    let inner = folder.join("ledger");
    let (ledger, home) = if inner.is_dir() { (inner, Some(folder)) } else { (folder.to_owned(), folder.parent()) };
    if !ledger.is_dir() {
        return Err(CliError::failed(format!("there is no folder {}", ledger.display()))
            .or_hint("name a node's home, or its ledger's folder"));
    }
    let given = genesis.is_some();
    let genesis = genesis.cloned().or_else(|| home.map(|home| home.join("genesis.toml")));
    let genesis = genesis.filter(|path| path.is_file() || given).ok_or_else(|| {
        CliError::usage("there is no founding document beside the ledger")
            .or_hint("give your own copy with --genesis FILE")
    })?;
    Ok((ledger, genesis))
}

fn scratch(verify: &Verify) -> Option<PathBuf> {
    if verify.no_execution {
        return None;
    }
    let unnamed = || std::env::temp_dir().join(format!("galen-verify-{}", std::process::id()));
    Some(verify.scratch.clone().unwrap_or_else(unnamed))
}

fn document(report: &VerifyReport) -> serde_json::Value {
    let finding = |finding: &galen_chain::verify::Finding| json!({ "column": finding.column, "place": finding.place, "problem": finding.problem.to_string() });
    json!({
        "sound": report.is_sound(),
        "height": report.height,
        "certified_height": report.certified_height,
        "transactions": report.transactions,
        "events": report.events,
        "state_keys": report.state_keys,
        "certificates": report.certificates,
        "signatures": report.signatures,
        "executed": report.executed,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "findings_total": report.findings_total,
    })
}

fn human(report: &VerifyReport) -> String {
    let executed = report.executed.map_or_else(|| "left out".to_owned(), |blocks| format!("{blocks} blocks"));
    let mut text = fields(&[
        ("height", Some(report.height.to_string())),
        ("certified", Some(format!("up to {}", report.certified_height))),
        ("transactions", Some(report.transactions.to_string())),
        ("events", Some(report.events.to_string())),
        ("state keys", Some(report.state_keys.to_string())),
        ("certificates", Some(report.certificates.to_string())),
        ("signatures", Some(report.signatures.to_string())),
        ("executed again", Some(executed)),
        ("findings", Some(report.findings_total.to_string())),
    ]);
    for finding in &report.findings {
        text.push_str(&format!("wrong: {finding}\n"));
    }
    text
}

/// One bar that goes through the steps.
pub(crate) struct Bars {
    bar: ProgressBar,
}

impl Bars {
    pub(crate) fn new(output: Output) -> Self {
        let bar = if output.shows_progress() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{msg:28} [{bar:30}] {pos}/{len} {per_sec}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        Self { bar: bar.with_style(style.progress_chars("=> ")) }
    }

    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    pub(crate) fn show(&self, progress: Progress) {
        let step = match progress.step {
            Step::Blocks => "blocks and receipts",
            Step::Signatures => "certificates and signatures",
            Step::State => "state and its tree",
            Step::Execution => "executing again",
        };
        self.bar.set_message(step);
        self.bar.set_length(progress.total.unwrap_or(progress.done));
        self.bar.set_position(progress.done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_and_its_ledger_are_the_same_to_check() {
        let home = tempfile::tempdir().unwrap();
        let ledger = home.path().join("ledger");
        std::fs::create_dir(&ledger).unwrap();
        assert!(places(home.path(), None).is_err(), "without a founding document there is nothing to check against");
        std::fs::write(home.path().join("genesis.toml"), "").unwrap();
        let expected = (ledger.clone(), home.path().join("genesis.toml"));
        assert_eq!(places(home.path(), None).unwrap(), expected);
        assert_eq!(places(&ledger, None).unwrap(), expected);
        assert!(places(&home.path().join("nothing"), None).is_err());
    }
}
