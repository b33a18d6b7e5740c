//! Proofs that a key has a value in the state, or has none, under the state root of a header. Checking one needs no
//! store.

use std::sync::RwLockReadGuard;

use galen_types::proof::KeyProof;
use galen_types::{BlockHeader, Hash};
use wincode::{SchemaRead, SchemaWrite};

use crate::constants::BUCKET_KEYS_MAX;
use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::store::bytes::BucketPath;
use crate::store::column::{Column as _, State, StateBuckets};
use crate::tree::bucket::Node;
use crate::tree::levels::Levels;
use crate::tree::prepare::{NodeSource as _, decode};
use crate::tree::{bit, bucket_of, inner_hash, key_hash, leaf_hash, value_hash};

/// Proof of presence or absence of a key: the whole leaf where the key stands or would stand, and the hashes beside the
/// path from it to the root. At most 4 KiB of entries and 256 siblings.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct StateProof {
    /// The leaf's entries in ascending order: hashes of key and value.
    pub entries: Vec<(Hash, Hash)>,
    /// Siblings from the leaf upwards.
    pub siblings: Vec<Hash>,
}

/// Why a proof does not prove what it is given for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateProofError {
    /// Not the shape of a proof.
    #[error("the state proof is malformed: {0}")]
    Malformed(&'static str),
    /// It leads to another root.
    #[error("the state proof leads to root {computed}, not {expected}: it is of another height or was altered")]
    Root {
        /// The root given.
        expected: Hash,
        /// The root it leads to.
        computed: Hash,
    },
    /// The leaf says otherwise.
    #[error("the state under this root has another value for the key, or none, or has one where none is claimed")]
    Value,
}

impl StateProofError {
    /// A stable code for interfaces and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "state-proof-malformed",
            Self::Root { .. } => "state-proof-root",
            Self::Value => "state-proof-value",
        }
    }
}

impl StateProof {
    /// Checks that `key` has `value` (or none) in the state with this root.
    ///
    /// # Errors
    /// [`StateProofError`] saying what does not hold.
    pub fn verify(&self, root: &Hash, key: &[u8], value: Option<&[u8]>) -> Result<(), StateProofError> {
        if self.entries.len() > BUCKET_KEYS_MAX {
            return Err(StateProofError::Malformed("more entries than a leaf holds"));
        }
        if self.siblings.len() > 256 {
            return Err(StateProofError::Malformed("a path longer than a key hash"));
        }
        if !self.entries.is_sorted_by(|left, right| left.0 < right.0) {
            return Err(StateProofError::Malformed("entries out of order"));
        }
        let wanted = key_hash(key);
        let bytes: Vec<u8> = self.entries.iter().flat_map(|(key, value)| [key.0, value.0]).flatten().collect();
        // The bits of the key's own hash lead down from the root, and leaves and inner nodes hash under contexts of
        // their own: the leaf at the end of this path is the only one in which the key can stand.
        let mut hash = leaf_hash(&bytes);
        for (depth, sibling) in (0..self.siblings.len()).rev().zip(&self.siblings) {
            let right = bit(wanted.as_bytes(), depth);
            hash = if right { inner_hash(sibling, &hash) } else { inner_hash(&hash, sibling) };
        }
        if hash != *root {
            return Err(StateProofError::Root { expected: *root, computed: hash });
        }
        let found = self.entries.iter().find(|(key, _)| *key == wanted).map(|(_, value)| *value);
        if found == value.map(value_hash) { Ok(()) } else { Err(StateProofError::Value) }
    }
}

impl Ledger {
    /// Proves what the latest state says of a key. Gives the proof and the header whose `state_root` it holds under;
    /// `None` before the first block.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn prove_state(&self, key: &[u8]) -> Result<(StateProof, Option<BlockHeader>), LedgerError> {
        let (tree, header) = self.tree_at_tip()?;
        Ok((self.prove_in(&tree, key)?, header))
    }

    /// The same for several keys at one moment, with their values.
    pub(crate) fn prove_each(&self, keys: &[Vec<u8>]) -> Result<(Vec<KeyProof>, Option<BlockHeader>), LedgerError> {
        let (tree, header) = self.tree_at_tip()?;
        // Commits wait for the tree, so values read now are of the same height.
        let reader = self.store.reader();
        let mut proofs = Vec::with_capacity(keys.len());
        for key in keys {
            let StateProof { entries, siblings } = self.prove_in(&tree, key)?;
            let value = reader.get::<State>(key.as_slice())?;
            proofs.push(KeyProof { key: key.clone(), value, entries, siblings });
        }
        Ok((proofs, header))
    }

    /// The tree, held, and the newest header, whose state it is.
    fn tree_at_tip(&self) -> Result<(RwLockReadGuard<'_, Levels>, Option<BlockHeader>), LedgerError> {
        // The order of locks is that of a commit: head, then tree.
        let head = self.head()?;
        let tree = self.tree()?;
        let header = head.tip.header.clone();
        Ok((tree, header))
    }

    fn prove_in(&self, tree: &Levels, key: &[u8]) -> Result<StateProof, LedgerError> {
        let wanted = key_hash(key);
        let bucket = bucket_of(&wanted, tree.bits());
        let mut siblings = tree.siblings(bucket);
        siblings.reverse();
        let mut path = BucketPath::root(bucket);
        loop {
            let node = match self.store.node(&path)? {
                Some(bytes) => decode(&path, &bytes)?,
                None => Node::Leaf(Vec::new()),
            };
            match node {
                Node::Leaf(entries) => {
                    siblings.reverse();
                    return Ok(StateProof { entries: pairs(&entries), siblings });
                }
                Node::Split([left, right]) => {
                    let place = usize::from(tree.bits()) + usize::from(path.depth);
                    let go_right = bit(wanted.as_bytes(), place);
                    siblings.push(if go_right { left.hash } else { right.hash });
                    if path.depth == u8::MAX {
                        return Err(LedgerError::Damaged {
                            column: StateBuckets::NAME,
                            place: format!("bucket {bucket}"),
                            problem: String::from("it is split deeper than a key hash has bits"),
                        });
                    }
                    path = path.child(go_right);
                }
            }
        }
    }
}

/// A stored leaf's entries.
fn pairs(entries: &[u8]) -> Vec<(Hash, Hash)> {
    let mut pairs = Vec::with_capacity(entries.len() / 64);
    for entry in entries.chunks_exact(64) {
        let mut pair = (Hash::ZERO, Hash::ZERO);
        pair.0.0.copy_from_slice(&entry[..32]);
        pair.1.0.copy_from_slice(&entry[32..]);
        pairs.push(pair);
    }
    pairs
}
