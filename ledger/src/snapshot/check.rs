//! Whether the rows of the state and the tree over them say the same, in two sweeps and constant memory.
//!
//! Opening a ledger compares the tree's leaves with the header's state root. That leaves two seams: between leaves and
//! buckets, which are hashed here, and between buckets and the state's rows. The latter are compared by a sum over the
//! hashes of their entries, modulo 2^64 in four lanes: no order is needed, and no accident keeps it.

use std::collections::BTreeMap;

use galen_types::Hash;

use super::SnapshotError;
use crate::halt::Halt;
use crate::ledger::Ledger;
use crate::store::Span;
use crate::store::bytes::BucketPath;
use crate::store::column::{State, StateBuckets, StateLeaves};
use crate::tree::bucket::{ENTRY_BYTES, Half, Node};
use crate::tree::prepare::decode;
use crate::tree::{key_hash, leaf_hash, value_hash};

/// A sum over entries of the tree that does not depend on their order.
#[derive(Debug, Default, PartialEq, Eq)]
struct EntrySum {
    lanes: [u64; 4],
    entries: u64,
}

impl EntrySum {
    fn add(&mut self, entry: &[u8]) {
        let hash = leaf_hash(entry);
        for (lane, bytes) in self.lanes.iter_mut().zip(hash.as_bytes().as_chunks::<8>().0) {
            *lane = lane.wrapping_add(u64::from_le_bytes(*bytes));
        }
        self.entries += 1;
    }
}

/// Checks the whole state of a ledger that nobody writes; gives every row to `each` in ascending order of key.
///
/// # Errors
/// [`SnapshotError::Unsound`] when rows and tree differ, [`SnapshotError::Halted`], and what `each` says.
pub(crate) fn check_state(
    ledger: &Ledger,
    halt: &Halt,
    mut each: impl FnMut(Vec<u8>, Vec<u8>) -> Result<(), SnapshotError>,
) -> Result<u64, SnapshotError> {
    let height = ledger.tip()?.height;
    let unsound = |problem: &str| SnapshotError::Unsound { height, problem: problem.to_owned() };
    let mut of_rows = EntrySum::default();
    let reader = ledger.store.reader();
    for row in reader.sweep::<State>(Span::default())? {
        let (key, value) = row?;
        let (key_hash, value_hash) = (key_hash(&key), value_hash(&value));
        of_rows.add(&[*key_hash.as_bytes(), *value_hash.as_bytes()].concat());
        halt.look()?;
        each(key, value)?;
    }
    let mut of_tree = EntrySum::default();
    let tree = ledger.tree()?;
    // Halves of splits in the bucket that is being read, whose own rows are still to come.
    let mut halves: BTreeMap<BucketPath, Half> = BTreeMap::new();
    let empty = Half { count: 0, hash: leaf_hash(&[]) };
    let mut buckets = 0;
    for row in reader.sweep::<StateBuckets>(Span::default())? {
        let (path, bytes) = row?;
        halt.look()?;
        let node = decode(&path, &bytes)?;
        if path.depth == 0 {
            // An empty half has no row.
            if halves.values().any(|half| *half != empty) {
                return Err(unsound("a bucket of the state tree lacks a half"));
            }
            halves.clear();
            buckets += 1;
            let known = path.bucket >> tree.bits() == 0;
            if !known || tree.node(tree.bits(), path.bucket) != node.hash() {
                return Err(unsound("a bucket of the state tree does not have the hash of its leaf"));
            }
        } else if halves.remove(&path) != Some(node.half()) {
            return Err(unsound("a half of a split bucket does not have the hash that the split names"));
        }
        match node {
            Node::Leaf(entries) => entries.chunks_exact(ENTRY_BYTES).for_each(|entry| of_tree.add(entry)),
            Node::Split([left, right]) if path.depth < u8::MAX => {
                halves.insert(path.child(false), left);
                halves.insert(path.child(true), right);
            }
            Node::Split(_) => return Err(unsound("a bucket is split deeper than a key hash has bits")),
        }
    }
    if halves.values().any(|half| *half != empty) {
        return Err(unsound("a bucket of the state tree lacks a half"));
    }
    let mut leaves = 0;
    for row in reader.sweep::<StateLeaves>(Span::default())? {
        let _: (u32, Hash) = row?;
        leaves += 1;
    }
    if leaves != buckets {
        return Err(unsound("the state tree has leaves without buckets"));
    }
    if of_rows != of_tree {
        return Err(unsound("the rows of the state are not those of its tree"));
    }
    Ok(of_rows.entries)
}
