//! One job at an aggregator, from its filter to its recorded end.
//!
//! The result document is on the disk before its digest is on the chain. Summaries are in memory only and gone before
//! the end is recorded; sites keep theirs until then, so that whatever breaks off is begun again.

use std::sync::Arc;

use futures::future::join_all;
use galen_aggregate::{CombineRefusal, ResultDocument, SiteSummary, SummaryRequest, combine};
use galen_contracts::query::{get_job, get_parameters};
use galen_contracts::{Failure, job_site_permitted};
use galen_types::api::Finality;
use galen_types::job::{Job, JobFailure, JobState, SiteGiven, SiteOutcome};
use galen_types::parameters::Disclosure;
use galen_types::{Call, DatasetName, JobId, Outcome, Slug};

use super::Jobs;
use super::asking::SiteOutcomeGiven;
use super::protocol::Opening;
use super::results::{RESULT_BYTES_MAX, digest_of};
use super::site::request_of;
use crate::files::error::{disk_failed, state_unusable};
use crate::files::reading::{block_time, blocking, read};
use crate::http::services::{ErrorKind, ServiceError};

/// The rules by which the chain refuses an end that was made from a state which has changed since.
const OUTDATED: [&str; 3] = ["job-permission-lost", "site-refusal-misreported", "site-not-answered"];
/// The reason of a site that was not reached.
const UNREACHABLE: &str = "site-unreachable";

/// A job as this node's ledger has it now.
struct Standing {
    job: Job,
    disclosure: Disclosure,
    /// Of each site, in the job's order: the rule by which it cannot be in a total.
    refused: Vec<Option<Slug>>,
}

/// How the chain took an end.
enum Ended {
    Recorded,
    Refused(Slug),
}

impl Jobs {
    /// Brings a job to its end.
    pub(super) async fn combine_job(&self, job: Job) -> Result<(), ServiceError> {
        let opening = match &job.specification.filter {
            None => None,
            Some(commitment) => match self.find_opening(&job, commitment).await {
                Some(opening) => Some(opening),
                None => return self.give_up(job.id, JobFailure::FilterMissing, &[], "filter-missing").await,
            },
        };
        let request = match request_of(&job, opening.as_ref()) {
            Ok(request) => request,
            Err(refused) => {
                tracing::warn!(job = %job.id, %refused, "a job cannot be computed");
                // The filter reads other columns than the job was authorized for, or more columns than are computed.
                let failure =
                    if opening.is_some() { JobFailure::FilterMissing } else { JobFailure::SummariesIncompatible };
                return self.give_up(job.id, failure, &[], "request-refused").await;
            }
        };
        let Some(standing) = self.standing(job.id).await? else { return Ok(()) };
        let Some(given) = self.ask_sites(&standing, opening.as_ref(), &request).await? else { return Ok(()) };
        drop(opening);
        self.end(job.id, given, &request).await
    }

    /// What each site gave, in the job's order; nothing when the job has ended meanwhile.
    async fn ask_sites(
        &self,
        standing: &Standing,
        opening: Option<&Opening>,
        request: &SummaryRequest,
    ) -> Result<Option<Vec<Result<SiteSummary, Slug>>>, ServiceError> {
        let asked = standing.job.sites.iter().zip(&standing.refused).map(|(site, refused)| async move {
            match refused {
                Some(rule) if site.answer.is_some() => Ok(SiteOutcomeGiven::Refused(rule.clone())),
                _ => self.ask_site(standing.job.id, site, opening, request, &standing.disclosure).await,
            }
        });
        let mut given = Vec::new();
        for outcome in join_all(asked).await {
            match outcome? {
                SiteOutcomeGiven::Summary(summary) => given.push(Ok(summary)),
                SiteOutcomeGiven::Refused(rule) => given.push(Err(rule)),
                SiteOutcomeGiven::JobEnded => return Ok(None),
            }
        }
        Ok(Some(given))
    }

