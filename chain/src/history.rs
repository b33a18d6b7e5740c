//! The chain before a snapshot, fetched from peers downwards and checked before it is written; and pruning, its opposite.
//!
//! Headers come first: each is the parent that the one above names, so no certificate is needed. Then blocks with their
//! receipts, which the headers' roots bind. Each step is atomic in the ledger, and the next question follows from what the
//! ledger holds, so a restart simply goes on.

use galen_ledger::{BlockCommit, HistoryError, Ledger, LedgerError, Pruned, Row};
use galen_types::block::BLOCK_BYTES_MAX;
use galen_types::{Block, BlockHeader, DecodeError, Encoding, Receipt};
use wincode::{SchemaRead, SchemaWrite};

use crate::executor::execute::event_index;
use crate::limits::{HISTORY_ANSWER_BYTES_MAX, HISTORY_BYTES_MAX, HISTORY_HEADERS_MAX};

/// A question to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
#[wincode(tag_encoding = "u8")]
pub enum HistoryRequest {
    /// Headers in descending order.
    #[wincode(tag = 1)]
    Headers {
        /// The first wanted is the one below this height.
        below: u64,
    },
    /// Blocks with their receipts in descending order.
    #[wincode(tag = 2)]
    Bodies {
        /// The first wanted is the one below this height.
        below: u64,
    },
}

/// A peer's answer, in descending order; empty when it does not hold what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
#[wincode(tag_encoding = "u8")]
pub enum HistoryAnswer {
    /// Headers.
    #[wincode(tag = 1)]
    Headers(Vec<BlockHeader>),
    /// Blocks with their receipts.
    #[wincode(tag = 2)]
    Bodies(Vec<PastBlock>),
}

/// A block as it was executed.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct PastBlock {
    /// The encoded block.
    pub block: Vec<u8>,
    /// One receipt a transaction.
    pub receipts: Vec<Receipt>,
}

/// Which part of the past a node wants to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HistoryPolicy {
    /// Whether the chain before a snapshot is fetched.
    pub fetch: bool,
    /// Blocks below the certified height whose transactions are kept; 0 keeps all.
    pub keep_bodies_blocks: u64,
}

/// How far an answer filled the past in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filled {
    /// The lowest height whose header is held.
    pub headers_from: u64,
    /// The lowest height whose transactions are held.
    pub bodies_from: u64,
    /// Whether the answer brought anything.
    pub advanced: bool,
}

/// Why an answer is not written. The code is stable.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FillError {
    /// Bytes that are no answer.
    #[error("a peer's answer is malformed: {0}")]
    Decode(#[from] DecodeError),
    /// It is not the chain's past, or the ledger failed.
    #[error(transparent)]
    History(#[from] HistoryError),
}

impl FillError {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Decode(_) => "history-malformed",
            Self::History(error) => error.code(),
        }
    }

    /// Whether the peer is to blame: ask another. Else the ledger failed, and the node must stop.
    pub fn blames_peer(&self) -> bool {
        !matches!(self, Self::History(HistoryError::Ledger(_)))
    }
}

impl HistoryPolicy {
    /// The lowest height whose transactions this node wants to hold.
    fn bodies_floor(&self, ledger: &Ledger) -> u64 {
        match self.keep_bodies_blocks {
            0 => 1,
            keep => ledger.certified_height().saturating_sub(keep).saturating_add(1),
        }
    }

    /// What to ask a peer for next; `None` when all that is wanted is held.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger cannot be read.
    pub fn wanted(&self, ledger: &Ledger) -> Result<Option<HistoryRequest>, LedgerError> {
        if !self.fetch {
            return Ok(None);
        }
        let view = ledger.view()?;
        let (headers_from, bodies_from) = (view.history_from()?, view.bodies_from()?);
        if headers_from > 1 {
            return Ok(Some(HistoryRequest::Headers { below: headers_from }));
        }
        let more = bodies_from > self.bodies_floor(ledger);
        Ok(more.then_some(HistoryRequest::Bodies { below: bodies_from }))
    }

