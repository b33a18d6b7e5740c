//! Linearizable reads: each waits for an index of the ordering log that a quorum confirmed after the read came (Raft's
//! ReadIndex, Ongaro's thesis 6.4, never by a lease), and until the ledger holds it.
//!
//! Reads that come while a round of confirmation is on its way share the next one, so that a thousand reads cost a few
//! heartbeats. A round may be lost (Raft drops it silently without a leader, before a leader has committed in its term,
//! and with the frames that carry it), so another follows after a while; but an earlier one is never given up: on a slow
//! link its answer comes late and is as good, because a round confirms every read that came before it began.

use std::collections::{BTreeMap, BTreeSet};

use galen_consensus::{ReadIndexError, ReadState, Stopped};

use super::Orderer;
use crate::limits;

/// A read that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadTicket(u64);

/// Too many reads wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} reads wait for their confirmation already; try again later", limits::READS_WAITING_MAX)]
pub struct ReadsFull;

/// Rounds of confirmation and the reads that wait for them.
#[derive(Debug)]
pub(super) struct Reads {
    /// Tells this start's rounds from those before it, whose answers may still be on their way.
    start: u64,
    tickets: u64,
    /// The last round that began.
    round: u64,
    /// The last round that was confirmed.
    confirmed_round: u64,
    /// When the last round began; `None` when another is due at once.
    began: Option<u64>,
    /// The first round that confirms each read; rounds do not fall as tickets rise.
    unconfirmed: BTreeMap<ReadTicket, u64>,
    /// Reads by the index that the ledger must hold.
    confirmed: BTreeSet<(u64, ReadTicket)>,
}

impl Reads {
    /// `start` differs at every start of the node.
    pub(super) fn new(start: u64) -> Self {
        Self {
            start,
            tickets: 0,
            round: 0,
            confirmed_round: 0,
            began: None,
            unconfirmed: BTreeMap::new(),
            confirmed: BTreeSet::new(),
        }
    }

    fn context(&self, round: u64) -> [u8; 16] {
        let mut context = [0; 16];
        context[..8].copy_from_slice(&self.start.to_le_bytes());
        context[8..].copy_from_slice(&round.to_le_bytes());
        context
    }

    /// The round that a context names, if this start began it.
    fn round_of(&self, context: &[u8]) -> Option<u64> {
        let round = u64::from_le_bytes(context.get(8..)?.try_into().ok()?);
        (context == self.context(round) && (1..=self.round).contains(&round)).then_some(round)
    }

    /// Whether a round is to begin now.
    fn is_due(&self, tick: u64) -> bool {
        let Some(began) = self.began else { return !self.unconfirmed.is_empty() };
        let waits_unasked = self.unconfirmed.last_key_value().is_some_and(|(_, first)| *first > self.round);
        let room = self.round - self.confirmed_round < limits::READ_ROUNDS_AT_ONCE || tick > began;
        let again = !self.unconfirmed.is_empty() && tick >= began + limits::READ_AGAIN_TICKS;
        (waits_unasked && room) || again
    }

    /// A round was confirmed; `false` when the answer is to something else.
    pub(super) fn confirm(&mut self, state: &ReadState) -> bool {
        let Some(round) = self.round_of(&state.context) else { return false };
        self.confirmed_round = self.confirmed_round.max(round);
        while let Some(read) = self.unconfirmed.first_entry().filter(|read| *read.get() <= round) {
            self.confirmed.insert((state.index, *read.key()));
            read.remove();
        }
        true
    }

    /// Reads whose index the ledger holds.
    pub(super) fn take_served(&mut self, applied: u64) -> Vec<ReadTicket> {
        let mut served = Vec::new();
        while let Some((index, ticket)) = self.confirmed.first().copied().filter(|(index, _)| *index <= applied) {
            self.confirmed.remove(&(index, ticket));
            served.push(ticket);
        }
        served
    }

    /// Who leads changed: what the former leader was asked may be lost.
    pub(super) fn ask_again(&mut self) {
        self.began = None;
    }
}

impl Orderer {
    /// A read that must see everything that was acknowledged anywhere before this call. Its ticket comes in
    /// [`OrdererEffects::reads`](super::OrdererEffects::reads) when the ledger holds all that, or never, where no quorum
    /// confirms it: give it a deadline, and [`forget_read`](Self::forget_read) it then.
    ///
    /// # Errors
    /// [`ReadsFull`] when too many wait.
    pub fn read(&mut self) -> Result<ReadTicket, ReadsFull> {
        let reads = &mut self.reads;
        if reads.unconfirmed.len() + reads.confirmed.len() >= limits::READS_WAITING_MAX {
            return Err(ReadsFull);
        }
        reads.tickets += 1;
        let ticket = ReadTicket(reads.tickets);
        reads.unconfirmed.insert(ticket, reads.round + 1);
        Ok(ticket)
    }

    /// Nobody waits for a read any more.
    pub fn forget_read(&mut self, ticket: ReadTicket) {
        if self.reads.unconfirmed.remove(&ticket).is_none() {
            self.reads.confirmed.retain(|(_, waiting)| *waiting != ticket);
        }
    }

    /// Begins a round where one is due and somebody leads; otherwise it stays due.
    pub(super) fn confirm_reads(&mut self) -> Result<(), Stopped> {
        if !self.reads.is_due(self.tick) {
            return Ok(());
        }
        let round = self.reads.round + 1;
        #[cfg(feature = "planted")]
        if galen_planted::is_on(galen_planted::Bug::ReadUnconfirmed) && self.role.role == galen_consensus::Role::Leader
        {
            self.reads.round = round;
            let (index, context) = (self.core.committed(), self.reads.context(round).to_vec());
            self.reads.confirm(&ReadState { index, context: bytes::Bytes::from(context) });
            return Ok(());
        }
        match self.core.read_index(&self.reads.context(round)) {
            Ok(()) => {
                self.reads.round = round;
                self.reads.began = Some(self.tick);
                Ok(())
            }
            Err(ReadIndexError::Stopped(stopped)) => Err(stopped),
            Err(ReadIndexError::NoLeader | ReadIndexError::Full | ReadIndexError::Context) => Ok(()),
        }
    }
}
