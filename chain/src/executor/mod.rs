//! The executing half of a replica: turns ordered batches, or blocks that others certified, into blocks, receipts,
//! header signatures and certificates.
//!
//! - `execute`: a committed batch to a block, in one ledger write.
//! - `epochs`: who certifies which height, and how far certification may go.
//! - `certify`: header signatures in, certificates out; never two headers signed at a height.
//! - `follow`: certified blocks of peers, executed again and compared.
//! - `recover`: the block by which a chain goes on without a lost quorum.
//! - `answer`: what this replica tells peers that catch up.

mod answer;
mod certify;
mod epochs;
pub(crate) mod execute;
mod follow;
mod recover;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use galen_contracts::{StateError, StateRead};
use galen_ledger::{Ledger, LedgerError, StateWrite, View};
use galen_types::{
    Block, Certificate, Genesis, Hash, NodeName, Parameters, Receipt, SecretKey, Timestamp, TransactionId, VoterSet,
};

pub use certify::{Certification, SignatureError};
pub use follow::FollowError;
pub use recover::ApplyRecoveryError;

use certify::{Ahead, CertificateAhead};
use epochs::Epochs;

use crate::group::Group;
use crate::orderer::CutPoint;
use crate::recovery::{self, HeldRecoveries};
use crate::signatures::VerifiedCache;

/// Settings of an executor.
pub struct ExecutorConfig {
    /// The founding document.
    pub genesis: Arc<Genesis>,
    /// This node.
    pub node: NodeName,
    /// This node's keys: it signs the headers of heights whose voters name this node with one of them, and no others. The
    /// former keys belong to them until the last block of their epoch is certified: nobody else can sign it in their
    /// place. Empty on a node that must not sign.
    pub voter_keys: Vec<SecretKey>,
    /// Whether this node orders: then it says where its ordering log may be cut.
    pub orders: bool,
    /// Recoveries that the node's operator gave it.
    pub recoveries: HeldRecoveries,
    /// Signatures already found valid.
    pub verified: Arc<VerifiedCache>,
}

/// Why execution ends: this replica can no longer keep its promises and must stop. The code is stable.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The state could not be read.
    #[error("the state cannot be read: {0}; run `galen ledger verify` on the node's folder")]
    State(#[from] StateError),
    /// A quorum certified another header than the one computed here.
    #[error(
        "a quorum certified header {certified} at height {height}, but this node computed {own}: \
         stop this node, keep its folder as evidence, and set it up again from its peers"
    )]
    Contradicted {
        /// The height.
        height: u64,
        /// What this node computed.
        own: Hash,
        /// What the quorum certified.
        certified: Hash,
    },
}

impl ExecutorError {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ledger(error) => error.code(),
            Self::State(_) => "state-unreadable",
            Self::Contradicted { .. } => "header-contradicted",
        }
    }
}

/// What became of an ordered batch, or of one pulled block.
#[derive(Debug, Default)]
pub struct Executed {
    /// The ordering log is applied up to here.
    pub applied_index: u64,
    /// The block, unless the batch made none (or was executed before).
    pub block: Option<ExecutedBlock>,
    /// Transactions that were left out, and why; never recorded.
    pub void: Vec<(TransactionId, Void)>,
}

/// Why a transaction is left out of a block and never recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Void {
    /// A rule says so.
    #[error(transparent)]
    Rule(#[from] galen_contracts::VoidReason),
    /// The signature does not verify under the key that the signer has registered.
    #[error("the signature does not verify under the signer's registered key; sign with the current key")]
    BadSignature,
    /// Larger than the chain takes, since a vote lowered the limit.
    #[error("it has {size} bytes; the chain takes {limit}: split its content")]
    Oversize {
        /// Its bytes.
        size: usize,
        /// The parameter `transaction_bytes_max`.
        limit: usize,
    },
}

impl Void {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Rule(reason) => reason.code(),
            Self::BadSignature => "transaction-bad-signature",
            Self::Oversize { .. } => "transaction-oversize",
        }
    }
}

/// A block as executed here.
#[derive(Debug, Clone)]
pub struct ExecutedBlock {
    /// The block.
    pub block: Arc<Block>,
    /// Its hash.
    pub hash: Hash,
    /// One receipt a transaction, in order.
    pub receipts: Arc<Vec<Receipt>>,
    /// Whether it wrote who the members, nodes and voters are, or the parameters.
    pub changes_registry: bool,
}

/// The last block, as the next one names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// Its height; 0 before the first block.
    pub height: u64,
    /// Its hash; the genesis hash at height 0.
    pub hash: Hash,
    /// Its time; the founding time at height 0.
    pub time: Timestamp,
}

