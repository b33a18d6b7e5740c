//! Catching up: when others are known to be ahead, blocks are pulled by height from a connected peer, each run checked
//! against the certificate that closes it. Lost header signatures are pulled too, so that certification never hangs on
//! a dropped gossip message.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use galen_chain::limits::SYNC_SIGNATURE_HEIGHTS_MAX;
use galen_chain::sync::{SYNC_REQUEST_BYTES_MAX, SyncAnswer, SyncRequest};
use galen_ledger::Ledger;
use galen_p2p::{NetworkHandle, Refusal, Responder};
use galen_types::member::NodeRole;
use galen_types::{Encoding, NodeName};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout};

use super::execution::{ExecutionHandle, ExecutionInput, Progress};
use super::fatal::Shutdown;
use super::kinds;
use super::limits;
use super::ordering::{OrderingInput, SnapshotGoal};

/// Everything that catching up works with.
pub(super) struct Sync {
    /// To peers.
    pub(super) network: NetworkHandle,
    /// To the execution thread.
    pub(super) execution: ExecutionHandle,
    /// To the ordering thread; none on nodes that do not order.
    pub(super) ordering: Option<SyncSender<OrderingInput>>,
    /// How far the chain has come.
    pub(super) progress: watch::Receiver<Progress>,
    /// The snapshot offer that waits for its block.
    pub(super) snapshot_goal: watch::Receiver<Option<SnapshotGoal>>,
    /// The chain.
    pub(super) ledger: Arc<Ledger>,
    /// What this node does.
    pub(super) role: NodeRole,
    /// Stops the node.
    pub(super) shutdown: Shutdown,
}

impl Sync {
    /// Runs until the node stops.
    pub(super) async fn run(mut self) {
        let mut turn = 0;
        let mut asked = Instant::now();
        let mut stalled = Stall::default();
        loop {
            // Woken by news, and from time to time in case the news itself was lost.
            tokio::select! {
                () = self.shutdown.stopping() => return,
                changed = self.progress.changed() => if changed.is_err() { return },
                changed = self.snapshot_goal.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(limits::SYNC_PERIOD) => {}
            }
            self.reach_snapshot();
            let progress = *self.progress.borrow_and_update();
            let goal = self.goal(&progress);
            // An announcement may have been lost: a node that does not order asks of itself now and then.
            let due = self.role != NodeRole::Voter && asked.elapsed() >= limits::SYNC_UNASKED;
            if progress.height < goal || due {
                asked = Instant::now();
                turn += 1;
                let goal = goal.max(progress.height + 1);
                self.pull(turn, goal).await;
                self.reach_snapshot();
            }
            if stalled.certification_hangs(&progress) {
                turn += 1;
                // Near the tip: a certificate covers everything below it.
                let near = progress.height.saturating_sub(SYNC_SIGNATURE_HEIGHTS_MAX / 2);
                self.pull_signatures(turn, near.max(progress.certified_height + 1)).await;
            }
        }
    }

    /// The height to pull up to: a voter gets its blocks by ordering and pulls only when that cannot work.
    fn goal(&self, progress: &Progress) -> u64 {
        let offered = self.snapshot_goal.borrow().map_or(0, |goal| goal.height);
        let lag = if self.role == NodeRole::Voter { limits::SYNC_LAG_VOTER } else { 0 };
        let known = if progress.known_height > progress.height + lag { progress.known_height } else { 0 };
        offered.max(known)
    }

    /// Accepts a snapshot offer once its block is here, certified and durable (the log before it goes); refuses it when
    /// another block is.
    fn reach_snapshot(&self) {
        let Some(ordering) = &self.ordering else { return };
        let Some(goal) = *self.snapshot_goal.borrow() else { return };
        if self.ledger.certified_height().min(self.ledger.durable_height()) < goal.height {
            return;
        }
        let held = self.ledger.view().and_then(|view| view.header(goal.height));
        let Ok(Some(header)) = held else { return };
        let matches = header.hash() == goal.header && header.raft_index == goal.index;
        let input = if matches { OrderingInput::SnapshotReached(goal.index) } else { OrderingInput::SnapshotRefused };
        // When the queue is full the next round tries again; the leader renews its offer as well.
        let _ = ordering.try_send(input);
    }

