//! Going on without a lost quorum: the block that a signed recovery makes, the same on every node.
//!
//! A node takes part in a recovery only when its operator gave it the recovery, when the block is in its ledger already,
//! or when the invitation that it joined by names it, or a later one that goes on from it. Everyone else refuses the
//! block: nothing that a peer says makes a node abandon a quorum.
//!
//! A node that was given the complete transaction makes the recovery block itself. One that holds the document only takes
//! the block from a peer, once the recovery's voters have certified it.

use std::collections::BTreeMap;

use galen_contracts::query::list_recoveries;
use galen_contracts::{StateError, StateRead, keys};
use galen_types::recovery::Recovery;
use galen_types::{Call, DecodeError, DecodedTransaction, Encoding, Hash, Timestamp};

use crate::executor::Tip;

/// Most bytes of a recovery's transaction.
pub const RECOVERY_BYTES_MAX: usize = 256 << 10;

/// Why a recovery is not applied. The code is stable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// Bytes that are no transaction.
    #[error("the recovery cannot be read: {0}; merge its signatures again")]
    Decode(#[from] DecodeError),
    /// A transaction of another kind.
    #[error("the transaction is no recovery")]
    NotARecovery,
    /// Of another chain.
    #[error("the recovery is for the chain with genesis {0}: give the one for this chain")]
    OtherChain(Hash),
    /// This ledger has not come as far as the recovery keeps.
    #[error("the recovery keeps blocks up to height {kept}, this node has {tip}: let it follow a node that has them")]
    Behind {
        /// The last height that is kept.
        kept: u64,
        /// The own tip.
        tip: u64,
    },
    /// This ledger has gone further than the recovery keeps.
    #[error(
        "the recovery keeps blocks up to height {kept}, this node has {tip}: its later blocks are abandoned; set this \
         node up again from a recovered one"
    )]
    Beyond {
        /// The last height that is kept.
        kept: u64,
        /// The own tip.
        tip: u64,
    },
    /// Another block at the last kept height.
    #[error("the recovery keeps header {kept} at height {height}, this node has {own}: they are of different chains")]
    OtherHeader {
        /// The height.
        height: u64,
        /// The header that it keeps.
        kept: Hash,
        /// The own header.
        own: Hash,
    },
    /// It is in the ledger already.
    #[error("this recovery is applied already")]
    Applied,
    /// The ledger went on by the same recovery, completed with other signatures.
    #[error(
        "the ledger went on at height {height} by the same recovery, completed with other signatures: its block is not the \
         one that this file makes. All nodes need the same file: compare with those that certify blocks; where this node's \
         is the wrong one, remove its ledger, log and snapshots folders and its file under recoveries, and apply theirs"
    )]
    AppliedOtherwise {
        /// The recovery block's height.
        height: u64,
    },
    /// A rule refuses it.
    #[error("the recovery is refused: {0}")]
    Refused(String),
}

impl RecoveryError {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Decode(_) => "recovery-malformed",
            Self::NotARecovery => "recovery-none",
            Self::OtherChain(_) => "recovery-other-chain",
            Self::Behind { .. } => "recovery-ledger-behind",
            Self::Beyond { .. } => "recovery-ledger-beyond",
            Self::OtherHeader { .. } => "recovery-other-header",
            Self::Applied => "recovery-applied",
            Self::AppliedOtherwise { .. } => "recovery-applied-otherwise",
            Self::Refused(_) => "recovery-refused",
        }
    }
}

/// A recovery that this node believes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRecovery {
    /// What is to be done.
    pub recovery: Recovery,
    /// What names the branch of the chain that goes on from it.
    pub hash: Hash,
    /// The transaction of the recovery block, where the operator gave it.
    pub(crate) transaction: Option<DecodedTransaction>,
}

impl HeldRecovery {
    /// Reads a recovery's transaction; its signatures are judged when it is applied.
    ///
    /// # Errors
    /// [`RecoveryError`] when it is none, or of another chain.
    pub fn from_bytes(bytes: &[u8], genesis: &Hash) -> Result<Self, RecoveryError> {
        let transaction = DecodedTransaction::decode(bytes.to_vec(), RECOVERY_BYTES_MAX)?;
        let Call::Recover { recovery } = &transaction.body.call else { return Err(RecoveryError::NotARecovery) };
        let recovery = recovery.recovery.clone();
        for named in [recovery.genesis, transaction.body.chain] {
            if named != *genesis {
                return Err(RecoveryError::OtherChain(named));
            }
        }
        let hash = recovery.hash();
        Ok(Self { recovery, hash, transaction: Some(transaction) })
    }

    /// One of which the document alone is known.
    pub fn from_document(recovery: Recovery) -> Self {
        Self { hash: recovery.hash(), recovery, transaction: None }
    }

