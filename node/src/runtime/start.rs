//! Starting and stopping a node: opens its folders, checks that they belong together, starts threads and tasks.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{channel, sync_channel};
use std::time::Duration;

use galen_chain::signatures::VerifiedCache;
use galen_chain::{BatchLimits, Executor, ExecutorConfig, ExecutorError, Orderer, OrdererConfig};
use galen_consensus::vfs::RealVfs;
use galen_consensus::{CoreConfig, Identity, Log, LogError, LogOptions, Membership, RaftId, Recovered};
use galen_keys::{KeyError, KeyPair, Keystore, PasswordSource};
use galen_ledger::{Ledger, LedgerError, LedgerOptions};
use galen_p2p::{Multiaddr, Network, NetworkConfig, NetworkEvents, NetworkHandle, PeerRegistry, RegisteredPeer};
use galen_types::genesis::{GENESIS_BYTES_MAX, GenesisError};
use galen_types::member::{Node as NodeRecord, NodeAddress, NodeRole};
use galen_types::{Genesis, Hash, NodeName, Signer, Timestamp};
use prometheus_client::registry::Registry;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

use super::admission::{Admission, Target};
use super::execution::{Execution, ExecutionHandle, ExecutionInput, Progress};
use super::fatal::{Fatal, Shutdown};
use super::limits;
use super::metrics::{NetworkCollector, RuntimeMetrics};
use super::network::Dispatch;
use super::ordering::{Leadership, Ordering};
use super::own_transactions::NodeSigner;
use super::receipts::Receipts;
use super::relay::Relay;
use super::service::Chain;
use super::sync::Sync;
use super::{log_writer, receipts};
use crate::config::{ConfigError, NodeConfig, read_text};
use crate::files::{Files, FilesError};
use crate::home::NodeHome;
use crate::http::services::{ChainService, ServiceError, Services};
use crate::http::{self, HttpError, HttpMetrics, Server};
use crate::jobs::{Jobs, JobsError};

/// Why a node does not start. The code is stable.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The founding document.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The node is not in the founding document.
    #[error("node `{node}` is not registered in the genesis with hash {genesis}; check `node` in node.toml")]
    NotRegistered {
        /// This node's name.
        node: NodeName,
        /// The genesis hash.
        genesis: Hash,
    },
    /// The key file holds another key than the registered one.
    #[error("the key file of `{0}` does not hold the key that the genesis registers for it")]
    WrongKey(NodeName),
    /// Neither or both sources of the key's password.
    #[error("set one of `key.password_file` and `key.password_env` in node.toml")]
    PasswordSource,
    /// The key file.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// An address that cannot be listened on.
    #[error("`{0}` is not an address to listen on; write it like /ip4/0.0.0.0/tcp/7100")]
    Address(String),
    /// The registry of nodes.
    #[error(transparent)]
    Registry(#[from] galen_p2p::RegistryError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Execution cannot go on from what the ledger holds.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// The ordering log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The ordering log is gone while the ledger is there: votes that it held would be given twice.
    #[error(
        "the ordering log in {0} is empty, but this node has ordered before: starting would forget its votes. \
         Restore the folder; a node whose log is lost must not come back under its old identity"
    )]
    LogLost(std::path::PathBuf),
    /// Ordering cannot go on from what log and ledger hold.
    #[error(transparent)]
    Ordering(#[from] galen_consensus::ConfigError),
    /// The network.
    #[error(transparent)]
    Network(#[from] galen_p2p::StartError),
    /// The HTTP face.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Stored files.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// Compute jobs.
    #[error(transparent)]
    Jobs(#[from] JobsError),
    /// The operating system gives no thread or no random numbers.
    #[error("the operating system refuses: {0}")]
    System(String),
}

impl StartError {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config(error) => error.code(),
            Self::Genesis(error) => error.code(),
            Self::NotRegistered { .. } => "node-not-registered",
            Self::WrongKey(_) => "node-wrong-key",
            Self::PasswordSource => "node-password-source",
            Self::Key(error) => error.code(),
            Self::Address(_) => "node-address",
            Self::Registry(error) => error.code(),
            Self::Ledger(error) => error.code(),
            Self::Executor(error) => error.code(),
            Self::Log(error) => error.code(),
            Self::LogLost(_) => "log-lost",
            Self::Ordering(error) => error.code(),
            Self::Network(error) => error.code(),
            Self::Http(error) => error.code(),
            Self::Files(error) => error.code(),
            Self::Jobs(error) => error.code(),
            Self::System(_) => "node-system",
        }
    }
}

/// A running node.
pub struct Node {
    name: NodeName,
    http_address: SocketAddr,
    shutdown: Shutdown,
    network: NetworkHandle,
    execution: ExecutionHandle,
    threads: Vec<std::thread::JoinHandle<()>>,
    tasks: JoinSet<()>,
}

