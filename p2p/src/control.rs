//! The task of the control plane: dials registered peers, keeps their sessions, hands their streams and gossip on.
//!
//! It never waits for anything but its own inputs: whatever may take time runs in a task of its own.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use galen_types::{Hash, NodeName};
use libp2p::gossipsub;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{DialError, NetworkBehaviour, Stream, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, ping};
use tokio::sync::{mpsc, oneshot};

use crate::access::{Access, LEAVING};
use crate::address::{resolve, with_port};
use crate::dialer::{DialFailure, Dialer};
use crate::event::NetworkEvent;
use crate::gate::Gate;
use crate::gossip::{GossipValidation, Judged, Topic, Topics};
use crate::handshake::NOT_REGISTERED;
use crate::inbox::{Class, Dropped};
use crate::limits::CLOSE_TIMEOUT;
use crate::link::{read_link, write_link};
use crate::reach;
use crate::refusal::printable;
use crate::registry::PeerRegistry;
use crate::request;
use crate::selective_gossip::SelectiveGossip;
use crate::session::{Link, Session};
use crate::shared::Shared;
use crate::streams::{OpenReply, Streams, StreamsEvent};
use crate::sync::{lock, write};

/// What runs on control connections. The gate comes first: what it denies, the others never see.
#[derive(NetworkBehaviour)]
pub(crate) struct ControlBehaviour {
    pub(crate) gate: Gate,
    pub(crate) streams: Streams,
    pub(crate) ping: ping::Behaviour,
    pub(crate) gossip: SelectiveGossip,
}

/// What other tasks ask of this one.
pub(crate) enum ControlCommand {
    Open { peer: PeerId, protocol: StreamProtocol, reply: OpenReply },
    Publish { topic: Topic, bytes: Bytes },
    SetRegistry { registry: PeerRegistry, done: oneshot::Sender<()> },
    SetLineage { lineage: Hash, done: oneshot::Sender<()> },
}

/// See the module's description.
pub(crate) struct Control {
    pub(crate) shared: Arc<Shared>,
    pub(crate) swarm: Swarm<ControlBehaviour>,
    pub(crate) topics: Topics,
    pub(crate) commands: mpsc::Receiver<ControlCommand>,
    pub(crate) verdicts: (mpsc::Sender<Judged>, mpsc::Receiver<Judged>),
    pub(crate) dialer: Dialer,
    pub(crate) resolved: (mpsc::Sender<Resolved>, mpsc::Receiver<Resolved>),
}

/// A peer's addresses, ready to dial.
pub(crate) struct Resolved {
    peer: PeerId,
    addresses: Vec<Multiaddr>,
}

/// Closes all connections of a swarm in good order, so that peers notice at once; gives up after [`CLOSE_TIMEOUT`].
pub(crate) async fn close_all<B: NetworkBehaviour>(swarm: &mut Swarm<B>) {
    let peers: Vec<PeerId> = swarm.connected_peers().copied().collect();
    for peer in peers {
        let _ = swarm.disconnect_peer_id(peer);
    }
    let close = async {
        while swarm.connected_peers().next().is_some() {
            if let SwarmEvent::ConnectionEstablished { peer_id, .. } = swarm.select_next_some().await {
                // It was on its way.
                let _ = swarm.disconnect_peer_id(peer_id);
            }
        }
    };
    if tokio::time::timeout(CLOSE_TIMEOUT, close).await.is_err() {
        tracing::debug!("some connections were cut instead of closed");
    }
}

/// How long the task sleeps when no peer is to be dialled.
const IDLE: Duration = Duration::from_secs(3600);

