//! Layer 1: the bytes of keys and values. Keys are big-endian, so that rows stand in the order of their heights;
//! values are canonical encodings.

use std::borrow::Cow;

use galen_types::encoding::{DecodeError, Encoding};
use galen_types::{Hash, NodeName, TransactionId};
use wincode::{SchemaRead, SchemaWrite};

use crate::constants::STORED_VALUE_BYTES_MAX;
use crate::tree::{bit, bucket_of};

/// A type that is the key of a column family.
pub(crate) trait Key {
    /// What reading a key gives.
    type Owned;
    /// The stored bytes.
    type Bytes<'key>: AsRef<[u8]>
    where
        Self: 'key;

    /// The stored bytes.
    fn bytes(&self) -> Self::Bytes<'_>;

    /// Reads stored bytes; `None` when they are no such key.
    fn read(bytes: &[u8]) -> Option<Self::Owned>;
}

/// A type that is the value of a column family.
pub(crate) trait Value {
    /// What reading a value gives.
    type Owned;

    /// The stored bytes.
    fn bytes(&self) -> Cow<'_, [u8]>;

    /// Reads stored bytes.
    fn read(bytes: &[u8]) -> Result<Self::Owned, DecodeError>;
}

impl Value for [u8] {
    type Owned = Vec<u8>;

    fn bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self)
    }

    fn read(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
        Ok(bytes.to_vec())
    }
}

impl<T: Encoding> Value for T {
    type Owned = T;

    fn bytes(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.encode())
    }

    fn read(bytes: &[u8]) -> Result<T, DecodeError> {
        T::decode(bytes, STORED_VALUE_BYTES_MAX)
    }
}

impl Key for [u8] {
    type Owned = Vec<u8>;
    type Bytes<'key> = &'key [u8];

    fn bytes(&self) -> &[u8] {
        self
    }

    fn read(bytes: &[u8]) -> Option<Vec<u8>> {
        Some(bytes.to_vec())
    }
}

/// Heights and epochs.
impl Key for u64 {
    type Owned = Self;
    type Bytes<'key> = [u8; 8];

    fn bytes(&self) -> [u8; 8] {
        self.to_be_bytes()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::from_be_bytes)
    }
}

/// Bucket numbers.
impl Key for u32 {
    type Owned = Self;
    type Bytes<'key> = [u8; 4];

    fn bytes(&self) -> [u8; 4] {
        self.to_be_bytes()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::from_be_bytes)
    }
}

impl Key for TransactionId {
    type Owned = Self;
    type Bytes<'key> = [u8; 32];

    fn bytes(&self) -> [u8; 32] {
        *self.0.as_bytes()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(Hash(bytes)))
    }
}

/// Where a transaction and its receipt stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, SchemaWrite, SchemaRead)]
pub struct Location {
    /// The block's height.
    pub height: u64,
    /// The transaction's place in the block, from 0.
    pub index: u32,
}

impl Key for Location {
    type Owned = Self;
    type Bytes<'key> = [u8; 12];

    fn bytes(&self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&self.height.to_be_bytes());
        bytes[8..].copy_from_slice(&self.index.to_be_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (height, index) = bytes.split_first_chunk::<8>()?;
        Some(Self { height: u64::from_be_bytes(*height), index: u32::from_be_bytes(index.try_into().ok()?) })
    }
}

/// A node of the mountain range over header hashes: the perfect tree of 2^level headers that starts at header
/// `index * 2^level + 1`. Level 0 holds the header hashes themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HistoryPosition {
    pub(crate) level: u8,
    pub(crate) index: u64,
}

impl Key for HistoryPosition {
    type Owned = Self;
    type Bytes<'key> = [u8; 9];

    fn bytes(&self) -> [u8; 9] {
        let mut bytes = [self.level; 9];
        bytes[1..].copy_from_slice(&self.index.to_be_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (level, index) = bytes.split_first()?;
        Some(Self { level: *level, index: u64::from_be_bytes(index.try_into().ok()?) })
    }
}

/// A voter's signature: height, then the voter's name as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SignatureKey {
    pub(crate) height: u64,
    pub(crate) voter: NodeName,
}

