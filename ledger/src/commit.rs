//! Block commits: one write batch a block.

use galen_types::certificate::VoterSet;
use galen_types::merkle::{self, MountainRange};
use galen_types::{Block, Hash, Receipt};

use crate::error::LedgerError;
use crate::handover;
use crate::ledger::{Applied, Head, Ledger, Tip};
use crate::meta::{self, GenesisRoot, HistoryPeaks, Progress};
use crate::store::bytes::{BucketPath, HistoryPosition, Key as _, Location};
use crate::store::column::{
    Events, Headers, History, Receipts, State, StateBuckets, StateLeaves, TransactionIndex, Transactions, VoterSets,
};
use crate::store::{Batch, Durability, Store};
use crate::tree::levels::{LevelChanges, Levels};
use crate::tree::prepare::{BucketUpdate, NodeRow, NodeSource, by_bucket, changes_of};
use crate::view::Row;

/// A key and its new value; `None` deletes it.
pub type StateWrite = (Vec<u8>, Option<Vec<u8>>);

/// What a block's writes make of the state; computed before the commit, so that the header can name the root.
#[derive(Debug)]
pub struct PreparedState {
    writes: Vec<StateWrite>,
    rows: Vec<NodeRow>,
    changes: LevelChanges,
}

impl PreparedState {
    /// The root of the state tree after the writes.
    pub fn root(&self) -> Hash {
        self.changes.root
    }

    /// The writes it was made from.
    pub fn writes(&self) -> &[StateWrite] {
        &self.writes
    }
}

/// A block and what its execution made. The entry of the ordering log that it applies is the one its header names.
#[derive(Debug, Clone, Copy)]
pub struct BlockCommit<'block> {
    /// The block. Its transactions and receipts roots were checked or computed by the caller.
    pub block: &'block Block,
    /// One receipt a transaction, in the same order.
    pub receipts: &'block [Receipt],
    /// Rows for the event index: opaque keys, each once for ever, and small values.
    pub events: &'block [Row],
    /// The voters of the next height, where this block changes them. A set of the next epoch makes it the last block of
    /// its own; a set of its own epoch makes it a recovery block, which opens an epoch that its parent did not announce.
    /// Whether that recovery is valid is the caller's to judge.
    pub next_voters: Option<&'block VoterSet>,
}

/// Bytes of framing that a row costs in a batch, for reserving memory.
const ROW_FRAME_BYTES: usize = 48;

impl Ledger {
    /// Computes what writes make of the latest state. They are in ascending order of key, each key once.
    ///
    /// # Errors
    /// [`LedgerError::WritesUnsorted`], or when the store cannot be read.
    pub fn prepare_state(&self, writes: Vec<StateWrite>) -> Result<PreparedState, LedgerError> {
        if !writes.is_sorted_by(|left, right| left.0 < right.0) {
            return Err(LedgerError::WritesUnsorted);
        }
        let tree = self.tree()?;
        let changes = changes_of(&writes);
        let mut stored_keys = Vec::new();
        for (bucket, _) in by_bucket(&changes, tree.bits()) {
            if !tree.bucket_is_empty(bucket) {
                stored_keys.push(BucketPath::root(bucket).bytes());
            }
        }
        let key_slices: Vec<&[u8]> = stored_keys.iter().map(Vec::as_slice).collect();
        let mut stored = self.store.get_many::<StateBuckets>(&key_slices)?.into_iter();
        let mut update = BucketUpdate::new(&self.store, tree.bits());
        let mut leaves = Vec::with_capacity(changes.len());
        for (bucket, bucket_changes) in by_bucket(&changes, tree.bits()) {
            let row = if tree.bucket_is_empty(bucket) { None } else { stored.next().flatten() };
            let hash = update.bucket(bucket, row.as_deref(), bucket_changes);
            leaves.push((bucket, hash.map_err(|error| self.store.damage.see(error))?));
        }
        let rows = update.into_rows();
        Ok(PreparedState { writes, rows, changes: tree.prepare(leaves) })
    }

    /// Writes the state before the first block and the voters of epoch 0, synced; once.
    ///
    /// # Errors
    /// [`LedgerError::AlreadyInitialised`], [`LedgerError::StalePreparedState`], or when the write fails.
    pub fn initialise(&self, state: &PreparedState, voters: &VoterSet) -> Result<(), LedgerError> {
        self.check_writable()?;
        let mut head = self.head()?;
        if head.initialised {
            return Err(LedgerError::AlreadyInitialised);
        }
        if voters.epoch != 0 {
            return Err(LedgerError::VoterSetEpoch { expected: 0, given: voters.epoch });
        }
        let mut tree = self.tree_mut()?;
        let mut batch = self.store.batch(state.size_bytes());
        put_state(&mut batch, state, &tree)?;
        let sets = batch.column::<VoterSets>()?;
        batch.put(&sets, &voters.epoch, voters);
        meta::put(&mut batch, &GenesisRoot { root: state.root() })?;
        batch.write(Durability::Disk)?;
        tree.apply(&state.changes);
        head.initialised = true;
        Ok(())
    }

