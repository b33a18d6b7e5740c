//! Every bound of this crate, with its reason.

/// Bytes of one proposal. A block's batch is about 500 KB; this leaves room without letting one entry hold a follower's
/// link for long (4 MiB is 40 ms at 100 MB/s).
pub const ENTRY_BYTES_MAX: usize = 4 << 20;

/// Bytes of entries in one append message. Large enough that a follower catches up in few round trips, small enough
/// that heartbeats on the same stream are not held up. One entry always fits, whatever its size.
pub const APPEND_BYTES_MAX: u64 = 1 << 20;

/// Append messages that a leader sends to one follower before it waits for answers. With full messages this is 64 MiB
/// in flight, more than bandwidth times delay of any link between institutions.
pub const APPENDS_IN_FLIGHT_MAX: usize = 64;

/// Bytes of proposals that a leader holds uncommitted: above it a proposal is refused, so that a group without a
/// quorum does not fill memory.
pub const UNCOMMITTED_BYTES_MAX: u64 = 64 << 20;

/// Bytes of committed entries that raft hands out in one step of its loop.
pub const COMMITTED_BYTES_PER_STEP: u64 = 16 << 20;

/// Bytes of entries that the log may hold in memory before the leader refuses proposals: reached only when the
/// embedder cannot compact, because blocks are committed but not certified.
pub const LOG_BYTES_MAX: u64 = 512 << 20;

/// Bytes of one message frame: the largest append (one entry of the largest size, or a full append) and its header.
pub const FRAME_BYTES_MAX: usize = ENTRY_BYTES_MAX + (1 << 20);

/// Nodes in one configuration, those that come and those that go counted together. More than the embedder lets order at a
/// time, so that a full group can still replace nodes.
pub const MEMBERS_MAX: usize = 64;

/// Bytes of the embedder's context of a snapshot (a height and a hash).
pub const SNAPSHOT_CONTEXT_BYTES_MAX: usize = 4096;

/// Bytes of the embedder's context of a read, without the asking node's id.
pub const READ_CONTEXT_BYTES_MAX: usize = 56;

/// Bytes of the embedder's context of a configuration change. Beside it the entry holds the configuration that it changes,
/// which is smaller than this.
pub const CHANGE_CONTEXT_BYTES_MAX: usize = 2048;

/// Reads that wait for a quorum at once. Each holds a map entry on the leader.
pub const READS_PENDING_MAX: usize = 1024;

/// A message's term may lead ours by this much. Pre-vote keeps honest terms close; without a bound one message could
/// push the term to its end.
pub const TERM_LEAD_MAX: u64 = 1 << 20;

/// Terms and indexes stay below this, so that no sum with them overflows.
pub const NUMBER_MAX: u64 = 1 << 62;

/// Bytes of a segment file before the log starts the next one.
pub const SEGMENT_BYTES: u64 = 64 << 20;

/// Bytes of one record's payload in the log.
pub const RECORD_BYTES_MAX: usize = ENTRY_BYTES_MAX + (1 << 16);

/// Steps that wait to become durable. Above it messages and proposals are refused, so that a stuck disk does not fill
/// memory with answers that may not leave.
pub const PERSISTS_PENDING_MAX: usize = 4096;
