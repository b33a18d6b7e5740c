//! Calls: everything that a transaction can ask for, by state machine.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wincode::{SchemaRead, SchemaWrite};

use crate::access::{AccessTerms, GrantLimits, Rule, Scope};
use crate::application::SignedApplication;
use crate::dataset::VersionContent;
use crate::hash::Hash;
use crate::identifier::{GrantId, JobId, ProposalId, RequestId};
use crate::job::{JobFailure, JobSpecification, SiteAnswer, SiteOutcome};
use crate::member::{EncryptionKey, NewAccount, NewNode, NodeAddress, Role};
use crate::name::{AccountName, DatasetName, NodeName, Slug, VersionName};
use crate::proposal::{Ballot, ProposedChange};
use crate::recovery::SignedRecovery;
use crate::signature::{PublicKey, Signature};
use crate::vocabulary::{Purpose, ReasonCode};

/// What a transaction asks for. Tags are part of the format and never reused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
#[wincode(tag_encoding = "u8")]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum Call {
    // --- members
    /// An administrator adds an account to its member.
    #[wincode(tag = 1)]
    AddAccount(NewAccount),
    /// An administrator suspends an account of its member.
    #[wincode(tag = 2)]
    SuspendAccount {
        /// Which.
        account: AccountName,
        /// Why.
        reason: ReasonCode,
    },
    /// An administrator restores a suspended account of its member.
    #[wincode(tag = 3)]
    RestoreAccount {
        /// Which.
        account: AccountName,
    },
    /// An administrator changes the roles of an account of its member.
    #[wincode(tag = 4)]
    SetAccountRoles {
        /// Which.
        account: AccountName,
        /// Its roles from the next block on, in ascending order, each once.
        roles: Vec<Role>,
    },
    /// An account replaces its own keys, or an administrator those of an account of its member.
    #[wincode(tag = 5)]
    RotateAccountKey {
        /// Which.
        account: AccountName,
        /// Its signing key from the next block on.
        key: PublicKey,
        /// Its encryption key from the next block on.
        encryption_key: EncryptionKey,
    },
    /// An administrator proposes a change that members vote on; its own member's ballot is not yet cast by this.
    #[wincode(tag = 6)]
    Propose(ProposedChange),
    /// An administrator casts its member's ballot; one a member.
    #[wincode(tag = 7)]
    Vote {
        /// On what.
        proposal: ProposalId,
        /// For or against.
        ballot: Ballot,
        /// Why.
        reason: Option<ReasonCode>,
    },

    /// A member's node brings an institution's application before the members, as a proposal.
    #[wincode(tag = 8)]
    Apply {
        /// Signed by the applicant.
        application: Box<SignedApplication>,
    },
    /// An administrator takes its member out of the consortium for good.
    #[wincode(tag = 9)]
    Leave {
        /// Why.
        reason: ReasonCode,
    },
    /// An administrator objects to a scheduled reset of an administrator's key of its own member.
    #[wincode(tag = 10)]
    ObjectToReset {
        /// The proposal that passed.
        proposal: ProposalId,
    },
    /// An administrator registers a node of its member: an observer. Other roles are voted on.
    #[wincode(tag = 11)]
    AddNode(NewNode),
    /// An administrator takes a node of its member out for good.
    #[wincode(tag = 12)]
    RemoveNode {
        /// Which.
        node: NodeName,
        /// Why.
        reason: ReasonCode,
    },
    /// An administrator makes a voter or aggregator of its member an observer.
    #[wincode(tag = 13)]
    DemoteNode {
        /// Which.
        node: NodeName,
    },
    /// An administrator, or the node itself, changes where peers reach a node.
    #[wincode(tag = 14)]
    SetNodeAddress {
        /// Which.
        node: NodeName,
        /// Where.
        address: NodeAddress,
    },
    /// An administrator replaces the key of a node of its member.
    #[wincode(tag = 15)]
    RotateNodeKey {
        /// Which.
        node: NodeName,
        /// Its key from the next block on.
        key: PublicKey,
    },
    /// A node with the role `voter` asks for a number in ordering, because its ordering log is new: the former number, if
    /// it had one, never votes again, and the node leaves the voter set until it has caught up.
    #[wincode(tag = 16)]
    StartOrdering {
        /// The number it has now; 0 for none. Refused when it is another, so that the call cannot be done twice.
        replaces: u64,
    },
    /// A node with a number in ordering has caught up and enters the voter set.
    #[wincode(tag = 17)]
    JoinVoters {
        /// Its number in ordering.
        raft_id: u64,
    },
    /// The remaining members go on without a lost quorum. Stands only in a recovery block, alone.
    #[wincode(tag = 18)]
    Recover {
        /// Signed by their administrators.
        recovery: Box<SignedRecovery>,
    },

    /// A member's node brings it before the members that an institution takes its application back.
    #[wincode(tag = 19)]
    WithdrawApplication {
        /// The application's proposal.
        proposal: ProposalId,
        /// By the key of the administrator whom the application names, over the proposal's id.
        signature: Signature,
    },

    // --- datasets
    /// An owner publishes a new dataset of its member, as version 1.
    #[wincode(tag = 20)]
    PublishDataset {
        /// The part of the dataset's name after `/`.
        dataset: Slug,
        /// What is published.
        content: VersionContent,
        /// Whether every member's accounts may discover it; makes contract version 1 with that one rule.
        discoverable: bool,
    },
    /// An owner publishes a dataset's next version.
    #[wincode(tag = 21)]
    UpdateDataset {
        /// Which.
        dataset: DatasetName,
        /// The newest version known to the owner; refused when it is not the newest any more.
        previous: u32,
        /// What is published.
        content: VersionContent,
    },
    /// An owner withdraws a version, or the whole dataset.
    #[wincode(tag = 22)]
    WithdrawDataset {
        /// Which.
        dataset: DatasetName,
        /// One version, or all.
        version: Option<u32>,
        /// Why.
        reason: ReasonCode,
    },
    /// A node reports that its stored bytes of a version differ from the chain.
    #[wincode(tag = 23)]
    ReportTampering {
        /// Which.
        version: VersionName,
    },

    // --- access contracts, requests, grants
    /// An owner sets the access contract of a dataset, or of all its member's datasets.
    #[wincode(tag = 40)]
    SetContract {
        /// What it is attached to.
        scope: Scope,
        /// The version it replaces; 0 where there is none.
        previous: u32,
        /// The rules, in order.
        rules: Vec<Rule>,
    },
    /// A researcher asks for access to a dataset.
    #[wincode(tag = 41)]
    RequestAccess {
        /// To what.
        dataset: DatasetName,
        /// For what.
        terms: AccessTerms,
        /// Kept as a draft: not yet submitted.
        draft: bool,
    },
    /// The applicant amends a draft or returned request and submits it.
    #[wincode(tag = 42)]
    ReviseRequest {
        /// Which.
        request: RequestId,
        /// For what, now.
        terms: AccessTerms,
    },
    /// An owner approves a request; the grant carries this transaction's id.
    #[wincode(tag = 43)]
    ApproveRequest {
        /// Which.
        request: RequestId,
        /// Until when and how often.
        limits: GrantLimits,
    },
    /// An owner rejects a request.
    #[wincode(tag = 44)]
    RejectRequest {
        /// Which.
        request: RequestId,
        /// Why.
        reason: ReasonCode,
    },
    /// An owner sends a request back to be amended.
    #[wincode(tag = 45)]
    ReturnRequest {
        /// Which.
        request: RequestId,
        /// Why.
        reason: ReasonCode,
    },
    /// The applicant withdraws a request.
    #[wincode(tag = 46)]
    CloseRequest {
        /// Which.
        request: RequestId,
    },
    /// An owner revokes a grant; holds from the next block.
    #[wincode(tag = 47)]
    RevokeGrant {
        /// Which.
        grant: GrantId,
        /// Why.
        reason: ReasonCode,
    },
    /// An account asks for a file; the owner's node releases it against the certified receipt.
    #[wincode(tag = 48)]
    Download {
        /// Which version.
        version: VersionName,
        /// For what purpose.
        purpose: Purpose,
    },

    // --- compute jobs
    /// A researcher submits a job; refused unless every dataset permits it.
    #[wincode(tag = 60)]
    SubmitJob(JobSpecification),
    /// A member's node records that it gave its summary for a job, or refused.
    #[wincode(tag = 61)]
    AnswerJob {
        /// Which job.
        job: JobId,
        /// For which of the job's datasets, and how.
        answer: SiteAnswer,
    },
    /// The aggregator publishes the result's digest, and that it deleted what it held.
    #[wincode(tag = 62)]
    FinishJob {
        /// Which job.
        job: JobId,
        /// Digest of the result document.
        result: Hash,
        /// Every dataset of the job: in the total, or refused with its rule.
        sites: Vec<SiteOutcome>,
        /// The aggregator states that the summaries it held are deleted.
        summaries_deleted: bool,
    },
    /// The aggregator gives a job up.
    #[wincode(tag = 63)]
    FailJob {
        /// Which job.
        job: JobId,
        /// Why.
        failure: JobFailure,
        /// Every dataset of the job and what became of it.
        sites: Vec<SiteOutcome>,
    },
    /// The job's submitter asks for the result; it is given out against the certified receipt.
    #[wincode(tag = 64)]
    ReadResult {
        /// Which job.
        job: JobId,
    },
}
