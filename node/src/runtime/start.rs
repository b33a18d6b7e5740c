//! Starting and stopping what runs of a node between two starts: opens its folders, checks that they belong together,
//! starts threads and tasks.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{SyncSender, channel, sync_channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use galen_chain::knowledge::SeenSignatures;
use galen_chain::{ExecutorError, Orderer};
use galen_consensus::vfs::RealVfs;
use galen_consensus::{ConfigError as OrderingConfigError, Log, LogEnd, LogError};
use galen_keys::KeyError;
use galen_ledger::{Ledger, LedgerError};
use galen_p2p::NetworkHandle;
use galen_types::genesis::GenesisError;
use galen_types::member::NodeRole;
use galen_types::{Hash, NodeName};
use prometheus_client::registry::Registry;
use tokio::sync::{broadcast, mpsc, watch};

use super::admission::{Admission, Target};
use super::archive::{self, Archive};
use super::damage::{DamageNotes, Damages, FoundBy, Stage};
use super::execution::{Execution, ExecutionHandle, ExecutionInput, Progress};
use super::fatal::{Fatal, Restart, Shutdown};
use super::gate::Gate;
use super::inquiry::Inquiry;
use super::knowledge::{Check, Knowledge, Verdict};
use super::leap::{self, Leap};
use super::limits;
use super::loaded::Loaded;
use super::metrics::{NetworkCollector, RuntimeMetrics};
use super::network::Dispatch;
use super::operations::Operations;
use super::ordering::{Leadership, Ordering, OrderingInput, OrderingReport};
use super::own_transactions::NodeSigner;
use super::part::{Part, PartError, PartNotes, Rejoin, Unchecked};
use super::past::Past;
use super::reading::Reading;
use super::receipts::Receipts;
use super::relay::Relay;
use super::repair::{self, RepairError};
use super::scrub::{LogToScrub, Scrub};
use super::service::Chain;
use super::standing::{Keeper, Standing};
use super::sync::Sync;
use super::threads::{Tasks, Threads};
use super::{log_writer, receipts, registered};
use crate::config::{ConfigError, NodeConfig};
use crate::files::documents::FolderError;
use crate::files::{Files, FilesError};
use crate::home::NodeHome;
use crate::http::services::{ChainService, OperatorService, Participation, ServiceError, Services};
use crate::http::{self, HttpError, HttpMetrics, HttpSocket, Server};
use crate::jobs::{Jobs, JobsError};
use crate::membership::Membership;
use crate::operate::held::HeldFileError;
use crate::operate::join::JoinError;

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
    #[error(
        "node `{node}` is not registered in the genesis with hash {genesis}; check `node` in node.toml, or join \
         (galen member apply, galen node add)"
    )]
    NotRegistered {
        /// This node's name.
        node: NodeName,
        /// The genesis hash.
        genesis: Hash,
    },
    /// The key file holds another key than the registered one.
    #[error(
        "the key file of `{0}` does not hold the key that the genesis registers for it; if that key was replaced \
         since, put the peers that know the new one into peers.toml"
    )]
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
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Execution cannot go on from what the ledger holds.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// The ordering log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Its number in ordering cannot be taken up or given up.
    #[error(transparent)]
    Part(#[from] PartError),
    /// A recovery that its operator gave it.
    #[error(transparent)]
    Recovery(#[from] HeldFileError),
    /// The state cannot be read.
    #[error("the state cannot be read: {0}; run `galen ledger verify` on the node's folder")]
    State(#[from] galen_contracts::StateError),
    /// A snapshot that was received cannot be put in place.
    #[error(transparent)]
    Snapshot(#[from] galen_ledger::SnapshotError),
    /// What rotted cannot be repaired.
    #[error(transparent)]
    Repair(#[from] RepairError),
    /// A quorum certified another header than this node computed, and what it stores is sound.
    #[error("{0}")]
    Contradicted(Fatal),
    /// It cannot join.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// Former threads still hold the ledger.
    #[error("the node could not end its threads or close its ledger to start anew; end its process and start it again")]
    NotClosed,
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
    /// Applications for membership.
    #[error(transparent)]
    Membership(#[from] FolderError),
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
            Self::Ledger(error) => error.code(),
            Self::Executor(error) => error.code(),
            Self::Log(error) => error.code(),
            Self::Part(error) => error.code(),
            Self::Recovery(error) => error.code(),
            Self::State(_) => "state-unreadable",
            Self::Snapshot(error) => error.code(),
            Self::Repair(error) => error.code(),
            Self::Contradicted(fatal) => fatal.code,
            Self::Join(error) => error.code(),
            Self::NotClosed => "ledger-not-closed",
            Self::Ordering(error) => error.code(),
            Self::Network(error) => error.code(),
            Self::Http(error) => error.code(),
            Self::Files(error) => error.code(),
            Self::Membership(error) => error.code(),
            Self::Jobs(error) => error.code(),
            Self::System(_) => "node-system",
        }
    }
}

/// What runs of a node between two starts.
pub(super) struct Running {
    pub(super) http_address: SocketAddr,
    pub(super) shutdown: Shutdown,
    pub(super) ledger: Weak<Ledger>,
    chain: Arc<Chain>,
    network: NetworkHandle,
    execution: ExecutionHandle,
    threads: Threads,
    tasks: Tasks,
}

impl Running {
    /// Starts a node from its home, as threads and as tasks of the current runtime.
    ///
    /// # Errors
    /// [`StartError`] saying what to mend; nothing runs then.
    pub(super) async fn start(
        home: &NodeHome,
        config: NodeConfig,
        http_socket: HttpSocket,
    ) -> Result<Self, StartError> {
        let read = open(home, config)?;
        let (shutdown, mut network) = (read.shutdown.clone(), None);
        let outcome = Self::start_until(home, read, http_socket, &mut network).await;
        if outcome.is_err() {
            // What had begun ends, and lets go of the ports and the ledger: the start may be tried again.
            shutdown.stop();
            if let Some(network) = network {
                network.shutdown().await;
            }
        }
        outcome
    }

    async fn start_until(
        home: &NodeHome,
        read: Read,
        http_socket: HttpSocket,
        started: &mut Option<NetworkHandle>,
    ) -> Result<Self, StartError> {
        let Read { loaded, opened, shutdown } = read;
        let damages = Damages::new(home, &shutdown);
        let node = loaded.config.node.clone();
        let mut registry = Registry::with_prefix("galen");
        let metrics = Arc::new(RuntimeMetrics::register(&mut registry));
        let http_metrics = HttpMetrics::new(&mut registry);
        let ledger = Arc::clone(&loaded.ledger);
        let notes = PartNotes::new(home);

        // The port is taken before anything runs: a second process of this node stops here at the latest.
        let server = Server::open(&loaded.config.http, http_socket).await?;
        let http_address = server.address();
        let numbers = opened.as_ref().map(|opened| opened.orderer.status().membership.members()).unwrap_or_default();
        let (network, network_events) = loaded.start_network(&numbers).await?;
        *started = Some(network.clone());

        registry.register_collector(Box::new(NetworkCollector(network.clone())));

        let tip = loaded.executor.tip();
        leap::tidy(home, tip.height);
        archive::tidy(home);
        let (progress, progress_receiver) = watch::channel(Progress {
            height: tip.height,
            header: tip.hash,
            time: tip.time,
            certified_height: ledger.certified_height(),
            known_height: tip.height,
            claimed_height: 0,
        });
        metrics.registered(&loaded.registered);
        let (registered, registered_receiver) = watch::channel(Arc::new(loaded.registered.clone()));
        let (leadership, leadership_receiver) = watch::channel(Leadership::default());
        // What a node that gave its number up is still asked for.
        let log_end = opened.as_ref().map(|opened| opened.log_end).or_else(|| notes.log_end_given_up());
        // A number that was given up is at least in the term of its last entry.
        let reached = log_end.map(|end| end.term);
        let term = opened.as_ref().map(|opened| opened.orderer.status().term).or(reached).unwrap_or_default();
        let configurations = opened.as_ref().map(|opened| opened.orderer.configurations()).unwrap_or_default();
        let (report, report_receiver) =
            watch::channel(OrderingReport { log_end, term, configurations, ..OrderingReport::default() });
        let (named, named_receiver) = watch::channel(numbers);
        let (snapshot_goal, snapshot_goal_receiver) = watch::channel(None);
        let (caught_up, caught_up_receiver) = watch::channel(false);
        let (waiting, waiting_receiver) = watch::channel(String::new());
        let (standing, standing_receiver) =
            watch::channel(Standing { participation: Participation::Following, detail: String::new() });
        let (stream, _) = broadcast::channel(limits::STREAM_EVENTS_MAX);
        let receipts = Arc::new(Receipts::default());
        let seen = Arc::new(SeenSignatures::default());
        let gate = Gate::default();
        let (applicants, applicants_receiver) = sync_channel(limits::ADMISSION_MAX);
        let (execution, execution_receiver) = ExecutionHandle::new();
        let (ordered, ordered_receiver) = channel();

        let mut threads = Threads::default();
        let mut tasks = Tasks::new(shutdown.clone());
        let mut ordering_inputs = None;
        let mut log_to_scrub = None;
        metrics.damaged.set(i64::from(matches!(&loaded.part, Part::Rejoin(Rejoin { damage: Some(_), .. }))));
        let target = if let Some(Opened { raft_id, log, log_end, orderer }) = opened {
            // After a repair the ledger may not have come to what was signed here; the note of it is no older disk's.
            let height = tip.height.max(ledger.signed_mark_height());
            let unchecked =
                notes.begin_check(Unchecked { raft_id, height, last_index: log_end.index }).map_err(PartError::from)?;
            let check = Check {
                network: network.clone(),
                registered: registered_receiver.clone(),
                genesis: loaded.genesis_hash,
                node: node.clone(),
                keys: loaded.voting_keys.clone(),
                unchecked: unchecked.into(),
                trusts_disk: loaded.config.ordering.trusts_disk,
                report: report_receiver.clone(),
                waiting,
                shutdown: shutdown.clone(),
            };
            let (inputs, inputs_receiver) = sync_channel(limits::ORDERING_INPUTS_MAX);
            let opening = Opening {
                check,
                gate: gate.clone(),
                home: home.clone(),
                ordering: inputs.clone(),
                report: report_receiver.clone(),
                execution: execution.clone(),
                shutdown: shutdown.clone(),
            };
            tasks.start("check", opening.run());
            let (writes, writes_receiver) = channel();
            let ordering = Ordering {
                orderer,
                nodes: loaded.numbers(),
                network: network.clone(),
                writes,
                ordered,
                execution: execution.clone(),
                reads: HashMap::new(),
                leadership,
                report,
                named,
                speaks: false,
                snapshot_goal,
                receipts: Arc::clone(&receipts),
                shutdown: shutdown.clone(),
                metrics: Arc::clone(&metrics),
                tick: Duration::from_millis(loaded.config.ordering.tick_ms),
            };
            let (extent, extent_receiver) = watch::channel(log.extent());
            let identity = loaded.identity(raft_id);
            log_to_scrub = Some(LogToScrub { raft_id, identity, extent: extent_receiver });
            let (log_inputs, log_shutdown, log_metrics) = (inputs.clone(), shutdown.clone(), Arc::clone(&metrics));
            threads.start("log", &shutdown, move || {
                log_writer::run(log, &writes_receiver, &log_inputs, &extent, &log_shutdown, &log_metrics);
            })?;
            threads.start("ordering", &shutdown, move || ordering.run(&inputs_receiver))?;
            ordering_inputs = Some(inputs.clone());
            Target::Ordering(inputs)
        } else {
            // It orders nothing, and signs only what it holds already.
            gate.open();
            let relay = Arc::new(Relay::new(network.clone(), Arc::clone(&ledger), registered_receiver.clone()));
            tasks.start("relay", Arc::clone(&relay).run(shutdown.clone()));
            // Kept, so that those who watch do not take the end of a channel for news.
            tasks.start("held", hold(shutdown.clone(), (leadership, report, named, snapshot_goal, waiting)));
            Target::Relay(relay)
        };
        let admission = Admission {
            ledger: Arc::clone(&ledger),
            verified: Arc::clone(&loaded.verified),
            genesis: loaded.genesis_hash,
            rules_version: loaded.genesis.rules_version,
            progress: progress_receiver.clone(),
            target,
            shutdown: shutdown.clone(),
        };
        threads.start("admission", &shutdown, move || admission.run(&applicants_receiver))?;

        let archive = Arc::new(Archive::open(
            Arc::clone(&ledger),
            home.snapshots(),
            loaded.config.sync.snapshot_age_blocks,
            Arc::clone(&metrics),
            shutdown.clone(),
        ));
        let operations = Operations {
            archive: Arc::clone(&archive),
            home: home.clone(),
            ordering: ordering_inputs.clone(),
            report: report_receiver.clone(),
            standing: standing_receiver,
            caught_up: caught_up_receiver.clone(),
            part: loaded.part.clone(),
            tick: Duration::from_millis(loaded.config.ordering.tick_ms),
            dials: loaded.dials()?,
            metrics: Arc::clone(&metrics),
            backing_up: tokio::sync::Mutex::new(()),
        };
        let (inquiries, inquirers) = mpsc::channel(limits::INQUIRIES_MAX);
        let reading = Reading {
            ordering: ordering_inputs.clone(),
            gate: gate.clone(),
            inquiries,
            execution: execution.clone(),
            progress: progress_receiver.clone(),
            leadership: leadership_receiver.clone(),
            shutdown: shutdown.clone(),
        };
        let inquiry = Inquiry {
            node: node.clone(),
            network: network.clone(),
            registered: registered_receiver.clone(),
            shutdown: shutdown.clone(),
        };
        tasks.start("inquiry", inquiry.run(inquirers));
        let chain = Arc::new(Chain {
            genesis: Arc::clone(&loaded.genesis),
            genesis_hash: loaded.genesis_hash,
            node: node.clone(),
            role: loaded.role,
            encryption_key: loaded.keys.encryption_key(),
            registered: registered_receiver.clone(),
            ledger: Arc::clone(&ledger),
            snapshots: home.snapshots(),
            past: tokio::sync::Mutex::new(()),
            applicants: applicants.clone(),
            receipts: Arc::clone(&receipts),
            progress: progress_receiver.clone(),
            leadership: leadership_receiver,
            events: stream.clone(),
            network: network.clone(),
            reading: reading.clone(),
            operations,
            shutdown: shutdown.clone(),
        });
        let signer = NodeSigner::new(node.clone(), loaded.keys.signing.clone(), Arc::clone(&chain));
        let files = Files::open(home, loaded.keys.clone(), Arc::clone(&chain), network.clone(), signer.clone()).await?;
        let jobs = Jobs::open(home, Arc::clone(&chain), network.clone(), signer.clone(), Arc::clone(&files))?;
        let is_open = loaded.config.joining.open_applications;
        let membership = Membership::open(home, Arc::clone(&chain), network.clone(), signer.clone(), is_open)?;
        tasks.start("membership", Arc::clone(&membership).tidy());
        let knowledge =
            Knowledge { ledger: Arc::clone(&ledger), seen: Arc::clone(&seen), ordering: report_receiver.clone() };

        let fetched = Arc::new(AtomicU64::new(0));
        let keeper = Keeper {
            node: node.clone(),
            key: loaded.keys.public_key(),
            former_keys_until: loaded.keeps_former_keys.then_some(tip.height),
            part: loaded.part.clone(),
            founding: loaded.founding_id(),
            home: home.clone(),
            ledger: Arc::clone(&ledger),
            registered: registered_receiver.clone(),
            caught_up: caught_up_receiver.clone(),
            ordering: report_receiver.clone(),
            gate: gate.clone(),
            waiting: waiting_receiver,
            signer,
            chain: Arc::clone(&chain),
            network: network.clone(),
            standing,
            patience: Duration::from_secs(loaded.config.scrub.repair_patience_seconds),
            fetched: Arc::clone(&fetched),
            metrics: Arc::clone(&metrics),
            shutdown: shutdown.clone(),
        };
        tasks.start("standing", keeper.run());
        let following = registered::follow(
            registered_receiver.clone(),
            named_receiver,
            network.clone(),
            home.clone(),
            loaded.bootstrap.clone(),
            loaded.keys.public_key(),
            shutdown.clone(),
        );
        tasks.start("registry", following);
        let past = Past {
            network: network.clone(),
            ledger: Arc::clone(&ledger),
            policy: loaded.history_policy(),
            caught_up: caught_up_receiver.clone(),
            metrics: Arc::clone(&metrics),
            shutdown: shutdown.clone(),
        };
        tasks.start("past", past.run());
        let leap = Leap {
            network: network.clone(),
            genesis: Arc::clone(&loaded.genesis),
            genesis_hash: loaded.genesis_hash,
            recoveries: loaded.recoveries.clone(),
            ledger: Arc::clone(&ledger),
            home: home.clone(),
            progress: progress_receiver.clone(),
            lag_blocks: loaded.config.sync.snapshot_lag_blocks,
            fetched,
            metrics: Arc::clone(&metrics),
            shutdown: shutdown.clone(),
            asked: None,
            not_before: None,
        };
        let dispatch = Dispatch {
            network: network.clone(),
            registered: registered_receiver.clone(),
            ordering: ordering_inputs.clone(),
            applicants,
            execution: execution.clone(),
            ledger: Arc::clone(&ledger),
            knowledge: Arc::new(knowledge),
            archive,
            reading,
            duplicates: Arc::default(),
            files: Arc::clone(&files),
            jobs: Arc::clone(&jobs),
            membership: Arc::clone(&membership),
            shutdown: shutdown.clone(),
            metrics: Arc::clone(&metrics),
        };
        tasks.start("network", dispatch.run(network_events));
        let scrub = Scrub {
            home: home.clone(),
            section: loaded.config.scrub.clone(),
            genesis: Arc::clone(&loaded.genesis),
            ledger: Arc::clone(&ledger),
            log: log_to_scrub,
            files: Arc::clone(&files),
            caught_up: caught_up_receiver.clone(),
            damages: damages.clone(),
            runtime: tokio::runtime::Handle::current(),
            metrics: Arc::clone(&metrics),
            shutdown: shutdown.clone(),
        };
        // What is being repaired is read as it comes.
        if !matches!(loaded.part, Part::Rejoin(_)) {
            threads.start("scrub", &shutdown, move || scrub.run())?;
        }
        let catching_up = Sync {
            network: network.clone(),
            execution: execution.clone(),
            ordering: ordering_inputs.clone(),
            report: report_receiver,
            progress: progress_receiver,
            registered: registered_receiver,
            caught_up,
            snapshot_goal: snapshot_goal_receiver,
            ledger: Arc::clone(&ledger),
            gate: gate.clone(),
            leap,
            shutdown: shutdown.clone(),
        };
        tasks.start("sync", catching_up.run());
        tasks.start("receipts", receipts::sweep(Arc::clone(&receipts), shutdown.clone()));
        if loaded.role == NodeRole::Aggregator {
            tasks.start("aggregation", Arc::clone(&jobs).aggregate(shutdown.clone()));
        }
        let services = Services {
            chain: Arc::clone(&chain) as Arc<dyn ChainService>,
            files,
            jobs,
            membership,
            operator: Arc::clone(&chain) as Arc<dyn OperatorService>,
            health: Arc::clone(&chain) as _,
        };
        let serving = serve(server, services, http_metrics, Arc::new(registry), shutdown.clone());
        tasks.start("http", serving);
        tracing::info!(
            %node, role = %loaded.role, part = ?loaded.part, height = tip.height, genesis = %loaded.genesis_hash, "started"
        );
        let executing = Execution {
            node,
            executor: loaded.executor,
            gate,
            waits_for_gate: false,
            seen,
            registered,
            lineage: loaded.lineage,
            ordered: ordered_receiver,
            ordering: ordering_inputs,
            network: network.clone(),
            runtime: tokio::runtime::Handle::current(),
            receipts,
            progress,
            events: stream,
            damages,
            shutdown: shutdown.clone(),
            metrics,
        };
        threads.start("execution", &shutdown, move || executing.run(&execution_receiver))?;
        let ledger = Arc::downgrade(&ledger);
        Ok(Self { http_address, shutdown, ledger, chain, network, execution, threads, tasks })
    }

    /// A leader hands leadership over before it stops, so that its going costs the others no election.
    pub(super) async fn hand_over(&self) {
        if self.shutdown.is_stopping() || !self.chain.leads() {
            return;
        }
        match tokio::time::timeout(limits::HANDOVER_PATIENCE, self.chain.transfer(None)).await {
            Ok(Ok(leader)) => tracing::info!(%leader, "leadership is handed over before this node stops"),
            Ok(Err(error)) => tracing::info!(%error, "leadership is not handed over"),
            Err(_) => tracing::info!("nobody took leadership over in time"),
        }
    }

    /// Stops what runs and waits for it, but not for ever; `false` when a thread goes on, which may write what it holds.
    pub(super) async fn stop(self) -> bool {
        let Self { shutdown, ledger, chain, network, execution, threads, tasks, .. } = self;
        let began = Instant::now();
        shutdown.stop();
        // Snapshots and backups that are being made would hold it for as long as they take.
        ledger.upgrade().iter().for_each(|ledger| ledger.halt_copies());
        network.shutdown().await;
        execution.offer(ExecutionInput::Stop);
        tasks.end(limits::TASKS_PATIENCE).await;
        // What waits in the queues of threads ends with the last who could put something there.
        drop((chain, network, execution));
        let all = threads.end(limits::THREADS_PATIENCE).await;
        tracing::debug!(seconds = began.elapsed().as_secs_f64(), all, "the node has stopped what ran");
        all
    }
}

/// The ordering log of a node, and the half of it that orders.
struct Opened {
    raft_id: u64,
    log: Log<RealVfs>,
    log_end: LogEnd,
    orderer: Orderer,
}

/// What a start begins with.
struct Read {
    loaded: Loaded,
    opened: Option<Opened>,
    shutdown: Shutdown,
}

/// How often what is found damaged at one start is repaired before it gives up: the ledger, then the log, and once more.
const REPAIRS_MAX: usize = 4;

/// Reads a home, and opens its ordering log where the node orders. What is noted down as damaged is repaired first, and
/// so is what turns out to be damaged on the way.
fn open(home: &NodeHome, config: NodeConfig) -> Result<Read, StartError> {
    let mut repairs = 0;
    loop {
        let damage = repair::settle(home)?;
        let shutdown = Shutdown::default();
        let damages = Damages::new(home, &shutdown);
        let rejoin = damage.map(|damage| Rejoin { damage: Some(damage), until_index: 0 });
        let error = match open_settled(home, config.clone(), &damages, rejoin) {
            Ok((loaded, opened)) => return Ok(Read { loaded, opened, shutdown }),
            Err(error) => error,
        };
        let notes = DamageNotes::new(home);
        match &error {
            // The log's folder says whose it is.
            StartError::Log(damage) if notes.log().is_some() => tracing::error!(code = damage.code(), %damage),
            StartError::Ledger(damage) | StartError::Executor(ExecutorError::Ledger(damage)) if damage.is_damage() => {
                notes.note_ledger(FoundBy::Start, damage, 0).map_err(RepairError::from)?;
            }
            // A reader that does not say what it met: whoever gave it its bytes noted it down.
            _ => {}
        }
        let is_noted = notes.ledger().is_some_and(|note| note.stage == Stage::Found) || notes.log().is_some();
        if !is_noted || repairs >= REPAIRS_MAX {
            return Err(error);
        }
        repairs += 1;
        tracing::error!(code = error.code(), %error, "what this node stores is damaged; it is repaired");
    }
}

/// The same, once there is nothing left to repair beforehand. A number that the log itself knows to be out of ordering is
/// given up: a crash came between the two. A ledger that is behind its log follows until it is not.
fn open_settled(
    home: &NodeHome,
    config: NodeConfig,
    damages: &Damages,
    mut rejoin: Option<Rejoin>,
) -> Result<(Loaded, Option<Opened>), StartError> {
    loop {
        let loaded = Loaded::read(home, config.clone(), damages, rejoin.take())?;
        let Part::Order { raft_id } = loaded.part else { return Ok((loaded, None)) };
        let notes = PartNotes::new(home);
        // The log before the note that it is in use: a note without a log says that a log was lost.
        let (log, recovered) = match loaded.log(raft_id) {
            Err(StartError::Log(error)) if error.is_damage() => {
                damages.log(FoundBy::Start, raft_id, &error);
                return Err(error.into());
            }
            opened => opened?,
        };
        notes.take_up(raft_id, &loaded.ledger)?;
        let log_end = recovered.log_end();
        match loaded.orderer(raft_id, recovered) {
            Ok(orderer) => return Ok((loaded, Some(Opened { raft_id, log, log_end, orderer }))),
            Err(StartError::Ordering(OrderingConfigError::Retired(_))) => {
                tracing::info!(raft_id, "ordering has gone on without this node: it gives up its number");
                drop(log);
                notes.abandon(raft_id, log_end, &loaded.ledger)?;
            }
            Err(StartError::Ordering(OrderingConfigError::LedgerBehind { applied, snapshot })) => {
                tracing::warn!(
                    code = "consensus-ledger-behind",
                    applied,
                    snapshot,
                    "the ledger is behind what the ordering log was cut below: this node follows until it is not"
                );
                rejoin = Some(Rejoin { damage: None, until_index: snapshot });
            }
            Err(error) => return Err(error),
        }
    }
}

/// Lets ordering speak once the peers have said what they know of this node; starts anew where it may not.
struct Opening {
    check: Check,
    gate: Gate,
    home: NodeHome,
    ordering: SyncSender<OrderingInput>,
    report: watch::Receiver<OrderingReport>,
    execution: ExecutionHandle,
    shutdown: Shutdown,
}

impl Opening {
    async fn run(mut self) {
        loop {
            let floor = match self.check.run().await {
                Verdict::Sound(floor) => floor,
                Verdict::Stale(why) => {
                    let raft_id = self.check.unchecked.raft_id;
                    let log_end = self.report.borrow().log_end.unwrap_or_default();
                    return self.shutdown.restart(Restart::Stale { raft_id, log_end, why });
                }
                Verdict::Stopping => return,
            };
            // Full only for moments. Ordering speaks from then on, and not a vote without the floor.
            while self.ordering.try_send(OrderingInput::Open(floor)).is_err() {
                tokio::select! {
                    () = self.shutdown.stopping() => return,
                    () = tokio::time::sleep(limits::KNOWLEDGE_PAUSE) => {}
                }
            }
            if !self.gate.is_open() {
                if let Err(error) = PartNotes::new(&self.home).end_check() {
                    return self.shutdown.fail(error.code(), &error);
                }
                self.gate.open();
                // Headers that waited for it are signed.
                self.execution.wake();
            }
            // Whoever has the longest log may be lost for good before it leads; then the others' word is asked for again.
            loop {
                tokio::select! {
                    () = self.shutdown.stopping() => return,
                    () = tokio::time::sleep(limits::KNOWLEDGE_AGAIN) => {}
                }
                let report = self.report.borrow();
                if !report.is_below_vote_floor {
                    return;
                }
                if report.leader.is_none() {
                    break;
                }
            }
            self.check.unchecked = galen_chain::knowledge::Unchecked::sound(self.check.unchecked.raft_id);
        }
    }
}

/// Keeps things until the node stops.
async fn hold<T>(shutdown: Shutdown, _things: T) {
    shutdown.stopping().await;
}

async fn serve(server: Server, services: Services, metrics: HttpMetrics, registry: Arc<Registry>, shutdown: Shutdown) {
    let served: Result<(), ServiceError> = http::serve(server, services, metrics, registry, shutdown.token()).await;
    if let Err(error) = served {
        shutdown.fail("http-failed", error);
    }
}
