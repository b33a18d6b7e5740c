//! Access: contracts (ordered rules that an owner attaches), requests, grants, and decisions with their basis.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wincode::{SchemaRead, SchemaWrite};

use crate::identifier::{GrantId, RequestId};
use crate::member::Role;
use crate::name::{AccountName, ColumnName, DatasetName, MemberName, Slug};
use crate::time::Timestamp;
use crate::vocabulary::{Action, DataUse, Purpose, ReasonCode, Statistic, text_enum};

text_enum! {
    /// What a rule does when it matches.
    pub enum Effect {
        /// Allows.
        Permit = 1 "permit",
        /// Refuses; wins over every permit.
        Deny = 2 "deny",
    }
}

/// One rule of an access contract. An empty list says nothing about its dimension: every value matches.
///
/// Columns are a dimension of `compute` and `download`, statistics of `compute` only. A rule that lists values of a
/// dimension which the action does not have is about other actions: a deny does not match, a permit only if it names the
/// action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Names the rule in decisions.
    pub name: Slug,
    /// Permit or deny.
    pub effect: Effect,
    /// Members whose accounts it is about.
    #[serde(default)]
    pub members: Vec<MemberName>,
    /// Accounts it is about. With members given too, an account matches through either.
    #[serde(default)]
    pub accounts: Vec<AccountName>,
    /// Roles of which the account must have one.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// Actions it is about.
    #[serde(default)]
    pub actions: Vec<Action>,
    /// Purposes it is about.
    #[serde(default)]
    pub purposes: Vec<Purpose>,
    /// DUO terms. A permit matches only if the requester affirms all of them; a deny matches if it affirms any.
    #[serde(default)]
    pub data_use: Vec<DataUse>,
    /// Columns. A permit matches only if every column asked for is listed; a deny matches if any is.
    #[serde(default)]
    pub columns: Vec<ColumnName>,
    /// Statistics, judged as columns are.
    #[serde(default)]
    pub statistics: Vec<Statistic>,
    /// First time at which it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// First time at which it no longer holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
    /// Smallest cohort (rows at the site) that may be answered under a permit; tightens the chain's minimum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cohort_min: Option<u32>,
    /// How often an account may use a permit; counted per account and contract version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses_max: Option<u32>,
}

/// What a contract is attached to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
#[wincode(tag_encoding = "u8")]
#[serde(tag = "type", content = "name", rename_all = "snake_case")]
pub enum Scope {
    /// One dataset.
    #[wincode(tag = 1)]
    Dataset(DatasetName),
    /// All datasets of a member.
    #[wincode(tag = 2)]
    Member(MemberName),
}

impl std::fmt::Display for Scope {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dataset(dataset) => write!(formatter, "{dataset}"),
            Self::Member(member) => write!(formatter, "{member}/*"),
        }
    }
}

/// An access contract in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct Contract {
    /// What it is attached to.
    pub scope: Scope,
    /// Counted from 1.
    pub version: u32,
    /// In order; the first match of the winning effect is the one named.
    pub rules: Vec<Rule>,
}

/// What an access is for: the dimensions that rules speak about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
#[serde(deny_unknown_fields)]
pub struct AccessTerms {
    /// What is done.
    pub action: Action,
    /// Why.
    pub purpose: Purpose,
    /// Columns read; for a download empty means the whole file.
    #[serde(default)]
    pub columns: Vec<ColumnName>,
    /// Statistics computed; for compute only.
    #[serde(default)]
    pub statistics: Vec<Statistic>,
    /// Data-use conditions that the requester affirms.
    #[serde(default)]
    pub data_use: Vec<DataUse>,
}

text_enum! {
    /// A request's state: the lifecycle of REMS.
    pub enum RequestState {
        /// Being written; owners do not act on it.
        Draft = 1 "draft",
        /// Waits for the owner.
        Submitted = 2 "submitted",
        /// Sent back to be amended.
        Returned = 3 "returned",
        /// A grant was given.
        Approved = 4 "approved",
        /// Refused.
        Rejected = 5 "rejected",
        /// Its grant was taken back.
        Revoked = 6 "revoked",
        /// Its grant's time or uses ran out.
        Expired = 7 "expired",
        /// Withdrawn by the applicant.
        Closed = 8 "closed",
    }
}

/// A request for access to one dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct Request {
    /// The transaction that filed it.
    pub id: RequestId,
    /// Who asks.
    pub applicant: AccountName,
    /// For what dataset.
    pub dataset: DatasetName,
    /// For what.
    pub terms: AccessTerms,
    /// Where it stands.
    pub state: RequestState,
    /// Why it was returned, rejected or revoked.
    pub reason: Option<ReasonCode>,
    /// Block time of filing.
    pub filed: Timestamp,
    /// Block time of the last change.
    pub changed: Timestamp,
    /// The grant, once approved.
    pub grant: Option<GrantId>,
}

/// Limits of a grant; what is not limited is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
#[serde(deny_unknown_fields)]
pub struct GrantLimits {
    /// First time at which it no longer holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// How often it may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses_max: Option<u32>,
    /// Smallest cohort that may be answered under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cohort_min: Option<u32>,
}

/// Access given to one account: what was asked for, within limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct Grant {
    /// The transaction that gave it.
    pub id: GrantId,
    /// The request it answers.
    pub request: RequestId,
    /// Who may.
    pub grantee: AccountName,
    /// What dataset.
    pub dataset: DatasetName,
    /// Which action, purpose, columns, statistics; empty columns or statistics mean all.
    pub terms: AccessTerms,
    /// Until when and how often.
    pub limits: GrantLimits,
    /// How often it was used.
    pub uses: u32,
    /// Block time at which it was given.
    pub asserted: Timestamp,
    /// The owner's account that gave it.
    pub by: AccountName,
    /// Whether, and why, it was revoked.
    pub revoked: Option<ReasonCode>,
}

/// What decided about an access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
#[wincode(tag_encoding = "u8")]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Basis {
    /// The dataset's own member acts on its own data.
    #[wincode(tag = 1)]
    OwnData,
    /// A grant.
    #[wincode(tag = 2)]
    Grant {
        /// Which.
        grant: GrantId,
    },
    /// A rule of an access contract.
    #[wincode(tag = 3)]
    Rule {
        /// The contract.
        scope: Scope,
        /// Its version.
        contract_version: u32,
        /// The rule's place, from 0.
        index: u32,
        /// The rule's name.
        rule: Slug,
    },
    /// No rule and no grant permits it: nothing said means denied.
    #[wincode(tag = 4)]
    NothingPermits,
}

impl std::fmt::Display for Basis {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OwnData => formatter.write_str("own data"),
            Self::Grant { grant } => write!(formatter, "grant {grant}"),
            Self::Rule { scope, contract_version, rule, .. } => {
                write!(formatter, "rule `{rule}` of contract {scope} v{contract_version}")
            }
            Self::NothingPermits => formatter.write_str("no grant and no rule permits it"),
        }
    }
}

/// Whether an access is allowed, and by what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct Decision {
    /// Permit or deny.
    pub effect: Effect,
    /// What decided.
    pub basis: Basis,
}
