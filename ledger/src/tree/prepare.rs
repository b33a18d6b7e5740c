//! What a block's writes make of the buckets: new leaves, splits, joins, and the rows to store for them.

use std::cmp::Ordering;

use galen_types::Hash;
use galen_types::hash::Context;

use super::bucket::{ENTRY_BYTES, Half, Node, entry_key};
use super::{Hasher, bit, bucket_of};
use crate::constants::BUCKET_KEYS_MAX;
use crate::error::LedgerError;
use crate::store::bytes::{BucketPath, Key as _};
use crate::store::column::{Column as _, StateBuckets};
use crate::store::place_in;

/// A change of one key: its hash and the hash of its new value, `None` when deleted.
pub(crate) type Change = (Hash, Option<Hash>);

/// A row of a node to store; `None` removes it.
pub(crate) type NodeRow = (BucketPath, Option<Vec<u8>>);

/// Gives stored nodes.
pub(crate) trait NodeSource {
    /// The stored bytes of a node.
    fn node(&self, path: &BucketPath) -> Result<Option<Vec<u8>>, LedgerError>;
}

/// The changes that writes make, sorted by key hash. Sound also for unsorted writes as long as each key stands once.
pub(crate) fn changes_of(writes: &[(Vec<u8>, Option<Vec<u8>>)]) -> Vec<Change> {
    let (mut keys, mut values) = (Hasher::new(Context::StateKey), Hasher::new(Context::StateValue));
    let mut changes: Vec<Change> =
        writes.iter().map(|(key, value)| (keys.of(&[key]), value.as_ref().map(|value| values.of(&[value])))).collect();
    changes.sort_unstable_by_key(|(hash, _)| *hash);
    changes
}

/// Applies changes to buckets and collects the rows to store.
pub(crate) struct BucketUpdate<'source, S> {
    source: &'source S,
    bits: u8,
    rows: Vec<NodeRow>,
}

impl<'source, S: NodeSource> BucketUpdate<'source, S> {
    pub(crate) fn new(source: &'source S, bits: u8) -> Self {
        Self { source, bits, rows: Vec::new() }
    }

    /// Applies the changes of one bucket (all of them, sorted) to its stored node; gives its new hash.
    pub(crate) fn bucket(
        &mut self,
        bucket: u32,
        stored: Option<&[u8]>,
        changes: &[Change],
    ) -> Result<Hash, LedgerError> {
        let path = BucketPath::root(bucket);
        let node = match stored {
            Some(bytes) => decode(&path, bytes)?,
            None => Node::Leaf(Vec::new()),
        };
        let updated = self.update(&path, node, changes)?;
        let hash = updated.hash();
        self.store(path, &updated);
        Ok(hash)
    }

    /// The rows to store.
    pub(crate) fn into_rows(self) -> Vec<NodeRow> {
        self.rows
    }

    /// Applies changes to a node. Rows below it are collected; its own row is left to the caller, because a split above
    /// may take a leaf in.
    fn update(&mut self, path: &BucketPath, node: Node, changes: &[Change]) -> Result<Node, LedgerError> {
        match node {
            Node::Leaf(entries) => Ok(self.node_of(path, merge(&entries, changes))),
            Node::Split(halves) => self.update_split(path, halves, changes),
        }
    }

    fn update_split(&mut self, path: &BucketPath, halves: [Half; 2], changes: &[Change]) -> Result<Node, LedgerError> {
        let place = self.place_below(path);
        let middle = changes.partition_point(|(hash, _)| !bit(hash.as_bytes(), place));
        let (left, right) = changes.split_at(middle);
        let mut updated: [Option<Node>; 2] = [None, None];
        let mut halves = halves;
        for (side, side_changes) in [left, right].into_iter().enumerate() {
            if side_changes.is_empty() {
                continue;
            }
            let child = path.child(side == 1);
            let node = self.load(&child, halves[side].count)?;
            let node = self.update(&child, node, side_changes)?;
            halves[side] = node.half();
            updated[side] = Some(node);
        }
        let split = Node::Split(halves);
        if split.count() > BUCKET_KEYS_MAX as u64 {
            for (side, node) in updated.iter().enumerate() {
                if let Some(node) = node {
                    self.store(path.child(side == 1), node);
                }
            }
            return Ok(split);
        }
        // Few enough for one leaf again: take both halves in.
        let mut entries = Vec::with_capacity(BUCKET_KEYS_MAX * ENTRY_BYTES);
        for (side, node) in updated.into_iter().enumerate() {
            let child = path.child(side == 1);
            let node = match node {
                Some(node) => node,
                None => self.load(&child, halves[side].count)?,
            };
            let Node::Leaf(half) = node else { return Err(damaged(&child, "a split with too few keys")) };
            entries.extend_from_slice(&half);
            self.rows.push((child, None));
        }
        Ok(Node::Leaf(entries))
    }

