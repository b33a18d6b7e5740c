//! The behaviour that bounds what connections may cost before and after their handshake.
//!
//! Before: a connection in set-up counts against the pool of strangers (with a share per IP address) or, if it comes
//! from an address of a registered node, against a pool that strangers cannot fill. After: only registered keys are
//! established, and a peer with too many connections loses its oldest.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished, ListenFailure};
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use crate::address::ip_of;
use crate::book::Book;
use crate::handshake::Plane;
use crate::limits::{
    CONNECTIONS_PER_PEER_MAX, PENDING_KNOWN_MAX, PENDING_KNOWN_PER_ADDRESS_MAX, PENDING_STRANGERS_MAX,
    PENDING_STRANGERS_PER_ADDRESS_MAX,
};
use crate::metrics::Metrics;
use crate::registry::SharedRegistry;

/// Why a connection was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("too many connections are in set-up")]
    PendingFull,
    #[error("the key is not registered on this chain")]
    NotRegistered,
}

/// See the module's description.
pub(crate) struct Gate {
    plane: Plane,
    registry: Arc<SharedRegistry>,
    book: Arc<Book>,
    metrics: Arc<Metrics>,
    pending: Pending,
    /// Connections of each peer, oldest first, with the process (incarnation) at the other end.
    established: HashMap<PeerId, Vec<(ConnectionId, Option<u64>)>>,
    queue: VecDeque<ToSwarm<Infallible, Infallible>>,
}

impl Gate {
    pub(crate) fn new(plane: Plane, registry: Arc<SharedRegistry>, book: Arc<Book>, metrics: Arc<Metrics>) -> Self {
        Self {
            plane,
            registry,
            book,
            metrics,
            pending: Pending::default(),
            established: HashMap::new(),
            queue: VecDeque::new(),
        }
    }

    fn admit(&self, peer: &PeerId) -> Result<dummy::ConnectionHandler, ConnectionDenied> {
        // The registry may have changed since the handshake.
        if self.registry.name(peer).is_some() {
            Ok(dummy::ConnectionHandler)
        } else {
            self.metrics.refused_not_registered.increment();
            Err(ConnectionDenied::new(Denied::NotRegistered))
        }
    }

