//! Merkle trees: the list tree behind transaction and receipt roots (the shape of RFC 6962, section 2.1) and the
//! Merkle mountain range over header hashes. Leaves and inner nodes are hashed under contexts of their own, so neither
//! passes for the other.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wincode::{SchemaRead, SchemaWrite};

use crate::hash::{Context, Hash};

/// The hash of a leaf's content.
pub fn leaf(content: &[u8]) -> Hash {
    Hash::of(Context::MerkleLeaf, content)
}

/// The hash of an inner node.
pub fn node(left: &Hash, right: &Hash) -> Hash {
    Hash::of_parts(Context::MerkleNode, &[left.as_bytes(), right.as_bytes()])
}

/// The root over a list of contents; of the empty list, a node that joins nothing, which is the root of no other list.
pub fn root<'content>(contents: impl Iterator<Item = &'content [u8]>) -> Hash {
    fold(contents.map(leaf).collect())
}

/// Folds leaf hashes to a root: pairs join level by level, an odd one rises unchanged. The result is RFC 6962's tree.
fn fold(mut level: Vec<Hash>) -> Hash {
    if level.is_empty() {
        return Hash::of(Context::MerkleNode, &[]);
    }
    while level.len() > 1 {
        level = next_level(&level);
    }
    level[0]
}

fn next_level(level: &[Hash]) -> Vec<Hash> {
    level
        .chunks(2)
        .map(|pair| match pair {
            [left, right] => node(left, right),
            rest => rest[0],
        })
        .collect()
}

/// Proof that a content stands at a place in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct ListProof {
    /// The content's place, from 0.
    pub index: u64,
    /// The list's length.
    pub length: u64,
    /// Siblings from the leaf upwards; levels at which the node rises unchanged have none.
    pub siblings: Vec<Hash>,
}

impl ListProof {
    /// The proof for the content at `index`, or `None` beyond the list's end.
    pub fn of(contents: &[&[u8]], index: usize) -> Option<Self> {
        if index >= contents.len() {
            return None;
        }
        let mut level: Vec<Hash> = contents.iter().map(|content| leaf(content)).collect();
        let (mut place, mut siblings) = (index, Vec::new());
        while level.len() > 1 {
            if let Some(sibling) = level.get(place ^ 1) {
                siblings.push(*sibling);
            }
            level = next_level(&level);
            place /= 2;
        }
        Some(Self { index: index as u64, length: contents.len() as u64, siblings })
    }

    /// Whether it proves that `content` stands at its index under `root`.
    pub fn proves(&self, content: &[u8], root: &Hash) -> bool {
        if self.index >= self.length {
            return false;
        }
        let (mut place, mut length) = (self.index, self.length);
        let mut hash = leaf(content);
        let mut siblings = self.siblings.iter();
        while length > 1 {
            if place ^ 1 < length {
                let Some(sibling) = siblings.next() else {
                    return false;
                };
                hash = if place % 2 == 0 { node(&hash, sibling) } else { node(sibling, &hash) };
            }
            place /= 2;
            length = length.div_ceil(2);
        }
        siblings.next().is_none() && hash == *root
    }
}

/// A Merkle mountain range: an append-only list whose root changes in O(log n). Keeps only its peaks.
#[derive(Debug, Clone, Default, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct MountainRange {
    /// Leaves appended.
    length: u64,
    /// Roots of the perfect trees, the largest first.
    peaks: Vec<Hash>,
}

impl MountainRange {
    /// The range over `length` leaves with these peaks, the largest first; `None` when a range of that length has another
    /// number of peaks.
    pub fn from_peaks(length: u64, peaks: Vec<Hash>) -> Option<Self> {
        (peaks.len() == length.count_ones() as usize).then_some(Self { length, peaks })
    }

    /// Appends a leaf hash.
    pub fn append(&mut self, hash: Hash) {
        let mut carried = hash;
        // As many peaks merge as the length has trailing one bits, like a binary counter's carry.
        for _ in 0..self.length.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                carried = node(&left, &carried);
            }
        }
        self.peaks.push(carried);
        self.length += 1;
    }

    /// Leaves appended so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The roots of the perfect trees, the largest first.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// The root: the length and all peaks.
    pub fn root(&self) -> Hash {
        let mut hasher = Context::HistoryPeaks.hasher();
        hasher.update(&self.length.to_le_bytes());
        for peak in &self.peaks {
            hasher.update(peak.as_bytes());
        }
        Hash(*hasher.finalize().as_bytes())
    }
}
