//! What replicas ask each other to catch up: blocks by height, each run closed by a certificate that covers it, and
//! header signatures by height. An answer is checked block by block before any of it is applied.

use galen_types::block::BLOCK_BYTES_MAX;
use galen_types::certificate::CERTIFICATE_BYTES_MAX;
use galen_types::{Block, BlockHeader, Certificate, DecodeError, Encoding, Hash, HeaderSignature, VoterSet};
use wincode::{SchemaRead, SchemaWrite};

use crate::limits::SYNC_ANSWER_BYTES_MAX;

/// A question to a peer.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
#[wincode(tag_encoding = "u8")]
pub enum SyncRequest {
    /// Certified blocks from this height on.
    #[wincode(tag = 1)]
    Blocks {
        /// The first height wanted.
        from: u64,
    },
    /// Header signatures and certificates that the peer holds from this height on.
    #[wincode(tag = 2)]
    Signatures {
        /// The first height wanted.
        from: u64,
    },
}

/// A peer's answer.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
#[wincode(tag_encoding = "u8")]
pub enum SyncAnswer {
    /// Blocks in order of height, and the certificate that covers them; empty when the peer has none.
    #[wincode(tag = 1)]
    Blocks {
        /// Encoded blocks.
        blocks: Vec<Vec<u8>>,
        /// The headers after the last block, up to the one that the certificate names.
        trail: Vec<BlockHeader>,
        /// Covers the last header, and so all blocks.
        certificate: Option<Certificate>,
    },
    /// Header signatures and certificates.
    #[wincode(tag = 2)]
    Signatures {
        /// In order of height.
        signatures: Vec<HeaderSignature>,
        /// The lowest that covers the height asked for, and the newest.
        certificates: Vec<Certificate>,
    },
}

/// Most bytes of an encoded request.
pub const SYNC_REQUEST_BYTES_MAX: usize = 64;

/// A run of blocks that a certificate covers, checked against a voter set and the block before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedRun {
    /// In order of height, each naming the one before as its parent.
    pub blocks: Vec<Block>,
    /// Covers the last block; its own height may be above.
    pub certificate: Certificate,
}

/// Why an answer is not believed. The code is stable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyncError {
    /// Bytes that are no answer.
    #[error("a peer's answer is malformed: {0}")]
    Decode(#[from] DecodeError),
    /// An answer to another question.
    #[error("a peer answered another question than it was asked")]
    Unexpected,
    /// Blocks that do not follow each other or the own tip.
    #[error("a peer's block at height {0} does not follow the block before it")]
    NotLinked(u64),
    /// Transactions that are not those of the header.
    #[error("a peer's block at height {0} does not hold the transactions that its header names")]
    Transactions(u64),
    /// No certificate, or not one for the last header.
    #[error("a peer's blocks up to height {0} come without the certificate that covers them")]
    NotCertified(u64),
    /// A certificate that does not hold.
    #[error("a peer's certificate at height {height} does not hold: {cause}")]
    Certificate {
        /// Its height.
        height: u64,
        /// Why.
        cause: String,
    },
}

impl SyncError {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Decode(_) => "sync-malformed",
            Self::Unexpected => "sync-unexpected",
            Self::NotLinked(_) => "sync-not-linked",
            Self::Transactions(_) => "sync-transactions",
            Self::NotCertified(_) => "sync-not-certified",
            Self::Certificate { .. } => "sync-certificate",
        }
    }
}

impl SyncAnswer {
    /// Decodes a peer's answer, bounded.
    ///
    /// # Errors
    /// [`SyncError::Decode`].
    pub fn from_peer(bytes: &[u8]) -> Result<Self, SyncError> {
        Ok(Self::decode(bytes, SYNC_ANSWER_BYTES_MAX)?)
    }

    /// The blocks of an answer above `parent` (a height and hash), once they are known to follow it and to be certified
    /// by `voters`; `None` when there are none. Those up to `parent` are passed over: it may have grown since the question.
    ///
    /// # Errors
    /// [`SyncError`] naming what is wrong with the answer.
    pub fn certified_run(
        self,
        genesis: &Hash,
        voters: &VoterSet,
        parent: (u64, Hash),
    ) -> Result<Option<CertifiedRun>, SyncError> {
        let Self::Blocks { blocks, trail, certificate } = self else { return Err(SyncError::Unexpected) };
        let (mut height, mut hash) = parent;
        let mut follow = |header: &BlockHeader| {
            if header.height.checked_sub(1) != Some(height) || header.parent != hash || header.genesis != *genesis {
                return Err(SyncError::NotLinked(header.height));
            }
            (height, hash) = (header.height, header.hash());
            Ok(())
        };
        let mut run = Vec::with_capacity(blocks.len());
        for bytes in blocks {
            let block = Block::decode(&bytes, BLOCK_BYTES_MAX)?;
            if block.header.height <= parent.0 {
                continue;
            }
            follow(&block.header)?;
            if !block.transactions_match() {
                return Err(SyncError::Transactions(block.header.height));
            }
            run.push(block);
        }
        if run.is_empty() {
            return Ok(None);
        }
        trail.iter().try_for_each(follow)?;
        let certificate = certificate
            .filter(|certificate| (certificate.height, certificate.header) == (height, hash))
            .ok_or(SyncError::NotCertified(height))?;
        certificate
            .verify(genesis, voters)
            .map_err(|error| SyncError::Certificate { height, cause: error.to_string() })?;
        Ok(Some(CertifiedRun { blocks: run, certificate }))
    }
}

/// A certificate as it travels alone, bounded.
///
/// # Errors
/// [`DecodeError`] when the bytes are no certificate.
pub fn decode_certificate(bytes: &[u8]) -> Result<Certificate, DecodeError> {
    Certificate::decode(bytes, CERTIFICATE_BYTES_MAX)
}
