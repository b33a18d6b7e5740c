//! A transaction to its verdict.

use std::collections::BTreeMap;

use galen_types::genesis::RULES_VERSION;
use galen_types::hash::Context;
use galen_types::{
    Call, DecodedTransaction, Encoding, Event, Hash, Outcome, Parameters, Receipt, Timestamp, TransactionId,
};

use crate::keys::{self, PRESENT};
use crate::refusal::{Failure, Refusal};
use crate::session::{Judged, Session};
use crate::signer::{Actor, load_actor};
use crate::state::{Lookup, StateError, StateRead};
use crate::void::VoidReason;
use crate::{access, datasets, jobs, members, provenance};

/// Keys and what becomes of them: `Some` sets, `None` deletes. In ascending order of keys.
pub type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The block in which a transaction is executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockContext {
    /// The chain: the hash of its genesis document.
    pub genesis: Hash,
    /// The block's height.
    pub height: u64,
    /// The block's time: the only clock that rules know.
    pub time: Timestamp,
    /// Which version of the rules executes it.
    pub rules_version: u32,
    /// The epoch of the voter set that certifies it: that of the set in the parent's state.
    pub epoch: u64,
    /// Whether it is a recovery block: it holds one recovery and nothing else. The chain sees to it that the recovery
    /// names the parent's header.
    pub recovery: bool,
}

/// What becomes of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: it is not recorded.
    Void(VoidReason),
    /// It stands in the block.
    Recorded(Recorded),
}

/// A recorded transaction: done or refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Done or refused.
    pub outcome: Outcome,
    /// What happened, for the audit trail.
    pub events: Vec<Event>,
    /// What changes in the state.
    pub writes: Writes,
}

impl Recorded {
    /// As the first transaction of a block: what came into force at the block's start happened before it.
    #[must_use]
    pub fn after(mut self, begun: Vec<Event>) -> Self {
        self.events.splice(..0, begun);
        self
    }

    /// The receipt.
    pub fn receipt(&self, transaction: TransactionId) -> Receipt {
        Receipt {
            transaction,
            outcome: self.outcome.clone(),
            events: self.events.clone(),
            write_set: write_set_digest(&self.writes),
        }
    }

    /// The receipt and the writes, without copying either.
    pub fn into_receipt(self, transaction: TransactionId) -> (Receipt, Writes) {
        let write_set = write_set_digest(&self.writes);
        (Receipt { transaction, outcome: self.outcome, events: self.events, write_set }, self.writes)
    }
}

/// Whether writes may have changed the members, nodes, numbers in ordering, voter set, last recovery or parameters, so
/// that whoever keeps a copy of them reads it again. Give it the keys of a block's writes: those of its beginning and of
/// its transactions.
pub fn group_keys_changed<K: AsRef<[u8]>>(keys: impl IntoIterator<Item = K>) -> bool {
    keys.into_iter().any(|key| keys::is_group_key(key.as_ref()))
}

