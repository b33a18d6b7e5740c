//! The ordering half of a replica: mempool, batching and the Raft core as one state machine.
//!
//! A leader proposes as soon as anything is queued and fewer than two batches are in flight; what arrives meanwhile makes
//! the next batch. So a lone transaction goes at once, a crowd goes in large batches. Only where a quorum executes far behind
//! the leader does the next batch wait for a moment ([`limits::BLOCKS_UNCERTIFIED_MAX`]).

mod reads;
mod reconcile;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use bytes::Bytes;
use galen_consensus::{
    Committed, CompactError, CoreConfig, DecodeError, LogEnd, MessageError, Outgoing, Payload, Persist, PersistToken,
    ProposeError, RaftCore, RaftId, Recovered, Refusal, Role, RoleChange, SnapshotOffer, Status, Stopped, VoteFloor,
};
use galen_types::{Batch, DecodedTransaction, Encoding, Hash, NodeName, Parameters, Timestamp, TransactionId};

use crate::clocks::{self, Clocks, HeldBack, Latest};
use crate::group::Group;
use crate::limits;
use crate::mempool::{Mempool, MempoolRefusal};
use crate::signatures::VerifiedTransaction;
use reads::Reads;
pub use reads::{ReadTicket, ReadsFull};
pub use reconcile::MembershipProgress;
use reconcile::Reconciliation;

/// Settings of an orderer.
#[derive(Debug, Clone)]
pub struct OrdererConfig {
    /// The Raft core's settings.
    pub core: CoreConfig,
    /// This node's name: the proposer of its batches.
    pub node: NodeName,
    /// What a batch may hold at the start.
    pub batch_limits: BatchLimits,
    /// Entries after which the log is cut, half of them behind the newest that may be cut.
    pub compact_entries: usize,
    /// Bytes of entries after which the log is cut, whatever their number.
    pub compact_bytes: u64,
}

/// What a batch may hold: what execution lets into a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Most transactions.
    pub transactions: usize,
    /// Most bytes of transactions.
    pub bytes: usize,
}

impl From<&Parameters> for BatchLimits {
    fn from(parameters: &Parameters) -> Self {
        Self { transactions: parameters.block_transactions_max as usize, bytes: parameters.block_bytes_max as usize }
    }
}

/// A committed batch, to be executed in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderedBatch {
    /// Its index in the ordering log.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// The encoded [`Batch`]; empty for entries that hold none (a leader's first, a change of the group).
    pub bytes: Bytes,
}

/// A block that may stand in for the log before it: durable, applied and certified on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutPoint {
    /// Index of its entry in the ordering log.
    pub index: u64,
    /// Its height.
    pub height: u64,
    /// Its hash.
    pub header: Hash,
}

/// Everything to do after an input.
#[derive(Debug, Default)]
pub struct OrdererEffects {
    /// To write and sync, in order; then [`Orderer::persisted`] with the last token.
    pub persist: Vec<Persist>,
    /// To send to peers' orderers.
    pub send: Vec<Outgoing>,
    /// To execute, in order.
    pub ordered: Vec<OrderedBatch>,
    /// Transactions to send to the leader.
    pub forward: Option<(RaftId, Vec<Bytes>)>,
    /// Who leads, when that changed.
    pub role: Option<RoleChange>,
    /// This node lacks entries that the leader has cut: pull blocks up to the offer's, then accept.
    pub snapshot_offer: Option<SnapshotOffer>,
    /// Waiting transactions that can no longer enter a block.
    pub expired: Vec<TransactionId>,
    /// Reads that a quorum has confirmed, and whose index the ledger holds: see [`Orderer::read`].
    pub reads: Vec<ReadTicket>,
}

