//! What an operator asks of the node itself: where it stands in ordering, handing leadership over, snapshots, backups.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use futures::future::BoxFuture;
use galen_p2p::{DialTargets, dial_applicant};
use galen_types::api::NodeStorage;
use galen_types::member::NodeAddress;
use galen_types::{NodeName, PublicKey, Timestamp};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::archive::Archive;
use super::limits;
use super::loaded::multiaddress;
use super::metrics::RuntimeMetrics;
use super::ordering::{OrderingInput, OrderingReport, TransferRefusal};
use super::part::Part;
use super::service::Chain;
use super::standing::Standing;
use crate::home::NodeHome;
use crate::http::services::{BackupSummary, ErrorKind, OperatorService, OrderingStatus, ServiceError, SnapshotSummary};
use crate::operate::backup::backup_into_home;

/// What operations on the node work with.
pub(super) struct Operations {
    /// Serves snapshots.
    pub(super) archive: Arc<Archive>,
    /// The node's home.
    pub(super) home: NodeHome,
    /// To the ordering thread; none on nodes that do not order.
    pub(super) ordering: Option<SyncSender<OrderingInput>>,
    /// Its account of itself.
    pub(super) report: watch::Receiver<OrderingReport>,
    /// How the node takes part.
    pub(super) standing: watch::Receiver<Standing>,
    /// Whether it holds what its peers hold.
    pub(super) caught_up: watch::Receiver<bool>,
    /// What it was started as.
    pub(super) part: Part,
    /// Length of a tick.
    pub(super) tick: Duration,
    /// The applicants' hosts that this node dials.
    pub(super) dials: DialTargets,
    /// Counts.
    pub(super) metrics: Arc<RuntimeMetrics>,
    /// Held while a backup is made.
    pub(super) backing_up: tokio::sync::Mutex<()>,
}

impl Operations {
    /// Whether this node orders.
    pub(super) fn is_ordering(&self) -> bool {
        self.ordering.is_some()
    }

    /// Whether this node holds what its peers hold, as far as it knows; one that orders gets its blocks by that.
    pub(super) fn is_caught_up(&self) -> bool {
        self.is_ordering() || *self.caught_up.borrow()
    }
}

fn not_leader(leader: Option<&NodeName>) -> ServiceError {
    let error = ServiceError::new(ErrorKind::Conflict, "not-leader", "this node does not lead");
    match leader {
        Some(leader) => error.with_hint(format!("{leader} leads: ask it")),
        None => error.with_hint("nobody leads now; ask again in a second"),
    }
}

fn refused(refusal: &TransferRefusal) -> ServiceError {
    match refusal {
        TransferRefusal::NotLeader { leader } => not_leader(leader.as_ref()),
        TransferRefusal::Nobody => ServiceError::new(ErrorKind::Conflict, "transfer-nobody", refusal.to_string())
            .with_hint("start another voter, and wait until it has caught up"),
        TransferRefusal::NotVoter(_) => {
            ServiceError::new(ErrorKind::Unprocessable, "transfer-not-voter", refusal.to_string())
        }
        TransferRefusal::NotNow(_) => ServiceError::new(ErrorKind::Conflict, "transfer-not-now", refusal.to_string()),
    }
}

impl Chain {
    /// Whether this node holds what its peers hold, as far as it knows.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.operations.is_caught_up()
    }

    /// Whether this node leads.
    pub(super) fn leads(&self) -> bool {
        self.leadership.borrow().is_self
    }

    /// Hands leadership over and waits until another leads.
    pub(super) async fn transfer(&self, to: Option<NodeName>) -> Result<NodeName, ServiceError> {
        let Some(ordering) = &self.operations.ordering else {
            return Err(not_leader(self.leadership.borrow().leader.as_ref()));
        };
        let (reply, accepted) = oneshot::channel();
        let busy = || ServiceError::new(ErrorKind::Unavailable, "ordering-busy", "the node takes no order now");
        ordering.try_send(OrderingInput::Transfer { to, reply }).map_err(|_| busy())?;
        let to = accepted.await.map_err(|_| busy())?.map_err(|refusal| refused(&refusal))?;
        let mut leadership = self.leadership.clone();
        let other = leadership.wait_for(|now| !now.is_self && now.leader.is_some());
        match timeout(limits::TRANSFER_PATIENCE, other).await {
            Ok(Ok(now)) => Ok(now.leader.clone().unwrap_or(to)),
            _ => Err(ServiceError::new(
                ErrorKind::TimedOut,
                "transfer-slow",
                format!("{to} did not take leadership over in time; this node leads on"),
            )
            .with_hint("see whether it is connected and caught up, or name another")),
        }
    }
}

