//! Throughput and latency percentiles of a measurement, as text, JSON and SVG.

use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

use galen_testnet::Testnet;
use galen_types::Timestamp;
use galen_types::member::NodeRole;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::drive::{Failure, Sample};
use crate::error::BenchError;
use crate::options::{BenchOptions, Workload};
use crate::pauses::Pauses;

/// Latencies are kept in microseconds up to two minutes, to three digits.
const LATENCY_US_MAX: u64 = 120_000_000;

/// What is gathered while load runs.
pub(crate) struct Samples {
    warm_up: Duration,
    duration: Duration,
    latencies: Option<Histogram<u64>>,
    acknowledged: u64,
    refused: u64,
    failed: u64,
    first_failure: Option<String>,
    per_second: Vec<u64>,
    pauses: Pauses,
}

/// A measurement's result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// When it was made.
    pub time: Timestamp,
    /// What the transactions did.
    pub workload: Workload,
    /// Voters of the testnet.
    pub voters: usize,
    /// Nodes of the testnet.
    pub nodes: usize,
    /// Transactions under way at a time.
    pub clients: usize,
    /// Accounts that signed.
    pub accounts: usize,
    /// Transactions a second that were asked for; `null`: as fast as the clients could.
    pub rate: Option<u32>,
    /// Seconds measured, without warm-up.
    pub seconds: f64,
    /// Transactions whose receipt came back while it was measured.
    pub acknowledged: u64,
    /// Acknowledged transactions a second.
    pub transactions_per_second: f64,
    /// Transactions that a rule refused, warm-up included.
    pub refused: u64,
    /// Transactions that failed or whose outcome is unknown, warm-up included.
    pub failed: u64,
    /// The first failure.
    pub first_failure: Option<String>,
    /// Milliseconds from the time a transaction was due to its receipt: median.
    pub latency_ms_p50: f64,
    /// 90th percentile.
    pub latency_ms_p90: f64,
    /// 99th percentile.
    pub latency_ms_p99: f64,
    /// Greatest.
    pub latency_ms_max: f64,
    /// Milliseconds of the longest time in which no client got a receipt: the longest pause of commits.
    pub longest_pause_ms: f64,
    /// Seconds since the load began at which it began.
    pub longest_pause_at_s: f64,
    /// Milliseconds of the longest time in which one client got no receipt while others may have.
    pub longest_client_pause_ms: f64,
    /// Acknowledged in each second, warm-up included.
    pub per_second: Vec<u64>,
    /// Processors that the machine shows.
    pub processors: usize,
}

impl Samples {
    pub(crate) fn new(options: &BenchOptions) -> Self {
        let (warm_up, duration) = (options.warm_up, options.duration);
        Self {
            warm_up,
            duration,
            latencies: Histogram::new_with_max(LATENCY_US_MAX, 3).ok(),
            acknowledged: 0,
            refused: 0,
            failed: 0,
            first_failure: None,
            per_second: Vec::new(),
            pauses: Pauses::new(options.clients, warm_up, warm_up + duration),
        }
    }

    pub(crate) fn add(&mut self, sample: &Sample) {
        match &sample.outcome {
            Ok(_) => {
                self.pauses.receipt(sample.client, sample.at);
                let second = usize::try_from(sample.at.as_secs()).unwrap_or(usize::MAX).min(86_400);
                if self.per_second.len() <= second {
                    self.per_second.resize(second + 1, 0);
                }
                self.per_second[second] += 1;
                if (self.warm_up..self.warm_up + self.duration).contains(&sample.at) {
                    self.acknowledged += 1;
                    let microseconds = u64::try_from(sample.latency.as_micros()).unwrap_or(LATENCY_US_MAX);
                    if let Some(latencies) = &mut self.latencies {
                        latencies.saturating_record(microseconds);
                    }
                }
            }
            Err(failure) => {
                let (count, text) = match failure {
                    Failure::Refused(text) => (&mut self.refused, text),
                    Failure::Failed(text) => (&mut self.failed, text),
                };
                *count += 1;
                self.first_failure.get_or_insert_with(|| text.clone());
            }
        }
    }

