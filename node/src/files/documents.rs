//! A private folder of small documents, each there whole or not at all, also after a power cut. Names are made of hashes
//! and slugs, so that none leaves the folder. Calls block for a few disk syncs.

use std::fs::{DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use zeroize::Zeroizing;

/// Ends the name of an unfinished write.
const TEMPORARY_SUFFIX: &str = ".tmp";

/// A folder that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the folder {} cannot be used: {cause}", path.display())]
pub struct FolderError {
    /// Which.
    pub path: PathBuf,
    /// The system's words.
    pub cause: io::Error,
}

impl FolderError {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        "folder-unusable"
    }
}

/// The folder.
#[derive(Debug)]
pub(crate) struct Documents {
    folder: PathBuf,
    bytes_max: u64,
    writes: AtomicU64,
}

impl Documents {
    /// Opens the folder, which is made if it is not there, and deletes what a crash left unfinished. No document has more
    /// than `bytes_max` bytes.
    pub(crate) fn open(folder: PathBuf, bytes_max: u64) -> Result<Self, FolderError> {
        prepare(&folder).map_err(|cause| FolderError { path: folder.clone(), cause })?;
        Ok(Self { folder, bytes_max, writes: AtomicU64::new(0) })
    }

    /// Replaces a document; on return it is on the disk.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        if content.len() as u64 > self.bytes_max {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the document is too large"));
        }
        // Two writers of one document each have a temporary file of their own.
        let number = self.writes.fetch_add(1, Ordering::Relaxed);
        let temporary = self.folder.join(format!("{name}.{number}{TEMPORARY_SUFFIX}"));
        let written = self.write_through(&temporary, name, content);
        if written.is_err() {
            // What remains is deleted when the folder is opened again.
            let _ = std::fs::remove_file(&temporary);
        }
        written
    }

    fn write_through(&self, temporary: &Path, name: &str, content: &[u8]) -> io::Result<()> {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(temporary, self.folder.join(name))?;
        sync_folder(&self.folder)
    }

    /// A document, if it is there.
    pub(crate) fn read(&self, name: &str) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let file = match File::open(self.folder.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut content = Zeroizing::new(Vec::new());
        file.take(self.bytes_max.saturating_add(1)).read_to_end(&mut content)?;
        if content.len() as u64 > self.bytes_max {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the document is too large"));
        }
        Ok(Some(content))
    }

    /// Deletes a document; whether it was there.
    pub(crate) fn remove(&self, name: &str) -> io::Result<bool> {
        match std::fs::remove_file(self.folder.join(name)) {
            Ok(()) => sync_folder(&self.folder).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// How long ago a document was written, if it is there. One of the future is new.
    pub(crate) fn age(&self, name: &str) -> io::Result<Option<Duration>> {
        match std::fs::metadata(self.folder.join(name)) {
            Ok(found) => Ok(Some(found.modified()?.elapsed().unwrap_or_default())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The names of all documents.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            names.extend(entry?.file_name().into_string().ok().filter(|name| !name.ends_with(TEMPORARY_SUFFIX)));
        }
        Ok(names)
    }
}

fn prepare(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(TEMPORARY_SUFFIX) {
            std::fs::remove_file(entry.path())?;
        }
    }
    folder.parent().map_or(Ok(()), sync_folder)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_replaced_listed_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("private");
        let documents = Documents::open(path.clone(), 8).unwrap();
        documents.write("one", b"first").unwrap();
        documents.write("one", b"second").unwrap();
        assert_eq!(documents.read("one").unwrap().unwrap().as_slice(), b"second");
        assert_eq!(documents.write("two", b"too large").unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(documents.names().unwrap(), ["one"]);

        std::fs::write(path.join("three.0.tmp"), b"cut").unwrap();
        std::fs::write(path.join("four"), b"grown larger").unwrap();
        let documents = Documents::open(path.clone(), 8).unwrap();
        assert!(!path.join("three.0.tmp").exists());
        assert_eq!(documents.read("four").unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(documents.remove("one").unwrap());
        assert!(!documents.remove("one").unwrap());
        assert!(documents.read("one").unwrap().is_none());
    }
}
