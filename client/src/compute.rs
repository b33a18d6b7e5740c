//! Running a compute job: hand over the filter's opening, submit, wait for the sites and the aggregator, read the
//! result and check it against the digest on the chain.

use std::time::Duration;

use bytes::Bytes;
use galen_types::api::{JobDetail, JobOpening};
use galen_types::hash::Context;
use galen_types::job::{JobSpecification, JobState};
use galen_types::vocabulary::Filter;
use galen_types::{Call, Hash, JobId, TransactionId};
use reqwest::Method;
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::error::ClientError;
use crate::progress::{OnProgress, Progress, Stage};
use crate::transaction::{Wait, applied};
use crate::transport::{Content, Outgoing, Signing, json_bytes};

/// First pause between two looks at a job; doubled each time.
const POLL_PAUSE_FIRST: Duration = Duration::from_millis(50);
/// Longest pause between two looks at a job.
const POLL_PAUSE_MAX: Duration = Duration::from_secs(1);
/// Most bytes of a result document.
const RESULT_BYTES_MAX: usize = 64 << 20;

/// A result document, its digest checked against the chain.
#[derive(Debug, Clone)]
pub struct JobResult {
    /// The job.
    pub job: JobDetail,
    /// The JSON document, exactly as it was hashed.
    pub document: Bytes,
    /// Its digest.
    pub digest: Hash,
    /// The transaction that recorded the reading.
    pub receipt: TransactionId,
}

impl Client {
    /// Submits a job. Datasets, statistics and filter columns of the specification are put in order, and its `filter`
    /// commitment is made here: the filter itself never goes onto the chain.
    ///
    /// # Errors
    /// [`ClientError::Denied`] when a dataset does not permit it; otherwise as [`Client::send`].
    pub async fn submit_job(
        &self,
        mut specification: JobSpecification,
        filter: Option<&Filter>,
    ) -> Result<JobId, ClientError> {
        specification.datasets.sort();
        specification.datasets.dedup();
        specification.statistics.sort();
        specification.statistics.dedup();
        specification.filter_columns = filter.map(|filter| filter.columns().cloned().collect()).unwrap_or_default();
        specification.filter_columns.sort();
        specification.filter_columns.dedup();
        let mut salt = [0; 32];
        getrandom::fill(&mut salt)?;
        let text = filter.map(ToString::to_string);
        specification.filter = text.as_ref().map(|text| Hash::commitment(&salt, text.as_bytes()));
        let transaction = self.prepare(Call::SubmitJob(specification)).await?;
        let job = JobId(transaction.id.0);
        if let Some(filter) = text {
            let opening = JobOpening { job, filter, salt };
            let url = self.url(&["v1", "jobs", "openings"], &[]);
            let mut outgoing =
                Outgoing::new(Method::POST, url, Signing::Required, Content::Json(json_bytes(&opening)?));
            outgoing.timeout = Some(self.timeouts().request);
            self.exchange(outgoing).await.map_err(|failure| failure.error)?;
        }
        applied(self.send(&transaction, Wait::Committed).await?)?;
        Ok(job)
    }

    /// Waits until a job has ended, at most `patience`.
    ///
    /// # Errors
    /// [`ClientError::JobFailed`] when it ended without a result, [`ClientError::JobUnfinished`] when it goes on.
    pub async fn wait_for_job(
        &self,
        job: JobId,
        patience: Duration,
        on_progress: &OnProgress,
    ) -> Result<JobDetail, ClientError> {
        let deadline = Instant::now() + patience;
        let mut pause = POLL_PAUSE_FIRST;
        loop {
            let detail = match self.job(job).await {
                Ok(detail) => Some(detail),
                // Another node than the one that took it may not have come so far yet; a node may be restarting.
                Err(ClientError::Problem(problem)) if matches!(problem.status, 404 | 503) => None,
                Err(error @ ClientError::Unreachable { .. }) if Instant::now() + pause >= deadline => {
                    return Err(error);
                }
                Err(ClientError::Unreachable { .. }) => None,
                Err(error) => return Err(error),
            };
            if let Some(detail) = detail {
                let (done, total) = (detail.progress.answered as u64, detail.progress.sites as u64);
                on_progress(Progress { stage: Stage::Computing, done, total });
                match detail.job.state {
                    JobState::Finished => return Ok(detail),
                    JobState::Failed => {
                        let (failure, sites) = (detail.job.failure, detail.job.outcomes);
                        return Err(ClientError::JobFailed { job, failure, sites });
                    }
                    JobState::Running => {}
                }
            }
            if Instant::now() + pause >= deadline {
                return Err(ClientError::JobUnfinished { job });
            }
            sleep(pause).await;
            pause = (pause * 2).min(POLL_PAUSE_MAX);
        }
    }

    /// Records the reading of a finished job's result and fetches it.
    ///
    /// # Errors
    /// [`ClientError::Denied`] when the account may not read it, [`ClientError::Integrity`] when the document's digest
    /// is not the chain's, [`ClientError::JobUnfinished`] or [`ClientError::JobFailed`] when there is none.
    pub async fn job_result(&self, job: JobId) -> Result<JobResult, ClientError> {
        let detail = self.job(job).await?;
        let expected = match (detail.job.state, detail.job.result) {
            (JobState::Finished, Some(digest)) => digest,
            (JobState::Failed, _) => {
                let (failure, sites) = (detail.job.failure, detail.job.outcomes);
                return Err(ClientError::JobFailed { job, failure, sites });
            }
            _ => return Err(ClientError::JobUnfinished { job }),
        };
        let receipt = self.apply(Call::ReadResult { job }, Wait::Certified).await?.id;
        let url = self.url(&["v1", "jobs", &job.to_string(), "result"], &[("receipt", Some(receipt.to_string()))]);
        let document = self
            .when_released(async || {
                let mut outgoing = Outgoing::get(url.clone(), Signing::Required);
                outgoing.timeout = Some(self.timeouts().request);
                let response = self.exchange(outgoing).await?;
                self.read_all(response, RESULT_BYTES_MAX).await
            })
            .await?;
        let digest = Hash::of(Context::JobResult, &document);
        if digest == expected {
            Ok(JobResult { job: detail, document, digest, receipt })
        } else {
            Err(ClientError::Integrity(format!("the result's digest is {digest} instead of {expected} on the chain")))
        }
    }

    /// Submits a job, waits for its end and reads its result.
    ///
    /// # Errors
    /// As [`Client::submit_job`], [`Client::wait_for_job`] and [`Client::job_result`].
    pub async fn run_job(
        &self,
        specification: JobSpecification,
        filter: Option<&Filter>,
        patience: Duration,
        on_progress: &OnProgress,
    ) -> Result<JobResult, ClientError> {
        let job = self.submit_job(specification, filter).await?;
        self.wait_for_job(job, patience, on_progress).await?;
        self.job_result(job).await
    }
}
