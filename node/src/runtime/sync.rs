//! Catching up: when others are known to be ahead, blocks are pulled by height from a connected peer, each run checked
//! against the certificate that closes it. Lost header signatures are pulled too, so that certification never hangs on
//! a dropped gossip message.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use galen_chain::limits::{SYNC_BYTES_MAX, SYNC_SIGNATURE_HEIGHTS_MAX, SYNC_TRAIL_HEADERS_MAX};
use galen_chain::snapshot::{CutBlock, cut_block};
use galen_chain::sync::{SYNC_REQUEST_BYTES_MAX, SyncAnswer, SyncRequest};
use galen_ledger::Ledger;
use galen_p2p::{NetworkHandle, PeerStatus, Refusal, Responder};
use galen_types::{Encoding, NodeName};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout};

use super::execution::{ExecutionHandle, ExecutionInput, Progress};
use super::fatal::Shutdown;
use super::gate::Gate;
use super::kinds;
use super::leap::Leap;
use super::limits;
use super::ordering::{OrderingInput, OrderingReport, SnapshotGoal};
use super::registered::Registered;

/// Everything that catching up works with.
pub(super) struct Sync {
    /// To peers.
    pub(super) network: NetworkHandle,
    /// To the execution thread.
    pub(super) execution: ExecutionHandle,
    /// To the ordering thread; none on nodes that do not order.
    pub(super) ordering: Option<SyncSender<OrderingInput>>,
    /// What ordering says of itself.
    pub(super) report: watch::Receiver<OrderingReport>,
    /// How far the chain has come.
    pub(super) progress: watch::Receiver<Progress>,
    /// The snapshot offer that waits for its block.
    pub(super) snapshot_goal: watch::Receiver<Option<SnapshotGoal>>,
    /// The chain.
    pub(super) ledger: Arc<Ledger>,
    /// What the chain says about nodes.
    pub(super) registered: watch::Receiver<Arc<Registered>>,
    /// Whether this node holds what its peers hold.
    pub(super) caught_up: watch::Sender<bool>,
    /// Whether ordering speaks.
    pub(super) gate: Gate,
    /// Catches up by snapshot where blocks would take long.
    pub(super) leap: Leap,
    /// Stops the node.
    pub(super) shutdown: Shutdown,
}