/// The digest of a write set: over each key and value in ascending order of keys, each after its length (u32,
/// little-endian); a value after one byte 1, a deletion as one byte 0.
pub fn write_set_digest(writes: &Writes) -> Hash {
    let mut bytes = Vec::new();
    let part = |bytes: &mut Vec<u8>, content: &[u8]| {
        // Longer than 4 GiB cannot be: calls are bounded by the size of a transaction.
        bytes.extend_from_slice(&u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(content);
    };
    for (key, value) in writes {
        part(&mut bytes, key);
        match value {
            Some(value) => {
                bytes.push(1);
                part(&mut bytes, value);
            }
            None => bytes.push(0),
        }
    }
    Hash::of(Context::WriteSet, &bytes)
}

/// Executes a transaction on the state after all earlier ones of its block. The caller has checked its signature under
/// [`crate::signer_key`] of the parent block's state, after what [`crate::begin_block`] changes.
///
/// # Errors
/// [`StateError`] when the state cannot be used, or the rules version is not known here: the node must stop.
pub fn execute(state: &dyn StateRead, block: &BlockContext, tx: &DecodedTransaction) -> Result<Verdict, StateError> {
    let (parameters, actor) = match admit(state, block, tx)? {
        Ok(admitted) => admitted,
        Err(reason) => return Ok(Verdict::Void(reason)),
    };
    let refusals_max = parameters.refusals_per_minute_max;
    let event = provenance::event_of(tx);
    let mut session = Session::new(state, block, tx.id.0, parameters, actor, event);
    let (outcome, events, mut writes) = match apply(&mut session, &tx.body.call) {
        Ok(()) => {
            let (writes, events) = session.applied();
            (Outcome::Applied, events, writes)
        }
        Err(Failure::State(error)) => return Err(error),
        Err(Failure::Refused(refusal)) => {
            let Some(quota) = count_refusal(state, block, tx, refusals_max)? else {
                let signer = tx.body.signer.clone();
                return Ok(Verdict::Void(VoidReason::RefusalQuotaExhausted { signer, limit: refusals_max }));
            };
            let outcome = Outcome::Refused { rule: refusal.rule(), explanation: refusal.explanation() };
            (outcome, session.refused(&refusal), quota)
        }
    };
    writes.insert(keys::live_id(tx.body.valid_until, tx.id).into_bytes(), Some(PRESENT.encode()));
    Ok(Verdict::Recorded(Recorded { outcome, events, writes }))
}

/// Why a transaction would be void in a block, as far as can be said before its call is judged: for whoever takes
/// transactions in.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn void_reason(
    state: &dyn StateRead,
    block: &BlockContext,
    tx: &DecodedTransaction,
) -> Result<Option<VoidReason>, StateError> {
    Ok(admit(state, block, tx)?.err())
}

fn admit(
    state: &dyn StateRead,
    block: &BlockContext,
    tx: &DecodedTransaction,
) -> Result<Result<(Parameters, Actor), VoidReason>, StateError> {
    if !(1..=RULES_VERSION).contains(&block.rules_version) {
        return Err(StateError::new(format_args!(
            "the block is made by rules version {}; this software executes 1 to {RULES_VERSION}: use a newer release",
            block.rules_version
        )));
    }
    let valid_until = tx.body.valid_until;
    if tx.body.chain != block.genesis {
        return Ok(Err(VoidReason::WrongChain));
    }
    #[cfg(feature = "planted")]
    let expires = !galen_planted::is_on(galen_planted::Bug::ExpiredAccepted);
    #[cfg(not(feature = "planted"))]
    let expires = true;
    if expires && valid_until < block.time {
        return Ok(Err(VoidReason::Expired { valid_until, time: block.time }));
    }
    let parameters = state.load_present(&keys::parameters())?;
    let horizon_ms = parameters.transaction_horizon_ms;
    if valid_until > block.time.plus_ms(horizon_ms) {
        return Ok(Err(VoidReason::HorizonExceeded { horizon_ms }));
    }
    let recorded = state.load(&keys::live_id(valid_until, tx.id))?.is_some();
    #[cfg(feature = "planted")]
    let recorded = recorded && !galen_planted::is_on(galen_planted::Bug::DuplicateAccepted);
    if recorded {
        return Ok(Err(VoidReason::Duplicate));
    }
    Ok(load_actor(state, &tx.body.signer)?.map(|actor| (parameters, actor)))
}

/// The writes that count a refused call against its signer; `None` when this minute's quota is used up.
fn count_refusal(
    state: &dyn StateRead,
    block: &BlockContext,
    tx: &DecodedTransaction,
    refusals_max: u32,
) -> Result<Option<Writes>, StateError> {
    let key = keys::refusals(&tx.body.signer);
    let minute = block.time.0 / 60_000;
    let refused = state.load(&key)?.filter(|(last, _)| *last == minute).map_or(0, |(_, count)| count);
    Ok(refused
        .checked_add(1)
        .filter(|count| *count <= refusals_max)
        .map(|count| Writes::from([(key.into_bytes(), Some((minute, count).encode()))])))
}