    /// Deletes the transactions, receipts and events of at most `blocks_max` blocks that are no longer wanted.
    ///
    /// # Errors
    /// [`LedgerError`]; a failed write is fatal.
    pub fn prune(&self, ledger: &Ledger, blocks_max: u64) -> Result<Pruned, LedgerError> {
        let mut rows = |header: &BlockHeader, receipts: &[Receipt]| event_index(header.height, receipts);
        ledger.prune_bodies(self.bodies_floor(ledger), blocks_max, &mut rows)
    }
}

impl HistoryAnswer {
    /// Decodes a peer's answer, bounded.
    ///
    /// # Errors
    /// [`FillError::Decode`].
    pub fn from_peer(bytes: &[u8]) -> Result<Self, FillError> {
        Ok(Self::decode(bytes, HISTORY_ANSWER_BYTES_MAX)?)
    }

    /// The answer to a peer's request, bounded in size.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger cannot be read.
    pub fn to_request(request: &HistoryRequest, ledger: &Ledger) -> Result<Self, LedgerError> {
        let view = ledger.view()?;
        match *request {
            HistoryRequest::Headers { below } => {
                // A node that is behind the question has nothing that would join what the asker holds.
                if below > view.height().saturating_add(1) {
                    return Ok(Self::Headers(Vec::new()));
                }
                let from = below.saturating_sub(HISTORY_HEADERS_MAX as u64).max(view.history_from()?);
                let count = usize::try_from(below.saturating_sub(from)).unwrap_or(0);
                let mut headers = view.headers(from, count)?;
                headers.reverse();
                Ok(Self::Headers(headers))
            }
            HistoryRequest::Bodies { below } => {
                if below > view.height().saturating_add(1) {
                    return Ok(Self::Bodies(Vec::new()));
                }
                let (mut bodies, mut size) = (Vec::new(), 0);
                for height in (view.bodies_from()?..below).rev() {
                    let Some(block) = view.block(height)? else { break };
                    let body = PastBlock { block: block.encode(), receipts: view.receipts(height)? };
                    // A receipt is about as long as its transaction.
                    size += 2 * body.block.len();
                    bodies.push(body);
                    if size >= HISTORY_BYTES_MAX {
                        break;
                    }
                }
                Ok(Self::Bodies(bodies))
            }
        }
    }

    /// Checks an answer and writes it: all of it, or nothing. What the ledger holds already is passed over.
    ///
    /// # Errors
    /// [`FillError`].
    pub fn fill(self, ledger: &Ledger) -> Result<Filled, FillError> {
        let view = ledger.view().map_err(HistoryError::from)?;
        let mut headers_from = view.history_from().map_err(HistoryError::from)?;
        let mut bodies_from = view.bodies_from().map_err(HistoryError::from)?;
        drop(view);
        let before = (headers_from, bodies_from);
        match self {
            Self::Headers(mut headers) => {
                headers.retain(|header| header.height < headers_from);
                if !headers.is_empty() {
                    headers_from = ledger.fill_headers(&headers)?;
                }
            }
            Self::Bodies(bodies) => {
                let mut past: Vec<(Block, Vec<Receipt>, Vec<Row>)> = Vec::with_capacity(bodies.len());
                for PastBlock { block, receipts } in bodies {
                    let block = Block::decode(&block, BLOCK_BYTES_MAX)?;
                    if block.header.height < bodies_from {
                        let events = event_index(block.header.height, &receipts);
                        past.push((block, receipts, events));
                    }
                }
                let commits: Vec<_> = past
                    .iter()
                    .map(|(block, receipts, events)| BlockCommit { block, receipts, events, next_voters: None })
                    .collect();
                if !commits.is_empty() {
                    bodies_from = ledger.fill_bodies(&commits)?;
                }
            }
        }
        Ok(Filled { headers_from, bodies_from, advanced: (headers_from, bodies_from) != before })
    }
}
