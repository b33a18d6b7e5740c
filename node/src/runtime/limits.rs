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

/// Events that a slow reader of the event stream may lag behind before it is cut off.
pub(super) const STREAM_EVENTS_MAX: usize = 4_096;

/// How long a peer may take to answer when this node catches up.
pub(super) const SYNC_DEADLINE: Duration = Duration::from_secs(20);

/// How often this node looks whether it lags, beside being told.
pub(super) const SYNC_PERIOD: Duration = Duration::from_millis(500);

/// How often a node that does not order asks for blocks without having been told that there are any.
pub(super) const SYNC_UNASKED: Duration = Duration::from_secs(2);

/// Heights that a voter may lag behind before it pulls blocks beside ordering.
pub(super) const SYNC_LAG_VOTER: u64 = 64;

/// Inputs handled by the ordering thread before it looks at what they led to.
pub(super) const ORDERING_ROUND_MAX: usize = 512;

/// Bytes of entries that the ordering log keeps in memory before it is cut, whatever their number.
pub(super) const LOG_KEPT_BYTES: u64 = 64 << 20;

/// How often clients that gave up waiting are forgotten.
pub(super) const RECEIPTS_SWEEP: Duration = Duration::from_secs(10);
