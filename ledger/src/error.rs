//! Why the ledger refuses or fails. [`LedgerError::is_fatal`] says which errors end the process.

use std::path::PathBuf;

use galen_types::{Hash, Slug};

/// Why the ledger refuses or fails.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// The folder belongs to another chain.
    #[error("`{}` holds the ledger of genesis {stored}, not of {given}: give the folder of this chain, or an empty one", path.display())]
    OtherGenesis {
        /// The folder.
        path: PathBuf,
        /// The genesis that the folder was made for.
        stored: Hash,
        /// The genesis asked for.
        given: Hash,
    },
    /// The folder belongs to another chain of the same consortium.
    #[error("`{}` holds the chain `{stored}`, not `{given}`: give the folder of this chain, or an empty one", path.display())]
    OtherChain {
        /// The folder.
        path: PathBuf,
        /// The chain that the folder was made for.
        stored: Slug,
        /// The chain asked for.
        given: Slug,
    },
    /// The state tree was made with another number of buckets.
    #[error("`{}` was made with state_bucket_bits = {stored}, not {given}; it may never change: use the genesis it was made with", path.display())]
    OtherBucketBits {
        /// The folder.
        path: PathBuf,
        /// The bits that the folder was made with.
        stored: u8,
        /// The bits asked for.
        given: u8,
    },
    /// Written by a release with other stored formats.
    #[error("`{}` has format version {stored}; this release reads {supported}: use the release that wrote it", path.display())]
    OtherFormat {
        /// The folder.
        path: PathBuf,
        /// The version found.
        stored: u32,
        /// The version this software reads.
        supported: u32,
    },
    /// The settings themselves are out of bounds.
    #[error("state_bucket_bits is {0}; it must be 1 to 24")]
    BucketBits(u8),
    /// Another process has the folder open.
    #[error("`{}` is open in another process: stop that node first ({message})", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
        /// What RocksDB says.
        message: String,
    },
    /// There is no ledger to read.
    #[error("`{}` holds no ledger: give the folder of a node's ledger", path.display())]
    Absent {
        /// The folder.
        path: PathBuf,
    },
    /// Opened for reading only.
    #[error("the ledger was opened for reading only")]
    ReadOnly,
    /// The genesis state is written once, before the first block.
    #[error("the genesis state is already written")]
    AlreadyInitialised,
    /// The genesis state is written before the first block.
    #[error("the genesis state is not written yet: initialise the ledger before its first block")]
    NotInitialised,
    /// Not the next height.
    #[error("the block has height {given}; the next height is {expected}")]
    Height {
        /// The height that may be committed.
        expected: u64,
        /// The block's.
        given: u64,
    },
    /// A block of another chain.
    #[error("the block at height {height} names another genesis or chain")]
    OtherChainBlock {
        /// The block's height.
        height: u64,
    },
    /// The block does not follow the tip.
    #[error("the block at height {height} names parent {given}; the tip is {expected}")]
    Parent {
        /// The block's height.
        height: u64,
        /// The tip's hash.
        expected: Hash,
        /// The parent it names.
        given: Hash,
    },
    /// The ordering log goes backwards.
    #[error(
        "entry {index} (term {term}) of the ordering log does not follow the applied entry {applied_index} (term {applied_term})"
    )]
    RaftOrder {
        /// Applied before.
        applied_index: u64,
        /// Its term.
        applied_term: u64,
        /// The entry given.
        index: u64,
        /// Its term.
        term: u64,
    },
    /// The header's root is not the computed one.
    #[error("the header at height {height} has {root} {given}; this ledger computes {expected}")]
    Root {
        /// The block's height.
        height: u64,
        /// `state_root`, `history_root`, `voter_set` or `next_voter_set`.
        root: &'static str,
        /// Computed here.
        expected: Hash,
        /// In the header.
        given: Hash,
    },
    /// One receipt a transaction.
    #[error("{receipts} receipts were given for {transactions} transactions")]
    ReceiptCount {
        /// Receipts given.
        receipts: usize,
        /// Transactions in the block.
        transactions: usize,
    },
    /// State writes must be in ascending order of key, each key once.
    #[error("the state writes are not in ascending order of key, each key once")]
    WritesUnsorted,
    /// Prepared against a state that is no longer the latest.
    #[error("the prepared state belongs to an earlier height: prepare it again")]
    StalePreparedState,
    /// The voter set after this block's epoch has a fixed number.
    #[error("the voters are of epoch {given}; expected {expected}")]
    VoterSetEpoch {
        /// The epoch that follows from the parent.
        expected: u64,
        /// The set's or header's.
        given: u64,
    },
    /// A signature or certificate for a height that is not held.
    #[error("height {height} is not held here; the tip is {tip}")]
    BeyondTip {
        /// The height asked about.
        height: u64,
        /// The tip's.
        tip: u64,
    },
    /// A signature or certificate that names another header than the one held.
    #[error("the header at height {height} is {expected} here; {given} was given")]
    OtherHeader {
        /// The height.
        height: u64,
        /// The header held here.
        expected: Hash,
        /// The header named.
        given: Hash,
    },
    /// A voter never signs two headers at a height, nor goes back.
    #[error("a header at height {last} was already signed; signing another at height {given} is refused")]
    AlreadySigned {
        /// The highest height signed.
        last: u64,
        /// The height asked for.
        given: u64,
    },
    /// A stored value is missing or cannot be what was written.
    #[error(
        "the ledger is damaged in `{column}` at {place}: {problem}; a node that meets this repairs itself from its peers, `galen ledger verify` says what else is wrong"
    )]
    Damaged {
        /// The column family.
        column: &'static str,
        /// The key.
        place: String,
        /// What is wrong.
        problem: String,
    },
    /// Stored bytes are not those that were written, or the medium does not give them back: RocksDB's checksums say so.
    #[error(
        "the ledger is damaged in `{column}` at {place}, its bytes cannot be read: {problem}; a node that meets this repairs itself from its peers, `galen ledger verify` says what else is wrong"
    )]
    Unreadable {
        /// The column family, or `files` where RocksDB does not say which.
        column: &'static str,
        /// The key, the height, or the folder.
        place: String,
        /// RocksDB's words.
        problem: String,
    },
    /// RocksDB failed to read or open.
    #[error("reading the ledger failed: {0}")]
    Read(String),
    /// A write failed: its outcome is unknown, so nothing may be written any more.
    #[error("writing the ledger failed, the node must stop: {0}; check the disk, then start it again")]
    Write(String),
    /// A write failed before.
    #[error("the ledger stopped after a failed write: {0}; check the disk, then start the node again")]
    Stopped(String),
}

