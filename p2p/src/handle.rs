//! The embedder's handle on a running network.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use galen_types::member::NodeRole;
use galen_types::{Hash, NodeName};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::access::Access;
use crate::bulk::BulkCommand;
use crate::control::ControlCommand;
use crate::error::{PublishError, RequestError, SendError};
use crate::file::{self, FileReader};
use crate::gossip::Topic;
use crate::limits::SHUTDOWN_TIMEOUT;
use crate::metrics::{NetworkCounters, PeerCounters};
use crate::reach;
use crate::refusal::Refusal;
use crate::registry::PeerRegistry;
use crate::request;
use crate::session::{Link, Refused};
use crate::shared::Shared;
use crate::sync::read;

/// Sends, asks, publishes, reports; cheap to clone. The network stops with [`NetworkHandle::shutdown`].
#[derive(Clone)]
pub struct NetworkHandle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) listening: Arc<Listening>,
}

/// Where this node listens.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) control: Vec<SocketAddr>,
    pub(crate) bulk: Vec<SocketAddr>,
}

/// A registered peer, connected or not.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerStatus {
    /// The node.
    pub node: NodeName,
    /// Its libp2p identity.
    pub peer_id: PeerId,
    /// Its role in the registry.
    pub role: NodeRole,
    /// The addresses it is registered with.
    pub addresses: Vec<Multiaddr>,
    /// What it may do here.
    pub access: Access,
    /// What is known while it is connected.
    pub connection: Option<PeerConnection>,
    /// Why the last handshake was refused, until one succeeds. `duplicate-identity` beside a connection: another process
    /// with the peer's key was refused here, or this process there.
    pub refusal: Option<Refusal>,
}

/// A connected peer.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerConnection {
    /// Since when.
    pub since: SystemTime,
    /// The software it says it runs.
    pub software_version: String,
    /// How far its clock was ahead of this node's at the handshake, in milliseconds (behind: negative), the time of the
    /// message on its way included.
    pub clock_difference_ms: i64,
    /// Last round trip time; none before the first ping.
    pub round_trip: Option<Duration>,
    /// Counts since it connected.
    pub counters: PeerCounters,
}

impl PeerStatus {
    /// Whether it is connected and can be asked: not one that leaves.
    #[must_use]
    pub fn can_be_asked(&self) -> bool {
        self.connection.is_some() && self.access == Access::Full
    }
}

impl NetworkHandle {
    /// Queues a raft frame of at most [`RAFT_FRAME_BYTES_MAX`](crate::limits::RAFT_FRAME_BYTES_MAX) bytes; never waits.
    /// Delivery is not promised.
    ///
    /// # Errors
    /// [`SendError`] when the frame was dropped.
    pub fn send_raft(&self, node: &NodeName, frame: Bytes) -> Result<(), SendError> {
        self.send(Link::Raft, node, frame)
    }

    /// Queues a frame of forwarded transactions of at most
    /// [`TRANSACTIONS_FRAME_BYTES_MAX`](crate::limits::TRANSACTIONS_FRAME_BYTES_MAX) bytes; never waits. Delivery is not
    /// promised: keep the transactions until they are seen in a block.
    ///
    /// # Errors
    /// [`SendError`] when the frame was dropped.
    pub fn send_transactions(&self, node: &NodeName, frame: Bytes) -> Result<(), SendError> {
        self.send(Link::Transactions, node, frame)
    }

    fn send(&self, link: Link, node: &NodeName, frame: Bytes) -> Result<(), SendError> {
        let (length, limit) = (frame.len(), link.frame_bytes_max());
        if length > limit {
            return Err(SendError::TooLarge { length, limit });
        }
        let Some(session) = self.shared.session(node) else {
            match link {
                Link::Raft => self.shared.metrics.raft_frames_dropped.increment(),
                Link::Transactions => self.shared.metrics.transactions_frames_dropped.increment(),
            }
            return Err(SendError::NotConnected(node.clone()));
        };
        if link == Link::Transactions && session.is_restricted() {
            link.counters(&self.shared, &session).dropped.iter().for_each(|counter| counter.increment());
            return Err(SendError::Leaving(node.clone()));
        }
        let queue = match link {
            Link::Raft => &session.raft,
            Link::Transactions => &session.transactions,
        };
        queue.push(frame).map_err(|refused| {
            link.counters(&self.shared, &session).dropped.iter().for_each(|counter| counter.increment());
            match refused {
                Refused::Full => SendError::Full(node.clone()),
                Refused::Closed => SendError::NotConnected(node.clone()),
            }
        })
    }