/// The executing half of a replica.
pub struct Executor {
    ledger: Arc<Ledger>,
    config: ExecutorConfig,
    genesis_hash: Hash,
    epochs: Epochs,
    tip: Tip,
    /// The parameters in force at the tip.
    parameters: Parameters,
    /// Verified signatures over heights above the tip, by height; those at or below it are in the ledger.
    ahead: BTreeMap<u64, Vec<Ahead>>,
    /// The newest certificate of a height above the tip.
    certificate_ahead: Option<CertificateAhead>,
    /// The newest certificate of an applied height beyond the last block of an epoch that is not certified yet.
    certificate_waiting: Option<Certificate>,
    /// Groups of blocks that are not certified yet, and the newest that is and was not taken.
    groups: VecDeque<Group>,
    /// Where the ordering log may be cut once it is durable and certified, by ascending height. Empty on nodes that do
    /// not order.
    cut_points: VecDeque<CutPoint>,
    /// Headers up to here are signed by this node.
    signed_height: u64,
    /// Where the next block begins to look for live ids to prune; unknown until the first block after the start.
    pruned_to: Option<Vec<u8>>,
    /// The tip's height at the start.
    #[cfg(feature = "planted")]
    started_height: u64,
}

impl Executor {
    /// Goes on from what the ledger holds; writes the founding state into an empty one.
    ///
    /// # Errors
    /// [`ExecutorError`] when the ledger cannot be read or written.
    pub fn new(ledger: Arc<Ledger>, config: ExecutorConfig) -> Result<Self, ExecutorError> {
        let genesis_hash = config.genesis.hash();
        if !ledger.is_initialised()? {
            let founders = config.genesis.voter_set();
            ledger.initialise(&ledger.prepare_state(founding_writes(&config.genesis))?, &founders)?;
        }
        let tip = ledger.tip()?;
        let time = tip.header.as_ref().map_or(config.genesis.founded, |header| header.time);
        let tip = Tip { height: tip.height, hash: tip.hash, time };
        let state = LedgerState(ledger.view()?);
        let parameters = galen_contracts::query::get_parameters(&state)?;
        let voters = galen_contracts::query::get_voter_set(&state)?;
        let group = Group::of(&state, tip.height)?;
        drop(state);
        let epochs = Epochs::load(&ledger, voters)?;
        let mut executor = Self {
            ledger,
            config,
            genesis_hash,
            epochs,
            tip,
            parameters,
            ahead: BTreeMap::new(),
            certificate_ahead: None,
            certificate_waiting: None,
            groups: VecDeque::from([group]),
            cut_points: VecDeque::new(),
            signed_height: 0,
            pruned_to: None,
            #[cfg(feature = "planted")]
            started_height: tip.height,
        };
        executor.reload_signatures()?;
        executor.reload_cut_points()?;
        Ok(executor)
    }

    /// The last block.
    pub fn tip(&self) -> Tip {
        self.tip
    }

    /// The voters of the next height.
    pub fn voters(&self) -> &VoterSet {
        self.epochs.current()
    }

    /// The ordering group after the newest block that changed it and is certified here, once: for
    /// [`Orderer::set_group`](crate::Orderer::set_group). After a start, that of the tip, once it is certified.
    pub fn take_group(&mut self) -> Option<Group> {
        let certified = self.ledger.certified_height();
        #[cfg(feature = "planted")]
        let certified = match galen_planted::is_on(galen_planted::Bug::GroupBeforeCertificate) {
            true => self.tip.height,
            false => certified,
        };
        let count = self.groups.partition_point(|group| group.height <= certified);
        self.groups.drain(..count).next_back()
    }

    /// The ordering group after the tip, certified or not: who may speak, not what is to be done.
    ///
    /// # Errors
    /// [`ExecutorError`] when the state cannot be read.
    pub fn group(&self) -> Result<Group, ExecutorError> {
        Ok(Group::of(&LedgerState(self.ledger.view()?), self.tip.height)?)
    }

    /// The hash of the last recovery in the ledger; [`Hash::ZERO`] where there was none.
    ///
    /// # Errors
    /// [`ExecutorError`] when the state cannot be read.
    pub fn lineage(&self) -> Result<Hash, ExecutorError> {
        Ok(recovery::lineage(&LedgerState(self.ledger.view()?))?)
    }

    /// Takes up a recovery that the operator gave this node: blocks of peers are followed through it.
    pub fn hold_recovery(&mut self, held: recovery::HeldRecovery) {
        self.config.recoveries.add(held);
    }

    /// The genesis hash.
    pub fn genesis_hash(&self) -> &Hash {
        &self.genesis_hash
    }

    /// The ledger.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// The parameters in force at the tip.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }
}

/// A consistent view of the ledger, as the rules read it.
pub struct LedgerState<'ledger>(pub View<'ledger>);

impl StateRead for LedgerState<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.0.state_get(key).map_err(StateError::new)
    }

    fn scan(
        &self,
        prefix: &[u8],
        start_after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StateError> {
        self.0.state_scan(prefix, start_after, limit).map_err(StateError::new)
    }
}

/// The founding state, in ascending order of keys.
pub(crate) fn founding_writes(genesis: &Genesis) -> Vec<StateWrite> {
    let writes = galen_contracts::genesis_writes(genesis).into_iter();
    let mut writes: Vec<_> = writes.map(|(key, value)| (key, Some(value))).collect();
    writes.sort();
    writes
}