    /// Writes a block and everything it made, in one batch; not synced, because the ordering log replays it.
    ///
    /// # Errors
    /// When the block does not follow the tip, names another history or state root than this ledger computes, or an
    /// entry of the ordering log not after the last applied one; nothing changed then. A failed write is fatal.
    pub fn commit(&self, commit: &BlockCommit<'_>, state: &PreparedState) -> Result<(), LedgerError> {
        self.check_writable()?;
        let mut head = self.head()?;
        self.check_block(&head, commit, state)?;
        let header = &commit.block.header;
        let hash = header.hash();
        let size = state.size_bytes() + commit.size_bytes();
        // Held over the write, so that a proof is made from rows and tree of one height.
        let mut tree = self.tree_mut()?;
        let mut batch = self.store.batch(size);
        put_block(&mut batch, commit)?;
        put_state(&mut batch, state, &tree)?;
        let history = put_history(&mut batch, &head.history, hash)?;
        let applied = Applied { index: header.raft_index, term: header.raft_term };
        let progress = Progress { height: header.height, raft_index: applied.index, raft_term: applied.term };
        meta::put(&mut batch, &progress)?;
        batch.write(Durability::Process)?;
        tree.apply(&state.changes);
        head.tip = Tip { height: header.height, hash, header: Some(header.clone()) };
        head.applied = applied;
        head.history = history;
        Ok(())
    }

    /// Notes that an entry of the ordering log was applied and made no block.
    ///
    /// # Errors
    /// [`LedgerError::RaftOrder`] when it does not follow the last applied one; a failed write is fatal.
    pub fn mark_applied(&self, index: u64, term: u64) -> Result<(), LedgerError> {
        self.check_writable()?;
        let mut head = self.head()?;
        let applied = Applied { index, term };
        check_order(head.applied, applied)?;
        let mut batch = self.store.batch(256);
        meta::put(&mut batch, &Progress { height: head.tip.height, raft_index: index, raft_term: term })?;
        batch.write(Durability::Process)?;
        head.applied = applied;
        Ok(())
    }

    fn check_block(&self, head: &Head, commit: &BlockCommit<'_>, state: &PreparedState) -> Result<(), LedgerError> {
        if !head.initialised {
            return Err(LedgerError::NotInitialised);
        }
        let header = &commit.block.header;
        let height = header.height;
        let expected = head.tip.height + 1;
        if height != expected {
            return Err(LedgerError::Height { expected, given: height });
        }
        if header.genesis != self.settings.genesis || header.chain != self.settings.chain {
            return Err(LedgerError::OtherChainBlock { height });
        }
        if header.parent != head.tip.hash {
            return Err(LedgerError::Parent { height, expected: head.tip.hash, given: header.parent });
        }
        let recovery = handover::check_voters(&self.view()?, head.tip.header.as_ref(), header, commit.next_voters)?;
        // A recovery begins a new ordering log after its parent, whatever this node's former log had applied beyond it.
        let before = match &head.tip.header {
            Some(parent) if recovery => Applied { index: parent.raft_index, term: parent.raft_term },
            None if recovery => Applied::default(),
            _ => head.applied,
        };
        check_order(before, Applied { index: header.raft_index, term: header.raft_term })?;
        let (receipts, transactions) = (commit.receipts.len(), commit.block.transactions.len());
        if receipts != transactions {
            return Err(LedgerError::ReceiptCount { receipts, transactions });
        }
        check_root(height, "history_root", head.history.range.root(), header.history_root)?;
        check_root(height, "state_root", state.root(), header.state_root)?;
        if !self.tree()?.is_current(&state.changes) {
            return Err(LedgerError::StalePreparedState);
        }
        Ok(())
    }
}

impl PreparedState {
    fn size_bytes(&self) -> usize {
        let rows: usize = self.rows.iter().map(|(_, bytes)| ROW_FRAME_BYTES + bytes.as_ref().map_or(0, Vec::len)).sum();
        let writes: usize = self
            .writes
            .iter()
            .map(|(key, value)| ROW_FRAME_BYTES + key.len() + value.as_ref().map_or(0, Vec::len))
            .sum();
        let leaves = self.changes.levels.first().map_or(0, Vec::len) * (ROW_FRAME_BYTES + 32);
        rows + writes + leaves + 4096
    }
}

