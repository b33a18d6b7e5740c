//! Receipts: what became of a transaction, with its events and a digest of what it wrote.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wincode::{SchemaRead, SchemaWrite};

use crate::access::Decision;
use crate::encoding::Encoding;
use crate::hash::{Context, Hash};
use crate::identifier::TransactionId;
use crate::name::{AccountName, DatasetName, MemberName, NodeName, Signer, Slug};
use crate::vocabulary::{Action, Purpose, ReasonCode, text_enum};

text_enum! {
    /// What an event records.
    pub enum Operation {
        /// A dataset was published.
        Publish = 1 "publish",
        /// A dataset got a new version.
        Update = 2 "update",
        /// A dataset or version was withdrawn.
        Withdraw = 3 "withdraw",
        /// An access contract was set.
        SetContract = 4 "set-contract",
        /// Access was asked for.
        RequestAccess = 5 "request-access",
        /// A request was sent back.
        ReturnRequest = 6 "return-request",
        /// A request was amended and submitted again.
        ReviseRequest = 7 "revise-request",
        /// A request was approved.
        ApproveRequest = 8 "approve-request",
        /// A request was rejected.
        RejectRequest = 9 "reject-request",
        /// A request was withdrawn by its applicant.
        CloseRequest = 10 "close-request",
        /// A grant was revoked.
        RevokeGrant = 11 "revoke-grant",
        /// A compute job was submitted, and decided about for a dataset.
        SubmitJob = 12 "submit-job",
        /// A site gave its summary for a job.
        AnswerJob = 13 "answer-job",
        /// A site refused a job.
        RefuseJob = 14 "refuse-job",
        /// A job's result was published.
        FinishJob = 15 "finish-job",
        /// A job ended without a result.
        FailJob = 16 "fail-job",
        /// A job's result was given out.
        ReadResult = 17 "read-result",
        /// A file was given out, or refused.
        Download = 18 "download",
        /// Stored bytes were found to differ from the chain.
        ReportTampering = 19 "report-tampering",
        /// An account was added.
        AddAccount = 20 "add-account",
        /// An account was suspended.
        SuspendAccount = 21 "suspend-account",
        /// A suspended account was restored.
        RestoreAccount = 22 "restore-account",
        /// An account's roles were changed.
        SetAccountRoles = 23 "set-account-roles",
        /// An account's keys were replaced.
        RotateAccountKey = 24 "rotate-account-key",
        /// A proposal was made.
        Propose = 25 "propose",
        /// A member voted on a proposal.
        Vote = 26 "vote",
        /// A proposal passed and took effect.
        ProposalPassed = 27 "proposal-passed",
        /// A proposal failed.
        ProposalFailed = 28 "proposal-failed",
        /// An institution's application was brought before the members.
        Apply = 29 "apply",
        /// A member was admitted.
        AdmitMember = 30 "admit-member",
        /// A member left, or was removed.
        MemberLeft = 31 "member-left",
        /// A member was suspended.
        SuspendMember = 32 "suspend-member",
        /// A suspended member was restored.
        RestoreMember = 33 "restore-member",
        /// The chain's parameters were changed: by the vote, or in the block in which the change came into force.
        SetParameters = 34 "set-parameters",
        /// A member objected to a reset of its administrator's key.
        ObjectToReset = 35 "object-to-reset",
        /// An administrator's key, whose reset was voted on, was reset.
        ResetAdministrator = 36 "reset-administrator",
        /// A node was registered.
        AddNode = 37 "add-node",
        /// A node was taken out.
        RemoveNode = 38 "remove-node",
        /// A node's role was changed.
        SetNodeRole = 39 "set-node-role",
        /// A node's address was changed.
        SetNodeAddress = 40 "set-node-address",
        /// A node's key was replaced.
        RotateNodeKey = 41 "rotate-node-key",
        /// A node got a number in ordering.
        StartOrdering = 42 "start-ordering",
        /// A node entered the voter set.
        JoinVoters = 43 "join-voters",
        /// The remaining members went on without a lost quorum.
        Recover = 44 "recover",
        /// A change that was voted on is scheduled.
        ProposalScheduled = 45 "proposal-scheduled",
        /// An institution took its application back.
        WithdrawApplication = 46 "withdraw-application",
    }
}

/// Something that happened, for the audit trail. Height, time and transaction are those of its block and receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct Event {
    /// What.
    pub operation: Operation,
    /// By whom.
    pub operator: Signer,
    /// To what dataset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<DatasetName>,
    /// To which version of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The member it is about, where it is about a member's part in the consortium.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<MemberName>,
    /// The account it is about, where it is about an account's keys, roles or standing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountName>,
    /// The node it is about, where it is about a node's registration, role or key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    /// The request, grant, job or proposal it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Hash>,
    /// What was to be done with the data, where the event is about access.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// For what purpose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purpose: Option<Purpose>,
    /// The reason given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<ReasonCode>,
    /// How it was decided, and by what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// The rule that refused, where a rule did: a code of the rule engine or a disclosure rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Slug>,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
#[wincode(tag_encoding = "u8")]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    #[wincode(tag = 1)]
    Applied,
    /// A rule refused it; nothing changed.
    #[wincode(tag = 2)]
    Refused {
        /// The rule's code.
        rule: Slug,
        /// What the rule says about this case: ASCII, at most 512 bytes.
        explanation: String,
    },
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct Receipt {
    /// The transaction.
    pub transaction: TransactionId,
    /// Done or refused.
    pub outcome: Outcome,
    /// What happened. A refused access has an event too. The receipt of a block's first transaction begins with what came
    /// into force at the start of the block: changes that members voted on earlier.
    pub events: Vec<Event>,
    /// Digest of the keys and values that the transaction wrote.
    pub write_set: Hash,
}

impl Receipt {
    /// The receipt's leaf in the block's receipt tree is the encoding itself; this is its hash, for logs and proofs.
    pub fn hash(&self) -> Hash {
        Hash::of(Context::Receipt, &self.encode())
    }

    /// Whether the call was done.
    pub fn is_applied(&self) -> bool {
        self.outcome == Outcome::Applied
    }
}
