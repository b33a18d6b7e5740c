//! The chain as the HTTP face asks for it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Instant;

use futures::future::{BoxFuture, join_all};
use galen_chain::Void;
use galen_contracts::VoidReason;
use galen_ledger::Ledger;
use galen_p2p::NetworkHandle;
use galen_types::api::{ChainStatus, Finality, PeerStatus, StreamEvent, TransactionStatus};
use galen_types::member::{EncryptionKey, NodeRole};
use galen_types::{Encoding, Genesis, Hash, NodeName, SignedTransaction, Timestamp, TransactionBody, TransactionId};
use tokio::sync::{broadcast, oneshot, watch};
use tokio::time::timeout_at;

use super::admission::{AdmissionRefusal, Applicant};
use super::chain_view::LedgerChainView;
use super::execution::Progress;
use super::fatal::Shutdown;
use super::operations::Operations;
use super::ordering::Leadership;
use super::part::Part;
use super::reading::Reading;
use super::receipts::{Receipts, Settled};
use super::registered::Registered;
use crate::http::services::{ChainService, ChainView, ErrorKind, HealthCheck, HealthService, ServiceError};
use crate::proving::ProofQuestion;

/// Everything that answers about the chain.
pub struct Chain {
    /// The founding document.
    pub(crate) genesis: Arc<Genesis>,
    /// Its hash.
    pub(crate) genesis_hash: Hash,
    /// This node.
    pub(crate) node: NodeName,
    /// What it does since its last start.
    pub(crate) role: NodeRole,
    /// File keys are wrapped to it.
    pub(crate) encryption_key: EncryptionKey,
    /// What the chain says about nodes.
    pub(crate) registered: watch::Receiver<Arc<Registered>>,
    /// The chain's store.
    pub(crate) ledger: Arc<Ledger>,
    /// Where snapshots of the ledger lie: states of earlier heights.
    pub(super) snapshots: PathBuf,
    /// Held while one of them is read: opening it takes memory.
    pub(super) past: tokio::sync::Mutex<()>,
    /// To the admission thread.
    pub(super) applicants: SyncSender<Applicant>,
    /// Waiting clients.
    pub(super) receipts: Arc<Receipts>,
    /// How far the chain has come.
    pub(crate) progress: watch::Receiver<Progress>,
    /// Who leads.
    pub(super) leadership: watch::Receiver<Leadership>,
    /// Readers of the event stream.
    pub(crate) events: broadcast::Sender<Arc<StreamEvent>>,
    /// To peers.
    pub(crate) network: NetworkHandle,
    /// Confirms reads.
    pub(super) reading: Reading,
    /// What the operator asks of the node itself.
    pub(super) operations: Operations,
    /// Stops the node.
    pub(crate) shutdown: Shutdown,
}

/// The body of full signed bytes that are stored, so that they are well-formed.
pub(super) fn body_of(bytes: &[u8]) -> Option<TransactionBody> {
    let signed = SignedTransaction::decode(bytes, bytes.len()).ok()?;
    TransactionBody::decode(&signed.body, signed.body.len()).ok()
}

impl Chain {
    /// Hands bytes to the admission thread and waits for its word.
    async fn apply(&self, bytes: Vec<u8>, deadline: Instant) -> Result<TransactionId, ServiceError> {
        let (reply, verdict) = oneshot::channel();
        match self.applicants.try_send(Applicant { bytes, reply: Some(reply) }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(refused(&AdmissionRefusal::Busy)),
            Err(TrySendError::Disconnected(_)) => return Err(stopping()),
        }
        match timeout_at(deadline.into(), verdict).await {
            Ok(Ok(Ok(id))) => Ok(id),
            Ok(Ok(Err(refusal))) => Err(refused(&refusal)),
            Ok(Err(_)) => Err(stopping()),
            Err(_) => Err(ServiceError::new(
                ErrorKind::Unavailable,
                "admission-slow",
                "the node did not get to the transaction in time; it may still take it",
            )),
        }
    }

