//! Reading: a snapshot that never changes under its reader, and spans of rows.

use std::marker::PhantomData;

use rocksdb::{DBRawIterator, ReadOptions, Snapshot};

use super::bytes::{Key, Value};
use super::column::{Column, RowOf, ValueOf};
use super::{Store, handle, read_error};
use crate::constants::SCAN_READAHEAD_BYTES;
use crate::error::LedgerError;

/// The store at one moment: all columns as one batch left them.
pub(crate) struct Reader<'store> {
    store: &'store Store,
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
    pub(super) fn new(store: &'store Store) -> Self {
        Self { store, snapshot: store.database.snapshot() }
    }

    /// Looks at an error on its way to whoever reads: damage is told to the ledger's owner first.
    pub(crate) fn see(&self, error: LedgerError) -> LedgerError {
        self.store.damage.see(error)
    }

    /// One row.
    pub(crate) fn get<C: Column>(&self, key: &C::Key) -> Result<Option<ValueOf<C>>, LedgerError> {
        let handle = handle::<C>(&self.store.database)?;
        let key = key.bytes();
        if !self.store.paced(LOOKUP_BYTES) {
            return Err(ended());
        }
        let found = self.snapshot.get_pinned_cf(handle, &key);
        let bytes = found.map_err(|error| self.see(read_error(C::NAME, place_in(C::NAME, key.as_ref()), &error)))?;
        bytes.map(|bytes| decode::<C>(key.as_ref(), &bytes)).transpose().map_err(|error| self.see(error))
    }

    /// One row that must be there.
    pub(crate) fn require<C: Column>(&self, key: &C::Key) -> Result<ValueOf<C>, LedgerError> {
        self.get::<C>(key)?.ok_or_else(|| self.see(damaged::<C>(key.bytes().as_ref(), "the row is missing")))
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
        let handle = handle::<C>(&self.store.database)?;
        let (ended, reverse) = (span.is_empty(), span.reverse);
        options.set_iterate_lower_bound(span.from);
        if let Some(until) = span.until {
            options.set_iterate_upper_bound(until);
        }
        let mut iterator = self.snapshot.raw_iterator_cf_opt(handle, options);
        if !ended {
            if reverse { iterator.seek_to_last() } else { iterator.seek_to_first() }
        }
        Ok(Rows { store: self.store, iterator, reverse, ended, last: None, column: PhantomData })
    }
}

/// The stored bytes of a key and its value.
pub(crate) type RowBytes = (Vec<u8>, Vec<u8>);

/// Rows of a column in order.
pub(crate) struct Rows<'reader, C> {
    store: &'reader Store,
    iterator: DBRawIterator<'reader>,
    reverse: bool,
    ended: bool,
    /// The last key that could be read: what cannot be read is beyond it.
    last: Option<Vec<u8>>,
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
            let error = self.iterator.status().err()?;
            let place = match &self.last {
                Some(last) => format!("the row beyond {}", place_in(C::NAME, last)),
                None => String::from("its first row"),
            };
            return Some(Err(self.store.damage.see(read_error(C::NAME, place, &error))));
        };
        let row = (key.to_vec(), value.to_vec());
        if !self.store.paced(row.0.len() + row.1.len()) {
            self.ended = true;
            return Some(Err(ended()));
        }
        self.last = Some(row.0.clone());
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
            let see = |error| self.store.damage.see(error);
            let owned = C::Key::read(&key).ok_or_else(|| see(damaged::<C>(&key, "the key is malformed")))?;
            Ok((owned, decode::<C>(&key, &value).map_err(see)?))
        }))
    }
}

/// Decodes a stored value.
pub(crate) fn decode<C: Column>(key: &[u8], value: &[u8]) -> Result<ValueOf<C>, LedgerError> {
    C::Value::read(value).map_err(|error| damaged::<C>(key, &error.to_string()))
}

/// The error that a row is not what was written.
pub(crate) fn damaged<C: Column>(key: &[u8], problem: &str) -> LedgerError {
    LedgerError::Damaged { column: C::NAME, place: place_in(C::NAME, key), problem: problem.to_owned() }
}

/// What a look-up of one row is counted as when reading is paced: RocksDB reads a block of 4 KiB for it, or finds it in
/// its cache.
const LOOKUP_BYTES: usize = 1024;

/// The error of a reader that was told to end.
fn ended() -> LedgerError {
    LedgerError::Read(String::from("reading was ended"))
}

/// Columns whose keys begin with a height.
const BY_HEIGHT: [&str; 7] =
    ["headers", "transactions", "receipts", "certificates", "own_signatures", "signatures", "evidence"];

/// A key of a column in print: the height where it begins with one, and the place in the block where that follows; text
/// where it is text; else hexadecimal.
pub(crate) fn place_in(column: &str, key: &[u8]) -> String {
    use std::fmt::Write as _;
    if let Some((height, rest)) = key.split_first_chunk::<8>().filter(|_| BY_HEIGHT.contains(&column)) {
        let height = u64::from_be_bytes(*height);
        return match (<[u8; 4]>::try_from(rest), rest.is_empty()) {
            (Ok(place), _) => format!("height {height}, place {}", u32::from_be_bytes(place)),
            (Err(_), true) => format!("height {height}"),
            (Err(_), false) => format!("height {height}, {}", place_in("", rest)),
        };
    }
    if let Ok(place) = <[u8; 8]>::try_from(key) {
        return format!("height {}", u64::from_be_bytes(place));
    }
    if column == "meta" && key.iter().all(u8::is_ascii_graphic) {
        return format!("`{}`", String::from_utf8_lossy(key));
    }
    key.iter().fold(String::from("key "), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
