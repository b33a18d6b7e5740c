//! Room on the disk for a snapshot: a node that fills its disk stops, so it does not begin what cannot end.

use std::path::Path;

use galen_ledger::snapshot::Manifest;

/// Bytes that are left free for the ledger in use and the ordering log, which go on meanwhile.
pub(super) const SPARED_BYTES: u64 = 1 << 30;

/// Bytes per row of the state that the new ledger's tree takes beside the row, with what is sorted on the way to it: a
/// generous bound of what was measured.
const TREE_BYTES_PER_ROW: u64 = 256;

/// Bytes that must be free to go on with a snapshot of which so many bytes are still missing: these, the new ledger (its
/// rows are written twice, once to the log of its store), and what is spared.
pub(super) fn needed(manifest: &Manifest, missing_bytes: u64) -> u64 {
    let built = manifest.bytes.saturating_mul(2).saturating_add(manifest.rows.saturating_mul(TREE_BYTES_PER_ROW));
    missing_bytes.saturating_add(built).saturating_add(SPARED_BYTES)
}

/// Checks that a folder's disk has so many bytes free.
///
/// # Errors
/// What to do when it has not.
pub(super) fn check(folder: &Path, needed: u64) -> Result<(), String> {
    // The folder may not be there yet.
    let present = folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder);
    let stat = nix::sys::statvfs::statvfs(present).map_err(|error| format!("free space cannot be read: {error}"))?;
    enough(stat.blocks_available().saturating_mul(stat.fragment_size()), needed)
}

fn enough(free: u64, needed: u64) -> Result<(), String> {
    if free >= needed {
        return Ok(());
    }
    let (free, needed) = (free >> 20, needed.div_ceil(1 << 20));
    Err(format!("the snapshot needs {needed} MiB free on the disk, {free} MiB are: make room"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_not_begun_without_room_for_its_parts_and_its_ledger() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(check(&folder.path().join("not/yet/there"), 0), Ok(()));
        let error = check(folder.path(), u64::MAX).unwrap_err();
        assert!(error.contains("make room"), "{error}");
        assert_eq!(enough(5 << 20, 5 << 20), Ok(()));
        assert!(enough((5 << 20) - 1, 5 << 20).unwrap_err().contains("needs 5 MiB"));
    }
}
