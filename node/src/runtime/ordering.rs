//! The ordering thread: owns the orderer, feeds it ticks, frames and transactions, and hands its effects to the log
//! writer, the network and the execution thread. It never waits for any of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use bytes::Bytes;
use galen_chain::orderer::{CutPoint, parse_snapshot_context};
use galen_chain::signatures::VerifiedTransaction;
use galen_chain::{BatchLimits, MempoolRefusal, OrderedBatch, Orderer, OrdererEffects};
use galen_consensus::{MessageError, Persist, PersistToken, RaftId, Role, Stopped};
use galen_p2p::NetworkHandle;
use galen_types::{Encoding, Hash, NodeName, Timestamp, TransactionId};
use tokio::sync::{oneshot, watch};

use super::fatal::Shutdown;
use super::limits;
use super::metrics::RuntimeMetrics;
use super::receipts::Receipts;

/// A transaction whose signature was checked, and whom to tell whether it waits.
pub(super) struct Submission {
    /// The transaction.
    pub(super) transaction: VerifiedTransaction,
    /// Whom to tell; nobody for those of peers.
    pub(super) reply: Option<oneshot::Sender<Result<(), MempoolRefusal>>>,
}

/// What the ordering thread is told.
pub(super) enum OrderingInput {
    /// A frame from an authenticated voter.
    Frame {
        /// Who sent it.
        from: RaftId,
        /// The frame.
        bytes: Bytes,
    },
    /// Transactions whose signatures were checked.
    Submit(Vec<Submission>),
    /// The log is on disk up to the token.
    Persisted(PersistToken),
    /// The log cannot be written.
    PersistFailed(String),
    /// The ledger holds everything up to an index.
    Applied {
        /// The index.
        index: u64,
        /// The last block's time.
        time: Timestamp,
        /// What a batch may hold from here on.
        limits: BatchLimits,
        /// Transactions that are in a block or void since.
        settled: Vec<TransactionId>,
    },
    /// Blocks below which the log may be cut.
    CutPoints(Vec<CutPoint>),
    /// The ledger holds the block of a snapshot offer.
    SnapshotReached(u64),
    /// The block of a snapshot offer is not on the chain.
    SnapshotRefused,
}

/// Who leads, as the rest of the node sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Leadership {
    /// The leader, as far as known.
    pub(super) leader: Option<NodeName>,
    /// Whether it is this node.
    pub(super) is_self: bool,
    /// The term.
    pub(super) term: u64,
}

/// A snapshot offer that waits for its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SnapshotGoal {
    /// Index of its entry in the ordering log.
    pub(super) index: u64,
    /// The block's height.
    pub(super) height: u64,
    /// The block's hash.
    pub(super) header: Hash,
}

/// Everything the ordering thread works with.
pub(super) struct Ordering {
    /// The state machine.
    pub(super) orderer: Orderer,
    /// Voters' names.
    pub(super) nodes: HashMap<RaftId, NodeName>,
    /// To peers.
    pub(super) network: NetworkHandle,
    /// To the log writer. Unbounded, but the core hands out only a bounded number of unfinished writes.
    pub(super) writes: Sender<Vec<Persist>>,
    /// To the execution thread. Unbounded, but entries are slices of the log's own memory, which is bounded, and a
    /// leader stops proposing when execution lags.
    pub(super) ordered: Sender<OrderedBatch>,
    /// Tells the execution thread that something was put there.
    pub(super) execution: super::execution::ExecutionHandle,
    /// Who leads.
    pub(super) leadership: watch::Sender<Leadership>,
    /// The snapshot offer that waits for its block.
    pub(super) snapshot_goal: watch::Sender<Option<SnapshotGoal>>,
    /// Waiting clients, to be told when a transaction expires.
    pub(super) receipts: Arc<Receipts>,
    /// Stops the node.
    pub(super) shutdown: Shutdown,
    /// Counts.
    pub(super) metrics: Arc<RuntimeMetrics>,
    /// Length of a tick.
    pub(super) tick: Duration,
}

impl Ordering {
    /// Runs until the node stops.
    pub(super) fn run(mut self, inputs: &Receiver<OrderingInput>) {
        if let Err(stopped) = self.turn(inputs)
            && !self.shutdown.is_stopping()
        {
            self.shutdown.fail(stopped.code(), format_args!("ordering stopped: {stopped}"));
        }
    }

