//! Whether a dataset may still be used for a job that was authorised earlier. What is taken back while a job runs
//! (a grant revoked, a version withdrawn, a rule that denies) holds for it too.

use galen_types::access::{Basis, Effect};
use galen_types::dataset::VersionState;
use galen_types::job::{Job, JobSite};
use galen_types::{DatasetName, Timestamp};

use super::terms_of;
use crate::access::authorise::{active_account, active_member, decide};
use crate::keys;
use crate::refusal::{Failure, Refusal};
use crate::session::Judged;
use crate::state::{Lookup, StateRead};

/// That a site of a job may still be used for it: account and members take part, the pinned version is not withdrawn,
/// the grant is not revoked, no rule denies, and a rule still permits where one did. Uses and expiry were judged when
/// the job was submitted.
///
/// # Errors
/// [`Failure::Refused`] saying what was taken back; [`Failure::State`] when the state cannot be used.
pub fn job_site_permitted(state: &dyn StateRead, now: Timestamp, job: &Job, site: &JobSite) -> Result<(), Failure> {
    site_permitted(state, now, job, site)
}

pub(super) fn site_permitted<L: Lookup + ?Sized>(state: &L, now: Timestamp, job: &Job, site: &JobSite) -> Judged {
    let name = &site.version.dataset;
    let lost = |cause| Failure::from(Refusal::JobPermissionLost { dataset: name.clone(), cause });
    let takes_part = |judged: Judged, suspended, left| match judged {
        Err(Failure::Refused(Refusal::MemberLeft { .. })) => Err(lost(left)),
        Err(Failure::Refused(_)) => Err(lost(suspended)),
        other => other,
    };
    let submitter = active_account(state, &job.submitter).map(|_| ());
    takes_part(submitter, "its submitter is suspended", "its submitter's member has left")?;
    takes_part(active_member(state, &name.member), "its owner is suspended", "its owner has left")?;
    if is_withdrawn(state, name, site.version.version)? {
        return Err(lost("it is withdrawn"));
    }
    let account = state.load_present(&keys::account(&job.submitter))?;
    let authorisation = decide(state, now, &account, name, &terms_of(&job.specification), 0)?;
    match (&authorisation.decision.basis, &site.decision.basis) {
        (Basis::Rule { .. }, _) if authorisation.decision.effect == Effect::Deny => Err(lost("a rule denies it now")),
        // The submitter may have lost the role that made the data its own.
        (Basis::NothingPermits, Basis::OwnData) => Err(lost("it is no longer the submitter's own")),
        (_, Basis::Grant { grant }) if state.load_present(&keys::grant(*grant))?.revoked.is_some() => {
            Err(lost("its grant is revoked"))
        }
        (Basis::NothingPermits, Basis::Rule { scope, contract_version, .. }) => {
            let current = state.load(&keys::contract(scope))?.map(|contract| contract.version);
            // Under the same contract only uses or the period are over, which were judged at submission.
            if current == Some(*contract_version) { Ok(()) } else { Err(lost("no rule permits it any more")) }
        }
        _ => Ok(()),
    }
}

fn is_withdrawn<L: Lookup + ?Sized>(state: &L, name: &DatasetName, version: u32) -> Judged<bool> {
    let dataset = state.load_present(&keys::dataset(name))?;
    let version = state.load_present(&keys::version(name, version))?;
    Ok(dataset.state == VersionState::Withdrawn || version.state == VersionState::Withdrawn)
}
