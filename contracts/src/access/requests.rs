//! Requests for access: filed and amended by a researcher, decided by the dataset's owner. The lifecycle is a table in
//! `lifecycle.rs`; approving and revoking are in `grants.rs`.

use galen_types::access::{AccessTerms, Request, RequestState};
use galen_types::dataset::Version;
use galen_types::member::Role;
use galen_types::vocabulary::ReasonCode;
use galen_types::{AccountName, DatasetName, Event, RequestId};

use super::lifecycle::{Step, advance, store};
use super::{authorise, terms};
use crate::datasets;
use crate::keys;
use crate::refusal::Refusal;
use crate::session::{Judged, Session};
use crate::state::Lookup;

pub(crate) fn file(session: &mut Session<'_>, dataset: &DatasetName, terms: &AccessTerms, draft: bool) -> Judged {
    let applicant = session.account_with_role(&[Role::Researcher])?;
    let newest = newest_version(session, dataset)?;
    let terms = terms::check(terms, dataset, &newest)?;
    let most = session.parameters.requests_open_max;
    if session.load(&keys::requests_open(&applicant))?.unwrap_or(0) >= most {
        return Err(Refusal::RequestsOpenTooMany { most }.into());
    }
    let request = Request {
        id: RequestId(session.id),
        applicant,
        dataset: dataset.clone(),
        terms,
        state: if draft { RequestState::Draft } else { RequestState::Submitted },
        reason: None,
        filed: session.now(),
        changed: session.now(),
        grant: None,
    };
    store(session, None, &request)?;
    session.put_present(keys::request_of(&request));
    session.put_present(keys::request_for(&request));
    session.record(session.event());
    Ok(())
}

pub(crate) fn revise(session: &mut Session<'_>, id: RequestId, terms: &AccessTerms) -> Judged {
    let mut request = own(session, id)?;
    let newest = newest_version(session, &request.dataset)?;
    request.terms = terms::check(terms, &request.dataset, &newest)?;
    request.reason = None;
    advance(session, &mut request, Step::Revise)?;
    record(session, &request);
    Ok(())
}

pub(crate) fn close(session: &mut Session<'_>, id: RequestId) -> Judged {
    let mut request = own(session, id)?;
    advance(session, &mut request, Step::Close)?;
    record(session, &request);
    Ok(())
}

pub(crate) fn reject(session: &mut Session<'_>, id: RequestId, reason: ReasonCode) -> Judged {
    decide(session, id, reason, Step::Reject)
}

pub(crate) fn send_back(session: &mut Session<'_>, id: RequestId, reason: ReasonCode) -> Judged {
    decide(session, id, reason, Step::Return)
}

fn decide(session: &mut Session<'_>, id: RequestId, reason: ReasonCode, step: Step) -> Judged {
    let (mut request, _) = to_decide(session, id)?;
    request.reason = Some(reason);
    advance(session, &mut request, step)?;
    record(session, &request);
    Ok(())
}

/// A request that the signing owner may decide, and the owner.
pub(super) fn to_decide(session: &Session<'_>, id: RequestId) -> Judged<(Request, AccountName)> {
    let request = registered(session, id)?;
    let owner = session.account_of_member(&request.dataset.member, &[Role::Owner])?;
    Ok((request, owner))
}

/// Records the event of a call about a request.
pub(super) fn record(session: &mut Session<'_>, request: &Request) {
    session.record(Event {
        dataset: Some(request.dataset.clone()),
        action: Some(request.terms.action),
        purpose: Some(request.terms.purpose),
        ..session.event()
    });
}

fn own(session: &Session<'_>, id: RequestId) -> Judged<Request> {
    let request = registered(session, id)?;
    if session.account()?.name != request.applicant {
        return Err(Refusal::NotApplicant { applicant: request.applicant }.into());
    }
    Ok(request)
}

fn registered(session: &Session<'_>, id: RequestId) -> Judged<Request> {
    session.require(&keys::request(id), || Refusal::RequestUnknown { request: id })
}

/// The newest version of a dataset that can be used, of a member that takes part.
fn newest_version(session: &Session<'_>, dataset: &DatasetName) -> Judged<Version> {
    let dataset = datasets::usable(session, dataset)?;
    authorise::active_member(session, &dataset.name.member)?;
    let newest = datasets::newest_active(session, &dataset)?;
    newest.ok_or_else(|| Refusal::NoActiveVersion { dataset: dataset.name }.into())
}
