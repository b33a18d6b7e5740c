//! Trees against an oracle that follows the definitions and shares no code with them.
#![allow(clippy::expect_used, reason = "tests assert by panicking")]

use galen_types::Hash;
use galen_types::hash::Context;
use galen_types::merkle::{ListProof, MountainRange, root};

fn contents(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|place| format!("content {place}").into_bytes()).collect()
}

/// RFC 6962, section 2.1: split at the greatest power of two below the length.
fn oracle(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::of(Context::MerkleNode, &[]),
        [leaf] => *leaf,
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            let (left, right) = (oracle(&leaves[..split]), oracle(&leaves[split..]));
            Hash::of(Context::MerkleNode, &[left.0, right.0].concat())
        }
    }
}

fn leaves(contents: &[Vec<u8>]) -> Vec<Hash> {
    contents.iter().map(|content| Hash::of(Context::MerkleLeaf, content)).collect()
}

#[test]
fn roots_are_those_of_rfc_6962() {
    for count in 0..=70 {
        let contents = contents(count);
        assert_eq!(root(contents.iter().map(Vec::as_slice)), oracle(&leaves(&contents)), "{count} leaves");
    }
}

#[test]
fn proofs_of_all_places_in_lists_of_all_sizes() {
    for count in 1..=70 {
        let contents = contents(count);
        let parts: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
        let root = root(parts.iter().copied());
        assert_eq!(ListProof::of(&parts, count), None);
        for place in 0..count {
            let proof = ListProof::of(&parts, place).expect("a proof");
            assert!(proof.proves(parts[place], &root), "{place} of {count}");
            // Not another content, another root, another place, another length.
            assert!(!proof.proves(b"other", &root));
            assert!(!proof.proves(parts[place], &Hash::ZERO));
            for other in (0..count as u64 + 2).filter(|other| *other != place as u64) {
                let moved = ListProof { index: other, ..proof.clone() };
                assert!(!moved.proves(parts[place], &root), "{place} of {count} proved at {other}");
            }
            // Siblings are exactly those needed.
            let mut longer = proof.clone();
            longer.siblings.push(Hash::ZERO);
            assert!(!longer.proves(parts[place], &root));
            let mut shorter = proof.clone();
            if shorter.siblings.pop().is_some() {
                assert!(!shorter.proves(parts[place], &root));
            }
            for sibling in 0..proof.siblings.len() {
                let mut changed = proof.clone();
                changed.siblings[sibling].0[0] ^= 1;
                assert!(!changed.proves(parts[place], &root));
            }
        }
    }
}

/// An inner node's content is two hashes; given as a leaf it must not pass for the node.
#[test]
fn an_inner_node_is_no_leaf() {
    let contents = contents(4);
    let parts: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
    let hashes = leaves(&contents);
    let inner = |place: usize| [hashes[place].0, hashes[place + 1].0].concat();
    let (left, right) = (inner(0), inner(2));
    assert_ne!(root([left.as_slice(), right.as_slice()].into_iter()), root(parts.iter().copied()));
    // Nor is the empty list a list of one empty content.
    assert_ne!(root(std::iter::empty()), root([b"".as_slice()].into_iter()));
}

#[test]
fn hostile_proofs_end() {
    let proof = ListProof { index: u64::MAX - 1, length: u64::MAX, siblings: vec![Hash::ZERO; 10] };
    assert!(!proof.proves(b"", &Hash::ZERO));
    let proof = ListProof { index: 0, length: 0, siblings: Vec::new() };
    assert!(!proof.proves(b"", &root(std::iter::empty())));
}

/// The peaks are the roots of the perfect trees that the length's binary digits name, the greatest first.
#[test]
fn mountain_ranges_against_the_definition() {
    let mut range = MountainRange::default();
    let mut appended: Vec<Hash> = Vec::new();
    for count in 0..=70_u64 {
        assert_eq!(range.length(), count);
        let (mut rest, mut peaks) = (appended.as_slice(), Vec::new());
        for bit in (0..64).rev().filter(|bit| count >> bit & 1 == 1) {
            let (tree, others) = rest.split_at(1 << bit);
            peaks.push(oracle(tree));
            rest = others;
        }
        let mut content = count.to_le_bytes().to_vec();
        peaks.iter().for_each(|peak| content.extend_from_slice(peak.as_bytes()));
        assert_eq!(range.root(), Hash::of(Context::HistoryPeaks, &content), "{count} leaves");
        let next = Hash::of(Context::BlockHeader, &count.to_le_bytes());
        range.append(next);
        appended.push(next);
    }
}
