//! `CURRENT`, the file that names RocksDB's list of its files (`MANIFEST-n`).
//!
//! At each opening RocksDB writes a new list, syncs its bytes, renames `CURRENT` to name it, and syncs the folder only then.
//! On a disk that keeps a folder's later change without an earlier one, a loss of power in between leaves `CURRENT` naming a
//! list that is not there, and beside it the former list, whole: that one is removed after the folder is synced. File systems
//! that write a folder's changes in order do not do this; POSIX permits it.

use std::fs;
use std::path::Path;

use super::FILES;
use crate::error::LedgerError;
use crate::folder;

const CURRENT: &str = "CURRENT";
const LIST: &str = "MANIFEST-";
/// RocksDB's file holds a name and a line end.
const CURRENT_BYTES_MAX: usize = 64;

/// Whether RocksDB has made a store in this folder.
pub(crate) fn is_store(path: &Path) -> bool {
    path.join(CURRENT).is_file()
}

/// Before RocksDB opens a folder for writing: has `CURRENT` name a list that is there.
///
/// # Errors
/// [`LedgerError::Unreadable`] when `CURRENT` or the folder cannot be read, or `CURRENT` is missing where there are table
/// files: RocksDB would take the folder for an empty one and remove them. What else is wrong RocksDB says itself.
pub(super) fn settle(path: &Path) -> Result<(), LedgerError> {
    let unreadable = |problem: &str| LedgerError::Unreadable {
        column: FILES,
        place: path.display().to_string(),
        problem: problem.to_owned(),
    };
    if !path.is_dir() {
        return Ok(());
    }
    // Read before the folder is listed: in a folder that another process has open, and where this one is refused later, the
    // list may change meanwhile.
    let current = folder::read(&path.join(CURRENT), CURRENT_BYTES_MAX);
    let current = current.map_err(|error| unreadable(&error.to_string()))?;
    let names = names_in(path).map_err(|error| unreadable(&format!("the folder cannot be listed: {error}")))?;
    let Some(current) = current else {
        // A new store makes its own name durable before any table file.
        let tables = names.iter().filter(|name| name.ends_with(".sst")).count();
        return match tables {
            0 => Ok(()),
            _ => Err(unreadable(&format!("the file CURRENT is missing beside {tables} table files"))),
        };
    };
    let Some(named) = std::str::from_utf8(&current).ok().map(str::trim_end).and_then(number) else { return Ok(()) };
    let lists = names.iter().filter_map(|name| Some((number(name)?, name)));
    let Some((newest, name)) = lists.filter(|(number, _)| *number <= named).max() else { return Ok(()) };
    if newest == named {
        return Ok(());
    }
    tracing::warn!(path = %path.display(), named, newest, "the loss of power in a store's opening is made good: CURRENT names the former list of files");
    folder::write(&path.join(CURRENT), format!("{name}\n").as_bytes())
        .map_err(|error| LedgerError::Write(error.to_string()))
}

fn names_in(folder: &Path) -> std::io::Result<Vec<String>> {
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect()
}

/// A list's number.
fn number(name: &str) -> Option<u64> {
    name.strip_prefix(LIST)?.parse().ok()
}
