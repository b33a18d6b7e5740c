//! A committed batch to a block. Deterministic: it reads the batch, the parent's state and nothing else, so every
//! replica computes the same header.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use galen_contracts::{BlockContext, StateError, StateRead, Verdict};
use galen_ledger::{BlockCommit, PreparedState, Row, StateWrite};
use galen_types::Hash;
use galen_types::certificate::CERTIFICATE_BYTES_MAX;
use galen_types::{
    Batch, Block, BlockHeader, DecodedTransaction, Encoding, NodeName, Parameters, PublicKey, Receipt, Signer,
    Timestamp, TransactionId, VoterSet, merkle,
};

use super::{Executed, ExecutedBlock, Executor, ExecutorError, LedgerState, Tip, Void};
use crate::group::Group;
use crate::limits;
use crate::orderer::{CutPoint, OrderedBatch};
use crate::overlay::Overlay;
use crate::signatures::VerifiedCache;

/// What a block is made of, before it is executed.
pub(super) struct Proposal {
    pub(super) time: Timestamp,
    pub(super) proposer: NodeName,
    pub(super) raft_term: u64,
    pub(super) raft_index: u64,
    pub(super) transactions: Vec<DecodedTransaction>,
    /// Whether it is the block that a recovery opens its epoch with.
    pub(super) recovery: bool,
}

/// Void transactions, and why.
type LeftOut = Vec<(TransactionId, Void)>;

/// What execution of a proposal gives, before it has a header.
#[derive(Default)]
pub(crate) struct Run {
    pub(crate) transactions: Vec<Vec<u8>>,
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) writes: Vec<StateWrite>,
    pub(crate) void: LeftOut,
    /// The voters of the next height, where the block changes them.
    pub(crate) next_voters: Option<VoterSet>,
    /// Where the next block begins to look for live ids to prune.
    pub(crate) pruned_to: Option<Vec<u8>>,
}

/// A block with everything it changes, not written yet.
pub(super) struct Built {
    pub(super) block: Block,
    pub(super) hash: Hash,
    pub(super) receipts: Vec<Receipt>,
    prepared: PreparedState,
    next_voters: Option<VoterSet>,
    pruned_to: Option<Vec<u8>>,
}

impl Executor {
    /// Executes a committed batch. One that is applied already (by pulling its block) is passed over.
    ///
    /// # Errors
    /// [`ExecutorError`]: the replica must stop.
    pub fn execute(&mut self, ordered: &OrderedBatch) -> Result<Executed, ExecutorError> {
        let applied = self.ledger.applied()?.index;
        if ordered.index <= applied {
            return Ok(Executed { applied_index: applied, ..Executed::default() });
        }
        let Some((batch, transactions, mut void)) = decode_batch(&ordered.bytes, &self.parameters) else {
            return self.passed_over(ordered, Vec::new());
        };
        let time = batch.proposed.max(self.tip.time.plus_ms(1));
        #[cfg(feature = "planted")]
        let time = if galen_planted::is_on(galen_planted::Bug::TimeGoesBack) { batch.proposed } else { time };
        let proposal = Proposal {
            time,
            proposer: batch.proposer,
            raft_term: ordered.term,
            raft_index: ordered.index,
            transactions,
            recovery: false,
        };
        let (built, left_out) = self.build(proposal)?;
        void.extend(left_out);
        let Some(built) = built else { return self.passed_over(ordered, void) };
        let block = self.commit(built)?;
        Ok(Executed { applied_index: ordered.index, block: Some(block), void })
    }

    /// An entry that makes no block.
    fn passed_over(&mut self, ordered: &OrderedBatch, void: LeftOut) -> Result<Executed, ExecutorError> {
        self.ledger.mark_applied(ordered.index, ordered.term)?;
        Ok(Executed { applied_index: ordered.index, block: None, void })
    }

