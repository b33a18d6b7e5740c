//! The admission thread: decodes transactions from clients and peers, checks their signatures in batches (whatever
//! gathered during one round makes the next), and hands the sound ones to the ordering thread.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError};

use galen_chain::overlay::Overlay;
use galen_chain::signatures::VerifiedCache;
use galen_chain::{LedgerState, MempoolRefusal, Void};
use galen_contracts::{BlockContext, StateRead, VoidReason};
use galen_ledger::Ledger;
use galen_types::{DecodeError, DecodedTransaction, Hash, PublicKey, Timestamp, TransactionId};
use tokio::sync::{oneshot, watch};

use super::execution::Progress;
use super::fatal::Shutdown;
use super::limits;
use super::ordering::{OrderingInput, Submission};
use super::relay::Relay;

/// Why a transaction is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum AdmissionRefusal {
    /// Bytes that are no transaction.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// It would be void.
    #[error(transparent)]
    Void(#[from] Void),
    /// The mempool has no room.
    #[error(transparent)]
    Mempool(#[from] MempoolRefusal),
    /// The queue before the mempool has no room, or the node stops.
    #[error("the node takes no transaction now; send it again in a second")]
    Busy,
    /// The state cannot be read.
    #[error("the state cannot be read")]
    State,
}

/// Whom to tell.
pub(super) type AdmissionReply = oneshot::Sender<Result<TransactionId, AdmissionRefusal>>;

/// A transaction that asks to be taken.
pub(super) struct Applicant {
    /// Its full signed bytes.
    pub(super) bytes: Vec<u8>,
    /// Whom to tell that it waits, or why not; nobody for those forwarded by peers.
    pub(super) reply: Option<AdmissionReply>,
}

/// Everything the admission thread works with.
pub(super) struct Admission {
    /// The ledger: registered keys and live ids.
    pub(super) ledger: Arc<Ledger>,
    /// Signatures found valid, shared with execution.
    pub(super) verified: Arc<VerifiedCache>,
    /// The chain.
    pub(super) genesis: Hash,
    /// The rules' version.
    pub(super) rules_version: u32,
    /// How far the chain has come: block time.
    pub(super) progress: watch::Receiver<Progress>,
    /// Where sound transactions go.
    pub(super) target: Target,
    /// Stops the node.
    pub(super) shutdown: Shutdown,
}

/// Where sound transactions go.
pub(super) enum Target {
    /// The own ordering thread.
    Ordering(SyncSender<OrderingInput>),
    /// A voter, by way of the network: for nodes that do not order.
    Relay(Arc<Relay>),
}

/// A sound transaction, not yet judged by its signature.
struct Candidate {
    transaction: DecodedTransaction,
    key: Option<PublicKey>,
    reply: Option<AdmissionReply>,
}

impl Admission {
    /// Runs until nobody can send any more or the node stops.
    pub(super) fn run(self, applicants: &Receiver<Applicant>) {
        while !self.shutdown.is_stopping() {
            let first = match applicants.recv_timeout(limits::ADMISSION_LOOK) {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let round: Vec<Applicant> =
                std::iter::once(first).chain(applicants.try_iter().take(limits::ADMISSION_ROUND_MAX - 1)).collect();
            self.admit(round);
        }
    }

    fn admit(&self, round: Vec<Applicant>) {
        let Ok(state) = self.ledger.view().map(LedgerState) else { return refuse_all(round) };
        let Ok(parameters) = galen_contracts::query::get_parameters(&state) else { return refuse_all(round) };
        let Ok(epoch) = galen_contracts::query::get_voter_set(&state).map(|voters| voters.epoch) else {
            return refuse_all(round);
        };
        let context = BlockContext {
            genesis: self.genesis,
            height: state.0.height() + 1,
            time: Timestamp::now().max(self.progress.borrow().time.plus_ms(1)),
            rules_version: self.rules_version,
            epoch,
            recovery: false,
        };
        // What is due comes into force with the next block: on a chain that is idle since, nobody else makes that block.
        let Ok(begun) = galen_contracts::begin_block(&state, &context) else { return refuse_all(round) };
        let mut state = Overlay::new(&state);
        state.write(begun.writes);
        let mut candidates = Vec::with_capacity(round.len());
        for Applicant { bytes, reply } in round {
            match sound(bytes, parameters.transaction_bytes_max as usize, &state, &context, reply.is_some()) {
                Ok((transaction, key)) => candidates.push(Candidate { transaction, key, reply }),
                Err(refusal) => refuse(reply, refusal),
            }
        }
        let mut replies = Vec::with_capacity(candidates.len());
        let mut transactions = Vec::with_capacity(candidates.len());
        for Candidate { transaction, key, reply } in candidates {
            transactions.push((transaction, key));
            replies.push(reply);
        }
        let mut admitted = Vec::new();
        for (verdict, reply) in self.verified.admit(transactions).into_iter().zip(replies) {
            match verdict {
                Some(transaction) => admitted.push((transaction, reply)),
                None => refuse(reply, Void::BadSignature.into()),
            }
        }
        self.pass_on(admitted);
    }

    fn pass_on(&self, admitted: Vec<(galen_chain::signatures::VerifiedTransaction, Option<AdmissionReply>)>) {
        if admitted.is_empty() {
            return;
        }
        match &self.target {
            Target::Ordering(ordering) => {
                let mut submitted = Vec::with_capacity(admitted.len());
                let mut answers = Vec::new();
                for (transaction, reply) in admitted {
                    let id = transaction.decoded().id;
                    let answer = reply.map(|reply| {
                        let (sender, receiver) = oneshot::channel();
                        answers.push((id, reply, receiver));
                        sender
                    });
                    submitted.push(Submission { transaction, reply: answer });
                }
                match ordering.try_send(OrderingInput::Submit(submitted)) {
                    Ok(()) => {}
                    Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                        for (_, reply, _) in answers {
                            refuse(Some(reply), AdmissionRefusal::Busy);
                        }
                        return;
                    }
                }
                for (id, reply, receiver) in answers {
                    let outcome = match receiver.blocking_recv() {
                        Ok(Ok(())) => Ok(id),
                        Ok(Err(refusal)) => Err(refusal.into()),
                        Err(_) => Err(AdmissionRefusal::Busy),
                    };
                    let _ = reply.send(outcome);
                }
            }
            Target::Relay(relay) => {
                let mut replies = Vec::new();
                let mut transactions = Vec::new();
                for (transaction, reply) in admitted {
                    let decoded = transaction.into_decoded();
                    replies.push((decoded.id, reply));
                    transactions.push((decoded.id, decoded.bytes));
                }
                let sent = relay.send(transactions);
                for (id, reply) in replies {
                    match (sent, reply) {
                        (true, Some(reply)) => {
                            let _ = reply.send(Ok(id));
                        }
                        (false, reply) => refuse(reply, AdmissionRefusal::Busy),
                        (true, None) => {}
                    }
                }
            }
        }
    }
}

fn refuse_all(round: Vec<Applicant>) {
    for applicant in round {
        refuse(applicant.reply, AdmissionRefusal::State);
    }
}

fn refuse(reply: Option<AdmissionReply>, refusal: AdmissionRefusal) {
    if let Some(reply) = reply {
        let _ = reply.send(Err(refusal));
    }
}

/// Decodes a transaction, and finds out whether it would be void for another reason than its signature. A duplicate
/// passes when somebody waits for it: the asker gets the first receipt. Peers send again what they have not seen on the
/// chain; under load that must not fill batches with duplicates.
fn sound(
    bytes: Vec<u8>,
    limit: usize,
    state: &dyn StateRead,
    context: &BlockContext,
    is_awaited: bool,
) -> Result<(DecodedTransaction, Option<PublicKey>), AdmissionRefusal> {
    let transaction = DecodedTransaction::decode(bytes, limit)?;
    match galen_contracts::void_reason(state, context, &transaction) {
        Ok(None) => {}
        Ok(Some(VoidReason::Duplicate)) if is_awaited => {}
        Ok(Some(reason)) => return Err(Void::Rule(reason).into()),
        Err(_) => return Err(AdmissionRefusal::State),
    }
    let key = galen_contracts::signer_key(state, &transaction.body.signer).map_err(|_| AdmissionRefusal::State)?;
    Ok((transaction, key))
}