impl Sync {
    /// Runs until the node stops.
    pub(super) async fn run(mut self) {
        let mut turn = 0;
        let mut asked = Instant::now();
        let mut stalled = Stall::default();
        let (mut pursued, mut pruned) = (0, 0);
        let mut led_at = Instant::now();
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
            if self.report.borrow().leader.is_some() {
                led_at = Instant::now();
            }
            let is_fed = self.is_fed(led_at);
            let goal = self.goal(&progress, is_fed);
            // An announcement may have been lost: a node that is not fed asks of itself now and then.
            let due = !is_fed && asked.elapsed() >= self.unasked_after();
            let is_claimed = progress.claimed_height > progress.height && progress.claimed_height != pursued;
            if progress.height < goal || due || is_claimed {
                asked = Instant::now();
                pursued = progress.claimed_height;
                turn += 1;
                // However little is missing: where peers have no blocks for it any more, only a snapshot brings it.
                let starved = pruned >= limits::SYNC_PRUNED_ANSWERS;
                if (starved || self.leap.is_due(goal, &progress).await) && self.leap.run().await {
                    return;
                }
                let pulled = self.pull(turn, goal).await;
                pruned = if pulled == PullEnd::Pruned { pruned + 1 } else { 0 };
                self.reach_snapshot();
                self.tell_caught_up(pulled == PullEnd::Complete);
            } else if is_fed {
                self.tell_caught_up(true);
            }
            if stalled.certification_hangs(&progress) {
                turn += 1;
                self.pull_signatures(turn, self.uncertified(&progress)).await;
            }
        }
    }

    /// Whether ordering brings this node its blocks: then it pulls only when that cannot work. Not where nobody has led it
    /// for a while: the others may have gone on without it, and it may never hear of that by ordering.
    fn is_fed(&self, led_at: Instant) -> bool {
        self.ordering.is_some() && self.gate.is_open() && led_at.elapsed() < limits::SYNC_UNLED
    }

    /// How soon a node that nobody tells of blocks asks for some; soon as long as it does not know how far it is behind.
    fn unasked_after(&self) -> Duration {
        if *self.caught_up.borrow() { limits::SYNC_UNASKED } else { limits::SYNC_PERIOD / 2 }
    }

    /// Says whether this node holds what its peers hold, as far as it knows.
    fn tell_caught_up(&self, complete: bool) {
        let progress = *self.progress.borrow();
        let near = progress.known_height.saturating_sub(progress.height) <= limits::SYNC_LAG_VOTER;
        self.caught_up.send_if_modified(|known| {
            let now = if *known { near } else { complete && near };
            std::mem::replace(known, now) != now
        });
    }

    /// The height to pull up to.
    fn goal(&self, progress: &Progress, is_fed: bool) -> u64 {
        let offered = self.snapshot_goal.borrow().map_or(0, |goal| goal.height);
        let lag = if is_fed { limits::SYNC_LAG_VOTER } else { 0 };
        let known = if progress.known_height > progress.height + lag { progress.known_height } else { 0 };
        offered.max(known)
    }

    /// Accepts a snapshot offer once its block is here, certified and durable (the log before it goes); refuses it when
    /// another block is.
    fn reach_snapshot(&self) {
        let Some(ordering) = &self.ordering else { return };
        let Some(goal) = *self.snapshot_goal.borrow() else { return };
        let input = match cut_block(&self.ledger, goal.index, goal.height, &goal.header) {
            // What the ledger cannot read stops the node elsewhere.
            Ok(CutBlock::Ahead) | Err(_) => return,
            Ok(CutBlock::Held) => OrderingInput::SnapshotReached(goal.index),
            Ok(CutBlock::Another) => OrderingInput::SnapshotRefused,
        };
        // When the queue is full the next round tries again; the leader renews its offer as well.
        let _ = ordering.try_send(input);
    }

    /// Pulls blocks from one peer until it has no more, or at least up to `goal` where that is known: on a busy chain there is
    /// always a little more, so a few short answers count as all, too.
    async fn pull(&self, turn: usize, goal: u64) -> PullEnd {
        let Some(peer) = self.peer(turn) else { return PullEnd::Incomplete };
        let mut short = 0;
        loop {
            let height = self.progress.borrow().height;
            if short >= limits::SYNC_SHORT_ANSWERS || self.shutdown.is_stopping() {
                return PullEnd::Complete;
            }
            match self.pull_once(&peer, height + 1).await {
                Ok(Pulled { reached, is_all }) if reached > height => {
                    let is_short = is_all && reached - height <= limits::SYNC_LAG_VOTER && reached >= goal;
                    short = if is_short { short + 1 } else { 0 };
                }
                Ok(_) if height >= goal => return PullEnd::Complete,
                // It has no more; whoever said that there is more has it.
                Ok(_) => return PullEnd::Incomplete,
                Err(PullError::Pruned) => {
                    tracing::info!(%peer, from = height + 1, "the peer has removed the blocks that follow; another is asked");
                    return PullEnd::Pruned;
                }
                Err(PullError::Failed(problem)) => {
                    tracing::warn!(%peer, from = height + 1, problem, "blocks could not be pulled; another peer is asked");
                    return PullEnd::Incomplete;
                }
            }
        }
    }

    async fn pull_once(&self, peer: &NodeName, from: u64) -> Result<Pulled, PullError> {
        let failed = |problem: &dyn std::fmt::Display| PullError::Failed(problem.to_string());
        let request = SyncRequest::Blocks { from }.encode();
        let answer = self.network.request(peer, kinds::SYNC, request.into(), limits::SYNC_DEADLINE).await;
        let answer = match answer {
            Err(error) if error.code() == PRUNED => return Err(PullError::Pruned),
            other => other.map_err(|error| failed(&error))?,
        };
        let is_all = answer.len() < SYNC_BYTES_MAX;
        let answer = SyncAnswer::from_peer(&answer).map_err(|error| failed(&error))?;
        let (reply, applied) = oneshot::channel();
        if !self.execution.offer(ExecutionInput::Answer(answer, reply)) {
            return Err(failed(&"the execution queue is full"));
        }
        let reached = applied.await.map_err(|_| failed(&"the node stops"))?.map_err(|problem| failed(&problem))?;
        Ok(Pulled { reached, is_all })
    }

    /// Where to ask for signatures and certificates: near the tip, since a certificate covers everything below it; but first
    /// at the last block of an epoch, which has a certificate of its own.
    fn uncertified(&self, progress: &Progress) -> u64 {
        let first = progress.certified_height + 1;
        let near = progress.height.saturating_sub(SYNC_SIGNATURE_HEIGHTS_MAX / 2).max(first);
        let Ok(view) = self.ledger.view() else { return near };
        let mut from = first;
        while from < near {
            let Ok(headers) = view.headers(from, SYNC_TRAIL_HEADERS_MAX) else { break };
            if let Some(last) = headers.iter().find(|header| galen_ledger::hands_over(header)) {
                return near.min(last.height);
            }
            let Some(last) = headers.last() else { break };
            from = last.height + 1;
        }
        near
    }

    async fn pull_signatures(&self, turn: usize, from: u64) {
        let Some(peer) = self.peer(turn) else { return };
        let request = SyncRequest::Signatures { from }.encode();
        let answer = self.network.request(&peer, kinds::SYNC, request.into(), limits::SYNC_DEADLINE).await;
        if let Ok(bytes) = answer
            && let Ok(SyncAnswer::Signatures { signatures, certificates }) = SyncAnswer::from_peer(&bytes)
        {
            for certificate in certificates {
                self.execution.offer(ExecutionInput::Certificate(certificate, None));
            }
            for signature in signatures {
                self.execution.offer(ExecutionInput::Signature(signature));
            }
        }
    }

    /// A connected peer; another each turn. Voters know first, so they are asked while there are any, those among them
    /// whose signatures may be missing; but now and then one of the others: after a recovery, what all voters lack may
    /// be with one that does not vote.
    fn peer(&self, turn: usize) -> Option<NodeName> {
        let connected: Vec<_> = self.network.peers().into_iter().filter(PeerStatus::can_be_asked).collect();
        let registered = self.registered.borrow();
        let is_voter =
            |peer: &&PeerStatus| registered.votes(&peer.node) || registered.certifying.contains_key(&peer.node);
        let (voters, others): (Vec<_>, Vec<_>) = connected.iter().partition(is_voter);
        let asks_others = voters.is_empty() || turn.is_multiple_of(limits::SYNC_OTHERS_TURNS);
        let (asked, turn) = match (asks_others, others.is_empty()) {
            (true, false) if voters.is_empty() => (others, turn),
            (true, false) => (others, turn / limits::SYNC_OTHERS_TURNS),
            _ => (voters, turn),
        };
        (!asked.is_empty()).then(|| asked[turn % asked.len()].node.clone())
    }
}

