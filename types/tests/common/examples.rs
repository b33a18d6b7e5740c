//! One fixed example of everything whose bytes are stored or signed: what the golden files pin.

use galen_types::access::{AccessTerms, Effect, GrantLimits, Rule, Scope};
use galen_types::application::{Application, Offer, SignedApplication, sign_withdrawal};
use galen_types::certificate::Voter;
use galen_types::certificate::VoterSignature;
use galen_types::dataset::{Column, ColumnKind, FileFormat, VersionContent};
use galen_types::genesis::{Founder, FoundingNode, RULES_VERSION};
use galen_types::job::{JobFailure, JobSpecification, SiteAnswer, SiteGiven, SiteOutcome};
use galen_types::member::{EncryptionKey, NewAccount, NewNode, NodeRole, Role};
use galen_types::proposal::{Ballot, ProposedChange};
use galen_types::receipt::Operation;
use galen_types::recovery::{Recovery, RecoverySignature, SignedRecovery};
use galen_types::vocabulary::{Action, DataUse, DataUseTerm, Purpose, ReasonCode, Statistic};
use galen_types::*;

use super::text;

/// A hash whose bytes are all the same.
pub(crate) fn hash(byte: u8) -> Hash {
    Hash([byte; 32])
}

/// The key of a seed whose bytes are all the same.
pub(crate) fn secret(byte: u8) -> SecretKey {
    SecretKey::from_seed(&[byte; 32])
}

/// Signs transactions in the examples.
pub(crate) const ACCOUNT_SEED: u8 = 11;

fn content() -> VersionContent {
    VersionContent {
        commitment: hash(1),
        ciphertext: hash(2),
        ciphertext_sha256: hash(3),
        ciphertext_bytes: 120_754,
        plaintext_bytes: 120_722,
        format: FileFormat::Csv,
        rows: 173,
        columns: vec![
            Column { name: text("Birthweight"), kind: ColumnKind::Number },
            Column { name: text("Group"), kind: ColumnKind::Text },
        ],
        data_use: vec![
            DataUse { term: DataUseTerm::HealthMedicalBiomedical, parameter: None },
            DataUse { term: DataUseTerm::TimeLimit, parameter: Some(text("12")) },
        ],
        card: Some(hash(4)),
    }
}

fn terms() -> AccessTerms {
    AccessTerms {
        action: Action::Compute,
        purpose: Purpose::HealthcareResearch,
        columns: vec![text("Birthweight"), text("Group")],
        statistics: vec![Statistic::Count, Statistic::Mean],
        data_use: vec![DataUse { term: DataUseTerm::NonCommercialUse, parameter: None }],
    }
}

fn rule() -> Rule {
    Rule {
        name: text("research-permitted"),
        effect: Effect::Permit,
        members: vec![text("kentucky")],
        accounts: vec![text("alice@harlem")],
        roles: vec![Role::Researcher],
        actions: vec![Action::Discover, Action::Compute],
        purposes: vec![Purpose::HealthcareResearch],
        data_use: vec![DataUse { term: DataUseTerm::PublicationRequired, parameter: None }],
        columns: vec![text("Birthweight")],
        statistics: vec![Statistic::Variance],
        not_before: Some(text("2026-01-01T00:00:00Z")),
        not_after: None,
        cohort_min: Some(20),
        uses_max: Some(5),
    }
}

fn sites() -> Vec<SiteOutcome> {
    vec![
        SiteOutcome { dataset: text("harlem/opt"), refused: None },
        SiteOutcome { dataset: text("kentucky/opt"), refused: Some(text("rows-below-minimum")) },
    ]
}

fn new_node(role: NodeRole) -> NewNode {
    NewNode { node: text("node-1"), key: secret(17).public_key(), role, address: text("/ip4/192.0.2.1/tcp/7101") }
}

/// An application signed by both of its keys.
pub(crate) fn application() -> SignedApplication {
    let application = Application {
        genesis: hash(20),
        member: text("bellevue"),
        administrator: NewAccount {
            account: text("admin"),
            key: secret(16).public_key(),
            encryption_key: EncryptionKey([16; 32]),
            roles: vec![Role::Admin],
        },
        node: new_node(NodeRole::Voter),
        offers: vec![Offer::Datasets, Offer::Voting],
        contacts: hash(18),
        made: text("2026-11-21T10:00:00Z"),
    };
    application.sign(&secret(16), &secret(17))
}

