//! Deleting the transactions, receipts and events of old blocks, a bounded number at a time. Headers, certificates, the
//! history tree and the index from transaction id to place stay: a header can still be proved, and whether and where a
//! transaction was recorded can still be answered.
//!
//! Rows are deleted one by one, in one batch a block together with the note of what is held: RocksDB's deletion of ranges
//! or whole files ignores readers that still look at them. Compaction gives the space back.

use galen_types::{BlockHeader, Receipt};

use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::meta::{self, HistorySpan};
use crate::store::bytes::Location;
use crate::store::column::{Events, Headers, Receipts, Transactions};
use crate::store::{Durability, Span};
use crate::view::Row;

/// What a step of pruning did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Blocks whose transactions, receipts and events were deleted.
    pub blocks: u64,
    /// Their transactions.
    pub transactions: u64,
    /// The lowest height whose transactions are held now.
    pub bodies_from: u64,
}

impl Ledger {
    /// Deletes the transactions, receipts and event rows of the oldest blocks held: those below `below`, at most
    /// `blocks_max` of them, and never one above the highest certified height. `event_rows` gives the rows of the event
    /// index that a block made. Runs beside block commits; each block's deletion is atomic.
    ///
    /// # Errors
    /// When the store cannot be read; a failed write is fatal.
    pub fn prune_bodies(
        &self,
        below: u64,
        blocks_max: u64,
        event_rows: &mut dyn FnMut(&BlockHeader, &[Receipt]) -> Vec<Row>,
    ) -> Result<Pruned, LedgerError> {
        let mut span = self.span()?;
        let end = below.min(self.certified_height()).min(span.bodies_from.saturating_add(blocks_max));
        let mut pruned = Pruned { bodies_from: span.bodies_from, ..Pruned::default() };
        while span.bodies_from < end {
            let height = span.bodies_from;
            let reader = self.store.reader();
            let header = reader.require::<Headers>(&height)?;
            let rows = reader.rows::<Receipts>(Span::prefix(&height.to_be_bytes()))?;
            let receipts = rows.map(|row| row.map(|(_, receipt)| receipt)).collect::<Result<Vec<_>, _>>()?;
            let mut batch = self.store.batch(64 * (1 + 4 * receipts.len()));
            let (transactions, receipts_column) = (batch.column::<Transactions>()?, batch.column::<Receipts>()?);
            let events = batch.column::<Events>()?;
            for (index, _) in (0_u32..).zip(&receipts) {
                let location = Location { height, index };
                batch.delete(&transactions, &location);
                batch.delete(&receipts_column, &location);
            }
            for (key, _) in event_rows(&header, &receipts) {
                batch.delete(&events, &key);
            }
            let next =
                HistorySpan { bodies_from: height + 1, pruned_below: span.pruned_below.max(height + 1), ..*span };
            meta::put(&mut batch, &next)?;
            batch.write(Durability::Process)?;
            *span = next;
            pruned.blocks += 1;
            pruned.transactions += receipts.len() as u64;
            pruned.bodies_from = next.bodies_from;
        }
        Ok(pruned)
    }
}
