//! Certificates: a quorum of voters signed a header that each computed itself. A certificate covers all earlier
//! heights of its epoch, because a header names its parent.
//!
//! What is signed names the voter set by its hash, and the set names its epoch and lineage. So a signature counts in one
//! epoch of one branch: what was signed before a recovery says nothing after it, not even where the same voters go on.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wincode::{SchemaRead, SchemaWrite};

use crate::encoding::Encoding;
use crate::hash::{Context, Hash};
use crate::name::NodeName;
use crate::signature::{Claim, PublicKey, SecretKey, Signature, verify_all};

/// One voter of an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct Voter {
    /// The node.
    pub node: NodeName,
    /// Checks its header signatures.
    pub key: PublicKey,
}

/// The voters of an epoch, in ascending order of node name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct VoterSet {
    /// Counted from 0.
    pub epoch: u64,
    /// The hash of the last recovery before or in this epoch; [`Hash::ZERO`] before any.
    pub lineage: Hash,
    /// Who votes.
    pub voters: Vec<Voter>,
}

impl VoterSet {
    /// Builds a set; sorts the voters.
    pub fn new(epoch: u64, lineage: Hash, mut voters: Vec<Voter>) -> Self {
        voters.sort_by(|left, right| left.node.cmp(&right.node));
        Self { epoch, lineage, voters }
    }

    /// What a header names it by.
    pub fn hash(&self) -> Hash {
        Hash::of(Context::VoterSet, &self.encode())
    }

    /// How many liars are tolerated: floor((n - 1) / 3). With three voters or fewer it is none.
    pub fn faults_tolerated(&self) -> usize {
        self.voters.len().saturating_sub(1) / 3
    }

    /// Signatures that make a certificate: floor((n + f) / 2) + 1 (n = 1, 3, 4, 5, 7: 1, 2, 3, 4, 5).
    pub fn quorum(&self) -> usize {
        (self.voters.len() + self.faults_tolerated()) / 2 + 1
    }

    /// A voter's key.
    pub fn key_of(&self, node: &NodeName) -> Option<&PublicKey> {
        self.voters.iter().find(|voter| &voter.node == node).map(|voter| &voter.key)
    }
}

/// A voter's signature over a header that it computed itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct HeaderSignature {
    /// The header's height.
    pub height: u64,
    /// The header's hash.
    pub header: Hash,
    /// The voter.
    pub voter: NodeName,
    /// Over chain, voter set, height and hash.
    pub signature: Signature,
}

/// What a voter signs: chain, voter set, height and header hash under a context of their own.
fn signed_hash(genesis: &Hash, voter_set: &Hash, height: u64, header: &Hash) -> Hash {
    let parts = [genesis.as_bytes(), voter_set.as_bytes(), &height.to_le_bytes()[..], header.as_bytes()];
    Hash::of_parts(Context::HeaderSignature, &parts)
}

impl HeaderSignature {
    /// Signs as one of the voters with this hash.
    pub fn sign(genesis: &Hash, voter_set: &Hash, height: u64, header: Hash, voter: NodeName, key: &SecretKey) -> Self {
        let signature = key.sign(&signed_hash(genesis, voter_set, height, &header));
        Self { height, header, voter, signature }
    }

    /// Whether it was made by the holder of a key as one of the voters with this hash.
    pub fn verifies(&self, genesis: &Hash, voter_set: &Hash, key: &PublicKey) -> bool {
        key.verify(&signed_hash(genesis, voter_set, self.height, &self.header), &self.signature).is_ok()
    }
}

/// A quorum's signatures over one header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct Certificate {
    /// The header's height.
    pub height: u64,
    /// The header's hash.
    pub header: Hash,
    /// Voters and their signatures, in ascending order of node name, each once.
    pub signatures: Vec<VoterSignature>,
}

/// One voter's part in a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct VoterSignature {
    /// The voter.
    pub voter: NodeName,
    /// Its signature.
    pub signature: Signature,
}

/// Most bytes of an encoded certificate: 1,000 voters with the longest names.
pub const CERTIFICATE_BYTES_MAX: usize = 256 << 10;

/// Why a certificate does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Fewer signatures than a quorum.
    #[error("{got} signatures are below the quorum of {quorum}")]
    BelowQuorum {
        /// Signatures present.
        got: usize,
        /// Signatures needed.
        quorum: usize,
    },
    /// A signer that is no voter of the epoch.
    #[error("`{0}` is no voter of the epoch")]
    NotAVoter(NodeName),
    /// Signers out of order: a certificate has one encoding.
    #[error("the signers are not in ascending order, each once")]
    Unordered,
    /// A signature that does not verify.
    #[error("the signature of `{0}` does not verify")]
    BadSignature(NodeName),
}

impl Certificate {
    /// Checks signers, quorum and every signature against the voter set.
    ///
    /// # Errors
    /// [`CertificateError`] naming the first thing wrong.
    pub fn verify(&self, genesis: &Hash, voters: &VoterSet) -> Result<(), CertificateError> {
        let (got, quorum) = (self.signatures.len(), voters.quorum());
        if got < quorum {
            return Err(CertificateError::BelowQuorum { got, quorum });
        }
        if !self.signatures.is_sorted_by(|left, right| left.voter < right.voter) {
            return Err(CertificateError::Unordered);
        }
        let hash = signed_hash(genesis, &voters.hash(), self.height, &self.header);
        let mut claims = Vec::with_capacity(got);
        for part in &self.signatures {
            let key = *voters.key_of(&part.voter).ok_or_else(|| CertificateError::NotAVoter(part.voter.clone()))?;
            claims.push(Claim { key, hash, signature: part.signature });
        }
        match verify_all(&claims).iter().position(|valid| !valid) {
            Some(place) => Err(CertificateError::BadSignature(self.signatures[place].voter.clone())),
            None => Ok(()),
        }
    }
}
