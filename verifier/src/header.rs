//! Headers, voter sets, and certificates over headers.

use std::fmt;

use crate::hash::{self, Hash};
use crate::reader::Reader;
use crate::refusal::Refusal;

/// Tag of the Ed25519 suite in keys and signatures.
const ED25519: u8 = 1;

/// A node's name, `node-1.harlem`; ordered as certificates and voter sets are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeName<'file> {
    pub(crate) node: &'file str,
    pub(crate) member: &'file str,
}

impl<'file> NodeName<'file> {
    pub(crate) fn read(reader: &mut Reader<'file>) -> Result<Self, Refusal> {
        Ok(Self { node: reader.slug()?, member: reader.slug()? })
    }
}

impl fmt::Display for NodeName<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}.{}", self.node, self.member)
    }
}

/// What a header says that a proof needs, and its hash.
#[derive(Clone, Copy)]
pub(crate) struct Header<'file> {
    pub(crate) hash: Hash,
    pub(crate) genesis: Hash,
    pub(crate) chain: &'file str,
    pub(crate) height: u64,
    pub(crate) time_ms: u64,
    pub(crate) epoch: u64,
    pub(crate) voter_set: Hash,
    pub(crate) next_voter_set: Hash,
    pub(crate) proposer: NodeName<'file>,
    pub(crate) transactions_root: Hash,
    pub(crate) receipts_root: Hash,
    pub(crate) history_root: Hash,
    pub(crate) state_root: Hash,
}

impl<'file> Header<'file> {
    pub(crate) fn read(reader: &mut Reader<'file>) -> Result<Self, Refusal> {
        let (mut header, bytes) = reader.with_bytes(|reader| {
            let (genesis, chain, height, _parent) =
                (reader.array()?, reader.slug()?, reader.u64()?, reader.array::<32>()?);
            let (time_ms, epoch) = (reader.u64()?, reader.u64()?);
            let (voter_set, next_voter_set) = (reader.array()?, reader.array()?);
            let (_rules_version, proposer) = (reader.u32()?, NodeName::read(reader)?);
            let (_raft_term, _raft_index) = (reader.u64()?, reader.u64()?);
            Ok(Self {
                hash: [0; 32],
                genesis,
                chain,
                height,
                time_ms,
                epoch,
                voter_set,
                next_voter_set,
                proposer,
                transactions_root: reader.array()?,
                receipts_root: reader.array()?,
                history_root: reader.array()?,
                state_root: reader.array()?,
            })
        })?;
        header.hash = hash::BLOCK_HEADER.hash(&[bytes]);
        Ok(header)
    }

    /// Whether the next height has other voters.
    pub(crate) fn hands_over(&self) -> bool {
        self.next_voter_set != self.voter_set
    }
}

/// A voter and the key that checks its signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Voter<'file> {
    pub(crate) name: NodeName<'file>,
    pub(crate) key: [u8; 32],
}

impl<'file> Voter<'file> {
    pub(crate) fn read(reader: &mut Reader<'file>) -> Result<Self, Refusal> {
        Ok(Self { name: NodeName::read(reader)?, key: read_key(reader)? })
    }
}

/// The voters of an epoch, in ascending order of name.
#[derive(Clone)]
pub(crate) struct VoterSet<'file> {
    pub(crate) epoch: u64,
    /// The last recovery before or in the epoch; zero before any.
    pub(crate) lineage: Hash,
    pub(crate) voters: Vec<Voter<'file>>,
    pub(crate) hash: Hash,
}

/// A public key with the tag of its suite.
pub(crate) fn read_key(reader: &mut Reader<'_>) -> Result<[u8; 32], Refusal> {
    match reader.byte()? {
        ED25519 => reader.array(),
        _ => Err(Refusal::Malformed("a key is of an unknown suite")),
    }
}

impl<'file> VoterSet<'file> {
    pub(crate) fn read(reader: &mut Reader<'file>) -> Result<Self, Refusal> {
        let ((epoch, lineage, voters), bytes) =
            reader.with_bytes(|reader| Ok((reader.u64()?, reader.array()?, reader.list(Voter::read)?)))?;
        Ok(Self { epoch, lineage, voters, hash: hash::VOTER_SET.hash(&[bytes]) })
    }

    /// The founders' set, which is not written anywhere: it follows from the founding document.
    pub(crate) fn of_founders(mut voters: Vec<Voter<'file>>) -> Self {
        voters.sort_by_key(|voter| voter.name);
        let mut bytes = 0_u64.to_le_bytes().to_vec();
        bytes.extend_from_slice(&[0; 32]);
        bytes.extend_from_slice(&(voters.len() as u64).to_le_bytes());
        for voter in &voters {
            for part in [voter.name.node, voter.name.member] {
                bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
                bytes.extend_from_slice(part.as_bytes());
            }
            bytes.push(ED25519);
            bytes.extend_from_slice(&voter.key);
        }
        Self { epoch: 0, lineage: [0; 32], voters, hash: hash::VOTER_SET.hash(&[&bytes]) }
    }

    /// How many liars among the voters a certificate withstands: floor((n - 1) / 3).
    pub(crate) fn faults_tolerated(&self) -> usize {
        self.voters.len().saturating_sub(1) / 3
    }

    /// Signatures that make a certificate: floor((n + f) / 2) + 1.
    pub(crate) fn quorum(&self) -> usize {
        (self.voters.len() + self.faults_tolerated()) / 2 + 1
    }

    /// Checks that a quorum of these voters signed a header.
    pub(crate) fn certified(&self, header: &Header<'_>, signatures: &[Signature<'_>]) -> Result<(), Refusal> {
        let height = header.height;
        if signatures.len() < self.quorum() {
            return Err(Refusal::BelowQuorum(height, signatures.len(), self.quorum()));
        }
        if !signatures.is_sorted_by(|left, right| left.voter < right.voter) {
            return Err(Refusal::SignersUnordered(height));
        }
        signatures.iter().try_for_each(|part| self.signed(header, &header.hash, part))
    }

    /// Checks that one of these voters signed a hash at a header's height.
    pub(crate) fn signed(&self, header: &Header<'_>, hash: &Hash, part: &Signature<'_>) -> Result<(), Refusal> {
        let (height, node) = (header.height, || part.voter.to_string());
        let signed = hash::HEADER_SIGNATURE.hash(&[&header.genesis, &self.hash, &height.to_le_bytes(), hash]);
        let voter = self.voters.iter().find(|voter| voter.name == part.voter);
        let key = voter.ok_or_else(|| Refusal::NotAVoter(height, node()))?.key;
        // By the rule of ZIP-215, which is the chain's: what its nodes accept is accepted here, and nothing else.
        ed25519_zebra::VerificationKey::try_from(key)
            .and_then(|key| key.verify(&ed25519_zebra::Signature::from_bytes(&part.signature), &signed))
            .map_err(|_| Refusal::BadSignature(height, node()))
    }
}

/// A voter's signature over a header.
pub(crate) struct Signature<'file> {
    pub(crate) voter: NodeName<'file>,
    signature: [u8; 64],
}

impl<'file> Signature<'file> {
    pub(crate) fn read(reader: &mut Reader<'file>) -> Result<Self, Refusal> {
        let voter = NodeName::read(reader)?;
        Self::read_of(reader, voter)
    }

    pub(crate) fn read_of(reader: &mut Reader<'file>, voter: NodeName<'file>) -> Result<Self, Refusal> {
        match reader.byte()? {
            ED25519 => Ok(Self { voter, signature: reader.array()? }),
            _ => Err(Refusal::Malformed("a signature is of an unknown suite")),
        }
    }
}
