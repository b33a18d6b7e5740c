//! The network task: takes what peers send and hands it to whom it concerns, without ever waiting for them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use galen_chain::sync::decode_certificate;
use galen_consensus::RaftId;
use galen_ledger::Ledger;
use galen_p2p::{NetworkEvent, NetworkEvents, NetworkHandle, Refusal, Topic};
use galen_types::{Encoding, HeaderSignature, NodeName};

use super::admission::Applicant;
use super::execution::{ExecutionHandle, ExecutionInput};
use super::fatal::Shutdown;
use super::kinds;
use super::metrics::RuntimeMetrics;
use super::ordering::OrderingInput;
use super::sync;
use crate::files::Files;
use crate::jobs::Jobs;

/// Most bytes of an encoded header signature: two names, two hashes, a signature.
const SIGNATURE_BYTES_MAX: usize = 512;

/// Most bytes of one frame of forwarded transactions.
const TRANSACTIONS_FRAME_BYTES_MAX: usize = galen_p2p::limits::TRANSACTIONS_FRAME_BYTES_MAX;

/// Everything the network task works with.
pub(super) struct Dispatch {
    /// The network.
    pub(super) network: NetworkHandle,
    /// Voters' numbers in ordering.
    pub(super) voters: HashMap<NodeName, RaftId>,
    /// To the ordering thread; none on nodes that do not order.
    pub(super) ordering: Option<SyncSender<OrderingInput>>,
    /// To the admission thread.
    pub(super) applicants: SyncSender<Applicant>,
    /// To the execution thread.
    pub(super) execution: ExecutionHandle,
    /// The chain's store.
    pub(super) ledger: Arc<Ledger>,
    /// Stored files.
    pub(super) files: Arc<Files>,
    /// Compute jobs.
    pub(super) jobs: Arc<Jobs>,
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
                tracing::info!(peer = %node, %role, version = software_version, "peer connected");
                self.count_peers();
            }
            NetworkEvent::PeerDisconnected { node } => {
                tracing::info!(peer = %node, "peer disconnected");
                self.count_peers();
            }
            NetworkEvent::Raft { from, bytes } => {
                let (Some(ordering), Some(id)) = (&self.ordering, self.voters.get(&from)) else { return };
                if ordering.try_send(OrderingInput::Frame { from: *id, bytes }).is_err() {
                    self.metrics.frames_dropped.inc();
                }
            }
            NetworkEvent::Transactions { from, bytes } => self.transactions(&from, &bytes),
            NetworkEvent::Request { from, kind, bytes, deadline: _, reply } => match kind {
                kinds::SYNC => {
                    tokio::spawn(sync::answer(Arc::clone(&self.ledger), bytes, reply));
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
            NetworkEvent::Gossip { topic, author, from, bytes, validation } => {
                let taken = match topic {
                    Topic::Signatures => self.signature(&bytes),
                    Topic::Announcements => self.certificate(&bytes),
                    // Blocks are pulled by height: nobody publishes them, and what comes is not passed on.
                    Topic::Blocks => None,
                };
                match taken {
                    Some(()) => validation.accept(),
                    None => {
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

    fn signature(&self, bytes: &[u8]) -> Option<()> {
        let signature = HeaderSignature::decode(bytes, SIGNATURE_BYTES_MAX).ok()?;
        self.voters.get(&signature.voter)?;
        self.execution.offer(ExecutionInput::Signature(signature));
        Some(())
    }

    fn certificate(&self, bytes: &[u8]) -> Option<()> {
        let certificate = decode_certificate(bytes).ok()?;
        self.execution.offer(ExecutionInput::Certificate(certificate));
        Some(())
    }
}
