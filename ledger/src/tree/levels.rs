//! The upper part of the state tree, in memory: levels 0 (the root) to `bits` (the buckets).

use galen_types::Hash;
use galen_types::hash::Context;

use super::{Hasher, inner_hash, leaf_hash};

/// Nodes in a page: 16 hashes are 512 bytes, so a small state in a large tree stays small.
const PAGE_NODES: usize = 16;

/// One level: pages of nodes, allocated when first written.
struct Level {
    pages: Vec<Option<Box<[Hash; PAGE_NODES]>>>,
    /// What a node is whose whole subtree is empty.
    empty: Hash,
}

/// Levels 0 to `bits`.
pub(crate) struct Levels {
    bits: u8,
    levels: Vec<Level>,
    /// Counts the changes made, so that one prepared against an earlier content is refused.
    generation: u64,
}

/// New hashes of a level's nodes, in ascending order of place.
pub(crate) type ChangedNodes = Vec<(u32, Hash)>;

/// A change of buckets and of every node above them.
#[derive(Debug)]
pub(crate) struct LevelChanges {
    /// The tree's generation when it was computed.
    pub(crate) generation: u64,
    /// From the buckets upwards; the last level holds the root, unless nothing changed.
    pub(crate) levels: Vec<ChangedNodes>,
    /// The root after the change.
    pub(crate) root: Hash,
}

impl Levels {
    /// An empty tree.
    pub(crate) fn new(bits: u8) -> Self {
        let mut empty = leaf_hash(&[]);
        let mut levels = Vec::with_capacity(usize::from(bits) + 1);
        for level in (0..=bits).rev() {
            let pages = (1_usize << level).div_ceil(PAGE_NODES);
            levels.push(Level { pages: (0..pages).map(|_| None).collect(), empty });
            empty = inner_hash(&empty, &empty);
        }
        levels.reverse();
        Self { bits, levels, generation: 0 }
    }

    /// How many bits choose the bucket.
    pub(crate) fn bits(&self) -> u8 {
        self.bits
    }

    /// The root.
    pub(crate) fn root(&self) -> Hash {
        self.node(0, 0)
    }

    /// A node's hash.
    pub(crate) fn node(&self, level: u8, place: u32) -> Hash {
        let level = &self.levels[usize::from(level)];
        match &level.pages[place as usize / PAGE_NODES] {
            Some(page) => page[place as usize % PAGE_NODES],
            None => level.empty,
        }
    }

    /// Whether a bucket holds no key.
    pub(crate) fn bucket_is_empty(&self, bucket: u32) -> bool {
        self.node(self.bits, bucket) == self.levels[usize::from(self.bits)].empty
    }

    /// The hashes beside the path from a bucket to the root, from the bucket upwards.
    pub(crate) fn siblings(&self, bucket: u32) -> Vec<Hash> {
        let mut place = bucket;
        let mut siblings = Vec::with_capacity(usize::from(self.bits));
        for level in (1..=self.bits).rev() {
            siblings.push(self.node(level, place ^ 1));
            place >>= 1;
        }
        siblings
    }

    /// Computes what changed buckets (in ascending order) make of the nodes above; paths are shared, so each node is
    /// hashed once.
    pub(crate) fn prepare(&self, buckets: ChangedNodes) -> LevelChanges {
        let mut hasher = Hasher::new(Context::StateNode);
        let mut levels = Vec::with_capacity(usize::from(self.bits) + 1);
        levels.push(buckets);
        for level in (1..=self.bits).rev() {
            let children = &levels[levels.len() - 1];
            let mut parents = ChangedNodes::with_capacity(children.len().div_ceil(2));
            let mut rest = children.iter().peekable();
            while let Some(&(place, hash)) = rest.next() {
                let parent = if place % 2 == 0 {
                    let right = match rest.next_if(|(next, _)| *next == place + 1) {
                        Some((_, right)) => *right,
                        None => self.node(level, place + 1),
                    };
                    hasher.of(&[hash.as_bytes(), right.as_bytes()])
                } else {
                    hasher.of(&[self.node(level, place - 1).as_bytes(), hash.as_bytes()])
                };
                parents.push((place / 2, parent));
            }
            levels.push(parents);
        }
        let root = levels.last().and_then(|top| top.first()).map_or_else(|| self.root(), |(_, root)| *root);
        LevelChanges { generation: self.generation, levels, root }
    }

    /// Whether a change was computed from this content.
    pub(crate) fn is_current(&self, changes: &LevelChanges) -> bool {
        self.generation == changes.generation
    }

    /// Takes a change over.
    pub(crate) fn apply(&mut self, changes: &LevelChanges) {
        for (level, nodes) in self.levels.iter_mut().rev().zip(&changes.levels) {
            for (place, hash) in nodes {
                let empty = level.empty;
                let page = &mut level.pages[*place as usize / PAGE_NODES];
                page.get_or_insert_with(|| Box::new([empty; PAGE_NODES]))[*place as usize % PAGE_NODES] = *hash;
            }
        }
        self.generation += 1;
    }
}
