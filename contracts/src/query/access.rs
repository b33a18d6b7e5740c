use galen_types::access::{Contract, Grant, Request, RequestState, Scope};
use galen_types::{AccountName, DatasetName, GrantId, MemberName, RequestId, Timestamp};

use super::Start;
use crate::access::grants::party_left;
use crate::access::request_state_at;
use crate::keys;
use crate::state::{Lookup, StateError, StateRead};

/// The contract in force.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn get_contract(state: &dyn StateRead, scope: &Scope) -> Result<Option<Contract>, StateError> {
    state.load(&keys::contract(scope))
}

/// A contract by version, in force or replaced.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn get_contract_version(
    state: &dyn StateRead,
    scope: &Scope,
    version: u32,
) -> Result<Option<Contract>, StateError> {
    match get_contract(state, scope)? {
        Some(contract) if contract.version == version => Ok(Some(contract)),
        _ => state.load(&keys::replaced_contract(scope, version)),
    }
}

/// A request.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn get_request(state: &dyn StateRead, id: RequestId) -> Result<Option<Request>, StateError> {
    state.load(&keys::request(id))?.map(|request| as_it_stands(state, request)).transpose()
}

/// A request of or to a member that left, as that leaves it.
fn as_it_stands(state: &dyn StateRead, mut request: Request) -> Result<Request, StateError> {
    if party_left(state, &request.applicant, &request.dataset)?.is_some() {
        request.state = request_state_at(state, &request, Timestamp(0))?;
    }
    Ok(request)
}

fn all_as_they_stand(state: &dyn StateRead, requests: Vec<Request>) -> Result<Vec<Request>, StateError> {
    requests.into_iter().map(|request| as_it_stands(state, request)).collect()
}

/// A grant, which ends at the latest when its grantee's or its dataset's member leaves.
fn ended_by_leaving(state: &dyn StateRead, mut grant: Grant) -> Result<Grant, StateError> {
    if let Some(left) = party_left(state, &grant.grantee, &grant.dataset)? {
        grant.limits.expires = Some(grant.limits.expires.map_or(left, |expires| expires.min(left)));
    }
    Ok(grant)
}

fn request(id: galen_types::Hash) -> keys::Key<Request> {
    keys::request(RequestId(id))
}

/// Requests of an applicant, in the order filed.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn list_requests_of(
    state: &dyn StateRead,
    applicant: &AccountName,
    start_after: Option<RequestId>,
    limit: usize,
) -> Result<Vec<Request>, StateError> {
    let start = Start::new(state, start_after.map(keys::request), keys::request_of)?;
    all_as_they_stand(state, start.page(state, &keys::requests_of(applicant), limit, request)?)
}

/// Requests for a dataset, in the order filed.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn list_requests_for(
    state: &dyn StateRead,
    dataset: &DatasetName,
    start_after: Option<RequestId>,
    limit: usize,
) -> Result<Vec<Request>, StateError> {
    let start = Start::new(state, start_after.map(keys::request), keys::request_for)?;
    all_as_they_stand(state, start.page(state, &keys::requests_for(dataset), limit, request)?)
}

/// Requests for any dataset of a member that are in a state, in the order filed: `Submitted` is what waits for its
/// owners. A request whose applicant left is listed where it stood, and says that it is closed.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn list_requests_to(
    state: &dyn StateRead,
    member: &MemberName,
    in_state: RequestState,
    start_after: Option<RequestId>,
    limit: usize,
) -> Result<Vec<Request>, StateError> {
    let start =
        Start::new(state, start_after.map(keys::request), |request: &Request| keys::request_to(request, in_state))?;
    all_as_they_stand(state, start.page(state, &keys::requests_to(member, in_state), limit, request)?)
}

/// A grant.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn get_grant(state: &dyn StateRead, id: GrantId) -> Result<Option<Grant>, StateError> {
    state.load(&keys::grant(id))?.map(|grant| ended_by_leaving(state, grant)).transpose()
}

/// Grants of a grantee, in the order given.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn list_grants_of(
    state: &dyn StateRead,
    grantee: &AccountName,
    start_after: Option<GrantId>,
    limit: usize,
) -> Result<Vec<Grant>, StateError> {
    let start = Start::new(state, start_after.map(keys::grant), keys::grant_of)?;
    let grants = start.page(state, &keys::grants_of(grantee), limit, |id| keys::grant(GrantId(id)))?;
    grants.into_iter().map(|grant| ended_by_leaving(state, grant)).collect()
}

/// Grants on a dataset, in the order given.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn list_grants_on(
    state: &dyn StateRead,
    dataset: &DatasetName,
    start_after: Option<GrantId>,
    limit: usize,
) -> Result<Vec<Grant>, StateError> {
    let start = Start::new(state, start_after.map(keys::grant), keys::grant_on)?;
    let grants = start.page(state, &keys::grants_on(dataset), limit, |id| keys::grant(GrantId(id)))?;
    grants.into_iter().map(|grant| ended_by_leaving(state, grant)).collect()
}
