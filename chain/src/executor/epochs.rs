//! Which voters certify which height, and how far certification may go.
//!
//! A certificate covers earlier heights of its own epoch only. What hands over to the next epoch is the certificate at
//! exactly the old epoch's last block, a *gate* here: certification stops there until the old voters have signed it. A
//! recovery block needs no gate before it: its document, which this node holds, stands in for the lost quorum.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use galen_ledger::{Ledger, LedgerError};
use galen_types::{BlockHeader, Hash, VoterSet};

/// Voter sets kept in memory: those of a few epochs around the certified height.
const SETS_KEPT: usize = 8;

/// Headers read at a time.
const HEADERS_PAGE: usize = 1_024;

/// The voters of the next height, those of earlier epochs, and the gates above the certified height.
pub(super) struct Epochs {
    /// The voters of the next height.
    current: Arc<VoterSet>,
    current_hash: Hash,
    /// Heights from here on, up to the next, are the current voters'.
    current_from: u64,
    earlier: BTreeMap<u64, Arc<VoterSet>>,
    /// Last blocks of epochs that are not certified, in ascending order.
    gates: VecDeque<u64>,
}

impl Epochs {
    /// Reads the gates between the certified height and the tip.
    pub(super) fn load(ledger: &Ledger, current: VoterSet) -> Result<Self, LedgerError> {
        let view = ledger.view()?;
        let tip = view.height();
        let mut epochs = Self {
            current_hash: current.hash(),
            current: Arc::new(current),
            current_from: tip + 1,
            earlier: BTreeMap::new(),
            gates: VecDeque::new(),
        };
        let certified = ledger.certified_height();
        let mut announced = view.header(certified)?.map(|header| header.next_voter_set);
        let mut next = certified + 1;
        while next <= tip {
            let headers = view.headers(next, HEADERS_PAGE)?;
            let Some(last) = headers.last() else { break };
            next = last.height + 1;
            for header in &headers {
                let recovery = announced.is_some_and(|announced| announced != header.voter_set);
                epochs.note(header, recovery);
                announced = Some(header.next_voter_set);
            }
        }
        Ok(epochs)
    }

    /// The voters of the next height.
    pub(super) fn current(&self) -> &Arc<VoterSet> {
        &self.current
    }

    /// Their hash.
    pub(super) fn current_hash(&self) -> Hash {
        self.current_hash
    }

    /// A block was applied; `next` are the voters after it, where it changes them.
    pub(super) fn applied(&mut self, header: &BlockHeader, next: Option<VoterSet>) {
        let recovery = next.as_ref().is_some_and(|set| set.epoch == header.epoch);
        if let Some(next) = next {
            let former = std::mem::replace(&mut self.current, Arc::new(next));
            self.current_hash = header.next_voter_set;
            self.current_from = header.height + u64::from(!recovery);
            self.earlier.insert(former.epoch, former);
            if self.earlier.len() > SETS_KEPT {
                self.earlier.pop_first();
            }
        }
        self.note(header, recovery);
    }

    fn note(&mut self, header: &BlockHeader, recovery: bool) {
        if recovery {
            self.gates.clear();
        }
        if galen_ledger::hands_over(header) {
            self.gates.push_back(header.height);
        }
    }

    /// The voters of a height up to the tip; `None` where its header is not held.
    pub(super) fn at(&mut self, ledger: &Ledger, height: u64) -> Result<Option<Arc<VoterSet>>, LedgerError> {
        #[cfg(feature = "planted")]
        if galen_planted::is_on(galen_planted::Bug::WrongEpochsVoters) {
            return Ok(Some(Arc::clone(&self.current)));
        }
        if height >= self.current_from {
            return Ok(Some(Arc::clone(&self.current)));
        }
        let view = ledger.view()?;
        let Some(epoch) = view.header(height)?.map(|header| header.epoch) else { return Ok(None) };
        if epoch == self.current.epoch {
            self.current_from = height;
            return Ok(Some(Arc::clone(&self.current)));
        }
        if let Some(known) = self.earlier.get(&epoch) {
            return Ok(Some(Arc::clone(known)));
        }
        let Some(set) = view.voter_set(epoch)? else { return Ok(None) };
        let set = Arc::new(set);
        if self.earlier.len() >= SETS_KEPT {
            self.earlier.pop_first();
        }
        self.earlier.insert(epoch, Arc::clone(&set));
        Ok(Some(set))
    }

    /// The last height that certification may reach now; `tip` where no gate stands before it.
    pub(super) fn reach(&self, tip: u64) -> u64 {
        #[cfg(feature = "planted")]
        if galen_planted::is_on(galen_planted::Bug::EpochEndPassed) {
            return tip;
        }
        self.gates.front().copied().unwrap_or(tip).min(tip)
    }

    /// A height is certified; whether that opens a gate.
    pub(super) fn certified(&mut self, height: u64) -> bool {
        let opened = self.gates.front() == Some(&height);
        while self.gates.front().is_some_and(|gate| *gate <= height) {
            self.gates.pop_front();
        }
        opened
    }
}