    /// Asks a peer and waits for its answer, at most `deadline` (capped at
    /// [`REQUEST_DEADLINE_MAX`](crate::limits::REQUEST_DEADLINE_MAX)). Kinds below
    /// [`REQUEST_KINDS_SYNC_END`](crate::limits::REQUEST_KINDS_SYNC_END) may have larger answers.
    ///
    /// # Errors
    /// [`RequestError`]; a refusal carries the peer's code and text.
    pub async fn request(
        &self,
        node: &NodeName,
        kind: u16,
        body: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, RequestError> {
        request::request(&self.shared, node, kind, body, deadline).await
    }

    /// Asks a peer for a file and returns its bytes as they arrive.
    ///
    /// # Errors
    /// [`RequestError`]; a refusal carries the peer's code and text.
    pub async fn open_file(&self, node: &NodeName, request: Bytes) -> Result<FileReader, RequestError> {
        file::open(&self.shared, node, request).await
    }

    /// Queues a gossip message; never waits. Delivery is not promised.
    ///
    /// # Errors
    /// [`PublishError`] when the message was dropped.
    pub fn publish(&self, topic: Topic, bytes: Bytes) -> Result<(), PublishError> {
        let (length, limit) = (bytes.len(), topic.bytes_max());
        let outcome = if length > limit {
            Err(PublishError::TooLarge { length, limit })
        } else {
            let command = ControlCommand::Publish { topic, bytes };
            self.shared.control.commands.try_send(command).map_err(|error| match error {
                TrySendError::Full(_) => PublishError::Full,
                TrySendError::Closed(_) => PublishError::Stopped,
            })
        };
        if outcome.is_err() {
            self.shared.metrics.gossip_publish_failed.increment();
        }
        outcome
    }

    /// Replaces the registry; on return it is in force. To be called whenever the chain's members or nodes change; the
    /// same registry again costs nothing. This node need not be in it; while it is, its role there is what it tells
    /// peers.
    ///
    /// Peers that are not in it any more are disconnected at once on both planes: their streams end, requests in
    /// flight fail with `not-connected`, what waits of them in the queue of events is dropped, and when they knock they
    /// are refused with `not-registered`. A peer with another key counts as gone and come: the new key is dialled. New
    /// peers are dialled at once, peers with other addresses too unless they are connected. A change of role changes
    /// no connection.
    ///
    /// A connected peer whose access becomes [`Access::OrderingOnly`] keeps its connection and its raft streams; all else
    /// with it ends as if it were gone, and is refused with `leaving` in both directions. The way back to
    /// [`Access::Full`] is a new connection, dialled at once.
    pub async fn set_registry(&self, registry: PeerRegistry) {
        let (done, applied) = oneshot::channel();
        // All fail only when the network has shut down, and then nobody is connected.
        let _ = self.shared.control.commands.send(ControlCommand::SetRegistry { registry, done }).await;
        let _ = applied.await;
        let _ = self.shared.bulk.commands.send(BulkCommand::DropUnregistered).await;
    }

    /// Sets the hash of the last recovery that this node's ledger holds; on return it is in force. Peers that announced
    /// another are disconnected, and refused with `wrong-lineage` until they announce this one.
    pub async fn set_lineage(&self, lineage: Hash) {
        let (done, applied) = oneshot::channel();
        // Both fail only when the network has shut down.
        let _ = self.shared.control.commands.send(ControlCommand::SetLineage { lineage, done }).await;
        let _ = applied.await;
    }

    /// Asks a peer to try a TCP connection to the address that this node is registered with there: whether others can
    /// reach this node. A peer tries once in [`DIAL_BACK_INTERVAL`](crate::limits::DIAL_BACK_INTERVAL).
    ///
    /// # Errors
    /// [`RequestError::Refused`] with code `unreachable` when it could not (the text says what it met at each address),
    /// `no-address` when it knows none, `dial-back-too-soon`; other variants when the peer could not be asked.
    pub async fn ask_dial_back(&self, node: &NodeName) -> Result<(), RequestError> {
        reach::ask(&self.shared, node).await
    }

    /// All registered peers but this node, in the order of their names.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerStatus> {
        let index = self.shared.registry.current();
        let sessions = read(&self.shared.sessions);
        index
            .registry
            .iter()
            .filter(|(node, ..)| **node != self.shared.node)
            .map(|(node, peer_id, registered)| PeerStatus {
                node: node.clone(),
                peer_id: *peer_id,
                role: registered.role,
                addresses: registered.addresses.clone(),
                access: registered.access,
                connection: sessions.get(node).map(|session| PeerConnection {
                    since: session.since,
                    software_version: session.software_version.clone(),
                    clock_difference_ms: self.shared.book.facts(peer_id).map_or(0, |facts| facts.clock_difference_ms),
                    round_trip: session.rtt(),
                    counters: session.metrics.snapshot(),
                }),
                refusal: self.shared.book.refusal(peer_id),
            })
            .collect()
    }

    /// Whether a peer is connected.
    #[must_use]
    pub fn is_connected(&self, node: &NodeName) -> bool {
        read(&self.shared.sessions).contains_key(node)
    }

    /// How many peers are connected (a gauge).
    #[must_use]
    pub fn connected_count(&self) -> usize {
        read(&self.shared.sessions).len()
    }

    /// Counts since the network started.
    #[must_use]
    pub fn counters(&self) -> NetworkCounters {
        self.shared.metrics.snapshot()
    }

    /// Where the control plane listens: what to register on chain.
    #[must_use]
    pub fn listen_addresses(&self) -> &[SocketAddr] {
        &self.listening.control
    }

    /// Where the bulk plane listens; peers learn its port in the handshake.
    #[must_use]
    pub fn bulk_listen_addresses(&self) -> &[SocketAddr] {
        &self.listening.bulk
    }

    /// Ends all connections and tasks, and waits for them. Events already queued can still be received; after them the
    /// receiver ends.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        if timeout(SHUTDOWN_TIMEOUT, self.shared.tasks.wait()).await.is_err() {
            tracing::warn!(code = "shutdown-slow", "some network tasks did not end in time");
        }
        self.shared.inbox.close();
    }
}