    /// Executes a proposal on the tip's state. No block when every transaction is void.
    pub(super) fn build(&self, proposal: Proposal) -> Result<(Option<Built>, LeftOut), ExecutorError> {
        let state = LedgerState(self.ledger.view()?);
        #[cfg(feature = "planted")]
        let state = crate::planted::Forgetful { state, before: self.started_height };
        let voters = self.epochs.current();
        let context = BlockContext {
            genesis: self.genesis_hash,
            height: self.tip.height + 1,
            time: proposal.time,
            rules_version: self.config.genesis.rules_version,
            epoch: voters.epoch,
            recovery: proposal.recovery,
        };
        let run = run(&state, &context, &self.config.verified, self.pruned_to.as_deref(), proposal.transactions)?;
        if run.transactions.is_empty() {
            return Ok((None, run.void));
        }
        let prepared = self.ledger.prepare_state(run.writes)?;
        let next_voter_set = run.next_voters.as_ref().map_or(self.epochs.current_hash(), VoterSet::hash);
        // A recovery's epoch begins with its own block; every other change of voters holds from the next height.
        let (epoch, voter_set) = match &run.next_voters {
            Some(set) if proposal.recovery => (set.epoch, next_voter_set),
            _ => (voters.epoch, self.epochs.current_hash()),
        };
        let encoded: Vec<Vec<u8>> = run.receipts.iter().map(Encoding::encode).collect();
        let header = BlockHeader {
            genesis: self.genesis_hash,
            chain: self.config.genesis.chain.clone(),
            height: context.height,
            parent: self.tip.hash,
            time: proposal.time,
            epoch,
            voter_set,
            next_voter_set,
            rules_version: context.rules_version,
            proposer: proposal.proposer,
            raft_term: proposal.raft_term,
            raft_index: proposal.raft_index,
            transactions_root: merkle::root(run.transactions.iter().map(Vec::as_slice)),
            receipts_root: merkle::root(encoded.iter().map(Vec::as_slice)),
            history_root: self.ledger.history_root()?,
            state_root: prepared.root(),
        };
        let hash = header.hash();
        let block = Block { header, transactions: run.transactions };
        let Run { receipts, next_voters, pruned_to, void, .. } = run;
        let built = Built { block, hash, receipts, prepared, next_voters, pruned_to };
        Ok((Some(built), void))
    }

    /// Writes a block: one batch, everything or nothing.
    pub(super) fn commit(&mut self, built: Built) -> Result<ExecutedBlock, ExecutorError> {
        let Built { block, hash, receipts, prepared, next_voters, pruned_to } = built;
        let events = event_index(block.header.height, &receipts);
        let (height, time, index) = (block.header.height, block.header.time, block.header.raft_index);
        let commit =
            BlockCommit { block: &block, receipts: &receipts, events: &events, next_voters: next_voters.as_ref() };
        self.ledger.commit(&commit, &prepared)?;
        let parameters_key = galen_contracts::keys::parameters();
        let key_of = |write: &StateWrite| write.0.as_slice().cmp(parameters_key.as_bytes());
        if prepared.writes().binary_search_by(key_of).is_ok() {
            self.parameters = galen_contracts::query::get_parameters(&LedgerState(self.ledger.view()?))?;
        }
        if Group::is_changed_by(prepared.writes()) {
            self.groups.push_back(Group::of(&LedgerState(self.ledger.view()?), height)?);
        }
        self.epochs.applied(&block.header, next_voters);
        let (block, receipts) = (Arc::new(block), Arc::new(receipts));
        self.tip = Tip { height, hash, time };
        self.pruned_to = pruned_to.or(self.pruned_to.take());
        if self.config.orders {
            self.cut_points.push_back(CutPoint { index, height, header: hash });
        }
        let changes_registry = prepared.writes().iter().any(|(key, _)| galen_contracts::keys::is_group_key(key));
        Ok(ExecutedBlock { block, hash, receipts, changes_registry })
    }
}

/// Runs transactions in order over the parent's state. `pruned_to` is where to look for live ids to prune, where an earlier
/// block said it; it saves work and changes nothing.
pub(crate) fn run(
    state: &dyn StateRead,
    context: &BlockContext,
    verified: &VerifiedCache,
    pruned_to: Option<&[u8]>,
    transactions: Vec<DecodedTransaction>,
) -> Result<Run, StateError> {
    let begun = galen_contracts::begin_block(state, context)?;
    let mut overlay = Overlay::new(state);
    overlay.write(begun.writes);
    // After what is due: on an idle chain the first to sign with a key that was voted in is its owner.
    let valid = check_signatures(&overlay, verified, &transactions)?;
    let mut begun = begun.events;
    let mut run = Run::default();
    for (transaction, valid) in transactions.into_iter().zip(valid) {
        if !valid {
            run.void.push((transaction.id, Void::BadSignature));
            continue;
        }
        match galen_contracts::execute(&overlay, context, &transaction)? {
            Verdict::Void(reason) => run.void.push((transaction.id, Void::Rule(reason))),
            Verdict::Recorded(recorded) => {
                let recorded = recorded.after(std::mem::take(&mut begun));
                let (receipt, writes) = recorded.into_receipt(transaction.id);
                overlay.write(writes);
                run.receipts.push(receipt);
                run.transactions.push(transaction.bytes);
            }
        }
    }
    if !run.transactions.is_empty() {
        let limit = limits::PRUNE_PER_BLOCK_MIN + 2 * run.transactions.len();
        // On the parent's state, where nothing has to be merged: what this block records does not expire in it.
        let pruned = galen_contracts::prune_live_ids(state, context, pruned_to, limit)?;
        run.pruned_to = pruned.next;
        overlay.write(pruned.deletions);
    }
    run.writes = overlay.into_writes();
    run.next_voters = voters_written(&run.writes)?.filter(|set| set.epoch != context.epoch);
    Ok(run)
}

