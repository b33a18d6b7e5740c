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
        #[cfg(feature = "planted")]
        if galen_planted::is_on(galen_planted::Bug::GrantAtWrongHeight) && crate::planted::is_of_grants(key) {
            return self.below.get(key);
        }
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
        let from = start_after.filter(|start| *start > prefix).unwrap_or(prefix).to_vec();
        let mut written = self
            .writes
            .range(from..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(key, _)| start_after.is_none_or(|start| key.as_slice() > start))
            .peekable();
        let (mut rows, mut after) = (Vec::new(), start_after.map(<[u8]>::to_vec));
        while rows.len() < limit {
            // A page may be shorter than asked for; only an empty one is the end.
            let page = self.below.scan(prefix, after.as_deref(), limit)?;
            after = page.last().map(|(key, _)| key.clone());
            let mut merged: BTreeMap<_, _> = page.into_iter().collect();
            while let Some((key, value)) = written.next_if(|(key, _)| after.as_ref().is_none_or(|last| *key <= last)) {
                match value {
                    Some(value) => merged.insert(key.clone(), value.clone()),
                    None => merged.remove(key),
                };
            }
            rows.extend(merged);
            if after.is_none() {
                break;
            }
        }
        rows.truncate(limit);
        Ok(rows)
    }
}