/// The code of the refusal of a peer that has removed the blocks that are asked for.
const PRUNED: &str = "pruned";

/// How pulling from a peer ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PullEnd {
    /// This node holds what the peer holds, and what it knows of.
    Complete,
    /// There is more elsewhere, or this could not be found out.
    Incomplete,
    /// The peer has removed the blocks that follow.
    Pruned,
}

/// Why an answer brought nothing.
enum PullError {
    /// The peer has removed the blocks.
    Pruned,
    /// Anything else.
    Failed(String),
}

/// What one answer brought.
struct Pulled {
    /// The height that this node has then.
    reached: u64,
    /// Whether the peer gave all that it had, and not only as much as an answer holds.
    is_all: bool,
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
    let read = tokio::task::spawn_blocking(move || {
        if let SyncRequest::Blocks { from } = request {
            let view = ledger.view()?;
            let available = view.bodies_from()?;
            if from < available && from <= view.height() {
                return Ok(Err(available));
            }
        }
        SyncAnswer::to_request(&request, &ledger).map(|answer| Ok(answer.encode()))
    });
    match timeout(limits::SYNC_DEADLINE, read).await {
        Ok(Ok(Ok(Ok(answer)))) => reply.answer(answer.into()),
        Ok(Ok(Ok(Err(available)))) => {
            reply.refuse(Refusal::new(PRUNED, format!("this node holds blocks from height {available} on")));
        }
        _ => reply.refuse(Refusal::new("unreadable", "the blocks cannot be read here now")),
    }
}
