//! Whoever waits for a transaction: told when it is in a block applied here, or void. A client that is told nothing waits
//! until its deadline; nothing is kept for transactions nobody waits for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use galen_chain::Void;
use galen_chain::executor::ExecutedBlock;
use galen_types::TransactionId;
use tokio::sync::oneshot;

use super::fatal::Shutdown;
use super::limits::RECEIPTS_SWEEP;

/// What a waiting client is told.
#[derive(Debug, Clone)]
pub(super) enum Settled {
    /// It is in this block, at this place.
    InBlock {
        /// The block.
        block: Arc<ExecutedBlock>,
        /// Its place, from 0.
        index: u32,
    },
    /// It is void: never recorded.
    Void(Void),
    /// It waited here until no block could take it any more. Another node may have recorded it before that.
    Expired,
}

/// All that wait.
#[derive(Default)]
pub(super) struct Receipts {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    clients: HashMap<TransactionId, Vec<oneshot::Sender<Settled>>>,
    /// The node stops: nobody will be told any more.
    closed: bool,
}

impl Receipts {
    /// Begins to wait; look at the ledger after this, or a block in between is missed. The channel ends without a word when
    /// the node stops.
    pub(super) fn wait(&self, id: TransactionId) -> oneshot::Receiver<Settled> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.closed {
            return receiver;
        }
        let list = waiting.clients.entry(id).or_default();
        // Those that gave up leave their place to the next.
        list.retain(|sender| !sender.is_closed());
        list.push(sender);
        receiver
    }

    /// A block was applied.
    pub(super) fn block(&self, block: &Arc<ExecutedBlock>) {
        let mut told = Vec::new();
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            for (index, receipt) in (0u32..).zip(block.receipts.iter()) {
                if let Some(list) = waiting.clients.remove(&receipt.transaction) {
                    told.push((index, list));
                }
            }
        }
        for (index, list) in told {
            for sender in list {
                let _ = sender.send(Settled::InBlock { block: Arc::clone(block), index });
            }
        }
    }

    /// Transactions were left out of a block.
    pub(super) fn void(&self, void: &[(TransactionId, Void)]) {
        for (id, reason) in void {
            // A duplicate is not told: its first receipt is what the client is to get, and it finds that itself.
            if !matches!(reason, Void::Rule(galen_contracts::VoidReason::Duplicate)) {
                self.tell(id, &Settled::Void(reason.clone()));
            }
        }
    }

    /// Transactions waited in the mempool until no block could take them.
    pub(super) fn expired(&self, ids: &[TransactionId]) {
        for id in ids {
            self.tell(id, &Settled::Expired);
        }
    }

    /// Forgets those that gave up.
    pub(super) fn sweep(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.clients.retain(|_, list| {
            list.retain(|sender| !sender.is_closed());
            !list.is_empty()
        });
    }

    /// Lets all go that wait, and whoever comes later.
    fn close(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.closed = true;
        waiting.clients.clear();
    }

    fn tell(&self, id: &TransactionId, settled: &Settled) {
        let list = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clients.remove(id);
        for sender in list.into_iter().flatten() {
            let _ = sender.send(settled.clone());
        }
    }
}

/// Forgets clients that gave up, from time to time, until the node stops; then lets the others go, so that it does not wait
/// for them.
pub(super) async fn sweep(receipts: Arc<Receipts>, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.stopping() => return receipts.close(),
            () = tokio::time::sleep(RECEIPTS_SWEEP) => receipts.sweep(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_is_let_go_when_the_node_stops() {
        let (receipts, shutdown) = (Arc::new(Receipts::default()), Shutdown::default());
        let id = TransactionId(galen_types::Hash([7; 32]));
        let waiting = receipts.wait(id);
        shutdown.stop();
        sweep(Arc::clone(&receipts), shutdown).await;
        assert!(waiting.await.is_err());
        assert!(receipts.wait(id).await.is_err(), "nor does anybody wait who comes later");
    }
}