/// What is read from a home before anything is started.
struct Loaded {
    config: NodeConfig,
    genesis: Arc<Genesis>,
    genesis_hash: Hash,
    record: NodeRecord,
    keys: KeyPair,
}

impl Loaded {
    fn read(home: &NodeHome) -> Result<Self, StartError> {
        let config = NodeConfig::load(home)?;
        let genesis = Genesis::from_toml(&read_text(home.genesis(), GENESIS_BYTES_MAX as u64)?)?;
        let genesis_hash = genesis.hash();
        let not_registered = || StartError::NotRegistered { node: config.node.clone(), genesis: genesis_hash };
        let record = genesis.nodes().into_iter().find(|node| node.name == config.node).ok_or_else(not_registered)?;
        let source = match (&config.key.password_file, &config.key.password_env) {
            (Some(file), None) => PasswordSource::File(file.clone()),
            (None, Some(variable)) => PasswordSource::Environment(variable.clone()),
            _ => return Err(StartError::PasswordSource),
        };
        let password = source.read("")?;
        let keys = Keystore::open(home.keys())?.load(&Signer::Node(config.node.clone()), &password)?;
        if keys.public_key() != record.key {
            return Err(StartError::WrongKey(config.node));
        }
        Ok(Self { config, genesis: Arc::new(genesis), genesis_hash, record, keys })
    }

    fn registry(&self) -> Result<PeerRegistry, StartError> {
        let mut peers = Vec::new();
        for node in self.genesis.nodes() {
            let addresses = vec![multiaddress(&node.address)?];
            let public_key = *node.key.as_bytes();
            peers.push((node.name, RegisteredPeer { public_key, addresses, role: node.role }));
        }
        Ok(PeerRegistry::new(peers)?)
    }

    fn is_voter(&self) -> bool {
        self.record.role == NodeRole::Voter
    }

    async fn start_network(&self) -> Result<(NetworkHandle, NetworkEvents), StartError> {
        let section = &self.config.network;
        let config = NetworkConfig {
            node_key: self.keys.signing.seed(),
            listen: vec![multiaddress(&section.listen)?],
            bulk_listen: vec![multiaddress(&section.listen_files)?],
            genesis: self.genesis_hash,
            chain: self.genesis.chain.to_string(),
            node: self.config.node.clone(),
            role: self.record.role,
            software_version: env!("CARGO_PKG_VERSION").to_owned(),
            registry: self.registry()?,
        };
        Ok(Network::start(config).await?)
    }

    fn orderer(
        &self,
        recovered: Recovered,
        applied: u64,
        batch_limits: BatchLimits,
    ) -> Result<(Orderer, HashMap<RaftId, NodeName>), StartError> {
        let voters: HashMap<RaftId, NodeName> = self
            .genesis
            .nodes()
            .into_iter()
            .filter(|node| node.role == NodeRole::Voter)
            .map(|node| (RaftId(node.raft_id), node.name))
            .collect();
        let seed = getrandom::u64().map_err(|error| StartError::System(error.to_string()))?;
        let membership = Membership::new(voters.keys().copied(), []);
        let section = &self.config.ordering;
        let mut core = CoreConfig::new(RaftId(self.record.raft_id), membership, seed);
        core.election_tick = section.election_ticks;
        core.heartbeat_tick = section.heartbeat_ticks;
        let config = OrdererConfig {
            core,
            node: self.config.node.clone(),
            batch_limits,
            compact_entries: section.compact_entries,
            compact_bytes: limits::LOG_KEPT_BYTES,
        };
        Ok((Orderer::new(config, recovered, applied, voters.clone(), Timestamp::now())?, voters))
    }
}

fn multiaddress(address: &NodeAddress) -> Result<Multiaddr, StartError> {
    address.as_str().parse().map_err(|_| StartError::Address(address.to_string()))
}

/// Stops the node when the thread or task that holds it panics: without it the others would only seem to work.
struct Watched {
    name: &'static str,
    shutdown: Shutdown,
}

impl Drop for Watched {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shutdown.fail("internal-error", format_args!("`{}` panicked; the lines above say where", self.name));
        }
    }
}

fn thread(
    name: &'static str,
    shutdown: &Shutdown,
    body: impl FnOnce() + Send + 'static,
) -> Result<std::thread::JoinHandle<()>, StartError> {
    let watched = Watched { name, shutdown: shutdown.clone() };
    let builder = std::thread::Builder::new().name(name.to_owned());
    let spawned = builder.spawn(move || {
        let _watched = watched;
        body();
    });
    spawned.map_err(|error| StartError::System(error.to_string()))
}

async fn watched(name: &'static str, shutdown: Shutdown, task: impl Future<Output = ()>) {
    let _watched = Watched { name, shutdown };
    task.await;
}

