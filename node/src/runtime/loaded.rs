//! What is read before anything runs: configuration, genesis, key, ledger, and what this node is by them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use galen_chain::history::HistoryPolicy;
use galen_chain::recovery::HeldRecoveries;
use galen_chain::signatures::VerifiedCache;
use galen_chain::{BatchLimits, Executor, ExecutorConfig, LedgerState, Orderer, OrdererConfig};
use galen_consensus::vfs::RealVfs;
use galen_consensus::{CoreConfig, Identity, Log, LogOptions, Membership, RaftId, Recovered};
use galen_keys::KeyPair;
use galen_ledger::{Ledger, LedgerOptions};
use galen_p2p::{DialTargets, Multiaddr, Network, NetworkConfig, NetworkEvents, NetworkHandle};
use galen_types::genesis::GENESIS_BYTES_MAX;
use galen_types::member::{NodeAddress, NodeRole};
use galen_types::{Genesis, Hash, NodeName, PublicKey, Timestamp};

use super::damage::Damages;
use super::keys::NodeKeys;
use super::limits;
use super::part::{Part, PartNotes, Rejoin, Stale};
use super::registered::Registered;
use super::repair::RepairError;
use super::start::StartError;
use crate::config::{self, NodeConfig, read_text};
use crate::home::NodeHome;
use crate::operate::Bootstrap;
use crate::operate::held;
use crate::operate::join::JoinFile;

/// What is read from a home before anything is started.
pub(super) struct Loaded {
    pub(super) home: NodeHome,
    pub(super) config: NodeConfig,
    pub(super) genesis: Arc<Genesis>,
    pub(super) genesis_hash: Hash,
    pub(super) keys: KeyPair,
    /// Its signing keys, former ones too.
    pub(super) voting_keys: Vec<PublicKey>,
    /// Whether former keys are kept until the tip is certified.
    pub(super) keeps_former_keys: bool,
    pub(super) bootstrap: Option<Arc<Bootstrap>>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) executor: Executor,
    pub(super) verified: Arc<VerifiedCache>,
    /// What the chain says at the ledger's tip.
    pub(super) registered: Registered,
    pub(super) part: Part,
    /// What this node does by its record; a joining node observes until the chain knows it.
    pub(super) role: NodeRole,
    /// Recoveries that this node's operator gave it.
    pub(super) recoveries: HeldRecoveries,
    /// The recovery that this node's operator gave it, or that its ledger holds: peers must agree on it.
    pub(super) lineage: Hash,
}

/// The options that a chain's ledger is opened with.
pub(crate) fn ledger_options(genesis: &Genesis, genesis_hash: Hash) -> LedgerOptions {
    LedgerOptions::new(genesis_hash, genesis.chain.clone(), genesis.state_bucket_bits)
}

