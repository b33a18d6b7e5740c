//! Gossip with the peers that have full access, and none with the others: gossipsub floods what it publishes to every
//! connection that it knows, so it is shown only those of peers with full access.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use either::Either;
use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished, DialFailure, ListenFailure};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId, gossipsub};

use crate::access::Access;
use crate::gossip;
use crate::registry::SharedRegistry;

/// See the module's description.
pub(crate) struct SelectiveGossip {
    inner: gossip::Behaviour,
    registry: Arc<SharedRegistry>,
    /// Connections that gossip has made a handler for and that are not established yet.
    arriving: HashMap<ConnectionId, PeerId>,
    /// Connections that gossip knows, oldest first.
    shown: HashMap<PeerId, Vec<(ConnectionId, ConnectedPoint)>>,
}

impl SelectiveGossip {
    pub(crate) fn new(inner: gossip::Behaviour, registry: Arc<SharedRegistry>) -> Self {
        Self { inner, registry, arriving: HashMap::new(), shown: HashMap::new() }
    }

    /// Gossipsub itself.
    pub(crate) fn inner(&mut self) -> &mut gossip::Behaviour {
        &mut self.inner
    }

    /// Ends gossip with a peer whose connections stay: gossipsub is told that they are closed. There is no way back but a
    /// new connection.
    pub(crate) fn hide(&mut self, peer: &PeerId) {
        let mut connections = self.shown.remove(peer).unwrap_or_default();
        while let Some((connection_id, endpoint)) = connections.pop() {
            self.inner.on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed {
                peer_id: *peer,
                connection_id,
                endpoint: &endpoint,
                cause: None,
                remaining_established: connections.len(),
            }));
        }
    }

    fn is_shown(&self, peer: &PeerId, connection: ConnectionId) -> bool {
        self.shown.get(peer).is_some_and(|shown| shown.iter().any(|(id, _)| *id == connection))
    }
}

impl NetworkBehaviour for SelectiveGossip {
    type ConnectionHandler = Either<THandler<gossip::Behaviour>, dummy::ConnectionHandler>;
    type ToSwarm = gossipsub::Event;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if self.registry.access(&peer) != Some(Access::Full) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        let handler = self.inner.handle_established_inbound_connection(connection, peer, local, remote)?;
        self.arriving.insert(connection, peer);
        Ok(Either::Left(handler))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if self.registry.access(&peer) != Some(Access::Full) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        let handler = self.inner.handle_established_outbound_connection(connection, peer, address, role, port)?;
        self.arriving.insert(connection, peer);
        Ok(Either::Left(handler))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(mut established) => {
                let ConnectionEstablished { peer_id, connection_id, endpoint, .. } = established;
                if self.arriving.remove(&connection_id).is_some() {
                    let shown = self.shown.entry(peer_id).or_default();
                    established.other_established = shown.len();
                    shown.push((connection_id, endpoint.clone()));
                    self.inner.on_swarm_event(FromSwarm::ConnectionEstablished(established));
                }
            }
            FromSwarm::ConnectionClosed(mut closed) => {
                if self.is_shown(&closed.peer_id, closed.connection_id)
                    && let Some(shown) = self.shown.get_mut(&closed.peer_id)
                {
                    shown.retain(|(id, _)| *id != closed.connection_id);
                    closed.remaining_established = shown.len();
                    if shown.is_empty() {
                        self.shown.remove(&closed.peer_id);
                    }
                    self.inner.on_swarm_event(FromSwarm::ConnectionClosed(closed));
                }
            }
            FromSwarm::AddressChange(change) => {
                if self.is_shown(&change.peer_id, change.connection_id) {
                    self.inner.on_swarm_event(event);
                }
            }
            FromSwarm::DialFailure(DialFailure { connection_id, .. })
            | FromSwarm::ListenFailure(ListenFailure { connection_id, .. }) => {
                self.arriving.remove(&connection_id);
                self.inner.on_swarm_event(event);
            }
            other => self.inner.on_swarm_event(other),
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {
            // What a handler still says after its peer was hidden is dropped.
            Either::Left(event) if self.is_shown(&peer, connection) => {
                self.inner.on_connection_handler_event(peer, connection, event);
            }
            Either::Left(_) => {}
            Either::Right(never) => never_happens(never),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        loop {
            match self.inner.poll(context) {
                Poll::Ready(ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::One(connection), event }) => {
                    // The handler of a connection that gossip does not know is another.
                    if self.is_shown(&peer_id, connection) {
                        return Poll::Ready(ToSwarm::NotifyHandler {
                            peer_id,
                            handler: NotifyHandler::One(connection),
                            event: Either::Left(event),
                        });
                    }
                }
                Poll::Ready(ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::Any, event }) => {
                    if let Some((connection, _)) = self.shown.get(&peer_id).and_then(|shown| shown.last()) {
                        return Poll::Ready(ToSwarm::NotifyHandler {
                            peer_id,
                            handler: NotifyHandler::One(*connection),
                            event: Either::Left(event),
                        });
                    }
                }
                Poll::Ready(other) => return Poll::Ready(other.map_in(Either::Left)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

fn never_happens(never: Infallible) {
    match never {}
}
