//! What an aggregator asks other nodes: the filter of a job, and each site's summary.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use galen_aggregate::{SiteSummary, SummaryRequest};
use galen_contracts::query::get_job;
use galen_p2p::{Refusal, RequestError};
use galen_types::job::{Job, JobSite, SiteGiven};
use galen_types::parameters::Disclosure;
use galen_types::{DatasetName, Encoding, Hash, JobId, NodeName, Slug};
use tokio::time::{Instant, sleep, timeout_at};

use super::Jobs;
use super::protocol::{OPENING_BYTES_MAX, Opening, OpeningRequest, REPLY_BYTES_MAX, SiteReply, SummaryQuestion};
use super::site::JOB_NOT_RUNNING;
use crate::files::error::state_unusable;
use crate::files::reading::{other_nodes, read};
use crate::http::services::ServiceError;
use crate::runtime::kinds;

/// How long the filter of a job is looked for before the job is given up.
const OPENING_WITHIN: Duration = Duration::from_secs(60);
/// How long a node may take to give an opening.
const OPENING_DEADLINE: Duration = Duration::from_secs(5);
/// How long a site may stay unreachable before the job goes on without it.
const SITE_WITHIN: Duration = Duration::from_secs(60);
/// How long a site may say that it works; the longest a table may take to read.
const WORK_WITHIN: Duration = Duration::from_secs(1_800);
/// How long a site may take for one reply.
const REPLY_DEADLINE: Duration = Duration::from_secs(45);
/// How long a recorded answer may take to be certified, which is when an aggregator sees it.
const RECORDED_WITHIN: Duration = Duration::from_secs(30);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// What came of asking a site.
pub(super) enum SiteOutcomeGiven {
    /// Its summary, found to be the recorded one.
    Summary(SiteSummary),
    /// Why there is none.
    Refused(Slug),
    /// The job has ended meanwhile.
    JobEnded,
}

impl Jobs {
    /// The opening of a job's filter, from whichever node has it.
    pub(super) async fn find_opening(&self, job: &Job, commitment: &Hash) -> Option<Opening> {
        let deadline = Instant::now() + OPENING_WITHIN;
        let request = Bytes::from(OpeningRequest { job: job.id }.encode());
        loop {
            let own = self.openings.get(job.id, &job.submitter);
            if let Some(opening) = own.filter(|opening| opening.open(commitment).is_some()) {
                return Some(opening);
            }
            let connected = self.network.peers().into_iter().filter(|peer| peer.connection.is_some());
            let nodes: Vec<NodeName> = connected.map(|peer| peer.node).collect();
            let mut asked: FuturesUnordered<_> = nodes
                .iter()
                .map(|node| self.network.request(node, kinds::JOB_OPENING, request.clone(), OPENING_DEADLINE))
                .collect();
            while let Some(answer) = asked.next().await {
                let opening = answer.ok().and_then(|bytes| Opening::decode(&bytes, OPENING_BYTES_MAX).ok());
                if let Some(opening) = opening.filter(|opening| opening.open(commitment).is_some()) {
                    return Some(opening);
                }
            }
            if Instant::now() + PAUSE >= deadline {
                return None;
            }
            sleep(PAUSE).await;
        }
    }

    /// Asks a site until it gives a final reply or its time is over.
    pub(super) async fn ask_site(
        &self,
        job: JobId,
        site: &JobSite,
        opening: Option<&Opening>,
        request: &SummaryRequest,
        disclosure: &Disclosure,
    ) -> Result<SiteOutcomeGiven, ServiceError> {
        let dataset = &site.version.dataset;
        let question = SummaryQuestion { job, dataset: dataset.clone(), opening: opening.cloned() };
        let started = Instant::now();
        let mut deadline = started + SITE_WITHIN;
        loop {
            let mut nodes = other_nodes(&self.chain, dataset.member.clone()).await?;
            if dataset.member == self.chain.node.member {
                nodes.insert(0, self.chain.node.clone());
            }
            for node in &nodes {
                match self.ask_node(node, &question).await {
                    Ok(SiteReply::Working) => {
                        deadline = (Instant::now() + SITE_WITHIN).min(started + WORK_WITHIN);
                    }
                    Ok(SiteReply::Refused { rule }) => return Ok(SiteOutcomeGiven::Refused(rule)),
                    Ok(reply @ SiteReply::Summary { .. }) => {
                        return self.judge(job, site, &reply, request, disclosure).await;
                    }
                    Err(refused) if refused.code() == JOB_NOT_RUNNING => return Ok(SiteOutcomeGiven::JobEnded),
                    Err(refused) => tracing::debug!(%job, %node, %refused, "a site gives no answer"),
                }
            }
            // A refusal may be on the chain although its node cannot be reached any more.
            if let Some(SiteGiven::Refused { rule }) = self.recorded(job, dataset).await? {
                return Ok(SiteOutcomeGiven::Refused(rule));
            }
            if Instant::now() + PAUSE >= deadline {
                return unavailable("site-unreachable");
            }
            sleep(PAUSE).await;
        }
    }

