//! Requests for access and the owners' decisions.

use galen_client::{Wait, collect_pages};
use galen_types::access::{AccessTerms, Grant, GrantLimits, RequestState};
use galen_types::api::TransactionStatus;
use galen_types::vocabulary::{Action, DataUse, DataUseTerm, Purpose, ReasonCode};
use galen_types::{AccountName, Call, DatasetName, GrantId, RequestId, Timestamp};
use serde::Serialize;
use serde_json::json;

use super::cast::{Cast, Hospital, ensure, short};
use super::compute::{columns_asked, statistics_asked};
use super::step::Step;
use super::table;
use crate::error::TestnetError;

const REQUEST: &str = "request";
const DECIDE: &str = "decide";

/// How long grants of the main job last, in milliseconds.
const GRANT_MS: u64 = 30 * 24 * 3600 * 1000;
/// Why one hospital rejects at first.
const REJECTION: ReasonCode = ReasonCode::EthicsApprovalMissing;

/// A request that was filed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Filed {
    pub(super) dataset: DatasetName,
    pub(super) request: RequestId,
}

/// Every hospital's request.
pub(super) struct Requests {
    researcher: AccountName,
    filed: Vec<Filed>,
}

/// An owner's decision.
#[derive(Serialize)]
struct Decided {
    dataset: DatasetName,
    request: RequestId,
    by: AccountName,
    decision: RequestState,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<ReasonCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<GrantId>,
}

/// Takes back what earlier runs granted, so that this run starts without access.
pub(super) async fn take_back_earlier(cast: &Cast) -> Result<(), TestnetError> {
    let now = Timestamp::now();
    let in_force = |grant: &Grant| {
        let limits = &grant.limits;
        grant.revoked.is_none()
            && limits.expires.is_none_or(|end| now < end)
            && limits.uses_max.is_none_or(|uses| grant.uses < uses)
    };
    for hospital in &cast.hospitals {
        let fetch = |paging| hospital.client.grants(Some(&hospital.dataset), Some(&cast.researcher), paging);
        let grants = collect_pages(1_000, fetch).await?;
        for grant in grants.iter().filter(|grant| in_force(grant)) {
            let call = Call::RevokeGrant { grant: grant.id, reason: ReasonCode::Superseded };
            hospital.client.apply(call, Wait::Committed).await?;
        }
    }
    Ok(())
}

pub(super) async fn ask_for_compute(cast: &Cast) -> Result<Requests, TestnetError> {
    let mut filed = Vec::new();
    for hospital in &cast.hospitals {
        filed.push(file(cast, hospital, compute_terms()?).await?);
    }
    Ok(Requests { researcher: cast.researcher.clone(), filed })
}

impl Requests {
    pub(super) fn step(&self) -> Step {
        let came = self.filed.iter().map(|filed| format!("{}  request {}", filed.dataset, short(&filed.request)));
        Step {
            step: REQUEST,
            title: "The researcher asks for access",
            done: format!(
                "{} asks each hospital for `compute`, purpose HRESCH, of Birthweight and Age by Group: count, missing, mean, variance.",
                self.researcher
            ),
            came: came.collect(),
            by_hand: vec![format!(
                "galen --context {} access request harlem/opt --action compute --purpose HRESCH --duo IRB \
                 --column Birthweight --column Age --column Group --stat count,missing,mean,variance",
                self.researcher
            )],
            facts: json!({ "researcher": self.researcher, "requests": self.filed }),
        }
    }
}

