//! The recovery block, made from its transaction and the parent alone, so that every node makes the same.

use galen_consensus::{Membership, MembershipAt, RaftId, SnapshotMeta};
use galen_types::{DecodedTransaction, Outcome, merkle};

use super::execute::{Built, Proposal};
use super::{ExecutedBlock, Executor, ExecutorError};
use crate::orderer::snapshot_context;
use crate::recovery::{HeldRecovery, RecoveryError};

/// Why a recovery is not applied: it is not fit, or the replica must stop.
#[derive(Debug, thiserror::Error)]
pub enum ApplyRecoveryError {
    /// Nothing changed.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The replica must stop.
    #[error(transparent)]
    Fatal(#[from] ExecutorError),
}

impl Executor {
    /// Applies a recovery's transaction (its full signed bytes) to the tip that it names, durably. The new ordering log
    /// begins with this block: its header's `raft_index` and `raft_term`.
    ///
    /// # Errors
    /// [`ApplyRecoveryError`]: it does not go on from this tip, or a rule refuses it.
    pub fn apply_recovery(&mut self, transaction: &[u8]) -> Result<ExecutedBlock, ApplyRecoveryError> {
        let held = HeldRecovery::from_bytes(transaction, &self.genesis_hash)?;
        if self.lineage()? == held.hash {
            return Err(self.how_applied(held.recovery.height.saturating_add(1), transaction)?.into());
        }
        let transaction = held.transaction.clone().ok_or(RecoveryError::NotARecovery)?;
        let built = self.build_recovery(&held, transaction)?;
        let block = self.commit(built)?;
        self.sync()?;
        Ok(block)
    }

    /// Whether the recovery that the ledger went on by is this very transaction: one document may be completed with other
    /// signatures. Where the ledger began above that block, its voters have certified it since.
    fn how_applied(&self, height: u64, transaction: &[u8]) -> Result<RecoveryError, ExecutorError> {
        let header = self.ledger.view()?.header(height)?;
        let root = merkle::root(std::iter::once(transaction));
        let is_other = header.is_some_and(|header| header.transactions_root != root);
        Ok(if is_other { RecoveryError::AppliedOtherwise { height } } else { RecoveryError::Applied })
    }

    /// Where the ordering log of this number begins, when the tip is a recovery's block that gave it out; `None` else. A voter
    /// that was behind and came to the recovery by following needs this as much as the one that applied it: the new group
    /// has no other log, and without this voter it may have no majority to elect a leader.
    ///
    /// # Errors
    /// [`ExecutorError`] when the ledger cannot be read.
    pub fn log_after_recovery(&self, id: RaftId) -> Result<Option<SnapshotMeta>, ExecutorError> {
        let Some(header) = self.ledger.tip()?.header else { return Ok(None) };
        let announced = match header.height.checked_sub(1) {
            None | Some(0) => self.config.genesis.voter_set().hash(),
            Some(parent) => match self.ledger.view()?.header(parent)? {
                Some(parent) => parent.next_voter_set,
                None => return Ok(None),
            },
        };
        let group = self.group()?;
        if header.voter_set == announced || !group.voters.contains_key(&id) {
            return Ok(None);
        }
        let membership = Membership::new(group.voters.keys().copied(), []);
        Ok(Some(SnapshotMeta {
            index: header.raft_index,
            term: header.raft_term,
            membership: MembershipAt { index: header.raft_index, membership },
            context: snapshot_context(header.height, &header.hash()),
        }))
    }

    /// The recovery block on the tip, not written yet.
    pub(super) fn build_recovery(
        &self,
        held: &HeldRecovery,
        transaction: DecodedTransaction,
    ) -> Result<Built, ApplyRecoveryError> {
        held.check_tip(&self.tip)?;
        let parent = self.ledger.tip().map_err(ExecutorError::from)?.header;
        let (index, term) = parent.map_or((0, 0), |parent| (parent.raft_index, parent.raft_term));
        let refused = |reason: &dyn std::fmt::Display| RecoveryError::Refused(reason.to_string());
        let Some(proposer) = held.recovery.names().next().cloned() else {
            return Err(refused(&"it names no voter").into());
        };
        let proposal = Proposal {
            time: held.time(self.tip.time),
            proposer,
            raft_term: term.saturating_add(1),
            raft_index: index.saturating_add(1),
            transactions: vec![transaction],
            recovery: true,
        };
        let (built, void) = self.build(proposal)?;
        let Some(built) = built else {
            let reason = void.first().map_or_else(String::new, |(_, reason)| reason.to_string());
            return Err(RecoveryError::Refused(reason).into());
        };
        if let Some(Outcome::Refused { explanation, .. }) = built.receipts.first().map(|receipt| &receipt.outcome) {
            return Err(refused(explanation).into());
        }
        Ok(built)
    }
}
