//! What the network's tasks share.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use galen_types::NodeName;
use libp2p::swarm::Stream;
use libp2p::{Multiaddr, PeerId, StreamProtocol};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::address::with_port;
use crate::book::Book;
use crate::bulk::BulkCommand;
use crate::control::ControlCommand;
use crate::inbox::Inbox;
use crate::limits::STREAM_OPEN_TIMEOUT;
use crate::metrics::Metrics;
use crate::own::Own;
use crate::protocol::Protocols;
use crate::registry::SharedRegistry;
use crate::session::Session;
use crate::streams::OpenError;
use crate::sync::{lock, read};

/// See the module's description.
pub(crate) struct Shared {
    pub(crate) node: NodeName,
    pub(crate) own: Arc<Own>,
    pub(crate) registry: Arc<SharedRegistry>,
    pub(crate) book: Arc<Book>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) protocols: Protocols,
    pub(crate) inbox: Arc<Inbox>,
    /// Connected peers.
    pub(crate) sessions: RwLock<HashMap<NodeName, Arc<Session>>>,
    pub(crate) control: ControlPort,
    pub(crate) bulk: BulkPort,
    /// Cancelled on shutdown.
    pub(crate) stop: CancellationToken,
    /// Every task of the network.
    pub(crate) tasks: TaskTracker,
}

impl Shared {
    /// The session of a connected peer.
    pub(crate) fn session(&self, node: &NodeName) -> Option<Arc<Session>> {
        read(&self.sessions).get(node).cloned()
    }

    /// The session of a connected peer, by its key.
    pub(crate) fn session_of(&self, peer: &PeerId) -> Option<Arc<Session>> {
        let node = self.registry.name(peer)?;
        self.session(&node).filter(|session| session.peer == *peer)
    }

    /// Where a peer's bulk plane is reached: its hosts (those of its control connections, then those registered) with
    /// the port that it named in its handshake.
    pub(crate) fn bulk_addresses(&self, session: &Session) -> Vec<Multiaddr> {
        let Some(facts) = self.book.facts(&session.peer) else {
            return Vec::new();
        };
        let mut addresses = lock(&session.remotes).clone();
        if let Some((_, registered)) = self.registry.current().registry.get(&session.node) {
            addresses.extend(registered.addresses.iter().cloned());
        }
        let mut bulk: Vec<_> = addresses.iter().filter_map(|address| with_port(address, facts.bulk_port)).collect();
        bulk.sort();
        bulk.dedup();
        bulk
    }
}

/// The way to the control plane's task.
#[derive(Clone)]
pub(crate) struct ControlPort {
    pub(crate) commands: mpsc::Sender<ControlCommand>,
}

impl ControlPort {
    pub(crate) async fn open(&self, peer: PeerId, protocol: StreamProtocol) -> Result<Stream, OpenError> {
        let (reply, outcome) = oneshot::channel();
        open(&self.commands, ControlCommand::Open { peer, protocol, reply }, outcome).await
    }
}

/// The way to the bulk plane's task.
#[derive(Clone)]
pub(crate) struct BulkPort {
    pub(crate) commands: mpsc::Sender<BulkCommand>,
}

impl BulkPort {
    /// Opens a stream, dialling one of the addresses first if there is no bulk connection.
    pub(crate) async fn open(
        &self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        protocol: StreamProtocol,
    ) -> Result<Stream, OpenError> {
        let (reply, outcome) = oneshot::channel();
        open(&self.commands, BulkCommand::Open { peer, addresses, protocol, reply }, outcome).await
    }
}

async fn open<C>(
    commands: &mpsc::Sender<C>,
    command: C,
    outcome: oneshot::Receiver<Result<Stream, OpenError>>,
) -> Result<Stream, OpenError> {
    let open = async {
        commands.send(command).await.map_err(|_| OpenError::NotConnected)?;
        // The sender is dropped when the connection ends before the stream is open.
        outcome.await.unwrap_or(Err(OpenError::NotConnected))
    };
    timeout(STREAM_OPEN_TIMEOUT, open).await.unwrap_or(Err(OpenError::Slow))
}
