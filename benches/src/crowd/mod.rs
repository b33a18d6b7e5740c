//! A crowd at one node's doors: connections that want nothing, or want it very slowly, and strangers at the network between
//! nodes, while honest clients work at the same node. Measured with and without the crowd in turn.

mod honest;
mod resources;
mod visitors;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use futures::future::join_all;
use galen_testnet::Testnet;
use galen_testnet::process::NodeProcess;
use galen_types::{DatasetName, NodeName, Timestamp};
use serde::Serialize;
use tokio::time::Instant;

use crate::accounts;
use crate::error::BenchError;
use crate::options::Workload;
use crate::quantiles::Quantiles;
use crate::standing::voters_of;
use crate::workload::Calls;
use honest::{Work, Worker};
pub use resources::Held;
use resources::{Watch, allow_descriptors};
pub use visitors::{Crowd, Visit, Visits};

/// Open files that this process needs beside the crowd's.
const OWN_DESCRIPTORS: usize = 1_000;

/// Settings of a measurement.
#[derive(Debug, Clone)]
pub struct CrowdOptions {
    /// Connections at the HTTP port that want nothing.
    pub idle: usize,
    /// Connections there that are slow: a third each with their request's head, its body, and reading the answer.
    pub slow: usize,
    /// Connections at the port of the network between nodes that go no further than the handshake's first bytes.
    pub strangers: usize,
    /// How often it is measured without and with the crowd.
    pub rounds: usize,
    /// How long each time without.
    pub alone: Duration,
    /// How long each time with.
    pub beside: Duration,
    /// Honest clients at the node.
    pub clients: usize,
}

impl Default for CrowdOptions {
    fn default() -> Self {
        Self {
            idle: 10_000,
            slow: 2_000,
            strangers: 1_000,
            rounds: 3,
            alone: Duration::from_secs(20),
            beside: Duration::from_secs(20),
            clients: 8,
        }
    }
}

/// What honest clients measured in one phase.
#[derive(Debug, Clone, Serialize)]
pub struct Phase {
    /// Reads over a connection that stays open.
    pub reads: Quantiles,
    /// Transactions until their receipt.
    pub transactions: Quantiles,
    /// Reads over a new connection.
    pub newcomers: Quantiles,
    /// Questions that were not answered as they should.
    pub failed: usize,
    /// The first of them.
    pub first_failure: Option<String>,
    /// What the node held.
    pub held: Held,
}

/// The result.
#[derive(Debug, Clone, Serialize)]
pub struct CrowdReport {
    /// When it was made.
    pub time: Timestamp,
    /// The node.
    pub node: NodeName,
    /// Honest clients.
    pub clients: usize,
    /// Without the crowd, in the order of the rounds.
    pub alone: Vec<Phase>,
    /// With it.
    pub beside: Vec<Phase>,
    /// Median of the rounds' 99th percentiles with the crowd, over that without it: reads, transactions, newcomers.
    pub p99_ratio: [f64; 3],
    /// What became of visitors, over all rounds.
    pub visits: BTreeMap<Visit, Visits>,
    /// Processors that the machine shows.
    pub processors: usize,
}

/// Measures at a node of a running testnet.
///
/// # Errors
/// [`BenchError`] when the crowd is too large for this machine, or nothing can be prepared.
pub async fn run(
    testnet: &Testnet,
    options: &CrowdOptions,
    on_progress: &dyn Fn(&str),
) -> Result<CrowdReport, BenchError> {
    let visitors = options.idle + options.slow + options.strangers;
    if options.rounds == 0 || options.clients == 0 || options.alone.is_zero() || options.beside.is_zero() {
        return Err(BenchError::Options("rounds, clients and their time must be above 0".to_owned()));
    }
    allow_descriptors((visitors + OWN_DESCRIPTORS) as u64)?;
    let voters = voters_of(testnet);
    let name = voters.first().ok_or_else(|| BenchError::Options("there is no voter".to_owned()))?.clone();
    let node = testnet.node(&name.to_string())?;
    let process = NodeProcess::find(testnet.folder(), &name);
    let process = process.ok_or_else(|| BenchError::Options(format!("{name} does not run")))?;
    on_progress("adding accounts");
    let mut workers = workers(testnet, &name, options.clients).await?;

    let http = SocketAddr::from(([127, 0, 0, 1], node.http_port));
    let network =
        SocketAddr::from((node.address_isolated.map_or([127, 0, 0, 1], |address| address.octets()), node.network_port));
    let slow = options.slow / 3;
    let visits = [
        (Visit::Idle, options.idle, http),
        (Visit::SlowHead, options.slow - 2 * slow, http),
        (Visit::SlowBody, slow, http),
        (Visit::SlowReader, slow, http),
        (Visit::Stranger, options.strangers, network),
    ];
    let (mut alone, mut beside, mut met) = (Vec::new(), Vec::new(), BTreeMap::new());
    for round in 1..=options.rounds {
        on_progress(&format!("round {round} of {}: alone", options.rounds));
        alone.push(phase(&mut workers, process.pid, options.alone).await?);
        on_progress(&format!("round {round} of {}: the crowd gathers", options.rounds));
        let crowd = Crowd::gather(&visits, round as u64)?;
        crowd.all_came(visitors).await;
        on_progress(&format!("round {round} of {}: beside the crowd", options.rounds));
        beside.push(phase(&mut workers, process.pid, options.beside).await?);
        add(&mut met, crowd.visits());
    }
    let ratio =
        |of: fn(&Phase) -> f64| median(beside.iter().map(of)) / median(alone.iter().map(of)).max(f64::MIN_POSITIVE);
    Ok(CrowdReport {
        time: Timestamp::now(),
        node: name,
        clients: options.clients,
        p99_ratio: [
            ratio(|phase| phase.reads.ms_p99),
            ratio(|phase| phase.transactions.ms_p99),
            ratio(|phase| phase.newcomers.ms_p99),
        ],
        alone,
        beside,
        visits: met,
        processors: std::thread::available_parallelism().map_or(1, usize::from),
    })
}

