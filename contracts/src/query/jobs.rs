use galen_types::job::Job;
use galen_types::{AccountName, JobId};

use super::Start;
use crate::keys;
use crate::state::{Lookup, StateError, StateRead};

/// A job.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn get_job(state: &dyn StateRead, id: JobId) -> Result<Option<Job>, StateError> {
    state.load(&keys::job(id))
}

/// Jobs of a submitter, in the order submitted.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn list_jobs_of(
    state: &dyn StateRead,
    submitter: &AccountName,
    start_after: Option<JobId>,
    limit: usize,
) -> Result<Vec<Job>, StateError> {
    let start = Start::new(state, start_after.map(keys::job), keys::job_of)?;
    start.page(state, &keys::jobs_of(submitter), limit, |id| keys::job(JobId(id)))
}

/// Jobs that await answers or their end, in the order submitted.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn list_jobs_running(
    state: &dyn StateRead,
    start_after: Option<JobId>,
    limit: usize,
) -> Result<Vec<Job>, StateError> {
    let start = Start::new(state, start_after.map(keys::job), keys::job_running)?;
    start.page(state, &keys::jobs_running(), limit, |id| keys::job(JobId(id)))
}
