//! The store: RocksDB behind typed columns. One process opens a folder for writing (RocksDB's lock); every write is one
//! batch; after a failed write nothing is written any more, because the outcome of that write is unknown.

pub(crate) mod bytes;
pub(crate) mod column;
pub(crate) mod current;
mod options;
mod read;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{ColumnFamily, DB, DBPinnableSlice, ErrorKind, FlushOptions, WriteBatch, WriteOptions};

use crate::damage::DamageLatch;
use crate::error::LedgerError;
use crate::fault::Arranged;
use bytes::{Key, Value};
use column::{COLUMNS, Column};
pub(crate) use read::{Reader, Rows, Span, damaged, place_in};

/// RocksDB and whether it may still be written.
pub(crate) struct Store {
    database: DB,
    path: PathBuf,
    writable: bool,
    /// The first failed write.
    failure: OnceLock<String>,
    /// The first damage that a reader met.
    pub(crate) damage: DamageLatch,
    /// Told of the bytes that readers go through; gives whether they may go on.
    pace: Option<Pace>,
    /// A write that is to fail.
    pub(crate) arranged: Arranged,
}

/// Told how many bytes were read; waits where that was too fast. `false` ends the reading.
pub(crate) type Pace = Box<dyn Fn(u64) -> bool + Send + Sync>;

/// Whether a write waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// In memory until [`Store::flush`]: only for a folder that is still being built and starts anew after a crash.
    Flush,
    /// In the write-ahead log, handed to the operating system: survives the process.
    Process,
    /// Synced, with everything written before: survives loss of power.
    Disk,
}

impl Store {
    /// Opens a folder for writing, creating it when absent.
    pub(crate) fn open(path: &Path, cache_bytes: usize, buffer_bytes: usize) -> Result<Self, LedgerError> {
        current::settle(path)?;
        let options = options::database(buffer_bytes);
        let columns = options::columns(cache_bytes);
        let database = DB::open_cf_descriptors(&options, path, columns).map_err(|error| open_error(path, &error))?;
        Ok(Self::of(database, path, true, None))
    }

    /// Opens a folder for reading what is there; another process should not write it meanwhile.
    pub(crate) fn open_read_only(path: &Path, cache_bytes: usize, buffer_bytes: usize) -> Result<Self, LedgerError> {
        if !current::is_store(path) {
            return Err(LedgerError::Absent { path: path.to_owned() });
        }
        let options = options::database(buffer_bytes);
        let columns = options::columns(cache_bytes);
        let database = DB::open_cf_descriptors_read_only(&options, path, columns, false)
            .map_err(|error| open_error(path, &error))?;
        Ok(Self::of(database, path, false, None))
    }

    /// Opens a copy of a store to read all of it from the medium, past the operating system's cache where the file system
    /// allows that: what lies in a cache is not what lies on the disk.
    pub(crate) fn open_to_scrub(path: &Path, cache_bytes: usize, pace: Pace) -> Result<Self, LedgerError> {
        let open = |direct: bool| {
            let mut options = options::database(0);
            options.set_use_direct_reads(direct);
            DB::open_cf_descriptors_read_only(&options, path, options::columns(cache_bytes), false)
        };
        // Some file systems in memory refuse direct reads.
        let database = open(true).or_else(|_| open(false)).map_err(|error| open_error(path, &error))?;
        Ok(Self::of(database, path, false, Some(pace)))
    }

    fn of(database: DB, path: &Path, writable: bool, pace: Option<Pace>) -> Self {
        let (failure, damage) = (OnceLock::new(), DamageLatch::default());
        Self { database, path: path.to_owned(), writable, failure, damage, pace, arranged: Arranged::default() }
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A consistent snapshot to read from.
    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader::new(self)
    }