/// Honest clients of accounts at a node.
async fn workers(testnet: &Testnet, name: &NodeName, count: usize) -> Result<Vec<Worker>, BenchError> {
    let voters = voters_of(testnet).len();
    let clients = accounts::prepare(testnet, count * voters, &|_| {}).await?;
    let run = Timestamp::now().0;
    // Accounts go round the voters; those of the first are wanted.
    let own = clients.into_iter().step_by(voters).enumerate();
    own.map(|(number, client)| {
        let member = name.member.clone();
        let target = DatasetName { member: member.clone(), dataset: accounts::slug("none")? };
        let calls = Calls::new(member, run, number, target, Workload::Publish)?;
        let node = testnet.node(&name.to_string())?.clone();
        Ok(Worker { testnet: testnet.clone(), node, client, calls })
    })
    .collect()
}

async fn phase(workers: &mut [Worker], pid: i32, length: Duration) -> Result<Phase, BenchError> {
    let watch = Watch::start(pid);
    let until = Instant::now() + length;
    let mut all = Work::default();
    for work in join_all(workers.iter_mut().map(|worker| worker.work(until))).await {
        all.join(work?);
    }
    Ok(Phase {
        reads: Quantiles::of(all.reads),
        transactions: Quantiles::of(all.transactions),
        newcomers: Quantiles::of(all.newcomers),
        failed: all.failures.len(),
        first_failure: all.failures.into_iter().next(),
        held: watch.stop(),
    })
}

fn add(met: &mut BTreeMap<Visit, Visits>, round: BTreeMap<Visit, Visits>) {
    for (visit, visits) in round {
        let all = met.entry(visit).or_default();
        all.open = visits.open;
        all.open_max = all.open_max.max(visits.open_max);
        all.taken += visits.taken;
        all.ended += visits.ended;
        all.refused += visits.refused;
        all.lasted_s_max = all.lasted_s_max.max(visits.lasted_s_max);
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

impl fmt::Display for CrowdReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (round, (alone, beside)) in self.alone.iter().zip(&self.beside).enumerate() {
            for (who, phase) in [("alone", alone), ("beside the crowd", beside)] {
                writeln!(formatter, "round {}, {who}:", round + 1)?;
                writeln!(formatter, "  reads         {}", phase.reads)?;
                writeln!(formatter, "  transactions  {}", phase.transactions)?;
                writeln!(formatter, "  newcomers     {}", phase.newcomers)?;
                let Held { descriptors_max, resident_mib_max } = phase.held;
                writeln!(
                    formatter,
                    "  failed {}; the node held {descriptors_max} descriptors and {resident_mib_max} MiB",
                    phase.failed
                )?;
            }
        }
        for (visit, visits) in &self.visits {
            writeln!(
                formatter,
                "{visit:?}: {} taken, {} open at most, {} ended by the node (after {:.0} s at most), {} not taken",
                visits.taken, visits.open_max, visits.ended, visits.lasted_s_max, visits.refused
            )?;
        }
        let [reads, transactions, newcomers] = self.p99_ratio;
        write!(
            formatter,
            "p99 beside the crowd over alone, medians of {} rounds: reads {reads:.2}, transactions {transactions:.2}, \
             newcomers {newcomers:.2}; {} clients at {} on a machine with {} processors",
            self.alone.len(),
            self.clients,
            self.node,
            self.processors
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median(std::iter::empty()), 0.0);
    }
}
