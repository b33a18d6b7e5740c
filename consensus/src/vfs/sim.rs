//! Files in memory that remember what was synced, for tests and simulations.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Vfs, VfsFile};

/// What a crash leaves of the writes that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// Nothing.
    DropAll,
    /// Everything: the process died, the machine did not.
    KeepAll,
    /// By the seed, for each file: none, some from the front, the next one torn at a byte, or the right size with
    /// sectors of zeros; and some of the unsynced names.
    Random(u64),
}

/// An error to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The disk is full after this many more bytes.
    FullAfter(u64),
    /// After this many more syncs that succeed, one fails, and drops what it should have written.
    SyncFails(u32),
    /// The next sync does not come to its end: what it should have written is at the mercy of the crash that follows.
    SyncCut,
}

/// A disk in memory. Clones are the same disk.
///
/// ```
/// use galen_consensus::vfs::{Crash, SimVfs, Vfs, VfsFile};
/// use std::path::Path;
///
/// let disk = SimVfs::default();
/// let mut file = disk.create(Path::new("log/1")).unwrap();
/// file.append(b"synced").unwrap();
/// file.sync().unwrap();
/// disk.sync_dir(Path::new("log")).unwrap();
/// file.append(b", not synced").unwrap();
/// disk.crash(Crash::DropAll);
/// assert_eq!(disk.read(Path::new("log/1")).unwrap(), b"synced");
/// ```
#[derive(Debug, Clone, Default)]
pub struct SimVfs {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug, Default)]
struct Disk {
    files: BTreeMap<PathBuf, File>,
    /// Names that a crash would leave, and the file behind each.
    durable_names: BTreeMap<PathBuf, File>,
    locks: BTreeSet<PathBuf>,
    /// Counts crashes: handles and locks from before one are void.
    epoch: u64,
    full_after: Option<u64>,
    sync_fails: Option<u32>,
    sync_cut: bool,
    syncs: u64,
    last_append: usize,
}

type File = Arc<Mutex<Content>>;

#[derive(Debug, Default)]
struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Appended since the last sync, in order; empty after a truncation, which is kept whole or not at all.
    unsynced: Vec<Vec<u8>>,
    truncated: bool,
}

/// An open simulated file.
#[derive(Debug)]
pub struct SimFile {
    disk: Arc<Mutex<Disk>>,
    file: File,
    epoch: u64,
}

/// A simulated lock.
#[derive(Debug)]
pub struct SimLock {
    disk: Arc<Mutex<Disk>>,
    path: PathBuf,
    epoch: u64,
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimVfs {
    /// Ends the process, and the machine unless [`Crash::KeepAll`]. Open files and locks are void.
    pub fn crash(&self, crash: Crash) {
        let mut disk = hold(&self.disk);
        disk.epoch += 1;
        disk.locks.clear();
        disk.full_after = None;
        disk.sync_fails = None;
        disk.sync_cut = false;
        let mut random = Random(match crash {
            Crash::Random(seed) => seed,
            _ => 0,
        });
        let names = match crash {
            Crash::KeepAll => disk.files.clone(),
            Crash::DropAll => disk.durable_names.clone(),
            Crash::Random(_) => {
                let mut kept = disk.durable_names.clone();
                for (path, file) in &disk.files {
                    if !kept.contains_key(path) && random.below(2) == 0 {
                        kept.insert(path.clone(), file.clone());
                    }
                }
                let removed: Vec<PathBuf> =
                    disk.durable_names.keys().filter(|path| !disk.files.contains_key(*path)).cloned().collect();
                for path in removed {
                    if random.below(2) == 0 {
                        kept.remove(&path);
                    }
                }
                kept
            }
        };
        for file in names.values() {
            hold(file).crash(crash, &mut random);
        }
        disk.files.clone_from(&names);
        disk.durable_names = names;
    }

    /// Arranges an error; each kind once.
    pub fn inject(&self, fault: Fault) {
        let mut disk = hold(&self.disk);
        match fault {
            Fault::FullAfter(bytes) => disk.full_after = Some(bytes),
            Fault::SyncFails(after) => disk.sync_fails = Some(after),
            Fault::SyncCut => disk.sync_cut = true,
        }
    }

    /// Replaces a file's bytes, durably: damage by the medium.
    pub fn overwrite(&self, path: &Path, bytes: Vec<u8>) {
        let mut disk = hold(&self.disk);
        let file = File::new(Mutex::new(Content { now: bytes.clone(), synced: bytes, ..Content::default() }));
        disk.files.insert(path.to_owned(), file.clone());
        disk.durable_names.insert(path.to_owned(), file);
    }

    /// A copy of the disk as [`Crash::DropAll`] would leave it; this one goes on.
    #[must_use]
    pub fn durable_copy(&self) -> SimVfs {
        let copy = SimVfs::default();
        for (path, file) in &hold(&self.disk).durable_names {
            copy.overwrite(path, hold(file).synced.clone());
        }
        copy
    }

    /// Bytes of the last append to any file.
    #[must_use]
    pub fn last_append(&self) -> usize {
        hold(&self.disk).last_append
    }

    /// Syncs of files so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        hold(&self.disk).syncs
    }
}

