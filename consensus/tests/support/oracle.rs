//! What must hold, recomputed from outputs alone.

use std::collections::BTreeMap;

use galen_consensus::{Committed, HardState, Membership, Payload, Persist, Recovered, SnapshotChange};

/// What a node was told is durable: the disk's own image must never hold less.
#[derive(Clone, Default)]
pub(crate) struct Mirror {
    pub(crate) hard_state: HardState,
    pub(crate) snapshot: u64,
    /// Index to (term, hash of data).
    pub(crate) entries: BTreeMap<u64, (u64, blake3::Hash)>,
}

impl Mirror {
    pub(crate) fn write(&mut self, persist: &Persist) {
        match &persist.snapshot {
            Some(SnapshotChange::Restored(meta)) => {
                self.entries.clear();
                self.snapshot = meta.index;
            }
            Some(SnapshotChange::Compacted(meta)) => {
                self.entries = self.entries.split_off(&(meta.index + 1));
                self.snapshot = meta.index;
            }
            None => {}
        }
        if let Some(first) = persist.entries.first() {
            self.entries.split_off(&first.index);
        }
        for entry in &persist.entries {
            self.entries.insert(entry.index, (entry.term, blake3::hash(&entry.data)));
        }
        if let Some(state) = persist.hard_state {
            self.hard_state = state;
        }
    }

    pub(crate) fn holds(&self, index: u64, term: u64) -> bool {
        index <= self.snapshot || self.entries.get(&index).is_some_and(|entry| entry.0 == term)
    }

    /// What the log recovered must hold what was durable. More is allowed: a write may finish unseen; then its entries
    /// may have overwritten a suffix, in a later term only.
    pub(crate) fn check(&self, recovered: &Recovered) -> Result<(), String> {
        let state = recovered.hard_state;
        if state.term < self.hard_state.term {
            return Err(format!("term {} was forgotten, now {}", self.hard_state.term, state.term));
        }
        if state.term == self.hard_state.term && self.hard_state.vote.is_some() && state.vote != self.hard_state.vote {
            return Err(format!("the vote in term {} was forgotten", state.term));
        }
        let cut = recovered.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
        if cut < self.snapshot {
            return Err(format!("the snapshot at {} was forgotten", self.snapshot));
        }
        let found: BTreeMap<u64, (u64, blake3::Hash)> =
            recovered.entries.iter().map(|entry| (entry.index, (entry.term, blake3::hash(&entry.data)))).collect();
        for (index, entry) in self.entries.range(cut + 1..) {
            match found.get(index) {
                Some(same) if same == entry => {}
                Some(other) if other.0 > entry.0 => return Ok(()),
                other => {
                    // A newer write overwrote the suffix from an earlier index and ends before this one.
                    let overwritten = found.range(..index).next_back().is_some_and(|last| last.1.0 > entry.0);
                    if !overwritten {
                        return Err(format!(
                            "entry {index} of term {} was lost, now {:?}",
                            entry.0,
                            other.map(|o| o.0)
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

/// The group's history as all nodes must see it.
#[derive(Default)]
pub(crate) struct History {
    /// Index to (term, hash) as first committed.
    pub(crate) committed: BTreeMap<u64, (u64, blake3::Hash)>,
    /// Term to leader.
    pub(crate) leaders: BTreeMap<u64, u64>,
    /// Configurations by the index of the entry that made them.
    pub(crate) memberships: BTreeMap<u64, Membership>,
}

pub(crate) fn fingerprint(committed: &Committed) -> (u64, blake3::Hash) {
    let bytes = match &committed.payload {
        Payload::Nothing => b"nothing".to_vec(),
        Payload::Data(data) => data.to_vec(),
        Payload::Membership { membership, changed, .. } => format!("{membership:?} {changed}").into_bytes(),
    };
    (committed.term, blake3::hash(&bytes))
}

impl History {
    /// Committed never changes. Gives whether the entry is new.
    pub(crate) fn commit(&mut self, committed: &Committed) -> Result<bool, String> {
        let print = fingerprint(committed);
        if let Payload::Membership { membership, changed: true, .. } = &committed.payload {
            self.memberships.insert(membership.index, membership.membership.clone());
        }
        match self.committed.insert(committed.index, print) {
            Some(before) if before != print => Err(format!("committed entry {} changed", committed.index)),
            Some(_) => Ok(false),
            None => Ok(true),
        }
    }

    /// Election safety: one leader a term.
    pub(crate) fn lead(&mut self, term: u64, leader: u64) -> Result<(), String> {
        match self.leaders.insert(term, leader) {
            Some(before) if before != leader => Err(format!("{before} and {leader} both lead term {term}")),
            _ => Ok(()),
        }
    }
}

/// Log matching: equal term at an index means equal logs up to there.
pub(crate) fn logs_match(mirrors: &[&Mirror]) -> Result<(), String> {
    for (position, left) in mirrors.iter().enumerate() {
        for right in &mirrors[position + 1..] {
            let mut matched = false;
            for (index, entry) in left.entries.iter().rev() {
                let Some(other) = right.entries.get(index) else { continue };
                if other.0 == entry.0 {
                    matched = true;
                }
                if matched && other != entry {
                    return Err(format!("logs differ at {index} below a matching entry"));
                }
            }
        }
    }
    Ok(())
}