impl Node {
    /// Starts a node from its home, as threads and as tasks of the current runtime.
    ///
    /// # Errors
    /// [`StartError`] saying what to mend; nothing runs then.
    pub async fn start(home: &NodeHome) -> Result<Self, StartError> {
        let loaded = Loaded::read(home)?;
        let node = loaded.config.node.clone();
        let mut registry = Registry::with_prefix("galen");
        let metrics = Arc::new(RuntimeMetrics::register(&mut registry));
        let http_metrics = HttpMetrics::new(&mut registry);
        let shutdown = Shutdown::default();

        let options =
            LedgerOptions::new(loaded.genesis_hash, loaded.genesis.chain.clone(), loaded.genesis.state_bucket_bits);
        let ledger = Arc::new(Ledger::open(&home.ledger(), &options)?);
        let verified = Arc::new(VerifiedCache::default());
        let executor = Executor::new(
            Arc::clone(&ledger),
            ExecutorConfig {
                genesis: Arc::clone(&loaded.genesis),
                node: node.clone(),
                voter_key: loaded.is_voter().then(|| loaded.keys.signing.clone()),
                verified: Arc::clone(&verified),
            },
        )?;
        let log = if loaded.is_voter() {
            let identity = Identity { cluster: loaded.genesis_hash.0, node: RaftId(loaded.record.raft_id) };
            let (log, recovered) = Log::open(RealVfs, &home.log(), identity, LogOptions::default())?;
            if recovered.is_fresh() && ledger.applied()?.index > 0 {
                return Err(StartError::LogLost(home.log()));
            }
            if let Some(torn) = &recovered.torn {
                tracing::warn!(?torn, "the ordering log ended in a record that was never finished; it is cut off");
            }
            Some((log, recovered))
        } else {
            None
        };

        // The port is taken before anything runs: a second process of this node stops here at the latest.
        let server = Server::bind(&loaded.config.http).await?;
        let http_address = server.address();
        let (network, network_events) = loaded.start_network().await?;

        registry.register_collector(Box::new(NetworkCollector(network.clone())));

        let tip = executor.tip();
        let voters = executor.voters().clone();
        let (progress, progress_receiver) = watch::channel(Progress {
            height: tip.height,
            header: tip.hash,
            time: tip.time,
            certified_height: ledger.certified_height(),
            known_height: tip.height,
        });
        let (leadership, leadership_receiver) = watch::channel(Leadership::default());
        let (snapshot_goal, snapshot_goal_receiver) = watch::channel(None);
        let (stream, _) = broadcast::channel(limits::STREAM_EVENTS_MAX);
        let receipts = Arc::new(Receipts::default());
        let (applicants, applicants_receiver) = sync_channel(limits::ADMISSION_MAX);
        let (execution, execution_receiver) = ExecutionHandle::new();
        let (ordered, ordered_receiver) = channel();

        let mut threads = Vec::new();
        let mut tasks = JoinSet::new();
        let mut ordering_inputs = None;
        let mut voter_ids = HashMap::new();
        let target = if let Some((log, recovered)) = log {
            let (orderer, nodes) = loaded.orderer(recovered, ledger.applied()?.index, executor.parameters().into())?;
            voter_ids = nodes.iter().map(|(id, node)| (node.clone(), *id)).collect();
            let (inputs, inputs_receiver) = sync_channel(limits::ORDERING_INPUTS_MAX);
            let (writes, writes_receiver) = channel();
            let ordering = Ordering {
                orderer,
                nodes,
                network: network.clone(),
                writes,
                ordered,
                execution: execution.clone(),
                leadership,
                snapshot_goal,
                receipts: Arc::clone(&receipts),
                shutdown: shutdown.clone(),
                metrics: Arc::clone(&metrics),
                tick: Duration::from_millis(loaded.config.ordering.tick_ms),
            };
            let (log_inputs, log_shutdown, log_metrics) = (inputs.clone(), shutdown.clone(), Arc::clone(&metrics));
            threads.push(thread("log", &shutdown, move || {
                log_writer::run(log, &writes_receiver, &log_inputs, &log_shutdown, &log_metrics);
            })?);
            threads.push(thread("ordering", &shutdown, move || ordering.run(&inputs_receiver))?);
            ordering_inputs = Some(inputs.clone());
            Target::Ordering(inputs)
        } else {
            for node in loaded.genesis.nodes().into_iter().filter(|node| node.role == NodeRole::Voter) {
                voter_ids.insert(node.name, RaftId(node.raft_id));
            }
            let relay = Arc::new(Relay::new(network.clone(), Arc::clone(&ledger)));
            tasks.spawn(watched("relay", shutdown.clone(), Arc::clone(&relay).run(shutdown.clone())));
            // Kept, so that those who watch do not take the end of a channel for news.
            tasks.spawn(hold(shutdown.clone(), leadership, snapshot_goal));
            Target::Relay(relay)
        };
        let admission = Admission {
            ledger: Arc::clone(&ledger),
            verified,
            genesis: loaded.genesis_hash,
            rules_version: loaded.genesis.rules_version,
            progress: progress_receiver.clone(),
            target,
            shutdown: shutdown.clone(),
        };
        threads.push(thread("admission", &shutdown, move || admission.run(&applicants_receiver))?);
        let executing = Execution {
            executor,
            ordered: ordered_receiver,
            ordering: ordering_inputs.clone(),
            network: network.clone(),
            receipts: Arc::clone(&receipts),
            progress,
            events: stream.clone(),
            shutdown: shutdown.clone(),
            metrics: Arc::clone(&metrics),
        };
        threads.push(thread("execution", &shutdown, move || executing.run(&execution_receiver))?);

        let chain = Arc::new(Chain {
            genesis: Arc::clone(&loaded.genesis),
            genesis_hash: loaded.genesis_hash,
            node: node.clone(),
            role: loaded.record.role,
            encryption_key: loaded.keys.encryption_key(),
            voters,
            ledger: Arc::clone(&ledger),
            applicants: applicants.clone(),
            receipts: Arc::clone(&receipts),
            progress: progress_receiver.clone(),
            leadership: leadership_receiver,
            events: stream,
            network: network.clone(),
            shutdown: shutdown.clone(),
        });
        let signer = NodeSigner::new(node.clone(), loaded.keys.signing.clone(), Arc::clone(&chain));
        let files = Files::open(home, loaded.keys.clone(), Arc::clone(&chain), network.clone(), signer.clone()).await?;
        let jobs = Jobs::open(home, Arc::clone(&chain), network.clone(), signer, Arc::clone(&files))?;

        let dispatch = Dispatch {
            network: network.clone(),
            voters: voter_ids,
            ordering: ordering_inputs.clone(),
            applicants,
            execution: execution.clone(),
            ledger: Arc::clone(&ledger),
            files: Arc::clone(&files),
            jobs: Arc::clone(&jobs),
            shutdown: shutdown.clone(),
            metrics,
        };
        tasks.spawn(watched("network", shutdown.clone(), dispatch.run(network_events)));
        let catching_up = Sync {
            network: network.clone(),
            execution: execution.clone(),
            ordering: ordering_inputs,
            progress: progress_receiver,
            snapshot_goal: snapshot_goal_receiver,
            ledger,
            role: loaded.record.role,
            shutdown: shutdown.clone(),
        };
        tasks.spawn(watched("sync", shutdown.clone(), catching_up.run()));
        tasks.spawn(watched("receipts", shutdown.clone(), receipts::sweep(receipts, shutdown.clone())));
        if loaded.record.role == NodeRole::Aggregator {
            tasks.spawn(watched("aggregation", shutdown.clone(), Arc::clone(&jobs).aggregate(shutdown.clone())));
        }
        let services = Services { chain: Arc::clone(&chain) as Arc<dyn ChainService>, files, jobs, health: chain };
        let serving = serve(server, services, http_metrics, Arc::new(registry), shutdown.clone());
        tasks.spawn(watched("http", shutdown.clone(), serving));
        tracing::info!(%node, role = %loaded.record.role, height = tip.height, genesis = %loaded.genesis_hash, "started");
        Ok(Self { name: node, http_address, shutdown, network, execution, threads, tasks })
    }

