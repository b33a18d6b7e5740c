//! The state as execution sees it: the ledger's, under the writes of the block being executed.

use std::collections::BTreeMap;

use galen_contracts::{StateError, StateRead};

/// Writes over a state: `Some` sets a key, `None` deletes it.
pub struct Overlay<'state> {
    below: &'state dyn StateRead,
    writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl<'state> Overlay<'state> {
    /// An overlay without writes.
    pub fn new(below: &'state dyn StateRead) -> Self {
        Self { below, writes: BTreeMap::new() }
    }

    /// Adds writes; later ones win.
    pub fn write(&mut self, writes: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>) {
        self.writes.extend(writes);
    }

    /// All writes, in ascending order of keys.
    pub fn into_writes(self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        self.writes.into_iter().collect()
    }
}

impl StateRead for Overlay<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        match self.writes.get(key) {
            Some(written) => Ok(written.clone()),
            None => self.below.get(key),
        }
    }

    fn scan(
        &self,
        prefix: &[u8],
        start_after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StateError> {
        let above = |key: &[u8]| key.starts_with(prefix) && start_after.is_none_or(|start| key > start);
        let from = start_after.filter(|start| *start > prefix).unwrap_or(prefix).to_vec();
        let written: Vec<_> = self
            .writes
            .range(from..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(key, _)| above(key))
            .collect();
        let deleted = written.iter().filter(|(_, value)| value.is_none()).count();
        let mut merged: BTreeMap<Vec<u8>, Vec<u8>> =
            self.below.scan(prefix, start_after, limit.saturating_add(deleted))?.into_iter().collect();
        let complete_to = if merged.len() < limit.saturating_add(deleted) { None } else { merged.keys().last().cloned() };
        for (key, value) in written {
            match value {
                Some(value) => {
                    merged.insert(key.clone(), value.clone());
                }
                None => {
                    merged.remove(key);
                }
            }
        }
        // Beyond the last key read from below, keys from below may be missing: what was written there waits for the
        // next page.
        if let Some(last) = complete_to {
            merged.retain(|key, _| *key <= last);
        }
        merged.truncate_to(limit);
        Ok(merged.into_iter().collect())
    }
}

/// Keeps the first entries of a map.
trait Truncate {
    fn truncate_to(&mut self, limit: usize);
}

impl Truncate for BTreeMap<Vec<u8>, Vec<u8>> {
    fn truncate_to(&mut self, limit: usize) {
        if let Some(key) = self.keys().nth(limit).cloned() {
            self.split_off(&key);
        }
    }
}