/// The ordering half of a replica.
pub struct Orderer {
    core: RaftCore,
    config: OrdererConfig,
    mempool: Mempool,
    tick: u64,
    now: Timestamp,
    role: RoleChange,
    /// Batches proposed in this term and not applied yet, by index.
    in_flight: BTreeMap<u64, Vec<TransactionId>>,
    /// The last index that was handed out.
    ordered: u64,
    /// Committed entries handed out and not applied yet.
    unexecuted: VecDeque<u64>,
    cut_points: VecDeque<CutPoint>,
    /// The last applied block's time: what is not valid then can enter no later block.
    block_time: Timestamp,
    proposed_batches: u64,
    by_id: HashMap<RaftId, NodeName>,
    clocks: Clocks,
    held_back: HeldBack,
    /// The ledger holds the effects of entries up to here.
    applied: u64,
    /// The ledger's height.
    applied_height: u64,
    /// The height of the newest block that is certified and durable here, and when that was told; none before the first.
    certified_height: Option<(u64, u64)>,
    /// When this node proposed last.
    proposed_at: u64,
    /// When a leader was last known.
    led_at: u64,
    reconciliation: Reconciliation,
    reads: Reads,
}

impl Orderer {
    /// Starts from what the log holds: nothing on a node that joins, a snapshot after a recovery. `applied` is the
    /// ledger's applied index, `known` the group after its tip ([`Executor::group`](crate::Executor::group)): its nodes
    /// may speak, but nothing is changed towards it until [`Orderer::set_group`]. `now` is the clock.
    ///
    /// # Errors
    /// [`galen_consensus::ConfigError`] when log, ledger and configuration do not fit together.
    pub fn new(
        config: OrdererConfig,
        recovered: Recovered,
        applied: u64,
        known: &Group,
        now: Timestamp,
    ) -> Result<Self, galen_consensus::ConfigError> {
        let mut core = RaftCore::new(config.core.clone(), recovered, applied)?;
        let reads = Reads::new(config.core.seed);
        for (id, _) in known.heard().filter(|(id, _)| **id != config.core.id) {
            core.admit(*id);
        }
        Ok(Self {
            core,
            config,
            mempool: Mempool::default(),
            tick: 0,
            now,
            role: RoleChange { role: Role::Follower, leader: None, term: 0 },
            in_flight: BTreeMap::new(),
            ordered: applied,
            unexecuted: VecDeque::new(),
            cut_points: VecDeque::new(),
            block_time: Timestamp::default(),
            proposed_batches: 0,
            by_id: known.heard().map(|(id, name)| (*id, name.clone())).collect(),
            clocks: Clocks::default(),
            held_back: HeldBack::default(),
            applied,
            applied_height: 0,
            certified_height: None,
            proposed_at: 0,
            led_at: 0,
            reconciliation: Reconciliation::default(),
            reads,
        })
    }

    /// One tick of the embedder's timer, and its clock.
    ///
    /// # Errors
    /// [`Stopped`] when the core has stopped.
    pub fn tick(&mut self, now: Timestamp) -> Result<(), Stopped> {
        self.tick += 1;
        self.now = now;
        self.mempool.requeue_forwarded(self.tick);
        self.core.tick()?;
        // Whom it has not heard for a while does not lead it, also where it takes it for its leader still: a learner does for
        // ever.
        if self.core.hears_leader() {
            self.led_at = self.tick;
        }
        self.reconcile()
    }

    /// A frame from an authenticated peer, with its clock. A batch whose proposed time is too far ahead of this node's clock is not
    /// acknowledged, so that one wrong clock cannot carry the chain's time away.
    ///
    /// # Errors
    /// [`MessageError`] when the firewall or the clock refuses it, or the core has stopped.
    pub fn message(&mut self, from: RaftId, bytes: Bytes) -> Result<(), MessageError> {
        let latest = self.now.plus_ms(limits::PROPOSED_AHEAD_MS_MAX);
        #[cfg(feature = "planted")]
        let latest = match galen_planted::is_on(galen_planted::Bug::BlockTimeUnbounded) {
            true => Timestamp(u64::MAX),
            false => latest,
        };
        let Some((bytes, clock)) = clocks::without_clock(bytes) else {
            return Err(Refusal::Malformed(DecodeError::Short).into());
        };
        self.core.message_with(from, bytes, |entry| proposed_time(entry).is_none_or(|proposed| proposed <= latest))?;
        self.clocks.heard(from, clock, self.tick, self.core.membership());
        Ok(())
    }

