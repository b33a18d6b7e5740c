//! Copies of a ledger: snapshots for peers, backups for its operator.

use std::path::PathBuf;

use clap::Args;
use galen_node::home::NodeHome;
use galen_node::operate::backup::{BackupError, HomeBackup, backup_stopped, restore};
use serde_json::json;

use crate::arguments::Global;
use crate::error::CliError;
use crate::output::Output;
use crate::session;
use crate::table::{fields, short};

#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The home of a stopped node; without it the running node backs itself up
    #[arg(requires = "destination")]
    home: Option<PathBuf>,
    /// The backup: a new folder
    destination: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The backup
    backup: PathBuf,
    /// The node's home: a new folder
    home: PathBuf,
}

fn failed(error: BackupError) -> CliError {
    CliError::operate(error.code(), &error)
}

pub(super) async fn snapshot(global: &Global, output: Output) -> Result<(), CliError> {
    let (client, _) = session::patient_client(global)?;
    let made = client.snapshot().await?;
    output.document(&made, || {
        fields(&[
            ("height", Some(made.height.to_string())),
            ("header", Some(short(&made.header))),
            ("rows", Some(made.rows.to_string())),
            ("bytes", Some(made.bytes.to_string())),
        ])
    })
}

pub(super) async fn backup(backup: Backup, global: &Global, output: Output) -> Result<(), CliError> {
    if let (Some(home), Some(destination)) = (backup.home, backup.destination) {
        let made = backup_stopped(&NodeHome::new(home), &destination).map_err(failed)?;
        show(&made, "backed up", output)?;
        note_missing(&made, "not in the backup, keep it elsewhere", output);
        return Ok(());
    }
    let (client, _) = session::patient_client(global)?;
    let made = client.backup().await?;
    output.document(&made, || {
        format!(
            "{}\nit lies on the node's machine: copy it to another place",
            fields(&[
                ("folder", Some(made.folder.clone())),
                ("height", Some(made.height.to_string())),
                ("bytes", Some(made.bytes.to_string())),
            ])
        )
    })
}

pub(super) fn restored(arguments: Restore, output: Output) -> Result<(), CliError> {
    let made = restore(&arguments.backup, &NodeHome::new(arguments.home)).map_err(failed)?;
    show(&made, "restored", output)?;
    note_missing(&made, "node.toml names it and it is not there, put it back", output);
    output.note("a voter comes back under a new number in ordering, when it has caught up");
    Ok(())
}

fn note_missing(made: &HomeBackup, what: &str, output: Output) {
    for path in &made.missing {
        output.note(&format!("{what}: {}", path.display()));
    }
}

fn show(made: &HomeBackup, done: &str, output: Output) -> Result<(), CliError> {
    let ledger = &made.ledger;
    let document = json!({
        "folder": made.folder, "height": ledger.height, "header": ledger.header, "state_root": ledger.state_root,
        "certified_height": ledger.certified_height, "bytes": made.bytes, "missing": made.missing,
    });
    output.document(&document, || {
        fields(&[
            (done, Some(made.folder.display().to_string())),
            ("height", Some(format!("{}, certified up to {}", ledger.height, ledger.certified_height))),
            ("header", Some(ledger.header.to_string())),
            ("bytes", Some(made.bytes.to_string())),
        ])
    })
}
