//! What of compute jobs stays off-chain: filters, summaries, results.
//!
//! - `openings`: filters, kept at the submitter's node.
//! - `site`, `answers`: this node answering for its own member's datasets.
//! - `aggregation`, `asking`, `combination`: the aggregator's work.
//! - `results`, `reading_results`: the result document, and giving it out.
//! - `protocol`: what nodes send each other.
//!
//! On the disk, under `jobs/`: `openings/`, `answers/` (a site's replies) and `results/` (an aggregator's documents).

mod aggregation;
mod answers;
mod asking;
mod combination;
mod error;
mod openings;
pub(crate) mod protocol;
mod reading_results;
mod results;
mod site;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use galen_contracts::query::{get_job, get_member, get_node};
use galen_p2p::{NetworkHandle, Refusal, Responder};
use galen_types::api::JobOpening;
use galen_types::job::JobState;
use galen_types::member::{NodeRole, Standing};
use galen_types::{AccountName, Encoding, JobId, NodeName, Timestamp, TransactionId};

use answers::Answers;
use openings::Openings;
use protocol::{OpeningRequest, REQUEST_BYTES_MAX, SummaryQuestion};
use results::Results;
use site::Site;

use crate::files::Files;
use crate::files::error::{disk_failed, refusal, state_unusable};
use crate::files::reading::{blocking, read};
use crate::home::NodeHome;
use crate::http::services::{JobResult, JobService, ServiceError};
use crate::runtime::{Chain, NodeSigner, kinds};

pub use error::JobsError;

/// How often what ended jobs left behind is deleted.
const SWEEP: Duration = Duration::from_secs(30);

/// Compute jobs at this node.
pub struct Jobs {
    chain: Arc<Chain>,
    network: NetworkHandle,
    signer: NodeSigner,
    openings: Arc<Openings>,
    answers: Arc<Answers>,
    results: Arc<Results>,
    site: Arc<Site>,
}

impl Jobs {
    /// Opens the jobs of a home. To be called within the runtime: what ended jobs left behind is deleted from time to
    /// time until the node stops.
    ///
    /// # Errors
    /// [`JobsError`] when a folder cannot be used.
    pub fn open(
        home: &NodeHome,
        chain: Arc<Chain>,
        network: NetworkHandle,
        signer: NodeSigner,
        files: Arc<Files>,
    ) -> Result<Arc<Self>, JobsError> {
        let folder = home.jobs();
        let openings = Arc::new(Openings::open(folder.join("openings"))?);
        let answers = Arc::new(Answers::open(folder.join("answers"))?);
        let results = Arc::new(Results::open(folder.join("results"))?);
        let site = Arc::new(Site::new(files, Arc::clone(&chain), signer.clone(), Arc::clone(&answers)));
        let jobs = Arc::new(Self { chain, network, signer, openings, answers, results, site });
        tokio::spawn(Arc::clone(&jobs).sweep());
        Ok(jobs)
    }

    async fn sweep(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.chain.shutdown.stopping() => return,
                () = tokio::time::sleep(SWEEP) => {}
            }
            if let Err(error) = self.sweep_once().await {
                tracing::warn!(%error, "what ended jobs left behind could not be deleted");
            }
        }
    }

    async fn sweep_once(&self) -> Result<(), ServiceError> {
        let (openings, answers) = (Arc::clone(&self.openings), Arc::clone(&self.answers));
        let mut jobs = self.openings.jobs();
        jobs.extend(blocking(move || answers.jobs().map_err(disk_failed)).await?);
        let ended = site::ended(&self.chain, jobs).await?;
        let answers = Arc::clone(&self.answers);
        blocking(move || {
            openings.sweep(Timestamp::now(), &ended).map_err(disk_failed)?;
            answers.sweep(&ended).map_err(disk_failed)
        })
        .await
    }

    /// Answers a peer's request of kind [`kinds::JOB_OPENING`], [`kinds::JOB_SUMMARY`] or [`kinds::JOB_RESULT`].
    pub async fn answer(&self, from: NodeName, kind: u16, bytes: Bytes, reply: Responder) {
        let answer = async {
            match kind {
                kinds::JOB_OPENING => self.give_opening(&from, &bytes).await,
                kinds::JOB_SUMMARY => self.give_summary(&from, &bytes).await,
                kinds::JOB_RESULT => self.give_result(&from, &bytes).await,
                _ => Err(Refusal::new("unknown-kind", "this node does not know that kind of request")),
            }
        };
        tokio::select! {
            () = self.chain.shutdown.stopping() => {}
            answer = answer => match answer {
                Ok(bytes) => reply.answer(bytes),
                Err(refusal) => {
                    tracing::debug!(%from, kind, %refusal, "a request about jobs is refused");
                    reply.refuse(refusal);
                }
            }
        }
    }

    /// Gives a running job's filter to an aggregator.
    async fn give_opening(&self, from: &NodeName, bytes: &[u8]) -> Result<Bytes, Refusal> {
        let request = OpeningRequest::decode(bytes, REQUEST_BYTES_MAX).map_err(malformed)?;
        self.need_aggregator(from).await?;
        let id = request.job;
        let job = read(&self.chain, move |view| {
            let job = get_job(view.state(), id).map_err(state_unusable)?;
            Ok(job.filter(|job| job.state == JobState::Running && job.height <= view.certified_height()))
        });
        let unknown = || Refusal::new("opening-unknown", "this node has no opening for a running job of that id");
        let job = job.await.map_err(|error| refusal(&error))?.ok_or_else(unknown)?;
        let openings = Arc::clone(&self.openings);
        let opening = blocking(move || Ok(openings.get(id, &job.submitter))).await.map_err(|error| refusal(&error))?;
        Ok(opening.ok_or_else(unknown)?.encode().into())
    }

    /// Gives this site's summary to an aggregator.
    async fn give_summary(&self, from: &NodeName, bytes: &[u8]) -> Result<Bytes, Refusal> {
        let question = SummaryQuestion::decode(bytes, REQUEST_BYTES_MAX).map_err(malformed)?;
        self.need_aggregator(from).await?;
        Ok(self.site.answer(question).await?.encode().into())
    }

    async fn need_aggregator(&self, from: &NodeName) -> Result<(), Refusal> {
        let name = from.clone();
        let looked = read(&self.chain, move |view| {
            let member = get_member(view.state(), &name.member).map_err(state_unusable)?;
            let node = get_node(view.state(), &name).map_err(state_unusable)?;
            let takes_part = member.is_some_and(|member| member.standing == Standing::Active);
            Ok(takes_part && node.is_some_and(|node| node.role == NodeRole::Aggregator))
        });
        if looked.await.map_err(|error| refusal(&error))? {
            return Ok(());
        }
        tracing::warn!(%from, "a node that is no aggregator asks for what only aggregators get");
        Err(Refusal::new("aggregator-required", "only a registered aggregator of an active member is given that"))
    }
}

fn malformed(error: galen_types::DecodeError) -> Refusal {
    Refusal::new("request-malformed", error)
}

impl JobService for Jobs {
    fn put_opening(&self, account: AccountName, opening: JobOpening) -> BoxFuture<'_, Result<(), ServiceError>> {
        let openings = Arc::clone(&self.openings);
        Box::pin(blocking(move || openings.put(account, opening, Timestamp::now())))
    }

    fn result(
        &self,
        job: JobId,
        receipt: TransactionId,
        account: AccountName,
    ) -> BoxFuture<'_, Result<JobResult, ServiceError>> {
        Box::pin(self.read_result(job, receipt, account))
    }
}