impl Control {
    pub(crate) async fn run(mut self) {
        self.watch_registered();
        let stop = self.shared.stop.clone();
        loop {
            let now = Instant::now();
            self.dial_due(now);
            let wake = self.dialer.next_due().unwrap_or(now + IDLE);
            tokio::select! {
                () = stop.cancelled() => break,
                event = self.swarm.select_next_some() => self.on_swarm(event),
                Some(command) = self.commands.recv() => self.on_command(command),
                Some(judged) = self.verdicts.1.recv() => self.on_verdict(&judged),
                Some(resolved) = self.resolved.1.recv() => self.dial(resolved),
                () = tokio::time::sleep_until(wake.into()) => {}
            }
        }
        for (_, session) in write(&self.shared.sessions).drain() {
            session.stop.cancel();
            self.shared.inbox.tell_status(&session.node, NetworkEvent::PeerDisconnected { node: session.node.clone() });
        }
        close_all(&mut self.swarm).await;
    }

    // ------------------------------------------------------------------------------------------ dialling

    /// Watches all registered peers that have addresses, but this node (neither its key nor, under another key, its name).
    fn watch_registered(&mut self) {
        let index = self.shared.registry.current();
        let peers: Vec<PeerId> = index
            .registry
            .iter()
            .filter(|(node, id, peer)| {
                **node != self.shared.node && *id != self.swarm.local_peer_id() && !peer.addresses.is_empty()
            })
            .map(|(_, peer, _)| *peer)
            .collect();
        let now = Instant::now();
        self.dialer.set_peers(&peers, now);
        for peer in peers {
            if self.swarm.behaviour().streams.is_connected(&peer) {
                self.dialer.connected(&peer, now);
            }
        }
    }

    fn dial_due(&mut self, now: Instant) {
        for peer in self.dialer.take_due(now) {
            let index = self.shared.registry.current();
            let addresses = index
                .name(&peer)
                .and_then(|node| index.registry.get(node))
                .map(|(_, registered)| registered.addresses.clone())
                .unwrap_or_default();
            let sender = self.resolved.0.clone();
            self.shared.tasks.spawn(async move {
                let addresses = resolve(addresses).await;
                // Fails only when the network stops.
                let _ = sender.send(Resolved { peer, addresses }).await;
            });
        }
    }

    fn dial(&mut self, Resolved { peer, addresses }: Resolved) {
        if !self.dialer.wants(&peer) {
            // It left the registry while its name was resolved.
            return;
        }
        let options = DialOpts::peer_id(peer)
            .addresses(addresses)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .allocate_new_port()
            .build();
        match self.swarm.dial(options) {
            Ok(()) => {}
            Err(DialError::DialPeerConditionFalse(_)) if self.swarm.behaviour().streams.is_connected(&peer) => {
                self.dialer.connected(&peer, Instant::now());
            }
            Err(error) => self.on_dial_failed(&peer, &error),
        }
    }

    fn on_dial_failed(&mut self, peer: &PeerId, error: &DialError) {
        self.shared.metrics.dials_failed.increment();
        let failure = match self.shared.book.refusal(peer) {
            Some(refusal) if refusal.code() == NOT_REGISTERED => DialFailure::NotRegistered,
            Some(_) => DialFailure::Refused,
            None => DialFailure::Unreachable,
        };
        if let DialError::WrongPeerId { obtained, address } = error {
            tracing::warn!(peer_id = %peer, address = %address, found = %obtained, code = "wrong-key",
                "the node at this address has another key than the one registered");
        } else {
            // Refusals have been logged with their reason; unreachable peers are in the list of peers.
            tracing::debug!(peer_id = %peer, error = %printable(&error.to_string(), 512), "dial failed");
        }
        self.dialer.failed(peer, failure, Instant::now());
    }

    // ------------------------------------------------------------------------------------------ inputs

    fn on_command(&mut self, command: ControlCommand) {
        match command {
            ControlCommand::Open { peer, protocol, reply } => {
                self.swarm.behaviour_mut().streams.open(peer, protocol, reply);
            }
            ControlCommand::Publish { topic, bytes } => self.publish(topic, bytes),
            ControlCommand::SetRegistry { registry, done } => {
                self.set_registry(registry);
                // Nobody may be waiting any more.
                let _ = done.send(());
            }
            ControlCommand::SetLineage { lineage, done } => {
                self.set_lineage(lineage);
                let _ = done.send(());
            }
        }
    }

