//! Layer 3: the chain as it stands at one moment. Blocks committed meanwhile do not show.

use galen_types::certificate::VoterSet;
use galen_types::{Block, BlockHeader, Certificate, Hash, HeaderSignature, Receipt, TransactionId};

use crate::constants::SCAN_ROWS_MAX;
use crate::error::LedgerError;
use crate::history::Absence;
use crate::meta::{self, HistorySpan, Progress};
use crate::snapshot::BaseProof;
use crate::store::bytes::{HistoryPosition, Location};
use crate::store::column::{
    Certificates, Column, Events, Evidence, Headers, History, OwnSignatures, Receipts, RowOf, Signatures, State,
    TransactionIndex, Transactions, VoterSets,
};
use crate::store::{Reader, Span, damaged};

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// The chain at one moment. Cheap to make; keep it short, because it keeps old rows from being dropped.
pub struct View<'ledger> {
    reader: Reader<'ledger>,
    height: u64,
    genesis: Hash,
}

/// Which rows of the event index.
#[derive(Debug, Clone, Copy, Default)]
pub struct EventSpan<'key> {
    /// Only keys that start with this.
    pub prefix: &'key [u8],
    /// Only keys greater than this.
    pub after: Option<&'key [u8]>,
    /// Only keys less than this.
    pub before: Option<&'key [u8]>,
    /// In descending order.
    pub reverse: bool,
}

impl<'ledger> View<'ledger> {
    pub(crate) fn new(reader: Reader<'ledger>, genesis: Hash) -> Result<Self, LedgerError> {
        let height = meta::get::<Progress>(&reader)?.unwrap_or_default().height;
        Ok(Self { reader, height, genesis })
    }

    /// The hash of the genesis document.
    pub(crate) fn genesis(&self) -> Hash {
        self.genesis
    }

    /// The last block's height; 0 before the first block.
    pub fn height(&self) -> u64 {
        self.height
    }

