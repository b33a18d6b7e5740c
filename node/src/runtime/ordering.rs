//! The ordering thread: owns the orderer, feeds it ticks, frames and transactions, and hands its effects to the log
//! writer, the network and the execution thread. It never waits for any of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use bytes::Bytes;
use galen_chain::orderer::{CutPoint, parse_snapshot_context};
use galen_chain::signatures::VerifiedTransaction;
use galen_chain::{
    BatchLimits, Group, MembershipProgress, MempoolRefusal, OrderedBatch, Orderer, OrdererEffects, ReadTicket,
    ReadsFull,
};
use galen_consensus::{LogEnd, MessageError, Persist, PersistToken, RaftId, Role, Stopped, VoteFloor};
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
    /// The last connection to a node broke.
    PeerLost(RaftId),
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
        /// The last block's height.
        height: u64,
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
    /// What ordering's members are to be, as of certified blocks.
    Group(Group),
    /// The peers have said what they know of this node: it may speak, and votes for nobody below this.
    Open(VoteFloor),
    /// A linearizable read: answered once the ledger holds all that was acknowledged before it, or never.
    Read {
        /// Whom to tell; dropped by those who wait no longer.
        reply: oneshot::Sender<Result<(), ReadsFull>>,
    },
    /// Hand leadership over; to the most caught-up voter where none is named. Answered by whom it was offered to.
    Transfer {
        /// To whom.
        to: Option<NodeName>,
        /// Whom to tell.
        reply: oneshot::Sender<Result<NodeName, TransferRefusal>>,
    },
}

/// Why leadership is not handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TransferRefusal {
    /// Another leads, or nobody.
    #[error("this node does not lead")]
    NotLeader {
        /// Who leads, as far as known.
        leader: Option<NodeName>,
    },
    /// There is nobody to take over.
    #[error("there is no other voter that has been heard lately")]
    Nobody,
    /// The named node cannot.
    #[error("{0} is no voter in ordering")]
    NotVoter(NodeName),
    /// Not now.
    #[error("{0}")]
    NotNow(String),
}