/// A recovery signed by one administrator.
pub(crate) fn recovery() -> SignedRecovery {
    let recovery = Recovery {
        genesis: hash(20),
        lineage: hash(22),
        height: 7,
        header: hash(21),
        made: text("2026-11-21T11:00:00Z"),
        abandoned: vec![text("kentucky"), text("mississippi")],
        voters: vec![
            Voter { node: text("node-1.harlem"), key: secret(52).public_key() },
            Voter { node: text("node-1.hennepin"), key: secret(53).public_key() },
        ],
    };
    let signature = RecoverySignature::sign(&recovery, text("admin@harlem"), &secret(51));
    SignedRecovery { recovery, signatures: vec![signature] }
}

/// Every kind of change that members vote on, with its name.
pub(crate) fn changes() -> Vec<(&'static str, ProposedChange)> {
    let (member, node): (MemberName, NodeName) = (text("hennepin"), text("node-2.hennepin"));
    let reason = ReasonCode::TermsBroken;
    vec![
        ("suspend_member", ProposedChange::SuspendMember { member: member.clone(), reason }),
        ("restore_member", ProposedChange::RestoreMember { member: member.clone() }),
        (
            "set_parameters",
            ProposedChange::SetParameters {
                parameters: Parameters::default(),
                based_on: hash(22),
                effective_height: 1_000,
            },
        ),
        ("admit_member", ProposedChange::AdmitMember { application: Box::new(application()) }),
        ("remove_member", ProposedChange::RemoveMember { member, reason }),
        ("set_node_role", ProposedChange::SetNodeRole { node: node.clone(), role: NodeRole::Voter }),
        ("remove_node", ProposedChange::RemoveNode { node, reason }),
        (
            "reset_administrator",
            ProposedChange::ResetAdministrator {
                account: text("admin@hennepin"),
                key: secret(19).public_key(),
                encryption_key: EncryptionKey([19; 32]),
            },
        ),
    ]
}