    async fn ask_node(&self, node: &NodeName, question: &SummaryQuestion) -> Result<SiteReply, Refusal> {
        if *node == self.chain.node {
            return self.site.answer(question.clone()).await.map(|reply| (*reply).clone());
        }
        let body = Bytes::from(question.encode());
        match self.network.request(node, kinds::JOB_SUMMARY, body, REPLY_DEADLINE).await {
            Ok(bytes) => {
                SiteReply::decode(&bytes, REPLY_BYTES_MAX).map_err(|error| Refusal::new("reply-malformed", error))
            }
            Err(RequestError::Refused(refused)) => Err(refused),
            Err(error) => Err(Refusal::new(error.code(), &error)),
        }
    }

    /// Whether a summary is the one that the chain names, and what it holds. It is checked against the rules again, so
    /// that a site with other rules cannot put a small cell into a total.
    async fn judge(
        &self,
        job: JobId,
        site: &JobSite,
        reply: &SiteReply,
        request: &SummaryRequest,
        disclosure: &Disclosure,
    ) -> Result<SiteOutcomeGiven, ServiceError> {
        let dataset = &site.version.dataset;
        let SiteReply::Summary { bytes, .. } = reply else { return unavailable("summary-missing") };
        let recorded = match self.wait_recorded(job, dataset).await? {
            Some(SiteGiven::Refused { rule }) => return Ok(SiteOutcomeGiven::Refused(rule)),
            recorded => recorded,
        };
        if recorded.is_none() || recorded != reply.given(job, dataset) {
            tracing::warn!(%job, %dataset, "a site's summary is not the one that it recorded on the chain");
            return unavailable("summary-not-recorded");
        }
        match SiteSummary::from_bytes(bytes, request, disclosure, site.cohort_min) {
            Ok(summary) => Ok(SiteOutcomeGiven::Summary(summary)),
            Err(error) => {
                tracing::warn!(%job, %dataset, %error, "a site's summary is not taken");
                unavailable(error.code())
            }
        }
    }

    /// The recorded answer of a site, once this node has it.
    async fn wait_recorded(&self, job: JobId, dataset: &DatasetName) -> Result<Option<SiteGiven>, ServiceError> {
        let deadline = Instant::now() + RECORDED_WITHIN;
        let mut progress = self.chain.progress.clone();
        loop {
            progress.mark_unchanged();
            if let Some(given) = self.recorded(job, dataset).await? {
                return Ok(Some(given));
            }
            if !matches!(timeout_at(deadline, progress.changed()).await, Ok(Ok(()))) {
                return Ok(None);
            }
        }
    }

    async fn recorded(&self, job: JobId, dataset: &DatasetName) -> Result<Option<SiteGiven>, ServiceError> {
        let dataset = dataset.clone();
        read(&self.chain, move |view| {
            let job = get_job(view.state(), job).map_err(state_unusable)?;
            let sites = job.map(|job| job.sites).unwrap_or_default();
            Ok(sites.into_iter().find(|site| site.version.dataset == dataset).and_then(|site| site.answer))
        })
        .await
    }
}

/// A reason of the aggregator's own why a site is not in the total.
fn unavailable(reason: &str) -> Result<SiteOutcomeGiven, ServiceError> {
    Slug::parse(reason).map(SiteOutcomeGiven::Refused).map_err(|error| ServiceError::internal(&error))
}
