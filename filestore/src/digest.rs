//! Every digest of a ciphertext, taken while it streams by.

use galen_types::Hash;
use sha2::Digest as _;

use crate::outboard::OutboardBuilder;

/// What is known of a ciphertext once all of it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CiphertextDigest {
    pub(crate) hash: Hash,
    pub(crate) sha256: Hash,
    pub(crate) bytes: u64,
}

/// BLAKE3 (with its tree or without), SHA-256 and length in one pass.
pub(crate) struct CiphertextHasher {
    blake3: Blake3,
    sha256: sha2::Sha256,
    bytes: u64,
}

enum Blake3 {
    Plain(Box<blake3::Hasher>),
    Tree(OutboardBuilder),
}

impl CiphertextHasher {
    pub(crate) fn without_outboard() -> Self {
        Self::new(Blake3::Plain(Box::default()))
    }

    pub(crate) fn with_outboard() -> Self {
        Self::new(Blake3::Tree(OutboardBuilder::new()))
    }

    fn new(blake3: Blake3) -> Self {
        Self { blake3, sha256: sha2::Sha256::new(), bytes: 0 }
    }

    pub(crate) fn update(&mut self, piece: &[u8]) {
        match &mut self.blake3 {
            Blake3::Plain(hasher) => {
                hasher.update(piece);
            }
            Blake3::Tree(builder) => builder.update(piece),
        }
        self.sha256.update(piece);
        self.bytes += piece.len() as u64;
    }

    /// The outboard's bytes made since the last call.
    pub(crate) fn take_pairs(&mut self) -> Vec<u8> {
        match &mut self.blake3 {
            Blake3::Plain(_) => Vec::new(),
            Blake3::Tree(builder) => builder.take_pairs(),
        }
    }

    /// The digests; to be called once, after the last piece. The outboard's last pairs are then ready to be taken.
    pub(crate) fn finish(&mut self) -> CiphertextDigest {
        let hash = match &mut self.blake3 {
            Blake3::Plain(hasher) => Hash(*hasher.finalize().as_bytes()),
            Blake3::Tree(builder) => builder.finish(),
        };
        let sha256 = Hash(std::mem::take(&mut self.sha256).finalize().into());
        CiphertextDigest { hash, sha256, bytes: self.bytes }
    }
}
