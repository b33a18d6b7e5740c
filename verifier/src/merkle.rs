//! Paths from a content to a root in a header.

use crate::hash::{self, Hash};
use crate::reader::Reader;
use crate::refusal::Refusal;

/// Keys in a leaf of the state tree; a leaf with more would have been split.
const LEAF_KEYS_MAX: usize = 64;

/// A sibling on the way up, and whether it stands on the left.
pub(crate) struct Step {
    left: bool,
    sibling: Hash,
}

pub(crate) fn read_path(reader: &mut Reader<'_>) -> Result<Vec<Step>, Refusal> {
    reader.list(|reader| {
        let left = match reader.byte()? {
            1 => true,
            2 => false,
            _ => return Err(Refusal::Malformed("a side is neither left nor right")),
        };
        Ok(Step { left, sibling: reader.array()? })
    })
}

fn node(left: &Hash, right: &Hash) -> Hash {
    hash::MERKLE_NODE.hash(&[left, right])
}

/// The root of the list tree (the shape of RFC 6962) that a content and its path lead to. Leaves and inner nodes are
/// hashed under contexts of their own, so that neither passes for the other.
pub(crate) fn list_root(content: &[u8], path: &[Step]) -> Hash {
    path.iter().fold(hash::MERKLE_LEAF.hash(&[content]), |hash, step| match step.left {
        true => node(&step.sibling, &hash),
        false => node(&hash, &step.sibling),
    })
}

/// The root of the mountain range over the hashes of headers 1 to `length`, as a header's hash at `height` leads to it.
/// The length is hashed with the peaks; it says which mountain the header stands in, and so how many hashes there are.
pub(crate) fn history_root(
    header: &Hash,
    height: u64,
    length: u64,
    siblings: &[Hash],
    peaks: &[Hash],
) -> Result<Hash, Refusal> {
    let wrong = Refusal::Malformed("the path through the history has another number of hashes");
    let Some(place) = height.checked_sub(1).filter(|place| *place < length) else { return Err(wrong) };
    let (mut start, mut others, mut joined) = (0, peaks.iter(), length.to_le_bytes().to_vec());
    let mut used = false;
    for level in (0..64_u32).rev().filter(|level| length >> level & 1 == 1) {
        let end = start + (1 << level);
        if (start..end).contains(&place) {
            if siblings.len() != level as usize {
                return Err(wrong);
            }
            let mut hash = *header;
            for (below, sibling) in siblings.iter().enumerate() {
                hash = if place >> below & 1 == 1 { node(sibling, &hash) } else { node(&hash, sibling) };
            }
            joined.extend_from_slice(&hash);
            used = true;
        } else {
            joined.extend_from_slice(others.next().ok_or_else(|| wrong.clone())?);
        }
        start = end;
    }
    if used && others.next().is_none() { Ok(hash::HISTORY_PEAKS.hash(&[&joined])) } else { Err(wrong) }
}

/// What the state says of a key, and why.
pub(crate) struct KeyProof<'file> {
    pub(crate) key: &'file [u8],
    pub(crate) value: Option<&'file [u8]>,
    entries: Vec<(Hash, Hash)>,
    siblings: Vec<Hash>,
}

impl<'file> KeyProof<'file> {
    pub(crate) fn read(reader: &mut Reader<'file>) -> Result<Self, Refusal> {
        Ok(Self {
            key: reader.bytes()?,
            value: reader.maybe(Reader::bytes)?,
            entries: reader.list(|reader| Ok((reader.array()?, reader.array()?)))?,
            siblings: reader.list(Reader::array)?,
        })
    }

    /// Checks it against the root of the state tree. The bits of the key's hash lead down from the root, so that the leaf
    /// at the end of this path is the only one in which the key can stand; it is there in full.
    pub(crate) fn check(&self, root: &Hash) -> Result<(), Refusal> {
        if self.entries.len() > LEAF_KEYS_MAX || self.siblings.len() > 256 {
            return Err(Refusal::Malformed("a leaf or path of the state tree is too long"));
        }
        if !self.entries.is_sorted_by(|left, right| left.0 < right.0) {
            return Err(Refusal::Malformed("a leaf of the state tree is not in order"));
        }
        let wanted = hash::STATE_KEY.hash(&[self.key]);
        let parts: Vec<&[u8]> = self.entries.iter().flat_map(|(key, value)| [&key[..], &value[..]]).collect();
        let mut hash = hash::STATE_BUCKET.hash(&parts);
        for (depth, sibling) in (0..self.siblings.len()).rev().zip(&self.siblings) {
            let right = wanted.get(depth / 8).is_some_and(|byte| byte & (0x80 >> (depth % 8)) != 0);
            let pair = if right { [sibling, &hash] } else { [&hash, sibling] };
            hash = hash::STATE_NODE.hash(&[pair[0], pair[1]]);
        }
        if hash != *root {
            return Err(Refusal::NotUnderHeader("the state's path does not lead to the header's state root"));
        }
        let found = self.entries.iter().find(|(key, _)| *key == wanted).map(|(_, value)| *value);
        if found == self.value.map(|value| hash::STATE_VALUE.hash(&[value])) {
            Ok(())
        } else {
            Err(Refusal::NotUnderHeader("the state says something else of the key"))
        }
    }
}
