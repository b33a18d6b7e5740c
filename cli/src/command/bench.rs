//! `galen bench`: measures a testnet.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use galen_bench::crowd::{self, CrowdOptions};
use galen_bench::failover::{self, FailoverOptions};
use galen_bench::{BenchOptions, Workload, acknowledged};
use galen_testnet::plan::PORT_BASE;
use galen_testnet::{PlanOptions, Testnet};

use crate::command::testnet::program;
use crate::error::CliError;
use crate::output::Output;
use crate::progress::spinner;
use crate::time_text::Length;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The testnet to drive; it is made and started where it is not there
    #[arg(long, value_name = "DIR", default_value = "galen-testnet")]
    dir: PathBuf,
    /// The first port of a testnet that is made; one that is there keeps its own
    #[arg(long, value_name = "PORT", default_value_t = PORT_BASE)]
    port: u16,
    /// Transactions a second in all; with --kill-leader at each voter [default: as many as the clients can; 100 at each]
    #[arg(long)]
    rate: Option<u32>,
    /// How long is measured
    #[arg(long, default_value = "20s", value_name = "TIME")]
    duration: Length,
    /// How long load runs before it is measured
    #[arg(long, default_value = "3s", value_name = "TIME")]
    warm_up: Length,
    /// Transactions under way at a time
    #[arg(long, default_value_t = 256)]
    clients: usize,
    /// Accounts that sign
    #[arg(long, default_value_t = 64)]
    accounts: usize,
    /// What the transactions do
    #[arg(long, value_enum, default_value = "publish")]
    workload: WorkloadName,
    /// Write the report as JSON to this file
    #[arg(long, value_name = "FILE.json")]
    out: Option<PathBuf>,
    /// Draw throughput over time to this file
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Record every acknowledged transaction in this file
    #[arg(long, value_name = "FILE")]
    acknowledged: Option<PathBuf>,
    /// Measure nothing: ask every node for every transaction of this record
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rate", "out", "plot", "acknowledged"])]
    check: Option<PathBuf>,
    /// Kill the leader so many times under load, and measure how long it takes until the next transaction is acknowledged
    #[arg(long, value_name = "N", conflicts_with_all = ["duration", "warm_up", "clients", "accounts", "workload", "plot", "check"])]
    kill_leader: Option<u32>,
    /// Let so many idle connections, slow ones, and strangers at the network between nodes come to one node, and measure
    /// honest clients beside them and alone, in three rounds of --duration each
    #[arg(long, value_name = "IDLE,SLOW,STRANGERS", value_delimiter = ',', num_args = 1, conflicts_with_all = ["rate", "warm_up", "clients", "accounts", "workload", "plot", "check", "acknowledged", "kill_leader"])]
    crowd: Option<Vec<usize>>,
    /// Decides when kills come
    #[arg(long, default_value_t = 1, requires = "kill_leader")]
    seed: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum WorkloadName {
    /// Each publishes a dataset, as `data add` does
    Publish,
    /// Each asks for access to a dataset
    Access,
    /// Half of each
    Mixed,
}

pub(crate) async fn run(arguments: Arguments, output: Output) -> Result<(), CliError> {
    let bar = spinner(output);
    if let Some(record) = &arguments.check {
        let testnet = Testnet::open(&arguments.dir)?;
        let found = acknowledged::check(&testnet, record, &|done| bar.set_message(format!("{done} checked"))).await?;
        bar.finish_and_clear();
        output.document(&found, || {
            let missing: String = found.missing.iter().map(|line| format!("missing: {line}\n")).collect();
            let (acknowledged, nodes) = (found.acknowledged, found.nodes);
            format!(
                "{acknowledged} acknowledged transactions looked for on {nodes} nodes; {} missing\n{missing}",
                found.missing_total
            )
        })?;
        return match found.missing_total {
            0 => Ok(()),
            missing => Err(CliError::failed(format!("{missing} acknowledged transactions are not where they were"))),
        };
    }
    let testnet = match Testnet::open(&arguments.dir) {
        Ok(testnet) => testnet,
        Err(galen_testnet::TestnetError::Absent(_)) => {
            let options = PlanOptions { port_base: arguments.port, ..PlanOptions::default() };
            Testnet::make(&arguments.dir, &options, &|done, total| {
                bar.set_message(format!("making keys: {done} of {total}"));
            })?
        }
        Err(error) => return Err(error.into()),
    };
    testnet.up(&program()?, &|node| bar.set_message(format!("{} is ready", node.node))).await?;
    if let Some(crowd) = &arguments.crowd {
        let &[idle, slow, strangers] = crowd.as_slice() else {
            return Err(CliError::usage("write the crowd like --crowd 10000,2000,1000: idle, slow, strangers"));
        };
        let length = arguments.duration.0;
        let options = CrowdOptions { idle, slow, strangers, alone: length, beside: length, ..CrowdOptions::default() };
        let report = crowd::run(&testnet, &options, &|what| bar.set_message(what.to_owned())).await?;
        bar.finish_and_clear();
        write_json(arguments.out.as_deref(), &report)?;
        return output.document(&report, || report.to_string());
    }
    if let Some(kills) = arguments.kill_leader {
        let usual = FailoverOptions::default();
        let options = FailoverOptions {
            kills,
            per_second_at_voter: arguments.rate.unwrap_or(usual.per_second_at_voter),
            seed: arguments.seed,
            acknowledged: arguments.acknowledged,
        };
        let on_progress = |what: &str| bar.set_message(what.to_owned());
        let report = failover::run(&testnet, &program()?, &options, &on_progress).await?;
        bar.finish_and_clear();
        write_json(arguments.out.as_deref(), &report)?;
        return output.document(&report, || report.to_string());
    }
    let options = BenchOptions {
        rate: arguments.rate,
        duration: arguments.duration.0,
        warm_up: arguments.warm_up.0,
        clients: arguments.clients,
        accounts: arguments.accounts,
        workload: match arguments.workload {
            WorkloadName::Publish => Workload::Publish,
            WorkloadName::Access => Workload::Access,
            WorkloadName::Mixed => Workload::Mixed,
        },
        acknowledged: arguments.acknowledged,
    };
    let report = galen_bench::run(&testnet, &options, &|what, done| bar.set_message(format!("{what}: {done}"))).await?;
    bar.finish_and_clear();
    write_json(arguments.out.as_deref(), &report)?;
    if let Some(path) = &arguments.plot {
        write(path, &report.to_svg())?;
    }
    output.document(&report, || report.to_string())
}

/// Writes a report to a file, where one is named.
fn write_json(path: Option<&Path>, report: &impl serde::Serialize) -> Result<(), CliError> {
    let Some(path) = path else { return Ok(()) };
    let text = serde_json::to_string_pretty(report).map_err(|error| CliError::failed(error.to_string()))?;
    write(path, &text)
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    std::fs::write(path, text).map_err(|error| CliError::file(path, &error))
}
