//! Snapshots: copies of a running ledger at the end of a block, checked, kept beside it, and served in parts.
//!
//! ```text
//! snapshots/             given by the caller
//! ├── 12000/             the height
//! │   ├── db/            the copy: RocksDB's files, hard links where possible
//! │   └── index          manifest and where each part starts
//! ├── taking/            one that is being made; left by a crash, removed at the next or by [`tidy`]
//! └── removing/          one that is being removed
//! ```
//!
//! A copy waits for no block and holds the next one up only while RocksDB links its files: what is in memory is flushed
//! before. It is opened read-only and checked whole (applied height, header, history, every row of the state against its
//! tree, the tree against the header's state root) before its folder gets its name.

pub(crate) mod check;
mod error;
mod manifest;
mod source;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use error::SnapshotError;
pub use manifest::{BaseProof, EpochEnd, EpochEndProof, Manifest, Part, PartDigest};
pub use source::SnapshotSource;

use crate::constants::SNAPSHOT_PART_BYTES;
use crate::folder;
use crate::ledger::Ledger;

/// The copy, in a snapshot's folder.
const DATABASE: &str = "db";
/// What serving needs, in a snapshot's folder.
const INDEX: &str = "index";
/// A snapshot that is being made, in the folder of snapshots.
const TAKING: &str = "taking";
/// A snapshot that is being removed, in the folder of snapshots.
const REMOVING: &str = "removing";

/// A snapshot that was taken.
#[derive(Debug, Clone)]
pub struct Taken {
    /// Its folder.
    pub path: PathBuf,
    /// What it holds.
    pub manifest: Manifest,
    /// For how long the next block had to wait.
    pub paused: Duration,
}

/// Takes a snapshot of a running ledger at its tip into a folder of snapshots. The tip need not be certified yet; serve
/// it only once it is. Takes long on a large state (it reads all of it), but holds no block up meanwhile. One at a time.
///
/// # Errors
/// [`SnapshotError::NoBlock`] before the first block; [`SnapshotError::Unsound`] when the copy does not agree with itself;
/// when the disk refuses. Nothing is left behind that [`list`] would show.
pub fn take(ledger: &Ledger, snapshots: &Path) -> Result<Taken, SnapshotError> {
    take_in_parts(ledger, snapshots, SNAPSHOT_PART_BYTES)
}

/// [`take`] with parts of about so many bytes, so that a simulated ledger, which is small, has several. All nodes must cut
/// alike: a transfer goes on at another peer.
///
/// # Errors
/// As [`take`].
pub fn take_in_parts(ledger: &Ledger, snapshots: &Path, part_bytes: usize) -> Result<Taken, SnapshotError> {
    if ledger.tip()?.height == 0 {
        return Err(SnapshotError::NoBlock);
    }
    folder::create(snapshots)?;
    let taking = snapshots.join(TAKING);
    folder::remove(&taking)?;
    folder::create(&taking)?;
    let (height, paused) = copy(ledger, &taking.join(DATABASE))?;
    let path = snapshots.join(height.to_string());
    if path.exists() {
        // Taken before at the same height.
        folder::remove(&taking)?;
        let manifest = SnapshotSource::open(&path)?.manifest().clone();
        return Ok(Taken { path, manifest, paused });
    }
    let manifest = source::index(&taking, &ledger.halt, part_bytes).inspect_err(|_| {
        // The reason it failed for is what counts; the next one removes what is left.
        let _ = folder::remove(&taking);
    })?;
    folder::sync_folder(&taking)?;
    folder::rename(&taking, &path)?;
    tracing::info!(height, rows = manifest.rows, bytes = manifest.bytes, ?paused, "a snapshot was taken");
    Ok(Taken { path, manifest, paused })
}

/// Copies a running ledger at the end of a block into a folder that does not exist; gives its height and for how long the
/// next block waited. Files that do not change are shared with the copy, which may be opened and written to.
///
/// # Errors
/// [`SnapshotError`] when the disk refuses.
pub fn copy(ledger: &Ledger, path: &Path) -> Result<(u64, Duration), SnapshotError> {
    // So that little is left in memory while blocks wait.
    ledger.store.flush()?;
    // A block holds this from its checks to the end of its write.
    let head = ledger.head()?;
    let started = Instant::now();
    let copied = ledger.store.checkpoint(path);
    let (height, paused) = (head.tip.height, started.elapsed());
    drop(head);
    copied.map_err(|problem| SnapshotError::Copy { path: path.to_owned(), problem })?;
    folder::sync_folder(path)?;
    folder::sync_parent(path)?;
    Ok((height, paused))
}

/// The ledger in the snapshot of a height, to be opened for reading only.
#[must_use]
pub fn database(snapshots: &Path, height: u64) -> PathBuf {
    snapshots.join(height.to_string()).join(DATABASE)
}

/// The heights of the snapshots in a folder, the newest last.
///
/// # Errors
/// When the folder cannot be listed.
pub fn list(snapshots: &Path) -> Result<Vec<u64>, SnapshotError> {
    let mut heights: Vec<u64> = folder::names(snapshots)?.iter().filter_map(|name| name.parse().ok()).collect();
    heights.sort_unstable();
    Ok(heights)
}

/// Removes what a crash left of snapshots that were being made or removed: its hard links keep files that the ledger has
/// long replaced. Only while no snapshot is being made.
///
/// # Errors
/// When the disk refuses.
pub fn tidy(snapshots: &Path) -> Result<(), SnapshotError> {
    [TAKING, REMOVING].iter().try_for_each(|name| folder::remove(&snapshots.join(name)))
}

/// Opens the snapshot of a height.
///
/// # Errors
/// As [`SnapshotSource::open`].
pub fn open(snapshots: &Path, height: u64) -> Result<SnapshotSource, SnapshotError> {
    SnapshotSource::open(&snapshots.join(height.to_string()))
}

/// Removes all but the newest `keep` snapshots; gives the heights removed. Close a [`SnapshotSource`] of a height that goes:
/// its parts can no longer be read.
///
/// # Errors
/// When a folder cannot be listed or removed.
pub fn remove_old(snapshots: &Path, keep: usize) -> Result<Vec<u64>, SnapshotError> {
    let mut heights = list(snapshots)?;
    heights.truncate(heights.len().saturating_sub(keep));
    for height in &heights {
        // First out of the list, so that a crash leaves no half of one in it.
        let path = snapshots.join(height.to_string());
        let doomed = snapshots.join(REMOVING);
        folder::remove(&doomed)?;
        folder::rename(&path, &doomed)?;
        folder::remove(&doomed)?;
    }
    Ok(heights)
}
