//! `galen tx`: single transactions.

use std::time::Duration;

use clap::Subcommand;
use galen_client::{ClientError, Wait};
use galen_types::api::TransactionStatus;
use galen_types::{Outcome, Receipt, TransactionId};

use crate::arguments::Global;
use crate::error::CliError;
use crate::output::Output;
use crate::session;
use crate::table::{fields, time};
use crate::time_text::Length;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show a transaction and what became of it
    Show {
        /// Its id, all 64 digits
        id: TransactionId,
    },
    /// Wait for a transaction's receipt
    Wait {
        /// Its id, all 64 digits
        id: TransactionId,
        /// Wait until a quorum of voters has signed for it
        #[arg(long)]
        certified: bool,
        /// How long at most, e.g. 30s
        #[arg(long, default_value = "60s", value_name = "TIME")]
        timeout: Length,
    },
}

pub(crate) async fn run(command: Command, global: &Global, output: Output) -> Result<(), CliError> {
    let client = session::client_if_account(global)?;
    let status = match command {
        Command::Show { id } => client.transaction(&id).await?,
        Command::Wait { id, certified, timeout } => {
            let wait = if certified { Wait::Certified } else { Wait::Committed };
            wait_for(&client, &id, wait, timeout.0).await?
        }
    };
    output.document(&status, || human(&status))
}

/// Asks again while the node does not know the transaction yet: it may still arrive.
async fn wait_for(
    client: &galen_client::Client,
    id: &TransactionId,
    wait: Wait,
    patience: Duration,
) -> Result<TransactionStatus, CliError> {
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        match client.transaction_when(id, wait, left).await {
            Ok(status) if status.receipt.is_some() => return Ok(status),
            Err(ClientError::Problem(problem)) if !matches!(problem.status, 404 | 503 | 504) => {
                return Err(ClientError::Problem(problem).into());
            }
            Err(error @ ClientError::Unreachable { .. }) if left.is_zero() => return Err(error.into()),
            Ok(_) | Err(ClientError::Problem(_) | ClientError::Unreachable { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        if left.is_zero() {
            return Err(ClientError::OutcomeUnknown { id: *id }.into());
        }
        tokio::time::sleep(left.min(Duration::from_millis(500))).await;
    }
}

/// A receipt's outcome in a few words.
pub(crate) fn outcome(receipt: &Receipt) -> String {
    match &receipt.outcome {
        Outcome::Applied => "applied".to_owned(),
        Outcome::Refused { rule, .. } => format!("refused: {rule}"),
    }
}

/// A transaction on one line.
pub(crate) fn line(status: &TransactionStatus) -> String {
    let outcome = status.receipt.as_ref().map_or_else(|| "no receipt yet".to_owned(), outcome);
    format!("transaction {} {}: {outcome}", status.id, status.finality)
}

fn human(status: &TransactionStatus) -> String {
    let place = status.height.map(|height| match (status.index, status.time) {
        (Some(index), Some(when)) => format!("block {height}, place {index}, {}", time(when)),
        _ => format!("block {height}"),
    });
    let explanation = status.receipt.as_ref().and_then(|receipt| match &receipt.outcome {
        Outcome::Refused { explanation, .. } => Some(explanation.clone()),
        Outcome::Applied => None,
    });
    let mut text = fields(&[
        ("transaction", Some(status.id.to_string())),
        ("finality", Some(status.finality.to_string())),
        ("place", place),
        ("outcome", status.receipt.as_ref().map(outcome)),
        ("because", explanation),
        ("signer", status.body.as_ref().map(|body| body.signer.to_string())),
        ("valid until", status.body.as_ref().map(|body| body.valid_until.to_string())),
    ]);
    for event in status.receipt.iter().flat_map(|receipt| &receipt.events) {
        let dataset = event.dataset.as_ref().map(|dataset| format!(" {dataset}")).unwrap_or_default();
        text.push_str(&format!("event        {}{dataset} by {}\n", event.operation, event.operator));
    }
    if let Some(body) = &status.body {
        let call = serde_json::to_string_pretty(&body.call).unwrap_or_default();
        text.push_str(&format!("\n{call}\n"));
    }
    text
}
