//! Giving a job's result out, against the certified `ReadResult` of its submitter.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use galen_contracts::query::get_job;
use galen_p2p::{Refusal, RequestError};
use galen_types::job::Job;
use galen_types::{AccountName, Call, Encoding, Hash, JobId, NodeName, TransactionId};

use super::Jobs;
use super::protocol::{REQUEST_BYTES_MAX, ResultRequest};
use super::results::digest_of;
use crate::files::error::{disk_failed, refusal, state_unusable};
use crate::files::reading::{blocking, certified_call, read, wait_certified};
use crate::http::services::{ChainView, ErrorKind, JobResult, ServiceError};
use crate::runtime::kinds;

/// How long the aggregator may take to give a result; it may have to wait for a certificate.
const RESULT_DEADLINE: Duration = Duration::from_secs(20);

/// A result that a receipt releases.
struct Released {
    job: Job,
    account: AccountName,
    digest: Hash,
}

/// What a `ReadResult` releases, by this node's ledger.
fn released(view: &dyn ChainView, id: JobId, receipt: &TransactionId) -> Result<Released, ServiceError> {
    let unknown =
        || ServiceError::new(ErrorKind::NotFound, "receipt-unknown", "the receipt is of no reading of this job");
    let read = certified_call(view, receipt)?;
    if read.call != (Call::ReadResult { job: id }) {
        return Err(unknown());
    }
    let job = get_job(view.state(), id).map_err(state_unusable)?.ok_or_else(unknown)?;
    if job.submitter != read.account {
        return Err(unknown());
    }
    let digest = job.result.ok_or_else(unknown)?;
    Ok(Released { job, account: read.account, digest })
}

impl Jobs {
    pub(super) async fn read_result(
        &self,
        job: JobId,
        receipt: TransactionId,
        account: AccountName,
    ) -> Result<JobResult, ServiceError> {
        let released = read(&self.chain, move |view| released(view, job, &receipt)).await?;
        if released.account != account {
            return Err(ServiceError::new(ErrorKind::NotFound, "receipt-unknown", "the receipt is another account's"));
        }
        let digest = released.digest;
        let document = match self.kept_result(job, digest).await? {
            Some(document) => document,
            None => self.ask_result(&released, receipt).await?,
        };
        Ok(JobResult { document, digest })
    }

    async fn kept_result(&self, job: JobId, digest: Hash) -> Result<Option<Bytes>, ServiceError> {
        let results = Arc::clone(&self.results);
        blocking(move || results.get(job, &digest).map_err(disk_failed)).await
    }

    async fn ask_result(&self, released: &Released, receipt: TransactionId) -> Result<Bytes, ServiceError> {
        let gone = |detail: String| ServiceError::new(ErrorKind::PeerFailed, "result-unavailable", detail);
        let aggregator = released.job.aggregator.as_ref();
        let aggregator = aggregator.ok_or_else(|| ServiceError::internal(&"a finished job names no aggregator"))?;
        if *aggregator == self.chain.node {
            return Err(gone("the result document is not on this node's disk any more".to_owned()));
        }
        let request = Bytes::from(ResultRequest { job: released.job.id, receipt }.encode());
        let answer = self.network.request(aggregator, kinds::JOB_RESULT, request, RESULT_DEADLINE).await;
        let document = answer.map_err(|error| match error {
            RequestError::Refused(refused) if refused.code() == "not-certified" => {
                ServiceError::new(ErrorKind::Unavailable, "not-certified", refused.text())
            }
            error => gone(format!("the aggregator `{aggregator}` does not give the result: {error}"))
                .with_hint("try again later"),
        })?;
        if digest_of(&document) == released.digest {
            return Ok(document);
        }
        tracing::error!(job = %released.job.id, %aggregator, "an aggregator gives another result than it published");
        Err(gone(format!("what `{aggregator}` gives is not the result whose digest is on the chain")))
    }

    /// Gives a result to the node of its submitter.
    pub(super) async fn give_result(&self, from: &NodeName, bytes: &[u8]) -> Result<Bytes, Refusal> {
        let request = ResultRequest::decode(bytes, REQUEST_BYTES_MAX)
            .map_err(|error| Refusal::new("request-malformed", error))?;
        let ResultRequest { job, receipt } = request;
        let found = async {
            // The peer may be some blocks ahead.
            wait_certified(&self.chain, receipt).await?;
            read(&self.chain, move |view| released(view, job, &receipt)).await
        };
        let found: Released = found.await.map_err(|error| refusal(&error))?;
        if from.member != found.account.member {
            return Err(Refusal::new("receipt-unknown", "the reading was made by no account of your member"));
        }
        let kept = self.kept_result(job, found.digest).await.map_err(|error| refusal(&error))?;
        kept.ok_or_else(|| Refusal::new("result-missing", "this node does not keep the result"))
    }
}
