//! Compute jobs: submitted and authorised as a whole, answered site by site, ended by an aggregator, read by their
//! submitter.
//!
//! | from | call | to |
//! |---|---|---|
//! | (none) | submit | running |
//! | running | answer (once a dataset) | running |
//! | running | finish | finished |
//! | running | fail | failed |
//! | finished | read result | finished |

pub(crate) mod answer;
pub(crate) mod end;
mod permission;
pub(crate) mod submit;

pub use permission::job_site_permitted;

use galen_types::JobId;
use galen_types::access::AccessTerms;
use galen_types::job::{Job, JobSpecification, JobState};
use galen_types::vocabulary::Action;

use crate::keys;
use crate::refusal::Refusal;
use crate::session::{Judged, Session};

/// What a job asks of every dataset.
fn terms_of(specification: &JobSpecification) -> AccessTerms {
    AccessTerms {
        action: Action::Compute,
        purpose: specification.purpose,
        columns: specification.columns_read(),
        statistics: specification.statistics.clone(),
        data_use: specification.data_use.clone(),
    }
}

fn registered(session: &Session<'_>, id: JobId) -> Judged<Job> {
    session.require(&keys::job(id), || Refusal::JobUnknown { job: id })
}

fn running(session: &Session<'_>, id: JobId) -> Judged<Job> {
    let job = registered(session, id)?;
    match job.state {
        JobState::Running => Ok(job),
        state @ (JobState::Finished | JobState::Failed) => Err(Refusal::JobNotRunning { state }.into()),
    }
}
