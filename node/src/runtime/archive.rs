//! What this node gives peers that lack much: snapshots of its ledger, and the past. A snapshot is taken when a peer asks
//! and the newest is too old; the chain goes on meanwhile, only the copying of the ledger's files holds one block up.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use galen_chain::history::{HistoryAnswer, HistoryRequest};
use galen_chain::snapshot::{SnapshotAnswer, SnapshotRequest};
use galen_ledger::snapshot::{self, SnapshotSource, Taken};
use galen_ledger::{Ledger, SnapshotError};
use galen_p2p::{Refusal, Responder};
use galen_types::{Encoding, NodeName};
use tokio::sync::Semaphore;

use super::fatal::Shutdown;
use super::kinds;
use super::limits;
use super::metrics::RuntimeMetrics;
use crate::home::NodeHome;
use crate::operate::backup;

/// Most bytes of a question.
const REQUEST_BYTES_MAX: usize = 64;

/// Serves snapshots and the past.
pub(super) struct Archive {
    ledger: Arc<Ledger>,
    folder: PathBuf,
    age_blocks: u64,
    sources: Mutex<Vec<Arc<SnapshotSource>>>,
    reads: Semaphore,
    taking: tokio::sync::Mutex<()>,
    metrics: Arc<RuntimeMetrics>,
    shutdown: Shutdown,
}

/// Removes what a crash left of snapshots and backups that were being made: their hard links and copies hold space.
pub(super) fn tidy(home: &NodeHome) {
    if let Err(error) = snapshot::tidy(&home.snapshots()) {
        tracing::warn!(%error, "what is left of a snapshot that was being made cannot be removed");
    }
    if let Err(error) = backup::tidy(home) {
        tracing::warn!(%error, "what is left of a backup that was being made cannot be removed");
    }
}

impl Archive {
    /// Opens the snapshots that a folder holds.
    pub(super) fn open(
        ledger: Arc<Ledger>,
        folder: PathBuf,
        age_blocks: u64,
        metrics: Arc<RuntimeMetrics>,
        shutdown: Shutdown,
    ) -> Self {
        let mut sources = Vec::new();
        for height in snapshot::list(&folder).unwrap_or_default() {
            match snapshot::open(&folder, height) {
                Ok(source) => sources.push(Arc::new(source)),
                Err(error) => tracing::warn!(height, %error, "a snapshot cannot be served; a new one will be taken"),
            }
        }
        Self {
            ledger,
            folder,
            age_blocks,
            sources: Mutex::new(sources),
            reads: Semaphore::new(limits::ARCHIVE_READS_MAX),
            taking: tokio::sync::Mutex::new(()),
            metrics,
            shutdown,
        }
    }

    fn sources(&self) -> Vec<Arc<SnapshotSource>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers a peer.
    pub(super) async fn answer(self: Arc<Self>, from: NodeName, kind: u16, bytes: bytes::Bytes, reply: Responder) {
        let shutdown = self.shutdown.clone();
        let answering = async {
            let Ok(_permit) = self.reads.acquire().await else { return Err(unreadable()) };
            let this = Arc::clone(&self);
            let read = tokio::task::spawn_blocking(move || this.read(kind, &bytes)).await;
            let answer = read.unwrap_or_else(|_| Err(unreadable()))?;
            if let Answer::Snapshot(SnapshotAnswer::Part(_)) = &answer {
                self.metrics.snapshot_parts_served.inc();
            }
            if kind == kinds::SNAPSHOT && self.is_outdated() && matches!(&answer, Answer::Snapshot(it) if !is_part(it))
            {
                tracing::debug!(%from, "a peer asks for a snapshot and the newest is old");
                Arc::clone(&self).take_in_background();
            }
            Ok(answer.encode())
        };
        tokio::select! {
            () = shutdown.stopping() => {}
            answer = answering => match answer {
                Ok(bytes) => reply.answer(bytes.into()),
                Err(refusal) => reply.refuse(refusal),
            }
        }
    }

    fn read(&self, kind: u16, bytes: &[u8]) -> Result<Answer, Refusal> {
        let malformed = |_| Refusal::new("malformed", "the request is not understood");
        if kind == kinds::SNAPSHOT {
            let request = SnapshotRequest::decode(bytes, REQUEST_BYTES_MAX).map_err(malformed)?;
            let answer = SnapshotAnswer::to_request(&request, &self.sources(), &self.ledger);
            return answer.map(Answer::Snapshot).map_err(|error| {
                tracing::warn!(%error, "a snapshot cannot be served");
                unreadable()
            });
        }
        let request = HistoryRequest::decode(bytes, REQUEST_BYTES_MAX).map_err(malformed)?;
        HistoryAnswer::to_request(&request, &self.ledger).map(Answer::History).map_err(|_| unreadable())
    }

    /// Whether the newest snapshot is too old to be given out.
    fn is_outdated(&self) -> bool {
        let newest = self.sources().iter().map(|source| source.height()).max().unwrap_or(0);
        let tip = self.ledger.certified_height();
        tip > 0 && (newest == 0 || tip.saturating_sub(newest) > self.age_blocks)
    }

    fn take_in_background(self: Arc<Self>) {
        tokio::spawn(async move {
            let Ok(_taking) = self.taking.try_lock() else { return };
            if let Err(error) = Arc::clone(&self).take_now().await {
                tracing::warn!(code = error.code(), %error, "a snapshot could not be taken");
            }
        });
    }

    /// Takes a snapshot now; waits where one is being taken.
    pub(super) async fn take(self: Arc<Self>) -> Result<Taken, SnapshotError> {
        let this = Arc::clone(&self);
        let _taking = self.taking.lock().await;
        this.take_now().await
    }

    async fn take_now(self: Arc<Self>) -> Result<Taken, SnapshotError> {
        let taking = tokio::task::spawn_blocking(move || {
            let taken = snapshot::take(&self.ledger, &self.folder)?;
            let source = Arc::new(SnapshotSource::open(&taken.path)?);
            {
                let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
                sources.retain(|held| held.height() != source.height());
                sources.push(source);
                sources.sort_by_key(|source| source.height());
                let surplus = sources.len().saturating_sub(limits::SNAPSHOTS_KEPT);
                sources.drain(..surplus);
            }
            snapshot::remove_old(&self.folder, limits::SNAPSHOTS_KEPT)?;
            self.metrics.snapshots_taken.inc();
            self.metrics.snapshot_pause_seconds.observe(taken.paused.as_secs_f64());
            Ok(taken)
        });
        taking.await.unwrap_or_else(|error| {
            Err(galen_ledger::LedgerError::Read(format!("taking the snapshot was interrupted: {error}")).into())
        })
    }
}

enum Answer {
    Snapshot(SnapshotAnswer),
    History(HistoryAnswer),
}

impl Answer {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Snapshot(answer) => answer.encode(),
            Self::History(answer) => answer.encode(),
        }
    }
}

fn is_part(answer: &SnapshotAnswer) -> bool {
    matches!(answer, SnapshotAnswer::Part(_))
}

fn unreadable() -> Refusal {
    Refusal::new("unreadable", "it cannot be read here now")
}
