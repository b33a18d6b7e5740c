//! Members of the consortium, their accounts and nodes, as they are registered on the chain.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wincode::{SchemaRead, SchemaWrite};

use crate::encoding::{encode_as_text, serde_as_text};
use crate::name::{AccountName, MemberName, NameError, NodeName, Slug};
use crate::signature::PublicKey;
use crate::vocabulary::text_enum;

text_enum! {
    /// What an account may do.
    pub enum Role {
        /// Manages the member's accounts and nodes, votes for it.
        Admin = 1 "admin",
        /// Publishes the member's data and decides requests for it.
        Owner = 2 "owner",
        /// Searches, asks for access, computes, downloads.
        Researcher = 3 "researcher",
        /// Reads the whole audit trail.
        Auditor = 4 "auditor",
    }
}

text_enum! {
    /// What a node does.
    pub enum NodeRole {
        /// Orders, executes, signs headers.
        Voter = 1 "voter",
        /// Follows and executes; has no vote.
        Observer = 2 "observer",
        /// An observer that combines the sites' summaries of compute jobs.
        Aggregator = 3 "aggregator",
    }
}

text_enum! {
    /// Whether a member or account takes part.
    pub enum Standing {
        /// Takes part.
        Active = 1 "active",
        /// Suspended: its signatures are not accepted.
        Suspended = 2 "suspended",
        /// Left or removed for good; its history stays.
        Left = 3 "left",
    }
}

/// A public X25519 key (RFC 7748), to which file keys are wrapped. In text: `x25519:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, SchemaWrite, SchemaRead)]
pub struct EncryptionKey(pub [u8; 32]);

impl std::fmt::Display for EncryptionKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "x25519:{}", crate::hash::Hash(self.0))
    }
}

impl std::fmt::Debug for EncryptionKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, formatter)
    }
}

impl std::str::FromStr for EncryptionKey {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || NameError {
            text: text.chars().take(80).collect(),
            expected: "an encryption key: `x25519:` and 64 hexadecimal digits",
        };
        let digits = text.strip_prefix("x25519:").ok_or_else(error)?;
        digits.parse::<crate::hash::Hash>().map(|hash| Self(hash.0)).map_err(|_| error())
    }
}

serde_as_text!(
    EncryptionKey,
    "EncryptionKey",
    "x25519:8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
);

/// Where a node is reached by peers: a libp2p multiaddress, e.g. `/ip4/127.0.0.1/tcp/7101`; at most 256 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeAddress(String);

impl NodeAddress {
    /// Checks length and characters; whether it can be dialled is the network's to say.
    ///
    /// # Errors
    /// [`NameError`] when it cannot be a multiaddress.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let sound = text.len() <= 256 && text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
        if sound {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError {
                text: text.chars().take(80).collect(),
                expected: "a network address, like /ip4/127.0.0.1/tcp/7101",
            })
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for NodeAddress {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::fmt::Debug for NodeAddress {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::str::FromStr for NodeAddress {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

encode_as_text!(NodeAddress);
serde_as_text!(NodeAddress, "NodeAddress", "/ip4/127.0.0.1/tcp/7101");

/// A member institution as registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct Member {
    /// Its name.
    pub name: MemberName,
    /// Whether it takes part.
    pub standing: Standing,
    /// The height at which it was admitted; 0 for founders.
    pub admitted_height: u64,
}

/// An account as registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct Account {
    /// Its name, a pseudonym by policy.
    pub name: AccountName,
    /// Checks its signatures.
    pub key: PublicKey,
    /// File keys are wrapped to it.
    pub encryption_key: EncryptionKey,
    /// What it may do, in ascending order, each once.
    pub roles: Vec<Role>,
    /// Whether it takes part.
    pub standing: Standing,
}

impl Account {
    /// Whether it has a role.
    pub fn has_role(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

/// A node as registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Signs headers and transactions, and is its network identity.
    pub key: PublicKey,
    /// What it may do. A node with the role `voter` orders once it has a `raft_id`, and votes once it stands in the chain's
    /// voter set.
    pub role: NodeRole,
    /// Its number in the ordering protocol, from 1, never used again; 0 for nodes that do not order. A node whose ordering
    /// log is new (first start, lost or old disk) gets a new one.
    pub raft_id: u64,
    /// Where peers reach it.
    pub address: NodeAddress,
    /// Whether it takes part: active, or left for good.
    pub standing: Standing,
    /// The height at which it was registered; 0 for founders.
    pub registered_height: u64,
}

/// Most nodes that order at a time, voters and learners together: what a genesis may name, and what the chain admits to
/// ordering. The ordering protocol's own configuration holds some more, so that a full group can still replace nodes.
pub const ORDERING_NODES_MAX: usize = 48;

/// A node's number in the ordering protocol. A node has one at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct OrderingNode {
    /// The number, from 1.
    pub raft_id: u64,
    /// Whose it is, or was.
    pub node: NodeName,
    /// 0 while the node orders. Else the height at which the chain took it out of ordering: its vote may still be what
    /// lets the ordering group go on without it.
    pub retired_height: u64,
}

impl OrderingNode {
    /// Whether the node orders, as the chain says it.
    pub fn orders(&self) -> bool {
        self.retired_height == 0
    }
}

/// What a node is made of when it is registered (its member is the signer's, or the applicant).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct NewNode {
    /// The part of its name before the dot.
    pub node: Slug,
    /// Signs headers and transactions, and is its network identity.
    pub key: PublicKey,
    /// What it shall do.
    pub role: NodeRole,
    /// Where peers reach it.
    pub address: NodeAddress,
}

/// What an account is made of when it is added (its member is the signer's).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct NewAccount {
    /// The part of its name before `@`.
    pub account: Slug,
    /// Checks its signatures.
    pub key: PublicKey,
    /// File keys are wrapped to it.
    pub encryption_key: EncryptionKey,
    /// What it may do.
    pub roles: Vec<Role>,
}
