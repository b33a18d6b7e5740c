//! What the death of a leader costs: under load the node that orders is killed, and the time is taken until a transaction
//! that was submitted after the kill, at one of the other voters, is acknowledged there.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use galen_testnet::Testnet;
use galen_testnet::process::NodeProcess;
use galen_types::{NodeName, Timestamp};
use nix::sys::signal::Signal;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::acknowledged::{Acknowledged, Record};
use crate::agreement::{self, Agreement, Asked};
use crate::draws::Draws;
use crate::error::BenchError;
use crate::quantiles::Quantiles;
use crate::standing::{PATIENCE, all_well, leader_of, voters_of, votes_again};
use crate::steady::Steady;

/// How long nodes may take in the end to come to the same chain.
const AGREEMENT_PATIENCE: Duration = Duration::from_secs(120);
/// A kill comes up to this long after all is well, so that it meets every phase of ticks, blocks and heartbeats.
const SPREAD: Duration = Duration::from_secs(1);

/// Settings of a measurement.
#[derive(Debug, Clone)]
pub struct FailoverOptions {
    /// How often the leader is killed.
    pub kills: u32,
    /// Transactions a second at each voter.
    pub per_second_at_voter: u32,
    /// Decides when kills come.
    pub seed: u64,
    /// Every acknowledged transaction is written here.
    pub acknowledged: Option<PathBuf>,
}

impl Default for FailoverOptions {
    fn default() -> Self {
        Self { kills: 100, per_second_at_voter: 100, seed: 1, acknowledged: None }
    }
}

/// One kill.
#[derive(Debug, Clone, Serialize)]
pub struct Kill {
    /// Who was killed.
    pub leader: NodeName,
    /// Who orders since.
    pub successor: NodeName,
    /// Milliseconds from the kill to the first acknowledgement of a transaction that was submitted after it.
    pub next_ms: f64,
    /// Milliseconds until each of the other voters had acknowledged such a transaction.
    pub everywhere_ms: f64,
    /// Milliseconds from its start until the killed node voted again.
    pub back_ms: f64,
}

/// The result.
#[derive(Debug, Clone, Serialize)]
pub struct FailoverReport {
    /// When it was made.
    pub time: Timestamp,
    /// Voters of the testnet.
    pub voters: usize,
    /// Transactions a second at each voter.
    pub per_second_at_voter: u32,
    /// From the kill to the next acknowledged transaction.
    pub next: Quantiles,
    /// From the kill until each of the other voters had acknowledged one.
    pub everywhere: Quantiles,
    /// From its start until the killed node voted again.
    pub back: Quantiles,
    /// Transactions without a receipt, most of them at nodes that were just killed.
    pub failed: u64,
    /// What all nodes agree upon in the end.
    pub agreement: Agreement,
    /// Each kill.
    pub each: Vec<Kill>,
    /// Processors that the machine shows.
    pub processors: usize,
}

/// Measures on a running testnet; every node runs again in the end.
///
/// # Errors
/// [`BenchError`] when the others do not go on, a node does not come back, or in the end an acknowledged transaction is
/// not where it was.
pub async fn run(
    testnet: &Testnet,
    program: &Path,
    options: &FailoverOptions,
    on_progress: &dyn Fn(&str),
) -> Result<FailoverReport, BenchError> {
    options.check(testnet)?;
    on_progress("adding accounts");
    let mut record = options.acknowledged.as_deref().map(Record::open).transpose()?;
    let load = Steady::start(testnet, options.per_second_at_voter).await?;
    let mut draws = Draws::new(options.seed, "kills");
    let mut each: Vec<Kill> = Vec::new();
    for number in 1..=options.kills {
        let last = each.last().map_or_else(String::new, |kill| format!("; the last took {:.0} ms", kill.next_ms));
        on_progress(&format!("kill {number} of {}{last}", options.kills));
        each.push(kill_once(testnet, program, &load, &mut draws).await?);
    }
    let (receipts, tally) = load.stop().await;
    let acknowledged: Vec<Acknowledged> = receipts.iter().map(|receipt| receipt.acknowledged).collect();
    if let Some(record) = &mut record {
        acknowledged.iter().try_for_each(|one| record.add(one))?;
    }
    record.map_or(Ok(()), Record::finish)?;
    on_progress("comparing all nodes");
    let agreement = agreement::check(&Asked::all(testnet)?, &acknowledged, AGREEMENT_PATIENCE).await?;
    let milliseconds =
        |of: fn(&Kill) -> f64| Quantiles::of(each.iter().map(|kill| Duration::from_secs_f64(of(kill) / 1000.0)));
    Ok(FailoverReport {
        time: Timestamp::now(),
        voters: voters_of(testnet).len(),
        per_second_at_voter: options.per_second_at_voter,
        next: milliseconds(|kill| kill.next_ms),
        everywhere: milliseconds(|kill| kill.everywhere_ms),
        back: milliseconds(|kill| kill.back_ms),
        failed: tally.failed,
        agreement,
        each,
        processors: std::thread::available_parallelism().map_or(1, usize::from),
    })
}

