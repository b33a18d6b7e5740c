//! The chain before a snapshot: which part of it is held, and filling in what is not.
//!
//! A ledger that was installed from a snapshot at height `base` begins with that header, the mountain range's peaks and
//! the state. Headers are filled in downwards, each being the parent that the one above names; then transactions and
//! receipts downwards, each checked against the roots of a header that is held. The nodes of the mountain range that end
//! below the base are completed on the way; those that end above it are written by block commits as always.

use std::collections::BTreeMap;

use galen_types::merkle::{self, MountainRange};
use galen_types::{BlockHeader, Hash};

use crate::commit::{BlockCommit, put_block};
use crate::constants::FILL_HEADERS_MAX;
use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::meta::{self, HistorySpan};
use crate::store::bytes::{HistoryPosition, Key as _};
use crate::store::column::{Headers, History};
use crate::store::{Durability, Reader, damaged};

/// Why the block of a height below the tip is not held here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Absence {
    /// It came before the snapshot that the node started from, and was not fetched.
    #[error(
        "the block at height {height} is before the snapshot that this node started from, and was not fetched: ask another node, or set ledger.history = \"full\" here (blocks from {from} are held)"
    )]
    HistoryAbsent {
        /// The height asked for.
        height: u64,
        /// The lowest height that is held.
        from: u64,
    },
    /// It was pruned by this node's configuration.
    #[error(
        "the transactions of height {height} were pruned on this node: ask one that keeps more (blocks from {from} are held)"
    )]
    Pruned {
        /// The height asked for.
        height: u64,
        /// The lowest height that is held.
        from: u64,
    },
}

impl Absence {
    /// A stable code for interfaces and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::HistoryAbsent { .. } => "history-absent",
            Self::Pruned { .. } => "pruned",
        }
    }

    pub(crate) fn of(span: &HistorySpan, height: u64, tip: u64) -> Option<Self> {
        let from = span.bodies_from;
        if height == 0 || height >= from || height > tip {
            None
        } else if height < span.pruned_below {
            Some(Self::Pruned { height, from })
        } else {
            Some(Self::HistoryAbsent { height, from })
        }
    }
}

/// Why history given by a peer is not filled in; nothing was written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HistoryError {
    /// The ledger refuses or fails.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Not the height below the lowest one held.
    #[error("height {given} was given; the next height wanted, downwards, is {expected}")]
    Height {
        /// The next height downwards.
        expected: u64,
        /// The one given.
        given: u64,
    },
    /// Not the block that the chain holds at this height.
    #[error("what was given for height {height} is not the chain's: {problem}")]
    NotTheChains {
        /// The height.
        height: u64,
        /// What differs.
        problem: &'static str,
    },
    /// More at once than one step may write.
    #[error("{given} headers are more than the {limit} of one step: give fewer")]
    TooMany {
        /// Headers given.
        given: usize,
        /// Headers taken.
        limit: usize,
    },
}

impl HistoryError {
    /// A stable code for interfaces and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ledger(error) => error.code(),
            Self::Height { .. } => "history-height",
            Self::NotTheChains { .. } => "history-not-the-chains",
            Self::TooMany { .. } => "history-too-many",
        }
    }
}

impl Ledger {
    /// Fills in headers in descending order, the first being the one below the lowest held. All or none are written;
    /// gives the lowest height whose header is held then.
    ///
    /// # Errors
    /// [`HistoryError`] when one does not belong; nothing was written then. A failed write is fatal.
    pub fn fill_headers(&self, headers: &[BlockHeader]) -> Result<u64, HistoryError> {
        if headers.len() > FILL_HEADERS_MAX {
            return Err(HistoryError::TooMany { given: headers.len(), limit: FILL_HEADERS_MAX });
        }
        let mut span = self.span()?;
        let reader = self.store.reader();
        let mut above = reader.require::<Headers>(&span.headers_from).map_err(HistoryError::from)?;
        let mut batch = self.store.batch(headers.len() * 640);
        let column = batch.column::<Headers>()?;
        let mut nodes = Nodes { reader: &reader, base: span.base_height, filled: BTreeMap::new() };
        let mut from = span.headers_from;
        for header in headers {
            let expected = from - 1;
            if header.height != expected || expected == 0 {
                return Err(HistoryError::Height { expected, given: header.height });
            }
            let hash = header.hash();
            let wrong = |problem| Err(HistoryError::NotTheChains { height: header.height, problem });
            if above.parent != hash {
                return wrong("the header above names another parent");
            }
            if header.genesis != self.settings.genesis || header.chain != self.settings.chain {
                return wrong("it names another genesis or chain");
            }
            if header.height == 1 && header.parent != self.settings.genesis {
                return wrong("the first block's parent is not the genesis");
            }
            nodes.fill(header.height - 1, hash)?;
            batch.put(&column, &header.height, header);
            above = header.clone();
            from = expected;
        }
        let column = batch.column::<History>()?;
        for (position, node) in &nodes.filled {
            batch.put(&column, position, node);
        }
        let next = HistorySpan { headers_from: from, ..*span };
        meta::put(&mut batch, &next)?;
        batch.write(Durability::Process)?;
        *span = next;
        Ok(from)
    }

