//! Why a snapshot, its installation, a backup or a restore is refused or fails.

use std::path::PathBuf;

use galen_types::Hash;

use crate::error::LedgerError;

/// Why a snapshot, its installation, a backup or a restore is refused or fails. Nothing that was there before is lost.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SnapshotError {
    /// The ledger refuses or fails.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The file system refuses or fails.
    #[error("`{}`: {problem}; check free space and permissions, then try again", path.display())]
    Files {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, and what the system says.
        problem: String,
    },
    /// A copy of the ledger could not be made.
    #[error("the ledger cannot be copied to `{}`: {problem}; check free space, then try again", path.display())]
    Copy {
        /// Where to.
        path: PathBuf,
        /// What RocksDB says.
        problem: String,
    },
    /// Before the first block there is nothing that a certificate could cover.
    #[error("the chain has no block yet: a snapshot or backup needs one")]
    NoBlock,
    /// There is no such snapshot or backup.
    #[error("`{}` holds no snapshot or backup: give the folder of one", path.display())]
    Absent {
        /// The folder.
        path: PathBuf,
    },
    /// Whoever asked for it has no use for it any more, or the node stops or starts anew.
    #[error("it was broken off because the node stops or starts anew; try again")]
    Halted,
    /// A copy that does not agree with itself; it is not announced.
    #[error("the copy at height {height} is not sound: {problem}; run `galen ledger verify` on the original")]
    Unsound {
        /// Its height.
        height: u64,
        /// What does not agree.
        problem: String,
    },
    /// A manifest that contradicts itself or its header.
    #[error("the snapshot's manifest is not sound: {0}; ask another peer")]
    Manifest(&'static str),
    /// A part that is not the one that the manifest names.
    #[error("part {index} of the snapshot is not the one that its manifest names: {problem}; ask another peer for it")]
    Part {
        /// Its place, from 0.
        index: u32,
        /// What differs.
        problem: String,
    },
    /// Parts are still missing.
    #[error("{missing} parts of the snapshot are missing: fetch them first")]
    Incomplete {
        /// How many.
        missing: usize,
    },
    /// All parts are those of the manifest, and yet not the state that the header names: whoever made it is wrong.
    #[error(
        "the snapshot's rows give state root {computed}, its certified header names {expected}: discard it and ask a peer that offers another"
    )]
    Root {
        /// In the header.
        expected: Hash,
        /// From the rows.
        computed: Hash,
    },
    /// The voter sets given do not lead to those that the header names.
    #[error("the voter sets given do not lead to the one that the snapshot's header names: {0}")]
    VoterSets(&'static str),
    /// The way from the genesis to the snapshot has more epochs than are followed.
    #[error("the proof of the snapshot's header has {bytes} bytes, at most {most} are taken: catch up block by block")]
    ProofTooLong {
        /// Its bytes.
        bytes: usize,
        /// How many are taken.
        most: usize,
    },
    /// The ledger that would be replaced is as far or farther.
    #[error("the ledger is at height {tip} already, the snapshot at {height}: nothing to install")]
    NotAhead {
        /// The ledger's tip.
        tip: u64,
        /// The snapshot's height.
        height: u64,
    },
    /// A restore goes into an empty or absent folder only.
    #[error("`{}` is not empty: move it away first; a restore never overwrites", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A backup that is not what its own description says.
    #[error("the backup in `{}` is not sound: {problem}; use another one", path.display())]
    Backup {
        /// The folder.
        path: PathBuf,
        /// What differs.
        problem: String,
    },
}

impl SnapshotError {
    /// A stable code for interfaces and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ledger(error) => error.code(),
            Self::Files { .. } => "snapshot-files",
            Self::Copy { .. } => "snapshot-copy",
            Self::NoBlock => "snapshot-no-block",
            Self::Halted => "snapshot-halted",
            Self::Absent { .. } => "snapshot-absent",
            Self::Unsound { .. } => "snapshot-unsound",
            Self::Manifest(_) => "snapshot-manifest",
            Self::Part { .. } => "snapshot-part",
            Self::Incomplete { .. } => "snapshot-incomplete",
            Self::Root { .. } => "snapshot-root",
            Self::VoterSets(_) => "snapshot-voter-sets",
            Self::ProofTooLong { .. } => "snapshot-proof-too-long",
            Self::NotAhead { .. } => "snapshot-not-ahead",
            Self::NotEmpty { .. } => "restore-not-empty",
            Self::Backup { .. } => "backup-unsound",
        }
    }

    /// Whether the whole snapshot is wrong, so that none of its parts is of use.
    pub fn refutes_snapshot(&self) -> bool {
        matches!(self, Self::Manifest(_) | Self::Root { .. })
    }

    /// Whether what a peer sent is to blame: discard it and ask another.
    pub fn blames_peer(&self) -> bool {
        matches!(self, Self::Manifest(_) | Self::Part { .. } | Self::Root { .. })
    }
}
