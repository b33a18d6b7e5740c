//! Every bound of a replica, with its unit and reason.

/// Transactions that wait in memory. At 10,000 a second, five seconds of work; more would only wait longer.
pub const MEMPOOL_TRANSACTIONS_MAX: usize = 50_000;

/// Bytes of transactions that wait in memory.
pub const MEMPOOL_BYTES_MAX: usize = 64 << 20;

/// Transactions of one signer that wait: nobody fills the mempool alone.
pub const MEMPOOL_SIGNER_TRANSACTIONS_MAX: usize = 20_000;

/// Bytes of transactions of one signer that wait, for the same reason.
pub const MEMPOOL_SIGNER_BYTES_MAX: usize = 24 << 20;

/// Batches that are proposed and not yet committed. Two overlap one batch's replication with the next one's building;
/// more only makes batches smaller.
pub const BATCHES_IN_FLIGHT_MAX: usize = 2;

/// Committed batches that wait for execution before the leader stops proposing. A longer queue hides nothing: it only
/// makes batches smaller, and each block costs every voter a synced signature.
pub const BATCHES_UNEXECUTED_MAX: usize = 2;

/// Blocks that the leader may have applied and not seen certified before it proposes more slowly: the others execute later
/// than it does then, and whoever waits at them waits longer and longer.
pub const BLOCKS_UNCERTIFIED_MAX: u64 = 16;

/// Ticks for which it waits at most before it proposes nevertheless. What gathers meanwhile makes the next batches larger.
pub const UNCERTIFIED_PAUSE_TICKS: u64 = 4;

/// Ticks without a new certificate after which it does not wait at all: what keeps certification back is nothing that time
/// mends then (too few voters are there, or one that is needed is away).
pub const UNCERTIFIED_PATIENCE_TICKS: u64 = 20;

/// Ticks after which a follower sends a transaction to the leader again, in case it was lost on the way.
pub const FORWARD_AGAIN_TICKS: u64 = 20;

/// Bytes of transactions in one message to the leader.
pub const FORWARD_BYTES_MAX: usize = 1 << 20;

/// Bytes of blocks in one answer to a peer that catches up; one block more than fits is always sent.
pub const SYNC_BYTES_MAX: usize = 4 << 20;

/// Headers in a sync answer between its last block and the certificate that covers it. Certificates stand closer than
/// this, unless a quorum to certify was missing for long.
pub const SYNC_TRAIL_HEADERS_MAX: usize = 4_096;

/// Bytes of an encoded header, with names of the greatest length.
pub const HEADER_BYTES_MAX: usize = 640;

/// Bytes of a whole sync answer: the last block may exceed the bound above by its own size; then come the trail of
/// headers and the certificate.
pub const SYNC_ANSWER_BYTES_MAX: usize = SYNC_BYTES_MAX
    + galen_types::block::BLOCK_BYTES_MAX
    + SYNC_TRAIL_HEADERS_MAX * HEADER_BYTES_MAX
    + galen_types::certificate::CERTIFICATE_BYTES_MAX;

/// Handovers in one answer: with certificates and sets of the greatest permitted group together below the bound of an
/// answer.
pub const HANDOVERS_MAX: usize = 64;

/// Heights whose signatures one answer holds.
pub const SYNC_SIGNATURE_HEIGHTS_MAX: u64 = 32;

/// Heights below the tip, or below the end of an epoch, that are looked at after a restart for a quorum's signatures that
/// were never joined to a certificate. A certificate covers what is older.
pub const RELOADED_HEIGHTS_MAX: u64 = 4_096;

/// Blocks below the tip at which the ordering log may be cut that are taken up after a restart; more come with new blocks.
pub const CUT_POINTS_RELOADED_MAX: usize = 10_000;

/// Ticks for which a leader that leaves the group tries to hand leadership over before it removes itself: some seconds,
/// several election timeouts.
pub const LEADERSHIP_HANDOVER_TICKS: u64 = 60;

/// Ticks without a leader after which a node that the chain removed, and that sees the chain go on, stops ordering.
pub const RETIRE_TICKS: u64 = 100;

/// Ticks between a learner's questions how far its leader has committed.
pub const CAUGHT_UP_ASK_TICKS: u64 = 10;

/// Entries that a learner may lack and still count as caught up: what is on its way under load.
pub const CAUGHT_UP_ENTRIES: u64 = 16;

/// Reads that wait for their confirmation or for the ledger at once, on one node. Each is two numbers here and a waiting
/// client elsewhere; they share rounds, so that their number costs no messages.
pub const READS_WAITING_MAX: usize = 4_096;

/// Rounds of confirmation that are on their way at once before reads wait for the next tick: on a slow link a read need not
/// wait for the answer to one before it.
pub const READ_ROUNDS_AT_ONCE: u64 = 4;

/// Ticks after which another round of confirmation begins for reads whose last one may be lost. The answer to the earlier
/// one is still taken, so that a link slower than this only costs messages.
pub const READ_AGAIN_TICKS: u64 = 8;

/// A full group can replace a third of its nodes in one change of the ordering configuration.
const _: () = assert!(galen_types::member::ORDERING_NODES_MAX * 4 / 3 <= galen_consensus::limits::MEMBERS_MAX);

/// How far ahead of this node's clock a proposed batch's time may lie, milliseconds. Clocks kept by NTP differ by less
/// than a second; half a minute forgives a clock that was set by hand.
pub const PROPOSED_AHEAD_MS_MAX: u64 = 30_000;

/// Heights above the own tip of which signatures are kept, per voter: one ahead is enough to certify the next block.
pub const HEIGHTS_AHEAD_PER_VOTER_MAX: usize = 64;

/// Headers of one such height of which a voter's signatures are kept: two show that it lies, a third shows no more.
pub const HEADERS_AHEAD_PER_VOTER_MAX: usize = 2;

/// Verified signatures remembered, so that a transaction checked on arrival is not checked again at execution.
pub const VERIFIED_MAX: usize = 100_000;

/// Live transaction ids pruned in a block beside twice its own number of transactions: what load left behind goes while
/// the chain is quiet, and pruning is never more than a bounded share of a block's work.
pub const PRUNE_PER_BLOCK_MIN: usize = 64;

/// Headers in one answer about the past: 2 MiB at most.
pub const HISTORY_HEADERS_MAX: usize = galen_ledger::constants::FILL_HEADERS_MAX;

/// Bytes of blocks and receipts in one answer about the past; one block more than fits is always sent.
pub const HISTORY_BYTES_MAX: usize = 3 << 20;

/// Bytes of a whole answer about the past: the last block may exceed the bound above by its own size and its receipts'.
pub const HISTORY_ANSWER_BYTES_MAX: usize = 16 << 20;

/// Bytes of a whole answer about a snapshot: a manifest with the longest trail, or the largest part.
pub const SNAPSHOT_ANSWER_BYTES_MAX: usize = {
    let offer = galen_ledger::constants::SNAPSHOT_MANIFEST_BYTES_MAX
        + SYNC_TRAIL_HEADERS_MAX * HEADER_BYTES_MAX
        + galen_types::certificate::CERTIFICATE_BYTES_MAX;
    let part = galen_ledger::constants::SNAPSHOT_PART_BYTES_MAX + 64;
    if offer > part { offer } else { part }
};

/// Most bytes of an encoded request about the past or about a snapshot.
pub const PAST_REQUEST_BYTES_MAX: usize = 64;