impl Loaded {
    /// Reads a home. With `rejoin` the node takes no other part than that, whatever the chain says of it.
    pub(super) fn read(
        home: &NodeHome,
        config: NodeConfig,
        damages: &Damages,
        rejoin: Option<Rejoin>,
    ) -> Result<Self, StartError> {
        let genesis = Arc::new(Genesis::from_toml(&read_text(home.genesis(), GENESIS_BYTES_MAX as u64)?)?);
        let genesis_hash = genesis.hash();
        let repairs = rejoin.as_ref().is_some_and(|rejoin| rejoin.damage.is_some());
        let known = if repairs { Bootstrap::load_known(home) } else { None };
        let bootstrap = match known {
            Some(known) => Some(Arc::new(known)),
            None => Bootstrap::load(home)?.map(Arc::new),
        };
        let founding = genesis.nodes().into_iter().find(|node| node.name == config.node);
        let ledger = Arc::new(Ledger::open(&home.ledger(), &ledger_options(&genesis, genesis_hash))?);
        damages.watch(&ledger);
        ledger.keep_signed_mark(&home.signed())?;
        let verified = Arc::new(VerifiedCache::default());
        let mut held = held::load(home, &genesis_hash)?;
        // Also writes the founding state into a new ledger.
        let make = |voter_keys, orders, recoveries: &HeldRecoveries| {
            Executor::new(
                Arc::clone(&ledger),
                ExecutorConfig {
                    genesis: Arc::clone(&genesis),
                    node: config.node.clone(),
                    voter_keys,
                    orders,
                    recoveries: recoveries.clone(),
                    verified: Arc::clone(&verified),
                },
            )
        };
        let executor = make(Vec::new(), false, &held)?;
        // What the ledger went on by is believed as what its operator gave it.
        held.add_recorded(&LedgerState(ledger.view()?)).map_err(galen_chain::ExecutorError::from)?;
        // Also by the ledger that takes this one's place, should it rot.
        for recovery in held.documents() {
            held::keep_document(home, recovery.clone()).map_err(RepairError::from)?;
        }
        let registered = Registered::of(&ledger, &config.node)?;
        let knows_where = bootstrap.is_some() || JoinFile::load(home)?.is_some();
        if registered.own.is_none() && registered.height == 0 && !knows_where {
            return Err(StartError::NotRegistered { node: config.node.clone(), genesis: genesis_hash });
        }
        let NodeKeys { present: keys, voting, keeps_former } = NodeKeys::load(home, &config, registered.own.as_ref())?;
        let is_own_key = registered.own.as_ref().is_none_or(|own| own.key == keys.public_key());
        if !is_own_key {
            if registered.height == 0 && !knows_where {
                return Err(StartError::WrongKey(config.node.clone()));
            }
            tracing::warn!(
                node = %config.node,
                height = registered.height,
                "the chain registers another key for this node at this height; it follows, and orders once the chain \
                 has come to its own"
            );
        }
        let record = registered.own_active().filter(|_| is_own_key);
        let founding_id = founding.filter(|node| node.role == NodeRole::Voter).map(|node| node.raft_id);
        let notes = PartNotes::new(home);
        let retired = registered.own_retired().filter(|_| is_own_key);
        let part = match rejoin {
            Some(rejoin) => Part::Rejoin(rejoin),
            None => notes.part(record, retired, founding_id, &ledger)?,
        };
        // Also a node that follows may hold blocks that only their own voters can certify, itself among them.
        drop(executor);
        // A copy that is not whole yet is nothing to sign from.
        let voting = if repairs { Vec::new() } else { voting };
        let voting_keys = voting.iter().map(galen_types::SecretKey::public_key).collect();
        let executor = make(voting, matches!(part, Part::Order { .. }), &held)?;
        if let Part::Follow { stale: Some(Stale { raft_id, why }) } = &part {
            tracing::warn!(
                code = "ordering-stale",
                raft_id,
                "this node may not order under its number: {why}; it follows, and comes back under a new one"
            );
        }
        let lineage = held.lineage_from(executor.lineage()?);
        let role = registered.own_active().map_or(NodeRole::Observer, |own| own.role);
        Ok(Self {
            home: home.clone(),
            config,
            genesis,
            genesis_hash,
            keys,
            voting_keys,
            keeps_former_keys: keeps_former,
            bootstrap,
            ledger,
            executor,
            verified,
            registered,
            part,
            role,
            recoveries: held,
            lineage,
        })
    }

    /// This node's number in ordering by the genesis, where it is a founding voter.
    pub(super) fn founding_id(&self) -> Option<u64> {
        let nodes = self.genesis.nodes().into_iter();
        let mut own = nodes.filter(|node| node.name == self.config.node && node.role == NodeRole::Voter);
        own.next().map(|node| node.raft_id)
    }

    /// What this node keeps of the past.
    pub(super) fn history_policy(&self) -> HistoryPolicy {
        HistoryPolicy {
            fetch: self.config.ledger.history == config::HistoryPolicy::Full,
            keep_bodies_blocks: self.config.ledger.keep_bodies_blocks,
        }
    }

