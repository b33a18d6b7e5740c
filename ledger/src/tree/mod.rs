//! The state tree: a binary BLAKE3 Merkle tree over 2^bits buckets, with a proof of presence or absence for every key.
//!
//! ```text
//!   root                     level 0
//!    ├── node ...            inner node: StateNode(left, right)
//!    │    └── bucket         level `bits`: one per value of the first `bits` bits of StateKey(key)
//!    │         leaf          at most 64 keys: StateBucket(key hash, value hash, key hash, value hash, ...), sorted
//!    │         or split      more: StateNode(left half, right half), halves by the next bit, and so on
//! ```
//!
//! A node below the buckets is a leaf if and only if it holds at most 64 keys, so the root depends on the content alone
//! and never on the order in which it came. Leaves and inner nodes are hashed under contexts of their own, so a proof
//! cannot pass one for the other. Levels 0 to `bits` are held in memory, in pages allocated when first touched; what is
//! below is read from the store when a bucket is written.
//!
//! A tree this shape costs 1.3 µs a key on one core, against 15 to 39 µs for a Jellyfish Merkle tree (measured for the
//! design).

pub(crate) mod bucket;
pub(crate) mod levels;
pub(crate) mod prepare;
#[cfg(test)]
mod tests;

use galen_types::Hash;
use galen_types::hash::Context;

/// Makes many hashes of one context: starting anew costs less than copying a hasher (2 KB) each time.
pub(crate) struct Hasher(blake3::Hasher);

impl Hasher {
    pub(crate) fn new(context: Context) -> Self {
        Self(context.hasher())
    }

    /// The hash of parts joined.
    pub(crate) fn of(&mut self, parts: &[&[u8]]) -> Hash {
        self.0.reset();
        for part in parts {
            self.0.update(part);
        }
        Hash(*self.0.finalize().as_bytes())
    }
}

/// The hash of an inner node.
pub(crate) fn inner_hash(left: &Hash, right: &Hash) -> Hash {
    Hash::of_parts(Context::StateNode, &[left.as_bytes(), right.as_bytes()])
}

/// The hash of a leaf: its sorted entries, each the hashes of key and value. Entries have a fixed width, so the bytes
/// are unambiguous.
pub(crate) fn leaf_hash(entries: &[u8]) -> Hash {
    Hash::of(Context::StateBucket, entries)
}

/// Where a key stands in the tree.
pub(crate) fn key_hash(key: &[u8]) -> Hash {
    Hash::of(Context::StateKey, key)
}

/// What a leaf keeps of a value.
pub(crate) fn value_hash(value: &[u8]) -> Hash {
    Hash::of(Context::StateValue, value)
}

/// The bit of a hash at a place from 0, the most significant first. At most 255 by every caller's bound.
pub(crate) fn bit(hash: &[u8; 32], place: usize) -> bool {
    hash.get(place / 8).is_some_and(|byte| byte & (0x80 >> (place % 8)) != 0)
}

/// The bucket of a key hash: its first `bits` bits (at most 24).
pub(crate) fn bucket_of(hash: &Hash, bits: u8) -> u32 {
    let [a, b, c, d, ..] = *hash.as_bytes();
    u32::from_be_bytes([a, b, c, d]) >> (32 - u32::from(bits))
}
