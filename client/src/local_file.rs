//! Local files that are there whole or not at all.

use std::path::{Path, PathBuf};

use tokio::fs::{File, OpenOptions};

use crate::error::ClientError;

/// A file of its own that only its owner can read and that is deleted when dropped, unless it was kept.
#[derive(Debug)]
pub(crate) struct TemporaryFile {
    path: PathBuf,
    kept: bool,
}

impl TemporaryFile {
    /// Makes an empty file in a folder.
    pub(crate) async fn create(folder: &Path) -> Result<(Self, File), ClientError> {
        let mut random = [0; 8];
        getrandom::fill(&mut random)?;
        let path = folder.join(format!(".galen-{:016x}.tmp", u64::from_le_bytes(random)));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        options.mode(0o600);
        let file = options.open(&path).await.map_err(|source| ClientError::io(&path, source))?;
        Ok((Self { path, kept: false }, file))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its final name once its content is on the disk; a file of that name is replaced.
    pub(crate) async fn keep_as(mut self, file: File, target: &Path) -> Result<(), ClientError> {
        file.sync_all().await.map_err(|source| ClientError::io(&self.path, source))?;
        drop(file);
        tokio::fs::rename(&self.path, target).await.map_err(|source| ClientError::io(target, source))?;
        self.kept = true;
        let folder = folder_of(target);
        let sync = async { File::open(folder).await?.sync_all().await };
        sync.await.map_err(|source| ClientError::io(folder, source))
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if !self.kept {
            // Nothing more can be done about a file that cannot be deleted; its name says what it is.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The folder that a file lies in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
