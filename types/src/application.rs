//! An institution's application for membership: signed by its administrator's key and its node's key, brought before the
//! members by the node that takes it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wincode::{SchemaRead, SchemaWrite};

use crate::encoding::Encoding;
use crate::hash::{Context, Hash};
use crate::identifier::ProposalId;
use crate::member::{NewAccount, NewNode};
use crate::name::MemberName;
use crate::signature::{BadSignature, SecretKey, Signature};
use crate::time::Timestamp;
use crate::vocabulary::text_enum;

text_enum! {
    /// What an applicant offers the consortium. Words only: free text stays off-chain.
    pub enum Offer {
        /// Datasets that others may ask for.
        Datasets = 1 "datasets",
        /// Computing over its own datasets for others' jobs.
        Compute = 2 "compute",
        /// A node that orders and certifies.
        Voting = 3 "voting",
        /// Researchers who use others' datasets.
        Research = 4 "research",
        /// Auditing.
        Audit = 5 "audit",
    }
}

/// What an institution asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct Application {
    /// The chain: the hash of its genesis document, from the invitation.
    pub genesis: Hash,
    /// The name it wants to have.
    pub member: MemberName,
    /// Its first account, an administrator.
    pub administrator: NewAccount,
    /// Its first node: a voter or an observer.
    pub node: NewNode,
    /// What it offers, in ascending order, each once.
    pub offers: Vec<Offer>,
    /// Salted commitment to the contacts, which stay off-chain.
    pub contacts: Hash,
    /// The applicant's clock; also tells two applications of one institution apart.
    pub made: Timestamp,
}

impl Application {
    /// What both keys sign.
    pub fn hash(&self) -> Hash {
        Hash::of(Context::Application, &self.encode())
    }

    /// Signs with the administrator's and the node's key.
    pub fn sign(self, administrator: &SecretKey, node: &SecretKey) -> SignedApplication {
        let hash = self.hash();
        SignedApplication {
            administrator_signature: administrator.sign(&hash),
            node_signature: node.sign(&hash),
            application: self,
        }
    }
}

/// An application with the proof that the applicant holds both keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct SignedApplication {
    /// What is asked for.
    pub application: Application,
    /// By the administrator's key.
    pub administrator_signature: Signature,
    /// By the node's key.
    pub node_signature: Signature,
}

impl SignedApplication {
    /// Checks both signatures.
    ///
    /// # Errors
    /// [`BadSignature`] when either does not verify.
    pub fn verify(&self) -> Result<(), BadSignature> {
        let hash = self.application.hash();
        self.application.administrator.key.verify(&hash, &self.administrator_signature)?;
        self.application.node.key.verify(&hash, &self.node_signature)
    }
}

/// What an applicant's administrator signs to take the application back.
fn withdrawal(proposal: ProposalId) -> Hash {
    Hash::of(Context::Withdrawal, proposal.0.as_bytes())
}

/// Signs, with the key of the administrator that an application names, that it is taken back.
pub fn sign_withdrawal(proposal: ProposalId, administrator: &SecretKey) -> Signature {
    administrator.sign(&withdrawal(proposal))
}

impl Application {
    /// Checks that the administrator whom this application names takes it back.
    ///
    /// # Errors
    /// [`BadSignature`] when the signature is not by that key, or for another proposal.
    pub fn verify_withdrawal(&self, proposal: ProposalId, signature: &Signature) -> Result<(), BadSignature> {
        self.administrator.key.verify(&withdrawal(proposal), signature)
    }
}

/// Where an institution applies: the address of a member's node, and the hash of the genesis document, so that the
/// newcomer trusts no single node for both. In text: `https://galen.harlem.example#<64 hexadecimal digits>`. Once the chain
/// went on by a recovery, a dot and the last recovery's hash follow: it vouches for all of them, which no peer could. A
/// dash and 48 more digits follow where the node takes applications of those only whom its member invited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Base address of the member's node, `http://` or `https://`.
    pub url: String,
    /// Names the chain.
    pub genesis: Hash,
    /// The hash of the last recovery that the chain went on by; [`Hash::ZERO`] where there was none.
    pub lineage: Hash,
    /// Shows the node that its member invited whoever holds it.
    pub token: Option<InvitationToken>,
}

/// What shows a node that its member invited an applicant. Only that node can tell: 24 bytes, in text 48 hexadecimal
/// digits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String)]
pub struct InvitationToken(#[serde(with = "hex::serde")] pub [u8; 24]);

impl std::fmt::Debug for InvitationToken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("InvitationToken(..)")
    }
}

impl std::fmt::Display for InvitationToken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

/// Text that is not an invitation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an invitation: it looks like https://node.example#<64 hexadecimal digits>, and after a recovery has a dot and 64 more"
)]
pub struct InvitationParseError(String);

impl std::fmt::Display for Invitation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}#{}", self.url, self.genesis)?;
        if self.lineage != Hash::ZERO {
            write!(formatter, ".{}", self.lineage)?;
        }
        self.token.map_or(Ok(()), |token| write!(formatter, "-{token}"))
    }
}

impl std::str::FromStr for Invitation {
    type Err = InvitationParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || InvitationParseError(text.chars().take(200).collect());
        let (url, genesis) = text.trim().rsplit_once('#').ok_or_else(error)?;
        if !(url.starts_with("http://") || url.starts_with("https://")) || url.len() > 512 {
            return Err(error());
        }
        let (genesis, token) = match genesis.split_once('-') {
            Some((genesis, token)) => {
                let mut bytes = [0; 24];
                hex::decode_to_slice(token, &mut bytes).map_err(|_| error())?;
                (genesis, Some(InvitationToken(bytes)))
            }
            None => (genesis, None),
        };
        let (genesis, lineage) = match genesis.split_once('.') {
            Some((genesis, lineage)) => (genesis, lineage.parse().map_err(|_| error())?),
            None => (genesis, Hash::ZERO),
        };
        let genesis = genesis.parse().map_err(|_| error())?;
        Ok(Self { url: url.trim_end_matches('/').to_owned(), genesis, lineage, token })
    }
}
