//! The end of a job: an aggregator publishes the result's digest with its account of every site, or gives the job up;
//! the submitter reads the result.

use std::collections::BTreeSet;

use galen_types::job::{Job, JobFailure, JobState, SiteGiven, SiteOutcome};
use galen_types::member::NodeRole;
use galen_types::vocabulary::Action;
use galen_types::{Event, Hash, JobId, NodeName, VersionName};

use super::permission::site_permitted;
use super::{registered, running};
use crate::keys;
use crate::refusal::Refusal;
use crate::session::{Judged, Session};

pub(crate) fn finish(
    session: &mut Session<'_>,
    id: JobId,
    result: Hash,
    outcomes: &[SiteOutcome],
    summaries_deleted: bool,
) -> Judged {
    let aggregator = aggregator(session)?;
    let mut job = running(session, id)?;
    check_outcomes(&job, outcomes)?;
    let mut members = BTreeSet::new();
    for (site, outcome) in job.sites.iter().zip(outcomes) {
        if outcome.refused.is_some() {
            continue;
        }
        if site.answer.is_none() {
            return Err(Refusal::SiteNotAnswered { dataset: outcome.dataset.clone() }.into());
        }
        site_permitted(session, session.now(), &job, site)?;
        members.insert(&outcome.dataset.member);
    }
    let least = session.parameters.disclosure.sites_min;
    if u32::try_from(members.len()).is_ok_and(|count| count < least) {
        return Err(Refusal::TotalMembersTooFew { members: members.len(), least }.into());
    }
    if !summaries_deleted {
        return Err(Refusal::SummariesNotDeleted.into());
    }
    job.state = JobState::Finished;
    job.result = Some(result);
    end(session, job, aggregator, outcomes);
    Ok(())
}

pub(crate) fn fail(session: &mut Session<'_>, id: JobId, failure: JobFailure, outcomes: &[SiteOutcome]) -> Judged {
    let aggregator = aggregator(session)?;
    let mut job = running(session, id)?;
    check_outcomes(&job, outcomes)?;
    job.state = JobState::Failed;
    job.failure = Some(failure);
    end(session, job, aggregator, outcomes);
    Ok(())
}

pub(crate) fn read_result(session: &mut Session<'_>, id: JobId) -> Judged {
    let reader = session.account()?.name.clone();
    let job = registered(session, id)?;
    if reader != job.submitter {
        return Err(Refusal::NotSubmitter { submitter: job.submitter }.into());
    }
    match job.state {
        JobState::Finished => {
            record_sites(session, &job);
            Ok(())
        }
        state @ (JobState::Running | JobState::Failed) => Err(Refusal::JobNotFinished { state }.into()),
    }
}

fn aggregator(session: &Session<'_>) -> Judged<NodeName> {
    let node = session.node()?;
    match node.role {
        NodeRole::Aggregator => Ok(node.name.clone()),
        NodeRole::Voter | NodeRole::Observer => Err(Refusal::AggregatorRequired.into()),
    }
}

/// That every dataset is accounted for, in the job's order, and that a site's own refusal is reported as it was given.
fn check_outcomes(job: &Job, outcomes: &[SiteOutcome]) -> Judged {
    let accounted = outcomes.iter().map(|outcome| &outcome.dataset);
    if !accounted.eq(job.sites.iter().map(|site| &site.version.dataset)) {
        return Err(Refusal::JobSitesMismatch.into());
    }
    for (site, outcome) in job.sites.iter().zip(outcomes) {
        match &site.answer {
            Some(SiteGiven::Refused { rule }) if outcome.refused.as_ref() != Some(rule) => {
                let (dataset, rule) = (outcome.dataset.clone(), rule.clone());
                return Err(Refusal::SiteRefusalMisreported { dataset, rule }.into());
            }
            _ => {}
        }
    }
    Ok(())
}

fn end(session: &mut Session<'_>, mut job: Job, aggregator: NodeName, outcomes: &[SiteOutcome]) {
    job.aggregator = Some(aggregator);
    job.outcomes = outcomes.to_vec();
    session.put(keys::job(job.id), &job);
    session.remove(keys::job_running(&job));
    record_sites(session, &job);
}

/// An event for each dataset of an ended job, with the rule by which it is not in the total.
fn record_sites(session: &mut Session<'_>, job: &Job) {
    for (site, outcome) in job.sites.iter().zip(&job.outcomes) {
        let VersionName { dataset, version } = &site.version;
        session.record(Event {
            dataset: Some(dataset.clone()),
            version: Some(*version),
            action: Some(Action::Compute),
            purpose: Some(job.specification.purpose),
            rule: outcome.refused.clone(),
            ..session.event()
        });
    }
}
