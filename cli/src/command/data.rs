//! `galen data`: datasets.

mod list;
mod transfer;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use galen_client::{Client, Wait};
use galen_types::api::{DatasetDetail, DatasetSearch};
use galen_types::dataset::VersionState;
use galen_types::vocabulary::{DataUse, DataUseTerm, Purpose, ReasonCode};
use galen_types::{AccountName, Call, ColumnName, DatasetName, MemberName, VersionName};

use crate::arguments::Global;
use crate::command::{LIST_ITEMS, audit, first_items, recorded};
use crate::error::CliError;
use crate::output::Output;
use crate::session;
use crate::table::Table;
use crate::terms::data_use;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Encrypt a file, store it at your member's node and publish it as a new dataset
    Add {
        /// The file; CSV with a header row can be computed over
        file: PathBuf,
        /// The dataset's name, e.g. opt or harlem/opt
        #[arg(long)]
        name: String,
        #[command(flatten)]
        card: CardFlags,
        /// What donors and owner allow: one DUO permission, then modifiers, e.g. --duo GRU --duo IRB --duo DS=mondo-1
        #[arg(long = "duo", value_name = "TERM", value_parser = data_use, default_value = "GRU")]
        data_use: Vec<DataUse>,
        /// Let only those discover it whom its access contract or a grant permits
        #[arg(long)]
        hidden: bool,
    },
    /// List the datasets that you may discover
    List(SearchFlags),
    /// Find datasets by words in name, title and columns
    Search {
        /// The words
        #[arg(required = true)]
        words: Vec<String>,
        #[command(flatten)]
        search: SearchFlags,
    },
    /// Show a dataset: versions, columns, terms
    Show {
        /// Which, e.g. harlem/opt
        dataset: String,
    },
    /// Show what was ever done with a dataset
    History {
        /// Which, e.g. harlem/opt
        dataset: String,
        /// Most entries
        #[arg(long, default_value_t = LIST_ITEMS)]
        limit: usize,
    },
    /// Have your member's node compare the stored files with the chain
    Verify {
        /// Which, e.g. harlem/opt
        dataset: String,
    },
    /// Download a file that a rule or grant permits, check and decrypt it here
    Get {
        /// Which, e.g. harlem/opt, or harlem/opt@2 for a version
        dataset: String,
        /// The new file
        #[arg(short, long, value_name = "FILE")]
        out: PathBuf,
        /// What for
        #[arg(long, default_value = "HRESCH")]
        purpose: Purpose,
        /// Replace the file if it is there
        #[arg(long)]
        force: bool,
    },
    /// Publish a file as the next version of a dataset
    Update {
        /// Which, e.g. harlem/opt
        dataset: String,
        /// The file
        file: PathBuf,
        #[command(flatten)]
        card: CardFlags,
        /// DUO terms from now on; those of the last version where none is given
        #[arg(long = "duo", value_name = "TERM", value_parser = data_use)]
        data_use: Vec<DataUse>,
    },
    /// Withdraw a dataset, or one version of it; its history stays
    Withdraw {
        /// Which, e.g. harlem/opt, or harlem/opt@2 for one version
        dataset: String,
        /// Why, as a code
        #[arg(long)]
        reason: ReasonCode,
    },
}

