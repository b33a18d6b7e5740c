//! A new ledger from the parts of a snapshot, in memory that does not depend on their number.
//!
//! Each part's rows are written to the state as they stand; their entries of the tree go to [`Partitions`]. Then each
//! partition is sorted and gives its buckets, once each. The root that comes out decides.

use std::path::Path;

use galen_types::{BlockHeader, Hash};

use super::incoming::Incoming;
use super::partition::Partitions;
use super::place::{BUILDING, Built};
use crate::commit::completed_nodes;
use crate::constants::BUILD_BATCH_BYTES;
use crate::folder;
use crate::history::peak_positions;
use crate::ledger::LedgerOptions;
use crate::meta::{self, DurableMark, GenesisRoot, HistoryPeaks, HistorySpan, Progress, Settings};
use crate::snapshot::{EpochEndProof, SnapshotError};
use crate::store::bytes::{BucketPath, Key as _};
use crate::store::column::{Certificates, Headers, History, State, StateBuckets, StateLeaves, VoterSets};
use crate::store::{Durability, Store};
use crate::tree::levels::Levels;
use crate::tree::prepare::{BucketUpdate, Change, by_bucket};
use crate::tree::{key_hash, value_hash};

/// What is being done; told before it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallStep {
    /// Writing the rows of the state; counts rows.
    Rows,
    /// Building the state tree; counts keys.
    Tree,
    /// Writing header, history, voter sets and progress, and syncing.
    Chain,
    /// Carrying over signatures and evidence from the ledger that is replaced.
    CarryOver,
    /// Renaming; counts the renames done.
    Place,
    /// Removing the ledger that was replaced.
    Remove,
}

/// Keys of the state tree between two reports.
const PROGRESS_EVERY: u64 = 50_000;

/// How far an installation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstallProgress {
    /// The step.
    pub step: InstallStep,
    /// Units done.
    pub done: u64,
    /// Units in all; 0 where there is nothing to count.
    pub total: u64,
}

impl InstallProgress {
    pub(super) fn at(step: InstallStep) -> Self {
        Self { step, done: 0, total: 0 }
    }
}

impl Incoming {
    /// Builds the new ledger beside `ledger`, which the node may still be running on. `options` are those that the ledger
    /// is opened with; `genesis_root` is the root of the state before the first block
    /// (see [`state_root_of`](crate::state_root_of)).
    ///
    /// # Errors
    /// [`SnapshotError::Incomplete`] while parts are missing; [`SnapshotError::Part`] when one was damaged on disk: fetch
    /// it again; [`SnapshotError::Root`] when the rows are not the state that the header names: discard them; when the
    /// disk refuses; [`SnapshotError::Halted`]. What was received stays, what was built is removed at the next attempt or start.
    pub fn build(
        &mut self,
        ledger: &Path,
        options: &LedgerOptions,
        genesis_root: Hash,
        progress: &mut dyn FnMut(InstallProgress),
    ) -> Result<Built, SnapshotError> {
        if self.missing_count() > 0 {
            return Err(SnapshotError::Incomplete { missing: self.missing_count() });
        }
        let header = self.manifest().header.clone();
        if header.genesis != options.genesis_hash || header.chain != options.chain {
            return Err(SnapshotError::Manifest("it is of another genesis or chain"));
        }
        let building = folder::sibling(ledger, BUILDING);
        folder::remove(&building)?;
        folder::create(&building)?;
        let store = Store::open(&building, options.block_cache_bytes, options.write_buffer_bytes)?;
        let mut partitions = Partitions::create(&building.join("entries"))?;
        self.write_rows(&store, &mut partitions, progress)?;
        let mut tree = Tree { store: &store, levels: Levels::new(options.state_bucket_bits) };
        let total = self.manifest().rows;
        let (mut done, mut told) = (0, 0);
        progress(InstallProgress { step: InstallStep::Tree, done, total });
        let halt = self.halt();
        partitions.drain(|entries| {
            halt.look()?;
            done += entries.len() as u64;
            tree.add(&entries)?;
            if done == total || done - told >= PROGRESS_EVERY {
                told = done;
                progress(InstallProgress { step: InstallStep::Tree, done, total });
            }
            Ok(())
        })?;
        let computed = tree.levels.root();
        #[cfg(feature = "planted")]
        let computed = match galen_planted::is_on(galen_planted::Bug::SnapshotRootUnverified) {
            true => header.state_root,
            false => computed,
        };
        if computed != header.state_root {
            drop(store);
            folder::remove(&building)?;
            return Err(SnapshotError::Root { expected: header.state_root, computed });
        }
        folder::remove(&building.join("entries"))?;
        progress(InstallProgress::at(InstallStep::Chain));
        self.write_chain(&store, &header, &Settings::of(options), genesis_root)?;
        store.flush()?;
        drop(store);
        Ok(Built::new(ledger, header.height))
    }

