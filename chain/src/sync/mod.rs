//! What replicas ask each other to catch up: blocks by height, each run closed by a certificate that covers it, header
//! signatures by height, and handovers from one voter set to the next. An answer is checked block by block before any of
//! it is applied.
//!
//! A run ends with its epoch: each is judged by the voters that follow from the run before.

mod handovers;
mod run;

use galen_types::certificate::CERTIFICATE_BYTES_MAX;
use galen_types::{BlockHeader, Certificate, DecodeError, Encoding, HeaderSignature};
use wincode::{SchemaRead, SchemaWrite};

pub use handovers::{Handover, HandoverProof, verify_handovers};
pub use run::{CertifiedRun, RunStart};

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
    /// How each epoch from this one on handed over to the next.
    #[wincode(tag = 3)]
    Handovers {
        /// The first epoch wanted.
        from_epoch: u64,
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
        /// Covers the last header, and so all blocks. `None` where a recovery that keeps the last header takes its place.
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
    /// Handovers, in order of epoch; empty when the peer knows none from there on.
    #[wincode(tag = 3)]
    Handovers {
        /// At most [`HANDOVERS_MAX`](crate::limits::HANDOVERS_MAX).
        handovers: Vec<Handover>,
    },
}

/// Most bytes of an encoded request.
pub const SYNC_REQUEST_BYTES_MAX: usize = 64;

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
    /// Blocks of an epoch that the blocks before do not lead to, or a run that goes on beyond its epoch.
    #[error("a peer's block at height {height} is of epoch {given}, where epoch {expected} goes on")]
    WrongEpoch {
        /// The block's height.
        height: u64,
        /// The epoch that follows from the blocks before.
        expected: u64,
        /// The block's.
        given: u64,
    },
    /// A block that only a recovery explains, and this node holds none that does.
    #[error(
        "a peer's block at height {0} goes on by a recovery that this node does not hold: apply the recovery's file here \
         too, or keep to the peers that did not"
    )]
    Recovery(u64),
    /// What the voters made after the block that a recovery keeps, before they were abandoned or without knowing of it.
    #[error(
        "what a peer has at height {height} was given up: this node holds a recovery that goes on from height {kept}; the \
         peer must apply it too"
    )]
    GivenUp {
        /// Its height.
        height: u64,
        /// The height of the last block that the recovery keeps.
        kept: u64,
    },
    /// A recovery block that is not what the recovery makes.
    #[error("a peer's recovery block at height {height} is not valid: {cause}")]
    RecoveryInvalid {
        /// Its height.
        height: u64,
        /// Why.
        cause: String,
    },
    /// A handover that does not follow from the one before.
    #[error("a peer's handover after epoch {epoch} is not believed: {cause}")]
    Handover {
        /// The epoch.
        epoch: u64,
        /// Why.
        cause: &'static str,
    },
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
            Self::WrongEpoch { .. } => "sync-wrong-epoch",
            Self::Recovery(_) => "sync-recovery",
            Self::GivenUp { .. } => "sync-given-up",
            Self::RecoveryInvalid { .. } => "sync-recovery-invalid",
            Self::Handover { .. } => "sync-handover",
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
}

/// A certificate as it travels alone, bounded.
///
/// # Errors
/// [`DecodeError`] when the bytes are no certificate.
pub fn decode_certificate(bytes: &[u8]) -> Result<Certificate, DecodeError> {
    Certificate::decode(bytes, CERTIFICATE_BYTES_MAX)
}