    /// The time of a batch that is proposed now: this node's clock, as far as a majority goes along; none while too few have
    /// said what theirs say.
    fn proposal_time(&mut self) -> Option<Timestamp> {
        let lately = self.config.core.election_tick as u64;
        let since = self.tick.saturating_sub(lately);
        let latest = self.clocks.latest(self.config.core.id, since, self.core.membership());
        #[cfg(feature = "planted")]
        if galen_planted::is_on(galen_planted::Bug::BlockTimeUnbounded) {
            return Some(self.now);
        }
        match latest {
            Latest::Own => Some(self.now),
            Latest::Unknown => None,
            Latest::At(latest) => {
                if let Some(ahead_ms) = self.held_back.note(self.now, latest, self.tick, lately) {
                    tracing::warn!(
                        ahead_ms,
                        "this node's clock is ahead of the others', and it orders by theirs: set it (NTP)"
                    );
                }
                Some(self.now.min(latest))
            }
        }
    }

    /// A transaction from a client or a peer, its signature checked; `false` when it waits already.
    ///
    /// # Errors
    /// [`MempoolRefusal`] when there is no room.
    pub fn submit(&mut self, transaction: VerifiedTransaction) -> Result<bool, MempoolRefusal> {
        let transaction: DecodedTransaction = transaction.into_decoded();
        self.mempool.insert(transaction)
    }

    /// Everything up to the token is on disk.
    ///
    /// # Errors
    /// [`Stopped`] when the core has stopped.
    pub fn persisted(&mut self, token: PersistToken) -> Result<(), Stopped> {
        self.core.persisted(token)
    }

    /// Ends this orderer after a failed write: it takes no further input.
    pub fn stop(&mut self, cause: &str) {
        self.core.stop(cause);
    }

    /// The ledger holds everything up to `index`, and its last block is the one at `height`; `settled` are the transactions
    /// that are in a block or void since.
    ///
    /// # Errors
    /// [`Stopped`] when the core has stopped.
    pub fn applied(
        &mut self,
        index: u64,
        height: u64,
        block_time: Timestamp,
        settled: &[TransactionId],
    ) -> Result<(), Stopped> {
        for id in settled {
            self.mempool.remove(id);
        }
        while self.unexecuted.front().is_some_and(|waiting| *waiting <= index) {
            self.unexecuted.pop_front();
        }
        while let Some(batch) = self.in_flight.first_entry().filter(|batch| *batch.key() <= index) {
            // What its block had no room for waits for the next.
            self.mempool.requeue_batch(&batch.remove());
        }
        self.applied_height = self.applied_height.max(height);
        self.block_time = self.block_time.max(block_time);
        self.applied = self.applied.max(index);
        self.core.applied(index)
    }

    /// A block is durable, applied and certified here: the log may be cut below it, and is when enough has gathered.
    ///
    /// # Errors
    /// [`Stopped`] when the core has stopped.
    pub fn may_cut(&mut self, point: CutPoint) -> Result<(), Stopped> {
        if self.certified_height.is_none_or(|(height, _)| height < point.height) {
            self.certified_height = Some((point.height, self.tick));
        }
        if self.cut_points.back().is_some_and(|last| last.index >= point.index) {
            return Ok(());
        }
        self.cut_points.push_back(point);
        if self.cut_points.len() < self.config.compact_entries && self.core.log_bytes() < self.config.compact_bytes {
            return Ok(());
        }
        // Half stays, so that a follower that is a little behind finds its entries in the log.
        let Some(point) = self.cut_points.drain(..self.cut_points.len() / 2).next_back() else { return Ok(()) };
        let context = snapshot_context(point.height, &point.header);
        match self.core.compact(point.index, context) {
            Ok(()) => tracing::info!(index = point.index, height = point.height, "the ordering log is cut"),
            Err(CompactError::Stopped(stopped)) => return Err(stopped),
            // Cut already, or a little ahead of what this node's log has applied: the next point comes.
            Err(error) => tracing::debug!(%error, "the ordering log is not cut now"),
        }
        Ok(())
    }

