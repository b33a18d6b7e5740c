//! `galen compute`: statistics over several members' datasets.

mod show;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use galen_aggregate::{ResultDocument, ResultTable};
use galen_client::{Client, JobFilter, JobResult};
use galen_types::job::{JobSpecification, JobState};
use galen_types::vocabulary::{DataUse, Filter, Purpose, Statistic};
use galen_types::{AccountName, ColumnName, DatasetName, Hash, JobId, TransactionId, VersionName};
use serde::Serialize;

use crate::arguments::Global;
use crate::command::{LIST_ITEMS, first_items};
use crate::error::CliError;
use crate::identifier::IdentifierPrefix;
use crate::output::Output;
use crate::plot;
use crate::progress::on_progress;
use crate::session;
use crate::table::joined;
use crate::terms::{data_use, sorted};
use crate::time_text::Length;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Compute over several datasets, wait for the result and print it
    Run(Run),
    /// List the jobs that you may see
    List {
        /// Only by this account
        #[arg(long, value_name = "ACCOUNT")]
        submitter: Option<AccountName>,
        /// Only in this state: running, finished, failed
        #[arg(long)]
        state: Option<JobState>,
        /// Most jobs
        #[arg(long, default_value_t = LIST_ITEMS)]
        limit: usize,
    },
    /// Show a job: what was asked, and what became of each dataset
    Show {
        /// Its id or the id's first digits
        job: IdentifierPrefix,
    },
    /// Fetch the result of a job; the reading is recorded
    Result {
        /// Its id or the id's first digits
        job: IdentifierPrefix,
        /// How long to wait for a job that is still running
        #[arg(long, default_value = "0s", value_name = "TIME")]
        timeout: Length,
        /// Draw the means as a bar chart with 95 % confidence intervals
        #[arg(long, value_name = "FILE.svg")]
        plot: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Datasets to compute over, e.g. harlem/opt; repeat or separate by commas
    #[arg(long = "dataset", required = true, value_delimiter = ',', value_name = "DATASET")]
    datasets: Vec<DatasetName>,
    /// Statistics: count, missing, sum, mean, variance
    #[arg(long = "stat", required = true, value_delimiter = ',', value_name = "STATISTIC")]
    statistics: Vec<Statistic>,
    /// A numeric column; repeat for more
    #[arg(long = "column", required = true, value_name = "COLUMN")]
    columns: Vec<ColumnName>,
    /// Group by the levels of this column
    #[arg(long, value_name = "COLUMN")]
    by: Option<ColumnName>,
    /// Only rows that satisfy this, e.g. "Age >= 18 and Group = 'T'"
    #[arg(long = "where", value_name = "EXPRESSION")]
    filter: Option<Filter>,
    /// What for
    #[arg(long, default_value = "HRESCH")]
    purpose: Purpose,
    /// A DUO condition that you affirm, e.g. IRB
    #[arg(long = "duo", value_name = "TERM", value_parser = data_use)]
    data_use: Vec<DataUse>,
    /// How long to wait for the result, e.g. 2m
    #[arg(long, default_value = "2m", value_name = "TIME")]
    timeout: Length,
    /// Draw the means as a bar chart with 95 % confidence intervals
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

/// A result as it is printed.
#[derive(Serialize)]
struct Shown<'result> {
    job: JobId,
    digest: Hash,
    receipt: TransactionId,
    versions: &'result [VersionName],
    result: &'result ResultTable,
}

pub(crate) async fn run(command: Command, global: &Global, output: Output) -> Result<(), CliError> {
    let (client, _) = session::client(global)?;
    match command {
        Command::Run(run) => run_job(&client, run, output).await,
        Command::List { submitter, state, limit } => {
            let filter = JobFilter { submitter, state };
            let jobs = first_items(limit, output, |paging| client.jobs(&filter, paging)).await?;
            output.list(&jobs, "there are no such jobs that you may see", show::table)
        }
        Command::Show { job } => {
            let detail = client.job(&job).await?;
            output.document(&detail, || show::detail(&detail))
        }
        Command::Result { job, timeout, plot } => {
            let detail = client.job(&job).await?;
            let job = detail.job.id;
            if detail.job.state == JobState::Running {
                client.wait_for_job(job, timeout.0, &on_progress(output)).await?;
            }
            print(client.job_result(job).await?, plot.as_deref(), output)
        }
    }
}

async fn run_job(client: &Client, run: Run, output: Output) -> Result<(), CliError> {
    let specification = JobSpecification {
        datasets: sorted(run.datasets),
        statistics: sorted(run.statistics),
        columns: run.columns,
        by: run.by,
        filter_columns: Vec::new(),
        filter: None,
        purpose: run.purpose,
        data_use: sorted(run.data_use),
    };
    let job = client.submit_job(specification, run.filter.as_ref()).await?;
    output.detail(&format!("job {job} is registered"));
    client.wait_for_job(job, run.timeout.0, &on_progress(output)).await?;
    print(client.job_result(job).await?, run.plot.as_deref(), output)
}

fn print(result: JobResult, plot_file: Option<&Path>, output: Output) -> Result<(), CliError> {
    let document = ResultDocument::from_json(&result.document)
        .map_err(|error| CliError::failed(format!("the result document cannot be read: {error}")))?;
    let table = document.table;
    if let Some(path) = plot_file {
        let svg = plot::means(&table)
            .ok_or_else(|| CliError::failed("there is no mean to draw").or_hint("ask for it with --stat mean"))?;
        std::fs::write(path, svg).map_err(|error| CliError::file(path, &error))?;
        output.note(&format!("the means are drawn in {}", path.display()));
    }
    let shown = Shown {
        job: result.job.job.id,
        digest: result.digest,
        receipt: result.receipt,
        versions: &document.versions,
        result: &table,
    };
    output.document(&shown, || {
        let versions = joined(shown.versions);
        format!(
            "{}\nversions: {versions}\njob {}, digest as on the chain: {}",
            show::result(&table),
            shown.job,
            shown.digest
        )
    })
}