impl OperatorService for Chain {
    fn ordering(&self) -> OrderingStatus {
        let operations = &self.operations;
        let standing = operations.standing.borrow().clone();
        let change = operations.report.borrow().change.clone();
        let ticks = u32::try_from(change.since_ticks).unwrap_or(u32::MAX);
        let raft_id = match &operations.part {
            Part::Order { raft_id } => *raft_id,
            Part::Follow { .. } | Part::Rejoin(_) => self.registered.borrow().own_active().map_or(0, |own| own.raft_id),
        };
        OrderingStatus {
            participation: standing.participation,
            detail: standing.detail,
            raft_id,
            joint: change.joint,
            change_pending: change.pending,
            change_pending_seconds: if change.pending { operations.tick.saturating_mul(ticks).as_secs() } else { 0 },
            blocked_by: change.blocked_by,
            history_from: self.ledger.view().and_then(|view| view.bodies_from()).unwrap_or(1),
        }
    }

    fn storage(&self) -> NodeStorage {
        let metrics = &self.operations.metrics;
        let scrubbed = u64::try_from(metrics.scrub_completed.get()).ok().filter(|seconds| *seconds > 0);
        NodeStorage {
            scrubbed: scrubbed.map(|seconds| Timestamp(seconds.saturating_mul(1000))),
            files_damaged: u64::try_from(metrics.files_damaged.get()).unwrap_or(0),
        }
    }

    fn transfer_leadership(&self, to: Option<NodeName>) -> BoxFuture<'_, Result<NodeName, ServiceError>> {
        Box::pin(self.transfer(to))
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<SnapshotSummary, ServiceError>> {
        Box::pin(async move {
            let taken = Arc::clone(&self.operations.archive)
                .take()
                .await
                .map_err(|error| ServiceError::new(ErrorKind::Conflict, error.code(), error.to_string()))?;
            let manifest = taken.manifest;
            let (height, header) = (manifest.header.height, manifest.header.hash());
            Ok(SnapshotSummary { height, header, rows: manifest.rows, bytes: manifest.bytes })
        })
    }

    fn backup(&self) -> BoxFuture<'_, Result<BackupSummary, ServiceError>> {
        Box::pin(async move {
            let Ok(_alone) = self.operations.backing_up.try_lock() else {
                let busy = ServiceError::new(ErrorKind::Conflict, "backup-running", "a backup is being made already");
                return Err(busy.with_hint("wait until it has ended"));
            };
            let (home, ledger) = (self.operations.home.clone(), Arc::clone(&self.ledger));
            let made = tokio::task::spawn_blocking(move || backup_into_home(&home, &ledger));
            let made = made.await.map_err(|error| ServiceError::internal(&error))?;
            let made = made.map_err(|error| {
                tracing::error!(code = error.code(), %error, "a backup could not be made");
                ServiceError::new(
                    ErrorKind::Internal,
                    error.code(),
                    "the backup could not be made; the node's log says why",
                )
            })?;
            tracing::info!(
                folder = %made.folder.display(),
                height = made.ledger.height,
                not_in_it = ?made.missing,
                "a backup was made"
            );
            Ok(BackupSummary { folder: made.folder, height: made.ledger.height, bytes: made.bytes })
        })
    }

    fn dial_back(&self, address: NodeAddress, key: PublicKey) -> BoxFuture<'_, Result<bool, ServiceError>> {
        Box::pin(async move {
            let Ok(target) = multiaddress(&address) else { return Ok(false) };
            let (targets, patience) = (self.operations.dials, limits::DIAL_BACK_PATIENCE);
            Ok(dial_applicant(&target, key.as_bytes(), targets, patience).await)
        })
    }
}
