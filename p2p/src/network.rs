//! Starting the network.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, RwLock};

use futures::StreamExt;
use galen_types::member::NodeRole;
use galen_types::{Hash, NodeName};
use libp2p::identity::Keypair;
use libp2p::swarm::{self, NetworkBehaviour, Swarm, SwarmEvent};
use libp2p::{Multiaddr, ping};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use crate::address::{ip_of, port_of, resolve};
use crate::book::Book;
use crate::bulk::{Bulk, BulkBehaviour};
use crate::control::{Control, ControlBehaviour};
use crate::dialer::Dialer;
use crate::error::StartError;
use crate::gate::Gate;
use crate::gossip::{self, Topics};
use crate::handle::{Listening, NetworkHandle};
use crate::handshake::{HandshakeContext, Hello, Plane};
use crate::identity::keypair_of;
use crate::inbox::{Inbox, NetworkEvents};
use crate::limits::{
    BULK_IDLE_TIMEOUT, COMMANDS_MAX, GOSSIP_VERDICTS_MAX, NEGOTIATING_STREAMS_MAX, PING_INTERVAL, PING_TIMEOUT,
};
use crate::liveness::Liveness;
use crate::metrics::Metrics;
use crate::own::Own;
use crate::protocol::Protocols;
use crate::registry::{PeerRegistry, SharedRegistry};
use crate::selective_gossip::SelectiveGossip;
use crate::shared::{BulkPort, ControlPort, Shared};
use crate::streams::Streams;
use crate::transport::transport;

/// What a network needs to start.
pub struct NetworkConfig {
    /// The secret seed (RFC 8032) of the node's Ed25519 key, whose public half is registered on chain.
    pub node_key: Zeroizing<[u8; 32]>,
    /// Addresses to listen on for everything but files; port 0 lets the system choose.
    pub listen: Vec<Multiaddr>,
    /// Addresses to listen on for files. Peers reach them at this node's hosts and the first one's port.
    pub bulk_listen: Vec<Multiaddr>,
    /// Hash of the genesis document.
    pub genesis: Hash,
    /// Name of the chain.
    pub chain: String,
    /// Name of this node, as registered.
    pub node: NodeName,
    /// What this node does on the chain. Told to peers until the registry names this node; then its role there.
    pub role: NodeRole,
    /// Hash of the last recovery that the node's ledger holds; [`Hash::ZERO`] if none. See
    /// [`NetworkHandle::set_lineage`].
    pub lineage: Hash,
    /// Version of the node's software, told to peers.
    pub software_version: String,
    /// The nodes to talk to: those registered now, or those that a joining node was given. This node need not be among
    /// them; its peers must know it.
    pub registry: PeerRegistry,
}

/// The network; see [`Network::start`].
pub struct Network;

impl Network {
    /// Starts listening and dialling, as tasks of the current tokio runtime.
    ///
    /// # Errors
    /// [`StartError`] when the key is unusable or an address cannot be listened on.
    pub async fn start(config: NetworkConfig) -> Result<(NetworkHandle, NetworkEvents), StartError> {
        let keypair = keypair_of(&config.node_key)?;
        let metrics = Arc::new(Metrics::default());
        let registry = Arc::new(SharedRegistry::new(config.registry, config.node.clone()));
        let book = Arc::new(Book::default());
        let protocols = Protocols::new(&config.genesis);
        let topics = Topics::new(&protocols);
        let gate = |plane| Gate::new(plane, Arc::clone(&registry), Arc::clone(&book), Arc::clone(&metrics));
        let own = Arc::new(Own::new(config.lineage));
        let inbox = Arc::new(Inbox::default());
        let (control_commands, control_receiver) = mpsc::channel(COMMANDS_MAX);
        let control = ControlPort { commands: control_commands };
        let liveness = Arc::new(Liveness::new(control.clone(), protocols.alive.clone()));
        let incarnation = getrandom::u64().map_err(|error| StartError::Setup(error.to_string()))?;
        let context = |plane, bulk_port| {
            Arc::new(HandshakeContext {
                hello: Hello {
                    genesis: config.genesis,
                    chain: config.chain.clone(),
                    node: config.node.to_string(),
                    role: config.role,
                    software_version: config.software_version.clone(),
                    plane,
                    bulk_port,
                    incarnation,
                    lineage: config.lineage,
                    clock_ms: 0,
                },
                own: Arc::clone(&own),
                registry: Arc::clone(&registry),
                book: Arc::clone(&book),
                metrics: Arc::clone(&metrics),
                inbox: Arc::clone(&inbox),
                liveness: Arc::clone(&liveness),
            })
        };

        let behaviour =
            BulkBehaviour { gate: gate(Plane::Bulk), streams: Streams::new(vec![protocols.file.clone()], false) };
        let mut bulk_swarm = swarm_of(&keypair, context(Plane::Bulk, 0), behaviour)?;
        let bulk = listen(&mut bulk_swarm, config.bulk_listen, Plane::Bulk).await?;
        let bulk_port = bulk.first().map_or(0, SocketAddr::port);

        let streams = vec![
            protocols.raft.clone(),
            protocols.transactions.clone(),
            protocols.request.clone(),
            protocols.alive.clone(),
            protocols.dial_back.clone(),
        ];
        let behaviour = ControlBehaviour {
            gate: gate(Plane::Control),
            streams: Streams::new(streams, true),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(PING_INTERVAL).with_timeout(PING_TIMEOUT)),
            gossip: SelectiveGossip::new(
                gossip::behaviour(&keypair, &protocols, &topics).map_err(StartError::Setup)?,
                Arc::clone(&registry),
            ),
        };
        let mut control_swarm = swarm_of(&keypair, context(Plane::Control, bulk_port), behaviour)?;
        let listening_control = listen(&mut control_swarm, config.listen, Plane::Control).await?;

