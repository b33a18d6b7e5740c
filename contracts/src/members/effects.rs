//! What a proposal does once it passed. A change is proposed only where it could be done at that moment; what happened
//! until it passes, or until it is due, may forbid it: then the proposal has failed.

use galen_types::member::Standing;
use galen_types::proposal::ProposedChange;
use galen_types::receipt::Operation;
use galen_types::{Event, Hash, Parameters, ProposalId};

use super::signing_keys::Claim;
use super::{applications, nodes, resets, schedule, standing};
use crate::changes::Changes;
use crate::keys;
use crate::refusal::Refusal;
use crate::session::{Judged, Session};
use crate::state::Lookup;

/// Puts a change in force: that of a proposal, or, to see whether it could be done, of one that is about to be made.
pub(super) fn take_effect(session: &mut Session<'_>, proposal: Option<ProposalId>, change: &ProposedChange) -> Judged {
    let claim = Claim { now: session.now(), proposal };
    match change {
        ProposedChange::SuspendMember { member, reason } => standing::suspend(session, member, *reason),
        ProposedChange::RestoreMember { member } => standing::restore(session, member),
        ProposedChange::RemoveMember { member, reason } => standing::remove(session, member, *reason),
        ProposedChange::AdmitMember { application } => applications::admit(session, &application.application, claim),
        ProposedChange::SetNodeRole { node, role } => nodes::set_role(session, node, *role),
        ProposedChange::RemoveNode { node, reason } => nodes::remove(session, node, *reason),
        ProposedChange::SetParameters { .. } => {
            due(&mut session.changes, change, claim)?;
            schedule::supersede(session)?;
            let event = Event { operation: Operation::SetParameters, reason: None, ..session.event() };
            session.record(event);
            Ok(())
        }
        ProposedChange::ResetAdministrator { .. } => due(&mut session.changes, change, claim),
    }
}

/// Puts a change in force that may be scheduled; needs no transaction.
pub(super) fn due(changes: &mut Changes<'_>, change: &ProposedChange, claim: Claim) -> Judged {
    match change {
        ProposedChange::SetParameters { parameters, based_on, .. } => set_parameters(changes, parameters, based_on),
        ProposedChange::ResetAdministrator { account, key, encryption_key } => {
            resets::reset(changes, account, *key, *encryption_key, claim)
        }
        // Never scheduled: in force when the vote passes.
        ProposedChange::SuspendMember { .. }
        | ProposedChange::RestoreMember { .. }
        | ProposedChange::RemoveMember { .. }
        | ProposedChange::AdmitMember { .. }
        | ProposedChange::SetNodeRole { .. }
        | ProposedChange::RemoveNode { .. } => Ok(()),
    }
}

/// That the parameters that a change goes by are those in force.
pub(super) fn check_based_on<L: Lookup + ?Sized>(state: &L, based_on: &Hash) -> Judged<Parameters> {
    let in_force = state.load_present(&keys::parameters())?;
    if in_force.hash() == *based_on { Ok(in_force) } else { Err(Refusal::ParametersChanged.into()) }
}

fn set_parameters(changes: &mut Changes<'_>, parameters: &Parameters, based_on: &Hash) -> Judged {
    parameters.check().map_err(|error| Refusal::ParameterOutOfBounds { error })?;
    // The same again takes back what waits to come into force.
    if check_based_on(changes, based_on)? == *parameters && !schedule::holds_parameters(changes)? {
        return Err(Refusal::ParametersUnchanged.into());
    }
    if let Some(agency) = &parameters.managing_agency {
        let member = changes.load(&keys::member(agency))?;
        if member.is_none_or(|member| member.standing != Standing::Active) {
            return Err(Refusal::ManagingAgencyUnknown { member: agency.clone() }.into());
        }
    }
    changes.put(keys::parameters(), parameters);
    Ok(())
}
