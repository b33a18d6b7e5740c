//! Signing keys: each belongs to one signer for ever, even once it is retired.
//!
//! | from | what happens | to |
//! |---|---|---|
//! | unknown | an account or node is given it | in use, for ever |
//! | unknown | a proposal names it: an application, or a reset | reserved |
//! | reserved | the proposal takes effect | in use, for ever |
//! | reserved | the proposal fails, expires, or is objected to | unknown |
//!
//! Whoever gives a key to its own member proves nothing. So without the reservation anybody who reads a proposal could
//! register the key that it names and make it fail. An application shows that the applicant holds both keys. Who proposes
//! a reset shows nothing; but it keeps the key from others no better than registering it would, and only for a while.

use galen_types::proposal::{Proposal, ProposalState, ProposedChange};
use galen_types::{ProposalId, PublicKey, Signer, Timestamp};

use super::proposals;
use crate::changes::Changes;
use crate::keys;
use crate::refusal::Refusal;
use crate::session::{Judged, Session};
use crate::state::{Lookup, StateError};

/// On whose behalf a key is given to a signer, and when.
#[derive(Clone, Copy)]
pub(super) struct Claim {
    /// Block time.
    pub(super) now: Timestamp,
    /// The proposal that does it, if one does.
    pub(super) proposal: Option<ProposalId>,
}

/// Gives a signing key to a signer.
pub(super) fn register(changes: &mut Changes<'_>, key: PublicKey, signer: &Signer, claim: Claim) -> Judged {
    if changes.load(&keys::signing_key(&key))?.is_some() {
        return Err(Refusal::KeyInUse { key }.into());
    }
    if let Some(proposal) = holder(changes, &key, claim.now)?
        && claim.proposal != Some(proposal)
    {
        return Err(Refusal::KeyReserved { key, proposal }.into());
    }
    changes.put(keys::signing_key(&key), signer);
    Ok(())
}

/// Gives a signing key to a signer of the own member, without a vote.
pub(super) fn register_own(session: &mut Session<'_>, key: PublicKey, signer: &Signer) -> Judged {
    let claim = Claim { now: session.now(), proposal: None };
    register(&mut session.changes, key, signer, claim)
}

/// Keeps the keys that a proposal names for it. The caller has tried that it can have them.
pub(super) fn reserve(changes: &mut Changes<'_>, proposal: &Proposal) {
    for key in named_by(&proposal.change) {
        changes.put(keys::reserved_key(&key), &proposal.id);
    }
}

/// Lets go of what is kept for a proposal that is over.
pub(super) fn release(changes: &mut Changes<'_>, proposal: &Proposal) -> Result<(), StateError> {
    for key in named_by(&proposal.change) {
        // An overdue proposal keeps nothing, so its key may be another's by now.
        if changes.load(&keys::reserved_key(&key))? == Some(proposal.id) {
            changes.remove(keys::reserved_key(&key));
        }
    }
    Ok(())
}

/// The proposal for which a key is kept, as long as it can still take effect.
fn holder(changes: &Changes<'_>, key: &PublicKey, now: Timestamp) -> Result<Option<ProposalId>, StateError> {
    let Some(id) = changes.load(&keys::reserved_key(key))? else { return Ok(None) };
    let proposal = changes.load_present(&keys::proposal(id))?;
    let alive = matches!(proposals::state_at(&proposal, now), ProposalState::Open | ProposalState::Scheduled);
    Ok(alive.then_some(id))
}

fn named_by(change: &ProposedChange) -> Vec<PublicKey> {
    match change {
        ProposedChange::AdmitMember { application } => {
            vec![application.application.administrator.key, application.application.node.key]
        }
        ProposedChange::ResetAdministrator { key, .. } => vec![*key],
        ProposedChange::SuspendMember { .. }
        | ProposedChange::RestoreMember { .. }
        | ProposedChange::RemoveMember { .. }
        | ProposedChange::SetParameters { .. }
        | ProposedChange::SetNodeRole { .. }
        | ProposedChange::RemoveNode { .. } => Vec::new(),
    }
}
