//! Every size and limit of the store, with its unit and reason.

/// The version of the stored formats; a folder of another version is refused.
pub const FORMAT_VERSION: u32 = 1;

/// Keys in a bucket of the state tree before it splits. 64 entries of 64 bytes are one 4 KiB value: what one write
/// rewrites, and what one proof carries, however an attacker grinds keys.
pub const BUCKET_KEYS_MAX: usize = 64;

/// Bytes of memory for blocks read from disk, per ledger: at most this, and only as the chain grows to need it. Publishing
/// writes all over the state tree, so nearly all of it is hot. With 64 MiB a ledger of 390 MiB (280,000 transactions) was
/// decompressed over and over: a testnet of one voter fell from 4,500 to 1,050 transactions a second on two cores.
pub const BLOCK_CACHE_BYTES: usize = 512 << 20;

/// Bytes of memory for rows not yet flushed, over all column families of a ledger. More memory means fewer, larger
/// flushes; this much is about 100 full blocks.
pub const WRITE_BUFFER_BYTES: usize = 64 << 20;

/// Bytes of one column family's write buffer before it is flushed.
pub(crate) const COLUMN_WRITE_BUFFER_BYTES: usize = 16 << 20;

/// Bytes of write-ahead log kept before flushing the oldest column family: bounds the time that opening takes after a
/// crash (about 1 s).
pub(crate) const WAL_BYTES_MAX: u64 = 256 << 20;

/// Bytes after which the operating system is asked to start writing the log back, so that a sync finds little left.
pub(crate) const WAL_BYTES_PER_SYNC: u64 = 1 << 20;

/// Table files held open; bounds file descriptors. At 64 MiB a file it is 32 GiB without reopening.
pub(crate) const OPEN_FILES_MAX: i32 = 512;

/// Threads that flush and compact. One of each, so that a two-core machine keeps one core for execution.
pub(crate) const BACKGROUND_JOBS: i32 = 2;

/// RocksDB's own log files kept, each of at most [`INFO_LOG_BYTES_MAX`].
pub(crate) const INFO_LOG_FILES: usize = 4;

/// Bytes of one of RocksDB's own log files.
pub(crate) const INFO_LOG_BYTES_MAX: usize = 4 << 20;

/// Bits of Bloom filter per key: 1 % of look-ups of absent keys touch the disk in vain.
pub(crate) const BLOOM_BITS_PER_KEY: f64 = 10.0;

/// Bytes read ahead in scans of whole column families (opening, verification).
pub(crate) const SCAN_READAHEAD_BYTES: usize = 2 << 20;

/// Most bytes of one stored value that is decoded; the largest are certificates and voter sets.
pub(crate) const STORED_VALUE_BYTES_MAX: usize = 16 << 20;

/// Most rows one scan gives; callers page on.
pub const SCAN_ROWS_MAX: usize = 10_000;

/// Deviant signatures kept as evidence of one voter. One proves a lie; some more show when it began and how it went on.
pub const EVIDENCE_PER_VOTER_MAX: usize = 100;

/// Deviant signatures kept as evidence in all: about 2 MB, so that liars cannot fill a disk.
pub const EVIDENCE_MAX: usize = 10_000;

/// Bytes of a part of a snapshot: a part ends before the row that would make it longer, unless that is its first. Small
/// enough to be one message beside others, large enough that its round trip does not count.
pub const SNAPSHOT_PART_BYTES: usize = 1 << 20;

/// Most bytes of a part of a snapshot: a single row may be longer than [`SNAPSHOT_PART_BYTES`], but never longer than a
/// block that wrote it.
pub const SNAPSHOT_PART_BYTES_MAX: usize = galen_types::block::BLOCK_BYTES_MAX + (1 << 20);

/// Most bytes of the proof that a snapshot's header rests on: every epoch from the genesis on, 0.9 kB each with 4 voters,
/// 9 kB with 48. It stays below what one value can be encoded to (32 MiB). The chain paces the changes that one member can
/// make alone; a proof that is longer all the same is refused before anything is fetched, and the node catches up block by
/// block.
pub const SNAPSHOT_PROOF_BYTES_MAX: usize = 24 << 20;

/// Most parts of a snapshot: 64 GiB of state, far above the 50 million keys that the state tree is made for. Bounds the
/// manifest to 3 MiB.
pub const SNAPSHOT_PARTS_MAX: usize = 1 << 16;

/// Most bytes of an encoded manifest.
pub const SNAPSHOT_MANIFEST_BYTES_MAX: usize = 64 * SNAPSHOT_PARTS_MAX;

/// Bytes of memory for blocks read from disk while a snapshot is served: each part is read once.
pub(crate) const SNAPSHOT_CACHE_BYTES: usize = 4 << 20;

/// Files into which the entries of a state tree are sorted while it is built anew, one per first byte of the key's hash.
/// At 50 million keys each is 12 MiB.
pub(crate) const PARTITIONS: usize = 256;

/// Bytes buffered per partition: together 16 MiB.
pub(crate) const PARTITION_BUFFER_BYTES: usize = 64 << 10;

/// Entries of the state tree that are sorted and written at a time while it is built anew: 16 MiB, however an attacker
/// grinds keys into one partition.
pub(crate) const BUILD_ENTRIES_MAX: usize = 1 << 18;

/// Bytes of state rows in one batch while a ledger is built anew.
pub(crate) const BUILD_BATCH_BYTES: usize = 4 << 20;

/// Most headers that are filled in by one batch.
pub const FILL_HEADERS_MAX: usize = 4_096;

/// Findings kept in a verification report; further ones are counted only.
pub const FINDINGS_MAX: usize = 1_000;

/// Heights that a voter reserves with one sync of its note of what it signed. More of them cost a voter, whose ledger rots
/// after power was lost, that many heights which it does not sign; fewer cost syncs.
pub(crate) const SIGNED_RESERVED_HEIGHTS: u64 = 32;
