//! Clients in parallel. In a closed loop each sends its next transaction when the receipt of the last is back; at a fixed
//! rate each send has its time, and latency counts from that time, so that a slow chain does not hide its own delays
//! (coordinated omission).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use galen_client::{Client, ClientError, Wait};
use galen_testnet::Testnet;
use galen_types::{AccountName, Timestamp};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::accounts;
use crate::acknowledged::{Acknowledged, Record};
use crate::error::BenchError;
use crate::options::BenchOptions;
use crate::report::{Report, Samples};
use crate::workload::Calls;

/// Results that wait to be counted.
const RESULTS_MAX: usize = 65_536;

/// What one transaction came to.
pub(crate) struct Sample {
    /// The client that sent it, counted from 0.
    pub(crate) client: usize,
    /// When its receipt was back, since the start of the load.
    pub(crate) at: Duration,
    /// From the time it was due to its receipt.
    pub(crate) latency: Duration,
    /// The acknowledgement, or why there is none.
    pub(crate) outcome: Result<Acknowledged, Failure>,
}

/// Why a transaction does not count.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// A rule refused it.
    Refused(String),
    /// It failed, or its outcome is not known.
    Failed(String),
}

/// Measures.
///
/// # Errors
/// [`BenchError`] when preparation fails or nothing is acknowledged.
pub async fn run(
    testnet: &Testnet,
    options: &BenchOptions,
    on_progress: &dyn Fn(&str, u64),
) -> Result<Report, BenchError> {
    options.check()?;
    on_progress("adding accounts", 0);
    let clients =
        accounts::prepare(testnet, options.accounts, &|done| on_progress("adding accounts", done as u64)).await?;
    let run = Timestamp::now().0;
    let mut calls = Vec::with_capacity(options.clients);
    let first = member_of(&clients[0])?;
    let mut seed = Calls::new(first.member.clone(), run, options.clients, target_name(&first)?, options.workload)?;
    let (target, publish) = seed.target()?;
    clients[0].apply(publish, Wait::Committed).await?;
    for number in 0..options.clients {
        let client = clients[number % clients.len()].clone();
        let member = member_of(&client)?.member;
        calls.push((client, Calls::new(member, run, number, target.clone(), options.workload)?));
    }
    let mut record = options.acknowledged.as_deref().map(Record::open).transpose()?;

    let (results, mut received) = mpsc::channel(RESULTS_MAX);
    let started = Instant::now();
    let end = started + options.warm_up + options.duration;
    let schedule = Arc::new(Schedule { rate: options.rate, started, end, next: AtomicU64::new(0) });
    for (number, (client, calls)) in calls.into_iter().enumerate() {
        tokio::spawn(one_client(number, client, calls, Arc::clone(&schedule), results.clone()));
    }
    drop(results);
    let mut samples = Samples::new(options);
    let mut acknowledged = 0;
    while let Some(sample) = received.recv().await {
        if let (Ok(receipt), Some(record)) = (&sample.outcome, &mut record) {
            record.add(receipt)?;
        }
        acknowledged += u64::from(sample.outcome.is_ok());
        samples.add(&sample);
        on_progress("measuring", acknowledged);
    }
    if let Some(record) = record {
        record.finish()?;
    }
    samples.report(options, testnet)
}

fn member_of(client: &Client) -> Result<AccountName, BenchError> {
    client.account_name().cloned().ok_or_else(|| BenchError::Options("a client has no account".to_owned()))
}

fn target_name(account: &AccountName) -> Result<galen_types::DatasetName, BenchError> {
    Ok(galen_types::DatasetName { member: account.member.clone(), dataset: accounts::slug("none")? })
}

/// When transactions are due.
struct Schedule {
    rate: Option<u32>,
    started: Instant,
    end: Instant,
    next: AtomicU64,
}

impl Schedule {
    /// When the asking client's next transaction is due; `None` when the measurement is over.
    async fn due(&self) -> Option<Instant> {
        let Some(rate) = self.rate else {
            let now = Instant::now();
            return (now < self.end).then_some(now);
        };
        let place = self.next.fetch_add(1, Ordering::Relaxed);
        let due = self.started + Duration::from_micros(place * 1_000_000 / u64::from(rate));
        if due >= self.end {
            return None;
        }
        tokio::time::sleep_until(due).await;
        Some(due)
    }
}

async fn one_client(
    number: usize,
    client: Client,
    mut calls: Calls,
    schedule: Arc<Schedule>,
    results: mpsc::Sender<Sample>,
) {
    while let Some(due) = schedule.due().await {
        let outcome = match calls.next_call() {
            Ok(call) => client.apply(call, Wait::Committed).await.map_err(Some),
            Err(_) => Err(None),
        };
        let outcome = match outcome {
            Ok(status) => Acknowledged::of(&status)
                .ok_or_else(|| Failure::Failed("a receipt without a height came back".to_owned())),
            Err(Some(error @ ClientError::Denied { .. })) => Err(Failure::Refused(error.to_string())),
            Err(Some(error)) => Err(Failure::Failed(error.to_string())),
            Err(None) => Err(Failure::Failed("the workload ran out of names".to_owned())),
        };
        let sample = Sample { client: number, at: schedule.started.elapsed(), latency: due.elapsed(), outcome };
        if results.send(sample).await.is_err() {
            return;
        }
    }
}