    /// The node of sorted entries: a leaf, or splits whose descendants' rows are collected.
    fn node_of(&mut self, path: &BucketPath, entries: Vec<u8>) -> Node {
        let place = self.place_below(path);
        // Beyond the last bit no two key hashes differ, so a leaf there holds one key.
        if entries.len() <= BUCKET_KEYS_MAX * ENTRY_BYTES || place >= 256 || path.depth == u8::MAX {
            return Node::Leaf(entries);
        }
        let mut middle = 0;
        for entry in entries.chunks(ENTRY_BYTES) {
            let key: &[u8] = entry_key(entry);
            if <&[u8; 32]>::try_from(key).is_ok_and(|key| bit(key, place)) {
                break;
            }
            middle += ENTRY_BYTES;
        }
        let mut half = |entries: &[u8], right: bool| {
            let child = path.child(right);
            let node = self.node_of(&child, entries.to_vec());
            self.store(child, &node);
            node.half()
        };
        let (left, right) = entries.split_at(middle);
        Node::Split([half(left, false), half(right, true)])
    }

    fn store(&mut self, path: BucketPath, node: &Node) {
        self.rows.push((path, (node.count() > 0).then(|| node.encode())));
    }

    fn load(&self, path: &BucketPath, count: u64) -> Result<Node, LedgerError> {
        if count == 0 {
            return Ok(Node::Leaf(Vec::new()));
        }
        match self.source.node(path)? {
            Some(bytes) => decode(path, &bytes),
            None => Err(damaged(path, "the row is missing")),
        }
    }

    /// Which bit of a key hash chooses the half below a node.
    fn place_below(&self, path: &BucketPath) -> usize {
        usize::from(self.bits) + usize::from(path.depth)
    }
}

/// The buckets that changes touch, each with its slice of changes.
pub(crate) fn by_bucket(changes: &[Change], bits: u8) -> impl Iterator<Item = (u32, &[Change])> {
    changes
        .chunk_by(move |left, right| bucket_of(&left.0, bits) == bucket_of(&right.0, bits))
        .filter_map(move |chunk| Some((bucket_of(&chunk.first()?.0, bits), chunk)))
}

/// Merges sorted changes into sorted entries.
fn merge(entries: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut merged = Vec::with_capacity(entries.len() + changes.len() * ENTRY_BYTES);
    let mut rest = entries.chunks_exact(ENTRY_BYTES).peekable();
    for (hash, value) in changes {
        let key = hash.as_bytes().as_slice();
        while let Some(entry) = rest.next_if(|entry| entry_key(entry).cmp(key) == Ordering::Less) {
            merged.extend_from_slice(entry);
        }
        // The entry of the same key is replaced or dropped.
        rest.next_if(|entry| entry_key(entry) == key);
        if let Some(value) = value {
            merged.extend_from_slice(key);
            merged.extend_from_slice(value.as_bytes());
        }
    }
    rest.for_each(|entry| merged.extend_from_slice(entry));
    merged
}

/// Decodes a stored node.
pub(crate) fn decode(path: &BucketPath, bytes: &[u8]) -> Result<Node, LedgerError> {
    Node::decode(bytes).ok_or_else(|| damaged(path, "the node is malformed"))
}

fn damaged(path: &BucketPath, problem: &str) -> LedgerError {
    LedgerError::Damaged {
        column: StateBuckets::NAME,
        place: place_in(StateBuckets::NAME, &path.bytes()),
        problem: problem.to_owned(),
    }
}