    /// Where a transaction stands by the ledger.
    fn stored(&self, id: &TransactionId, with_body: bool) -> Result<Option<TransactionStatus>, ServiceError> {
        let view = LedgerChainView::new(&self.ledger).map_err(|error| ServiceError::internal(&error))?;
        let Some(stored) = view.transaction(id)? else { return Ok(None) };
        let header = view.header(stored.place.height)?;
        let certified = stored.place.height <= self.progress.borrow().certified_height;
        Ok(Some(TransactionStatus {
            id: *id,
            finality: if certified { Finality::Certified } else { Finality::Committed },
            height: Some(stored.place.height),
            index: Some(stored.place.index),
            time: header.map(|header| header.time),
            receipt: Some(stored.receipt),
            body: if with_body { body_of(&stored.bytes) } else { None },
        }))
    }

    /// Waits until a height is certified; whether it was before the deadline.
    async fn certified(&self, height: u64, deadline: Instant) -> bool {
        let mut progress = self.progress.clone();
        let reached = progress.wait_for(|progress| progress.certified_height >= height);
        tokio::select! {
            biased;
            reached = timeout_at(deadline.into(), reached) => matches!(reached, Ok(Ok(_))),
            () = self.shutdown.stopping() => false,
        }
    }

    async fn submit_one(
        &self,
        bytes: Vec<u8>,
        wait: Finality,
        deadline: Instant,
    ) -> Result<TransactionStatus, ServiceError> {
        // The id must be known before the transaction can be in a block, or its receipt is missed. Whether the bytes
        // are sound is admission's to say.
        let id = SignedTransaction::decode(&bytes, bytes.len())
            .map_err(|error| refused(&AdmissionRefusal::Malformed(error)))?
            .id();
        let settled = self.receipts.wait(id);
        if let Some(first) = self.stored(&id, false)? {
            return self.reach(first, wait, deadline).await;
        }
        self.apply(bytes, deadline).await?;
        let pending = TransactionStatus {
            id,
            finality: Finality::Pending,
            height: None,
            index: None,
            time: None,
            receipt: None,
            body: None,
        };
        if wait == Finality::Pending {
            return Ok(pending);
        }
        // It may have been recorded between the first look and admission, when the same bytes came twice.
        if let Some(first) = self.stored(&id, false)? {
            return self.reach(first, wait, deadline).await;
        }
        match timeout_at(deadline.into(), settled).await {
            Ok(Ok(Settled::InBlock { block, index })) => {
                let committed = TransactionStatus {
                    finality: Finality::Committed,
                    height: Some(block.block.header.height),
                    index: Some(index),
                    time: Some(block.block.header.time),
                    receipt: block.receipts.get(index as usize).cloned(),
                    ..pending
                };
                self.reach(committed, wait, deadline).await
            }
            Ok(Ok(Settled::Void(reason))) => Err(refused(&AdmissionRefusal::Void(reason))),
            Ok(Ok(Settled::Expired)) => match self.stored(&id, false)? {
                Some(first) => self.reach(first, wait, deadline).await,
                None => Err(refused_expired(&id)),
            },
            // The node stops, or the deadline is over: it was taken, and may be in a block yet.
            Ok(Err(_)) | Err(_) => Err(unknown(&id)),
        }
    }

    /// Waits for certification where that is asked for.
    async fn reach(
        &self,
        mut status: TransactionStatus,
        wait: Finality,
        deadline: Instant,
    ) -> Result<TransactionStatus, ServiceError> {
        if let Some(height) = status.height
            && wait == Finality::Certified
            && status.finality != Finality::Certified
        {
            if !self.certified(height, deadline).await {
                return Err(unknown(&status.id));
            }
            status.finality = Finality::Certified;
        }
        Ok(status)
    }
}

/// Free space below which a node says that it is not well and takes no files: log and ledger need the rest.
const DISK_FREE_MIN_BYTES: u64 = 1 << 30;

