//! The chain's past on this node, in the background: what came before a snapshot is fetched, what is older than the
//! configuration keeps is deleted, both in small steps.

use std::sync::Arc;

use galen_chain::history::{HistoryAnswer, HistoryPolicy};
use galen_ledger::Ledger;
use galen_p2p::NetworkHandle;
use galen_types::Encoding;
use tokio::sync::watch;

use super::fatal::Shutdown;
use super::kinds;
use super::limits;
use super::metrics::RuntimeMetrics;

/// Everything that the task works with.
pub(super) struct Past {
    pub(super) network: NetworkHandle,
    pub(super) ledger: Arc<Ledger>,
    pub(super) policy: HistoryPolicy,
    /// Whether this node holds what its peers hold: the newest comes first.
    pub(super) caught_up: watch::Receiver<bool>,
    pub(super) metrics: Arc<RuntimeMetrics>,
    pub(super) shutdown: Shutdown,
}

impl Past {
    /// Runs until the node stops.
    pub(super) async fn run(self) {
        let mut turn = 0_usize;
        let mut pause = limits::HISTORY_PERIOD;
        loop {
            tokio::select! {
                () = self.shutdown.stopping() => return,
                () = tokio::time::sleep(pause) => {}
            }
            turn += 1;
            let pruned = match self.prune().await {
                Ok(pruned) => pruned,
                Err(error) => return self.shutdown.fail("history-failed", error),
            };
            let filled = *self.caught_up.borrow() && self.fill(turn).await;
            if let Ok(view) = self.ledger.view() {
                self.metrics.history_from(view.bodies_from().unwrap_or(1));
            }
            pause = if pruned || filled { limits::HISTORY_PAUSE } else { limits::HISTORY_PERIOD };
        }
    }

    /// One step of pruning; whether it deleted something.
    async fn prune(&self) -> Result<bool, String> {
        let (ledger, policy) = (Arc::clone(&self.ledger), self.policy);
        if policy.keep_bodies_blocks == 0 {
            return Ok(false);
        }
        let step = tokio::task::spawn_blocking(move || policy.prune(&ledger, limits::PRUNE_STEP_BLOCKS)).await;
        let pruned = step.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        self.metrics.blocks_pruned.inc_by(pruned.blocks);
        Ok(pruned.blocks > 0)
    }

    /// One question to a peer; whether its answer brought something.
    async fn fill(&self, turn: usize) -> bool {
        let Ok(Some(request)) = self.policy.wanted(&self.ledger) else { return false };
        let peers: Vec<_> = self.network.peers().into_iter().filter(|peer| peer.connection.is_some()).collect();
        let Some(peer) = (!peers.is_empty()).then(|| peers[turn % peers.len()].node.clone()) else { return false };
        let asking = self.network.request(&peer, kinds::HISTORY, request.encode().into(), limits::SYNC_DEADLINE);
        let Ok(bytes) = asking.await else { return false };
        let ledger = Arc::clone(&self.ledger);
        let filling = tokio::task::spawn_blocking(move || HistoryAnswer::from_peer(&bytes)?.fill(&ledger)).await;
        match filling {
            Ok(Ok(filled)) => filled.advanced,
            Ok(Err(error)) if error.blames_peer() => {
                tracing::warn!(%peer, code = error.code(), %error, "the past that a peer gives is refused; another is asked");
                false
            }
            Ok(Err(error)) => {
                self.shutdown.fail(error.code(), &error);
                false
            }
            Err(_) => false,
        }
    }
}
