//! Every size and limit of the store, with its unit and reason.

/// The version of the stored formats; a folder of another version is refused.
pub const FORMAT_VERSION: u32 = 1;

/// Keys in a bucket of the state tree before it splits. 64 entries of 64 bytes are one 4 KiB value: what one write
/// rewrites, and what one proof carries, however an attacker grinds keys.
pub const BUCKET_KEYS_MAX: usize = 64;

/// Bytes of memory for blocks read from disk, per ledger. The hot state of a consortium (accounts, live transaction ids,
/// grants) is a few tens of MiB.
pub const BLOCK_CACHE_BYTES: usize = 64 << 20;

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

/// Findings kept in a verification report; further ones are counted only.
pub const FINDINGS_MAX: usize = 1_000;
