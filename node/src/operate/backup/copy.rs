//! Copying a home's files into a backup and out of it, synced. What cannot be copied is an error: a backup in which
//! something is missing is noticed when it is too late.

use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::BackupError;
use crate::operate::files::{FileError, create_folder};

/// Copies all but one file.
pub(super) struct Copier {
    /// The device and inode of a file that is never copied.
    never: Option<(u64, u64)>,
}

impl Copier {
    /// Copies whatever it is told, wherever in it, but for this file.
    pub(super) fn without(file: Option<&Path>) -> Self {
        let metadata = file.and_then(|file| file.metadata().ok());
        Self { never: metadata.map(|metadata| (metadata.dev(), metadata.ino())) }
    }

    /// Copies a file, or a folder with all that is in it, or what a link that stands for it leads to; one that is not there
    /// is passed over. A link that leads nowhere is an error: the disk that it names may not be mounted.
    pub(super) fn copy(&self, from: &Path, to: &Path) -> Result<(), BackupError> {
        if from.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return Ok(());
        }
        self.copy_any(from, &from.metadata().map_err(FileError::of(from))?, to)
    }

    fn copy_any(&self, from: &Path, metadata: &Metadata, to: &Path) -> Result<(), BackupError> {
        if metadata.is_file() {
            return Ok(self.copy_file(from, metadata, to)?);
        }
        if !metadata.is_dir() {
            return Err(BackupError::Unfit(from.to_path_buf()));
        }
        create_private(to)?;
        for entry in std::fs::read_dir(from).map_err(FileError::of(from))? {
            let entry = entry.map_err(FileError::of(from))?;
            let (path, target) = (entry.path(), to.join(entry.file_name()));
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // It went meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(FileError::of(&path)(error).into()),
            };
            if metadata.is_symlink() {
                let linked = path.metadata().map_err(FileError::of(&path))?;
                if !linked.is_file() {
                    return Err(BackupError::Unfit(path));
                }
                self.copy_file(&path, &linked, &target)?;
            } else {
                self.copy_any(&path, &metadata, &target)?;
            }
        }
        Ok(File::open(to).and_then(|folder| folder.sync_all()).map_err(FileError::of(to))?)
    }

    fn copy_file(&self, from: &Path, metadata: &Metadata, to: &Path) -> Result<(), FileError> {
        if self.never == Some((metadata.dev(), metadata.ino())) {
            return Ok(());
        }
        match std::fs::copy(from, to) {
            Ok(_) => File::open(to).and_then(|file| file.sync_all()).map_err(FileError::of(to)),
            // It went meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(FileError::of(from)(error)),
        }
    }
}

/// Makes a folder that only its owner enters, and those above it, durably. One that is another user's stays as it is.
pub(super) fn create_private(folder: &Path) -> Result<(), FileError> {
    create_folder(folder)?;
    match std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)) {
        Err(error) if error.kind() != ErrorKind::PermissionDenied => Err(FileError::of(folder)(error)),
        _ => Ok(()),
    }
}