/// The card: free text that stays at the owner's node.
#[derive(Debug, Args)]
pub(crate) struct CardFlags {
    /// A title; it stays off the chain
    #[arg(long)]
    title: Option<String>,
    /// What the data is; it stays off the chain
    #[arg(long)]
    description: Option<String>,
    /// Whom to ask; it stays off the chain
    #[arg(long)]
    contact: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SearchFlags {
    /// Only of this member
    #[arg(long)]
    member: Option<MemberName>,
    /// Only with this column
    #[arg(long)]
    column: Option<ColumnName>,
    /// Only with this DUO term
    #[arg(long = "duo", value_name = "TERM")]
    term: Option<DataUseTerm>,
    /// Most datasets
    #[arg(long, default_value_t = LIST_ITEMS)]
    limit: usize,
}

pub(crate) async fn run(command: Command, global: &Global, output: Output) -> Result<(), CliError> {
    let (client, own) = session::client(global)?;
    match command {
        Command::Add { file, name, card, data_use, hidden } => {
            let dataset = session::own_dataset(&name, &own)?;
            transfer::add(&client, &file, dataset, card, data_use, !hidden, output).await
        }
        Command::Update { dataset, file, card, data_use } => {
            let dataset = session::own_dataset(&dataset, &own)?;
            transfer::update(&client, &file, dataset, card, data_use, output).await
        }
        Command::Get { dataset, out, purpose, force } => {
            let version = version(&client, &dataset, &own).await?;
            transfer::get(&client, version, purpose, &out, force, output).await
        }
        Command::List(search) => find(&client, None, search, output).await,
        Command::Search { words, search } => find(&client, Some(words.join(" ")), search, output).await,
        Command::Show { dataset } => {
            let detail = client.dataset(&session::own_dataset(&dataset, &own)?).await?;
            output.document(&detail, || list::detail(&detail))
        }
        Command::History { dataset, limit } => {
            let dataset = session::own_dataset(&dataset, &own)?;
            let entries = first_items(limit, output, |paging| client.dataset_history(&dataset, paging)).await?;
            output.list(&entries, "nothing is recorded that you may see", audit::table)
        }
        Command::Verify { dataset } => verify(&client, &session::own_dataset(&dataset, &own)?, output).await,
        Command::Withdraw { dataset, reason } => {
            let (dataset, version) = split_version(&dataset, &own)?;
            let done = match version {
                Some(version) => format!("{dataset}@{version} is withdrawn"),
                None => format!("{dataset} is withdrawn"),
            };
            let status = client.apply(Call::WithdrawDataset { dataset, version, reason }, Wait::Committed).await?;
            recorded(output, &status, &done)
        }
    }
}

async fn find(client: &Client, text: Option<String>, search: SearchFlags, output: Output) -> Result<(), CliError> {
    let fetch = |paging: galen_client::Paging| {
        client.datasets(DatasetSearch {
            text: text.clone(),
            member: search.member.as_ref().map(ToString::to_string),
            column: search.column.as_ref().map(ToString::to_string),
            data_use: search.term.map(|term| term.to_string()),
            start_after: paging.start_after,
            limit: paging.limit,
        })
    };
    let datasets = first_items(search.limit, output, fetch).await?;
    output.list(&datasets, "there is no such dataset that you may discover", list::table)
}

async fn verify(client: &Client, dataset: &DatasetName, output: Output) -> Result<(), CliError> {
    let verification = client.verify_dataset(dataset).await?;
    output.document(&verification, || {
        let mut table = Table::new(&["version", "stored file", ">bytes", "finding"]);
        for part in &verification.parts {
            let state = if part.intact { "intact" } else { "DIFFERS" };
            let finding = part.finding.clone().unwrap_or_else(|| "as on the chain".to_owned());
            table.row([part.version.to_string(), state.to_owned(), part.bytes.to_string(), finding]);
        }
        table.render()
    })?;
    let differing: Vec<_> =
        verification.parts.iter().filter(|part| !part.intact).map(|part| part.version.to_string()).collect();
    if differing.is_empty() {
        return Ok(());
    }
    Err(CliError::failed(format!("stored files differ from the chain: {}", differing.join(", ")))
        .or_hint("restore the file from a backup or publish it anew with `galen data update`"))
}

/// A dataset and perhaps a version of it.
fn split_version(text: &str, own: &AccountName) -> Result<(DatasetName, Option<u32>), CliError> {
    match text.split_once('@') {
        None => Ok((session::own_dataset(text, own)?, None)),
        Some((dataset, number)) => {
            let dataset = session::own_dataset(dataset, own)?;
            let name: VersionName = format!("{dataset}@{number}")
                .parse()
                .map_err(|error: galen_types::name::NameError| CliError::usage(error.to_string()))?;
            Ok((name.dataset, Some(name.version)))
        }
    }
}

/// The version meant: the one named, or the newest that can be used.
async fn version(client: &Client, text: &str, own: &AccountName) -> Result<VersionName, CliError> {
    let (dataset, version) = split_version(text, own)?;
    let version = match version {
        Some(version) => version,
        None => newest_active(&client.dataset(&dataset).await?)
            .ok_or_else(|| CliError::failed(format!("every version of {dataset} is withdrawn")))?,
    };
    Ok(VersionName { dataset, version })
}

fn newest_active(detail: &DatasetDetail) -> Option<u32> {
    detail.versions.iter().rev().find(|version| version.state == VersionState::Active).map(|version| version.number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datasets_may_be_named_without_their_own_member_and_with_a_version() {
        let own = "olga@harlem".parse().unwrap();
        let split = |text: &str| split_version(text, &own).map(|(dataset, version)| (dataset.to_string(), version));
        assert_eq!(split("opt").unwrap(), ("harlem/opt".to_owned(), None));
        assert_eq!(split("opt@3").unwrap(), ("harlem/opt".to_owned(), Some(3)));
        assert_eq!(split("kentucky/opt@1").unwrap(), ("kentucky/opt".to_owned(), Some(1)));
        for wrong in ["opt@", "opt@0", "opt@x", "a/b/c", ""] {
            assert_eq!(split(wrong).unwrap_err().exit(), crate::error::Exit::Usage, "{wrong}");
        }
    }
}
