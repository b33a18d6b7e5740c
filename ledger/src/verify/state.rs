//! State and state tree say the same, up to the root in the last header.

use galen_types::Hash;

use super::finding::Problem;
use super::sweep::{Sweep, SweptRow};
use super::{Rules, Run, Step};
use crate::constants::BUCKET_KEYS_MAX;
use crate::store::Reader;
use crate::store::bytes::{BucketPath, Key as _};
use crate::store::column::{Headers, State, StateBuckets, StateLeaves};
use crate::tree::bucket::{ENTRY_BYTES, Half, Node, entry_key};
use crate::tree::levels::Levels;
use crate::tree::{bit, bucket_of, key_hash, leaf_hash, value_hash};

pub(super) fn verify(reader: &Reader<'_>, run: &mut Run<'_>, rules: &mut dyn Rules, root: Option<Hash>) {
    let bits = run.options.ledger.state_bucket_bits;
    let mut tree = Levels::new(bits);
    let mut buckets = Vec::new();
    let mut keys_in_tree = 0;
    let mut rows = Sweep::<StateBuckets>::new(reader, &mut run.findings);
    while let Some(row) = rows.next(&mut run.findings) {
        let Some(node) = check_node(reader, run, &row, bits) else { continue };
        if row.key.depth == 0 {
            keys_in_tree += node.count();
            buckets.push((row.key.bucket, node.hash()));
        }
    }
    let changes = tree.prepare(buckets);
    tree.apply(&changes);
    let root_holds = root.is_none_or(|root| root == tree.root());
    if let Some(root) = root {
        let height = run.report.height.bytes();
        run.findings.check::<Headers, _>(&height, "state root", &root, &tree.root());
    }
    let mut leaves = Sweep::<StateLeaves>::new(reader, &mut run.findings);
    let mut leaf_rows = 0;
    while let Some(row) = leaves.next(&mut run.findings) {
        leaf_rows += 1;
        let Some(hash) = row.value else { continue };
        if row.key >> bits != 0 || tree.bucket_is_empty(row.key) {
            run.findings.add::<StateLeaves>(&row.key_bytes, Problem::Stray);
        } else {
            let computed = tree.node(bits, row.key);
            run.findings.check::<StateLeaves, _>(&row.key_bytes, "hash", &hash, &computed);
            // When the buckets do not give the header's root, one that differs from its leaf is suspect itself.
            if !root_holds {
                run.findings.check::<StateBuckets, _>(&BucketPath::root(row.key).bytes(), "hash", &computed, &hash);
            }
        }
    }
    let touched = changes.levels.first().map_or(0, Vec::len);
    if leaf_rows < touched {
        let missing = format!("{} of {touched} buckets", touched - leaf_rows);
        run.findings.add_at::<StateLeaves>(missing, Problem::Missing);
    }
    check_values(reader, run, rules, bits, keys_in_tree);
}

/// Checks a node by itself, against its halves and against the node above.
fn check_node(reader: &Reader<'_>, run: &mut Run<'_>, row: &SweptRow<StateBuckets>, bits: u8) -> Option<Node> {
    let key = &row.key_bytes;
    let path = &row.key;
    let malformed = |text: &str| Problem::Malformed(text.to_owned());
    let Some(node) = Node::decode(&row.value_bytes) else {
        run.findings.add::<StateBuckets>(key, malformed("no node of the tree"));
        return None;
    };
    if path.bucket >> bits != 0 {
        run.findings.add::<StateBuckets>(key, Problem::Stray);
        return None;
    }
    if let Some(parent) = path.parent() {
        let above = reader.get::<StateBuckets>(&parent).ok().flatten();
        if !matches!(above.and_then(|bytes| Node::decode(&bytes)), Some(Node::Split(_))) {
            run.findings.add::<StateBuckets>(key, Problem::Stray);
        }
    }
    match &node {
        Node::Leaf(entries) => {
            if entries.is_empty() || entries.len() > BUCKET_KEYS_MAX * ENTRY_BYTES {
                run.findings.add::<StateBuckets>(key, malformed("an empty or overfull leaf"));
            }
            let entries: Vec<&[u8]> = entries.chunks_exact(ENTRY_BYTES).map(entry_key).collect();
            if !entries.is_sorted_by(|left, right| left < right)
                || !entries.iter().all(|entry| path.leads_to(entry, bits))
            {
                run.findings.add::<StateBuckets>(key, malformed("entries out of order or of another bucket"));
            }
        }
        Node::Split(halves) => {
            if node.count() <= BUCKET_KEYS_MAX as u64 {
                run.findings.add::<StateBuckets>(key, malformed("a split with too few keys"));
            }
            for (right, half) in [(false, &halves[0]), (true, &halves[1])] {
                if path.depth < u8::MAX {
                    check_half(reader, run, &path.child(right), half);
                }
            }
        }
    }
    Some(node)
}

