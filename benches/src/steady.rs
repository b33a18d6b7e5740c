//! Steady load: each voter is given so many transactions a second by clients of its own, whatever became of those before.
//! A client that waits for its receipt would fall silent with the node that it waits for, and with it the measurement of how
//! long that takes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use galen_client::{Client, ClientError, Wait};
use galen_testnet::Testnet;
use galen_types::{NodeName, Timestamp};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

use crate::accounts;
use crate::acknowledged::Acknowledged;
use crate::error::BenchError;
use crate::options::Workload;
use crate::workload::Calls;

/// Accounts that sign at each voter: a load of one account alone would meet its quota.
const ACCOUNTS_PER_VOTER: usize = 4;
/// Transactions under way at a voter; those that would be more are left out and counted.
const UNDER_WAY_MAX: usize = 1_024;
/// How long a transaction may be executed: one that a voter took while it was cut off is not waited for longer.
const VALIDITY: Duration = Duration::from_secs(15);

/// A transaction whose receipt came back.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// Where it was handed in.
    pub node: NodeName,
    /// When.
    pub submitted: Instant,
    /// When its receipt was there.
    pub at: Instant,
    /// What the receipt said.
    pub acknowledged: Acknowledged,
}

/// What came of everything so far.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Transactions without a receipt: refused, unreachable, or their outcome is not known.
    pub failed: u64,
    /// Transactions that were not sent because too many were under way at their voter.
    pub left_out: u64,
    /// The first failure.
    pub first_failure: Option<String>,
}

#[derive(Default)]
struct Book {
    receipts: Vec<Receipt>,
    tally: Tally,
}

/// Load that runs until it is stopped.
pub struct Steady {
    book: Arc<Mutex<Book>>,
    /// How many receipts there are.
    count: Arc<watch::Sender<usize>>,
    stop: watch::Sender<bool>,
    voters: Vec<JoinHandle<()>>,
}

impl Steady {
    /// Adds accounts and starts the load: so many transactions a second at each voter.
    ///
    /// # Errors
    /// [`BenchError`] when an account cannot be added.
    pub async fn start(testnet: &Testnet, per_second_at_voter: u32) -> Result<Self, BenchError> {
        let voters: Vec<_> =
            testnet.plan().present().filter(|node| node.is_voter()).map(|node| node.name.clone()).collect();
        let clients = accounts::prepare_valid(testnet, voters.len() * ACCOUNTS_PER_VOTER, VALIDITY, &|_| {}).await?;
        let run = Timestamp::now().0;
        let mut of_voter: HashMap<NodeName, Vec<(Client, Calls)>> = HashMap::new();
        for (number, client) in clients.into_iter().enumerate() {
            let account = client.account_name().cloned();
            let account = account.ok_or_else(|| BenchError::Options("a client has no account".to_owned()))?;
            let none = accounts::slug("none")?;
            let target = galen_types::DatasetName { member: account.member.clone(), dataset: none };
            let calls = Calls::new(account.member, run, number, target, Workload::Publish)?;
            of_voter.entry(voters[number % voters.len()].clone()).or_default().push((client, calls));
        }
        let (stop, book) = (watch::Sender::new(false), Arc::default());
        let count = Arc::new(watch::Sender::new(0));
        let period = Duration::from_secs(1) / per_second_at_voter.max(1);
        let voters = of_voter.into_iter().map(|(node, clients)| {
            let sender = Sender { node, book: Arc::clone(&book), count: Arc::clone(&count) };
            tokio::spawn(sender.run(clients, period, stop.subscribe()))
        });
        Ok(Self { voters: voters.collect(), book, count, stop })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What came of everything so far.
    pub fn tally(&self) -> Tally {
        self.book().tally.clone()
    }

    /// The receipts so far that are wanted.
    pub fn receipts(&self, wanted: impl Fn(&Receipt) -> bool) -> Vec<Receipt> {
        self.book().receipts.iter().filter(|receipt| wanted(receipt)).cloned().collect()
    }

    /// The first receipt, in the order of their coming, that is wanted; waits for it until a deadline.
    pub async fn first(&self, deadline: Instant, wanted: impl Fn(&Receipt) -> bool) -> Option<Receipt> {
        let mut news = self.count.subscribe();
        let mut seen = 0;
        loop {
            {
                let book = self.book();
                if let Some(found) = book.receipts[seen..].iter().find(|receipt| wanted(receipt)) {
                    return Some(found.clone());
                }
                seen = book.receipts.len();
            }
            tokio::time::timeout_at(deadline, news.wait_for(|count| *count > seen)).await.ok()?.ok()?;
        }
    }

    /// Ends the load, waits for what is under way; everything that was acknowledged.
    pub async fn stop(self) -> (Vec<Receipt>, Tally) {
        self.stop.send_replace(true);
        for voter in self.voters {
            // A panic of a client's task is its own; what it recorded stands.
            let _ = voter.await;
        }
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut book.receipts), book.tally.clone())
    }
}

/// Gives one voter its load.
struct Sender {
    node: NodeName,
    book: Arc<Mutex<Book>>,
    count: Arc<watch::Sender<usize>>,
}

impl Sender {
    async fn run(self, mut clients: Vec<(Client, Calls)>, period: Duration, mut stop: watch::Receiver<bool>) {
        let sender = Arc::new(self);
        let places = Arc::new(Semaphore::new(UNDER_WAY_MAX));
        let mut under_way = JoinSet::new();
        let mut due = tokio::time::interval(period);
        due.set_missed_tick_behavior(MissedTickBehavior::Skip);
        for turn in 0_usize.. {
            tokio::select! {
                _ = due.tick() => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
            while under_way.try_join_next().is_some() {}
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                sender.with_tally(|tally| tally.left_out += 1);
                continue;
            };
            let number = turn % clients.len();
            let (client, calls) = &mut clients[number];
            let Ok(call) = calls.next_call() else { break };
            let (client, sender) = (client.clone(), Arc::clone(&sender));
            under_way.spawn(async move {
                let submitted = Instant::now();
                let outcome = client.apply(call, Wait::Committed).await;
                sender.note(submitted, outcome.map(|status| Acknowledged::of(&status)));
                drop(place);
            });
        }
        under_way.join_all().await;
    }

    fn with_tally(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner).tally);
    }

    fn note(&self, submitted: Instant, outcome: Result<Option<Acknowledged>, ClientError>) {
        let failure = match outcome {
            Ok(Some(acknowledged)) => {
                let receipt = Receipt { node: self.node.clone(), submitted, at: Instant::now(), acknowledged };
                let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
                book.receipts.push(receipt);
                let count = book.receipts.len();
                drop(book);
                // Notes may overtake each other; the count only grows.
                self.count.send_if_modified(|known| {
                    let more = count > *known;
                    *known = count.max(*known);
                    more
                });
                return;
            }
            Ok(None) => "a receipt without a height came back".to_owned(),
            Err(error) => error.to_string(),
        };
        self.with_tally(|tally| {
            tally.failed += 1;
            tally.first_failure.get_or_insert(failure);
        });
    }
}