pub(super) async fn decide(cast: &Cast, requests: Requests) -> Result<Step, TestnetError> {
    let mut decided = Vec::new();
    for (hospital, filed) in cast.hospitals.iter().zip(requests.filed) {
        if hospital.dataset != cast.rejecting().dataset {
            decided.push(approve(cast, hospital, filed, None).await?);
            continue;
        }
        let call = Call::RejectRequest { request: filed.request, reason: REJECTION };
        let status = hospital.client.apply(call, Wait::Committed).await?;
        decided.push(seen(cast, hospital, &filed, &status, RequestState::Rejected).await?);
        let second = file(cast, hospital, compute_terms()?).await?;
        decided.push(approve(cast, hospital, second, None).await?);
    }
    let heading = ["request", "dataset", "by", "decision", ""].map(str::to_owned).to_vec();
    let rows = decided.iter().map(|decided| {
        let outcome = match (decided.reason, decided.grant) {
            (Some(reason), _) => format!("reason: {reason}"),
            (None, Some(grant)) => format!("grant {}", short(&grant)),
            (None, None) => String::new(),
        };
        let (request, dataset) = (short(&decided.request), decided.dataset.to_string());
        vec![request, dataset, decided.by.to_string(), decided.decision.to_string(), outcome]
    });
    let rows: Vec<_> = std::iter::once(heading).chain(rows).collect();
    let (rejecting, approving) = (cast.rejecting(), cast.downloaded());
    Ok(Step {
        step: DECIDE,
        title: "The owners decide",
        done: format!(
            "Each owner decides at its own node. {} rejects at first, with a code; the researcher files a second request.",
            rejecting.owner
        ),
        came: table::render(&rows, usize::MAX),
        by_hand: vec![
            format!("galen --context {} access list --state submitted", approving.owner),
            format!("galen --context {} access approve REQUEST --expires 30d", approving.owner),
            format!("galen --context {} access reject REQUEST --reason {REJECTION}", rejecting.owner),
        ],
        facts: json!({ "decisions": decided }),
    })
}

/// Files a request, and waits until every node has it.
pub(super) async fn file(cast: &Cast, hospital: &Hospital, terms: AccessTerms) -> Result<Filed, TestnetError> {
    let dataset = hospital.dataset.clone();
    let call = Call::RequestAccess { dataset: dataset.clone(), terms, draft: false };
    let status = cast.client.apply(call, Wait::Committed).await?;
    cast.settle(REQUEST, &status).await?;
    Ok(Filed { dataset, request: RequestId(status.id.0) })
}

/// Approves a request; the grant lasts 30 days.
pub(super) async fn approve_with(
    cast: &Cast,
    hospital: &Hospital,
    filed: Filed,
    uses_max: Option<u32>,
) -> Result<GrantId, TestnetError> {
    let limits = GrantLimits { expires: Some(Timestamp::now().plus_ms(GRANT_MS)), uses_max, cohort_min: None };
    let call = Call::ApproveRequest { request: filed.request, limits };
    let status = hospital.client.apply(call, Wait::Committed).await?;
    let decided = seen(cast, hospital, &filed, &status, RequestState::Approved).await?;
    let expected = GrantId(status.id.0);
    ensure(DECIDE, decided.grant == Some(expected), || {
        format!("the request for {} names another grant than {expected}", filed.dataset)
    })?;
    Ok(expected)
}

async fn approve(
    cast: &Cast,
    hospital: &Hospital,
    filed: Filed,
    uses_max: Option<u32>,
) -> Result<Decided, TestnetError> {
    let (dataset, request) = (filed.dataset.clone(), filed.request);
    let grant = approve_with(cast, hospital, filed, uses_max).await?;
    let (by, decision) = (hospital.owner.clone(), RequestState::Approved);
    Ok(Decided { dataset, request, by, decision, reason: None, grant: Some(grant) })
}

/// The decision as the researcher's own node shows it.
async fn seen(
    cast: &Cast,
    hospital: &Hospital,
    filed: &Filed,
    status: &TransactionStatus,
    expected: RequestState,
) -> Result<Decided, TestnetError> {
    cast.settle(DECIDE, status).await?;
    let request = cast.client.request(filed.request).await?;
    ensure(DECIDE, request.state == expected, || {
        format!("the researcher sees the request for {} as {} instead of {expected}", filed.dataset, request.state)
    })?;
    let reason = (expected == RequestState::Rejected).then_some(REJECTION);
    ensure(DECIDE, request.reason == reason, || format!("the request for {} has another reason", filed.dataset))?;
    Ok(Decided {
        dataset: filed.dataset.clone(),
        request: filed.request,
        by: hospital.owner.clone(),
        decision: request.state,
        reason: request.reason,
        grant: request.grant,
    })
}

fn compute_terms() -> Result<AccessTerms, TestnetError> {
    let (columns, by) = columns_asked()?;
    Ok(AccessTerms {
        action: Action::Compute,
        purpose: Purpose::HealthcareResearch,
        columns: columns.into_iter().chain([by]).collect(),
        statistics: statistics_asked(),
        data_use: affirmed(),
    })
}

/// What the researcher affirms: the ethics approval that the datasets' terms ask for.
pub(super) fn affirmed() -> Vec<DataUse> {
    vec![DataUse { term: DataUseTerm::EthicsApprovalRequired, parameter: None }]
}