    fn turn(&mut self, inputs: &Receiver<OrderingInput>) -> Result<(), Stopped> {
        let mut next_tick = Instant::now() + self.tick;
        while !self.shutdown.is_stopping() {
            let received = inputs.recv_timeout(next_tick.saturating_duration_since(Instant::now()));
            // First: frames are judged by the clock, and a batch's time is that of its proposal.
            self.orderer.set_now(Timestamp::now());
            match received {
                Ok(input) => {
                    self.take(input)?;
                    for input in inputs.try_iter().take(limits::ORDERING_ROUND_MAX) {
                        self.take(input)?;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            let now = Instant::now();
            if now >= next_tick {
                self.orderer.tick(Timestamp::now())?;
                // Ticks that a pause of the process swallowed are not made up for: they would all come at once, and
                // a node that slept must first listen.
                next_tick = now + self.tick;
                self.observe();
            }
            let effects = self.orderer.effects()?;
            self.carry_out(effects)?;
        }
        Ok(())
    }

    fn take(&mut self, input: OrderingInput) -> Result<(), Stopped> {
        match input {
            OrderingInput::Frame { from, bytes } => match self.orderer.message(from, bytes) {
                Err(MessageError::Stopped(stopped)) => return Err(stopped),
                Err(MessageError::Refused(refused)) => {
                    tracing::debug!(peer = from.0, code = refused.code(), %refused, "frame refused");
                    self.metrics.frames_refused.inc();
                }
                Ok(()) => {}
            },
            OrderingInput::Submit(transactions) => {
                for Submission { transaction, reply } in transactions {
                    let outcome = self.orderer.submit(transaction).map(|_| ());
                    if let Some(reply) = reply {
                        // The client may have gone; its transaction stays.
                        let _ = reply.send(outcome);
                    }
                }
            }
            OrderingInput::Persisted(token) => self.orderer.persisted(token)?,
            OrderingInput::PersistFailed(cause) => self.orderer.stop(&cause),
            OrderingInput::Applied { index, time, limits, settled } => {
                self.orderer.set_batch_limits(limits);
                self.orderer.applied(index, time, &settled)?;
            }
            OrderingInput::CutPoints(points) => {
                for point in points {
                    self.orderer.may_cut(point)?;
                }
            }
            OrderingInput::SnapshotReached(index) => self.orderer.accept_snapshot(index)?,
            OrderingInput::SnapshotRefused => self.orderer.reject_snapshot(),
        }
        Ok(())
    }

    fn carry_out(&mut self, effects: OrdererEffects) -> Result<(), Stopped> {
        if !effects.persist.is_empty() {
            // The log writer is gone only after it stopped the node.
            let _ = self.writes.send(effects.persist);
        }
        for message in effects.send {
            let Some(node) = self.nodes.get(&message.to) else { continue };
            if self.network.send_raft(node, message.bytes).is_err() {
                self.metrics.frames_dropped.inc();
                self.orderer.report_unreachable(message.to)?;
            }
        }
        let some_ordered = !effects.ordered.is_empty();
        for batch in effects.ordered {
            let _ = self.ordered.send(batch);
        }
        if some_ordered {
            self.execution.wake();
        }
        if let Some((leader, transactions)) = effects.forward
            && let Some(node) = self.nodes.get(&leader)
        {
            let frame: Vec<Vec<u8>> = transactions.iter().map(|bytes| bytes.to_vec()).collect();
            // What is lost here is sent again after a while.
            let _ = self.network.send_transactions(node, frame.encode().into());
        }
        if let Some(role) = effects.role {
            let leader = self.orderer.leader().cloned();
            tracing::info!(
                leader = leader.as_ref().map(tracing::field::display),
                term = role.term,
                "who leads changed"
            );
            let is_self = role.role == Role::Leader;
            self.leadership.send_replace(Leadership { leader, is_self, term: role.term });
        }
        if let Some(offer) = effects.snapshot_offer {
            match parse_snapshot_context(&offer.context) {
                Some((height, header)) => {
                    let goal = SnapshotGoal { index: offer.index, height, header };
                    self.snapshot_goal.send_replace(Some(goal));
                }
                None => self.orderer.reject_snapshot(),
            }
        }
        self.receipts.expired(&effects.expired);
        Ok(())
    }

    fn observe(&self) {
        let status = self.orderer.status();
        self.metrics.mempool_transactions.set(i64::try_from(self.orderer.mempool_len()).unwrap_or(i64::MAX));
        self.metrics.ordering_term.set(i64::try_from(status.term).unwrap_or(i64::MAX));
        self.metrics.is_leader.set(i64::from(self.orderer.role().role == Role::Leader));
    }
}
