//! Grants: what an approved request gives. A grant carries the id of the transaction that approved it; whether it has
//! expired is judged whenever it is used.

use galen_types::access::{Grant, GrantLimits, Request, RequestState};
use galen_types::member::Role;
use galen_types::vocabulary::ReasonCode;
use galen_types::{AccountName, DatasetName, Event, GrantId, RequestId, Timestamp};

use super::authorise::active_member;
use super::lifecycle::{Step, advance, is_open};
use super::requests;
use crate::keys;
use crate::limits::GRANTS_ACTIVE_MAX;
use crate::refusal::Refusal;
use crate::session::{Judged, Session};
use crate::state::{Lookup, StateError, StateRead};

/// Whether a grant may be used at a time: not revoked, not expired, uses left.
pub fn grant_in_force(grant: &Grant, now: Timestamp) -> bool {
    grant.revoked.is_none()
        && grant.limits.expires.is_none_or(|expires| now < expires)
        && grant.limits.uses_max.is_none_or(|uses_max| grant.uses < uses_max)
}

/// When the part of a member ended that a grant or request depends on: the grantee's or the dataset's, whichever left
/// first.
pub(crate) fn party_left<L: Lookup + ?Sized>(
    state: &L,
    grantee: &AccountName,
    dataset: &DatasetName,
) -> Result<Option<Timestamp>, StateError> {
    let left = [state.load(&keys::member_left(&grantee.member))?, state.load(&keys::member_left(&dataset.member))?];
    Ok(left.into_iter().flatten().min())
}

/// Where a request stands at a time, whether or not a call has written that down: an approved one whose grant's time is
/// over, or whose grantee's or dataset's member left, has expired; an open one whose applicant's or dataset's member left
/// is closed.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn request_state_at(state: &dyn StateRead, request: &Request, now: Timestamp) -> Result<RequestState, StateError> {
    let left = party_left(state, &request.applicant, &request.dataset)?.is_some();
    if let (RequestState::Approved, Some(id)) = (request.state, request.grant) {
        let grant = state.load_present(&keys::grant(id))?;
        if left || !grant_in_force(&grant, now) {
            return Ok(RequestState::Expired);
        }
    }
    if left && is_open(request.state) {
        return Ok(RequestState::Closed);
    }
    Ok(request.state)
}

pub(crate) fn approve(session: &mut Session<'_>, id: RequestId, limits: &GrantLimits) -> Judged {
    let (mut request, owner) = requests::to_decide(session, id)?;
    crate::datasets::usable(session, &request.dataset)?;
    active_member(session, &request.applicant.member)?;
    if let Some(expires) = limits.expires.filter(|expires| *expires <= session.now()) {
        return Err(Refusal::GrantExpiredAtOnce { expires }.into());
    }
    if limits.uses_max == Some(0) || limits.cohort_min == Some(0) {
        return Err(Refusal::GrantLimitZero.into());
    }
    let grant = Grant {
        id: GrantId(session.id),
        request: id,
        grantee: request.applicant.clone(),
        dataset: request.dataset.clone(),
        terms: request.terms.clone(),
        limits: limits.clone(),
        uses: 0,
        asserted: session.now(),
        by: owner,
        revoked: None,
    };
    request.reason = None;
    request.grant = Some(grant.id);
    advance(session, &mut request, Step::Approve)?;
    let mut active = drop_expired(session, &grant)?;
    if active.len() >= GRANTS_ACTIVE_MAX {
        return Err(Refusal::GrantsActiveTooMany { grantee: grant.grantee }.into());
    }
    active.push(grant.id);
    session.put(keys::grants_active(&grant.grantee, &grant.dataset), &active);
    session.put(keys::grant(grant.id), &grant);
    session.put_present(keys::grant_of(&grant));
    session.put_present(keys::grant_on(&grant));
    requests::record(session, &request);
    Ok(())
}

pub(crate) fn revoke(session: &mut Session<'_>, id: GrantId, reason: ReasonCode) -> Judged {
    let mut grant = session.require(&keys::grant(id), || Refusal::GrantUnknown { grant: id })?;
    session.account_of_member(&grant.dataset.member, &[Role::Owner])?;
    let mut request = session.load_present(&keys::request(grant.request))?;
    request.reason = Some(reason);
    advance(session, &mut request, Step::Revoke)?;
    grant.revoked = Some(reason);
    session.put(keys::grant(id), &grant);
    deactivate(session, &grant)?;
    session.record(Event {
        dataset: Some(grant.dataset),
        action: Some(grant.terms.action),
        purpose: Some(grant.terms.purpose),
        ..session.event()
    });
    Ok(())
}

/// Counts a use of a grant in force; its last one makes it run out.
pub(super) fn count_use(session: &mut Session<'_>, id: GrantId) -> Result<(), StateError> {
    let mut grant = session.load_present(&keys::grant(id))?;
    let uses = grant.uses.checked_add(1);
    grant.uses = match uses {
        Some(uses) => uses,
        // Uses without a limit are only counted; the counter may stop.
        None if grant.limits.uses_max.is_none() => u32::MAX,
        None => return Err(StateError::new(format_args!("the uses of grant {id} exceed 32 bits"))),
    };
    session.put(keys::grant(id), &grant);
    if grant.limits.uses_max.is_some_and(|uses_max| grant.uses >= uses_max) {
        deactivate(session, &grant)?;
        run_out(session, &grant)?;
    }
    Ok(())
}

/// Takes a grant off the list of those in force.
fn deactivate(session: &mut Session<'_>, grant: &Grant) -> Result<(), StateError> {
    let key = keys::grants_active(&grant.grantee, &grant.dataset);
    let mut active = session.load(&key)?.unwrap_or_default();
    active.retain(|id| *id != grant.id);
    if active.is_empty() {
        session.remove(key);
    } else {
        session.put(key, &active);
    }
    Ok(())
}

/// Writes down that grants of the same account on the same dataset have expired; gives those still in force.
fn drop_expired(session: &mut Session<'_>, new: &Grant) -> Judged<Vec<GrantId>> {
    let mut active = Vec::new();
    for id in session.load(&keys::grants_active(&new.grantee, &new.dataset))?.unwrap_or_default() {
        let grant = session.load_present(&keys::grant(id))?;
        if grant_in_force(&grant, session.now()) {
            active.push(id);
        } else {
            run_out(session, &grant)?;
        }
    }
    Ok(active)
}

/// Moves a grant's request to its end.
fn run_out(session: &mut Session<'_>, grant: &Grant) -> Result<(), StateError> {
    let mut request = session.load_present(&keys::request(grant.request))?;
    advance(session, &mut request, Step::RunOut).map_err(StateError::new)
}