/// Every kind of call with its name.
pub(crate) fn calls() -> Vec<(&'static str, Call)> {
    let (request, job) = (RequestId(hash(5)), JobId(hash(7)));
    let (account, dataset): (AccountName, DatasetName) = (text("bob@harlem"), text("harlem/opt"));
    let reason = ReasonCode::ScopeTooBroad;
    vec![
        (
            "add_account",
            Call::AddAccount(NewAccount {
                account: text("bob"),
                key: secret(12).public_key(),
                encryption_key: EncryptionKey([13; 32]),
                roles: vec![Role::Owner, Role::Researcher],
            }),
        ),
        ("suspend_account", Call::SuspendAccount { account: account.clone(), reason: ReasonCode::KeyCompromised }),
        ("restore_account", Call::RestoreAccount { account: account.clone() }),
        ("set_account_roles", Call::SetAccountRoles { account: account.clone(), roles: vec![Role::Auditor] }),
        (
            "rotate_account_key",
            Call::RotateAccountKey { account, key: secret(14).public_key(), encryption_key: EncryptionKey([15; 32]) },
        ),
        (
            "propose",
            Call::Propose(ProposedChange::SetParameters {
                parameters: Parameters::default(),
                based_on: hash(22),
                effective_height: 0,
            }),
        ),
        ("vote", Call::Vote { proposal: ProposalId(hash(6)), ballot: Ballot::Reject, reason: Some(reason) }),
        ("apply", Call::Apply { application: Box::new(application()) }),
        ("leave", Call::Leave { reason }),
        ("object_to_reset", Call::ObjectToReset { proposal: ProposalId(hash(6)) }),
        ("add_node", Call::AddNode(new_node(NodeRole::Observer))),
        ("remove_node", Call::RemoveNode { node: text("node-2.harlem"), reason }),
        ("demote_node", Call::DemoteNode { node: text("node-2.harlem") }),
        (
            "set_node_address",
            Call::SetNodeAddress { node: text("node-2.harlem"), address: text("/ip4/192.0.2.2/tcp/7101") },
        ),
        ("rotate_node_key", Call::RotateNodeKey { node: text("node-2.harlem"), key: secret(18).public_key() }),
        ("start_ordering", Call::StartOrdering { replaces: 4 }),
        ("join_voters", Call::JoinVoters { raft_id: 5 }),
        ("recover", Call::Recover { recovery: Box::new(recovery()) }),
        (
            "withdraw_application",
            Call::WithdrawApplication {
                proposal: ProposalId(hash(6)),
                signature: sign_withdrawal(ProposalId(hash(6)), &secret(14)),
            },
        ),
        ("publish_dataset", Call::PublishDataset { dataset: text("opt"), content: content(), discoverable: true }),
        ("update_dataset", Call::UpdateDataset { dataset: dataset.clone(), previous: 2, content: content() }),
        (
            "withdraw_dataset",
            Call::WithdrawDataset { dataset: dataset.clone(), version: Some(2), reason: ReasonCode::Superseded },
        ),
        ("report_tampering", Call::ReportTampering { version: text("harlem/opt@3") }),
        ("set_contract", Call::SetContract { scope: Scope::Member(text("harlem")), previous: 1, rules: vec![rule()] }),
        ("request_access", Call::RequestAccess { dataset, terms: terms(), draft: false }),
        ("revise_request", Call::ReviseRequest { request, terms: terms() }),
        (
            "approve_request",
            Call::ApproveRequest {
                request,
                limits: GrantLimits {
                    expires: Some(text("2027-01-01T00:00:00Z")),
                    uses_max: Some(3),
                    cohort_min: None,
                },
            },
        ),
        ("reject_request", Call::RejectRequest { request, reason }),
        ("return_request", Call::ReturnRequest { request, reason: ReasonCode::InsufficientInformation }),
        ("close_request", Call::CloseRequest { request }),
        ("revoke_grant", Call::RevokeGrant { grant: GrantId(hash(8)), reason: ReasonCode::ProjectEnded }),
        ("download", Call::Download { version: text("harlem/opt@3"), purpose: Purpose::ClinicalTrialResearch }),
        (
            "submit_job",
            Call::SubmitJob(JobSpecification {
                datasets: vec![text("harlem/opt"), text("kentucky/opt")],
                statistics: Statistic::ALL.to_vec(),
                columns: vec![text("Birthweight"), text("Age")],
                by: Some(text("Group")),
                filter_columns: vec![text("BMI")],
                filter: Some(hash(9)),
                purpose: Purpose::HealthcareResearch,
                data_use: vec![],
            }),
        ),
        (
            "answer_job",
            Call::AnswerJob {
                job,
                answer: SiteAnswer { dataset: text("harlem/opt"), given: SiteGiven::Summary { digest: hash(10) } },
            },
        ),
        ("finish_job", Call::FinishJob { job, result: hash(11), sites: sites(), summaries_deleted: true }),
        ("fail_job", Call::FailJob { job, failure: JobFailure::TooFewSites, sites: sites() }),
        ("read_result", Call::ReadResult { job }),
    ]
}

/// The tag of a call, which is the first byte of its encoding. A new kind of call does not compile here until it has
/// its tag, and the golden files fail until it has an example.
pub(crate) fn tag(call: &Call) -> u8 {
    match call {
        Call::AddAccount(_) => 1,
        Call::SuspendAccount { .. } => 2,
        Call::RestoreAccount { .. } => 3,
        Call::SetAccountRoles { .. } => 4,
        Call::RotateAccountKey { .. } => 5,
        Call::Propose(_) => 6,
        Call::Vote { .. } => 7,
        Call::Apply { .. } => 8,
        Call::Leave { .. } => 9,
        Call::ObjectToReset { .. } => 10,
        Call::AddNode(_) => 11,
        Call::RemoveNode { .. } => 12,
        Call::DemoteNode { .. } => 13,
        Call::SetNodeAddress { .. } => 14,
        Call::RotateNodeKey { .. } => 15,
        Call::StartOrdering { .. } => 16,
        Call::JoinVoters { .. } => 17,
        Call::Recover { .. } => 18,
        Call::WithdrawApplication { .. } => 19,
        Call::PublishDataset { .. } => 20,
        Call::UpdateDataset { .. } => 21,
        Call::WithdrawDataset { .. } => 22,
        Call::ReportTampering { .. } => 23,
        Call::SetContract { .. } => 40,
        Call::RequestAccess { .. } => 41,
        Call::ReviseRequest { .. } => 42,
        Call::ApproveRequest { .. } => 43,
        Call::RejectRequest { .. } => 44,
        Call::ReturnRequest { .. } => 45,
        Call::CloseRequest { .. } => 46,
        Call::RevokeGrant { .. } => 47,
        Call::Download { .. } => 48,
        Call::SubmitJob(_) => 60,
        Call::AnswerJob { .. } => 61,
        Call::FinishJob { .. } => 62,
        Call::FailJob { .. } => 63,
        Call::ReadResult { .. } => 64,
    }
}

