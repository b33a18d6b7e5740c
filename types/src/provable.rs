//! Names of what a proof can tell about the state, as people write them: `member:harlem`,
//! `grants:alice@harlem:mississippi/opt`. Which key of the state each stands for, the contracts say.

use std::fmt;
use std::str::FromStr;

use crate::access::Scope;
use crate::identifier::{GrantId, JobId, ProposalId, RequestId, TransactionId};
use crate::name::{AccountName, DatasetName, MemberName, NodeName, VersionName};
use crate::signature::PublicKey;
use crate::time::Timestamp;

/// A record of the state, or the place where it would stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provable {
    /// The chain's parameters.
    Parameters,
    /// The voters of the next height.
    Voters,
    /// How many members are active.
    MembersActive,
    /// The hash of the last recovery.
    LastRecovery,
    /// Changes that come into force later.
    Schedule,
    /// Open applications for membership.
    Applications,
    /// A member.
    Member(MemberName),
    /// When a member left.
    MemberLeft(MemberName),
    /// An account.
    Account(AccountName),
    /// A node.
    Node(NodeName),
    /// Whose a signing key is or was.
    SigningKey(PublicKey),
    /// A dataset.
    Dataset(DatasetName),
    /// A version of a dataset.
    Version(VersionName),
    /// The contract in force over a dataset, or over all of a member's.
    Contract(Scope),
    /// A contract that another replaced.
    ReplacedContract(Scope, u32),
    /// A request.
    Request(RequestId),
    /// A grant.
    Grant(GrantId),
    /// The grants of an account on a dataset: none stands there when the account has no grant that was not revoked and
    /// not used up.
    Grants(AccountName, DatasetName),
    /// A job.
    Job(JobId),
    /// A proposal.
    Proposal(ProposalId),
    /// That a transaction was recorded and could still be sent again, up to this block time.
    Live(TransactionId, Timestamp),
    /// A key as it is, in hexadecimal digits.
    Key(Vec<u8>),
}