impl Key for SignatureKey {
    type Owned = Self;
    type Bytes<'key> = Vec<u8>;

    fn bytes(&self) -> Vec<u8> {
        [&self.height.to_be_bytes()[..], self.voter.to_string().as_bytes()].concat()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (height, voter) = bytes.split_first_chunk::<8>()?;
        let voter = std::str::from_utf8(voter).ok()?.parse().ok()?;
        Some(Self { height: u64::from_be_bytes(*height), voter })
    }
}

/// A deviant signature: height, the header hash that it names, then the voter's name as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EvidenceKey {
    pub(crate) height: u64,
    pub(crate) header: Hash,
    pub(crate) voter: NodeName,
}

impl Key for EvidenceKey {
    type Owned = Self;
    type Bytes<'key> = Vec<u8>;

    fn bytes(&self) -> Vec<u8> {
        [&self.height.to_be_bytes()[..], self.header.as_bytes(), self.voter.to_string().as_bytes()].concat()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (height, rest) = bytes.split_first_chunk::<8>()?;
        let (header, voter) = rest.split_first_chunk::<32>()?;
        let voter = std::str::from_utf8(voter).ok()?.parse().ok()?;
        Some(Self { height: u64::from_be_bytes(*height), header: Hash(*header), voter })
    }
}

/// A node of the state tree at or below a bucket: the bucket's number, how many bits below it, and those bits,
/// left-aligned. Depth 0 is the bucket itself; deeper ones exist where a bucket is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BucketPath {
    pub(crate) bucket: u32,
    pub(crate) depth: u8,
    pub(crate) bits: [u8; 32],
}

impl BucketPath {
    /// The bucket itself.
    pub(crate) fn root(bucket: u32) -> Self {
        Self { bucket, depth: 0, bits: [0; 32] }
    }

    /// One of the two halves.
    pub(crate) fn child(mut self, right: bool) -> Self {
        if right {
            self.bits[usize::from(self.depth / 8)] |= 0x80 >> (self.depth % 8);
        }
        self.depth += 1;
        self
    }

    /// The node above; `None` of the bucket itself.
    pub(crate) fn parent(mut self) -> Option<Self> {
        self.depth = self.depth.checked_sub(1)?;
        self.bits[usize::from(self.depth / 8)] &= !(0x80 >> (self.depth % 8));
        Some(self)
    }

    /// Whether a key hash belongs at or below this node of a tree with 2^`tree_bits` buckets.
    pub(crate) fn leads_to(&self, key_hash: &[u8], tree_bits: u8) -> bool {
        let Ok(key_hash) = <[u8; 32]>::try_from(key_hash).map(Hash) else { return false };
        let below = (0..self.depth).all(|depth| {
            bit(key_hash.as_bytes(), usize::from(tree_bits) + usize::from(depth)) == bit(&self.bits, usize::from(depth))
        });
        below && bucket_of(&key_hash, tree_bits) == self.bucket
    }
}

impl Key for BucketPath {
    type Owned = Self;
    type Bytes<'key> = Vec<u8>;

    fn bytes(&self) -> Vec<u8> {
        let bits = &self.bits[..usize::from(self.depth).div_ceil(8)];
        let mut bytes = Vec::with_capacity(5 + bits.len());
        bytes.extend_from_slice(&self.bucket.to_be_bytes());
        bytes.push(self.depth);
        bytes.extend_from_slice(bits);
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (bucket, rest) = bytes.split_first_chunk::<4>()?;
        let (&depth, given) = rest.split_first()?;
        if given.len() != usize::from(depth).div_ceil(8) {
            return None;
        }
        let mut bits = [0; 32];
        bits[..given.len()].copy_from_slice(given);
        Some(Self { bucket: u32::from_be_bytes(*bucket), depth, bits })
    }
}
