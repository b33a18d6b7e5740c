//! A site: answers an aggregator for a dataset of its own member. What it may answer is judged by its own ledger, and the
//! stored file is checked against the chain while it is read.
//!
//! ```text
//! question -> job certified here, running, dataset in it -> still permitted -> file read, verified, summarised
//!          -> reply kept on disk -> digest or refusal recorded on the chain -> reply
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use galen_aggregate::{Refusal as DisclosureRefusal, SummaryRequest, TableError, summarise};
use galen_contracts::query::{get_dataset, get_job, get_parameters, get_version};
use galen_contracts::{Failure, job_site_permitted};
use galen_p2p::Refusal;
use galen_types::api::Finality;
use galen_types::dataset::VersionContent;
use galen_types::job::{Job, JobSite, JobState, SiteAnswer, SiteGiven};
use galen_types::parameters::Disclosure;
use galen_types::{Call, DatasetName, JobId, Outcome, Slug, TransactionId};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::answers::Answers;
use super::protocol::{Opening, SiteReply, SummaryQuestion};
use crate::files::error::{disk_failed, refusal, state_unusable};
use crate::files::reading::{block_time, blocking, read, wait_certified};
use crate::files::{Files, TableFault};
use crate::http::services::{ChainView, ServiceError};
use crate::runtime::{Chain, NodeSigner};

/// How long an aggregator waits for a reply before it is told that work goes on.
const REPLY_WITHIN: Duration = Duration::from_secs(15);
/// Tables that are read at once; others wait.
const TABLES_MAX: usize = 2;
/// The rule by which a site refuses when its stored file is not the one that the chain names.
const INTEGRITY_FAILURE: &str = "integrity-failure";

/// The code by which a site and the chain say that a job has ended.
pub(crate) const JOB_NOT_RUNNING: &str = "job-not-running";

type Work = Shared<BoxFuture<'static, Result<Arc<SiteReply>, Refusal>>>;

/// This node as a site.
pub(crate) struct Site {
    files: Arc<Files>,
    chain: Arc<Chain>,
    signer: NodeSigner,
    answers: Arc<Answers>,
    tables: Semaphore,
    /// Questions that are being answered.
    working: Mutex<HashMap<(JobId, DatasetName), Work>>,
}

/// A question as this node's own ledger sees it.
struct Matter {
    job: Job,
    site: JobSite,
    content: VersionContent,
    disclosure: Disclosure,
    /// The rule by which the dataset may not be used any more.
    lost: Option<Slug>,
}

impl Site {
    pub(crate) fn new(files: Arc<Files>, chain: Arc<Chain>, signer: NodeSigner, answers: Arc<Answers>) -> Self {
        let tables = Semaphore::new(TABLES_MAX);
        Self { files, chain, signer, answers, tables, working: Mutex::default() }
    }

    /// Answers a question of an aggregator. Asked twice it gives the same answer.
    pub(crate) async fn answer(self: &Arc<Self>, question: SummaryQuestion) -> Result<Arc<SiteReply>, Refusal> {
        if question.dataset.member != self.chain.node.member {
            return Err(Refusal::new("wrong-member", "the dataset is not of this node's member"));
        }
        // The aggregator may be some blocks ahead.
        let certified = wait_certified(&self.chain, TransactionId(question.job.0)).await;
        if !certified.map_err(|error| refusal(&error))? {
            return Err(Refusal::new("job-not-certified", "the job is not certified here yet; ask again"));
        }
        // Nothing is begun, and no place taken, for a job that is not there.
        self.matter(&question).await?;
        let work = self.work(question);
        match timeout(REPLY_WITHIN, work).await {
            Ok(reply) => reply,
            Err(_) => Ok(Arc::new(SiteReply::Working)),
        }
    }

    /// The work for a question, begun now if it is not under way.
    fn work(self: &Arc<Self>, question: SummaryQuestion) -> Work {
        let key = (question.job, question.dataset.clone());
        let mut working = self.working.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(work) = working.get(&key) {
            return work.clone();
        }
        let site = Arc::clone(self);
        let ended = key.clone();
        let work = async move {
            let outcome = tokio::select! {
                () = site.chain.shutdown.stopping() => Err(Refusal::new("node-stopping", "the node is stopping")),
                outcome = site.reply(&question) => outcome.map(Arc::new),
            };
            // What is final is on the disk; what failed is tried anew when it is asked again.
            site.working.lock().unwrap_or_else(PoisonError::into_inner).remove(&ended);
            outcome
        };
        let work = work.boxed().shared();
        working.insert(key, work.clone());
        // Goes on when the aggregator stops waiting.
        tokio::spawn(work.clone());
        work
    }

    /// The question as the newest certified or applied state sees it.
    async fn matter(&self, question: &SummaryQuestion) -> Result<Matter, Refusal> {
        let (id, dataset) = (question.job, question.dataset.clone());
        let matter = read(&self.chain, move |view| matter_of(view, id, &dataset)).await;
        matter.map_err(|error| refusal(&error))?
    }

