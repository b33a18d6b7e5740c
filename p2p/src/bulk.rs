//! The task of the bulk plane: a second swarm on a port of its own, whose connections carry files and nothing else, so
//! that no heartbeat ever waits behind a file in a socket's buffer.
//!
//! Its port is not registered anywhere: each node names it in the handshake of the control plane. Connections are
//! dialled when a file is asked for and closed when idle.

use std::collections::HashMap;
use std::sync::Arc;

use futures::StreamExt;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{DialError, NetworkBehaviour, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol};
use tokio::sync::mpsc;

use crate::address::resolve;
use crate::control::close_all;
use crate::file;
use crate::gate::Gate;
use crate::limits::BULK_WAITING_PER_PEER_MAX;
use crate::refusal::printable;
use crate::shared::Shared;
use crate::streams::{OpenError, OpenReply, Streams, StreamsEvent};

/// What runs on bulk connections.
#[derive(NetworkBehaviour)]
pub(crate) struct BulkBehaviour {
    pub(crate) gate: Gate,
    pub(crate) streams: Streams,
}

/// What other tasks ask of this one.
pub(crate) enum BulkCommand {
    /// Opens a stream, dialling first if need be.
    Open { peer: PeerId, addresses: Vec<Multiaddr>, protocol: StreamProtocol, reply: OpenReply },
    /// Dials addresses whose names are resolved.
    Dial { peer: PeerId, addresses: Vec<Multiaddr> },
    /// Ends the connections of peers that are not registered any more.
    DropUnregistered,
}

/// See the module's description.
pub(crate) struct Bulk {
    pub(crate) shared: Arc<Shared>,
    pub(crate) swarm: Swarm<BulkBehaviour>,
    pub(crate) commands: mpsc::Receiver<BulkCommand>,
    /// Streams that wait for a connection.
    pub(crate) waiting: HashMap<PeerId, Vec<(StreamProtocol, OpenReply)>>,
}

impl Bulk {
    pub(crate) async fn run(mut self) {
        let stop = self.shared.stop.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                event = self.swarm.select_next_some() => self.on_swarm(event),
                Some(command) = self.commands.recv() => self.on_command(command),
            }
        }
        close_all(&mut self.swarm).await;
    }

    fn on_command(&mut self, command: BulkCommand) {
        match command {
            BulkCommand::Open { peer, addresses, protocol, reply } => self.open(peer, addresses, protocol, reply),
            BulkCommand::Dial { peer, addresses } => self.dial(peer, addresses),
            BulkCommand::DropUnregistered => {
                let gone: Vec<PeerId> = self
                    .swarm
                    .connected_peers()
                    .filter(|peer| self.shared.registry.name(peer).is_none())
                    .copied()
                    .collect();
                for peer in gone {
                    let _ = self.swarm.disconnect_peer_id(peer);
                }
            }
        }
    }

    fn open(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, protocol: StreamProtocol, reply: OpenReply) {
        if self.swarm.behaviour().streams.is_connected(&peer) {
            self.swarm.behaviour_mut().streams.open(peer, protocol, reply);
            return;
        }
        let waiting = self.waiting.entry(peer).or_default();
        waiting.retain(|(_, reply)| !reply.is_closed());
        if waiting.len() >= BULK_WAITING_PER_PEER_MAX {
            let _ = reply.send(Err(OpenError::Slow));
            return;
        }
        waiting.push((protocol, reply));
        let commands = self.shared.bulk.commands.clone();
        self.shared.tasks.spawn(async move {
            let addresses = resolve(addresses).await;
            // Fails only when the network stops.
            let _ = commands.send(BulkCommand::Dial { peer, addresses }).await;
        });
    }

    fn dial(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        let options = DialOpts::peer_id(peer)
            .addresses(addresses)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .allocate_new_port()
            .build();
        match self.swarm.dial(options) {
            // Connected, or another dial is on its way: its outcome serves those who wait.
            Ok(()) | Err(DialError::DialPeerConditionFalse(_)) => {}
            Err(error) => self.fail_waiting(&peer, &error),
        }
    }

    fn fail_waiting(&mut self, peer: &PeerId, error: &DialError) {
        self.shared.metrics.dials_failed.increment();
        let reason = printable(&error.to_string(), 512);
        tracing::debug!(peer_id = %peer, error = %reason, "bulk dial failed");
        for (_, reply) in self.waiting.remove(peer).unwrap_or_default() {
            let _ = reply.send(Err(OpenError::Broken(reason.clone())));
        }
    }

    fn on_swarm(&mut self, event: SwarmEvent<BulkBehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BulkBehaviourEvent::Streams(event)) => self.on_streams(event),
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => {
                self.fail_waiting(&peer, &error);
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                self.shared.metrics.inbound_failed.increment();
                tracing::debug!(address = %send_back_addr, error = %printable(&error.to_string(), 512), "inbound connection failed");
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(plane = "bulk", %error, code = "listener-error", "accepting connections failed");
            }
            _ => {}
        }
    }

    fn on_streams(&mut self, event: StreamsEvent) {
        match event {
            StreamsEvent::Established { peer, .. } => {
                self.shared.metrics.connections_established.increment();
                for (protocol, reply) in self.waiting.remove(&peer).unwrap_or_default() {
                    self.swarm.behaviour_mut().streams.open(peer, protocol, reply);
                }
            }
            StreamsEvent::Closed { .. } => self.shared.metrics.connections_closed.increment(),
            StreamsEvent::Inbound { peer, stream, .. } => {
                // Files go to peers whose control connection stands.
                let Some(session) = self.shared.session_of(&peer) else {
                    return;
                };
                let shared = Arc::clone(&self.shared);
                self.shared.tasks.spawn(file::serve(shared, session, stream));
            }
        }
    }
}
