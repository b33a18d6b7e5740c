//! Small private files that are there whole or not at all, also after a power cut, and whether they are private.

use std::fs::{DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::KeyError;

/// What an unfinished write is called: the target's name and this.
const TEMPORARY_SUFFIX: &str = ".tmp";

/// Makes a folder that only its owner can enter, if it is not there; refuses one that others can enter.
pub(crate) fn private_folder(path: &Path) -> Result<(), KeyError> {
    let missing: Vec<&Path> =
        path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed(path))?;
    missing.into_iter().try_for_each(sync_parent)?;
    let mode = path.metadata().map_err(failed(path))?.permissions().mode();
    check_mode(path, mode, "700")
}

/// Reads a file that only its owner can read, of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let file = File::open(path).map_err(failed(path))?;
    check_mode(path, file.metadata().map_err(failed(path))?.permissions().mode(), "600")?;
    // Room from the start: growing would leave a copy of a secret behind.
    let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(limit).unwrap_or(0) + 1));
    file.take(limit + 1).read_to_end(&mut content).map_err(failed(path))?;
    if content.len() as u64 > limit {
        return Err(KeyError::Damaged { path: path.to_owned(), reason: format!("it is longer than {limit} bytes") });
    }
    Ok(content)
}

/// Writes a file that only its owner can read, replacing the old one only once the new one is on the disk.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), KeyError> {
    let temporary = write_temporary(path, content)?;
    std::fs::rename(&temporary, path).map_err(failed(path))?;
    sync_parent(path)
}

/// Writes a new file that only its owner can read; whether there was none of this name before.
pub(crate) fn create(path: &Path, content: &[u8]) -> Result<bool, KeyError> {
    let temporary = write_temporary(path, content)?;
    // A hard link, unlike a rename, never replaces.
    let linked = std::fs::hard_link(&temporary, path);
    std::fs::remove_file(&temporary).map_err(failed(&temporary))?;
    match linked {
        Ok(()) => sync_parent(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed(path)(error)),
    }
}

fn write_temporary(path: &Path, content: &[u8]) -> Result<PathBuf, KeyError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(TEMPORARY_SUFFIX);
    let temporary = PathBuf::from(temporary);
    // A left-over of a crash may have other permissions: made anew.
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&temporary)(error)),
        _ => {}
    }
    let write = || {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(failed(&temporary))?;
    Ok(temporary)
}

fn sync_parent(path: &Path) -> Result<(), KeyError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    sync_folder(parent).map_err(failed(parent))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn check_mode(path: &Path, mode: u32, fix: &'static str) -> Result<(), KeyError> {
    let mode = mode & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(KeyError::OpenToOthers { path: path.to_owned(), mode, fix }) }
}

pub(crate) fn failed(path: &Path) -> impl Fn(io::Error) -> KeyError {
    move |source| KeyError::Io { path: path.to_owned(), source }
}