    /// Combines what was given and records the end.
    async fn end(
        &self,
        id: JobId,
        given: Vec<Result<SiteSummary, Slug>>,
        request: &SummaryRequest,
    ) -> Result<(), ServiceError> {
        let Some(Standing { job, disclosure, refused }) = self.standing(id).await? else { return Ok(()) };
        let mut sites = Vec::new();
        let mut outcomes = Vec::new();
        for ((site, given), refused) in job.sites.iter().zip(given).zip(refused) {
            let dataset = site.version.dataset.clone();
            let refused = match (refused, given) {
                // What the chain says comes first: a refusal is reported as it was recorded.
                (Some(rule), _) | (None, Err(rule)) => Some(rule),
                (None, Ok(summary)) => {
                    sites.push((dataset.clone(), summary));
                    None
                }
            };
            outcomes.push(SiteOutcome { dataset, refused });
        }
        let refused: Vec<(DatasetName, Slug)> =
            outcomes.iter().filter_map(|outcome| Some((outcome.dataset.clone(), outcome.refused.clone()?))).collect();
        let is_unreached = refused.iter().any(|(_, rule)| rule.as_str() == UNREACHABLE);
        // Takes the summaries; they are gone from here when it returns.
        let table = match combine(sites, refused, request, &disclosure) {
            Ok(table) => table,
            Err(refusal) => {
                tracing::info!(job = %id, %refusal, "a job has no result");
                let failure = match refusal {
                    CombineRefusal::TooFewSites { .. } if is_unreached => JobFailure::TimedOut,
                    refusal => refusal.failure(),
                };
                return self.give_up(id, failure, &outcomes, "job-failed").await;
            }
        };
        let document = ResultDocument::new(&job, table).to_json();
        if document.len() > RESULT_BYTES_MAX {
            tracing::warn!(job = %id, bytes = document.len(), "a result is too large to be given out");
            return self.give_up(id, JobFailure::SummariesIncompatible, &outcomes, "job-failed").await;
        }
        let result = digest_of(&document);
        let results = Arc::clone(&self.results);
        blocking(move || results.put(id, &document).map_err(disk_failed)).await?;
        let call = Call::FinishJob { job: id, result, sites: outcomes.clone(), summaries_deleted: true };
        match self.record_end(call).await? {
            Ended::Recorded => {
                tracing::info!(job = %id, digest = %result, "published a job's result");
                Ok(())
            }
            Ended::Refused(rule) if rule.as_str() == super::site::JOB_NOT_RUNNING => self.other_was_first(id).await,
            Ended::Refused(rule) if OUTDATED.contains(&rule.as_str()) => {
                let detail = format!("the chain has changed meanwhile: {rule}");
                Err(ServiceError::new(ErrorKind::Conflict, "job-outdated", detail))
            }
            Ended::Refused(rule) => {
                tracing::warn!(job = %id, %rule, "the chain refuses a job's result");
                let failure = match rule.as_str() {
                    "total-members-too-few" => JobFailure::TooFewSites,
                    _ => JobFailure::SummariesIncompatible,
                };
                self.give_up(id, failure, &outcomes, "job-failed").await
            }
        }
    }

    /// Another aggregator ended the job. Its document is the same when its sites gave the same.
    async fn other_was_first(&self, id: JobId) -> Result<(), ServiceError> {
        let ended = read(&self.chain, move |view| get_job(view.state(), id).map_err(state_unusable)).await?;
        let digest = ended.and_then(|job| job.result);
        let results = Arc::clone(&self.results);
        blocking(move || {
            let kept = match digest {
                Some(digest) => results.get(id, &digest).map_err(disk_failed)?,
                None => None,
            };
            if kept.is_none() {
                results.remove(id).map_err(disk_failed)?;
            }
            Ok(())
        })
        .await
    }

    /// Records that a job ends without a result. `outcomes` are those found, or none where no site was asked; sites that
    /// have no refusal of their own then get `reason`.
    async fn give_up(
        &self,
        id: JobId,
        failure: JobFailure,
        outcomes: &[SiteOutcome],
        reason: &str,
    ) -> Result<(), ServiceError> {
        let Some(standing) = self.standing(id).await? else { return Ok(()) };
        let reason = Slug::parse(reason).map_err(|error| ServiceError::internal(&error))?;
        let mut sites = Vec::new();
        for (place, (site, refused)) in standing.job.sites.iter().zip(standing.refused).enumerate() {
            let found = outcomes.get(place).map_or(Some(reason.clone()), |outcome| outcome.refused.clone());
            sites.push(SiteOutcome { dataset: site.version.dataset.clone(), refused: refused.or(found) });
        }
        match self.record_end(Call::FailJob { job: id, failure, sites }).await? {
            Ended::Recorded => {
                tracing::info!(job = %id, %failure, "gave a job up");
                let results = Arc::clone(&self.results);
                blocking(move || results.remove(id).map(|_| ()).map_err(disk_failed)).await
            }
            Ended::Refused(rule) if rule.as_str() == super::site::JOB_NOT_RUNNING => self.other_was_first(id).await,
            Ended::Refused(rule) => {
                let detail = format!("the chain refuses to end the job: {rule}");
                Err(ServiceError::new(ErrorKind::Conflict, "job-outdated", detail))
            }
        }
    }

    async fn record_end(&self, call: Call) -> Result<Ended, ServiceError> {
        let status = self.signer.submit(call, Finality::Committed).await?;
        match status.receipt.map(|receipt| receipt.outcome) {
            Some(Outcome::Applied) => Ok(Ended::Recorded),
            Some(Outcome::Refused { rule, .. }) => Ok(Ended::Refused(rule)),
            None => Err(ServiceError::internal(&"a job's end has no receipt")),
        }
    }

    /// The job as it is now; nothing once it has ended.
    async fn standing(&self, id: JobId) -> Result<Option<Standing>, ServiceError> {
        read(&self.chain, move |view| {
            let state = view.state();
            let running = get_job(state, id).map_err(state_unusable)?.filter(|job| job.state == JobState::Running);
            let Some(job) = running else { return Ok(None) };
            let now = block_time(view)?;
            let mut refused = Vec::new();
            for site in &job.sites {
                refused.push(match (&site.answer, job_site_permitted(state, now, &job, site)) {
                    (_, Err(Failure::State(error))) => return Err(state_unusable(error)),
                    (Some(SiteGiven::Refused { rule }), _) => Some(rule.clone()),
                    (_, Err(Failure::Refused(refusal))) => Some(refusal.rule()),
                    (_, Ok(())) => None,
                });
            }
            let disclosure = get_parameters(state).map_err(state_unusable)?.disclosure;
            Ok(Some(Standing { job, disclosure, refused }))
        })
        .await
    }
}
