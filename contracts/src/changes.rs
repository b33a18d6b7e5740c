//! Writes over a state: what is written is seen by later reads.

use galen_types::Encoding;

use crate::execute::Writes;
use crate::keys::{Key, PRESENT};
use crate::state::{Lookup, StateError, StateRead};

/// A state, and writes on top of it.
pub(crate) struct Changes<'state> {
    state: &'state dyn StateRead,
    pub(crate) writes: Writes,
}

impl<'state> Changes<'state> {
    pub(crate) fn new(state: &'state dyn StateRead) -> Self {
        Self { state, writes: Writes::new() }
    }

    pub(crate) fn put<T: Encoding>(&mut self, key: Key<T>, record: &T) {
        self.writes.insert(key.into_bytes(), Some(record.encode()));
    }

    pub(crate) fn put_present(&mut self, key: Key<u8>) {
        self.put(key, &PRESENT);
    }

    pub(crate) fn remove<T>(&mut self, key: Key<T>) {
        self.writes.insert(key.into_bytes(), None);
    }

    /// Adds to a counter. One that would leave its range is damage of the state, for rules keep them within it.
    pub(crate) fn count(&mut self, key: Key<u32>, change: i8) -> Result<u32, StateError> {
        let count = self.load(&key)?.unwrap_or(0);
        let changed = count.checked_add_signed(change.into()).ok_or_else(|| {
            StateError::new(format_args!("the counter under key {key} is {count} and cannot change by {change}"))
        })?;
        self.put(key, &changed);
        Ok(changed)
    }
}

impl Lookup for Changes<'_> {
    fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        match self.writes.get(key) {
            Some(written) => Ok(written.clone()),
            None => self.state.get(key),
        }
    }
}
