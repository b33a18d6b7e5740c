//! The network task: takes what peers send and hands it to whom it concerns, without ever waiting for them.

use std::collections::BTreeSet;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use galen_chain::sync::decode_certificate;
use galen_ledger::Ledger;
use galen_p2p::{NetworkEvent, NetworkEvents, NetworkHandle, Refusal, Topic};
use galen_types::{Encoding, HeaderSignature, NodeName};
use tokio::sync::watch;

use super::admission::Applicant;
use super::archive::Archive;
use super::execution::{ExecutionHandle, ExecutionInput};
use super::fatal::Shutdown;
use super::kinds;
use super::knowledge::Knowledge;
use super::limits;
use super::metrics::RuntimeMetrics;
use super::ordering::OrderingInput;
use super::reading::Reading;
use super::registered::Registered;
use super::sync;
use crate::files::Files;
use crate::jobs::Jobs;
use crate::membership::Membership;

/// Most bytes of an encoded header signature: two names, two hashes, a signature.
const SIGNATURE_BYTES_MAX: usize = 512;

/// Most bytes of one frame of forwarded transactions.
const TRANSACTIONS_FRAME_BYTES_MAX: usize = galen_p2p::limits::TRANSACTIONS_FRAME_BYTES_MAX;

/// Everything the network task works with.
pub(super) struct Dispatch {
    /// The network.
    pub(super) network: NetworkHandle,
    /// What the chain says about nodes.
    pub(super) registered: watch::Receiver<Arc<Registered>>,
    /// To the ordering thread; none on nodes that do not order.
    pub(super) ordering: Option<SyncSender<OrderingInput>>,
    /// To the admission thread.
    pub(super) applicants: SyncSender<Applicant>,
    /// To the execution thread.
    pub(super) execution: ExecutionHandle,
    /// The chain's store.
    pub(super) ledger: Arc<Ledger>,
    /// What this node knows of others.
    pub(super) knowledge: Arc<Knowledge>,
    /// Serves snapshots and the past.
    pub(super) archive: Arc<Archive>,
    /// Confirms reads.
    pub(super) reading: Reading,
    /// Stored files.
    pub(super) files: Arc<Files>,
    /// Compute jobs.
    pub(super) jobs: Arc<Jobs>,
    /// Applications for membership.
    pub(super) membership: Arc<Membership>,
    /// Peers that say that another process has this node's key.
    pub(super) duplicates: Arc<Mutex<BTreeSet<NodeName>>>,
    /// Stops the node.
    pub(super) shutdown: Shutdown,
    /// Counts.
    pub(super) metrics: Arc<RuntimeMetrics>,
}

impl Dispatch {
    /// Runs until the network or the node stops.
    pub(super) async fn run(self, mut events: NetworkEvents) {
        loop {
            let event = tokio::select! {
                () = self.shutdown.stopping() => return,
                event = events.recv() => event,
            };
            match event {
                Some(event) => self.take(event),
                None => return,
            }
        }
    }

