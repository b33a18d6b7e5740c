//! Cutting the log, and catching up with a leader that has cut its own.
//!
//! A snapshot holds no data. The leader names an index, a term, a configuration and the embedder's context; the follower
//! holds that as an offer, gets the data by pulling blocks, each checked by its certificate, and only then takes the
//! offer. So nobody can replace a node's state by a message.

use bytes::Bytes;
use raft::eraftpb::Message;

use super::{CompactError, MessageError, RaftCore, SnapshotError, SnapshotOffer};
use crate::firewall::Refusal;
use crate::limits::SNAPSHOT_CONTEXT_BYTES_MAX;
use crate::membership::MembershipError;
use crate::types::{MembershipAt, Persist, PersistToken, RaftId, SnapshotChange, SnapshotMeta};
use crate::wire;

impl RaftCore {
    /// Cuts the log up to `index`, which the ledger must hold durably and certified (R3). `context` tells a follower
    /// that needs older entries which block it must have instead.
    ///
    /// # Errors
    /// When the index is not applied here or cut already.
    pub fn compact(&mut self, index: u64, context: Bytes) -> Result<(), CompactError> {
        self.running()?;
        if self.restoring.is_some() {
            return Err(CompactError::Restoring);
        }
        if context.len() > SNAPSHOT_CONTEXT_BYTES_MAX {
            return Err(CompactError::Context);
        }
        let (cut, applied) = (self.raw.store().snapshot.index, self.raw.raft.raft_log.applied);
        if index <= cut {
            return Err(CompactError::Done(cut));
        }
        let Some(term) = self.raw.store().term_of(index).filter(|_| index <= applied) else {
            return Err(CompactError::NotApplied { index, applied });
        };
        // The configuration of that index, not of now: a follower goes on from there.
        let held = |at: &&MembershipAt| at.index <= index && at.membership.is_known();
        let Some(membership) = self.memberships.iter().rev().find(held).cloned() else {
            return Err(CompactError::MembershipUnknown(index));
        };
        self.memberships.retain(|at| at.index >= membership.index);
        let snapshot = SnapshotMeta { index, term, membership, context };
        self.raw.mut_store().compact(snapshot.clone());
        self.write(Persist {
            token: PersistToken(0),
            snapshot: Some(SnapshotChange::Compacted(snapshot)),
            entries: Vec::new(),
            membership: None,
            hard_state: Some(self.hard_state_now()),
        });
        Ok(())
    }

    /// A snapshot from the leader that passed the firewall.
    pub(super) fn offered(&mut self, mut message: Message) -> Result<(), MessageError> {
        let (index, term) = (message.snapshot.metadata.index, message.snapshot.metadata.term);
        let log = &self.raw.raft.raft_log;
        if index < log.committed || log.match_term(index, term) {
            // This node has that entry: raft only answers how far it is.
            return Ok(self.step(message)?);
        }
        if index == log.committed {
            return Err(self.refuse(Refusal::SnapshotConflict(index)));
        }
        if message.term < self.raw.raft.term {
            return Ok(());
        }
        let Ok((at, context)) = wire::decode_snapshot_data(&message.snapshot.data) else {
            return Ok(());
        };
        let (known, offered) = (self.membership().highest_id, at.membership.highest_id);
        if offered < known {
            // Later than what is committed here, and forgetful of a node that was added before.
            return Err(self.refuse(Refusal::SnapshotMembership(MembershipError::HighestId(known))));
        }
        // Raft takes only a snapshot that names this node; one made before it was added does not.
        message.snapshot.metadata.conf_state = at.membership.to_raft_on(self.config.id);
        self.out.snapshot_offer =
            Some(SnapshotOffer { from: RaftId(message.from), index, term, membership: at.membership, context });
        self.offer = Some(message);
        Ok(())
    }

    /// Takes the held snapshot at `index`. The ledger must hold the block that the offer names, certified and durably,
    /// and `applied(index)` must have said so.
    ///
    /// # Errors
    /// When no such offer is held (any more) or the ledger is behind.
    pub fn accept_snapshot(&mut self, index: u64) -> Result<(), SnapshotError> {
        self.running()?;
        let held = self.offer.as_ref().map(|offer| offer.snapshot.metadata.index);
        if held != Some(index) {
            return Err(SnapshotError::NotHeld { held });
        }
        #[cfg(feature = "planted")]
        if galen_planted::is_on(galen_planted::Bug::SnapshotUnchecked) {
            self.applied = self.applied.max(index);
        }
        if self.applied < index {
            return Err(SnapshotError::LedgerBehind { applied: self.applied });
        }
        let Some(offer) = self.offer.take() else {
            return Err(SnapshotError::NotHeld { held: None });
        };
        if offer.term < self.raw.raft.term || index <= self.raw.raft.raft_log.committed {
            return Err(SnapshotError::OutOfDate);
        }
        self.step(offer)?;
        Ok(())
    }

    /// Forgets the held snapshot, because its block is not on the chain. The leader offers again after a while.
    pub fn reject_snapshot(&mut self) {
        self.offer = None;
    }
}