pub(crate) fn body(call: Call) -> TransactionBody {
    TransactionBody {
        chain: hash(20),
        signer: text("alice@harlem"),
        salt: *b"sixteen bytes ok",
        valid_until: text("2026-11-21T10:05:00.000Z"),
        call,
    }
}

pub(crate) fn header() -> BlockHeader {
    BlockHeader {
        genesis: hash(20),
        chain: text("main"),
        height: 7,
        parent: hash(21),
        time: text("2026-11-21T10:00:00.123Z"),
        epoch: 0,
        voter_set: voters().hash(),
        next_voter_set: voters().hash(),
        rules_version: 1,
        proposer: text("node-1.harlem"),
        raft_term: 3,
        raft_index: 42,
        transactions_root: hash(22),
        receipts_root: hash(23),
        history_root: hash(24),
        state_root: hash(25),
    }
}

/// Names of the four voters, in ascending order, and the seeds of their keys.
pub(crate) const VOTERS: [(&str, u8); 4] =
    [("node-1.harlem", 31), ("node-1.hennepin", 32), ("node-1.kentucky", 33), ("node-1.mississippi", 34)];

pub(crate) fn voters() -> VoterSet {
    genesis().voter_set()
}

/// Three of four voters certify a header.
pub(crate) fn certificate(header: &BlockHeader) -> Certificate {
    let sign = |(name, seed): &(&str, u8)| {
        let (set, hash) = (voters().hash(), header.hash());
        let made = HeaderSignature::sign(&header.genesis, &set, header.height, hash, text(name), &secret(*seed));
        VoterSignature { voter: made.voter, signature: made.signature }
    };
    Certificate { height: header.height, header: header.hash(), signatures: VOTERS[..3].iter().map(sign).collect() }
}

pub(crate) fn receipt() -> Receipt {
    Receipt {
        transaction: TransactionId(hash(26)),
        outcome: Outcome::Refused { rule: text("request-unknown"), explanation: "no such request".to_owned() },
        events: vec![Event {
            operation: Operation::ApproveRequest,
            operator: text("alice@harlem"),
            dataset: Some(text("harlem/opt")),
            version: Some(3),
            member: None,
            account: None,
            node: Some(text("node-1.harlem")),
            subject: Some(hash(5)),
            action: Some(Action::Compute),
            purpose: Some(Purpose::HealthcareResearch),
            reason: None,
            decision: None,
            rule: Some(text("request-unknown")),
        }],
        write_set: hash(27),
    }
}

pub(crate) fn genesis() -> Genesis {
    let founder = |(place, (node, seed)): (usize, &(&str, u8))| {
        let node: NodeName = text(node);
        let account = |name, seed, roles| NewAccount {
            account: text(name),
            key: secret(seed).public_key(),
            encryption_key: EncryptionKey([seed; 32]),
            roles,
        };
        Founder {
            name: node.member,
            accounts: vec![account("admin", seed + 20, vec![Role::Admin, Role::Owner])],
            nodes: vec![FoundingNode {
                node: node.node,
                key: secret(*seed).public_key(),
                role: NodeRole::Voter,
                address: text(&format!("/ip4/127.0.0.1/tcp/710{place}")),
            }],
        }
    };
    Genesis {
        chain: text("main"),
        founded: text("2026-11-21T09:00:00Z"),
        rules_version: RULES_VERSION,
        state_bucket_bits: 20,
        parameters: Parameters::default(),
        members: VOTERS.iter().enumerate().map(founder).collect(),
    }
}
