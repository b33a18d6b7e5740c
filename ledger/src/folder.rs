//! Files and folders that are whole or absent: written aside, synced, renamed, and their folder synced.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::halt::Halt;
use crate::snapshot::SnapshotError;

/// Adds what was being done to an error of the file system.
pub(crate) fn failed(path: &Path, what: &str) -> impl Fn(std::io::Error) -> SnapshotError {
    let (path, what) = (path.to_owned(), what.to_owned());
    move |error| SnapshotError::Files { path: path.clone(), problem: format!("{what}: {error}") }
}

/// A folder's name with something appended: its sibling.
pub(crate) fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Makes the entries of a folder durable: what was created, renamed or removed in it.
pub(crate) fn sync_folder(path: &Path) -> Result<(), SnapshotError> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path).and_then(|folder| folder.sync_all()).map_err(failed(path, "it cannot be synced"))
}

/// Makes the entry of a file or folder in the folder above durable.
pub(crate) fn sync_parent(path: &Path) -> Result<(), SnapshotError> {
    path.parent().map_or(Ok(()), sync_folder)
}

/// Creates a folder and those above it, durably.
pub(crate) fn create(path: &Path) -> Result<(), SnapshotError> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.is_dir();
    let missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
    fs::create_dir_all(path).map_err(failed(path, "it cannot be created"))?;
    missing.into_iter().try_for_each(sync_parent)?;
    // Its own name too where it was there: a crash may have come before it was synced.
    sync_parent(path)
}

/// Removes a folder with all that is in it; one that is absent is no error.
pub(crate) fn remove(path: &Path) -> Result<(), SnapshotError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(path, "it cannot be removed")(error)),
        _ => Ok(()),
    }
}

/// Renames durably. Both are in one folder.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), SnapshotError> {
    fs::rename(from, to).map_err(failed(from, &format!("it cannot be renamed to `{}`", to.display())))?;
    sync_parent(to)
}

/// Writes a file so that after a crash it is there with all its bytes, or as it was before.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), SnapshotError> {
    let aside = sibling(path, ".tmp");
    let written = File::create(&aside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(failed(&aside, "it cannot be written"))?;
    rename(&aside, path)
}

/// Reads a file of at most `limit` bytes; `None` when it is absent.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Option<Vec<u8>>, SnapshotError> {
    let size = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path, "it cannot be read")(error)),
    };
    if size > limit as u64 {
        let problem = format!("it has {size} bytes, at most {limit} are read");
        return Err(SnapshotError::Files { path: path.to_owned(), problem });
    }
    fs::read(path).map(Some).map_err(failed(path, "it cannot be read"))
}

/// The names in a folder; none when it is absent.
pub(crate) fn names(path: &Path) -> Result<Vec<String>, SnapshotError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(path, "it cannot be listed")(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed(path, "it cannot be listed"))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// Copies the files of a flat folder into a new one, synced: independent of the originals, unlike hard links.
pub(crate) fn copy_files(from: &Path, to: &Path, halt: &Halt) -> Result<(), SnapshotError> {
    create(to)?;
    for name in names(from)? {
        // Each process that opens a store makes these anew.
        if name == "LOCK" || name.starts_with("LOG") {
            continue;
        }
        halt.look()?;
        let target = to.join(&name);
        fs::copy(from.join(&name), &target).map_err(failed(&target, "it cannot be written"))?;
        File::open(&target).and_then(|file| file.sync_all()).map_err(failed(&target, "it cannot be synced"))?;
    }
    sync_folder(to)
}