impl LedgerError {
    /// A stable code for interfaces and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::OtherGenesis { .. } => "ledger-other-genesis",
            Self::OtherChain { .. } => "ledger-other-chain",
            Self::OtherBucketBits { .. } => "ledger-other-bucket-bits",
            Self::OtherFormat { .. } => "ledger-other-format",
            Self::BucketBits(_) => "ledger-bucket-bits",
            Self::Locked { .. } => "ledger-locked",
            Self::Absent { .. } => "ledger-absent",
            Self::ReadOnly => "ledger-read-only",
            Self::AlreadyInitialised => "ledger-already-initialised",
            Self::NotInitialised => "ledger-not-initialised",
            Self::Height { .. } => "ledger-height",
            Self::OtherChainBlock { .. } => "ledger-other-chain-block",
            Self::Parent { .. } => "ledger-parent",
            Self::RaftOrder { .. } => "ledger-raft-order",
            Self::Root { .. } => "ledger-root",
            Self::ReceiptCount { .. } => "ledger-receipt-count",
            Self::WritesUnsorted => "ledger-writes-unsorted",
            Self::StalePreparedState => "ledger-stale-prepared-state",
            Self::VoterSetEpoch { .. } => "ledger-voter-set-epoch",
            Self::BeyondTip { .. } => "ledger-beyond-tip",
            Self::OtherHeader { .. } => "ledger-other-header",
            Self::AlreadySigned { .. } => "ledger-already-signed",
            Self::Damaged { .. } => "ledger-damaged",
            Self::Unreadable { .. } => "ledger-unreadable",
            Self::Read(_) => "ledger-read",
            Self::Write(_) => "ledger-write",
            Self::Stopped(_) => "ledger-stopped",
        }
    }

    /// Whether the process must stop: the disk fails or its content is not what was written. Everything else is a
    /// refusal that changed nothing.
    pub fn is_fatal(&self) -> bool {
        self.is_damage() || matches!(self, Self::Read(_) | Self::Write(_) | Self::Stopped(_))
    }

    /// Whether stored bytes are not those that were written: the ledger must not be served or signed from any more, and is
    /// to be fetched from others.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Unreadable { .. })
    }
}