impl FailoverOptions {
    fn check(&self, testnet: &Testnet) -> Result<(), BenchError> {
        let voters = voters_of(testnet).len();
        if voters < 3 {
            return Err(BenchError::Options(format!("{voters} voters do not go on without their leader; it takes 3")));
        }
        if !(1..=100_000).contains(&self.kills) || !(1..=1_000).contains(&self.per_second_at_voter) {
            return Err(BenchError::Options(
                "--kill-leader must be 1 to 100000, and --rate 1 to 1000 a voter".to_owned(),
            ));
        }
        Ok(())
    }
}

async fn kill_once(testnet: &Testnet, program: &Path, load: &Steady, draws: &mut Draws) -> Result<Kill, BenchError> {
    let voters = voters_of(testnet);
    let leader = all_well(testnet, load, &voters).await?;
    sleep(draws.between(Duration::ZERO, SPREAD)).await;
    let process = NodeProcess::find(testnet.folder(), &leader);
    let process = process.ok_or_else(|| BenchError::Stalled(format!("{leader} ended by itself")))?;
    process.signal(Signal::SIGKILL);
    let killed = Instant::now();
    let deadline = killed + PATIENCE;
    let mut others = Vec::new();
    for voter in voters.iter().filter(|voter| **voter != leader) {
        let next = load.first(deadline, |receipt| receipt.submitted >= killed && &receipt.node == voter).await;
        let next = next.ok_or_else(|| {
            let first = load.tally().first_failure.unwrap_or_default();
            BenchError::Stalled(format!(
                "{voter} acknowledged nothing for {PATIENCE:?} after {leader} was killed: {first}"
            ))
        })?;
        others.push(next.at.duration_since(killed));
    }
    let successor = leader_of(testnet, voters.iter().find(|voter| **voter != leader)).await;
    let started = Instant::now();
    // The killed process must be gone before its files can be locked again.
    tokio::task::spawn_blocking(move || process.kill())
        .await
        .map_err(|error| BenchError::Stalled(error.to_string()))?;
    testnet.start(&leader.to_string(), program).await?;
    votes_again(testnet, &leader, deadline).await?;
    let milliseconds = |duration: Option<Duration>| duration.unwrap_or_default().as_secs_f64() * 1000.0;
    Ok(Kill {
        successor: successor.unwrap_or_else(|| leader.clone()),
        leader,
        next_ms: milliseconds(others.iter().min().copied()),
        everywhere_ms: milliseconds(others.iter().max().copied()),
        back_ms: milliseconds(Some(started.elapsed())),
    })
}

impl fmt::Display for FailoverReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{} kills of the leader; from the kill to the next acknowledged transaction:",
            self.next.count
        )?;
        writeln!(formatter, "at any other voter:   {}", self.next)?;
        writeln!(formatter, "at every other voter: {}", self.everywhere)?;
        writeln!(formatter, "the killed node votes again after its start: {}", self.back)?;
        writeln!(
            formatter,
            "{} acknowledged transactions are where they were, once, on each of {} nodes; {} came to nothing",
            self.agreement.acknowledged, self.agreement.nodes, self.failed
        )?;
        write!(
            formatter,
            "{} voters on this machine with {} processors; {} transactions a second at each",
            self.voters, self.processors, self.per_second_at_voter
        )
    }
}