    /// The ledger holds the block that a snapshot offer names, certified and durable.
    ///
    /// # Errors
    /// [`Stopped`] when the core has stopped.
    pub fn accept_snapshot(&mut self, index: u64) -> Result<(), Stopped> {
        match self.core.accept_snapshot(index) {
            Err(galen_consensus::SnapshotError::Stopped(stopped)) => Err(stopped),
            Err(error) => {
                tracing::debug!(%error, "the snapshot offer is gone; the leader offers again");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// The offer's block is not on the chain.
    pub fn reject_snapshot(&mut self) {
        self.core.reject_snapshot();
    }

    /// A message to the peer was lost.
    ///
    /// # Errors
    /// [`Stopped`] when the core has stopped.
    pub fn report_unreachable(&mut self, peer: RaftId) -> Result<(), Stopped> {
        self.core.report_unreachable(peer)
    }

    /// The connection to a peer broke: where it led, its voters look for another leader soon.
    pub fn peer_lost(&mut self, peer: RaftId) {
        self.core.peer_lost(peer);
    }

    /// Everything to do since the last call: proposes what is queued first.
    ///
    /// # Errors
    /// [`Stopped`] when the core has stopped.
    pub fn effects(&mut self) -> Result<OrdererEffects, Stopped> {
        let mut out = OrdererEffects::default();
        self.confirm_reads()?;
        self.collect(&mut out)?;
        if self.role.role == Role::Leader {
            // Proposing makes new effects, and a sole voter's may commit at once.
            if self.propose()? {
                self.collect(&mut out)?;
            }
        } else if let Some(leader) = self.role.leader
            && leader != self.config.core.id
            && self.mempool.has_queued()
        {
            let transactions = self.mempool.take_for_leader(self.tick);
            if !transactions.is_empty() {
                out.forward = Some((leader, transactions));
            }
        }
        out.expired = self.mempool.expire(self.block_time);
        out.reads = self.reads.take_served(self.applied);
        Ok(out)
    }

    fn collect(&mut self, out: &mut OrdererEffects) -> Result<(), Stopped> {
        let effects = self.core.effects()?;
        out.persist.extend(effects.persist);
        let now = self.now;
        out.send.extend(
            effects
                .send
                .into_iter()
                .map(|message| Outgoing { bytes: clocks::with_clock(message.bytes, now), ..message }),
        );
        for committed in effects.committed {
            out.ordered.push(self.ordered(committed));
        }
        if effects.snapshot_offer.is_some() {
            out.snapshot_offer = effects.snapshot_offer;
        }
        for read in &effects.read_states {
            if !self.reads.confirm(read) {
                self.reconciliation.read = Some((read.index, self.tick));
            }
        }
        if let Some(role) = effects.role {
            // Whatever was on its way to the former leader, or in its batches, may be lost, also when the same node leads
            // again in another term; duplicates are void.
            self.in_flight.clear();
            #[cfg(feature = "planted")]
            if galen_planted::is_on(galen_planted::Bug::WaitingForgotten) {
                self.mempool = Mempool::default();
            }
            self.mempool.requeue_all();
            self.reads.ask_again();
            self.role = role;
            out.role = Some(role);
        }
        Ok(())
    }

    fn ordered(&mut self, committed: Committed) -> OrderedBatch {
        self.ordered = committed.index;
        self.unexecuted.push_back(committed.index);
        let bytes = match committed.payload {
            Payload::Data(bytes) => bytes,
            Payload::Nothing => Bytes::new(),
            Payload::Membership { context, .. } => {
                self.reconciliation.committed(&context);
                Bytes::new()
            }
        };
        OrderedBatch { index: committed.index, term: committed.term, bytes }
    }

    /// Whether a quorum executes so far behind this node that the next batch should wait for them, and grow meanwhile. Never
    /// for long, and not where certification stands still: ordering does not depend on it.
    fn waits_for_certification(&self) -> bool {
        let Some((certified, told_at)) = self.certified_height else { return false };
        self.applied_height.saturating_sub(certified) > limits::BLOCKS_UNCERTIFIED_MAX
            && self.tick.saturating_sub(told_at) < limits::UNCERTIFIED_PATIENCE_TICKS
            && self.tick.saturating_sub(self.proposed_at) < limits::UNCERTIFIED_PAUSE_TICKS
    }

    /// Proposes batches while there is something queued and room for it; whether it proposed any.
    fn propose(&mut self) -> Result<bool, Stopped> {
        let mut some = false;
        if !self.mempool.has_queued() || self.waits_for_certification() {
            return Ok(some);
        }
        let Some(proposed) = self.proposal_time() else { return Ok(some) };
        while self.in_flight.range(self.ordered + 1..).count() < limits::BATCHES_IN_FLIGHT_MAX
            && self.unexecuted.len() < limits::BATCHES_UNEXECUTED_MAX
            && self.mempool.has_queued()
        {
            let BatchLimits { transactions, bytes } = self.config.batch_limits;
            let taken = self.mempool.take_batch(transactions, bytes);
            let (ids, transactions): (Vec<_>, Vec<_>) =
                taken.into_iter().map(|(id, bytes)| (id, bytes.to_vec())).unzip();
            let batch = Batch { proposed, proposer: self.config.node.clone(), transactions };
            match self.core.propose(batch.encode().into()) {
                Ok((index, _)) => {
                    self.in_flight.insert(index, ids);
                    self.proposed_batches += 1;
                    self.proposed_at = self.tick;
                    some = true;
                }
                Err(ProposeError::Stopped(stopped)) => return Err(stopped),
                Err(error) => {
                    tracing::debug!(%error, "a batch waits");
                    self.mempool.requeue_batch(&ids);
                    break;
                }
            }
        }
        Ok(some)
    }

    /// Sets the clock without a tick: a batch's time is that of its proposal.
    pub fn set_now(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }

    /// The chain's limits changed: batches are built to the new ones.
    pub fn set_batch_limits(&mut self, limits: BatchLimits) {
        self.config.batch_limits = limits;
    }

    /// Transactions that wait here.
    pub fn mempool_len(&self) -> usize {
        self.mempool.len()
    }

    /// Batches that this node proposed since its start.
    pub fn proposed_batches(&self) -> u64 {
        self.proposed_batches
    }

    /// Role, leader and term.
    pub fn role(&self) -> RoleChange {
        self.role
    }

    /// Gives no vote from now on below `floor`: see [`galen_consensus::RaftCore::set_vote_floor`].
    pub fn set_vote_floor(&mut self, floor: VoteFloor) {
        self.core.set_vote_floor(floor);
    }

    /// Whether that floor still holds this node's vote back from somebody to whom Raft would give it.
    pub fn is_below_vote_floor(&self) -> bool {
        self.core.is_below_vote_floor()
    }

    /// Who votes by this node's own log, each half of a joint configuration for itself; without those whose names it does
    /// not know any more.
    pub fn configurations(&self) -> Vec<BTreeSet<NodeName>> {
        let membership = self.core.membership();
        let halves = [&membership.voters, &membership.voters_outgoing].into_iter().filter(|half| !half.is_empty());
        halves.map(|half| half.iter().filter_map(|id| self.by_id.get(id).cloned()).collect()).collect()
    }

    /// The leader that it heard lately, itself where it leads: before [`leader`](Self::leader) says so, which changes with
    /// the effects.
    pub fn heard_leader(&self) -> Option<&NodeName> {
        let leader = self.core.leader().filter(|_| self.core.hears_leader())?;
        self.by_id.get(&leader)
    }

    /// Where this node's ordering log ends.
    pub fn log_end(&self) -> LogEnd {
        self.core.log_end()
    }

    /// The name of the leading node, as far as known.
    pub fn leader(&self) -> Option<&NodeName> {
        self.role.leader.and_then(|id| self.by_id.get(&id))
    }

    /// The Raft core's own account of itself.
    pub fn status(&self) -> Status {
        self.core.status()
    }
}

/// When a batch was proposed: the first field of its encoding, 8 bytes little-endian. `None` for what is no batch, which
/// execution passes over.
fn proposed_time(entry: &[u8]) -> Option<Timestamp> {
    entry.first_chunk().map(|bytes| Timestamp(u64::from_le_bytes(*bytes)))
}

/// What a snapshot offer says of its block: height (8 bytes, little-endian) and header hash.
pub fn snapshot_context(height: u64, header: &Hash) -> Bytes {
    let mut context = Vec::with_capacity(40);
    context.extend_from_slice(&height.to_le_bytes());
    context.extend_from_slice(header.as_bytes());
    context.into()
}

/// Height and header hash of a snapshot offer's context; `None` when a leader sent something else.
pub fn parse_snapshot_context(context: &[u8]) -> Option<(u64, Hash)> {
    let (height, header) = context.split_at_checked(8)?;
    Some((u64::from_le_bytes(height.try_into().ok()?), Hash(header.try_into().ok()?)))
}
