//! The file operations that the log needs, so that a simulation can lose what was not synced.

mod real;
mod sim;

use std::io;
use std::path::Path;

pub use real::RealVfs;
pub use sim::{Crash, Fault, SimVfs};

/// A folder of append-only files.
///
/// What a call did is durable only after [`VfsFile::sync`] (a file's bytes) or [`Vfs::sync_dir`] (which files exist).
pub trait Vfs {
    /// An open file.
    type File: VfsFile;
    /// Held while a folder is in use; dropped to release it.
    type Lock;

    /// Makes the folder and its parents.
    ///
    /// # Errors
    /// As the file system says.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// The names of the files in the folder, sorted.
    ///
    /// # Errors
    /// As the file system says.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// A file's bytes.
    ///
    /// # Errors
    /// As the file system says.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Makes a file that does not exist and opens it for appending.
    ///
    /// # Errors
    /// As the file system says; when the file exists.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// Opens a file that exists for appending.
    ///
    /// # Errors
    /// As the file system says; when there is none.
    fn open(&self, path: &Path) -> io::Result<Self::File>;

    /// Removes a file.
    ///
    /// # Errors
    /// As the file system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes created and removed names durable.
    ///
    /// # Errors
    /// As the file system says. The names' state is unknown then.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the folder for this process alone.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when another has it.
    fn lock(&self, path: &Path) -> io::Result<Self::Lock>;
}

/// A file open for appending.
pub trait VfsFile {
    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// As the file system says. A part may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file to `length` bytes.
    ///
    /// # Errors
    /// As the file system says.
    fn truncate(&mut self, length: u64) -> io::Result<()>;

    /// Makes the file's bytes durable. After an error the system may have dropped them and will not say so again: never
    /// retry (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).
    ///
    /// # Errors
    /// As the file system says.
    fn sync(&mut self) -> io::Result<()>;
}
