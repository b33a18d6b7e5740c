//! Reading: a snapshot that never changes under its reader, and spans of rows.

use std::marker::PhantomData;

use rocksdb::{DB, DBRawIterator, ReadOptions, Snapshot};

use super::bytes::{Key, Value};
use super::column::{Column, RowOf, ValueOf};
use super::handle;
use crate::constants::SCAN_READAHEAD_BYTES;
use crate::error::LedgerError;

/// The store at one moment: all columns as one batch left them.
pub(crate) struct Reader<'store> {
    database: &'store DB,
    snapshot: Snapshot<'store>,
}

/// Which rows of a column: bounds on the stored key bytes, and the direction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Span {
    /// The first key included.
    pub(crate) from: Vec<u8>,
    /// The first key beyond the end; `None` to the column's end.
    pub(crate) until: Option<Vec<u8>>,
    /// The last row first.
    pub(crate) reverse: bool,
}

impl Span {
    /// Every row whose key starts with `prefix`.
    pub(crate) fn prefix(prefix: &[u8]) -> Self {
        Self { from: prefix.to_vec(), until: after_prefix(prefix), reverse: false }
    }

    /// Only rows after this key.
    pub(crate) fn after(mut self, key: &[u8]) -> Self {
        let mut next = key.to_vec();
        next.push(0);
        if next > self.from {
            self.from = next;
        }
        self
    }

    /// Only rows before this key.
    pub(crate) fn before(mut self, key: &[u8]) -> Self {
        if self.until.as_deref().is_none_or(|until| key < until) {
            self.until = Some(key.to_vec());
        }
        self
    }

    /// The last row first.
    pub(crate) fn reversed(mut self) -> Self {
        self.reverse = true;
        self
    }

    fn is_empty(&self) -> bool {
        self.until.as_ref().is_some_and(|until| *until <= self.from)
    }
}

/// The first key that sorts after every key with this prefix.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut next = prefix[..=last].to_vec();
    next[last] += 1;
    Some(next)
}

impl<'store> Reader<'store> {
    pub(super) fn new(database: &'store DB) -> Self {
        Self { database, snapshot: database.snapshot() }
    }

    /// One row.
    pub(crate) fn get<C: Column>(&self, key: &C::Key) -> Result<Option<ValueOf<C>>, LedgerError> {
        let handle = handle::<C>(self.database)?;
        let bytes = self.snapshot.get_pinned_cf(handle, key.bytes()).map_err(|error| read_error(&error))?;
        bytes.map(|bytes| decode::<C>(key.bytes().as_ref(), &bytes)).transpose()
    }

    /// One row that must be there.
    pub(crate) fn require<C: Column>(&self, key: &C::Key) -> Result<ValueOf<C>, LedgerError> {
        self.get::<C>(key)?.ok_or_else(|| damaged::<C>(key.bytes().as_ref(), "the row is missing"))
    }

    /// The rows of a span.
    pub(crate) fn rows<C: Column>(&self, span: Span) -> Result<Rows<'_, C>, LedgerError> {
        self.iterate(span, ReadOptions::default())
    }

    /// The rows of a span, read once and from end to end: does not push the hot rows out of the cache.
    pub(crate) fn sweep<C: Column>(&self, span: Span) -> Result<Rows<'_, C>, LedgerError> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_readahead_size(SCAN_READAHEAD_BYTES);
        self.iterate(span, options)
    }

    fn iterate<C: Column>(&self, span: Span, mut options: ReadOptions) -> Result<Rows<'_, C>, LedgerError> {
        let handle = handle::<C>(self.database)?;
        let (ended, reverse) = (span.is_empty(), span.reverse);
        options.set_iterate_lower_bound(span.from);
        if let Some(until) = span.until {
            options.set_iterate_upper_bound(until);
        }
        let mut iterator = self.snapshot.raw_iterator_cf_opt(handle, options);
        if !ended {
            if reverse { iterator.seek_to_last() } else { iterator.seek_to_first() }
        }
        Ok(Rows { iterator, reverse, ended, column: PhantomData })
    }
}

/// The stored bytes of a key and its value.
pub(crate) type RowBytes = (Vec<u8>, Vec<u8>);

/// Rows of a column in order.
pub(crate) struct Rows<'reader, C> {
    iterator: DBRawIterator<'reader>,
    reverse: bool,
    ended: bool,
    column: PhantomData<C>,
}

impl<C: Column> Rows<'_, C> {
    /// The next row, not decoded.
    pub(crate) fn next_bytes(&mut self) -> Option<Result<RowBytes, LedgerError>> {
        if self.ended {
            return None;
        }
        let Some((key, value)) = self.iterator.item() else {
            self.ended = true;
            return self.iterator.status().err().map(|error| Err(read_error(&error)));
        };
        let row = (key.to_vec(), value.to_vec());
        if self.reverse {
            self.iterator.prev()
        } else {
            self.iterator.next()
        }
        Some(Ok(row))
    }
}

impl<C: Column> Iterator for Rows<'_, C> {
    type Item = Result<RowOf<C>, LedgerError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.next_bytes()?;
        Some(row.and_then(|(key, value)| {
            let owned = C::Key::read(&key).ok_or_else(|| damaged::<C>(&key, "the key is malformed"))?;
            Ok((owned, decode::<C>(&key, &value)?))
        }))
    }
}

/// Decodes a stored value.
pub(crate) fn decode<C: Column>(key: &[u8], value: &[u8]) -> Result<ValueOf<C>, LedgerError> {
    C::Value::read(value).map_err(|error| damaged::<C>(key, &error.to_string()))
}

/// The error that a row is not what was written.
pub(crate) fn damaged<C: Column>(key: &[u8], problem: &str) -> LedgerError {
    LedgerError::Damaged { column: C::NAME, place: place(key), problem: problem.to_owned() }
}

/// A key in print: a height as a number where the key is one, else hexadecimal.
pub(crate) fn place(key: &[u8]) -> String {
    match <[u8; 8]>::try_from(key) {
        Ok(height) => format!("height {}", u64::from_be_bytes(height)),
        Err(_) => {
            use std::fmt::Write as _;
            key.iter().fold(String::from("key "), |mut text, byte| {
                // Writing to a string cannot fail.
                let _ = write!(text, "{byte:02x}");
                text
            })
        }
    }
}

pub(super) fn read_error(error: &rocksdb::Error) -> LedgerError {
    LedgerError::Read(error.to_string())
}
