//! `galen audit`: who did what.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use galen_client::{Client, Paging};
use galen_types::access::Effect;
use galen_types::api::{AuditEntry, AuditQuery};
use galen_types::{AccountName, DatasetName, MemberName, Timestamp};

use crate::arguments::Global;
use crate::command::{LIST_ITEMS, first_items};
use crate::error::CliError;
use crate::new_file::NewFile;
use crate::output::Output;
use crate::session;
use crate::table::{Table, basis, short, time};
use crate::time_text::Past;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only about this dataset
    #[arg(long)]
    dataset: Option<DatasetName>,
    /// Only by this account
    #[arg(long)]
    account: Option<AccountName>,
    /// Only by accounts and nodes of this member
    #[arg(long)]
    member: Option<MemberName>,
    /// Only from this time on, e.g. 2h, 7d or 2026-11-21T10:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<Past>,
    /// Only before this time
    #[arg(long, value_name = "TIME")]
    until: Option<Past>,
    /// Most entries shown; an export has all
    #[arg(long, default_value_t = LIST_ITEMS)]
    limit: usize,
    /// Write every entry to this new file, one JSON document a line
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
}

pub(crate) async fn run(arguments: Arguments, global: &Global, output: Output) -> Result<(), CliError> {
    let (client, _) = session::client(global)?;
    let now = Timestamp::now();
    let query = AuditQuery {
        dataset: arguments.dataset.map(|dataset| dataset.to_string()),
        account: arguments.account.map(|account| account.to_string()),
        member: arguments.member.map(|member| member.to_string()),
        since: arguments.since.map(|since| since.relative_to(now)),
        until: arguments.until.map(|until| until.relative_to(now)),
        start_after: None,
        limit: None,
    };
    if let Some(path) = arguments.export {
        return export(&client, &query, &path, output).await;
    }
    let entries = first_items(arguments.limit, output, |paging| client.audit(page_of(&query, paging))).await?;
    output.list(&entries, "nothing is recorded that matches and that you may see", table)
}

fn page_of(query: &AuditQuery, paging: Paging) -> AuditQuery {
    AuditQuery { start_after: paging.start_after, limit: paging.limit, ..query.clone() }
}

/// Writes page by page, so that a trail of any length fits in memory.
async fn export(client: &Client, query: &AuditQuery, path: &Path, output: Output) -> Result<(), CliError> {
    let failed = |error: std::io::Error| CliError::file(path, &error);
    let mut writer = std::io::BufWriter::new(NewFile::create(path)?);
    let (mut count, mut paging) = (0_u64, Paging { start_after: None, limit: Some(galen_types::api::PAGE_ITEMS_MAX) });
    loop {
        let page = client.audit(page_of(query, paging.clone())).await?;
        for entry in &page.items {
            let line = serde_json::to_string(entry).map_err(|error| CliError::failed(error.to_string()))?;
            writeln!(writer, "{line}").map_err(failed)?;
            count += 1;
        }
        if page.next.is_none() || page.next == paging.start_after {
            break;
        }
        paging.start_after = page.next;
    }
    writer.into_inner().map_err(|error| failed(error.into_error()))?.finish()?;
    output.note(&format!("{count} entries are in {}", path.display()));
    Ok(())
}

/// Entries for people.
pub(crate) fn table(entries: &[AuditEntry]) -> Table {
    let mut table = Table::new(&["time", ">block", "operation", "dataset", "operator", "decision", "details", "file"]);
    for entry in entries {
        let event = &entry.event;
        let dataset = match (&event.dataset, event.version) {
            (Some(dataset), Some(version)) => format!("{dataset}@{version}"),
            (Some(dataset), None) => dataset.to_string(),
            (None, _) => "-".to_owned(),
        };
        table.row([
            time(entry.time),
            entry.height.to_string(),
            event.operation.to_string(),
            dataset,
            event.operator.to_string(),
            decision(entry),
            details(entry),
            entry.ciphertext.as_ref().map_or_else(|| "-".to_owned(), short),
        ]);
    }
    table
}

fn decision(entry: &AuditEntry) -> String {
    match (&entry.event.decision, &entry.event.rule) {
        (Some(decision), _) => {
            let effect = if decision.effect == Effect::Permit { "permitted" } else { "denied" };
            format!("{effect}: {}", basis(&decision.basis))
        }
        (None, Some(rule)) => format!("refused: {rule}"),
        (None, None) => "-".to_owned(),
    }
}

fn details(entry: &AuditEntry) -> String {
    let event = &entry.event;
    let mut words = Vec::new();
    words.extend(event.action.map(|action| action.to_string()));
    words.extend(event.purpose.map(|purpose| format!("for {purpose}")));
    words.extend(event.reason.map(|reason| format!("({reason})")));
    words.extend(event.subject.as_ref().map(short));
    if words.is_empty() { "-".to_owned() } else { words.join(" ") }
}
