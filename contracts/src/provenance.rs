//! What the audit trail says of a call: the part of its events that the call itself tells. State machines add what they
//! look up: versions, decisions, the dataset of a request.

use galen_types::access::Scope;
use galen_types::job::SiteGiven;
use galen_types::receipt::Operation;
use galen_types::vocabulary::{Action, Purpose, ReasonCode};
use galen_types::{Call, DatasetName, DecodedTransaction, Event, Hash};

/// The event of a transaction's call, before it is judged.
pub(crate) fn event_of(tx: &DecodedTransaction) -> Event {
    let operator = tx.body.signer.clone();
    let member = operator.member().clone();
    let event = Event {
        operation: operation_of(&tx.body.call),
        operator,
        dataset: None,
        version: None,
        subject: None,
        action: None,
        purpose: None,
        reason: None,
        decision: None,
        rule: None,
    };
    let about = |subject: Hash| Event { subject: Some(subject), ..event.clone() };
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
        Call::AddAccount(_)
        | Call::RestoreAccount { .. }
        | Call::SetAccountRoles { .. }
        | Call::RotateAccountKey { .. } => event,
        Call::SuspendAccount { reason, .. } => because(event, *reason),
        Call::Propose(_) => about(tx.id.0),
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

fn operation_of(call: &Call) -> Operation {
    match call {
        Call::AddAccount(_) => Operation::AddAccount,
        Call::SuspendAccount { .. } => Operation::SuspendAccount,
        Call::RestoreAccount { .. } => Operation::RestoreAccount,
        Call::SetAccountRoles { .. } => Operation::SetAccountRoles,
        Call::RotateAccountKey { .. } => Operation::RotateAccountKey,
        Call::Propose(_) => Operation::Propose,
        Call::Vote { .. } => Operation::Vote,
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
