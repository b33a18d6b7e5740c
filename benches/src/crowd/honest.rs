//! A client that works at a node: it reads, hands in a transaction, and comes anew, again and again.

use std::time::Duration;

use galen_client::{Client, Wait};
use galen_testnet::Testnet;
use galen_testnet::plan::PlannedNode;
use tokio::time::Instant;

use crate::error::BenchError;
use crate::workload::Calls;

/// One that works.
pub(super) struct Worker {
    pub(super) testnet: Testnet,
    pub(super) node: PlannedNode,
    pub(super) client: Client,
    pub(super) calls: Calls,
}

/// What was measured.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// How the chain is, over a connection that stays open.
    pub(super) reads: Vec<Duration>,
    /// A transaction until its receipt.
    pub(super) transactions: Vec<Duration>,
    /// The same read as the first over a new connection.
    pub(super) newcomers: Vec<Duration>,
    /// What was not answered as it should.
    pub(super) failures: Vec<String>,
}

impl Work {
    pub(super) fn join(&mut self, other: Self) {
        self.reads.extend(other.reads);
        self.transactions.extend(other.transactions);
        self.newcomers.extend(other.newcomers);
        self.failures.extend(other.failures);
    }
}

impl Worker {
    /// Works until a time.
    pub(super) async fn work(&mut self, until: Instant) -> Result<Work, BenchError> {
        let mut work = Work::default();
        while Instant::now() < until {
            timed(&mut work.reads, &mut work.failures, self.client.chain()).await;
            let call = self.calls.next_call()?;
            timed(&mut work.transactions, &mut work.failures, self.client.apply(call, Wait::Committed)).await;
            let newcomer = self.testnet.client(&self.node)?;
            timed(&mut work.newcomers, &mut work.failures, newcomer.chain()).await;
        }
        Ok(work)
    }
}

/// Notes how long an answer took, or that it was none.
async fn timed<T>(
    times: &mut Vec<Duration>,
    failures: &mut Vec<String>,
    question: impl Future<Output = Result<T, galen_client::ClientError>>,
) {
    let asked = Instant::now();
    match question.await {
        Ok(_) => times.push(asked.elapsed()),
        Err(error) => failures.push(error.to_string()),
    }
}
