//! How a node that does not order passes transactions on: to a connected voter, whose orderer passes them to the leader.
//! A frame may be lost, so what is not in a block after a while is sent again, to the next voter.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use galen_ledger::Ledger;
use galen_p2p::NetworkHandle;
use galen_types::member::NodeRole;
use galen_types::{DecodedTransaction, Encoding, Timestamp, TransactionId};

use super::fatal::Shutdown;

/// Transactions that wait at most; more are refused.
const WAITING_MAX: usize = 10_000;
/// How often what waits is sent again.
const AGAIN: Duration = Duration::from_secs(1);

struct Waiting {
    bytes: Vec<u8>,
    valid_until: Timestamp,
}

/// Transactions on their way to a voter.
pub(super) struct Relay {
    network: NetworkHandle,
    ledger: Arc<Ledger>,
    waiting: Mutex<HashMap<TransactionId, Waiting>>,
}

impl Relay {
    /// A relay over the network.
    pub(super) fn new(network: NetworkHandle, ledger: Arc<Ledger>) -> Self {
        Self { network, ledger, waiting: Mutex::default() }
    }

    /// Sends transactions on and remembers them; `false` when too many wait or no voter is connected.
    pub(super) fn send(&self, transactions: Vec<(TransactionId, Vec<u8>)>) -> bool {
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() + transactions.len() > WAITING_MAX {
                return false;
            }
            for (id, bytes) in &transactions {
                let Ok(decoded) = DecodedTransaction::decode(bytes.clone(), bytes.len()) else { continue };
                let valid_until = decoded.body.valid_until;
                waiting.insert(*id, Waiting { bytes: decoded.bytes, valid_until });
            }
        }
        self.frame(transactions.into_iter().map(|(_, bytes)| bytes).collect(), 0)
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
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_empty() {
            return Vec::new();
        }
        let Ok(view) = self.ledger.view() else { return Vec::new() };
        waiting.retain(|id, transaction| transaction.valid_until >= now && !matches!(view.location(id), Ok(Some(_))));
        waiting.values().map(|transaction| transaction.bytes.clone()).collect()
    }

    fn frame(&self, transactions: Vec<Vec<u8>>, turn: usize) -> bool {
        let peers = self.network.peers();
        let voters: Vec<_> =
            peers.iter().filter(|peer| peer.role == NodeRole::Voter && peer.connection.is_some()).collect();
        let Some(voter) = (!voters.is_empty()).then(|| voters[turn % voters.len()]) else { return false };
        // Frames are bounded: a backlog goes in several.
        let mut sent = true;
        let mut frame = Vec::new();
        let mut size = 0;
        for bytes in transactions {
            size += bytes.len() + 8;
            frame.push(bytes);
            if size >= galen_chain::limits::FORWARD_BYTES_MAX {
                sent &= self.network.send_transactions(&voter.node, std::mem::take(&mut frame).encode().into()).is_ok();
                size = 0;
            }
        }
        if !frame.is_empty() {
            sent &= self.network.send_transactions(&voter.node, frame.encode().into()).is_ok();
        }
        sent
    }
}