    fn set_registry(&mut self, registry: PeerRegistry) {
        let former = self.shared.registry.current();
        if former.registry == registry {
            return;
        }
        self.shared.registry.replace(registry);
        let index = self.shared.registry.current();
        self.shared.book.retain(|peer| index.name(peer).is_some());
        // A peer that is gone, or goes by another name or key now, starts over.
        let mut gone = HashSet::new();
        for (node, peer, _) in former.registry.iter() {
            if *node != self.shared.node && index.name(peer) != Some(node) {
                gone.insert(node.clone());
                self.remove(node, peer);
            }
        }
        let mut leaving = HashSet::new();
        for (node, peer, registered) in index.registry.iter() {
            let before = former.registry.get(node).filter(|(id, _)| *id == peer).map(|(_, before)| before.access);
            match (before, registered.access) {
                (Some(Access::Full), Access::OrderingOnly) => {
                    leaving.insert(node.clone());
                    self.restrict(node, peer);
                }
                (Some(Access::OrderingOnly), Access::Full) => self.reconnect(node, peer),
                _ => {}
            }
        }
        self.shared.inbox.forget(|class, node| gone.contains(node) || (class != Class::Raft && leaving.contains(node)));
        self.watch_registered();
        let now = Instant::now();
        self.dialer.registry_changed(now);
        for (node, peer, registered) in index.registry.iter() {
            if former.registry.get(node).is_some_and(|(_, before)| before.addresses != registered.addresses) {
                self.dialer.hurry(peer, now);
                if !self.swarm.is_connected(peer) {
                    // Ends a dial of the former address, whose failure makes the peer due again.
                    let _ = self.swarm.disconnect_peer_id(*peer);
                }
            }
        }
    }

    /// Ends all that there is with a peer that the registry no longer has under this name and key.
    fn remove(&mut self, node: &NodeName, peer: &PeerId) {
        if self.shared.session(node).is_some_and(|session| session.peer == *peer) {
            self.shared.metrics.peers_removed.increment();
            tracing::info!(node = %node, peer_id = %peer, code = "peer-removed",
                "the registry no longer has this peer under this key; disconnecting");
            self.end_session(node);
        }
        // Also ends dials that are on their way; an error only says that no connection was established.
        let _ = self.swarm.disconnect_peer_id(*peer);
    }

    /// Ends all but ordering with a peer that the chain has removed and that the ordering group still needs.
    fn restrict(&mut self, node: &NodeName, peer: &PeerId) {
        self.swarm.behaviour_mut().gossip.hide(peer);
        if let Some(session) = self.shared.session(node).filter(|session| session.peer == *peer) {
            tracing::info!(node = %node, peer_id = %peer, code = LEAVING,
                "the peer leaves the consortium; from now on only ordering goes on with it");
            session.restrict();
        }
    }

    /// Gives a peer everything again, over a new connection.
    fn reconnect(&mut self, node: &NodeName, peer: &PeerId) {
        if self.shared.session(node).is_some_and(|session| session.peer == *peer) {
            tracing::info!(node = %node, peer_id = %peer, "the peer is back in the consortium; connecting anew");
            self.end_session(node);
        }
        let _ = self.swarm.disconnect_peer_id(*peer);
    }

    fn set_lineage(&mut self, lineage: Hash) {
        if !self.shared.own.set_lineage(lineage) {
            return;
        }
        let now = Instant::now();
        let index = self.shared.registry.current();
        for (node, peer, _) in index.registry.iter() {
            // Refused before, it may be let in now.
            self.dialer.hurry(peer, now);
            if self.swarm.is_connected(peer)
                && self.shared.book.facts(peer).is_some_and(|facts| facts.lineage != lineage)
            {
                tracing::info!(node = %node, peer_id = %peer, lineage = %lineage, code = "wrong-lineage",
                    "this node has gone through a recovery that the peer had not announced; disconnecting");
                self.end_session(node);
                let _ = self.swarm.disconnect_peer_id(*peer);
            }
        }
    }

