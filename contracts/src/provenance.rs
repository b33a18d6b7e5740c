//! What the audit trail says of a call: the part of its events that the call itself tells. State machines add what they
//! look up: versions, decisions, the dataset of a request.

use galen_types::access::Scope;
use galen_types::job::SiteGiven;
use galen_types::proposal::{Proposal, ProposedChange};
use galen_types::receipt::Operation;
use galen_types::vocabulary::{Action, Purpose, ReasonCode};
use galen_types::{AccountName, Call, DatasetName, DecodedTransaction, Event, Hash, NodeName, Signer};

/// The event of a transaction's call, before it is judged.
pub(crate) fn event_of(tx: &DecodedTransaction) -> Event {
    let operator = tx.body.signer.clone();
    let member = operator.member().clone();
    let event = bare(operation_of(&tx.body.call), operator);
    let about = |subject: Hash| Event { subject: Some(subject), ..event.clone() };
    let account = |name: &AccountName| Event { account: Some(name.clone()), ..event.clone() };
    let node = |name: &NodeName| Event { node: Some(name.clone()), ..event.clone() };
    let because = |event: Event, reason: ReasonCode| Event { reason: Some(reason), ..event };
    let with = |dataset: &DatasetName, version: Option<u32>| Event {
        dataset: Some(dataset.clone()),
        version,
        ..event.clone()
    };
    let access = |event: Event, action: Action, purpose: Purpose| Event {
        action: Some(action),
        purpose: Some(purpose),
        ..event
    };
    match &tx.body.call {
        Call::AddAccount(new) => account(&AccountName { account: new.account.clone(), member }),
        Call::RestoreAccount { account: name }
        | Call::SetAccountRoles { account: name, .. }
        | Call::RotateAccountKey { account: name, .. } => account(name),
        Call::SuspendAccount { account: name, reason } => because(account(name), *reason),
        Call::Apply { application } => Event { member: Some(application.application.member.clone()), ..about(tx.id.0) },
        Call::Leave { reason } => because(Event { member: Some(member), ..event }, *reason),
        Call::ObjectToReset { proposal } | Call::WithdrawApplication { proposal, .. } => about(proposal.0),
        Call::AddNode(new) => node(&NodeName { node: new.node.clone(), member }),
        Call::RemoveNode { node: name, reason } => because(node(name), *reason),
        Call::DemoteNode { node: name }
        | Call::SetNodeAddress { node: name, .. }
        | Call::RotateNodeKey { node: name, .. } => node(name),
        Call::StartOrdering { .. } | Call::JoinVoters { .. } => match &tx.body.signer {
            Signer::Node(name) => node(name),
            Signer::Account(_) => event,
        },
        Call::Recover { recovery } => about(recovery.recovery.hash()),
        Call::Propose(change) => concerning(change, about(tx.id.0)),
        Call::Vote { proposal, reason, .. } => Event { reason: *reason, ..about(proposal.0) },
        Call::PublishDataset { dataset, .. } => with(&DatasetName { member, dataset: dataset.clone() }, Some(1)),
        Call::UpdateDataset { dataset, previous, .. } => with(dataset, previous.checked_add(1)),
        Call::WithdrawDataset { dataset, version, reason } => because(with(dataset, *version), *reason),
        Call::ReportTampering { version } => {
            because(with(&version.dataset, Some(version.version)), ReasonCode::IntegrityFailure)
        }
        Call::SetContract { scope: Scope::Dataset(dataset), .. } => with(dataset, None),
        Call::SetContract { scope: Scope::Member(_), .. } => event,
        Call::RequestAccess { dataset, terms, .. } => {
            access(Event { subject: Some(tx.id.0), ..with(dataset, None) }, terms.action, terms.purpose)
        }
        Call::ReviseRequest { request, terms } => access(about(request.0), terms.action, terms.purpose),
        Call::ApproveRequest { request, .. } | Call::CloseRequest { request } => about(request.0),
        Call::RejectRequest { request, reason } | Call::ReturnRequest { request, reason } => {
            because(about(request.0), *reason)
        }
        Call::RevokeGrant { grant, reason } => because(about(grant.0), *reason),
        Call::Download { version, purpose } => {
            access(with(&version.dataset, Some(version.version)), Action::Download, *purpose)
        }
        Call::SubmitJob(specification) => access(about(tx.id.0), Action::Compute, specification.purpose),
        Call::AnswerJob { job, answer } => Event {
            rule: match &answer.given {
                SiteGiven::Refused { rule } => Some(rule.clone()),
                SiteGiven::Summary { .. } => None,
            },
            dataset: Some(answer.dataset.clone()),
            ..about(job.0)
        },
        Call::FinishJob { job, .. } | Call::FailJob { job, .. } | Call::ReadResult { job } => about(job.0),
    }
}