/// Hands a call to its state machine.
fn apply(session: &mut Session<'_>, call: &Call) -> Judged {
    match (session.block.recovery, matches!(call, Call::Recover { .. })) {
        (true, false) => return Err(Refusal::RecoveryOnly.into()),
        (false, true) => return Err(Refusal::RecoveryNotOrdered.into()),
        _ => {}
    }
    match call {
        Call::AddAccount(new) => members::accounts::add(session, new),
        Call::SuspendAccount { account, .. } => members::accounts::suspend(session, account),
        Call::RestoreAccount { account } => members::accounts::restore(session, account),
        Call::SetAccountRoles { account, roles } => members::accounts::set_roles(session, account, roles),
        Call::RotateAccountKey { account, key, encryption_key } => {
            members::accounts::rotate_key(session, account, *key, *encryption_key)
        }
        Call::Propose(change) => members::proposals::propose(session, change),
        Call::Vote { proposal, ballot, reason } => members::proposals::vote(session, *proposal, *ballot, *reason),

        Call::Apply { application } => members::applications::apply(session, application),
        Call::WithdrawApplication { proposal, signature } => {
            members::applications::withdraw(session, *proposal, signature)
        }
        Call::Leave { reason } => members::standing::leave(session, *reason),
        Call::ObjectToReset { proposal } => members::resets::object(session, *proposal),
        Call::AddNode(new) => members::nodes::add(session, new),
        Call::RemoveNode { node, reason } => members::nodes::remove_own(session, node, *reason),
        Call::DemoteNode { node } => members::nodes::demote(session, node),
        Call::SetNodeAddress { node, address } => members::nodes::set_address(session, node, address),
        Call::RotateNodeKey { node, key } => members::nodes::rotate_key(session, node, *key),
        Call::StartOrdering { replaces } => members::ordering::start(session, *replaces),
        Call::JoinVoters { raft_id } => members::ordering::join(session, *raft_id),
        Call::Recover { recovery } => members::recovery::recover(session, recovery),

        Call::PublishDataset { dataset, content, discoverable } => {
            datasets::publish(session, dataset, content, *discoverable)
        }
        Call::UpdateDataset { dataset, previous, content } => datasets::update(session, dataset, *previous, content),
        Call::WithdrawDataset { dataset, version: None, .. } => datasets::withdraw(session, dataset),
        Call::WithdrawDataset { dataset, version: Some(version), reason } => {
            datasets::withdraw_version(session, dataset, *version, *reason)
        }
        Call::ReportTampering { version } => datasets::report_tampering(session, version),

        Call::SetContract { scope, previous, rules } => access::contracts::set(session, scope, *previous, rules),
        Call::RequestAccess { dataset, terms, draft } => access::requests::file(session, dataset, terms, *draft),
        Call::ReviseRequest { request, terms } => access::requests::revise(session, *request, terms),
        Call::ApproveRequest { request, limits } => access::grants::approve(session, *request, limits),
        Call::RejectRequest { request, reason } => access::requests::reject(session, *request, *reason),
        Call::ReturnRequest { request, reason } => access::requests::send_back(session, *request, *reason),
        Call::CloseRequest { request } => access::requests::close(session, *request),
        Call::RevokeGrant { grant, reason } => access::grants::revoke(session, *grant, *reason),
        Call::Download { version, purpose } => access::downloads::download(session, version, *purpose),

        Call::SubmitJob(specification) => jobs::submit::submit(session, specification),
        Call::AnswerJob { job, answer } => jobs::answer::answer(session, *job, answer),
        Call::FinishJob { job, result, sites, summaries_deleted } => {
            jobs::end::finish(session, *job, *result, sites, *summaries_deleted)
        }
        Call::FailJob { job, failure, sites } => jobs::end::fail(session, *job, *failure, sites),
        Call::ReadResult { job } => jobs::end::read_result(session, *job),
    }
}