/// Text that names nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names nothing that can be proven: write a transaction's id, or like parameters, voters, member:harlem, \
     account:alice@harlem, node:node-1.harlem, dataset:harlem/opt, version:harlem/opt@1, contract:harlem/opt, \
     contract:harlem/*, request:ID, grant:ID, grants:alice@harlem:mississippi/opt, job:ID, proposal:ID, key:HEX"
)]
pub struct ProvableParseError(String);

/// Most bytes of a key that is asked for: the longest of the contracts has under 300.
const KEY_BYTES_MAX: usize = 512;

impl fmt::Display for Provable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parameters => formatter.write_str("parameters"),
            Self::Voters => formatter.write_str("voters"),
            Self::MembersActive => formatter.write_str("members-active"),
            Self::LastRecovery => formatter.write_str("last-recovery"),
            Self::Schedule => formatter.write_str("schedule"),
            Self::Applications => formatter.write_str("applications"),
            Self::Member(name) => write!(formatter, "member:{name}"),
            Self::MemberLeft(name) => write!(formatter, "member-left:{name}"),
            Self::Account(name) => write!(formatter, "account:{name}"),
            Self::Node(name) => write!(formatter, "node:{name}"),
            Self::SigningKey(key) => write!(formatter, "signing-key:{key}"),
            Self::Dataset(name) => write!(formatter, "dataset:{name}"),
            Self::Version(name) => write!(formatter, "version:{name}"),
            Self::Contract(scope) => write!(formatter, "contract:{scope}"),
            Self::ReplacedContract(scope, version) => write!(formatter, "replaced-contract:{scope}@{version}"),
            Self::Request(id) => write!(formatter, "request:{id}"),
            Self::Grant(id) => write!(formatter, "grant:{id}"),
            Self::Grants(grantee, dataset) => write!(formatter, "grants:{grantee}:{dataset}"),
            Self::Job(id) => write!(formatter, "job:{id}"),
            Self::Proposal(id) => write!(formatter, "proposal:{id}"),
            Self::Live(id, until) => write!(formatter, "live:{id}@{until}"),
            Self::Key(bytes) => write!(formatter, "key:{}", hex::encode(bytes)),
        }
    }
}

impl FromStr for Provable {
    type Err = ProvableParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| ProvableParseError(text.chars().take(120).collect()))
    }
}

fn parse(text: &str) -> Option<Provable> {
    let Some((kind, name)) = text.split_once(':') else {
        return Some(match text {
            "parameters" => Provable::Parameters,
            "voters" => Provable::Voters,
            "members-active" => Provable::MembersActive,
            "last-recovery" => Provable::LastRecovery,
            "schedule" => Provable::Schedule,
            "applications" => Provable::Applications,
            _ => return None,
        });
    };
    Some(match kind {
        "member" => Provable::Member(name.parse().ok()?),
        "member-left" => Provable::MemberLeft(name.parse().ok()?),
        "account" => Provable::Account(name.parse().ok()?),
        "node" => Provable::Node(name.parse().ok()?),
        "signing-key" => Provable::SigningKey(name.parse().ok()?),
        "dataset" => Provable::Dataset(name.parse().ok()?),
        "version" => Provable::Version(name.parse().ok()?),
        "contract" => Provable::Contract(scope(name)?),
        "replaced-contract" => {
            let (scope_text, version) = name.rsplit_once('@')?;
            Provable::ReplacedContract(scope(scope_text)?, version.parse().ok()?)
        }
        "request" => Provable::Request(name.parse().ok()?),
        "grant" => Provable::Grant(name.parse().ok()?),
        "grants" => {
            let (grantee, dataset) = name.split_once(':')?;
            Provable::Grants(grantee.parse().ok()?, dataset.parse().ok()?)
        }
        "job" => Provable::Job(name.parse().ok()?),
        "proposal" => Provable::Proposal(name.parse().ok()?),
        "live" => {
            let (id, until) = name.split_once('@')?;
            Provable::Live(id.parse().ok()?, until.parse().ok()?)
        }
        "key" => {
            let key = hex::decode(name).ok()?;
            Provable::Key(Some(key).filter(|key| (1..=KEY_BYTES_MAX).contains(&key.len()))?)
        }
        _ => return None,
    })
}

/// `harlem/opt`, or `harlem/*` for all of a member's datasets.
fn scope(text: &str) -> Option<Scope> {
    match text.strip_suffix("/*") {
        Some(member) => Some(Scope::Member(member.parse().ok()?)),
        None => Some(Scope::Dataset(text.parse().ok()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        let id = "ab".repeat(32);
        for text in [
            "parameters",
            "voters",
            "members-active",
            "last-recovery",
            "schedule",
            "applications",
            "member:harlem",
            "member-left:harlem",
            "account:alice@harlem",
            "node:node-1.harlem",
            &format!("signing-key:ed25519:{id}"),
            "dataset:harlem/opt",
            "version:harlem/opt@3",
            "contract:harlem/opt",
            "contract:harlem/*",
            "replaced-contract:harlem/opt@2",
            "replaced-contract:harlem/*@2",
            &format!("request:{id}"),
            &format!("grant:{id}"),
            "grants:alice@harlem:mississippi/opt",
            &format!("job:{id}"),
            &format!("proposal:{id}"),
            &format!("live:{id}@2026-11-21T10:00:00.000Z"),
            "key:01",
        ] {
            assert_eq!(text.parse::<Provable>().unwrap().to_string(), text);
        }
        for text in ["", "member", "member:", "member:Harlem", "grants:alice@harlem", "key:", "key:0", "grant:12"] {
            let error = text.parse::<Provable>().unwrap_err();
            assert!(error.to_string().contains("member:harlem"), "{text}");
        }
    }
}