    fn publish(&mut self, topic: Topic, bytes: Bytes) {
        let Some(hash) = self.topics.hash(topic) else {
            return;
        };
        match self.swarm.behaviour_mut().gossip.inner().publish(hash, Vec::from(bytes)) {
            Ok(_) => self.shared.metrics.gossip_published.increment(),
            // Somebody else's copy came first: that is the point of gossip.
            Err(gossipsub::PublishError::Duplicate) => {}
            Err(error) => {
                self.shared.metrics.gossip_publish_failed.increment();
                tracing::debug!(topic = topic.name(), %error, "not published");
            }
        }
    }

    fn on_verdict(&mut self, judged: &Judged) {
        let gossip = self.swarm.behaviour_mut().gossip.inner();
        // False when the message has left gossip's memory by age.
        let _ = gossip.report_message_validation_result(
            &judged.message,
            &judged.from,
            match judged.acceptance {
                gossipsub::MessageAcceptance::Accept => gossipsub::MessageAcceptance::Accept,
                gossipsub::MessageAcceptance::Reject => gossipsub::MessageAcceptance::Reject,
                gossipsub::MessageAcceptance::Ignore => gossipsub::MessageAcceptance::Ignore,
            },
        );
    }

    fn on_swarm(&mut self, event: SwarmEvent<ControlBehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(ControlBehaviourEvent::Streams(event)) => self.on_streams(event),
            SwarmEvent::Behaviour(ControlBehaviourEvent::Ping(event)) => self.on_ping(event),
            SwarmEvent::Behaviour(ControlBehaviourEvent::Gossip(event)) => self.on_gossip(event),
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => {
                self.on_dial_failed(&peer, &error);
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                self.shared.metrics.inbound_failed.increment();
                tracing::debug!(address = %send_back_addr, error = %printable(&error.to_string(), 512), "inbound connection failed");
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(plane = "control", %error, code = "listener-error", "accepting connections failed");
            }
            _ => {}
        }
    }

    fn on_ping(&mut self, event: ping::Event) {
        match event.result {
            Ok(rtt) => {
                if let Some(session) = self.shared.session_of(&event.peer) {
                    session.set_rtt(rtt);
                }
            }
            Err(ping::Failure::Unsupported) => {}
            Err(error) => {
                self.shared.metrics.pings_failed.increment();
                tracing::info!(peer_id = %event.peer, %error, code = "ping-failed", "the peer does not answer; closing the connection");
                self.swarm.close_connection(event.connection);
            }
        }
    }

    // ------------------------------------------------------------------------------------------ peers

    fn on_streams(&mut self, event: StreamsEvent) {
        match event {
            StreamsEvent::Established { peer, remote } => {
                self.shared.metrics.connections_established.increment();
                self.dialer.connected(&peer, Instant::now());
                if self.shared.session_of(&peer).is_none() {
                    self.start_session(peer);
                }
                if self.shared.session_of(&peer).is_none() {
                    // It left the registry while it came.
                    let _ = self.swarm.disconnect_peer_id(peer);
                }
                if let Some(session) = self.shared.session_of(&peer) {
                    let mut remotes = lock(&session.remotes);
                    // Only hosts are of interest; ports of inbound connections are not listened on.
                    if let Some(host) = with_port(&remote, 0)
                        && !remotes.contains(&host)
                    {
                        remotes.truncate(crate::limits::ADDRESSES_PER_PEER_MAX - 1);
                        remotes.insert(0, host);
                    }
                }
            }
            StreamsEvent::Closed { peer, last } => {
                self.shared.metrics.connections_closed.increment();
                if last {
                    self.dialer.disconnected(&peer, Instant::now());
                    let node = self.shared.session_of(&peer).map(|session| session.node.clone());
                    if let Some(node) = node {
                        self.end_session(&node);
                    }
                }
            }
            StreamsEvent::Inbound { peer, protocol, stream } => self.on_inbound(&peer, &protocol, stream),
        }
    }

    fn start_session(&self, peer: PeerId) {
        let index = self.shared.registry.current();
        let Some((node, role, access)) = index.name(&peer).and_then(|node| {
            index.registry.get(node).map(|(_, registered)| (node.clone(), registered.role, registered.access))
        }) else {
            return;
        };
        let software_version = self.shared.book.facts(&peer).map(|facts| facts.software_version).unwrap_or_default();
        let (session, raft, transactions) =
            Session::new(node.clone(), peer, software_version.clone(), access, self.shared.stop.child_token());
        let session = Arc::new(session);
        for (link, queue) in [(Link::Raft, raft), (Link::Transactions, transactions)] {
            self.shared.tasks.spawn(write_link(Arc::clone(&self.shared), Arc::clone(&session), link, queue));
        }
        if let Some(former) = write(&self.shared.sessions).insert(node.clone(), session) {
            former.stop.cancel();
        }
        tracing::info!(node = %node, peer_id = %peer, version = %software_version, "peer connected");
        self.shared
            .inbox
            .tell_status(&node, NetworkEvent::PeerConnected { node: node.clone(), role, software_version });
    }

    fn end_session(&self, node: &NodeName) {
        let session = write(&self.shared.sessions).remove(node);
        if let Some(session) = session {
            session.stop.cancel();
            tracing::info!(node = %node, peer_id = %session.peer, "peer disconnected");
            self.shared.inbox.tell_status(node, NetworkEvent::PeerDisconnected { node: node.clone() });
        }
    }

    fn on_inbound(&self, peer: &PeerId, protocol: &StreamProtocol, stream: Stream) {
        let Some(session) = self.shared.session_of(peer) else {
            return;
        };
        let shared = Arc::clone(&self.shared);
        let protocols = &self.shared.protocols;
        if *protocol == protocols.alive {
            // That it was agreed upon has told the peer what it asked.
            return;
        }
        if *protocol == protocols.dial_back {
            let stop = session.stop.clone();
            self.shared.tasks.spawn(async move {
                let _ = stop.run_until_cancelled(reach::serve(shared, session, stream)).await;
            });
            return;
        }
        let link = if *protocol == protocols.raft {
            Link::Raft
        } else if *protocol == protocols.transactions {
            Link::Transactions
        } else {
            self.shared.tasks.spawn(request::serve(shared, session, stream));
            return;
        };
        let stop = session.replace_reader(link);
        self.shared.tasks.spawn(read_link(shared, session, link, stream, stop));
    }

    // ------------------------------------------------------------------------------------------ gossip

    fn on_gossip(&mut self, event: gossipsub::Event) {
        let gossipsub::Event::Message { propagation_source, message_id, message } = event else {
            return;
        };
        let author = message.source.filter(|author| self.shared.registry.access(author) == Some(Access::Full));
        let author = author.and_then(|author| self.shared.registry.name(&author));
        let topic = self.topics.topic(&message.topic).filter(|topic| message.data.len() <= topic.bytes_max());
        let session = self.shared.session_of(&propagation_source).filter(|session| !session.is_restricted());
        let validation = GossipValidation::new(message_id, propagation_source, self.verdicts.0.clone());
        let (Some(author), Some(topic), Some(session)) = (author, topic, session) else {
            self.shared.metrics.gossip_rejected.increment();
            tracing::debug!(peer_id = %propagation_source, code = "gossip-rejected", "author, topic or size is wrong");
            validation.reject();
            return;
        };
        session.metrics.gossip_received.increment();
        let length = message.data.len();
        let event = NetworkEvent::Gossip {
            topic,
            author,
            from: session.node.clone(),
            bytes: Bytes::from(message.data),
            validation,
        };
        match self.shared.inbox.try_send(Class::Gossip, &session.node, length, event) {
            Ok(()) => self.shared.metrics.gossip_received.increment(),
            Err(Dropped) => self.shared.metrics.gossip_dropped.increment(),
        }
    }
}
