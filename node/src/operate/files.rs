//! Small files of a home, written all or nothing.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A file or folder of a home that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {cause}")]
pub struct FileError {
    /// Which.
    pub path: PathBuf,
    /// The system's words.
    pub cause: std::io::Error,
}

impl FileError {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        "home-file"
    }

    pub(crate) fn of(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |cause| Self { path, cause }
    }
}

/// What a file is called until it is whole: its name and this.
pub const UNFINISHED_SUFFIX: &str = ".new";

/// Writes a file so that after a crash it is there whole, as before, or not at all; readable by the owner only.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let written = || -> std::io::Result<()> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(UNFINISHED_SUFFIX);
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        sync_folder(path)
    };
    written().map_err(FileError::of(path))
}

/// Makes a folder that only its owner enters, and those above it that are not there, durably: every name that was made is
/// synced in the folder above it.
pub(crate) fn create_folder(path: &Path) -> Result<(), FileError> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.is_dir();
    let missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
    let created = || -> std::io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        missing.into_iter().try_for_each(sync_folder)
    };
    created().map_err(FileError::of(path))
}

/// Removes a file, durably; one that is not there is no error.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Ok(()) => sync_folder(path).map_err(FileError::of(path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(FileError::of(path)(error)),
    }
}

/// Makes a change of a folder's entries durable.
pub(crate) fn sync_folder(entry: &Path) -> std::io::Result<()> {
    match entry.parent() {
        // A bare name lies in the working folder.
        Some(folder) if folder.as_os_str().is_empty() => std::fs::File::open(".")?.sync_all(),
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