    fn write_rows(
        &mut self,
        store: &Store,
        partitions: &mut Partitions,
        progress: &mut dyn FnMut(InstallProgress),
    ) -> Result<(), SnapshotError> {
        let (mut last, mut done, total) = (None, 0, self.manifest().rows);
        for index in (0_u32..).take(self.manifest().parts.len()) {
            progress(InstallProgress { step: InstallStep::Rows, done, total });
            self.halt.look()?;
            let part = self.part(index)?;
            if part.rows.first().is_some_and(|(key, _)| last.as_ref().is_some_and(|last| key <= last)) {
                return Err(SnapshotError::Manifest("the parts are not in ascending order of key"));
            }
            let mut batch = store.batch(BUILD_BATCH_BYTES);
            let column = batch.column::<State>()?;
            for (key, value) in &part.rows {
                partitions.add(&key_hash(key), &value_hash(value))?;
                batch.put(&column, key.as_slice(), value.as_slice());
            }
            batch.write(Durability::Flush)?;
            done += part.rows.len() as u64;
            last = part.rows.into_iter().next_back().map(|(key, _)| key);
        }
        Ok(())
    }

    /// What the ledger begins with, beside the state. The folder does not count until it is renamed, so nothing here needs
    /// to be atomic.
    fn write_chain(
        &self,
        store: &Store,
        header: &BlockHeader,
        settings: &Settings,
        genesis_root: Hash,
    ) -> Result<(), SnapshotError> {
        let height = header.height;
        let mut batch = store.batch(64 << 10);
        let headers = batch.column::<Headers>()?;
        batch.put(&headers, &height, header);
        let history = batch.column::<History>()?;
        let mut range = self.manifest().history.clone();
        for (position, peak) in peak_positions(range.length()).zip(range.peaks()) {
            batch.put(&history, &position, peak);
        }
        let hash = header.hash();
        for (position, node) in completed_nodes(&range, hash) {
            batch.put(&history, &position, &node);
        }
        range.append(hash);
        let proof = self.proof();
        let sets = batch.column::<VoterSets>()?;
        for set in proof.voter_sets() {
            batch.put(&sets, &set.epoch, set);
        }
        let certificates = batch.column::<Certificates>()?;
        for end in &proof.epoch_ends {
            // Held for those who follow the handovers, from here or from its own headers once they are filled in.
            if let EpochEndProof::Certificate(certificate) = &end.proof {
                batch.put(&certificates, &certificate.height, certificate);
            }
        }
        if proof.certificate.height == height {
            batch.put(&certificates, &height, &proof.certificate);
        }
        meta::put(&mut batch, settings)?;
        meta::put(&mut batch, &GenesisRoot { root: genesis_root })?;
        meta::put(&mut batch, &HistoryPeaks { range })?;
        meta::put(&mut batch, &Progress { height, raft_index: header.raft_index, raft_term: header.raft_term })?;
        meta::put(&mut batch, &DurableMark { height })?;
        let span = HistorySpan { base_height: height, headers_from: height, bodies_from: height + 1, pruned_below: 0 };
        meta::put(&mut batch, &span)?;
        meta::put(&mut batch, proof)?;
        Ok(batch.write(Durability::Flush)?)
    }
}

/// The state tree while it is built.
struct Tree<'store> {
    store: &'store Store,
    levels: Levels,
}

impl Tree<'_> {
    /// Adds sorted entries of keys that are not in the tree yet.
    fn add(&mut self, entries: &[Change]) -> Result<(), SnapshotError> {
        let bits = self.levels.bits();
        let mut update = BucketUpdate::new(self.store, bits);
        let mut leaves = Vec::new();
        for (bucket, changes) in by_bucket(entries, bits) {
            // Only a bucket that two chunks share is there already.
            let stored = if self.levels.bucket_is_empty(bucket) {
                None
            } else {
                self.store.get_many::<StateBuckets>(&[&BucketPath::root(bucket).bytes()])?.pop().flatten()
            };
            leaves.push((bucket, update.bucket(bucket, stored.as_deref(), changes)?));
        }
        let mut batch = self.store.batch(entries.len() * 80);
        let buckets = batch.column::<StateBuckets>()?;
        for (path, row) in update.into_rows() {
            match row {
                Some(row) => batch.put(&buckets, &path, row.as_slice()),
                None => batch.delete(&buckets, &path),
            }
        }
        let column = batch.column::<StateLeaves>()?;
        for (bucket, hash) in &leaves {
            batch.put(&column, bucket, hash);
        }
        batch.write(Durability::Flush)?;
        let changes = self.levels.prepare(leaves);
        self.levels.apply(&changes);
        Ok(())
    }
}