fn check_half(reader: &Reader<'_>, run: &mut Run<'_>, path: &BucketPath, half: &Half) {
    let stored = match reader.get::<StateBuckets>(path) {
        Ok(Some(bytes)) => Node::decode(&bytes).map(|node| node.half()),
        Ok(None) => Some(Half { count: 0, hash: leaf_hash(&[]) }),
        Err(error) => {
            run.findings.add_error::<StateBuckets>(&path.bytes(), error);
            return;
        }
    };
    // A malformed node is reported where it stands.
    let Some(stored) = stored else { return };
    run.findings.check::<StateBuckets, _>(&path.bytes(), "hash", &stored.hash, &half.hash);
    run.findings.check::<StateBuckets, _>(&path.bytes(), "count of keys", &stored.count, &half.count);
}

/// Every value of the state stands in the tree, and the tree holds no other.
fn check_values(reader: &Reader<'_>, run: &mut Run<'_>, rules: &mut dyn Rules, bits: u8, keys_in_tree: u64) {
    let mut rows = Sweep::<State>::new(reader, &mut run.findings);
    let mut found = 0;
    while let Some(row) = rows.next(&mut run.findings) {
        run.report.state_keys += 1;
        let hash = key_hash(&row.key_bytes);
        match entry(reader, &hash, bits) {
            None => run.findings.add::<State>(&row.key_bytes, Problem::Stray),
            Some(expected) => {
                found += 1;
                let stored = value_hash(&row.value_bytes);
                run.findings.check::<State, _>(&row.key_bytes, "hash of the value", &stored, &expected);
            }
        }
        run.progress(rules, Step::State, run.report.state_keys, Some(keys_in_tree));
    }
    if found < keys_in_tree {
        let missing = format!("{} of {keys_in_tree} keys of the tree", keys_in_tree - found);
        run.findings.add_at::<State>(missing, Problem::Missing);
    }
}

/// What the tree holds for a key.
fn entry(reader: &Reader<'_>, wanted: &Hash, bits: u8) -> Option<Hash> {
    let mut path = BucketPath::root(bucket_of(wanted, bits));
    loop {
        let bytes = reader.get::<StateBuckets>(&path).ok().flatten()?;
        match Node::decode(&bytes)? {
            Node::Leaf(entries) => {
                let mut entries = entries.chunks_exact(ENTRY_BYTES);
                let entry = entries.find(|entry| entry_key(entry) == wanted.as_bytes())?;
                return entry.get(32..)?.try_into().ok().map(Hash);
            }
            Node::Split(_) if path.depth == u8::MAX => return None,
            Node::Split(_) => path = path.child(bit(wanted.as_bytes(), usize::from(bits) + usize::from(path.depth))),
        }
    }
}

/// The first bytes of a value, in print.
pub(super) fn print(bytes: &[u8]) -> String {
    let shown = bytes.len().min(32);
    let text: String = bytes[..shown].iter().map(|byte| format!("{byte:02x}")).collect();
    if shown < bytes.len() { format!("{text}... ({} bytes)", bytes.len()) } else { text }
}
