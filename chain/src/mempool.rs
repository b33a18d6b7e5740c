//! Transactions that wait for a block: bounded in number, bytes and share per signer; first in, first out. When it is
//! full, new ones are refused and the client is told to come back; nothing accepted is dropped before it expires.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;
use galen_types::{DecodedTransaction, Signer, Timestamp, TransactionId};

use crate::limits;

/// Why a transaction is not taken. The code is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MempoolRefusal {
    /// No room for anybody.
    #[error("too many transactions wait for a block; send it again in a second")]
    Full,
    /// No room for this signer.
    #[error("too many transactions of this signer wait for a block; send it again in a second")]
    SignerFull,
}

impl MempoolRefusal {
    /// A stable name.
    pub fn code(self) -> &'static str {
        match self {
            Self::Full => "mempool-full",
            Self::SignerFull => "mempool-signer-full",
        }
    }
}

/// Where a waiting transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the queue: not proposed, not sent to the leader.
    Queued,
    /// In a batch that this node proposed.
    Proposed,
    /// Sent to the leader at this tick.
    Forwarded(u64),
}

#[derive(Debug)]
struct Waiting {
    bytes: Bytes,
    signer: Signer,
    valid_until: Timestamp,
    place: Place,
}

/// The waiting transactions of one replica.
#[derive(Debug, Default)]
pub struct Mempool {
    waiting: HashMap<TransactionId, Waiting>,
    /// Ids in order of arrival; ids that are gone or proposed are skipped when met.
    queue: VecDeque<TransactionId>,
    /// Sent to the leader, oldest first.
    forwarded: VecDeque<(u64, TransactionId)>,
    expiry: BTreeMap<(Timestamp, TransactionId), ()>,
    signers: HashMap<Signer, Share>,
    bytes: usize,
}

/// What one signer takes up.
#[derive(Debug, Default)]
struct Share {
    transactions: usize,
    bytes: usize,
}

impl Mempool {
    /// Takes a transaction; `false` when it waits already.
    ///
    /// # Errors
    /// [`MempoolRefusal`] when there is no room.
    pub fn insert(&mut self, transaction: DecodedTransaction) -> Result<bool, MempoolRefusal> {
        if self.waiting.contains_key(&transaction.id) {
            return Ok(false);
        }
        let size = transaction.bytes.len();
        if self.waiting.len() >= limits::MEMPOOL_TRANSACTIONS_MAX || self.bytes + size > limits::MEMPOOL_BYTES_MAX {
            return Err(MempoolRefusal::Full);
        }
        let share = self.signers.entry(transaction.body.signer.clone()).or_default();
        if share.transactions >= limits::MEMPOOL_SIGNER_TRANSACTIONS_MAX
            || share.bytes + size > limits::MEMPOOL_SIGNER_BYTES_MAX
        {
            return Err(MempoolRefusal::SignerFull);
        }
        share.transactions += 1;
        share.bytes += size;
        self.bytes += size;
        let (id, valid_until) = (transaction.id, transaction.body.valid_until);
        self.queue.push_back(id);
        self.expiry.insert((valid_until, id), ());
        let waiting = Waiting {
            bytes: transaction.bytes.into(),
            signer: transaction.body.signer,
            valid_until,
            place: Place::Queued,
        };
        self.waiting.insert(id, waiting);
        Ok(true)
    }

    /// Takes up to `count_max` queued transactions of up to `bytes_max` bytes for a batch.
    pub fn take_batch(&mut self, count_max: usize, bytes_max: usize) -> Vec<(TransactionId, Bytes)> {
        self.take(count_max, bytes_max, Place::Proposed)
    }

    /// Takes queued transactions to send to the leader.
    pub fn take_for_leader(&mut self, tick: u64) -> Vec<Bytes> {
        let taken = self.take(usize::MAX, limits::FORWARD_BYTES_MAX, Place::Forwarded(tick));
        self.forwarded.extend(taken.iter().map(|(id, _)| (tick, *id)));
        taken.into_iter().map(|(_, bytes)| bytes).collect()
    }

    fn take(&mut self, count_max: usize, bytes_max: usize, place: Place) -> Vec<(TransactionId, Bytes)> {
        let (mut taken, mut size) = (Vec::new(), 0);
        while taken.len() < count_max
            && let Some(id) = self.queue.front().copied()
        {
            let Some(waiting) = self.waiting.get_mut(&id).filter(|waiting| waiting.place == Place::Queued) else {
                self.queue.pop_front();
                continue;
            };
            if !taken.is_empty() && size + waiting.bytes.len() > bytes_max {
                break;
            }
            size += waiting.bytes.len();
            waiting.place = place;
            taken.push((id, waiting.bytes.clone()));
            self.queue.pop_front();
        }
        taken
    }

    /// Whether anything is queued.
    pub fn has_queued(&mut self) -> bool {
        while let Some(id) = self.queue.front() {
            if self.waiting.get(id).is_some_and(|waiting| waiting.place == Place::Queued) {
                return true;
            }
            self.queue.pop_front();
        }
        false
    }

    /// Queues again what was sent to the leader so long ago that it may be lost.
    pub fn requeue_forwarded(&mut self, tick: u64) {
        while let Some((sent, id)) = self.forwarded.front().copied() {
            if tick.saturating_sub(sent) < limits::FORWARD_AGAIN_TICKS {
                break;
            }
            self.forwarded.pop_front();
            self.requeue(id, Place::Forwarded(sent));
        }
    }

    /// Queues everything again: another node leads, or this one begins to.
    pub fn requeue_all(&mut self) {
        self.forwarded.clear();
        self.queue.clear();
        // By expiry: deterministic, and what has least time goes first.
        for (_, id) in self.expiry.keys() {
            if let Some(waiting) = self.waiting.get_mut(id) {
                waiting.place = Place::Queued;
                self.queue.push_back(*id);
            }
        }
    }

    /// Queues transactions of a batch again that it did not settle: it could not be proposed, or had no room for them.
    pub fn requeue_batch(&mut self, ids: &[TransactionId]) {
        for id in ids {
            self.requeue(*id, Place::Proposed);
        }
    }

    fn requeue(&mut self, id: TransactionId, from: Place) {
        if let Some(waiting) = self.waiting.get_mut(&id).filter(|waiting| waiting.place == from) {
            waiting.place = Place::Queued;
            self.queue.push_back(id);
        }
    }

    /// Forgets a transaction: it is in a block, or void.
    pub fn remove(&mut self, id: &TransactionId) {
        let Some(waiting) = self.waiting.remove(id) else { return };
        self.bytes -= waiting.bytes.len();
        self.expiry.remove(&(waiting.valid_until, *id));
        if let Some(share) = self.signers.get_mut(&waiting.signer) {
            share.transactions -= 1;
            share.bytes -= waiting.bytes.len();
            if share.transactions == 0 {
                self.signers.remove(&waiting.signer);
            }
        }
    }

    /// Forgets transactions that no block from `block_time` on can take; their ids.
    pub fn expire(&mut self, block_time: Timestamp) -> Vec<TransactionId> {
        let expired: Vec<_> =
            self.expiry.keys().take_while(|(valid_until, _)| *valid_until < block_time).map(|(_, id)| *id).collect();
        for id in &expired {
            self.remove(id);
        }
        expired
    }

    /// Transactions that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