    pub(crate) fn report(self, options: &BenchOptions, testnet: &Testnet) -> Result<Report, BenchError> {
        if self.acknowledged == 0 {
            return Err(BenchError::NothingDone(self.first_failure.unwrap_or_else(|| "none was sent".to_owned())));
        }
        let nodes = testnet.nodes();
        let pauses = self.pauses.finish();
        let at = |quantile: f64| {
            self.latencies.as_ref().map_or(0.0, |latencies| milliseconds(latencies.value_at_quantile(quantile)))
        };
        let seconds = self.duration.as_secs_f64();
        Ok(Report {
            time: Timestamp::now(),
            workload: options.workload,
            voters: nodes.iter().filter(|node| node.role == NodeRole::Voter).count(),
            nodes: nodes.len(),
            clients: options.clients,
            accounts: options.accounts,
            rate: options.rate,
            seconds,
            acknowledged: self.acknowledged,
            transactions_per_second: float(self.acknowledged) / seconds,
            refused: self.refused,
            failed: self.failed,
            first_failure: self.first_failure,
            latency_ms_p50: at(0.5),
            latency_ms_p90: at(0.9),
            latency_ms_p99: at(0.99),
            latency_ms_max: self.latencies.as_ref().map_or(0.0, |latencies| milliseconds(latencies.max())),
            longest_pause_ms: pauses.longest.as_secs_f64() * 1000.0,
            longest_pause_at_s: pauses.longest_at.as_secs_f64(),
            longest_client_pause_ms: pauses.longest_of_client.as_secs_f64() * 1000.0,
            per_second: self.per_second,
            processors: std::thread::available_parallelism().map_or(1, usize::from),
        })
    }
}

/// Exact for all counts that fit a measurement.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

fn milliseconds(microseconds: u64) -> f64 {
    float(microseconds) / 1000.0
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{:.0} transactions a second: {} acknowledged in {:.0} s",
            self.transactions_per_second, self.acknowledged, self.seconds
        )?;
        writeln!(
            formatter,
            "latency: p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
            self.latency_ms_p50, self.latency_ms_p90, self.latency_ms_p99, self.latency_ms_max
        )?;
        writeln!(
            formatter,
            "longest pause: {:.0} ms without a receipt, {:.1} s after the load began; {:.0} ms at a single client",
            self.longest_pause_ms, self.longest_pause_at_s, self.longest_client_pause_ms
        )?;
        let rate =
            self.rate.map_or("as fast as the clients can".to_owned(), |rate| format!("{rate} a second asked for"));
        writeln!(
            formatter,
            "{} voters, {} nodes on this machine with {} processors; {} clients, {} accounts, {rate}",
            self.voters, self.nodes, self.processors, self.clients, self.accounts
        )?;
        write!(formatter, "refused {}, failed or unknown {}", self.refused, self.failed)?;
        if let Some(failure) = &self.first_failure {
            write!(formatter, "; the first: {failure}")?;
        }
        Ok(())
    }
}

impl Report {
    /// Acknowledged transactions in each second, as a bar chart.
    pub fn to_svg(&self) -> String {
        let (width, height, margin) = (720.0, 300.0, 40.0);
        let bars = self.per_second.len().max(1);
        let most = self.per_second.iter().copied().max().unwrap_or(1).max(1);
        let step = (width - 2.0 * margin) / float(bars as u64);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
             font-size=\"11\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n\
             <text x=\"{margin}\" y=\"20\">acknowledged transactions in each second (most: {most})</text>\n"
        );
        for (place, count) in (0u64..).zip(&self.per_second) {
            let bar = (height - 2.0 * margin) * float(*count) / float(most);
            let (x, y) = (margin + step * float(place), height - margin - bar);
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{bar:.1}\" fill=\"#3b6ea5\"/>",
                step * 0.9
            );
        }
        let base = height - margin;
        let _ = writeln!(
            svg,
            "<line x1=\"{margin}\" y1=\"{base}\" x2=\"{}\" y2=\"{base}\" stroke=\"black\"/>\n<text x=\"{margin}\" \
             y=\"{}\">0 s</text>\n<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{bars} s</text>\n</svg>",
            width - margin,
            base + 16.0,
            width - margin,
            base + 16.0
        );
        svg
    }
}