    /// The stored bytes of many rows as they are now; the keys are in ascending order. Cheaper than one by one.
    pub(crate) fn get_many<C: Column>(&self, keys: &[&[u8]]) -> Result<Vec<Option<DBPinnableSlice<'_>>>, LedgerError> {
        let rows = self.database.batched_multi_get_cf(handle::<C>(&self.database)?, keys.iter().copied(), true);
        let failed = |key: &[u8], error| self.damage.see(read_error(C::NAME, place_in(C::NAME, key), &error));
        keys.iter().zip(rows).map(|(key, row)| row.map_err(|error| failed(key, error))).collect()
    }

    /// An empty batch with room for `capacity` bytes.
    pub(crate) fn batch(&self, capacity: usize) -> Batch<'_> {
        Batch { store: self, writes: WriteBatch::with_capacity_bytes(capacity) }
    }

    /// Refuses when nothing may be written (any more).
    pub(crate) fn check_writable(&self) -> Result<(), LedgerError> {
        match (self.damage.found(), self.failure.get()) {
            (Some(damage), _) => Err(damage.clone()),
            (None, Some(message)) => Err(LedgerError::Stopped(message.clone())),
            (None, None) if self.writable => Ok(()),
            (None, None) => Err(LedgerError::ReadOnly),
        }
    }

    /// Moves every row from memory to synced table files.
    pub(crate) fn flush(&self) -> Result<(), LedgerError> {
        self.check_writable()?;
        let mut handles = Vec::with_capacity(COLUMNS.len());
        for column in COLUMNS {
            handles.push(handle_of(&self.database, column.name)?);
        }
        let mut options = FlushOptions::default();
        options.set_wait(true);
        self.database.flush_cfs_opt(&handles, &options).map_err(|error| self.failed(&error))
    }

    /// Makes a copy of the store as it is now in a folder that does not exist yet. Table files are hard links where both
    /// folders are on one file system. What is in memory is flushed first (RocksDB's `log_size_for_flush` is 0: any other
    /// value never flushes), so the copy needs no write-ahead log.
    ///
    /// A failure is that of the copy: the store itself goes on, and its next write says if the disk is at fault.
    pub(crate) fn checkpoint(&self, path: &Path) -> Result<(), String> {
        let failed = |error: rocksdb::Error| error.to_string();
        Checkpoint::new(&self.database).map_err(failed)?.create_checkpoint(path).map_err(failed)
    }

    fn failed(&self, error: &rocksdb::Error) -> LedgerError {
        let message = error.to_string();
        self.stop(&message);
        if is_rot(error) && is_of_reading(error) {
            // Compaction met it, and RocksDB takes no writes any more.
            return self.damage.see(read_error(FILES, self.path.display().to_string(), error));
        }
        LedgerError::Write(message)
    }

    fn failed_as_arranged(&self) -> LedgerError {
        let message = "IO error: While appending to file: as arranged: Input/output error";
        self.stop(message);
        LedgerError::Write(message.to_owned())
    }

    /// Counts bytes that a reader went through; whether it may go on.
    fn paced(&self, bytes: usize) -> bool {
        self.pace.as_ref().is_none_or(|pace| pace(bytes as u64))
    }

    /// Ends writing for good: an outcome is unknown.
    pub(crate) fn stop(&self, message: &str) {
        #[cfg(feature = "planted")]
        if galen_planted::is_on(galen_planted::Bug::FailedWritePassed) {
            return;
        }
        if self.failure.set(message.to_owned()).is_ok() {
            tracing::error!(path = %self.path.display(), message, "a write to the ledger failed; nothing more is written");
        }
    }
}

/// Rows that are written together or not at all.
pub(crate) struct Batch<'store> {
    store: &'store Store,
    writes: WriteBatch,
}

impl<'store> Batch<'store> {
    /// A column to write to, looked up once.
    pub(crate) fn column<C: Column>(&self) -> Result<ColumnHandle<'store, C>, LedgerError> {
        Ok(ColumnHandle { handle: handle::<C>(&self.store.database)?, column: std::marker::PhantomData })
    }

    /// Sets a row.
    pub(crate) fn put<C: Column>(&mut self, column: &ColumnHandle<'_, C>, key: &C::Key, value: &C::Value) {
        self.writes.put_cf(column.handle, key.bytes(), value.bytes());
    }

    /// Removes a row.
    pub(crate) fn delete<C: Column>(&mut self, column: &ColumnHandle<'_, C>, key: &C::Key) {
        self.writes.delete_cf(column.handle, key.bytes());
    }

    /// Writes all rows, or none.
    pub(crate) fn write(self, durability: Durability) -> Result<(), LedgerError> {
        self.store.check_writable()?;
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Disk);
        options.disable_wal(durability == Durability::Flush);
        let fails = self.store.arranged.next();
        if fails != Some(false) {
            self.store.database.write_opt(self.writes, &options).map_err(|error| self.store.failed(&error))?;
        }
        if fails.is_none() { Ok(()) } else { Err(self.store.failed_as_arranged()) }
    }
}

