//! Bounds of the queues between a node's threads, with what happens when one is full.

use std::time::Duration;

/// Inputs that wait for the ordering thread. Full: frames from peers are dropped and counted (Raft sends again), clients
/// are told to come back; the node's own threads wait.
pub(super) const ORDERING_INPUTS_MAX: usize = 8_192;

/// Transactions that wait for admission (signature check). Full: clients are told to come back.
pub(super) const ADMISSION_MAX: usize = 16_384;

/// Transactions checked in one admission round.
pub(super) const ADMISSION_ROUND_MAX: usize = 1_024;

/// How often the idle admission thread looks whether the node stops.
pub(super) const ADMISSION_LOOK: Duration = Duration::from_millis(500);

/// Inputs that wait for the execution thread beside ordered batches. Full: gossip is dropped (and pulled later).
pub(super) const EXECUTION_INPUTS_MAX: usize = 4_096;

/// How long ordered batches are executed before what peers say has its turn, and the other way round; looked at after each
/// block and each thing said, so that one of them may take longer. So long wait the signatures of what was executed, too: a
/// disk sync takes a few milliseconds, and all in between share one.
pub(super) const EXECUTION_SLICE: Duration = Duration::from_millis(10);

/// Events that a slow reader of the event stream may lag behind before it is cut off.
pub(super) const STREAM_EVENTS_MAX: usize = 4_096;

/// How long a peer may take to answer when this node catches up.
pub(super) const SYNC_DEADLINE: Duration = Duration::from_secs(20);

/// How often this node looks whether it lags, beside being told.
pub(super) const SYNC_PERIOD: Duration = Duration::from_millis(500);

/// How often a node that does not order asks for blocks without having been told that there are any.
pub(super) const SYNC_UNASKED: Duration = Duration::from_secs(2);

/// How long a node that orders may be without a leader before it asks for blocks like one that does not order: a few
/// elections at the usual tick; earlier does no harm.
pub(super) const SYNC_UNLED: Duration = Duration::from_secs(5);

/// Every so many turns in which blocks or signatures are pulled, a peer that does not vote is asked instead of a voter.
pub(super) const SYNC_OTHERS_TURNS: usize = 4;

/// Heights that a voter may lag behind before it pulls blocks beside ordering.
pub(super) const SYNC_LAG_VOTER: u64 = 64;

/// Inputs handled by the ordering thread before it looks at what they led to.
pub(super) const ORDERING_ROUND_MAX: usize = 512;

/// Bytes of entries that the ordering log keeps in memory before it is cut, whatever their number.
pub(super) const LOG_KEPT_BYTES: u64 = 64 << 20;

/// How often clients that gave up waiting are forgotten.
pub(super) const RECEIPTS_SWEEP: Duration = Duration::from_secs(10);

/// How long a peer may take to say what it knows of this node.
pub(super) const KNOWLEDGE_DEADLINE: Duration = Duration::from_secs(2);

/// How long a leader is waited for that so few others know that they may be lying, once enough have answered.
pub(super) const KNOWLEDGE_LEADER_PATIENCE: Duration = Duration::from_secs(3);

/// How long a sole voter listens to those who follow it before it orders.
pub(super) const KNOWLEDGE_SOLE_PATIENCE: Duration = Duration::from_secs(5);

/// How long a node that is told of another process with its key waits for other peers to take it in.
pub(super) const DUPLICATE_PATIENCE: Duration = Duration::from_secs(3);

/// Answers in a row by peers that removed the blocks which this node lacks, before it takes a snapshot instead.
pub(super) const SYNC_PRUNED_ANSWERS: u32 = 3;

/// Between two rounds of questions.
pub(super) const KNOWLEDGE_PAUSE: Duration = Duration::from_millis(50);

/// How long a node that may vote for few waits for a leader before it asks its peers again.
pub(super) const KNOWLEDGE_AGAIN: Duration = Duration::from_secs(5);

/// How often it is logged that a node still waits for something that its operator may have to do.
pub(super) const WAITING_LOGGED: Duration = Duration::from_secs(30);

/// How often a node looks whether its part in ordering is what the chain says, beside being told.
pub(super) const PART_PERIOD: Duration = Duration::from_millis(250);

/// How long a majority of the voters refuses a node as not registered before it gives up the number that the chain took
/// from it. What they have applied of ordering's configuration is on their disks by then many times over.
pub(super) const REFUSED_PATIENCE: Duration = Duration::from_secs(60);

/// Between two attempts of a node to get its number or its vote; doubled each time, up to the second.
pub(super) const ASK_AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// How long a leader that stops waits for another to take over.
pub(super) const HANDOVER_PATIENCE: Duration = Duration::from_millis(1_500);

/// How long an operator's transfer of leadership may take.
pub(super) const TRANSFER_PATIENCE: Duration = Duration::from_secs(5);

/// How long the tasks of a node that stops or restarts itself get to end by themselves: longer than requests under way at
/// the HTTP port, and than a peer may take to answer.
pub(super) const TASKS_PATIENCE: Duration = Duration::from_secs(30);

/// How long its threads get. The longest step of one is the execution of a block and the sync of a log.
pub(super) const THREADS_PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks whether the threads have ended and the ledger is closed.
pub(super) const CLOSE_PERIOD: Duration = Duration::from_millis(5);

/// How long a node that restarts itself waits until nobody holds its ledger any more.
pub(super) const CLOSE_PATIENCE: Duration = Duration::from_secs(60);

/// So many answers in a row of no more blocks than a voter may lag behind end a pull: on a busy chain and a slow link the
/// peer always has some more. Others are asked, and news is looked at, in between.
pub(super) const SYNC_SHORT_ANSWERS: usize = 3;

/// Snapshots kept for peers: one that is being fetched, and the newest.
pub(super) const SNAPSHOTS_KEPT: usize = 2;

/// Answers from snapshots and the past that are read from the disk at once; further ones wait.
pub(super) const ARCHIVE_READS_MAX: usize = 4;

/// Parts of a snapshot that are fetched at once.
pub(super) const PARTS_IN_FLIGHT: usize = 4;

/// Peers asked for a snapshot at once: each answer is a manifest of some MiB at most.
pub(super) const OFFERS_IN_FLIGHT: usize = 4;

/// How long a node that is far behind looks for a snapshot before it goes on block by block.
pub(super) const OFFER_PATIENCE: Duration = Duration::from_secs(30);

/// How often a node that is not caught up asks how far its peers are.
pub(super) const LAG_ASKED: Duration = Duration::from_secs(10);

/// Blocks pruned in one step.
pub(super) const PRUNE_STEP_BLOCKS: u64 = 100;

/// Between two steps of filling in the past or pruning while there is more to do: execution comes first.
pub(super) const HISTORY_PAUSE: Duration = Duration::from_millis(20);

/// Between two looks whether there is something to fill in or prune.
pub(super) const HISTORY_PERIOD: Duration = Duration::from_secs(5);

/// Reads that wait for voters' word on a node that does not order, those being asked for beside. Full: they are refused.
pub(super) const INQUIRIES_MAX: usize = 4_096;

/// Between two questions to a voter that did not answer the first.
pub(super) const INQUIRY_PAUSE: Duration = Duration::from_millis(100);

/// How long an applicant's address may take to answer.
pub(super) const DIAL_BACK_PATIENCE: Duration = Duration::from_secs(4);

/// How long a node that restarts itself tries to get its ports back.
pub(super) const PORTS_PATIENCE: Duration = Duration::from_secs(10);
