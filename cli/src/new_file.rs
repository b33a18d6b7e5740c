//! Files that a command makes for its user: there whole or not at all, also after a crash, and never in the place of
//! another.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::CliError;

/// A new file on its way. It has its name once [`NewFile::finish`] returned; until then it is called by its name, the
/// process's number and `.tmp`, and goes when this is dropped.
pub(crate) struct NewFile {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
}

impl NewFile {
    /// Begins a file where there is none.
    pub(crate) fn create(path: &Path) -> Result<Self, CliError> {
        let failed = |error| CliError::file(path, &error);
        if path.symlink_metadata().is_ok() {
            let there = "it is there already and stays as it is: name another file";
            return Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, there)));
        }
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}.tmp", std::process::id()));
        let temporary = PathBuf::from(temporary);
        let file = File::create(&temporary).map_err(failed)?;
        Ok(Self { path: path.to_owned(), temporary, file })
    }

    /// Gives the file its name, durably. One that came there meanwhile stays, and this is an error.
    pub(crate) fn finish(self) -> Result<(), CliError> {
        let place = || {
            self.file.sync_all()?;
            // A hard link, unlike a rename, never replaces.
            std::fs::hard_link(&self.temporary, &self.path)?;
            std::fs::remove_file(&self.temporary)?;
            sync_folder_of(&self.path)
        };
        place().map_err(|error| CliError::file(&self.path, &error))
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // It is gone already where it was finished.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

/// Makes a folder and those above it that are not there, durably.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.is_dir();
    let missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
    std::fs::create_dir_all(path)?;
    missing.into_iter().try_for_each(sync_folder_of)
}

/// Makes a name in a folder durable.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_name_once_it_is_whole_and_takes_no_other_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proof");
        let mut file = NewFile::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        assert!(!path.exists());
        drop(file);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left of a half");
        let (mut first, second) = (NewFile::create(&path).unwrap(), NewFile::create(&path).unwrap());
        first.write_all(b"whole").unwrap();
        first.finish().unwrap();
        assert!(second.finish().is_err());
        assert!(NewFile::create(&path).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