/// A column family to write to.
pub(crate) struct ColumnHandle<'store, C> {
    handle: &'store ColumnFamily,
    column: std::marker::PhantomData<C>,
}

fn handle<C: Column>(database: &DB) -> Result<&ColumnFamily, LedgerError> {
    handle_of(database, C::NAME)
}

fn handle_of<'store>(database: &'store DB, name: &str) -> Result<&'store ColumnFamily, LedgerError> {
    database.cf_handle(name).ok_or_else(|| LedgerError::Read(format!("column family `{name}` is not open")))
}

fn open_error(path: &Path, error: &rocksdb::Error) -> LedgerError {
    let message = error.to_string();
    if is_rot(error) && is_of_reading(error) {
        return read_error(FILES, path.display().to_string(), error);
    }
    if message.contains("LOCK") || message.contains("lock hold by current process") {
        LedgerError::Locked { path: path.to_owned(), message }
    } else {
        LedgerError::Read(format!("`{}` cannot be opened: {message}", path.display()))
    }
}

/// Stands for the column family where RocksDB does not say which.
const FILES: &str = "files";

/// Whether an error says that stored bytes are not those that were written, or that the medium does not give them back.
fn is_rot(error: &rocksdb::Error) -> bool {
    match error.kind() {
        ErrorKind::Corruption => true,
        // EIO of a sector that cannot be read; ENOENT of a table file that is gone.
        ErrorKind::IOError => {
            let words = error.as_ref();
            words.contains("Input/output error") || words.contains("No such file or directory")
        }
        _ => false,
    }
}

/// Whether an error was met while stored bytes were read, where it may as well be one of writing.
fn is_of_reading(error: &rocksdb::Error) -> bool {
    error.kind() == ErrorKind::Corruption || tells_of_reading(error.as_ref())
}

/// RocksDB says first what it was doing: `IO error: While pread offset 0 len 48: FILE: Input/output error`, or
/// `IO error: While fsync: a directory: Input/output error`. Before that it says again what is missing: `IO error: No such
/// file or directory: While opening a file for sequentially reading: FILE: No such file or directory`.
fn tells_of_reading(words: &str) -> bool {
    let doing = words.split(':').find(|part| part.starts_with(" While ")).unwrap_or_default();
    (doing.contains("read") && !doing.contains("read/write")) || doing.contains("stat ") || doing.contains("fstat")
}

/// What a failed read means.
fn read_error(column: &'static str, place: String, error: &rocksdb::Error) -> LedgerError {
    let problem = error.to_string();
    if is_rot(error) { LedgerError::Unreadable { column, place, problem } } else { LedgerError::Read(problem) }
}

#[cfg(test)]
mod tests {
    use super::tells_of_reading;

    #[test]
    fn only_what_failed_to_be_read_is_taken_for_rot() {
        for doing in
            ["While pread offset 0 len 48", "While open a file for random read", "While reading file sequentially"]
        {
            assert!(tells_of_reading(&format!(
                "IO error: {doing}: /var/lib/galen/ledger/000021.sst: Input/output error"
            )));
        }
        let missing = "No such file or directory";
        let list = "/var/lib/galen/ledger/MANIFEST-000021";
        let doing = "While opening a file for sequentially reading";
        assert!(tells_of_reading(&format!("IO error: {missing}: {doing}: {list}: {missing}")));
        for doing in
            ["While fsync", "While appending to file", "While fdatasync", "While open file for random read/write"]
        {
            assert!(!tells_of_reading(&format!(
                "IO error: {doing}: /srv/readings/ledger/000021.log: Input/output error"
            )));
        }
    }
}
