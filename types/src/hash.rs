//! BLAKE3 hashes, each made under a versioned context string, so that bytes hashed for one purpose are never taken for
//! another's.

use std::fmt;
use std::str::FromStr;

use wincode::{SchemaRead, SchemaWrite};

/// A 32-byte BLAKE3 hash; prints as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, SchemaWrite, SchemaRead)]
pub struct Hash(pub [u8; 32]);

/// What a hash is made for. The texts are part of the format: changing one changes every hash made under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// A transaction's id: its exact body bytes. Also what its signature covers.
    TransactionId,
    /// A block's hash: its encoded header.
    BlockHeader,
    /// What a voter signs: height and header hash.
    HeaderSignature,
    /// A genesis document.
    Genesis,
    /// The set of voters of an epoch.
    VoterSet,
    /// A leaf of a Merkle tree.
    MerkleLeaf,
    /// An inner node of a Merkle tree.
    MerkleNode,
    /// The peaks of the Merkle mountain range, folded to one root.
    HistoryPeaks,
    /// A receipt.
    Receipt,
    /// The keys and values a transaction wrote.
    WriteSet,
    /// A key of the state.
    StateKey,
    /// A value of the state.
    StateValue,
    /// A leaf (bucket) of the state tree.
    StateBucket,
    /// An inner node of the state tree.
    StateNode,
    /// A signed HTTP request.
    HttpRequest,
    /// A salted commitment to content that stays off-chain.
    Commitment,
    /// A job's result document.
    JobResult,
    /// One site's summary for a job.
    JobSummary,
    /// A signature found valid, as remembered in memory.
    VerifiedSignature,
    /// A member application, proposal or other document that is voted on.
    Proposal,
    /// A chain's parameters, as a proposal to change them names what it goes by.
    Parameters,
    /// An institution's application for membership.
    Application,
    /// An applicant takes its application back: the proposal's id.
    Withdrawal,
    /// What administrators sign to go on without a lost quorum.
    Recovery,
    /// A snapshot's manifest: its header and what its parts are checked against.
    SnapshotManifest,
    /// A part of a snapshot, as it travels.
    SnapshotPart,
    /// A key's fingerprint, for people to compare.
    Fingerprint,
    /// The bytes of a proof's file, as a check that they arrived whole. Stays the last in this list.
    ProofFile,
}

/// How many contexts there are.
const CONTEXTS: usize = Context::ProofFile as usize + 1;

impl Context {
    /// The context string given to BLAKE3's key derivation.
    pub const fn text(self) -> &'static str {
        match self {
            Self::TransactionId => "galen 2026 transaction id v1",
            Self::BlockHeader => "galen 2026 block header v1",
            Self::HeaderSignature => "galen 2026 header signature v1",
            Self::Genesis => "galen 2026 genesis v1",
            Self::VoterSet => "galen 2026 voter set v1",
            Self::MerkleLeaf => "galen 2026 merkle leaf v1",
            Self::MerkleNode => "galen 2026 merkle node v1",
            Self::HistoryPeaks => "galen 2026 history peaks v1",
            Self::Receipt => "galen 2026 receipt v1",
            Self::WriteSet => "galen 2026 write set v1",
            Self::StateKey => "galen 2026 state key v1",
            Self::StateValue => "galen 2026 state value v1",
            Self::StateBucket => "galen 2026 state bucket v1",
            Self::StateNode => "galen 2026 state node v1",
            Self::HttpRequest => "galen 2026 http request v1",
            Self::Commitment => "galen 2026 commitment v1",
            Self::JobResult => "galen 2026 job result v1",
            Self::JobSummary => "galen 2026 job summary v1",
            Self::VerifiedSignature => "galen 2026 verified signature v1",
            Self::Proposal => "galen 2026 proposal v1",
            Self::Parameters => "galen 2026 parameters v1",
            Self::Application => "galen 2026 application v1",
            Self::Withdrawal => "galen 2026 withdrawal v1",
            Self::Recovery => "galen 2026 recovery v1",
            Self::SnapshotManifest => "galen 2026 snapshot manifest v1",
            Self::SnapshotPart => "galen 2026 snapshot part v1",
            Self::Fingerprint => "galen 2026 fingerprint v1",
            Self::ProofFile => "galen 2026 proof file v1",
        }
    }

    /// A hasher of this context, for content that comes in parts.
    pub fn hasher(self) -> blake3::Hasher {
        /// One derived key per context: deriving takes a hash of its own.
        static HASHERS: [std::sync::OnceLock<blake3::Hasher>; CONTEXTS] =
            [const { std::sync::OnceLock::new() }; CONTEXTS];
        HASHERS[self as usize].get_or_init(|| blake3::Hasher::new_derive_key(self.text())).clone()
    }
}

impl Hash {
    /// All zero bits: "nothing before this".
    pub const ZERO: Self = Self([0; 32]);

    /// The hash of `bytes` under `context`.
    pub fn of(context: Context, bytes: &[u8]) -> Self {
        let mut hasher = context.hasher();
        hasher.update(bytes);
        Self(*hasher.finalize().as_bytes())
    }

    /// The hash of several parts joined; callers keep parts unambiguous (fixed width or length-prefixed).
    pub fn of_parts(context: Context, parts: &[&[u8]]) -> Self {
        let mut hasher = context.hasher();
        for part in parts {
            hasher.update(part);
        }
        Self(*hasher.finalize().as_bytes())
    }

    /// A salted commitment to content kept off-chain: whoever lacks the salt learns nothing of the content.
    pub fn commitment(salt: &[u8; 32], content: &[u8]) -> Self {
        Self::of_parts(Context::Commitment, &[salt, content])
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(formatter, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Text that is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a hash: give 64 lower-case hexadecimal digits")]
pub struct HashParseError(String);

impl FromStr for Hash {
    type Err = HashParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || HashParseError(text.chars().take(80).collect());
        let mut bytes = [0; 32];
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(error());
        }
        hex::decode_to_slice(text, &mut bytes).map_err(|_| error())?;
        Ok(Self(bytes))
    }
}

crate::encoding::serde_as_text!(Hash, "Hash", "d74981efa70a0c880b8d8c1985d075dbcbf679b99a5f9914e5aaf96b831a9e24");
