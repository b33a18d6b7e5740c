//! What the engine needs of a store: keys and values, nothing more.

use galen_types::Encoding;

use crate::keys::Key;
use crate::limits::STATE_VALUE_BYTES_MAX;

/// The state cannot be read, or holds what it should not: the node must stop, the transaction is not to blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the state cannot be used: {0}")]
pub struct StateError(String);

impl StateError {
    /// Wraps the store's own words.
    pub fn new(cause: impl std::fmt::Display) -> Self {
        Self(cause.to_string())
    }
}

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// A state: the ledger's at some height, or one under the writes of a block being executed.
pub trait StateRead {
    /// The value of a key.
    ///
    /// # Errors
    /// [`StateError`] when the store cannot say.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError>;

    /// Entries whose keys start with `prefix` and are greater than `start_after`, in ascending order of keys, at most
    /// `limit`. There may be fewer before the end; only no entry at all is the end. [`crate::execute`] never scans; queries and [`crate::prune_live_ids`] do.
    ///
    /// # Errors
    /// [`StateError`] when the store cannot say.
    fn scan(&self, prefix: &[u8], start_after: Option<&[u8]>, limit: usize) -> Result<Vec<Entry>, StateError>;
}

/// Reading one record: all that rules do, so that what a call costs is bounded by the call.
pub(crate) trait Lookup {
    /// The bytes of a key.
    fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError>;

    /// The record of a key.
    fn load<T: Encoding>(&self, key: &Key<T>) -> Result<Option<T>, StateError> {
        self.lookup(key.as_bytes())?.map(|bytes| decode(&bytes)).transpose()
    }

    /// The record of a key that the state always has.
    fn load_present<T: Encoding>(&self, key: &Key<T>) -> Result<T, StateError> {
        self.load(key)?.ok_or_else(|| StateError::new(format_args!("the record under key {key} is missing")))
    }
}

impl Lookup for dyn StateRead + '_ {
    fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.get(key)
    }
}

/// Reads a stored record.
pub(crate) fn decode<T: Encoding>(bytes: &[u8]) -> Result<T, StateError> {
    T::decode(bytes, STATE_VALUE_BYTES_MAX)
        .map_err(|error| StateError::new(format_args!("a record is damaged: {error}")))
}