    /// Closes connections that a newer one makes useless: those of the peer's former process, and the oldest above
    /// the limit.
    fn close_superseded(&mut self, peer: PeerId) {
        let Some(connections) = self.established.get_mut(&peer) else {
            return;
        };
        let Some((_, newest)) = connections.last().copied() else {
            return;
        };
        let mut excess = connections.len().saturating_sub(CONNECTIONS_PER_PEER_MAX);
        connections.retain(|(connection, incarnation)| {
            let is_former = *incarnation != newest;
            if is_former || excess > 0 {
                excess = excess.saturating_sub(1);
                self.metrics.connections_superseded.increment();
                self.queue.push_back(ToSwarm::CloseConnection {
                    peer_id: peer,
                    connection: CloseConnection::One(*connection),
                });
                return false;
            }
            true
        });
    }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        // TCP always gives an IP address; anything else shares one bucket.
        let ip = ip_of(remote).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let is_known = self.registry.current().is_address_known(&ip) || self.book.is_address_known(&ip);
        self.pending.enter(connection, ip, is_known).map_err(|denied| {
            self.metrics.refused_pending_full.increment();
            if self.book.may_log_stranger() {
                tracing::warn!(address = %remote, code = "pending-full", "connection refused: {denied}");
            }
            ConnectionDenied::new(denied)
        })
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.pending.leave(connection);
        self.admit(&peer)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(&peer)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ListenFailure(ListenFailure { connection_id, .. }) => self.pending.leave(connection_id),
            FromSwarm::ConnectionEstablished(ConnectionEstablished { peer_id, connection_id, endpoint, .. }) => {
                let facts = self.book.establish(peer_id, self.plane, endpoint.get_remote_address());
                let incarnation = facts.map(|facts| facts.incarnation);
                self.established.entry(peer_id).or_default().push((connection_id, incarnation));
                self.close_superseded(peer_id);
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, remaining_established, .. }) => {
                if remaining_established == 0 {
                    self.established.remove(&peer_id);
                    if self.plane == Plane::Control {
                        self.book.leave(&peer_id);
                    }
                } else if let Some(connections) = self.established.get_mut(&peer_id) {
                    connections.retain(|(connection, _)| *connection != connection_id);
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        // Filled only while the swarm handles an event, after which it polls again.
        self.queue.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// Inbound connections in set-up.
struct Pending {
    connections: HashMap<ConnectionId, (IpAddr, bool)>,
    known: Pool,
    strangers: Pool,
}

impl Default for Pending {
    fn default() -> Self {
        Self {
            connections: HashMap::new(),
            known: Pool::new(PENDING_KNOWN_MAX, PENDING_KNOWN_PER_ADDRESS_MAX),
            strangers: Pool::new(PENDING_STRANGERS_MAX, PENDING_STRANGERS_PER_ADDRESS_MAX),
        }
    }
}

impl Pending {
    fn enter(&mut self, connection: ConnectionId, ip: IpAddr, is_known: bool) -> Result<(), Denied> {
        self.pool(is_known).take(ip)?;
        self.connections.insert(connection, (ip, is_known));
        Ok(())
    }

    /// Idempotent: a connection denied after its handshake is reported twice.
    fn leave(&mut self, connection: ConnectionId) {
        if let Some((ip, is_known)) = self.connections.remove(&connection) {
            self.pool(is_known).give_back(ip);
        }
    }

    fn pool(&mut self, is_known: bool) -> &mut Pool {
        if is_known { &mut self.known } else { &mut self.strangers }
    }
}

/// Places for connections in set-up, of which each address may have a share.
struct Pool {
    total_max: usize,
    per_address_max: usize,
    total: usize,
    shares: HashMap<IpAddr, usize>,
}

impl Pool {
    fn new(total_max: usize, per_address_max: usize) -> Self {
        Self { total_max, per_address_max, total: 0, shares: HashMap::new() }
    }

    fn take(&mut self, ip: IpAddr) -> Result<(), Denied> {
        let share = self.shares.get(&ip).copied().unwrap_or(0);
        if self.total >= self.total_max || share >= self.per_address_max {
            return Err(Denied::PendingFull);
        }
        self.total += 1;
        self.shares.insert(ip, share + 1);
        Ok(())
    }

    fn give_back(&mut self, ip: IpAddr) {
        self.total = self.total.saturating_sub(1);
        if let Some(share) = self.shares.get_mut(&ip) {
            *share = share.saturating_sub(1);
            if *share == 0 {
                self.shares.remove(&ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
    }

    fn id(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    #[test]
    fn strangers_fill_their_own_pool_only() {
        let mut pending = Pending::default();
        let mut number = 0;
        let mut admitted = 0;
        for last in 0..20 {
            for _ in 0..40 {
                number += 1;
                admitted += usize::from(pending.enter(id(number), ip(last), false).is_ok());
            }
        }
        assert_eq!(admitted, PENDING_STRANGERS_MAX);
        assert_eq!(pending.enter(id(100_000), ip(99), false), Err(Denied::PendingFull));
        assert_eq!(pending.enter(id(100_001), ip(99), true), Ok(()), "a member's address gets in");
    }

    #[test]
    fn one_address_gets_its_share_and_gets_it_back() {
        let mut pending = Pending::default();
        for number in 0..PENDING_STRANGERS_PER_ADDRESS_MAX {
            pending.enter(id(number), ip(1), false).unwrap();
        }
        assert_eq!(pending.enter(id(1000), ip(1), false), Err(Denied::PendingFull));
        assert_eq!(pending.enter(id(1001), ip(2), false), Ok(()));
        pending.leave(id(0));
        pending.leave(id(0));
        assert_eq!(pending.enter(id(1002), ip(1), false), Ok(()));
        assert_eq!(pending.enter(id(1003), ip(1), false), Err(Denied::PendingFull));
        for number in (0..2000).map(id) {
            pending.leave(number);
        }
        assert!(pending.connections.is_empty() && pending.strangers.shares.is_empty() && pending.strangers.total == 0);
    }

    #[test]
    fn whoever_sits_at_one_members_address_does_not_keep_the_other_members_out() {
        let mut pending = Pending::default();
        let admitted = (0..1000).filter(|number| pending.enter(id(*number), ip(1), true).is_ok()).count();
        assert_eq!(admitted, PENDING_KNOWN_PER_ADDRESS_MAX);
        assert_eq!(pending.enter(id(1001), ip(2), true), Ok(()));
        for number in (0..2000).map(id) {
            pending.leave(number);
        }
        assert!(pending.known.shares.is_empty() && pending.known.total == 0);
    }
}