/// An event of a proposal that no call of its own tells: by whoever made it.
pub(crate) fn event_of_proposal(proposal: &Proposal, operation: Operation) -> Event {
    concerning(&proposal.change, Event { subject: Some(proposal.id.0), ..bare(operation, proposal.proposer.clone()) })
}

/// An event of which nothing more is known.
fn bare(operation: Operation, operator: Signer) -> Event {
    Event {
        operation,
        operator,
        dataset: None,
        version: None,
        member: None,
        account: None,
        node: None,
        subject: None,
        action: None,
        purpose: None,
        reason: None,
        decision: None,
        rule: None,
    }
}

/// An event of a proposal, with the member, account or node that its change is about.
pub(crate) fn concerning(change: &ProposedChange, event: Event) -> Event {
    match change {
        ProposedChange::SuspendMember { member, .. }
        | ProposedChange::RestoreMember { member }
        | ProposedChange::RemoveMember { member, .. } => Event { member: Some(member.clone()), ..event },
        ProposedChange::AdmitMember { application } => {
            Event { member: Some(application.application.member.clone()), ..event }
        }
        ProposedChange::SetNodeRole { node, .. } | ProposedChange::RemoveNode { node, .. } => {
            Event { node: Some(node.clone()), ..event }
        }
        ProposedChange::ResetAdministrator { account, .. } => Event { account: Some(account.clone()), ..event },
        ProposedChange::SetParameters { .. } => event,
    }
}

fn operation_of(call: &Call) -> Operation {
    match call {
        Call::AddAccount(_) => Operation::AddAccount,
        Call::SuspendAccount { .. } => Operation::SuspendAccount,
        Call::RestoreAccount { .. } => Operation::RestoreAccount,
        Call::SetAccountRoles { .. } => Operation::SetAccountRoles,
        Call::RotateAccountKey { .. } => Operation::RotateAccountKey,
        Call::Propose(_) => Operation::Propose,
        Call::Vote { .. } => Operation::Vote,
        Call::Apply { .. } => Operation::Apply,
        Call::Leave { .. } => Operation::MemberLeft,
        Call::ObjectToReset { .. } => Operation::ObjectToReset,
        Call::WithdrawApplication { .. } => Operation::WithdrawApplication,
        Call::AddNode(_) => Operation::AddNode,
        Call::RemoveNode { .. } => Operation::RemoveNode,
        Call::DemoteNode { .. } => Operation::SetNodeRole,
        Call::SetNodeAddress { .. } => Operation::SetNodeAddress,
        Call::RotateNodeKey { .. } => Operation::RotateNodeKey,
        Call::StartOrdering { .. } => Operation::StartOrdering,
        Call::JoinVoters { .. } => Operation::JoinVoters,
        Call::Recover { .. } => Operation::Recover,
        Call::PublishDataset { .. } => Operation::Publish,
        Call::UpdateDataset { .. } => Operation::Update,
        Call::WithdrawDataset { .. } => Operation::Withdraw,
        Call::ReportTampering { .. } => Operation::ReportTampering,
        Call::SetContract { .. } => Operation::SetContract,
        Call::RequestAccess { .. } => Operation::RequestAccess,
        Call::ReviseRequest { .. } => Operation::ReviseRequest,
        Call::ApproveRequest { .. } => Operation::ApproveRequest,
        Call::RejectRequest { .. } => Operation::RejectRequest,
        Call::ReturnRequest { .. } => Operation::ReturnRequest,
        Call::CloseRequest { .. } => Operation::CloseRequest,
        Call::RevokeGrant { .. } => Operation::RevokeGrant,
        Call::Download { .. } => Operation::Download,
        Call::SubmitJob(_) => Operation::SubmitJob,
        Call::AnswerJob { answer, .. } => match answer.given {
            SiteGiven::Summary { .. } => Operation::AnswerJob,
            SiteGiven::Refused { .. } => Operation::RefuseJob,
        },
        Call::FinishJob { .. } => Operation::FinishJob,
        Call::FailJob { .. } => Operation::FailJob,
        Call::ReadResult { .. } => Operation::ReadResult,
    }
}