impl Content {
    fn remember(&mut self) {
        if self.truncated {
            self.synced.clone_from(&self.now);
        } else {
            let new = self.now.get(self.synced.len()..).unwrap_or_default();
            self.synced.extend_from_slice(new);
        }
        self.unsynced.clear();
        self.truncated = false;
    }

    fn crash(&mut self, crash: Crash, random: &mut Random) {
        match crash {
            Crash::KeepAll => {}
            Crash::DropAll => self.now.clone_from(&self.synced),
            Crash::Random(_) => {
                if self.truncated {
                    if random.below(2) == 0 {
                        self.now.clone_from(&self.synced);
                    }
                } else {
                    self.now = self.torn(random);
                }
            }
        }
        self.synced.clone_from(&self.now);
        self.unsynced.clear();
        self.truncated = false;
    }

    fn torn(&self, random: &mut Random) -> Vec<u8> {
        let mut left = self.synced.clone();
        let whole = random.below(self.unsynced.len() + 1);
        for write in self.unsynced.iter().take(whole) {
            left.extend_from_slice(write);
        }
        let Some(torn) = self.unsynced.get(whole) else {
            return left;
        };
        match random.below(3) {
            0 => {}
            1 => left.extend_from_slice(torn.get(..random.below(torn.len() + 1)).unwrap_or_default()),
            _ => {
                // The size made it to the disk, some sectors did not.
                let start = left.len();
                left.extend_from_slice(torn);
                let end = left.len();
                let mut sector = start / SECTOR * SECTOR;
                while sector < end {
                    if random.below(2) == 0
                        && let Some(lost) = left.get_mut(sector.max(start)..(sector + SECTOR).min(end))
                    {
                        lost.fill(0);
                    }
                    sector += SECTOR;
                }
            }
        }
        left
    }
}

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        usize::try_from(z % (bound.max(1) as u64)).unwrap_or(0)
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl SimVfs {
    fn handle(&self, file: File, epoch: u64) -> SimFile {
        SimFile { disk: self.disk.clone(), file, epoch }
    }
}

impl Vfs for SimVfs {
    type File = SimFile;
    type Lock = SimLock;

    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let disk = hold(&self.disk);
        let inside = disk.files.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let disk = hold(&self.disk);
        disk.files.get(path).map(|file| hold(file).now.clone()).ok_or_else(missing)
    }

    fn create(&self, path: &Path) -> io::Result<SimFile> {
        let mut disk = hold(&self.disk);
        if disk.files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = File::default();
        disk.files.insert(path.to_owned(), file.clone());
        Ok(self.handle(file, disk.epoch))
    }

    fn open(&self, path: &Path) -> io::Result<SimFile> {
        let disk = hold(&self.disk);
        let file = disk.files.get(path).cloned().ok_or_else(missing)?;
        Ok(self.handle(file, disk.epoch))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        hold(&self.disk).files.remove(path).map(|_| ()).ok_or_else(missing)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = hold(&self.disk);
        let inside = |path: &Path| path.parent() == Some(dir);
        disk.durable_names.retain(|path, _| !inside(path));
        let files: Vec<_> =
            disk.files.iter().filter(|(path, _)| inside(path)).map(|(p, f)| (p.clone(), f.clone())).collect();
        disk.durable_names.extend(files);
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<SimLock> {
        let mut disk = hold(&self.disk);
        if !disk.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(SimLock { disk: self.disk.clone(), path: path.to_owned(), epoch: disk.epoch })
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut disk = hold(&self.disk);
        if disk.epoch == self.epoch {
            disk.locks.remove(&self.path);
        }
    }
}

impl SimFile {
    /// The disk, if this handle is not from before a crash.
    fn alive(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = hold(&self.disk);
        if disk.epoch == self.epoch { Ok(disk) } else { Err(io::Error::other("the machine has crashed")) }
    }
}

impl VfsFile for SimFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.alive()?;
        let room = disk.full_after.map_or(bytes.len(), |left| usize::try_from(left).unwrap_or(usize::MAX));
        let written = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        disk.full_after = disk.full_after.map(|left| left.saturating_sub(written.len() as u64));
        disk.last_append = bytes.len();
        let mut content = hold(&self.file);
        content.now.extend_from_slice(written);
        content.unsynced.push(written.to_vec());
        if written.len() < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let _disk = self.alive()?;
        let mut content = hold(&self.file);
        let length = usize::try_from(length).map_err(io::Error::other)?;
        content.now.resize(length, 0);
        content.unsynced.clear();
        content.truncated = true;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.alive()?;
        if std::mem::take(&mut disk.sync_cut) {
            return Err(io::Error::other("cut off"));
        }
        let mut content = hold(&self.file);
        if disk.sync_fails == Some(0) {
            disk.sync_fails = None;
            let synced = content.synced.clone();
            content.now = synced;
            content.unsynced.clear();
            return Err(io::Error::other("the medium refused a write"));
        }
        disk.sync_fails = disk.sync_fails.map(|left| left - 1);
        disk.syncs += 1;
        content.remember();
        Ok(())
    }
}