impl BlockCommit<'_> {
    pub(crate) fn size_bytes(&self) -> usize {
        let transactions: usize = self.block.transactions.iter().map(|bytes| bytes.len() + 4 * ROW_FRAME_BYTES).sum();
        let events: usize = self.events.iter().map(|(key, value)| key.len() + value.len() + ROW_FRAME_BYTES).sum();
        // A receipt is about as long as its transaction.
        2 * transactions + events
    }
}

impl NodeSource for Store {
    fn node(&self, path: &BucketPath) -> Result<Option<Vec<u8>>, LedgerError> {
        let key = path.bytes();
        let mut rows = self.get_many::<StateBuckets>(&[&key])?;
        Ok(rows.pop().flatten().map(|bytes| bytes.to_vec()))
    }
}

fn check_order(applied: Applied, next: Applied) -> Result<(), LedgerError> {
    if next.index > applied.index && next.term >= applied.term {
        return Ok(());
    }
    Err(LedgerError::RaftOrder {
        applied_index: applied.index,
        applied_term: applied.term,
        index: next.index,
        term: next.term,
    })
}

fn check_root(height: u64, root: &'static str, expected: Hash, given: Hash) -> Result<(), LedgerError> {
    if expected == given { Ok(()) } else { Err(LedgerError::Root { height, root, expected, given }) }
}

pub(crate) fn put_block(batch: &mut Batch<'_>, commit: &BlockCommit<'_>) -> Result<(), LedgerError> {
    let header = &commit.block.header;
    let (headers, events) = (batch.column::<Headers>()?, batch.column::<Events>()?);
    let (transactions, receipts) = (batch.column::<Transactions>()?, batch.column::<Receipts>()?);
    let index = batch.column::<TransactionIndex>()?;
    batch.put(&headers, &header.height, header);
    for ((place, bytes), receipt) in (0..).zip(&commit.block.transactions).zip(commit.receipts) {
        let location = Location { height: header.height, index: place };
        batch.put(&transactions, &location, bytes);
        batch.put(&receipts, &location, receipt);
        batch.put(&index, &receipt.transaction, &location);
    }
    for (key, value) in commit.events {
        batch.put(&events, key, value);
    }
    if let Some(set) = commit.next_voters {
        let sets = batch.column::<VoterSets>()?;
        batch.put(&sets, &set.epoch, set);
    }
    Ok(())
}

fn put_state(batch: &mut Batch<'_>, state: &PreparedState, tree: &Levels) -> Result<(), LedgerError> {
    if !tree.is_current(&state.changes) {
        return Err(LedgerError::StalePreparedState);
    }
    let (values, buckets) = (batch.column::<State>()?, batch.column::<StateBuckets>()?);
    let leaves = batch.column::<StateLeaves>()?;
    for (key, value) in &state.writes {
        match value {
            Some(value) => batch.put(&values, key, value),
            None => batch.delete(&values, key),
        }
    }
    for (path, bytes) in &state.rows {
        match bytes {
            Some(bytes) => batch.put(&buckets, path, bytes),
            None => batch.delete(&buckets, path),
        }
    }
    let empty = crate::tree::leaf_hash(&[]);
    for (bucket, hash) in state.changes.levels.first().into_iter().flatten() {
        if *hash == empty {
            batch.delete(&leaves, bucket);
        } else {
            batch.put(&leaves, bucket, hash);
        }
    }
    Ok(())
}

/// Appends a header hash to the mountain range: its leaf and the nodes that it completes.
fn put_history(batch: &mut Batch<'_>, before: &HistoryPeaks, hash: Hash) -> Result<HistoryPeaks, LedgerError> {
    let column = batch.column::<History>()?;
    for (position, node) in completed_nodes(&before.range, hash) {
        batch.put(&column, &position, &node);
    }
    let mut after = before.clone();
    after.range.append(hash);
    meta::put(batch, &after)?;
    Ok(after)
}

/// The nodes of the mountain range that appending a header hash completes: its leaf, and one a level for as long as the
/// new node has a left sibling to join with, like a binary counter's carry.
pub(crate) fn completed_nodes(before: &MountainRange, hash: Hash) -> Vec<(HistoryPosition, Hash)> {
    let mut position = HistoryPosition { level: 0, index: before.length() };
    let mut node = hash;
    let mut nodes = vec![(position, node)];
    for peak in before.peaks().iter().rev() {
        if position.index.is_multiple_of(2) {
            break;
        }
        node = merkle::node(peak, &node);
        position = HistoryPosition { level: position.level + 1, index: position.index / 2 };
        nodes.push((position, node));
    }
    nodes
}
