//! What is stored of the state tree at and below a bucket.

use galen_types::Hash;

use super::{inner_hash, leaf_hash};

/// Bytes of an entry of a leaf: key hash and value hash.
pub(crate) const ENTRY_BYTES: usize = 64;

/// First byte of a stored leaf; its entries follow.
const LEAF: u8 = 1;
/// First byte of a stored split; the halves follow, each as count (u64, little-endian) and hash.
const SPLIT: u8 = 2;

/// A node at or below a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    /// At most 64 entries, in ascending order of key hash.
    Leaf(Vec<u8>),
    /// More: two halves by the next bit.
    Split([Half; 2]),
}

/// What a split keeps of a half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Half {
    /// Keys in it.
    pub(crate) count: u64,
    /// Its hash.
    pub(crate) hash: Hash,
}

impl Node {
    /// Keys in it.
    pub(crate) fn count(&self) -> u64 {
        match self {
            Self::Leaf(entries) => (entries.len() / ENTRY_BYTES) as u64,
            Self::Split([left, right]) => left.count.saturating_add(right.count),
        }
    }

    /// Its hash.
    pub(crate) fn hash(&self) -> Hash {
        match self {
            Self::Leaf(entries) => leaf_hash(entries),
            Self::Split([left, right]) => inner_hash(&left.hash, &right.hash),
        }
    }

    /// What a split above keeps of it.
    pub(crate) fn half(&self) -> Half {
        Half { count: self.count(), hash: self.hash() }
    }

    /// The stored bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Leaf(entries) => {
                let mut bytes = Vec::with_capacity(1 + entries.len());
                bytes.push(LEAF);
                bytes.extend_from_slice(entries);
                bytes
            }
            Self::Split(halves) => {
                let mut bytes = vec![SPLIT];
                for half in halves {
                    bytes.extend_from_slice(&half.count.to_le_bytes());
                    bytes.extend_from_slice(half.hash.as_bytes());
                }
                bytes
            }
        }
    }

    /// Reads stored bytes; `None` when they are no node.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&tag, content) = bytes.split_first()?;
        match tag {
            LEAF if content.len().is_multiple_of(ENTRY_BYTES) => Some(Self::Leaf(content.to_vec())),
            SPLIT => {
                let (left, right) = content.split_first_chunk::<40>()?;
                Some(Self::Split([Half::decode(left)?, Half::decode(right)?]))
            }
            _ => None,
        }
    }
}

impl Half {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (count, hash) = bytes.split_first_chunk::<8>()?;
        Some(Self { count: u64::from_le_bytes(*count), hash: Hash(hash.try_into().ok()?) })
    }
}

/// The key hash of an entry.
pub(crate) fn entry_key(entry: &[u8]) -> &[u8] {
    &entry[..entry.len().min(32)]
}