    fn take(&self, event: NetworkEvent) {
        match event {
            NetworkEvent::PeerConnected { node, role, software_version } => {
                self.duplicates.lock().unwrap_or_else(PoisonError::into_inner).remove(&node);
                tracing::info!(peer = %node, %role, version = software_version, "peer connected");
                self.count_peers();
            }
            NetworkEvent::PeerDisconnected { node } => {
                tracing::info!(peer = %node, "peer disconnected");
                self.count_peers();
                if let (Some(ordering), Some(peer)) = (&self.ordering, self.registered.borrow().number(&node)) {
                    // Where the queue is full the leader's heartbeats are missed a little later.
                    let _ = ordering.try_send(OrderingInput::PeerLost(peer));
                }
            }
            NetworkEvent::Raft { from, bytes } => {
                let (Some(ordering), Some(from)) = (&self.ordering, self.registered.borrow().number(&from)) else {
                    return;
                };
                if ordering.try_send(OrderingInput::Frame { from, bytes }).is_err() {
                    self.metrics.frames_dropped.inc();
                }
            }
            NetworkEvent::Transactions { from, bytes } => self.transactions(&from, &bytes),
            NetworkEvent::Request { from, kind, bytes, deadline, reply } => match kind {
                kinds::SYNC => {
                    tokio::spawn(sync::answer(Arc::clone(&self.ledger), bytes, reply));
                }
                kinds::KNOWLEDGE => {
                    tokio::spawn(Arc::clone(&self.knowledge).answer(from, bytes, reply));
                }
                kinds::SNAPSHOT | kinds::HISTORY => {
                    tokio::spawn(Arc::clone(&self.archive).answer(from, kind, bytes, reply));
                }
                kinds::READ_HEIGHT => {
                    tokio::spawn(self.reading.clone().answer(deadline, reply));
                }
                kinds::CONTACTS => {
                    let membership = Arc::clone(&self.membership);
                    tokio::spawn(async move { membership.answer(from, bytes, reply).await });
                }
                kinds::CARD | kinds::DOWNLOAD_KEY => {
                    let files = Arc::clone(&self.files);
                    tokio::spawn(async move { files.answer(from, kind, bytes, reply).await });
                }
                kinds::JOB_OPENING | kinds::JOB_SUMMARY | kinds::JOB_RESULT => {
                    let jobs = Arc::clone(&self.jobs);
                    tokio::spawn(async move { jobs.answer(from, kind, bytes, reply).await });
                }
                _ => reply.refuse(Refusal::new("unknown-kind", "this node does not know that kind of request")),
            },
            NetworkEvent::File { from, request, sink } => {
                let files = Arc::clone(&self.files);
                tokio::spawn(async move { files.serve(from, request, sink).await });
            }
            NetworkEvent::DuplicateIdentity { by } => self.duplicate(by),
            NetworkEvent::Gossip { topic, author, from, bytes, validation } => {
                let taken = match topic {
                    Topic::Signatures => self.signature(&bytes),
                    Topic::Announcements => match decode_certificate(&bytes) {
                        Ok(certificate) => {
                            let input = ExecutionInput::Certificate(certificate, Some(validation));
                            self.execution.offer(input);
                            return;
                        }
                        Err(_) => Taken::Malformed,
                    },
                    // Blocks are pulled by height: nobody publishes them, and what comes is not passed on.
                    Topic::Blocks => Taken::Malformed,
                };
                match taken {
                    Taken::Accepted => validation.accept(),
                    Taken::Unknown => {}
                    Taken::Malformed => {
                        tracing::warn!(%author, %from, topic = topic.name(), "gossip that is not understood");
                        validation.reject();
                    }
                }
            }
        }
    }

    fn count_peers(&self) {
        self.metrics.peers.set(i64::try_from(self.network.connected_count()).unwrap_or(i64::MAX));
    }

    /// Transactions of a peer: judged like those of clients. What finds no room is sent again by the peer.
    fn transactions(&self, from: &NodeName, bytes: &[u8]) {
        let Ok(transactions) = Vec::<Vec<u8>>::decode(bytes, TRANSACTIONS_FRAME_BYTES_MAX) else {
            tracing::warn!(%from, "a frame of transactions is malformed");
            return;
        };
        for bytes in transactions {
            if self.applicants.try_send(Applicant { bytes, reply: None }).is_err() {
                return;
            }
        }
    }

    /// A signature by somebody who is no voter here may be by one of an epoch that this node has not come to: it is
    /// neither passed on nor held against the peer.
    fn signature(&self, bytes: &[u8]) -> Taken {
        let Ok(signature) = HeaderSignature::decode(bytes, SIGNATURE_BYTES_MAX) else { return Taken::Malformed };
        let votes = self.registered.borrow().votes(&signature.voter);
        self.execution.offer(ExecutionInput::Signature(signature));
        if votes { Taken::Accepted } else { Taken::Unknown }
    }

    /// A peer says that another process runs with this node's key. One that lies must not keep the node from running, so
    /// the others get a moment to take it in.
    fn duplicate(&self, by: NodeName) {
        let mut said = self.duplicates.lock().unwrap_or_else(PoisonError::into_inner);
        tracing::warn!(%by, code = "duplicate-identity", "a peer has another process with this node's key");
        let is_first = said.is_empty();
        said.insert(by);
        drop(said);
        if is_first {
            let (duplicates, network) = (Arc::clone(&self.duplicates), self.network.clone());
            tokio::spawn(stop_if_duplicate(duplicates, network, self.shutdown.clone()));
        }
    }
}

/// Stops the node if, a while later, more peers say that its key is another process's than have taken it in.
async fn stop_if_duplicate(duplicates: Arc<Mutex<BTreeSet<NodeName>>>, network: NetworkHandle, shutdown: Shutdown) {
    tokio::select! {
        () = shutdown.stopping() => return,
        () = tokio::time::sleep(limits::DUPLICATE_PATIENCE) => {}
    }
    let said = std::mem::take(&mut *duplicates.lock().unwrap_or_else(PoisonError::into_inner)).len();
    if said > network.connected_count() {
        shutdown.fail(
            "duplicate-identity",
            format_args!(
                "{said} peers are connected to another process with this node's key: two processes with one identity \
                 would contradict each other; stop the other one, or give this machine a node of its own"
            ),
        );
    }
}

/// What became of a gossip message.
enum Taken {
    /// Handed on.
    Accepted,
    /// Not for this node to judge.
    Unknown,
    /// Not understood.
    Malformed,
}
