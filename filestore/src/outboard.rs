//! The hash tree beside a stored file: BLAKE3's own tree down to groups of 16 KiB, so that any range is checked against
//! the file's name. Built while the ciphertext streams by; laid out in bao-tree's post order, then a footer:
//!
//! ```text
//! pairs of child hashes in post order (64 bytes each) | SHA-256 of the file (32) | its length (u64, little-endian)
//! | "galenob1" | check of the footer (32)
//! ```
//!
//! The check binds the footer to the file's name, so that a damaged footer is told from a damaged file.

use bao_tree::{BaoTree, BlockSize};
use blake3::hazmat::{ChainingValue, HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root};
use galen_types::Hash;

/// Bytes that are checked at once: 16 chunks of BLAKE3.
pub(crate) const GROUP_BYTES: usize = 16 << 10;
/// Bytes of a pair of hashes.
pub(crate) const PAIR_BYTES: usize = 64;
/// Bytes of the footer.
pub(crate) const FOOTER_BYTES: usize = 80;

const MAGIC: &[u8; 8] = b"galenob1";
const CHECK_CONTEXT: &str = "galen 2026 outboard footer v1";

/// The tree's shape for a file of `bytes`.
pub(crate) fn tree(bytes: u64) -> BaoTree {
    BaoTree::new(bytes, BlockSize::from_chunk_log(4))
}

/// Builds the tree of a stream of unknown length. Holds one group and one hash per level.
pub(crate) struct OutboardBuilder {
    group: Vec<u8>,
    groups_done: u64,
    /// Roots of the finished subtrees, from left to right, each at least twice as large as the next. A merge waits
    /// until more data comes, because the last merge of all is the root's and is hashed differently.
    stack: Vec<ChainingValue>,
    /// Pairs not taken yet.
    pairs: Vec<u8>,
}

impl OutboardBuilder {
    pub(crate) fn new() -> Self {
        Self { group: Vec::with_capacity(GROUP_BYTES), groups_done: 0, stack: Vec::new(), pairs: Vec::new() }
    }

    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.group.len() == GROUP_BYTES {
                self.finish_group();
            }
            let (now, later) = bytes.split_at(bytes.len().min(GROUP_BYTES - self.group.len()));
            self.group.extend_from_slice(now);
            bytes = later;
        }
    }

    /// The pairs made since the last call, to be appended to the outboard.
    pub(crate) fn take_pairs(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pairs)
    }

    /// The root, which is the BLAKE3 hash of the whole; the last pairs are then ready to be taken.
    pub(crate) fn finish(&mut self) -> Hash {
        if self.groups_done == 0 {
            return Hash(*blake3::hash(&self.group).as_bytes());
        }
        self.finish_group();
        let mut right = self.stack.pop().unwrap_or_default();
        while let Some(left) = self.stack.pop() {
            self.push_pair(&left, &right);
            right = if self.stack.is_empty() {
                *merge_subtrees_root(&left, &right, Mode::Hash).as_bytes()
            } else {
                merge_subtrees_non_root(&left, &right, Mode::Hash)
            };
        }
        Hash(right)
    }

    fn finish_group(&mut self) {
        self.merge_complete_subtrees();
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(self.groups_done * GROUP_BYTES as u64);
        hasher.update(&self.group);
        self.stack.push(hasher.finalize_non_root());
        self.group.clear();
        self.groups_done += 1;
    }

    /// As many subtrees remain as the number of groups has one-bits.
    fn merge_complete_subtrees(&mut self) {
        while self.stack.len() > self.groups_done.count_ones() as usize {
            let (Some(right), Some(left)) = (self.stack.pop(), self.stack.pop()) else { return };
            self.push_pair(&left, &right);
            self.stack.push(merge_subtrees_non_root(&left, &right, Mode::Hash));
        }
    }

    fn push_pair(&mut self, left: &ChainingValue, right: &ChainingValue) {
        self.pairs.extend_from_slice(left);
        self.pairs.extend_from_slice(right);
    }
}

/// What an outboard says of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) sha256: Hash,
    pub(crate) bytes: u64,
}

impl Footer {
    pub(crate) fn encode(&self, ciphertext: &Hash) -> [u8; FOOTER_BYTES] {
        let mut footer = [0; FOOTER_BYTES];
        footer[..32].copy_from_slice(self.sha256.as_bytes());
        footer[32..40].copy_from_slice(&self.bytes.to_le_bytes());
        footer[40..48].copy_from_slice(MAGIC);
        let mut hasher = blake3::Hasher::new_derive_key(CHECK_CONTEXT);
        hasher.update(ciphertext.as_bytes()).update(&footer[..48]);
        footer[48..].copy_from_slice(hasher.finalize().as_bytes());
        footer
    }

    /// Reads the footer of `ciphertext`'s outboard; nothing if it is not one.
    pub(crate) fn decode(bytes: &[u8], ciphertext: &Hash) -> Option<Self> {
        let footer = Self {
            sha256: Hash(bytes.get(..32)?.try_into().ok()?),
            bytes: u64::from_le_bytes(bytes.get(32..40)?.try_into().ok()?),
        };
        (footer.encode(ciphertext) == bytes).then_some(footer)
    }
}

#[cfg(test)]
mod tests {
    use bao_tree::io::outboard::PostOrderMemOutboard;

    use super::*;

    #[test]
    fn the_streamed_tree_is_the_one_bao_tree_builds() {
        let data: Vec<u8> = (0_u8..=250).cycle().take(70 * GROUP_BYTES).collect();
        let sizes =
            (0..20).flat_map(|groups| [groups * GROUP_BYTES, groups * GROUP_BYTES + 1, groups * GROUP_BYTES + 1025]);
        for size in sizes.chain([63 * GROUP_BYTES + 7, 64 * GROUP_BYTES, 64 * GROUP_BYTES + 1]) {
            let data = &data[..size];
            let mut builder = OutboardBuilder::new();
            let mut pairs = Vec::new();
            for piece in data.chunks(5000) {
                builder.update(piece);
                pairs.extend(builder.take_pairs());
            }
            let root = builder.finish();
            pairs.extend(builder.take_pairs());
            let expected = PostOrderMemOutboard::create(data, BlockSize::from_chunk_log(4));
            assert_eq!(root.as_bytes(), blake3::hash(data).as_bytes(), "{size} bytes");
            assert_eq!(pairs, expected.data, "{size} bytes");
            assert_eq!(pairs.len() as u64, tree(size as u64).outboard_size());
        }
    }

    #[test]
    fn a_footer_with_any_bit_flipped_or_of_another_file_is_none() {
        let name = Hash([3; 32]);
        let footer = Footer { sha256: Hash([5; 32]), bytes: 77 };
        let bytes = footer.encode(&name);
        assert_eq!(Footer::decode(&bytes, &name), Some(footer));
        assert_eq!(Footer::decode(&bytes, &Hash([4; 32])), None);
        for bit in 0..FOOTER_BYTES * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Footer::decode(&damaged, &name), None, "bit {bit}");
        }
        for length in 0..FOOTER_BYTES {
            assert_eq!(Footer::decode(&bytes[..length], &name), None);
        }
    }
}
