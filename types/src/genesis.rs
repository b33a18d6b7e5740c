//! The founding document of a consortium. People write it as TOML; its hash, over the canonical encoding, names the
//! chain in every header, transaction and handshake.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wincode::{SchemaRead, SchemaWrite};

use crate::certificate::{Voter, VoterSet};
use crate::encoding::Encoding;
use crate::hash::{Context, Hash};
use crate::member::{Account, Member, NewAccount, Node, NodeAddress, NodeRole, ORDERING_NODES_MAX, Role, Standing};
use crate::name::{AccountName, MemberName, NodeName, Slug};
use crate::parameters::{ParameterError, Parameters};
use crate::signature::PublicKey;
use crate::time::Timestamp;

/// The founding document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// The chain's name within the consortium.
    pub chain: Slug,
    /// When it was founded; block times are later.
    pub founded: Timestamp,
    /// Which version of the rules starts.
    pub rules_version: u32,
    /// The state tree has 2^this many buckets: 8 to 24.
    pub state_bucket_bits: u8,
    /// Limits and minima.
    #[serde(default)]
    pub parameters: Parameters,
    /// Founding members.
    pub members: Vec<Founder>,
}

/// A founding member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
#[serde(deny_unknown_fields)]
pub struct Founder {
    /// Its name.
    pub name: MemberName,
    /// Its accounts; one at least is an administrator.
    pub accounts: Vec<NewAccount>,
    /// Its nodes.
    pub nodes: Vec<FoundingNode>,
}

/// A node of a founding member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
#[serde(deny_unknown_fields)]
pub struct FoundingNode {
    /// The part of its name before the dot.
    pub node: Slug,
    /// Its key.
    pub key: PublicKey,
    /// What it does.
    pub role: NodeRole,
    /// Where peers reach it.
    pub address: NodeAddress,
}

/// Most bytes of an encoded genesis, or of its TOML text.
pub const GENESIS_BYTES_MAX: usize = 4 << 20;

/// The newest version of the rules that this software executes.
pub const RULES_VERSION: u32 = 1;

/// Why a document cannot found a consortium.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// Not the TOML of a genesis.
    #[error("the genesis document cannot be read: {0}")]
    Malformed(String),
    /// A parameter out of bounds.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// Rules that this software does not know.
    #[error("the genesis asks for rules version {0}; this software executes 1 to {RULES_VERSION}: use a newer release")]
    RulesVersion(u32),
    /// The state tree's size is out of bounds.
    #[error("`state_bucket_bits` is {0}; it must be 8 to 24")]
    StateBucketBits(u8),
    /// Two of something that must be unique.
    #[error("`{0}` stands twice in the genesis")]
    Duplicate(String),
    /// A member without an administrator could never change anything.
    #[error("member `{0}` has no account with the role `admin`")]
    NoAdministrator(MemberName),
    /// Nobody would order.
    #[error("no node has the role `voter`")]
    NoVoter,
    /// One voter a member, unless the parameters say otherwise.
    #[error("member `{0}` has more voters than the parameter `voters_per_member_max`")]
    TooManyVoters(MemberName),
    /// Ordering works with a bounded number of nodes.
    #[error("{0} nodes have the role `voter`; at most {ORDERING_NODES_MAX} order: make the others observers")]
    VotersTooMany(usize),
    /// The managing agency is no founding member.
    #[error("the managing agency `{0}` is not among the members")]
    AgencyUnknown(MemberName),
    /// Lists of roles are in ascending order, each once.
    #[error(
        "the roles of account `{0}` must be one or more, each once, in the order admin, owner, researcher, auditor"
    )]
    Roles(AccountName),
}

impl GenesisError {
    /// A stable code for interfaces and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "genesis-malformed",
            Self::Parameter(_) => "genesis-parameter",
            Self::RulesVersion(_) => "genesis-rules-version",
            Self::StateBucketBits(_) => "genesis-state-bucket-bits",
            Self::Duplicate(_) => "genesis-duplicate",
            Self::NoAdministrator(_) => "genesis-no-administrator",
            Self::NoVoter => "genesis-no-voter",
            Self::TooManyVoters(_) => "genesis-too-many-voters",
            Self::VotersTooMany(_) => "genesis-voters-too-many",
            Self::AgencyUnknown(_) => "genesis-agency-unknown",
            Self::Roles(_) => "genesis-roles",
        }
    }
}

impl Genesis {
    /// Reads and checks the TOML text.
    ///
    /// # Errors
    /// [`GenesisError`] saying what to mend.
    pub fn from_toml(text: &str) -> Result<Self, GenesisError> {
        if text.len() > GENESIS_BYTES_MAX {
            return Err(GenesisError::Malformed(format!("it is longer than {GENESIS_BYTES_MAX} bytes")));
        }
        let genesis: Self = toml::from_str(text).map_err(|error| GenesisError::Malformed(error.to_string()))?;
        genesis.check()?;
        Ok(genesis)
    }

