//! The behaviour that opens and accepts streams on a peer's newest connection, and tells when peers come and go.
//!
//! `libp2p-stream` does the like, but picks a connection at random, drops inbound streams that are not taken in time,
//! and dials by itself; ordering and admission need these to be decided here.

mod handler;

use std::collections::{HashMap, VecDeque};
use std::task::{Context, Poll, Waker};

use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, Stream, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, StreamProtocol};
use tokio::sync::oneshot;

use handler::Handler;
pub(crate) use handler::OpenStream;

/// Why a stream could not be opened.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("the peer is not connected")]
    NotConnected,
    #[error("the peer does not speak the protocol")]
    Unsupported,
    #[error("the connection broke while a stream was opened: {0}")]
    Broken(String),
    #[error("the stream was not opened in time")]
    Slow,
}

/// Where the outcome of opening a stream goes.
pub(crate) type OpenReply = oneshot::Sender<Result<Stream, OpenError>>;

/// What happened on the connections, in order.
#[derive(Debug)]
pub(crate) enum StreamsEvent {
    /// A connection stands; its handshake is done.
    Established { peer: PeerId, remote: Multiaddr },
    /// A connection ended.
    Closed { peer: PeerId, last: bool },
    /// A peer opened a stream.
    Inbound { peer: PeerId, protocol: StreamProtocol, stream: Stream },
}

/// See the module's description.
pub(crate) struct Streams {
    protocols: Vec<StreamProtocol>,
    keep_alive: bool,
    connections: HashMap<PeerId, Vec<ConnectionId>>,
    queue: VecDeque<ToSwarm<StreamsEvent, OpenStream>>,
    waker: Option<Waker>,
}

impl Streams {
    /// Accepts streams of these protocols. With `keep_alive`, connections stay open without streams.
    pub(crate) fn new(protocols: Vec<StreamProtocol>, keep_alive: bool) -> Self {
        Self { protocols, keep_alive, connections: HashMap::new(), queue: VecDeque::new(), waker: None }
    }

    /// Opens a stream on the newest connection of the peer; the outcome goes to `reply`.
    pub(crate) fn open(&mut self, peer: PeerId, protocol: StreamProtocol, reply: OpenReply) {
        let Some(connection) = self.connections.get(&peer).and_then(|connections| connections.last()) else {
            let _ = reply.send(Err(OpenError::NotConnected));
            return;
        };
        self.push(ToSwarm::NotifyHandler {
            peer_id: peer,
            handler: NotifyHandler::One(*connection),
            event: OpenStream { protocol, reply },
        });
    }

    pub(crate) fn is_connected(&self, peer: &PeerId) -> bool {
        self.connections.contains_key(peer)
    }

    fn push(&mut self, event: ToSwarm<StreamsEvent, OpenStream>) {
        self.queue.push_back(event);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn handler(&self) -> Handler {
        Handler::new(self.protocols.clone(), self.keep_alive)
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Handler;
    type ToSwarm = StreamsEvent;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished { peer_id, connection_id, endpoint, .. }) => {
                self.connections.entry(peer_id).or_default().push(connection_id);
                let (ConnectedPoint::Dialer { address: remote, .. }
                | ConnectedPoint::Listener { send_back_addr: remote, .. }) = endpoint;
                let remote = remote.clone();
                self.push(ToSwarm::GenerateEvent(StreamsEvent::Established { peer: peer_id, remote }));
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
                let Some(connections) = self.connections.get_mut(&peer_id) else {
                    return;
                };
                connections.retain(|connection| *connection != connection_id);
                let last = connections.is_empty();
                if last {
                    self.connections.remove(&peer_id);
                }
                self.push(ToSwarm::GenerateEvent(StreamsEvent::Closed { peer: peer_id, last }));
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        let (protocol, stream) = event;
        self.push(ToSwarm::GenerateEvent(StreamsEvent::Inbound { peer, protocol, stream }));
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(event) = self.queue.pop_front() {
            return Poll::Ready(event);
        }
        self.waker = Some(context.waker().clone());
        Poll::Pending
    }
}
