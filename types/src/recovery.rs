//! Going on without a lost quorum: what the administrators of the remaining members sign.
//!
//! A recovery names the last block that is kept (height and hash), the nodes that vote from there on with their keys, and
//! the members that need not agree. The block after it holds nothing but the recovery, opens a new epoch that no earlier
//! block announced, and is certified by the new voters. Nodes that do not hold the recovery refuse that block, and are
//! refused by those that do.
//!
//! Each recovery names the one before it, so the hash of the last one, the chain's lineage, vouches for all of them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wincode::{SchemaRead, SchemaWrite};

use crate::certificate::{Voter, VoterSet};
use crate::encoding::Encoding;
use crate::hash::{Context, Hash};
use crate::name::{AccountName, MemberName, NodeName};
use crate::signature::{BadSignature, PublicKey, SecretKey, Signature};
use crate::time::Timestamp;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    /// The chain.
    pub genesis: Hash,
    /// The hash of the last recovery before this one; [`Hash::ZERO`] where there was none.
    pub lineage: Hash,
    /// The last height that is kept.
    pub height: u64,
    /// That block's header.
    pub header: Hash,
    /// When it was drawn up; the recovery block's time is this or the parent's plus 1 ms.
    pub made: Timestamp,
    /// Active members of which nobody signs, in ascending order, each once: the chain goes on without their consent.
    pub abandoned: Vec<MemberName>,
    /// The nodes that vote from the next height on, in ascending order of name, each once, with the keys registered at
    /// `height`.
    pub voters: Vec<Voter>,
}

impl Recovery {
    /// What administrators sign; also names the branch of the chain that goes on from it.
    pub fn hash(&self) -> Hash {
        Hash::of(Context::Recovery, &self.encode())
    }

    /// The voter set that it makes, as the set of this epoch.
    pub fn voter_set(&self, epoch: u64) -> VoterSet {
        VoterSet::new(epoch, self.hash(), self.voters.clone())
    }

    /// The names of its voters.
    pub fn names(&self) -> impl Iterator<Item = &NodeName> {
        self.voters.iter().map(|voter| &voter.node)
    }
}

/// A recovery with the signatures of administrators: one at least of every active member that is not abandoned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
#[serde(deny_unknown_fields)]
pub struct SignedRecovery {
    /// What is to be done.
    pub recovery: Recovery,
    /// In ascending order of account name, each once.
    pub signatures: Vec<RecoverySignature>,
}

/// One administrator's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
#[serde(deny_unknown_fields)]
pub struct RecoverySignature {
    /// Who.
    pub account: AccountName,
    /// Over the recovery's hash.
    pub signature: Signature,
}

impl RecoverySignature {
    /// Signs.
    pub fn sign(recovery: &Recovery, account: AccountName, key: &SecretKey) -> Self {
        Self { account, signature: key.sign(&recovery.hash()) }
    }

    /// Checks the signature under the account's registered key.
    ///
    /// # Errors
    /// [`BadSignature`] when it does not verify.
    pub fn verify(&self, recovery: &Recovery, key: &PublicKey) -> Result<(), BadSignature> {
        key.verify(&recovery.hash(), &self.signature)
    }
}
