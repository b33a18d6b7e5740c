//! What the chain says happened: the history of a dataset as its owner sees it, and the audit trail.

use galen_client::collect_pages;
use galen_types::access::{Basis, Effect};
use galen_types::api::{AuditEntry, AuditQuery};
use galen_types::receipt::Operation;
use galen_types::{DatasetName, Signer};
use serde_json::json;

use super::cast::{Cast, Hospital, ensure, short};
use super::step::Step;
use super::table;
use crate::error::TestnetError;

const TRAIL: &str = "trail";

/// Most entries read.
const ENTRIES_MAX: usize = 10_000;

pub(super) async fn trail(cast: &Cast, since: u64) -> Result<Step, TestnetError> {
    let hospital = cast.downloaded();
    let history =
        collect_pages(ENTRIES_MAX, |paging| hospital.client.dataset_history(&hospital.dataset, paging)).await?;
    check_history(hospital, &history)?;
    let mut audit = Vec::new();
    for hospital in &cast.hospitals {
        let fetch = |paging: galen_client::Paging| {
            cast.auditor_client.audit(AuditQuery {
                dataset: Some(hospital.dataset.to_string()),
                start_after: paging.start_after,
                limit: paging.limit,
                ..AuditQuery::default()
            })
        };
        audit.extend(collect_pages(ENTRIES_MAX, fetch).await?);
    }
    audit.sort_by_key(|entry| entry.height);
    check_run(cast, &audit, since)?;
    let recent = audit.iter().filter(|entry| entry.height > since).count();
    let mut rows =
        vec![["time", "block", "operation", "version", "operator", "decision", "file"].map(str::to_owned).to_vec()];
    let mut shown: Vec<&AuditEntry> =
        history.iter().filter(|entry| entry.height > since || entry.event.operation == Operation::Publish).collect();
    shown.sort_by_key(|entry| entry.height);
    rows.extend(shown.into_iter().map(row));
    let mut came = table::render(&rows, usize::MAX);
    came.push(format!(
        "{} entries about the four datasets are in the audit trail, {recent} of them from this run",
        audit.len()
    ));
    Ok(Step {
        step: TRAIL,
        title: "Everything is on record",
        done: format!(
            "{} reads the history of {}; {} reads the audit trail of all four.",
            hospital.owner, hospital.dataset, cast.auditor
        ),
        came,
        by_hand: vec![
            format!("galen --context {} data history {}", hospital.owner, hospital.dataset),
            format!("galen --context {} audit --dataset {}", cast.auditor, hospital.dataset),
        ],
        facts: json!({ "history": history, "audit": audit, "audit_entries_of_this_run": recent }),
    })
}

/// That the file's hash and version stand with what was done to the file.
fn check_history(hospital: &Hospital, history: &[AuditEntry]) -> Result<(), TestnetError> {
    let published = history.iter().find(|entry| entry.event.operation == Operation::Publish);
    let complete = published.is_some_and(|entry| {
        entry.event.operator == Signer::Account(hospital.owner.clone())
            && entry.event.version == Some(1)
            && entry.ciphertext.is_some()
            && entry.time.0 > 0
    });
    ensure(TRAIL, complete, || {
        format!("the publication of {} is not in its history with operator, version, hash and time", hospital.dataset)
    })
}

/// That every step of this run is in the audit trail.
fn check_run(cast: &Cast, audit: &[AuditEntry], since: u64) -> Result<(), TestnetError> {
    let researcher = Signer::Account(cast.researcher.clone());
    let owner = |hospital: &Hospital| Signer::Account(hospital.owner.clone());
    let (downloaded, tampered, rejecting) = (cast.downloaded(), cast.tampered(), cast.rejecting());
    let mut expected: Vec<Expected<'_>> = Vec::new();
    for hospital in &cast.hospitals {
        let dataset = &hospital.dataset;
        expected.extend([
            Expected::new(Operation::RequestAccess, dataset, Some(researcher.clone())),
            Expected::new(Operation::ApproveRequest, dataset, Some(owner(hospital))),
            Expected::new(Operation::SubmitJob, dataset, Some(researcher.clone())).decided(Effect::Permit),
            Expected::new(Operation::AnswerJob, dataset, None),
            Expected::new(Operation::FinishJob, dataset, None),
            Expected::new(Operation::ReadResult, dataset, Some(researcher.clone())),
        ]);
    }
    expected.extend([
        Expected::new(Operation::RejectRequest, &rejecting.dataset, Some(owner(rejecting))),
        Expected::new(Operation::Download, &downloaded.dataset, Some(researcher.clone())).decided(Effect::Deny),
        Expected::new(Operation::Download, &downloaded.dataset, Some(researcher)).decided(Effect::Permit),
        Expected::new(Operation::ReportTampering, &tampered.dataset, None),
        Expected::new(Operation::RefuseJob, &tampered.dataset, None),
    ]);
    for expected in &expected {
        let found = audit.iter().any(|entry| entry.height > since && expected.is(entry));
        ensure(TRAIL, found, || format!("the audit trail of this run lacks: {expected:?}"))?;
    }
    Ok(())
}

/// An entry that must be there.
#[derive(Debug)]
struct Expected<'cast> {
    operation: Operation,
    dataset: &'cast DatasetName,
    operator: Option<Signer>,
    effect: Option<Effect>,
}

impl<'cast> Expected<'cast> {
    fn new(operation: Operation, dataset: &'cast DatasetName, operator: Option<Signer>) -> Self {
        Self { operation, dataset, operator, effect: None }
    }

    fn decided(mut self, effect: Effect) -> Self {
        self.effect = Some(effect);
        self
    }

    fn is(&self, entry: &AuditEntry) -> bool {
        let event = &entry.event;
        event.operation == self.operation
            && event.dataset.as_ref() == Some(self.dataset)
            && self.operator.as_ref().is_none_or(|operator| event.operator == *operator)
            && self.effect.is_none_or(|effect| {
                // A denial names its rule, a permission its grant.
                event.decision.as_ref().is_some_and(|decision| {
                    decision.effect == effect
                        && match effect {
                            Effect::Deny => event.rule.is_some(),
                            Effect::Permit => matches!(decision.basis, Basis::Grant { .. }),
                        }
                })
            })
    }
}

fn row(entry: &AuditEntry) -> Vec<String> {
    let event = &entry.event;
    let decision = match (&event.decision, &event.rule, event.reason) {
        (Some(decision), _, _) if decision.effect == Effect::Permit => match &decision.basis {
            Basis::Grant { grant } => format!("permitted: grant {}", short(grant)),
            basis => format!("permitted: {basis}"),
        },
        (_, Some(rule), _) => format!("refused: {rule}"),
        (Some(decision), None, _) => format!("denied: {}", decision.basis),
        (None, None, Some(reason)) => reason.to_string(),
        (None, None, None) => "-".to_owned(),
    };
    let time = entry.time.to_string();
    vec![
        format!("{} {}", time.get(..10).unwrap_or(&time), time.get(11..19).unwrap_or_default()),
        entry.height.to_string(),
        event.operation.to_string(),
        event.version.map_or_else(|| "-".to_owned(), |version| version.to_string()),
        event.operator.to_string(),
        decision,
        entry.ciphertext.as_ref().map_or_else(|| "-".to_owned(), short),
    ]
}