    /// The full signed bytes of the recovery block's transaction, where they are held.
    pub fn transaction_bytes(&self) -> Option<&[u8]> {
        self.transaction.as_ref().map(|transaction| transaction.bytes.as_slice())
    }

    /// Whether it goes on from this block.
    pub(crate) fn continues(&self, height: u64, header: &Hash) -> bool {
        (self.recovery.height, &self.recovery.header) == (height, header)
    }

    /// Whether it goes on from the tip.
    pub(crate) fn check_tip(&self, tip: &Tip) -> Result<(), RecoveryError> {
        let (kept, own) = (self.recovery.height, tip.height);
        if own < kept {
            return Err(RecoveryError::Behind { kept, tip: own });
        }
        if own > kept {
            return Err(RecoveryError::Beyond { kept, tip: own });
        }
        if tip.hash != self.recovery.header {
            return Err(RecoveryError::OtherHeader { height: kept, kept: self.recovery.header, own: tip.hash });
        }
        Ok(())
    }

    /// The recovery block's time.
    pub(crate) fn time(&self, parent: Timestamp) -> Timestamp {
        self.recovery.made.max(parent.plus_ms(1))
    }
}

/// Recoveries that a node believes, by their hashes.
#[derive(Debug, Clone, Default)]
pub struct HeldRecoveries(BTreeMap<Hash, HeldRecovery>);

impl HeldRecoveries {
    /// Adds one. A document does not replace the transaction of the same recovery.
    pub fn add(&mut self, held: HeldRecovery) {
        if held.transaction.is_some() || !self.0.contains_key(&held.hash) {
            self.0.insert(held.hash, held);
        }
    }

    /// Adds what the state says that the chain went on by.
    ///
    /// # Errors
    /// [`StateError`] when the state cannot be used.
    pub fn add_recorded(&mut self, state: &dyn StateRead) -> Result<(), StateError> {
        let recorded = list_recoveries(state, lineage(state)?, usize::MAX)?;
        recorded.into_iter().map(HeldRecovery::from_document).for_each(|held| self.add(held));
        Ok(())
    }

    /// Those that go on from this block.
    pub(crate) fn from(&self, height: u64, header: &Hash) -> impl Iterator<Item = &HeldRecovery> {
        self.0.values().filter(move |held| held.continues(height, header))
    }

    /// Whether one goes on from the tip.
    pub(crate) fn goes_on_from(&self, tip: &Tip) -> bool {
        self.from(tip.height, &tip.hash).next().is_some()
    }

    /// Whether a block above what the newest of them keeps, as of its height, goes on by it; `lineage` is that of the block's
    /// voters.
    ///
    /// # Errors
    /// The height of the last block that the recovery keeps.
    pub(crate) fn lead_to(&self, height: u64, lineage: &Hash) -> Result<(), u64> {
        let below = || self.0.values().filter(|held| held.recovery.height < height);
        let Some(kept) = below().map(|held| held.recovery.height).max() else { return Ok(()) };
        let goes_on = below().any(|held| held.recovery.height == kept && held.hash == *lineage);
        if goes_on { Ok(()) } else { Err(kept) }
    }

    /// The one with this hash.
    pub fn get(&self, hash: &Hash) -> Option<&HeldRecovery> {
        self.0.get(hash)
    }

    /// The documents of all.
    pub fn documents(&self) -> impl Iterator<Item = &Recovery> {
        self.0.values().map(|held| &held.recovery)
    }

    /// Whether this recovery is held.
    pub fn holds(&self, hash: &Hash) -> bool {
        self.0.contains_key(hash)
    }

    /// The lineage that these recoveries lead to from a ledger's: what this node tells its peers.
    pub fn lineage_from(&self, recorded: Hash) -> Hash {
        let mut lineage = recorded;
        // Each names the one before by its hash, so there is no way round.
        while let Some(held) = self.0.values().find(|held| held.recovery.lineage == lineage && held.hash != lineage) {
            lineage = held.hash;
        }
        lineage
    }
}

impl FromIterator<HeldRecovery> for HeldRecoveries {
    fn from_iter<I: IntoIterator<Item = HeldRecovery>>(recoveries: I) -> Self {
        let mut held = Self::default();
        recoveries.into_iter().for_each(|recovery| held.add(recovery));
        held
    }
}

/// The hash of the last recovery in a state: what peers must agree on. [`Hash::ZERO`] where there was none.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn lineage(state: &dyn StateRead) -> Result<Hash, StateError> {
    match state.get(keys::last_recovery().as_bytes())? {
        Some(bytes) => Hash::decode(&bytes, 32).map_err(StateError::new),
        None => Ok(Hash::ZERO),
    }
}
