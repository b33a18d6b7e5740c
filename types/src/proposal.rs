//! Proposals that members vote on: one ballot a member, threshold from the chain's parameters.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wincode::{SchemaRead, SchemaWrite};

use crate::application::SignedApplication;
use crate::hash::Hash;
use crate::identifier::ProposalId;
use crate::member::{EncryptionKey, NodeRole};
use crate::name::{AccountName, MemberName, NodeName, Signer};
use crate::parameters::Parameters;
use crate::signature::PublicKey;
use crate::time::Timestamp;
use crate::vocabulary::{ReasonCode, text_enum};

/// Furthest that a change of parameters may be put off when it is proposed, in blocks: at a block a second, 11 days.
pub const EFFECTIVE_HEIGHT_AHEAD_MAX: u64 = 1_000_000;

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
    /// Replace the chain's parameters. It holds only while those that it goes by are in force, so that no vote undoes
    /// another unseen; and it takes the place of a change of parameters that waits to come into force. Naming the
    /// parameters in force does nothing but take such a change back.
    #[wincode(tag = 3)]
    SetParameters {
        /// All of them.
        parameters: Parameters,
        /// The parameters that it goes by: [`Parameters::hash`] of those in force when it was written.
        based_on: Hash,
        /// They hold from this height on; from the next block on when it is lower. 0 is "at once". At most
        /// [`EFFECTIVE_HEIGHT_AHEAD_MAX`] blocks ahead.
        #[serde(default)]
        effective_height: u64,
    },
    /// Admit an institution. Made by [`Call::Apply`](crate::Call::Apply) only.
    #[wincode(tag = 4)]
    AdmitMember {
        /// Its application.
        application: Box<SignedApplication>,
    },
    /// Remove a member for good: its grants end, its datasets are withdrawn, its nodes are cut off.
    #[wincode(tag = 5)]
    RemoveMember {
        /// Which.
        member: MemberName,
        /// Why.
        reason: ReasonCode,
    },
    /// Give a node another role: the only way to become a voter or an aggregator after the founding.
    #[wincode(tag = 6)]
    SetNodeRole {
        /// Which.
        node: NodeName,
        /// What it shall do.
        role: NodeRole,
    },
    /// Remove a node of another member for good.
    #[wincode(tag = 7)]
    RemoveNode {
        /// Which.
        node: NodeName,
        /// Why.
        reason: ReasonCode,
    },
    /// Give a member that lost its last administrator's key a new one. Takes effect after the parameter
    /// `key_reset_delay_ms`; until then an administrator of that member can object.
    #[wincode(tag = 8)]
    ResetAdministrator {
        /// The account; an administrator of its member, active or suspended.
        account: AccountName,
        /// Its signing key from then on.
        key: PublicKey,
        /// Its encryption key from then on.
        encryption_key: EncryptionKey,
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
        /// Passed; the change comes into force later.
        Scheduled = 4 "scheduled",
        /// The member concerned objected before it came into force.
        Objected = 5 "objected",
        /// The institution took its application back.
        Withdrawn = 6 "withdrawn",
    }
}

/// When a scheduled change comes into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
#[wincode(tag_encoding = "u8")]
#[serde(rename_all = "snake_case")]
pub enum Effective {
    /// In the block of this height, and from it on.
    #[wincode(tag = 1)]
    Height(u64),
    /// In the first block of this time or later.
    #[wincode(tag = 2)]
    Time(Timestamp),
}

/// A change that passed and comes into force later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct Scheduled {
    /// When.
    pub effective: Effective,
    /// The proposal that passed.
    pub proposal: ProposalId,
}

/// An application that waits for the members' ballots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct OpenApplication {
    /// The proposal.
    pub proposal: ProposalId,
    /// The name that the applicant wants to have.
    pub applicant: MemberName,
    /// The member whose node took it.
    pub sponsor: MemberName,
    /// Block time after which no ballot is taken.
    pub closes: Timestamp,
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
    /// Who made it: an administrator, or for an application the node that took it.
    pub proposer: Signer,
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
    /// Once scheduled: the block from which, or the block time from which, the change is in force.
    pub effective: Option<Effective>,
}
