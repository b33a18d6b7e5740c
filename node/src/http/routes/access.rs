//! Access contracts, requests and grants.

use galen_contracts::access::request_state_at;
use galen_contracts::keys;
use galen_contracts::query::{get_contract, list_grants_of, list_grants_on, list_requests_for, list_requests_of};
use galen_types::access::{Contract, Grant, Request, RequestState, Scope};
use galen_types::api::ContractSet;
use galen_types::{AccountName, DatasetName, GrantId, Hash, MemberName, RequestId};

use super::datasets::dataset_of;
use super::viewer;
use crate::http::app::Call;
use crate::http::pages::{gather, records_by_id, resolve};
use crate::http::query::Parameter;
use crate::http::refusal::Refusal;
use crate::http::respond::{Response, json};
use crate::http::route::{Handler, Route};
use crate::http::services::ChainView;

const DATASET: Parameter = Parameter::new("dataset", "Only about this dataset, e.g. harlem/opt");
const APPLICANT: Parameter = Parameter::new("applicant", "Only by this account");
const STATE: Parameter = Parameter::new("state", "Only in this state, e.g. submitted");
const GRANTEE: Parameter = Parameter::new("grantee", "Only to this account");

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/v1/contracts/{member}/{dataset}",
            "What governs access to a dataset: its own contract, and its member's",
            Handler::Read(contracts),
        )
        .gives::<ContractSet>(),
        Route::get(
            "/v1/contracts/{member}",
            "The contract over all of a member's datasets; for its accounts and auditors",
            Handler::Read(member_contract),
        )
        .gives::<Contract>(),
        Route::get(
            "/v1/requests",
            "Access requests: the account's own, those to its member; for auditors all. In the order filed where applicant or dataset is given, otherwise by id",
            Handler::Read(requests),
        )
        .query(&[DATASET, APPLICANT, STATE])
        .paged()
        .gives_page::<Request>(),
        Route::get("/v1/requests/{id}", "A request, by its id or its first 8 digits or more", Handler::Read(request))
            .gives::<Request>(),
        Route::get(
            "/v1/grants",
            "Grants: to the account, on its member's datasets; for auditors all. In the order given where grantee or dataset is given, otherwise by id",
            Handler::Read(grants),
        )
        .query(&[DATASET, GRANTEE])
        .paged()
        .gives_page::<Grant>(),
        Route::get("/v1/grants/{id}", "A grant, by its id or its first 8 digits or more", Handler::Read(grant))
            .gives::<Grant>(),
    ]
}

fn contracts(call: &Call, view: &dyn ChainView) -> Result<Response, Refusal> {
    let name = dataset_of(call)?;
    if !viewer(call, view)?.sees_dataset(&name)? {
        return Err(Refusal::NotFound("dataset"));
    }
    let member = get_contract(view.state(), &Scope::Member(name.member.clone()))?;
    let dataset = get_contract(view.state(), &Scope::Dataset(name))?;
    json(&ContractSet { height: view.height(), dataset, member })
}

fn member_contract(call: &Call, view: &dyn ChainView) -> Result<Response, Refusal> {
    let member: MemberName = call.path(0, "member")?;
    let seen = viewer(call, view)?.sees_member_contract(&member);
    let contract = get_contract(view.state(), &Scope::Member(member))?.filter(|_| seen);
    json(&contract.ok_or(Refusal::NotFound("contract"))?)
}

fn requests(call: &Call, view: &dyn ChainView) -> Result<Response, Refusal> {
    let viewer = viewer(call, view)?;
    let state = view.state();
    let applicant: Option<AccountName> = call.query.get("applicant")?;
    let dataset: Option<DatasetName> = call.query.get("dataset")?;
    let wanted: Option<RequestState> = call.query.get("state")?;
    let any = keys::request(RequestId(Hash::ZERO));
    let mut page = gather(
        view.height(),
        call.query.get("start_after")?,
        call.query.limit()?,
        |after: Option<&RequestId>, limit| {
            let mut records = match (&applicant, &dataset) {
                (Some(applicant), _) => list_requests_of(state, applicant, after.copied(), limit)?,
                (None, Some(dataset)) => list_requests_for(state, dataset, after.copied(), limit)?,
                (None, None) => records_by_id(state, any.as_bytes(), after.map(|id| &id.0), limit)?,
            };
            for request in &mut records {
                request.state = request_state_at(state, request, viewer.now)?;
            }
            Ok(records)
        },
        |request| request.id,
        |request| {
            Ok(viewer.sees_request(request)
                && dataset.as_ref().is_none_or(|dataset| &request.dataset == dataset)
                && wanted.is_none_or(|wanted| request.state == wanted))
        },
    )?;
    page.items.sort_by_key(|request| (request.filed, request.id));
    json(&page)
}

fn request(call: &Call, view: &dyn ChainView) -> Result<Response, Refusal> {
    let viewer = viewer(call, view)?;
    let any = keys::request(RequestId(Hash::ZERO));
    let mut request: Request = resolve(
        view.state(),
        any.as_bytes(),
        "request",
        call.parameter(0),
        |request: &Request| request.id.0,
        |request| viewer.sees_request(request),
    )?;
    request.state = request_state_at(view.state(), &request, viewer.now)?;
    json(&request)
}

fn grants(call: &Call, view: &dyn ChainView) -> Result<Response, Refusal> {
    let viewer = viewer(call, view)?;
    let state = view.state();
    let grantee: Option<AccountName> = call.query.get("grantee")?;
    let dataset: Option<DatasetName> = call.query.get("dataset")?;
    let any = keys::grant(GrantId(Hash::ZERO));
    let mut page = gather(
        view.height(),
        call.query.get("start_after")?,
        call.query.limit()?,
        |after: Option<&GrantId>, limit| {
            Ok(match (&grantee, &dataset) {
                (Some(grantee), _) => list_grants_of(state, grantee, after.copied(), limit)?,
                (None, Some(dataset)) => list_grants_on(state, dataset, after.copied(), limit)?,
                (None, None) => records_by_id(state, any.as_bytes(), after.map(|id| &id.0), limit)?,
            })
        },
        |grant: &Grant| grant.id,
        |grant| Ok(viewer.sees_grant(grant) && dataset.as_ref().is_none_or(|dataset| &grant.dataset == dataset)),
    )?;
    page.items.sort_by_key(|grant| (grant.asserted, grant.id));
    json(&page)
}

fn grant(call: &Call, view: &dyn ChainView) -> Result<Response, Refusal> {
    let viewer = viewer(call, view)?;
    let any = keys::grant(GrantId(Hash::ZERO));
    let grant: Grant = resolve(
        view.state(),
        any.as_bytes(),
        "grant",
        call.parameter(0),
        |grant: &Grant| grant.id.0,
        |grant| viewer.sees_grant(grant),
    )?;
    json(&grant)
}