    /// The hash of the header at a height; at 0, the genesis hash.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn header_hash(&self, height: u64) -> Result<Option<Hash>, LedgerError> {
        match height.checked_sub(1) {
            None => Ok(Some(self.genesis)),
            Some(index) => self.reader.get::<History>(&HistoryPosition { level: 0, index }),
        }
    }

    /// The height of the snapshot that the ledger was installed from; 0 when it began with the genesis.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn base_height(&self) -> Result<u64, LedgerError> {
        Ok(self.span()?.base_height)
    }

    /// The lowest height whose header is held; 1 when all are.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn history_from(&self) -> Result<u64, LedgerError> {
        Ok(self.span()?.headers_from)
    }

    /// The lowest height whose transactions, receipts and events are held; 1 when all are.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn bodies_from(&self) -> Result<u64, LedgerError> {
        Ok(self.span()?.bodies_from)
    }

    /// Why the block of a height up to the tip is not held here; `None` when it is. Ask after a reader gave nothing.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn absence(&self, height: u64) -> Result<Option<Absence>, LedgerError> {
        Ok(Absence::of(&self.span()?, height, self.height))
    }

    fn span(&self) -> Result<HistorySpan, LedgerError> {
        Ok(meta::get::<HistorySpan>(&self.reader)?.unwrap_or_default())
    }

    /// The header at a height; `None` beyond the tip and below [`View::history_from`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn header(&self, height: u64) -> Result<Option<BlockHeader>, LedgerError> {
        self.reader.get::<Headers>(&height)
    }

    /// Headers from a height upwards, at most `limit` of them.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn headers(&self, from: u64, limit: usize) -> Result<Vec<BlockHeader>, LedgerError> {
        let rows = self.take::<Headers>(Span { from: from.to_be_bytes().to_vec(), ..Span::default() }, limit)?;
        Ok(rows.into_iter().map(|(_, header)| header).collect())
    }

    /// The block at a height; `None` beyond the tip and below [`View::bodies_from`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn block(&self, height: u64) -> Result<Option<Block>, LedgerError> {
        if height < self.span()?.bodies_from {
            return Ok(None);
        }
        let Some(header) = self.header(height)? else { return Ok(None) };
        let rows = self.reader.rows::<Transactions>(Span::prefix(&height.to_be_bytes()))?;
        let transactions = rows.map(|row| row.map(|(_, bytes)| bytes)).collect::<Result<_, _>>()?;
        let block = Block { header, transactions };
        if !block.transactions_match() {
            let problem = "they are not those that the header names";
            return Err(self.reader.see(damaged::<Transactions>(&height.to_be_bytes(), problem)));
        }
        Ok(Some(block))
    }

    /// The receipts of the block at a height, in its order; empty where the block is not held.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn receipts(&self, height: u64) -> Result<Vec<Receipt>, LedgerError> {
        let rows = self.reader.rows::<Receipts>(Span::prefix(&height.to_be_bytes()))?;
        rows.map(|row| row.map(|(_, receipt)| receipt)).collect()
    }

    /// Where a recorded transaction stands; known also of pruned blocks, but not of those before a snapshot that were not
    /// fetched yet.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn location(&self, transaction: &TransactionId) -> Result<Option<Location>, LedgerError> {
        self.reader.get::<TransactionIndex>(transaction)
    }

    /// The full signed bytes at a place.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn transaction_at(&self, location: &Location) -> Result<Option<Vec<u8>>, LedgerError> {
        self.reader.get::<Transactions>(location)
    }

    /// The receipt at a place.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn receipt_at(&self, location: &Location) -> Result<Option<Receipt>, LedgerError> {
        self.reader.get::<Receipts>(location)
    }

    /// Where a recorded transaction stands, and its receipt; `None` also when its block was pruned, see
    /// [`View::location`] and [`View::absence`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn receipt(&self, transaction: &TransactionId) -> Result<Option<(Location, Receipt)>, LedgerError> {
        let Some(location) = self.location(transaction)? else { return Ok(None) };
        if location.height < self.span()?.bodies_from {
            return Ok(None);
        }
        Ok(Some((location, self.reader.require::<Receipts>(&location)?)))
    }

    /// A value of the state.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn state_get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
        self.reader.get::<State>(key)
    }

    /// Keys of the state that start with `prefix`, in ascending order, with their values: those after `start_after`
    /// when given, at most `limit` and [`SCAN_ROWS_MAX`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn state_scan(&self, prefix: &[u8], start_after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, LedgerError> {
        let mut span = Span::prefix(prefix);
        if let Some(key) = start_after {
            span = span.after(key);
        }
        self.take::<State>(span, limit)
    }

    /// Rows of the event index, at most `limit` and [`SCAN_ROWS_MAX`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn event_scan(&self, span: &EventSpan<'_>, limit: usize) -> Result<Vec<Row>, LedgerError> {
        let mut rows = Span::prefix(span.prefix);
        if let Some(key) = span.after {
            rows = rows.after(key);
        }
        if let Some(key) = span.before {
            rows = rows.before(key);
        }
        if span.reverse {
            rows = rows.reversed();
        }
        self.take::<Events>(rows, limit)
    }

    /// The certificate at exactly this height.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn certificate(&self, height: u64) -> Result<Option<Certificate>, LedgerError> {
        self.reader.get::<Certificates>(&height)
    }

    /// The lowest stored certificate of this height or above: it covers the height.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn certificate_covering(&self, height: u64) -> Result<Option<Certificate>, LedgerError> {
        let span = Span { from: height.to_be_bytes().to_vec(), ..Span::default() };
        Ok(self.take::<Certificates>(span, 1)?.pop().map(|(_, certificate)| certificate))
    }

    /// The height of the newest stored certificate; 0 when there is none.
    pub(crate) fn newest_certificate(&self) -> Result<u64, LedgerError> {
        let newest = self.take::<Certificates>(Span::default().reversed(), 1)?.pop();
        Ok(newest.map_or(0, |(height, _)| height))
    }

    /// A node of the mountain range over the headers' hashes.
    pub(crate) fn history_node(&self, position: &HistoryPosition) -> Result<Option<Hash>, LedgerError> {
        self.reader.get::<History>(position)
    }

    /// This node's own signature at a height.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn own_signature(&self, height: u64) -> Result<Option<HeaderSignature>, LedgerError> {
        self.reader.get::<OwnSignatures>(&height)
    }

    /// All voters' signatures known at a height that agree with the chain, this node's own included.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn signatures(&self, height: u64) -> Result<Vec<HeaderSignature>, LedgerError> {
        let rows = self.reader.rows::<Signatures>(Span::prefix(&height.to_be_bytes()))?;
        let mut signatures = rows.map(|row| row.map(|(_, signature)| signature)).collect::<Result<Vec<_>, _>>()?;
        if let Some(own) =
            self.own_signature(height)?.filter(|own| signatures.iter().all(|other| other.voter != own.voter))
        {
            signatures.push(own);
        }
        Ok(signatures)
    }

    /// Deviant signatures kept, from a height upwards, at most `limit`. Which of them are evidence says
    /// [`View::found_evidence`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn evidence(&self, from: u64, limit: usize) -> Result<Vec<HeaderSignature>, LedgerError> {
        let rows = self.take::<Evidence>(Span { from: from.to_be_bytes().to_vec(), ..Span::default() }, limit)?;
        Ok(rows.into_iter().map(|(_, signature)| signature).collect())
    }

    /// The voters of an epoch.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn voter_set(&self, epoch: u64) -> Result<Option<VoterSet>, LedgerError> {
        self.reader.get::<VoterSets>(&epoch)
    }

    /// What the ledger rests on where it was installed from a snapshot.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn base_proof(&self) -> Result<Option<BaseProof>, LedgerError> {
        meta::get::<BaseProof>(&self.reader)
    }

    fn take<C: Column>(&self, span: Span, limit: usize) -> Result<Vec<RowOf<C>>, LedgerError> {
        self.reader.rows::<C>(span)?.take(limit.min(SCAN_ROWS_MAX)).collect()
    }
}