/// The ordering thread's account of itself, of each tick.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct OrderingReport {
    /// Whether this node leads.
    pub(super) is_leader: bool,
    /// The leader that is heard, this node where it leads.
    pub(super) leader: Option<NodeName>,
    /// Who votes by its log: see [`Orderer::configurations`].
    pub(super) configurations: Vec<BTreeSet<NodeName>>,
    /// Of a leader: up to where each other number acknowledged the log.
    pub(super) matched: BTreeMap<u64, u64>,
    /// Whether ordering's own configuration names this node.
    pub(super) is_member: bool,
    /// Whether this node may give its number up, once the chain has taken it: ordering goes on without it.
    pub(super) may_retire: bool,
    /// Whether this node holds what ordering has committed.
    pub(super) is_caught_up: bool,
    /// How far ordering is in following the chain's voter set.
    pub(super) change: MembershipProgress,
    /// Where this node's log ends; none of a node that does not order.
    pub(super) log_end: Option<LogEnd>,
    /// Its term.
    pub(super) term: u64,
    /// Whether its vote is held back until its log goes as far as others' did.
    pub(super) is_below_vote_floor: bool,
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
    /// Reads that wait.
    pub(super) reads: HashMap<ReadTicket, oneshot::Sender<Result<(), ReadsFull>>>,
    /// Who leads.
    pub(super) leadership: watch::Sender<Leadership>,
    /// This thread's account of itself.
    pub(super) report: watch::Sender<OrderingReport>,
    /// The numbers in ordering's configuration.
    pub(super) named: watch::Sender<BTreeSet<RaftId>>,
    /// Whether it may speak: from the moment at which its vote floor is in force, not from one when somebody else has
    /// opened a gate and the floor still waits among the inputs.
    pub(super) speaks: bool,
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
        // Peers ask where the log ends before this node may speak.
        self.observe();
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
            if !self.speaks {
                // Neither a tick nor a word until the peers have said what they know of this node.
                next_tick = Instant::now() + self.tick;
                continue;
            }
            let now = Instant::now();
            if now >= next_tick {
                self.orderer.tick(Timestamp::now())?;
                // Ticks that a pause of the process swallowed are not made up for: they would all come at once, and
                // a node that slept must first listen.
                next_tick = now + self.tick;
                self.forget_reads();
                self.observe();
            }
            let effects = self.orderer.effects()?;
            if !effects.send.is_empty() {
                self.observe_promises();
            }
            self.carry_out(effects)?;
        }
        Ok(())
    }

    fn take(&mut self, input: OrderingInput) -> Result<(), Stopped> {
        match input {
            OrderingInput::Frame { .. } if !self.speaks => {
                self.metrics.frames_dropped.inc();
            }
            OrderingInput::Frame { from, bytes } => match self.orderer.message(from, bytes) {
                Err(MessageError::Stopped(stopped)) => return Err(stopped),
                Err(MessageError::Refused(refused)) => {
                    tracing::debug!(peer = from.0, code = refused.code(), %refused, "frame refused");
                    self.metrics.frames_refused.inc();
                }
                Ok(()) => {}
            },
            OrderingInput::PeerLost(peer) => self.orderer.peer_lost(peer),
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
            OrderingInput::Applied { index, height, time, limits, settled } => {
                self.orderer.set_batch_limits(limits);
                self.orderer.applied(index, height, time, &settled)?;
            }
            OrderingInput::CutPoints(points) => {
                for point in points {
                    self.orderer.may_cut(point)?;
                }
            }
            OrderingInput::SnapshotReached(index) => self.orderer.accept_snapshot(index)?,
            OrderingInput::SnapshotRefused => self.orderer.reject_snapshot(),
            OrderingInput::Group(group) => {
                let members = self.orderer.status().membership.members();
                self.nodes.retain(|id, _| members.contains(id));
                self.nodes.extend(group.heard().map(|(id, node)| (*id, node.clone())));
                self.orderer.set_group(group);
            }
            OrderingInput::Open(floor) => {
                self.orderer.set_vote_floor(floor);
                self.speaks = true;
            }
            OrderingInput::Read { reply } => match self.orderer.read() {
                Ok(ticket) => {
                    self.reads.insert(ticket, reply);
                }
                Err(full) => {
                    let _ = reply.send(Err(full));
                }
            },
            OrderingInput::Transfer { to, reply } => {
                let _ = reply.send(self.transfer(to.as_ref()));
            }
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
        for ticket in effects.reads {
            if let Some(reply) = self.reads.remove(&ticket) {
                let _ = reply.send(Ok(()));
            }
        }
        Ok(())
    }

    /// Forgets the reads for which nobody waits any more.
    fn forget_reads(&mut self) {
        let orderer = &mut self.orderer;
        self.reads.retain(|ticket, reply| {
            let waits = !reply.is_closed();
            if !waits {
                orderer.forget_read(*ticket);
            }
            waits
        });
    }

    fn transfer(&mut self, to: Option<&NodeName>) -> Result<NodeName, TransferRefusal> {
        if self.orderer.role().role != Role::Leader {
            return Err(TransferRefusal::NotLeader { leader: self.orderer.leader().cloned() });
        }
        let status = self.orderer.status();
        let to = match to {
            Some(node) => {
                let found = status.membership.voters.iter().find(|id| self.nodes.get(id) == Some(node));
                *found.ok_or_else(|| TransferRefusal::NotVoter(node.clone()))?
            }
            None => {
                let voters =
                    status.peers.iter().filter(|(id, peer)| status.membership.voters.contains(id) && peer.heard_lately);
                *voters.max_by_key(|(_, peer)| peer.matched).ok_or(TransferRefusal::Nobody)?.0
            }
        };
        let name = self.nodes.get(&to).cloned().ok_or(TransferRefusal::Nobody)?;
        self.orderer.transfer_leader(to).map_err(|error| TransferRefusal::NotNow(error.to_string()))?;
        tracing::info!(to = %name, "leadership is handed over");
        Ok(name)
    }

    /// What this node is about to promise, it also tells a peer that asks: not what it had promised a tick ago.
    fn observe_promises(&self) {
        let (term, log_end) = (self.orderer.role().term, Some(self.orderer.log_end()));
        self.report.send_if_modified(|known| {
            let changed = (known.term, known.log_end) != (term, log_end);
            (known.term, known.log_end) = (term, log_end);
            changed
        });
    }

    fn observe(&self) {
        let status = self.orderer.status();
        let is_leader = self.orderer.role().role == Role::Leader;
        self.metrics.mempool_transactions.set(i64::try_from(self.orderer.mempool_len()).unwrap_or(i64::MAX));
        self.metrics.ordering_term.set(i64::try_from(status.term).unwrap_or(i64::MAX));
        self.metrics.is_leader.set(i64::from(is_leader));
        let report = OrderingReport {
            is_leader,
            leader: self.orderer.heard_leader().cloned(),
            configurations: self.orderer.configurations(),
            matched: status.peers.iter().map(|(id, peer)| (id.0, peer.matched)).collect(),
            is_member: status.membership.contains(status.id),
            may_retire: self.orderer.may_retire() || !status.membership.contains(status.id),
            is_caught_up: self.orderer.caught_up(),
            change: self.orderer.membership_progress(),
            log_end: Some(self.orderer.log_end()),
            term: status.term,
            is_below_vote_floor: self.orderer.is_below_vote_floor(),
        };
        self.metrics.membership_change(&report.change, self.tick);
        let named = status.membership.members();
        self.named.send_if_modified(|known| {
            let changed = *known != named;
            *known = named;
            changed
        });
        self.report.send_if_modified(|known| {
            let changed = *known != report;
            *known = report;
            changed
        });
    }
}