        let (bulk_commands, bulk_receiver) = mpsc::channel(COMMANDS_MAX);
        let shared = Arc::new(Shared {
            node: config.node,
            own,
            registry,
            book,
            metrics,
            protocols,
            inbox: Arc::clone(&inbox),
            sessions: RwLock::new(HashMap::new()),
            control,
            bulk: BulkPort { commands: bulk_commands },
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let control_task = Control {
            shared: Arc::clone(&shared),
            swarm: control_swarm,
            topics,
            commands: control_receiver,
            verdicts: mpsc::channel(GOSSIP_VERDICTS_MAX),
            dialer: Dialer::default(),
            resolved: mpsc::channel(COMMANDS_MAX),
        };
        let bulk_task =
            Bulk { shared: Arc::clone(&shared), swarm: bulk_swarm, commands: bulk_receiver, waiting: HashMap::new() };
        shared.tasks.spawn(control_task.run());
        shared.tasks.spawn(bulk_task.run());
        let handle = NetworkHandle { shared, listening: Arc::new(Listening { control: listening_control, bulk }) };
        Ok((handle, NetworkEvents::new(inbox)))
    }
}

fn swarm_of<B: NetworkBehaviour>(
    keypair: &Keypair,
    context: Arc<HandshakeContext>,
    behaviour: B,
) -> Result<Swarm<B>, StartError> {
    let transport = transport(keypair, context).map_err(|error| StartError::Setup(error.to_string()))?;
    let config = swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(BULK_IDLE_TIMEOUT)
        .with_max_negotiating_inbound_streams(NEGOTIATING_STREAMS_MAX);
    Ok(Swarm::new(transport, behaviour, keypair.public().to_peer_id(), config))
}

/// Listens on all addresses and waits until each has its port.
async fn listen<B: NetworkBehaviour>(
    swarm: &mut Swarm<B>,
    addresses: Vec<Multiaddr>,
    plane: Plane,
) -> Result<Vec<SocketAddr>, StartError> {
    let mut listening = Vec::new();
    for address in addresses {
        let error = |reason: &dyn std::fmt::Display| StartError::Listen {
            address: address.to_string(),
            reason: reason.to_string(),
        };
        let mut resolved = resolve(vec![address.clone()]).await;
        let Some(address) = resolved.pop() else {
            return Err(error(&"the address is not known"));
        };
        if let (Some(ip), Some(port)) = (ip_of(&address), port_of(&address)) {
            // libp2p lets two processes share a port, and the system would deal connections out between them. Binding
            // it alone first finds that out.
            TcpListener::bind(SocketAddr::new(ip, port)).await.map_err(|reason| error(&reason))?;
        }
        let id = swarm.listen_on(address).map_err(|reason| error(&reason))?;
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { listener_id, address } if listener_id == id => {
                    if let (Some(ip), Some(port)) = (ip_of(&address), port_of(&address)) {
                        listening.push(SocketAddr::new(ip, port));
                    }
                    break;
                }
                SwarmEvent::ListenerClosed { listener_id, reason, .. } if listener_id == id => {
                    let reason = reason.err().map_or_else(|| "closed".to_owned(), |reason| reason.to_string());
                    return Err(error(&reason));
                }
                SwarmEvent::ListenerError { listener_id, error: reason } if listener_id == id => {
                    return Err(error(&reason));
                }
                _ => {}
            }
        }
    }
    if listening.is_empty() {
        return Err(StartError::NoListenAddress { plane: plane.name() });
    }
    Ok(listening)
}
