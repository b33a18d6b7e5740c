//! Why a file proves nothing.

use std::fmt;

use crate::hash::{Hash, to_hex};

/// Why a file proves nothing. Nothing that it says is to be believed then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// More bytes than a proof has.
    TooLong,
    /// It does not begin as a proof does.
    NotAProof,
    /// A later format.
    Version(u16),
    /// It was altered or cut on its way.
    Damaged,
    /// Its bytes are not those of a proof.
    Malformed(&'static str),
    /// It is of another chain: the hash of the founding document in the file, and the trusted one.
    OtherGenesis(Hash, Hash),
    /// The voters after this epoch do not follow from those before, and why not.
    Handover(u64, &'static str),
    /// The chain went on without a quorum, by this recovery, which the reader did not accept, after this height.
    RecoveryNotAccepted(Hash, u64),
    /// The header of this height has so many signatures; so many are needed.
    BelowQuorum(u64, usize, usize),
    /// Signatures over the header of this height that are out of order or repeated.
    SignersUnordered(u64),
    /// The header of this height is signed by somebody who is no voter of its epoch.
    NotAVoter(u64, String),
    /// The header of this height has a signature, of this node, that does not verify.
    BadSignature(u64, String),
    /// The certified header is not one of the epoch that the handovers lead to, or of this chain.
    Header(&'static str),
    /// What is claimed does not stand under the header.
    NotUnderHeader(&'static str),
    /// What this voter is accused of having signed is the certified header.
    NoDeviation(String),
}

impl Refusal {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "proof-too-long",
            Self::NotAProof => "proof-none",
            Self::Version(_) => "proof-version",
            Self::Damaged => "proof-damaged",
            Self::Malformed(_) => "proof-malformed",
            Self::OtherGenesis(..) => "proof-other-genesis",
            Self::Handover(..) => "proof-handover",
            Self::RecoveryNotAccepted(..) => "proof-recovery-not-accepted",
            Self::BelowQuorum(..) => "proof-below-quorum",
            Self::SignersUnordered(_) => "proof-signers-unordered",
            Self::NotAVoter(..) => "proof-not-a-voter",
            Self::BadSignature(..) => "proof-bad-signature",
            Self::Header(_) => "proof-header",
            Self::NotUnderHeader(_) => "proof-not-under-header",
            Self::NoDeviation(_) => "proof-no-deviation",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(to, "the file is longer than any proof"),
            Self::NotAProof => write!(to, "the file is no proof: it does not begin with `galen-proof`"),
            Self::Version(version) => {
                write!(
                    to,
                    "the proof has format version {version}; this program reads versions 1 and 2: use a newer one"
                )
            }
            Self::Damaged => write!(to, "the file was altered or cut on its way: get it again"),
            Self::Malformed(problem) => write!(to, "the proof is malformed: {problem}"),
            Self::OtherGenesis(given, trusted) => {
                write!(to, "the proof is of the chain {}, not of {}", to_hex(given), to_hex(trusted))
            }
            Self::Handover(epoch, cause) => {
                write!(to, "the voters after epoch {epoch} are not believed: {cause}")
            }
            Self::RecoveryNotAccepted(recovery, height) => write!(
                to,
                "after height {height} the chain went on without its old quorum, by the recovery {}. Ask the members \
                 whether they did that; if so, accept it with `--recovery` and this hash",
                to_hex(recovery)
            ),
            Self::BelowQuorum(height, got, quorum) => {
                write!(to, "the header at height {height} has {got} signatures; the quorum is {quorum}")
            }
            Self::SignersUnordered(height) => {
                write!(to, "the signers of the header at height {height} are not in ascending order, each once")
            }
            Self::NotAVoter(height, node) => {
                write!(to, "`{node}` signed the header at height {height} and is no voter of its epoch")
            }
            Self::BadSignature(height, node) => {
                write!(to, "the signature of `{node}` over the header at height {height} does not verify")
            }
            Self::Header(cause) => write!(to, "the certified header is not believed: {cause}"),
            Self::NotUnderHeader(what) => write!(to, "{what}"),
            Self::NoDeviation(node) => write!(to, "`{node}` signed the certified header: that is no evidence"),
        }
    }
}

impl std::error::Error for Refusal {}