    /// The document as TOML.
    ///
    /// # Errors
    /// [`GenesisError::Malformed`] when a value cannot be written as TOML (a number beyond 63 bits).
    pub fn to_toml(&self) -> Result<String, GenesisError> {
        toml::to_string_pretty(self).map_err(|error| GenesisError::Malformed(error.to_string()))
    }

    /// The hash that names the chain.
    pub fn hash(&self) -> Hash {
        Hash::of(Context::Genesis, &self.encode())
    }

    /// Checks that the document can found a consortium.
    ///
    /// # Errors
    /// The first [`GenesisError`].
    pub fn check(&self) -> Result<(), GenesisError> {
        self.parameters.check()?;
        if !(1..=RULES_VERSION).contains(&self.rules_version) {
            return Err(GenesisError::RulesVersion(self.rules_version));
        }
        if !(8..=24).contains(&self.state_bucket_bits) {
            return Err(GenesisError::StateBucketBits(self.state_bucket_bits));
        }
        if let Some(agency) = &self.parameters.managing_agency
            && !self.members.iter().any(|founder| &founder.name == agency)
        {
            return Err(GenesisError::AgencyUnknown(agency.clone()));
        }
        let mut seen = BTreeSet::new();
        let mut once = |text: String| {
            if seen.insert(text.clone()) { Ok(()) } else { Err(GenesisError::Duplicate(text)) }
        };
        for founder in &self.members {
            once(founder.name.to_string())?;
            for account in &founder.accounts {
                let name = AccountName { account: account.account.clone(), member: founder.name.clone() };
                if account.roles.is_empty() || !account.roles.is_sorted_by(|left, right| left < right) {
                    return Err(GenesisError::Roles(name));
                }
                once(name.to_string())?;
                once(account.key.to_string())?;
            }
            for node in &founder.nodes {
                once(NodeName { node: node.node.clone(), member: founder.name.clone() }.to_string())?;
                once(node.key.to_string())?;
            }
            if !founder.accounts.iter().any(|account| account.roles.contains(&Role::Admin)) {
                return Err(GenesisError::NoAdministrator(founder.name.clone()));
            }
            let voters = founder.nodes.iter().filter(|node| node.role == NodeRole::Voter).count();
            if voters > self.parameters.voters_per_member_max as usize {
                return Err(GenesisError::TooManyVoters(founder.name.clone()));
            }
        }
        match self.nodes().iter().filter(|node| node.role == NodeRole::Voter).count() {
            0 => Err(GenesisError::NoVoter),
            1..=ORDERING_NODES_MAX => Ok(()),
            voters => Err(GenesisError::VotersTooMany(voters)),
        }
    }

    /// The founding members as registered at height 0.
    pub fn registered_members(&self) -> Vec<Member> {
        let member =
            |founder: &Founder| Member { name: founder.name.clone(), standing: Standing::Active, admitted_height: 0 };
        self.members.iter().map(member).collect()
    }

    /// The founding accounts as registered at height 0.
    pub fn accounts(&self) -> Vec<Account> {
        let mut accounts = Vec::new();
        for founder in &self.members {
            for new in &founder.accounts {
                accounts.push(Account {
                    name: AccountName { account: new.account.clone(), member: founder.name.clone() },
                    key: new.key,
                    encryption_key: new.encryption_key,
                    roles: new.roles.clone(),
                    standing: Standing::Active,
                });
            }
        }
        accounts
    }

    /// The founding nodes; voters are numbered from 1 in the order of the document.
    pub fn nodes(&self) -> Vec<Node> {
        let mut voters = 0;
        let mut nodes = Vec::new();
        for founder in &self.members {
            for node in &founder.nodes {
                let raft_id = if node.role == NodeRole::Voter {
                    voters += 1;
                    voters
                } else {
                    0
                };
                nodes.push(Node {
                    name: NodeName { node: node.node.clone(), member: founder.name.clone() },
                    key: node.key,
                    role: node.role,
                    raft_id,
                    address: node.address.clone(),
                    standing: Standing::Active,
                    registered_height: 0,
                });
            }
        }
        nodes
    }

    /// The voters of epoch 0.
    pub fn voter_set(&self) -> VoterSet {
        let voters = self.nodes().into_iter().filter(|node| node.role == NodeRole::Voter);
        VoterSet::new(0, Hash::ZERO, voters.map(|node| Voter { node: node.name, key: node.key }).collect())
    }
}
