//! The lifecycle of a request, after REMS.
//!
//! | from | revise | approve | reject | return | close | revoke | run out |
//! |---|---|---|---|---|---|---|---|
//! | draft | submitted | | | | closed | | |
//! | submitted | | approved | rejected | returned | closed | | |
//! | returned | submitted | | | | closed | | |
//! | approved | | | | | | revoked | expired |
//! | rejected, revoked, expired, closed | | | | | | | |

use galen_types::access::{Request, RequestState};

use crate::keys;
use crate::refusal::Refusal;
use crate::session::{Judged, Session};
use crate::state::StateError;

/// A step of the lifecycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The applicant amends and submits it.
    Revise,
    /// The owner approves it.
    Approve,
    /// The owner rejects it.
    Reject,
    /// The owner sends it back.
    Return,
    /// The applicant withdraws it.
    Close,
    /// The owner takes its grant back.
    Revoke,
    /// Its grant's time or uses are over.
    RunOut,
}

/// The state after a step.
pub(super) fn next(state: RequestState, step: Step) -> Result<RequestState, Refusal> {
    use RequestState::{Approved, Closed, Draft, Expired, Rejected, Returned, Revoked, Submitted};
    match (state, step) {
        (Draft | Returned, Step::Revise) => Ok(Submitted),
        (Submitted, Step::Approve) => Ok(Approved),
        (Submitted, Step::Reject) => Ok(Rejected),
        (Submitted, Step::Return) => Ok(Returned),
        (Draft | Submitted | Returned, Step::Close) => Ok(Closed),
        (Approved, Step::Revoke) => Ok(Revoked),
        (Approved, Step::RunOut) => Ok(Expired),
        (state, step) => Err(Refusal::RequestStep { state, step: word(step) }),
    }
}

const fn word(step: Step) -> &'static str {
    match step {
        Step::Revise => "revising it",
        Step::Approve => "approving it",
        Step::Reject => "rejecting it",
        Step::Return => "returning it",
        Step::Close => "closing it",
        Step::Revoke => "revoking its grant",
        Step::RunOut => "its running out",
    }
}

/// Whether a request waits for somebody and counts against its applicant's open requests.
pub(super) const fn is_open(state: RequestState) -> bool {
    matches!(state, RequestState::Draft | RequestState::Submitted | RequestState::Returned)
}

/// Moves a request by a step and stores it.
pub(super) fn advance(session: &mut Session<'_>, request: &mut Request, step: Step) -> Judged {
    let from = request.state;
    request.state = next(from, step)?;
    request.changed = session.now();
    store(session, Some(from), request)?;
    Ok(())
}

/// Writes a request with its place in the lists by state, and keeps count of open requests.
pub(super) fn store(
    session: &mut Session<'_>,
    from: Option<RequestState>,
    request: &Request,
) -> Result<(), StateError> {
    session.put(keys::request(request.id), request);
    if from != Some(request.state) {
        if let Some(from) = from {
            session.remove(keys::request_to(request, from));
        }
        session.put_present(keys::request_to(request, request.state));
    }
    match (from.is_some_and(is_open), is_open(request.state)) {
        (false, true) => session.count(keys::requests_open(&request.applicant), 1).map(|_| ()),
        (true, false) => session.count(keys::requests_open(&request.applicant), -1).map(|_| ()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the module's head, cell by cell.
    #[test]
    fn only_the_steps_of_the_table_are_possible() {
        use RequestState::{Approved, Closed, Draft, Expired, Rejected, Returned, Revoked, Submitted};
        let steps = [Step::Revise, Step::Approve, Step::Reject, Step::Return, Step::Close, Step::Revoke, Step::RunOut];
        let never = [None; 7];
        let table = [
            (Draft, [Some(Submitted), None, None, None, Some(Closed), None, None]),
            (Submitted, [None, Some(Approved), Some(Rejected), Some(Returned), Some(Closed), None, None]),
            (Returned, [Some(Submitted), None, None, None, Some(Closed), None, None]),
            (Approved, [None, None, None, None, None, Some(Revoked), Some(Expired)]),
            (Rejected, never),
            (Revoked, never),
            (Expired, never),
            (Closed, never),
        ];
        assert_eq!(table.len(), RequestState::ALL.len());
        for (from, row) in table {
            for (step, to) in steps.into_iter().zip(row) {
                assert_eq!(next(from, step).ok(), to, "{from} {step:?}");
            }
        }
    }
}