/// Whether the disk of a folder has room, in words.
///
/// # Errors
/// What to do when it has not.
pub(crate) fn free_space(folder: &std::path::Path) -> Result<String, String> {
    let stat = nix::sys::statvfs::statvfs(folder).map_err(|error| format!("free space cannot be read: {error}"))?;
    let free = stat.blocks_available().saturating_mul(stat.fragment_size());
    let mebibytes = free >> 20;
    if free >= DISK_FREE_MIN_BYTES {
        Ok(format!("the ledger takes writes; {mebibytes} MiB free"))
    } else {
        Err(format!("only {mebibytes} MiB are free on the disk: make room, a full disk stops the node"))
    }
}

fn stopping() -> ServiceError {
    ServiceError::new(ErrorKind::Unavailable, "node-stopping", "the node is stopping")
        .with_hint("ask another node of the consortium")
}

fn unknown(id: &TransactionId) -> ServiceError {
    ServiceError::new(
        ErrorKind::TimedOut,
        "outcome-unknown",
        format!("transaction {id} has not come that far while this node waited for it; it may still"),
    )
    .with_hint(format!("ask for it later: GET /v1/transactions/{id}, or send the same bytes again"))
}

fn refused_expired(id: &TransactionId) -> ServiceError {
    ServiceError::new(
        ErrorKind::Gone,
        "transaction-expired",
        format!("transaction {id} found no block before it expired"),
    )
    .with_hint("no node ordered it in time; sign it again")
}

fn refused(refusal: &AdmissionRefusal) -> ServiceError {
    let (kind, code) = match refusal {
        AdmissionRefusal::Malformed(error @ galen_types::DecodeError::Oversize { .. }) => {
            (ErrorKind::TooLarge, error.code())
        }
        AdmissionRefusal::Malformed(error) => (ErrorKind::Malformed, error.code()),
        AdmissionRefusal::Void(void) => (
            match void {
                Void::BadSignature
                | Void::Rule(
                    VoidReason::UnknownSigner(_)
                    | VoidReason::SuspendedSigner(_)
                    | VoidReason::SuspendedMember(_)
                    | VoidReason::RemovedNode(_)
                    | VoidReason::LeftMember(_),
                ) => ErrorKind::Unauthenticated,
                Void::Oversize { .. } => ErrorKind::TooLarge,
                Void::Rule(VoidReason::Expired { .. }) => ErrorKind::Gone,
                Void::Rule(VoidReason::Duplicate) => ErrorKind::Conflict,
                Void::Rule(VoidReason::RefusalQuotaExhausted { .. }) => ErrorKind::TooMany,
                Void::Rule(VoidReason::WrongChain | VoidReason::HorizonExceeded { .. }) => ErrorKind::Unprocessable,
            },
            void.code(),
        ),
        AdmissionRefusal::Mempool(refusal) => (ErrorKind::TooMany, refusal.code()),
        AdmissionRefusal::Busy => (ErrorKind::Unavailable, "admission-busy"),
        AdmissionRefusal::State => (ErrorKind::Internal, "state-unreadable"),
    };
    ServiceError::new(kind, code, refusal.to_string())
}

impl ChainService for Chain {
    fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    fn genesis_hash(&self) -> &Hash {
        &self.genesis_hash
    }

    fn node(&self) -> &NodeName {
        &self.node
    }

    fn status(&self) -> ChainStatus {
        let progress = *self.progress.borrow();
        let voters = self.registered.borrow().voters.clone();
        ChainStatus {
            chain: self.genesis.chain.clone(),
            genesis: self.genesis_hash,
            node: self.node.clone(),
            role: self.role,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            encryption_key: self.encryption_key,
            height: progress.height,
            header: progress.header,
            time: progress.time,
            certified_height: progress.certified_height,
            epoch: voters.epoch,
            voters: voters.voters.iter().map(|voter| voter.node.clone()).collect(),
            quorum: voters.quorum(),
            faults_tolerated: voters.faults_tolerated(),
            leader: self.leadership.borrow().leader.clone(),
            peers: self.network.connected_count(),
            ready: self.ready().iter().all(|check| check.ok),
        }
    }