    /// This node.
    pub fn name(&self) -> &NodeName {
        &self.name
    }

    /// Where it serves HTTP.
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// Waits until the node stops by itself because of a fault.
    pub async fn failed(&self) -> Option<Fatal> {
        self.shutdown.stopping().await;
        self.shutdown.cause()
    }

    /// Stops the node and waits for its threads; the fault, if one had stopped it.
    pub async fn stop(mut self) -> Option<Fatal> {
        self.shutdown.stop();
        self.network.shutdown().await;
        self.execution.offer(ExecutionInput::Stop);
        while self.tasks.join_next().await.is_some() {}
        let threads = std::mem::take(&mut self.threads);
        let cause = self.shutdown.cause();
        drop(self);
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().all(|thread| thread.join().is_ok())).await;
        if !matches!(joined, Ok(true)) {
            tracing::error!("a thread of the node had panicked");
        }
        cause
    }
}

async fn hold<First, Second>(shutdown: Shutdown, _first: First, _second: Second) {
    shutdown.stopping().await;
}

async fn serve(server: Server, services: Services, metrics: HttpMetrics, registry: Arc<Registry>, shutdown: Shutdown) {
    let served: Result<(), ServiceError> = http::serve(server, services, metrics, registry, shutdown.token()).await;
    if let Err(error) = served {
        shutdown.fail("http-failed", error);
    }
}
