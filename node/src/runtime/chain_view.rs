//! The ledger as the HTTP face reads it: one moment of it, blocks and state and indexes agreeing.

use galen_chain::LedgerState;
use galen_contracts::{EventPosition, EventQuery, StateRead};
use galen_ledger::{EventSpan, Ledger, LedgerError, Location};
use galen_types::api::Evidence;
use galen_types::{BlockHeader, Certificate, Receipt, TransactionId};

use crate::http::services::{ChainView, ErrorKind, ServiceError, StoredBlock, StoredTransaction, TransactionPlace};
use crate::proving::told_evidence;

/// One moment of the ledger.
pub struct LedgerChainView<'ledger> {
    state: LedgerState<'ledger>,
    certified_height: u64,
}

impl<'ledger> LedgerChainView<'ledger> {
    /// The ledger as it is now.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn new(ledger: &'ledger Ledger) -> Result<Self, LedgerError> {
        // Read first: a view made later holds at least as much.
        let certified_height = ledger.certified_height();
        Ok(Self { state: LedgerState(ledger.view()?), certified_height })
    }

    /// Refuses, with the reason, a height below the tip whose block is not held here.
    fn require_held(&self, height: u64) -> Result<(), ServiceError> {
        match self.state.0.absence(height).map_err(unreadable)? {
            Some(absence) => Err(ServiceError::new(ErrorKind::Gone, absence.code(), absence.to_string())),
            None => Ok(()),
        }
    }
}

fn unreadable(error: LedgerError) -> ServiceError {
    if error.is_damage() {
        // What is wrong, and where, is the operator's to know; it is in the log.
        let detail = "what is stored here of this is damaged; this node repairs itself from its peers";
        return ServiceError::new(ErrorKind::Unavailable, error.code(), detail).with_hint("ask another node");
    }
    ServiceError::internal(&error)
}

impl From<Location> for TransactionPlace {
    fn from(location: Location) -> Self {
        Self { height: location.height, index: location.index }
    }
}

impl ChainView for LedgerChainView<'_> {
    fn state(&self) -> &dyn StateRead {
        &self.state
    }

    fn height(&self) -> u64 {
        self.state.0.height()
    }

    fn certified_height(&self) -> u64 {
        self.certified_height
    }

    fn header(&self, height: u64) -> Result<Option<BlockHeader>, ServiceError> {
        self.state.0.header(height).map_err(unreadable)
    }

    fn transaction_count(&self, height: u64) -> Result<u32, ServiceError> {
        let receipts = self.state.0.receipts(height).map_err(unreadable)?;
        Ok(u32::try_from(receipts.len()).unwrap_or(u32::MAX))
    }

    fn block(&self, height: u64) -> Result<Option<StoredBlock>, ServiceError> {
        let Some(block) = self.state.0.block(height).map_err(unreadable)? else {
            return self.require_held(height).map(|()| None);
        };
        let receipts = self.state.0.receipts(height).map_err(unreadable)?;
        Ok(Some(StoredBlock { header: block.header, transactions: block.transactions, receipts }))
    }

    fn certificate(&self, height: u64) -> Result<Option<Certificate>, ServiceError> {
        self.state.0.certificate_covering(height).map_err(unreadable)
    }

    fn evidence(&self, from: u64, limit: usize) -> Result<Vec<Evidence>, ServiceError> {
        let found = self.state.0.found_evidence(from, limit).map_err(unreadable)?;
        Ok(found.iter().map(told_evidence).collect())
    }

    fn transaction(&self, id: &TransactionId) -> Result<Option<StoredTransaction>, ServiceError> {
        let Some((location, receipt)) = self.state.0.receipt(id).map_err(unreadable)? else {
            // Where it stood is known also of what was pruned.
            return match self.state.0.location(id).map_err(unreadable)? {
                Some(location) => self.require_held(location.height).map(|()| None),
                None => Ok(None),
            };
        };
        let bytes = self.state.0.transaction_at(&location).map_err(unreadable)?;
        let bytes = bytes.ok_or_else(|| ServiceError::internal(&"a recorded transaction's bytes are missing"))?;
        Ok(Some(StoredTransaction { place: location.into(), bytes, receipt }))
    }

    fn receipt(&self, place: TransactionPlace) -> Result<Option<Receipt>, ServiceError> {
        let location = Location { height: place.height, index: place.index };
        self.state.0.receipt_at(&location).map_err(unreadable)
    }

    fn events(
        &self,
        query: &EventQuery,
        start_after: Option<EventPosition>,
        limit: usize,
    ) -> Result<Vec<EventPosition>, ServiceError> {
        let after = start_after.map(|position| query.key(position));
        let prefix = query.prefix();
        let span = EventSpan { prefix: &prefix, after: after.as_deref(), ..EventSpan::default() };
        let rows = self.state.0.event_scan(&span, limit).map_err(unreadable)?;
        Ok(rows.iter().filter_map(|(key, _)| EventPosition::of_key(key)).collect())
    }
}