    /// Starts the network; `named` are the numbers in ordering's configuration.
    pub(super) async fn start_network(
        &self,
        named: &BTreeSet<RaftId>,
    ) -> Result<(NetworkHandle, NetworkEvents), StartError> {
        let section = &self.config.network;
        let config = NetworkConfig {
            node_key: self.keys.signing.seed(),
            listen: vec![multiaddress(&section.listen)?],
            bulk_listen: vec![multiaddress(&section.listen_files)?],
            genesis: self.genesis_hash,
            chain: self.genesis.chain.to_string(),
            node: self.config.node.clone(),
            role: self.role,
            lineage: self.lineage,
            software_version: env!("CARGO_PKG_VERSION").to_owned(),
            registry: self.registered.peers(self.given(), false, named),
        };
        Ok(Network::start(config).await?)
    }

    /// The peers that this node was given when it joined, if they count still.
    fn given(&self) -> Option<&Bootstrap> {
        self.bootstrap.as_deref().filter(|given| self.registered.needs(given, &self.keys.public_key()))
    }

    /// The applicants' hosts that this node dials.
    pub(super) fn dials(&self) -> Result<DialTargets, StartError> {
        if self.config.joining.dial_private {
            return Ok(DialTargets::ALL);
        }
        Ok(DialTargets::of_listening([&multiaddress(&self.config.network.listen)?]))
    }

    /// Whose the ordering log of a number is.
    pub(super) fn identity(&self, raft_id: u64) -> Identity {
        Identity { cluster: self.genesis_hash.0, node: RaftId(raft_id) }
    }

    /// Opens the ordering log of a number.
    pub(super) fn log(&self, raft_id: u64) -> Result<(Log<RealVfs>, Recovered), StartError> {
        let identity = self.identity(raft_id);
        let folder = self.home.log(raft_id);
        // A voter that was behind when a recovery named it, and came to the recovery's block by following: its log begins
        // there too. Without it the others may have no majority.
        if !folder.exists()
            && self.ledger.ordering_started()? != Some(raft_id)
            && let Some(snapshot) = self.executor.log_after_recovery(RaftId(raft_id))?
        {
            Log::create_at(RealVfs, &folder, identity, LogOptions::default(), snapshot)?;
        }
        let (log, recovered) = Log::open(RealVfs, &folder, identity, LogOptions::default())?;
        if let Some(torn) = &recovered.torn {
            tracing::warn!(?torn, "the ordering log ended in a record that was never finished; it is cut off");
        }
        Ok((log, recovered))
    }

    /// The ordering half of this node.
    pub(super) fn orderer(&self, raft_id: u64, recovered: Recovered) -> Result<Orderer, StartError> {
        let seed = getrandom::u64().map_err(|error| StartError::System(error.to_string()))?;
        let id = RaftId(raft_id);
        let mut core = if self.founding_id() == Some(raft_id) {
            let founders = self.genesis.nodes().into_iter().filter(|node| node.role == NodeRole::Voter);
            CoreConfig::new(id, Membership::new(founders.map(|node| RaftId(node.raft_id)), []), seed)
        } else {
            CoreConfig::joining(id, seed)
        };
        let section = &self.config.ordering;
        core.election_tick = section.election_ticks;
        core.heartbeat_tick = section.heartbeat_ticks;
        let config = OrdererConfig {
            core,
            node: self.config.node.clone(),
            batch_limits: BatchLimits::from(self.executor.parameters()),
            compact_entries: section.compact_entries,
            compact_bytes: limits::LOG_KEPT_BYTES,
        };
        let applied = self.ledger.applied()?.index;
        let known = self.executor.group()?;
        Ok(Orderer::new(config, recovered, applied, &known, Timestamp::now())?)
    }

    /// Names by number in ordering, of those that leave too.
    pub(super) fn numbers(&self) -> HashMap<RaftId, NodeName> {
        self.registered.numbers.values().map(|entry| (RaftId(entry.raft_id), entry.node.clone())).collect()
    }
}

pub(super) fn multiaddress(address: &NodeAddress) -> Result<Multiaddr, StartError> {
    address.as_str().parse().map_err(|_| StartError::Address(address.to_string()))
}