    async fn reply(&self, question: &SummaryQuestion) -> Result<SiteReply, Refusal> {
        let matter = self.matter(question).await?;
        let (job, dataset) = (question.job, &question.dataset);
        let kept = self.kept(job, dataset).await?;
        match (&matter.site.answer, kept) {
            (Some(recorded), Some(kept)) if kept.given(job, dataset).as_ref() == Some(recorded) => {
                return match (&kept, &matter.lost) {
                    // Recorded before the permission was taken back: on the chain for good, and not given out any more.
                    (SiteReply::Summary { .. }, Some(rule)) => {
                        Err(Refusal::new(rule.as_str(), "the dataset may no longer be used for the job"))
                    }
                    _ => Ok(kept),
                };
            }
            // Recorded by another node of the member, or before this node lost its disk: a refusal is known all the same.
            (Some(SiteGiven::Refused { rule }), _) => return Ok(SiteReply::Refused { rule: rule.clone() }),
            (Some(SiteGiven::Summary { .. }), _) => {
                return Err(Refusal::new("answered-elsewhere", "the recorded summary is not at this node"));
            }
            (None, Some(kept)) => return self.record(job, dataset, kept).await,
            (None, None) => {}
        }
        let request = request_of(&matter.job, question.opening.as_ref())?;
        let reply = match &matter.lost {
            Some(rule) => SiteReply::Refused { rule: rule.clone() },
            None => self.summary(&matter, &request).await?,
        };
        self.keep(job, dataset, reply.clone()).await?;
        self.record(job, dataset, reply).await
    }

    /// Reads the table. A refusal by a disclosure rule, or of a file that was changed, is a final reply too.
    async fn summary(&self, matter: &Matter, request: &SummaryRequest) -> Result<SiteReply, Refusal> {
        let _place = self.tables.acquire().await.map_err(|error| Refusal::new("site-failed", error))?;
        let version = &matter.site.version;
        let fault = match self.files.open_table(matter.content.ciphertext).await {
            Err(fault) => fault,
            Ok(table) => {
                let (request, disclosure, cohort_min) =
                    (request.clone(), matter.disclosure.clone(), matter.site.cohort_min);
                let summarised = blocking(move || Ok(summarise(table, &request, &disclosure, cohort_min))).await;
                match summarised.map_err(|error| refusal(&error))? {
                    Ok(summary) => {
                        let mut salt = [0; 32];
                        getrandom::fill(&mut salt).map_err(|error| Refusal::new("site-failed", error))?;
                        return Ok(SiteReply::Summary { bytes: summary.to_bytes(), salt });
                    }
                    Err(DisclosureRefusal::Unreadable(TableError::Io(error))) => self.files.table_fault(&error).await,
                    Err(refused) => {
                        if let DisclosureRefusal::Unreadable(cause) = &refused {
                            tracing::warn!(%version, %cause, "a table cannot be computed over");
                        }
                        return Ok(SiteReply::Refused { rule: refused.slug() });
                    }
                }
            }
        };
        match fault {
            TableFault::Integrity(finding) => {
                self.files.report_tampering(version, &finding).await;
                let rule = Slug::parse(INTEGRITY_FAILURE).map_err(|error| Refusal::new("site-failed", error))?;
                Ok(SiteReply::Refused { rule })
            }
            TableFault::Elsewhere => {
                Err(Refusal::new("file-elsewhere", "this node does not keep the file; ask another node of the member"))
            }
            TableFault::Failed(cause) => {
                tracing::error!(%version, cause, "a stored table cannot be read");
                Err(Refusal::new("site-failed", "the table cannot be read now; the site's log says why"))
            }
        }
    }

    /// Records a reply on the chain and waits until it is in a block.
    async fn record(&self, job: JobId, dataset: &DatasetName, reply: SiteReply) -> Result<SiteReply, Refusal> {
        let Some(given) = reply.given(job, dataset) else {
            return Err(Refusal::new("site-failed", "a reply that is not final cannot be recorded"));
        };
        let rule = match self.submit(job, dataset, given.clone()).await? {
            None => {
                tracing::info!(%job, %dataset, ?reply, "answered a job");
                return Ok(reply);
            }
            Some(rule) => rule,
        };
        match rule.as_str() {
            // Taken back after it was judged here. The chain has the last word.
            "job-permission-lost" => {
                let refused = SiteReply::Refused { rule };
                self.keep(job, dataset, refused.clone()).await?;
                let SiteReply::Refused { rule } = &refused else { return Ok(refused) };
                match self.submit(job, dataset, SiteGiven::Refused { rule: rule.clone() }).await? {
                    None => Ok(refused),
                    Some(rule) => {
                        Err(Refusal::new("site-failed", format_args!("the chain refuses the answer: {rule}")))
                    }
                }
            }
            // By this node, when it did not learn that its transaction was recorded; or by another node of the member.
            "already-answered" => {
                let (id, name) = (job, dataset.clone());
                let recorded = read(&self.chain, move |view| matter_of(view, id, &name)).await;
                let recorded = recorded.map_err(|error| refusal(&error))??.site.answer;
                if recorded == Some(given) {
                    return Ok(reply);
                }
                self.forget(job, dataset).await?;
                match recorded {
                    Some(SiteGiven::Refused { rule }) => Ok(SiteReply::Refused { rule }),
                    _ => Err(Refusal::new("answered-elsewhere", "the recorded summary is not at this node")),
                }
            }
            JOB_NOT_RUNNING => Err(Refusal::new(JOB_NOT_RUNNING, "the job has ended")),
            rule => Err(Refusal::new("site-failed", format_args!("the chain refuses the answer: {rule}"))),
        }
    }

