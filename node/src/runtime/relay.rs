//! How a node that does not order passes transactions on: to a connected voter, whose orderer passes them to the leader.
//! A frame may be lost, so what is not in a block after a while is sent again, to the next voter.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use galen_ledger::Ledger;
use galen_p2p::NetworkHandle;
use galen_types::member::NodeRole;
use galen_types::{DecodedTransaction, Encoding, NodeName, Timestamp, TransactionId};
use tokio::sync::watch;

use super::fatal::Shutdown;
use super::registered::Registered;

/// Transactions that wait at most; more are refused.
const WAITING_MAX: usize = 10_000;
/// Bytes of transactions that wait at most, for the same reason.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// How often what waits is sent again.
const AGAIN: Duration = Duration::from_secs(1);

struct Waiting {
    bytes: Vec<u8>,
    valid_until: Timestamp,
    sent: Instant,
}

#[derive(Default)]
struct Backlog {
    transactions: HashMap<TransactionId, Waiting>,
    bytes: usize,
}

/// Transactions on their way to a voter.
pub(super) struct Relay {
    network: NetworkHandle,
    ledger: Arc<Ledger>,
    registered: watch::Receiver<Arc<Registered>>,
    waiting: Mutex<Backlog>,
}

impl Relay {
    /// A relay over the network.
    pub(super) fn new(
        network: NetworkHandle,
        ledger: Arc<Ledger>,
        registered: watch::Receiver<Arc<Registered>>,
    ) -> Self {
        Self { network, ledger, registered, waiting: Mutex::default() }
    }

    /// Sends transactions on and remembers them; `false`, and none is taken, when too many wait or no voter is connected.
    pub(super) fn send(&self, transactions: Vec<(TransactionId, Vec<u8>)>) -> bool {
        if self.voters().is_empty() {
            return false;
        }
        {
            let mut backlog = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let size: usize = transactions.iter().map(|(_, bytes)| bytes.len()).sum();
            if backlog.transactions.len() + transactions.len() > WAITING_MAX || backlog.bytes + size > WAITING_BYTES_MAX
            {
                return false;
            }
            for (id, bytes) in &transactions {
                let Ok(decoded) = DecodedTransaction::decode(bytes.clone(), bytes.len()) else { continue };
                let valid_until = decoded.body.valid_until;
                let waiting = Waiting { bytes: decoded.bytes, valid_until, sent: Instant::now() };
                if let Some(before) = backlog.transactions.insert(*id, waiting) {
                    backlog.bytes -= before.bytes.len();
                }
                backlog.bytes += bytes.len();
            }
        }
        // What is lost on the way is sent again.
        self.frame(transactions.into_iter().map(|(_, bytes)| bytes).collect(), 0);
        true
    }

    /// Sends again what is not on the chain yet, until the node stops.
    pub(super) async fn run(self: Arc<Self>, shutdown: Shutdown) {
        for turn in 1.. {
            tokio::select! {
                () = shutdown.stopping() => return,
                () = tokio::time::sleep(AGAIN) => {}
            }
            let again = self.unrecorded();
            if !again.is_empty() {
                self.frame(again, turn);
            }
        }
    }

    fn unrecorded(&self) -> Vec<Vec<u8>> {
        let now = Timestamp::now();
        let mut backlog = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if backlog.transactions.is_empty() {
            return Vec::new();
        }
        let Ok(view) = self.ledger.view() else { return Vec::new() };
        let Backlog { transactions, bytes } = &mut *backlog;
        transactions.retain(|id, waiting| {
            let keep = waiting.valid_until >= now && !matches!(view.location(id), Ok(Some(_)));
            if !keep {
                *bytes -= waiting.bytes.len();
            }
            keep
        });
        let due = transactions.values_mut().filter(|waiting| waiting.sent.elapsed() >= AGAIN);
        due.map(|waiting| {
            waiting.sent = Instant::now();
            waiting.bytes.clone()
        })
        .collect()
    }

    /// Connected voters. A node that is far behind may know none of today's: then those that say they are voters.
    fn voters(&self) -> Vec<NodeName> {
        let registered = Arc::clone(&self.registered.borrow());
        let connected: Vec<_> = self.network.peers().into_iter().filter(|peer| peer.connection.is_some()).collect();
        let voting: Vec<NodeName> =
            connected.iter().filter(|peer| registered.votes(&peer.node)).map(|peer| peer.node.clone()).collect();
        if !voting.is_empty() {
            return voting;
        }
        connected.into_iter().filter(|peer| peer.role == NodeRole::Voter).map(|peer| peer.node).collect()
    }

    fn frame(&self, transactions: Vec<Vec<u8>>, turn: usize) {
        let voters = self.voters();
        let Some(voter) = (!voters.is_empty()).then(|| &voters[turn % voters.len()]) else { return };
        // Frames are bounded: a backlog goes in several. What finds no room in the queue is sent again.
        let mut frame = Vec::new();
        let mut size = 0;
        for bytes in transactions {
            size += bytes.len() + 8;
            frame.push(bytes);
            if size >= galen_chain::limits::FORWARD_BYTES_MAX {
                let _ = self.network.send_transactions(voter, std::mem::take(&mut frame).encode().into());
                size = 0;
            }
        }
        if !frame.is_empty() {
            let _ = self.network.send_transactions(voter, frame.encode().into());
        }
    }
}
