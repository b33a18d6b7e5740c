//! One file for each noun.

pub(crate) mod access;
pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod bench;
pub(crate) mod block;
pub(crate) mod compute;
pub(crate) mod context;
pub(crate) mod contract;
pub(crate) mod data;
pub(crate) mod genesis;
pub(crate) mod key;
pub(crate) mod ledger;
pub(crate) mod member;
pub(crate) mod node;
pub(crate) mod parameters;
pub(crate) mod proof;
pub(crate) mod recovery;
pub(crate) mod testnet;
pub(crate) mod tx;

use clap::CommandFactory as _;
use galen_client::{ClientError, Paging, collect_pages};
use galen_types::api::{Page, TransactionStatus};
use serde_json::json;

use crate::arguments::{Arguments, Command};
use crate::error::CliError;
use crate::output::Output;

/// Items of a list when the command line does not say how many.
pub(crate) const LIST_ITEMS: usize = 100;

/// Does what was asked for.
pub(crate) async fn run(arguments: Arguments, output: &Output) -> Result<(), CliError> {
    let (global, output) = (&arguments.global, *output);
    match arguments.command {
        Command::Testnet(command) => testnet::run(command, output).await,
        Command::Context(command) => context::run(command, global, output),
        Command::Key(command) => key::run(command, global, output),
        Command::Genesis(command) => genesis::run(command, global, output).await,
        Command::Node(command) => node::run(command, global, output).await,
        Command::Member(command) => member::run(command, global, output).await,
        Command::Account(command) => account::run(command, global, output).await,
        Command::Data(command) => data::run(command, global, output).await,
        Command::Contract(command) => contract::run(command, global, output).await,
        Command::Access(command) => access::run(command, global, output).await,
        Command::Compute(command) => compute::run(command, global, output).await,
        Command::Audit(arguments) => audit::run(arguments, global, output).await,
        Command::Block(command) => block::run(command, global, output).await,
        Command::Bench(arguments) => bench::run(arguments, output).await,
        Command::Ledger(command) => ledger::run(command, global, output).await,
        Command::Parameters(command) => parameters::run(command, global, output).await,
        Command::Proof(command) => proof::run(command, global, output).await,
        Command::Recovery(command) => recovery::run(command, global, output),
        Command::Tx(command) => tx::run(command, global, output).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "galen", &mut script);
            output.text(&String::from_utf8_lossy(&script))
        }
        Command::Version => {
            let version = env!("CARGO_PKG_VERSION");
            output.document(&json!({ "version": version }), || format!("galen {version}"))
        }
    }
}

/// The first `limit` items of a list; says so when there are more.
pub(crate) async fn first_items<Item, Answer>(
    limit: usize,
    output: Output,
    fetch: impl FnMut(Paging) -> Answer,
) -> Result<Vec<Item>, CliError>
where
    Answer: Future<Output = Result<Page<Item>, ClientError>>,
{
    let mut items = collect_pages(limit.saturating_add(1), fetch).await?;
    if items.len() > limit {
        items.truncate(limit);
        output.note(&format!("only the first {limit} are shown: raise --limit for more"));
    }
    Ok(items)
}

/// Says that a call was recorded: the transaction as JSON, or one line for people.
pub(crate) fn recorded(output: Output, status: &TransactionStatus, done: &str) -> Result<(), CliError> {
    if let Some(height) = status.height {
        output.detail(&format!("transaction {} in block {height}, {}", status.id, status.finality));
    }
    output.document(status, || done.to_owned())
}
