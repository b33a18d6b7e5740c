//! The store: RocksDB behind typed columns. One process opens a folder for writing (RocksDB's lock); every write is one
//! batch; after a failed write nothing is written any more, because the outcome of that write is unknown.

pub(crate) mod bytes;
pub(crate) mod column;
mod options;
mod read;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{ColumnFamily, DB, DBPinnableSlice, FlushOptions, WriteBatch, WriteOptions};

use crate::error::LedgerError;
use bytes::{Key, Value};
use column::{COLUMNS, Column};
pub(crate) use read::{Reader, Rows, Span, damaged, place};

/// RocksDB and whether it may still be written.
pub(crate) struct Store {
    database: DB,
    path: PathBuf,
    writable: bool,
    /// The first failed write.
    failure: OnceLock<String>,
}

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
        let options = options::database(buffer_bytes);
        let columns = options::columns(cache_bytes);
        let database = DB::open_cf_descriptors(&options, path, columns).map_err(|error| open_error(path, &error))?;
        Ok(Self { database, path: path.to_owned(), writable: true, failure: OnceLock::new() })
    }

    /// Opens a folder for reading what is there; another process should not write it meanwhile.
    pub(crate) fn open_read_only(path: &Path, cache_bytes: usize, buffer_bytes: usize) -> Result<Self, LedgerError> {
        if !path.join("CURRENT").is_file() {
            return Err(LedgerError::Absent { path: path.to_owned() });
        }
        let options = options::database(buffer_bytes);
        let columns = options::columns(cache_bytes);
        let database = DB::open_cf_descriptors_read_only(&options, path, columns, false)
            .map_err(|error| open_error(path, &error))?;
        Ok(Self { database, path: path.to_owned(), writable: false, failure: OnceLock::new() })
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A consistent snapshot to read from.
    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader::new(&self.database)
    }

    /// The stored bytes of many rows as they are now; the keys are in ascending order. Cheaper than one by one.
    pub(crate) fn get_many<C: Column>(&self, keys: &[&[u8]]) -> Result<Vec<Option<DBPinnableSlice<'_>>>, LedgerError> {
        let rows = self.database.batched_multi_get_cf(handle::<C>(&self.database)?, keys.iter().copied(), true);
        rows.into_iter().map(|row| row.map_err(|error| read::read_error(&error))).collect()
    }

    /// An empty batch with room for `capacity` bytes.
    pub(crate) fn batch(&self, capacity: usize) -> Batch<'_> {
        Batch { store: self, writes: WriteBatch::with_capacity_bytes(capacity) }
    }

    /// Refuses when nothing may be written (any more).
    pub(crate) fn check_writable(&self) -> Result<(), LedgerError> {
        match self.failure.get() {
            Some(message) => Err(LedgerError::Stopped(message.clone())),
            None if self.writable => Ok(()),
            None => Err(LedgerError::ReadOnly),
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
        LedgerError::Write(message)
    }

    /// Ends writing for good: an outcome is unknown.
    pub(crate) fn stop(&self, message: &str) {
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
        self.store.database.write_opt(self.writes, &options).map_err(|error| self.store.failed(&error))
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
    if message.contains("LOCK") || message.contains("lock hold by current process") {
        LedgerError::Locked { path: path.to_owned(), message }
    } else {
        LedgerError::Read(format!("`{}` cannot be opened: {message}", path.display()))
    }
}
