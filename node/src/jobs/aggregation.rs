//! The aggregation task of an aggregator: takes up every running job once its submission is certified, some at a time.
//! After a restart it takes up what still runs. Several aggregators may work on one job; the chain takes the first end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use galen_contracts::query::list_jobs_running;
use galen_types::JobId;
use galen_types::job::Job;
use tokio::task::{Id, JoinSet};

use super::Jobs;
use crate::files::error::state_unusable;
use crate::files::reading::read;
use crate::http::services::ServiceError;
use crate::runtime::fatal::Shutdown;

/// Jobs that are worked on at once; others wait, in the order submitted.
const JOBS_MAX: usize = 4;
/// How long to wait before a job that met a fault of this node is taken up again.
const PAUSE: Duration = Duration::from_secs(2);

impl Jobs {
    /// Works on jobs until the node stops.
    pub async fn aggregate(self: Arc<Self>, shutdown: Shutdown) {
        let mut progress = self.chain.progress.clone();
        let mut tasks: JoinSet<()> = JoinSet::new();
        let mut in_work: HashMap<Id, JobId> = HashMap::new();
        let mut seen = None;
        loop {
            let certified = progress.borrow_and_update().certified_height;
            let is_free = in_work.len() < JOBS_MAX;
            if is_free && seen != Some(certified) {
                seen = Some(certified);
                match self.waiting(in_work.values().copied().collect()).await {
                    Ok(jobs) => {
                        for job in jobs.into_iter().take(JOBS_MAX - in_work.len()) {
                            let (jobs, id) = (Arc::clone(&self), job.id);
                            let task = tasks.spawn(async move { jobs.work_on(job).await });
                            in_work.insert(task.id(), id);
                        }
                    }
                    // Logged where it was met.
                    Err(_) => seen = None,
                }
            }
            tokio::select! {
                () = shutdown.stopping() => break,
                changed = progress.changed() => if changed.is_err() { break },
                Some(ended) = tasks.join_next_with_id(), if !tasks.is_empty() => {
                    let id = match ended {
                        Ok((id, ())) => id,
                        Err(error) => {
                            tracing::error!(%error, "the work on a job broke off; it is taken up again");
                            error.id()
                        }
                    };
                    in_work.remove(&id);
                    // Others may wait for the place.
                    seen = None;
                }
                () = tokio::time::sleep(PAUSE), if seen.is_none() => {}
            }
        }
        tasks.shutdown().await;
    }

    async fn work_on(&self, job: Job) {
        let id = job.id;
        if let Err(error) = self.combine_job(job).await {
            tracing::warn!(job = %id, code = error.code, %error, "a job could not be worked on; it is tried again");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Running jobs whose submission is certified and that nobody here works on.
    async fn waiting(&self, in_work: Vec<JobId>) -> Result<Vec<Job>, ServiceError> {
        read(&self.chain, move |view| {
            // More than are in work, so that one is found if there is one.
            let running = list_jobs_running(view.state(), None, JOBS_MAX * 2).map_err(state_unusable)?;
            let certified = view.certified_height();
            Ok(running.into_iter().filter(|job| job.height <= certified && !in_work.contains(&job.id)).collect())
        })
        .await
    }
}
