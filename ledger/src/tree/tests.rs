//! The tree against a reference that recomputes everything from a sorted map.

use std::collections::BTreeMap;

use galen_types::Hash;
use galen_types::hash::Context;
use proptest::prelude::*;

use super::bit;
use super::levels::Levels;
use super::prepare::{BucketUpdate, Change, NodeSource, by_bucket};
use crate::constants::BUCKET_KEYS_MAX;
use crate::error::LedgerError;
use crate::store::bytes::BucketPath;

const BITS: u8 = 3;

/// The tree as the ledger keeps it, with its rows in memory.
struct StoredTree {
    levels: Levels,
    rows: BTreeMap<BucketPath, Vec<u8>>,
}

struct Rows<'rows>(&'rows BTreeMap<BucketPath, Vec<u8>>);

impl NodeSource for Rows<'_> {
    fn node(&self, path: &BucketPath) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(self.0.get(path).cloned())
    }
}

impl StoredTree {
    fn new() -> Self {
        Self { levels: Levels::new(BITS), rows: BTreeMap::new() }
    }

    fn apply(&mut self, changes: &BTreeMap<Hash, Option<Hash>>) {
        let changes: Vec<Change> = changes.iter().map(|(key, value)| (*key, *value)).collect();
        let source = Rows(&self.rows);
        let mut update = BucketUpdate::new(&source, BITS);
        let mut leaves = Vec::new();
        for (bucket, changes) in by_bucket(&changes, BITS) {
            let stored = self.rows.get(&BucketPath::root(bucket)).map(Vec::as_slice);
            leaves.push((bucket, update.bucket(bucket, stored, changes).unwrap()));
        }
        for (path, row) in update.into_rows() {
            match row {
                Some(bytes) => self.rows.insert(path, bytes),
                None => self.rows.remove(&path),
            };
        }
        let changes = self.levels.prepare(leaves);
        self.levels.apply(&changes);
        assert_eq!(changes.root, self.levels.root());
    }
}

/// The root by the definition alone.
fn reference(entries: &[(&Hash, &Hash)], depth: usize) -> Hash {
    if depth >= usize::from(BITS) && entries.len() <= BUCKET_KEYS_MAX {
        let parts: Vec<&[u8]> =
            entries.iter().flat_map(|(key, value)| [key.as_bytes().as_slice(), value.as_bytes()]).collect();
        return Hash::of_parts(Context::StateBucket, &parts);
    }
    let middle = entries.partition_point(|(key, _)| !bit(key.as_bytes(), depth));
    let (left, right) = (reference(&entries[..middle], depth + 1), reference(&entries[middle..], depth + 1));
    Hash::of_parts(Context::StateNode, &[left.as_bytes(), right.as_bytes()])
}

fn reference_root(content: &BTreeMap<Hash, Hash>) -> Hash {
    reference(&content.iter().collect::<Vec<_>>(), 0)
}

/// Key hashes as an attacker would grind them: few bits differ after a long common prefix, so they share a bucket and
/// most of its splits.
fn key(ground: bool, number: u16) -> Hash {
    let mut bytes = [0xa5; 32];
    if ground {
        bytes[4..6].copy_from_slice(&(number % 512).to_be_bytes());
    } else {
        bytes[..2].copy_from_slice(&number.wrapping_mul(40_503).to_be_bytes());
    }
    Hash(bytes)
}

fn block() -> impl Strategy<Value = Vec<(bool, u16, Option<u8>)>> {
    prop::collection::vec((any::<bool>(), 0..600_u16, prop::option::weighted(0.6, any::<u8>())), 0..250)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any history of writes and deletions gives the root that its content alone defines, and the rows of that content.
    #[test]
    fn the_root_depends_on_the_content_alone(
        blocks in prop::collection::vec(block(), 1..8),
        kept in 0..150_usize,
    ) {
        let mut tree = StoredTree::new();
        let mut content = BTreeMap::new();
        for block in blocks {
            let mut changes = BTreeMap::new();
            for (ground, number, value) in block {
                changes.insert(key(ground, number), value.map(|value| Hash([value; 32])));
            }
            for (key, value) in &changes {
                match value {
                    Some(value) => content.insert(*key, *value),
                    None => content.remove(key),
                };
            }
            tree.apply(&changes);
            prop_assert_eq!(tree.levels.root(), reference_root(&content));
        }
        let mut fresh = StoredTree::new();
        fresh.apply(&content.iter().map(|(key, value)| (*key, Some(*value))).collect());
        prop_assert_eq!(&fresh.rows, &tree.rows);
        // Shrunk to a few keys, splits join to leaves.
        let shrunk: BTreeMap<Hash, Hash> = content.iter().rev().take(kept).map(|(key, value)| (*key, *value)).collect();
        let gone = content.keys().filter(|key| !shrunk.contains_key(*key)).map(|key| (*key, None)).collect();
        fresh.apply(&gone);
        prop_assert_eq!(fresh.levels.root(), reference_root(&shrunk));
        // Emptied, nothing is left.
        tree.apply(&content.keys().map(|key| (*key, None)).collect());
        prop_assert!(tree.rows.is_empty());
        prop_assert_eq!(tree.levels.root(), Levels::new(BITS).root());
    }
}

#[test]
fn ground_keys_split_their_bucket_and_join_again() {
    let mut tree = StoredTree::new();
    let all: BTreeMap<Hash, Option<Hash>> = (0..512).map(|number| (key(true, number), Some(Hash([1; 32])))).collect();
    tree.apply(&all);
    let deepest = tree.rows.keys().map(|path| path.depth).max().unwrap();
    assert!(deepest > 35, "the common prefix is 4 bytes and 7 bits; the deepest row is at {deepest}");
    assert!(tree.rows.values().all(|row| row.len() <= 1 + 64 * 64), "no row is longer than a full leaf");
    let most: BTreeMap<Hash, Option<Hash>> = all.keys().skip(64).map(|key| (*key, None)).collect();
    tree.apply(&most);
    assert_eq!(tree.rows.len(), 1, "64 keys are one leaf again");
}