    fn peers(&self) -> Vec<PeerStatus> {
        let status = |peer: galen_p2p::PeerStatus| PeerStatus {
            node: peer.node,
            role: peer.role,
            connected: peer.connection.is_some(),
            connected_since: peer.connection.as_ref().map(|connection| {
                let since = connection.since.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
            }),
            round_trip_us: peer
                .connection
                .and_then(|connection| connection.round_trip)
                .map(|round_trip| u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX)),
        };
        self.network.peers().into_iter().map(status).collect()
    }

    fn view(&self) -> Result<Box<dyn ChainView + '_>, ServiceError> {
        let view = LedgerChainView::new(&self.ledger).map_err(|error| ServiceError::internal(&error))?;
        Ok(Box::new(view))
    }

    fn confirm(&self, deadline: Instant) -> BoxFuture<'_, Result<(), ServiceError>> {
        Box::pin(self.reading.confirm(deadline))
    }

    fn prove(&self, question: ProofQuestion, deadline: Instant) -> BoxFuture<'_, Result<Vec<u8>, ServiceError>> {
        Box::pin(self.proof(question, deadline))
    }

    fn submit(
        &self,
        transaction: Vec<u8>,
        wait: Finality,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<TransactionStatus, ServiceError>> {
        Box::pin(self.submit_one(transaction, wait, deadline))
    }

    fn submit_many(
        &self,
        transactions: Vec<Vec<u8>>,
        wait: Finality,
        deadline: Instant,
    ) -> BoxFuture<'_, Vec<Result<TransactionStatus, ServiceError>>> {
        Box::pin(join_all(transactions.into_iter().map(move |bytes| self.submit_one(bytes, wait, deadline))))
    }

    fn wait(
        &self,
        id: TransactionId,
        wait: Finality,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<Option<TransactionStatus>, ServiceError>> {
        Box::pin(async move {
            let settled = self.receipts.wait(id);
            let mut found = self.stored(&id, true)?;
            if found.is_none() && wait != Finality::Pending {
                let _ = timeout_at(deadline.into(), settled).await;
                found = self.stored(&id, true)?;
            }
            let Some(mut status) = found else { return Ok(None) };
            if let (Finality::Certified, Some(height)) = (wait, status.height)
                && self.certified(height, deadline).await
            {
                status.finality = Finality::Certified;
            }
            Ok(Some(status))
        })
    }

    fn subscribe(&self) -> broadcast::Receiver<Arc<StreamEvent>> {
        self.events.subscribe()
    }
}

impl HealthService for Chain {
    fn live(&self) -> Vec<HealthCheck> {
        let stopping = self.shutdown.is_stopping();
        let detail = match self.shutdown.cause() {
            Some(fatal) => fatal.message,
            None if stopping => "the node is stopping".to_owned(),
            None => "all threads run".to_owned(),
        };
        vec![HealthCheck { name: "threads", ok: !stopping, detail }]
    }

    fn ready(&self) -> Vec<HealthCheck> {
        let progress = *self.progress.borrow();
        let leader = self.leadership.borrow().leader.clone();
        let behind = progress.known_height.saturating_sub(progress.height);
        let disk = self.ledger.check_writable().map_err(|error| error.to_string());
        let disk = disk.and_then(|()| free_space(self.ledger.path()));
        let mut checks = vec![
            HealthCheck {
                name: "caught-up",
                ok: behind <= super::limits::SYNC_LAG_VOTER && self.operations.is_caught_up(),
                detail: format!("at height {} of {} known", progress.height, progress.known_height),
            },
            HealthCheck { name: "disk", ok: disk.is_ok(), detail: disk.unwrap_or_else(|problem| problem) },
        ];
        if let Part::Rejoin(rejoin) = &self.operations.part {
            checks.push(HealthCheck { name: "repaired", ok: false, detail: rejoin.told() });
        }
        if self.operations.is_ordering() {
            let detail = leader.as_ref().map_or("no leader is known".to_owned(), |leader| format!("{leader} leads"));
            checks.push(HealthCheck { name: "leader-known", ok: leader.is_some(), detail });
        } else {
            let connected = self.network.connected_count();
            checks.push(HealthCheck {
                name: "peers-connected",
                ok: connected > 0,
                detail: format!("{connected} peers are connected"),
            });
        }
        checks
    }
}
