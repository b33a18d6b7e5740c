//! Proposals that members vote on: one ballot a member, threshold from the chain's parameters.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wincode::{SchemaRead, SchemaWrite};

use crate::identifier::ProposalId;
use crate::name::{AccountName, MemberName};
use crate::parameters::Parameters;
use crate::time::Timestamp;
use crate::vocabulary::{ReasonCode, text_enum};

/// What is proposed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
#[wincode(tag_encoding = "u8")]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum ProposedChange {
    /// Suspend a member: its accounts' signatures are no longer accepted.
    #[wincode(tag = 1)]
    SuspendMember {
        /// Which.
        member: MemberName,
        /// Why.
        reason: ReasonCode,
    },
    /// Restore a suspended member.
    #[wincode(tag = 2)]
    RestoreMember {
        /// Which.
        member: MemberName,
    },
    /// Replace the chain's parameters.
    #[wincode(tag = 3)]
    SetParameters {
        /// All of them.
        parameters: Parameters,
    },
}

text_enum! {
    /// A member's ballot.
    pub enum Ballot {
        /// For.
        Approve = 1 "approve",
        /// Against.
        Reject = 2 "reject",
    }
}

text_enum! {
    /// Where a proposal stands.
    pub enum ProposalState {
        /// Ballots are taken.
        Open = 1 "open",
        /// Passed; the change is in force.
        Passed = 2 "passed",
        /// Can no longer pass.
        Failed = 3 "failed",
    }
}

/// A ballot as cast.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct CastBallot {
    /// The member.
    pub member: MemberName,
    /// The administrator's account that cast it.
    pub by: AccountName,
    /// For or against.
    pub ballot: Ballot,
    /// Why.
    pub reason: Option<ReasonCode>,
}

/// A proposal as registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct Proposal {
    /// The transaction that made it.
    pub id: ProposalId,
    /// Who made it.
    pub proposer: AccountName,
    /// What is proposed.
    pub change: ProposedChange,
    /// Where it stands.
    pub state: ProposalState,
    /// Ballots in the order cast.
    pub ballots: Vec<CastBallot>,
    /// Block time at which it was made.
    pub made: Timestamp,
    /// Block time after which no ballot is taken.
    pub closes: Timestamp,
}