/// The voter set among a block's writes.
fn voters_written(writes: &[StateWrite]) -> Result<Option<VoterSet>, StateError> {
    let key = galen_contracts::keys::voter_set();
    let Ok(place) = writes.binary_search_by(|write| write.0.as_slice().cmp(key.as_bytes())) else { return Ok(None) };
    let bytes = writes.get(place).and_then(|(_, value)| value.as_deref()).unwrap_or_default();
    VoterSet::decode(bytes, CERTIFICATE_BYTES_MAX).map(Some).map_err(StateError::new)
}

/// Judges each signature under the key registered at the parent block, or put in force at the start of this one.
fn check_signatures(
    state: &dyn StateRead,
    verified: &VerifiedCache,
    transactions: &[DecodedTransaction],
) -> Result<Vec<bool>, StateError> {
    let mut keys: HashMap<&Signer, Option<PublicKey>> = HashMap::new();
    for transaction in transactions {
        let signer = &transaction.body.signer;
        if !keys.contains_key(signer) {
            keys.insert(signer, galen_contracts::signer_key(state, signer)?);
        }
    }
    let claims: Vec<_> = transactions
        .iter()
        .map(|transaction| (transaction, keys.get(&transaction.body.signer).copied().flatten()))
        .collect();
    Ok(verified.verify(&claims))
}

/// Rows of the event index for a block.
pub(crate) fn event_index(height: u64, receipts: &[Receipt]) -> Vec<Row> {
    let rows = (0u32..).zip(receipts);
    rows.flat_map(|(place, receipt)| galen_contracts::index_entries(height, place, receipt))
        .map(|key| (key, Vec::new()))
        .collect()
}

/// A batch, its transactions, and those of them that are void before any rule is asked.
type DecodedBatch = (Batch, Vec<DecodedTransaction>, LeftOut);

/// Decodes a batch and its transactions. What is no transaction or stands twice is left out; what is above a block's
/// limits too, and the leader proposes it again; a batch that cannot be decoded makes no block. It is the same on every
/// replica.
fn decode_batch(bytes: &[u8], parameters: &Parameters) -> Option<DecodedBatch> {
    if bytes.is_empty() {
        return None;
    }
    let mut batch = match Batch::decode(bytes, galen_consensus::limits::ENTRY_BYTES_MAX) {
        Ok(batch) => batch,
        Err(error) => {
            tracing::error!(%error, "a committed batch is malformed; it makes no block");
            return None;
        }
    };
    let limit = parameters.transaction_bytes_max as usize;
    let mut room = parameters.block_bytes_max as usize;
    let mut seen = HashSet::new();
    let (mut transactions, mut void) = (Vec::with_capacity(batch.transactions.len()), Vec::new());
    for bytes in std::mem::take(&mut batch.transactions) {
        let size = bytes.len();
        let transaction = match DecodedTransaction::decode(bytes, size) {
            Ok(transaction) => transaction,
            Err(error) => {
                tracing::warn!(%error, proposer = %batch.proposer, "a committed batch holds bytes that are no transaction");
                continue;
            }
        };
        if !seen.insert(transaction.id) {
            continue;
        }
        if size > limit {
            void.push((transaction.id, Void::Oversize { size, limit }));
            continue;
        }
        if size > room || transactions.len() == parameters.block_transactions_max as usize {
            tracing::warn!(proposer = %batch.proposer, "a committed batch is above a block's limits; the rest is left out");
            break;
        }
        room -= size;
        transactions.push(transaction);
    }
    Some((batch, transactions, void))
}
