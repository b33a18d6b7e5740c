//! A simulated disk that can be told to lie.

use std::io;
use std::path::Path;

use galen_consensus::vfs::{SimVfs, Vfs, VfsFile};

#[derive(Clone, Default)]
pub(crate) struct Disk {
    pub(crate) sim: SimVfs,
    /// Mutant: `sync` does nothing and says that it did.
    pub(crate) lies: bool,
}

pub(crate) struct DiskFile {
    file: <SimVfs as Vfs>::File,
    lies: bool,
}

impl Vfs for Disk {
    type File = DiskFile;
    type Lock = <SimVfs as Vfs>::Lock;

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.sim.create_dir(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.sim.list(dir)
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.sim.read(path)
    }
    fn create(&self, path: &Path) -> io::Result<DiskFile> {
        Ok(DiskFile { file: self.sim.create(path)?, lies: self.lies })
    }
    fn open(&self, path: &Path) -> io::Result<DiskFile> {
        Ok(DiskFile { file: self.sim.open(path)?, lies: self.lies })
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.sim.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.sim.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<Self::Lock> {
        self.sim.lock(path)
    }
}

impl VfsFile for DiskFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.append(bytes)
    }
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }
    fn sync(&mut self) -> io::Result<()> {
        if self.lies { Ok(()) } else { self.file.sync() }
    }
}