    async fn pull(&self, turn: usize, goal: u64) {
        let Some(peer) = self.peer(turn) else { return };
        loop {
            let height = self.progress.borrow().height;
            if height >= goal || self.shutdown.is_stopping() {
                return;
            }
            match self.pull_once(&peer, height + 1).await {
                Ok(reached) if reached > height => {}
                Ok(_) => return,
                Err(problem) => {
                    tracing::warn!(%peer, from = height + 1, problem, "blocks could not be pulled; another peer is asked");
                    return;
                }
            }
        }
    }

    async fn pull_once(&self, peer: &NodeName, from: u64) -> Result<u64, String> {
        let request = SyncRequest::Blocks { from }.encode();
        let answer = self
            .network
            .request(peer, kinds::SYNC, request.into(), limits::SYNC_DEADLINE)
            .await
            .map_err(|error| error.to_string())?;
        let answer = SyncAnswer::from_peer(&answer).map_err(|error| error.to_string())?;
        let (reply, applied) = oneshot::channel();
        if !self.execution.offer(ExecutionInput::Answer(answer, reply)) {
            return Err("the execution queue is full".to_owned());
        }
        applied.await.map_err(|_| "the node stops".to_owned())?
    }

    async fn pull_signatures(&self, turn: usize, from: u64) {
        let Some(peer) = self.peer(turn) else { return };
        let request = SyncRequest::Signatures { from }.encode();
        let answer = self.network.request(&peer, kinds::SYNC, request.into(), limits::SYNC_DEADLINE).await;
        if let Ok(bytes) = answer
            && let Ok(SyncAnswer::Signatures { signatures, certificates }) = SyncAnswer::from_peer(&bytes)
        {
            for certificate in certificates {
                self.execution.offer(ExecutionInput::Certificate(certificate));
            }
            for signature in signatures {
                self.execution.offer(ExecutionInput::Signature(signature));
            }
        }
    }

    /// A connected peer; another each turn.
    fn peer(&self, turn: usize) -> Option<NodeName> {
        let connected: Vec<_> = self.network.peers().into_iter().filter(|peer| peer.connection.is_some()).collect();
        (!connected.is_empty()).then(|| connected[turn % connected.len()].node.clone())
    }
}

/// Notices that blocks are applied and certification does not follow.
#[derive(Default)]
struct Stall {
    certified_height: u64,
    since: Option<Instant>,
}

impl Stall {
    fn certification_hangs(&mut self, progress: &Progress) -> bool {
        if progress.certified_height >= progress.height || progress.certified_height != self.certified_height {
            self.certified_height = progress.certified_height;
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() < 2 * limits::SYNC_PERIOD {
            return false;
        }
        self.since = Some(Instant::now());
        true
    }
}

/// Answers a peer that catches up.
pub(super) async fn answer(ledger: Arc<Ledger>, bytes: bytes::Bytes, reply: Responder) {
    let Ok(request) = SyncRequest::decode(&bytes, SYNC_REQUEST_BYTES_MAX) else {
        return reply.refuse(Refusal::new("malformed", "the request is no sync request"));
    };
    // Reading blocks from the disk must not hold up the tasks of the runtime.
    let read =
        tokio::task::spawn_blocking(move || SyncAnswer::to_request(&request, &ledger).map(|answer| answer.encode()));
    match timeout(limits::SYNC_DEADLINE, read).await {
        Ok(Ok(Ok(answer))) => reply.answer(answer.into()),
        _ => reply.refuse(Refusal::new("unreadable", "the blocks cannot be read here now")),
    }
}
