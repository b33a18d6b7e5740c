//! `galen block`: the chain's blocks.

use clap::Subcommand;
use futures::StreamExt as _;
use galen_client::{BlockOrder, EventKind};
use galen_types::api::{BlockDetail, StreamEvent};

use crate::arguments::Global;
use crate::command::first_items;
use crate::error::CliError;
use crate::output::Output;
use crate::session;
use crate::table::{Table, fields, joined, short, time};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List blocks, the newest first
    List {
        /// Most blocks
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// The oldest first
        #[arg(long)]
        oldest: bool,
    },
    /// Show a block with its transactions and certificate
    Show {
        /// Its height; the newest where it is not given
        height: Option<u64>,
    },
    /// Print what happens from now on, until interrupted
    Watch {
        /// Only these kinds: block, certified, receipt, job
        #[arg(long = "kind", value_delimiter = ',', value_name = "KIND")]
        kinds: Vec<EventKind>,
    },
}

pub(crate) async fn run(command: Command, global: &Global, output: Output) -> Result<(), CliError> {
    let (client, _) = session::client(global)?;
    match command {
        Command::List { limit, oldest } => {
            let order = if oldest { BlockOrder::Ascending } else { BlockOrder::Descending };
            let blocks = first_items(limit, output, |paging| client.blocks(order, paging)).await?;
            output.list(&blocks, "there are no blocks yet", |blocks| {
                let mut table = Table::new(&[">height", "time", ">transactions", "proposer", "hash"]);
                for block in blocks {
                    table.row([
                        block.height.to_string(),
                        time(block.time),
                        block.transactions.to_string(),
                        block.proposer.to_string(),
                        block.hash.to_string(),
                    ]);
                }
                table
            })
        }
        Command::Show { height } => {
            let height = match height {
                Some(height) => height,
                None => client.chain().await?.height,
            };
            let block = client.block(height).await?;
            output.document(&block, || human(&block))
        }
        Command::Watch { kinds } => {
            let kinds = if kinds.is_empty() { EventKind::ALL.to_vec() } else { kinds };
            let mut events = std::pin::pin!(client.events(&kinds).await?);
            while let Some(event) = events.next().await {
                let event = event?;
                if output.is_json() { output.json_line(&event)? } else { output.text(&line(&event))? }
            }
            Err(CliError::failed("the node ended the stream").or_hint("start again to go on watching"))
        }
    }
}

fn line(event: &StreamEvent) -> String {
    match event {
        StreamEvent::Block(block) => format!(
            "block {} at {}: {} transactions, proposed by {}",
            block.height,
            time(block.time),
            block.transactions,
            block.proposer
        ),
        StreamEvent::Certified { height } => format!("certified up to {height}"),
        StreamEvent::Receipt(status) => super::tx::line(status),
        StreamEvent::Job { job, state } => format!("job {job} {state}"),
    }
}

fn human(block: &BlockDetail) -> String {
    let header = &block.header;
    let certificate = block.certificate.as_ref().map_or_else(
        || "not certified yet".to_owned(),
        |certificate| {
            let voters = joined(certificate.signatures.iter().map(|signature| &signature.voter));
            format!("block {} signed by {voters}", certificate.height)
        },
    );
    let mut text = fields(&[
        ("block", Some(header.height.to_string())),
        ("hash", Some(block.hash.to_string())),
        ("parent", Some(header.parent.to_string())),
        ("time", Some(header.time.to_string())),
        ("proposer", Some(header.proposer.to_string())),
        ("ordering", Some(format!("term {}, index {}", header.raft_term, header.raft_index))),
        ("epoch", Some(header.epoch.to_string())),
        ("rules", Some(format!("version {}", header.rules_version))),
        ("transactions_root", Some(header.transactions_root.to_string())),
        ("receipts_root", Some(header.receipts_root.to_string())),
        ("history_root", Some(header.history_root.to_string())),
        ("state_root", Some(header.state_root.to_string())),
        ("certificate", Some(certificate)),
    ]);
    let mut table = Table::new(&["transaction", "outcome", "events"]);
    for id in &block.transactions {
        let receipt = block.receipts.iter().find(|receipt| receipt.transaction == *id);
        let outcome = receipt.map_or_else(|| "not yours to see".to_owned(), super::tx::outcome);
        let events = receipt
            .map_or_else(|| "-".to_owned(), |receipt| joined(receipt.events.iter().map(|event| event.operation)));
        table.row([short(id), outcome, events]);
    }
    text.push_str(&format!("\n{}", table.render()));
    text
}