    /// Fills in the transactions, receipts and event rows of blocks in descending order, the first being the one below the
    /// lowest held; their headers must be held. All or none are written; gives the lowest height whose body is held then.
    ///
    /// # Errors
    /// [`HistoryError`] when one does not belong; nothing was written then. A failed write is fatal.
    pub fn fill_bodies(&self, bodies: &[BlockCommit<'_>]) -> Result<u64, HistoryError> {
        let mut span = self.span()?;
        let reader = self.store.reader();
        let size = bodies.iter().map(BlockCommit::size_bytes).sum();
        let mut batch = self.store.batch(size);
        let mut from = span.bodies_from;
        for body in bodies {
            let header = &body.block.header;
            let expected = from - 1;
            if header.height != expected || expected == 0 || expected < span.headers_from {
                return Err(HistoryError::Height { expected: expected.max(span.headers_from), given: header.height });
            }
            let wrong = |problem| Err(HistoryError::NotTheChains { height: header.height, problem });
            if reader.require::<Headers>(&expected)? != *header {
                return wrong("the header is another one");
            }
            if !body.block.transactions_match() {
                return wrong("the transactions are not those that the header names");
            }
            let receipts: Vec<Vec<u8>> = body.receipts.iter().map(galen_types::Encoding::encode).collect();
            if merkle::root(receipts.iter().map(Vec::as_slice)) != header.receipts_root
                || receipts.len() != body.block.transactions.len()
            {
                return wrong("the receipts are not those that the header names");
            }
            put_block(&mut batch, body)?;
            from = expected;
        }
        let next = HistorySpan { bodies_from: from, ..*span };
        meta::put(&mut batch, &next)?;
        batch.write(Durability::Process)?;
        *span = next;
        Ok(from)
    }
}

/// Nodes of the mountain range that headers, filled in downwards, complete.
struct Nodes<'reader> {
    reader: &'reader Reader<'reader>,
    base: u64,
    filled: BTreeMap<HistoryPosition, Hash>,
}

impl Nodes<'_> {
    /// Takes a leaf: each node above it is complete once its leftmost leaf is there, because the rest came before.
    fn fill(&mut self, leaf: u64, hash: Hash) -> Result<(), LedgerError> {
        let mut position = HistoryPosition { level: 0, index: leaf };
        let mut node = hash;
        self.filled.insert(position, node);
        while position.index.is_multiple_of(2) {
            let right = HistoryPosition { level: position.level, index: position.index + 1 };
            // The headers that the parent covers end here; beyond the base, block commits write it.
            let end = right.index.checked_add(1).and_then(|end| end.checked_shl(u32::from(right.level)));
            if end.is_none_or(|end| end > self.base) {
                break;
            }
            let sibling = match self.filled.get(&right) {
                Some(sibling) => *sibling,
                None => self.reader.require::<History>(&right)?,
            };
            node = merkle::node(&node, &sibling);
            position = HistoryPosition { level: position.level + 1, index: position.index / 2 };
            self.filled.insert(position, node);
        }
        Ok(())
    }
}

/// The peaks of the mountain range over the first `length` headers, and where each stands.
pub(crate) fn peak_positions(length: u64) -> impl Iterator<Item = HistoryPosition> {
    let levels = (0..64_u8).rev().filter(move |level| length >> level & 1 == 1);
    levels.map(move |level| HistoryPosition { level, index: (length >> level) - 1 })
}

/// The mountain range over the headers before a height.
pub(crate) fn range_before(reader: &Reader<'_>, height: u64) -> Result<MountainRange, LedgerError> {
    let length = height.saturating_sub(1);
    let peaks =
        peak_positions(length).map(|position| reader.require::<History>(&position)).collect::<Result<_, _>>()?;
    MountainRange::from_peaks(length, peaks).ok_or_else(|| {
        reader.see(damaged::<History>(&height.bytes(), "the history's peaks are not those of its length"))
    })
}