    /// The rule by which the chain refused the answer, if it did.
    async fn submit(&self, job: JobId, dataset: &DatasetName, given: SiteGiven) -> Result<Option<Slug>, Refusal> {
        let call = Call::AnswerJob { job, answer: SiteAnswer { dataset: dataset.clone(), given } };
        let status = self.signer.submit(call, Finality::Committed).await.map_err(|error| refusal(&error))?;
        match status.receipt.map(|receipt| receipt.outcome) {
            Some(Outcome::Applied) => Ok(None),
            Some(Outcome::Refused { rule, explanation }) => {
                tracing::warn!(%job, %dataset, %rule, explanation, "the chain refuses this site's answer");
                Ok(Some(rule))
            }
            None => Err(Refusal::new("site-failed", "the answer has no receipt")),
        }
    }

    async fn kept(&self, job: JobId, dataset: &DatasetName) -> Result<Option<SiteReply>, Refusal> {
        let (answers, dataset) = (Arc::clone(&self.answers), dataset.clone());
        let kept = blocking(move || answers.get(job, &dataset).map_err(disk_failed)).await;
        kept.map_err(|error| refusal(&error))
    }

    async fn keep(&self, job: JobId, dataset: &DatasetName, reply: SiteReply) -> Result<(), Refusal> {
        let (answers, dataset) = (Arc::clone(&self.answers), dataset.clone());
        let kept = blocking(move || answers.put(job, &dataset, &reply).map_err(disk_failed)).await;
        kept.map_err(|error| refusal(&error))
    }

    async fn forget(&self, job: JobId, dataset: &DatasetName) -> Result<(), Refusal> {
        let (answers, dataset) = (Arc::clone(&self.answers), dataset.clone());
        let removed = blocking(move || answers.remove(job, &dataset).map_err(disk_failed)).await;
        removed.map(|_| ()).map_err(|error| refusal(&error))
    }
}

/// What the ledger says about a job's dataset; a job that takes no answers is the inner refusal.
fn matter_of(view: &dyn ChainView, id: JobId, dataset: &DatasetName) -> Result<Result<Matter, Refusal>, ServiceError> {
    let state = view.state();
    let unknown = |text: &str| Ok(Err(Refusal::new("job-unknown", text)));
    let Some(job) = get_job(state, id).map_err(state_unusable)? else { return unknown("there is no such job") };
    if job.height > view.certified_height() {
        return Ok(Err(Refusal::new("job-not-certified", "the job is not certified here yet; ask again")));
    }
    if job.state != JobState::Running {
        return Ok(Err(Refusal::new(JOB_NOT_RUNNING, "the job has ended")));
    }
    let Some(site) = job.sites.iter().find(|site| site.version.dataset == *dataset).cloned() else {
        return unknown("the dataset is not part of the job");
    };
    let recorded = get_dataset(state, dataset).map_err(state_unusable)?;
    let version = get_version(state, dataset, site.version.version).map_err(state_unusable)?;
    let (Some(_), Some(version)) = (recorded, version) else { return unknown("the dataset is not on the chain") };
    let lost = match job_site_permitted(state, block_time(view)?, &job, &site) {
        Ok(()) => None,
        Err(Failure::Refused(refusal)) => Some(refusal.rule()),
        Err(Failure::State(error)) => return Err(state_unusable(error)),
    };
    let disclosure = get_parameters(state).map_err(state_unusable)?.disclosure;
    Ok(Ok(Matter { job, site, content: version.content, disclosure, lost }))
}

/// The request that a job makes, its filter opened.
pub(crate) fn request_of(job: &Job, opening: Option<&Opening>) -> Result<SummaryRequest, Refusal> {
    let filter = match (&job.specification.filter, opening) {
        (None, _) => None,
        (Some(commitment), Some(opening)) => match opening.open(commitment) {
            Some(filter) => Some(filter),
            None => return Err(Refusal::new("opening-differs", "the filter is not the one that the job commits to")),
        },
        (Some(_), None) => return Err(Refusal::new("opening-missing", "the job has a filter; send its opening")),
    };
    SummaryRequest::of_job(&job.specification, filter).map_err(|error| Refusal::new(error.code(), error))
}

/// Which of some jobs have ended.
pub(crate) async fn ended(chain: &Chain, jobs: Vec<JobId>) -> Result<Vec<JobId>, ServiceError> {
    read(chain, move |view| {
        let mut ended = Vec::new();
        for job in jobs {
            let found = get_job(view.state(), job).map_err(state_unusable)?;
            if found.is_some_and(|found| found.state != JobState::Running) {
                ended.push(job);
            }
        }
        Ok(ended)
    })
    .await
}
