//! Changes that passed and come into force later: parameters from a height on, a reset of an administrator's key after
//! its delay.
//!
//! One change of parameters waits at most: whichever passes later, at once or for later, takes its place, and so takes it
//! back. Resets have their own places, so that neither keeps the other out.

use galen_types::proposal::{
    EFFECTIVE_HEIGHT_AHEAD_MAX, Effective, Proposal, ProposalState, ProposedChange, Scheduled,
};
use galen_types::receipt::Operation;
use galen_types::{Event, ProposalId, Timestamp};

use super::signing_keys::{self, Claim};
use super::{effects, proposals};
use crate::changes::Changes;
use crate::keys;
use crate::limits::RESETS_SCHEDULED_MAX;
use crate::provenance::event_of_proposal;
use crate::refusal::{Failure, Refusal};
use crate::session::{Judged, Session};
use crate::state::{Lookup, StateError};

/// When a change that passes now comes into force; `None`: at once.
pub(super) fn effective(session: &Session<'_>, change: &ProposedChange) -> Option<Effective> {
    match change {
        ProposedChange::SetParameters { effective_height, .. } if *effective_height > session.height() => {
            Some(Effective::Height(*effective_height))
        }
        ProposedChange::ResetAdministrator { .. } => {
            Some(Effective::Time(session.now().plus_ms(session.parameters.key_reset_delay_ms)))
        }
        _ => None,
    }
}

/// That a change is not put off without end.
pub(super) fn check_height(session: &Session<'_>, effective_height: u64) -> Judged {
    if effective_height > session.height().saturating_add(EFFECTIVE_HEIGHT_AHEAD_MAX) {
        return Err(Refusal::EffectiveHeightTooFar { height: effective_height }.into());
    }
    Ok(())
}

/// Whether all places for resets are taken.
pub(super) fn is_full(session: &Session<'_>) -> Result<bool, StateError> {
    let schedule = session.load(&keys::schedule())?.unwrap_or_default();
    Ok(schedule.iter().filter(|entry| !of_parameters(entry)).count() >= RESETS_SCHEDULED_MAX)
}

/// Whether a change of parameters waits.
pub(super) fn holds_parameters(changes: &Changes<'_>) -> Result<bool, StateError> {
    Ok(changes.load(&keys::schedule())?.unwrap_or_default().iter().any(of_parameters))
}

/// Puts a proposal that passed on the schedule.
pub(super) fn add(session: &mut Session<'_>, proposal: &Proposal, effective: Effective) -> Judged {
    if let ProposedChange::SetParameters { based_on, .. } = &proposal.change {
        effects::check_based_on(session, based_on)?;
        supersede(session)?;
    }
    let mut schedule = session.load(&keys::schedule())?.unwrap_or_default();
    schedule.push(Scheduled { effective, proposal: proposal.id });
    session.put(keys::schedule(), &schedule);
    Ok(())
}

/// Lets the change of parameters that waits fail, because another one passed.
pub(super) fn supersede(session: &mut Session<'_>) -> Result<(), StateError> {
    let schedule = session.load(&keys::schedule())?.unwrap_or_default();
    let (superseded, staying): (Vec<_>, Vec<_>) = schedule.into_iter().partition(of_parameters);
    if superseded.is_empty() {
        return Ok(());
    }
    session.put(keys::schedule(), &staying);
    for entry in superseded {
        let mut proposal = session.load_present(&keys::proposal(entry.proposal))?;
        proposal.state = ProposalState::Failed;
        session.put(keys::proposal(proposal.id), &proposal);
        proposals::record_failed_by(session, &proposal, &Refusal::ParametersChanged);
    }
    Ok(())
}

/// Takes a proposal off the schedule.
pub(super) fn drop(session: &mut Session<'_>, proposal: ProposalId) -> Result<(), StateError> {
    let mut schedule = session.load(&keys::schedule())?.unwrap_or_default();
    schedule.retain(|entry| entry.proposal != proposal);
    session.put(keys::schedule(), &schedule);
    Ok(())
}

/// Puts in force what is due in a block, in the order voted: at most what the schedule holds. Gives an event for each, by
/// whoever proposed it.
pub(crate) fn put_in_force(changes: &mut Changes<'_>, height: u64, time: Timestamp) -> Result<Vec<Event>, StateError> {
    let Some(schedule) = changes.load(&keys::schedule())? else { return Ok(Vec::new()) };
    let (due, waiting): (Vec<_>, Vec<_>) =
        schedule.into_iter().partition(|entry| is_due(entry.effective, height, time));
    if due.is_empty() {
        return Ok(Vec::new());
    }
    changes.put(keys::schedule(), &waiting);
    let mut events = Vec::with_capacity(due.len());
    for entry in due {
        let mut proposal = changes.load_present(&keys::proposal(entry.proposal))?;
        let claim = Claim { now: time, proposal: Some(proposal.id) };
        let writes = changes.writes.clone();
        let rule = match effects::due(changes, &proposal.change, claim) {
            Ok(()) => None,
            Err(Failure::State(error)) => return Err(error),
            Err(Failure::Refused(refusal)) => {
                changes.writes = writes;
                Some(refusal.rule())
            }
        };
        let operation = match (&rule, &proposal.change) {
            (Some(_), _) => Operation::ProposalFailed,
            (None, ProposedChange::ResetAdministrator { .. }) => Operation::ResetAdministrator,
            (None, _) => Operation::SetParameters,
        };
        proposal.state = if rule.is_none() { ProposalState::Passed } else { ProposalState::Failed };
        events.push(Event { rule, ..event_of_proposal(&proposal, operation) });
        signing_keys::release(changes, &proposal)?;
        changes.put(keys::proposal(proposal.id), &proposal);
    }
    Ok(events)
}

fn is_due(effective: Effective, height: u64, time: Timestamp) -> bool {
    match effective {
        Effective::Height(from) => from <= height,
        Effective::Time(from) => from <= time,
    }
}

/// Parameters wait for a height, resets for a time.
fn of_parameters(entry: &Scheduled) -> bool {
    matches!(entry.effective, Effective::Height(_))
}
