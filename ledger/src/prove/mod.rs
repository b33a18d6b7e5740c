//! Proofs that are checked without a ledger: what stands in a block or in the state, the certified header that covers it,
//! and how each epoch's voters followed from the founders.

mod epochs;

use galen_types::proof::{EarlierHeader, Proof, Subject, TransactionProof, list_path};
use galen_types::{BlockHeader, Encoding, Genesis, NodeName, TransactionId};

use crate::error::LedgerError;
use crate::history::Absence;
use crate::ledger::Ledger;
use crate::store::bytes::HistoryPosition;
use crate::view::View;

/// Why there is no proof here. The code is stable.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProveError {
    /// No block holds the transaction, as far as this ledger knows.
    #[error(
        "transaction {0} is not known here: it was not recorded, or before the snapshot that this node started from and \
         not fetched yet; ask a node with the whole history (`galen node status` says from where it has it)"
    )]
    TransactionUnknown(TransactionId),
    /// The block's content is not held here.
    #[error(transparent)]
    Absent(#[from] Absence),
    /// No certificate covers the block yet.
    #[error("the block at height {height} is not certified yet; certified are those up to {certified}: ask again")]
    NotCertified {
        /// The block's height.
        height: u64,
        /// The highest certified.
        certified: u64,
    },
    /// The state is held as it is now.
    #[error("{}", state_not_held(*asked, *newest, kept))]
    StateNotHeld {
        /// The height asked for.
        asked: u64,
        /// The ledger's.
        newest: u64,
        /// The heights of which there are snapshots beside it.
        kept: Vec<u64>,
    },
    /// Headers that lead from the genesis are not held here.
    #[error(
        "the end of epoch {epoch} is not held here: this node started from a snapshot and has headers from height {from}; \
         ask a node with the whole history, or wait until it is fetched"
    )]
    HandoverAbsent {
        /// The epoch.
        epoch: u64,
        /// The lowest height whose header is held.
        from: u64,
    },
    /// There is no evidence against the voter at this height.
    #[error("no other header than the certified one is known here to be signed by `{voter}` at height {height}")]
    NoEvidence {
        /// The height.
        height: u64,
        /// The voter.
        voter: NodeName,
    },
    /// There is no block yet.
    #[error("the chain has no block yet: nothing is certified")]
    NoBlock,
    /// The store failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

fn state_not_held(asked: u64, newest: u64, kept: &[u64]) -> String {
    if asked > newest {
        return format!("there is no state after height {asked} yet: the newest here is that after height {newest}");
    }
    let kept: Vec<String> = kept.iter().map(u64::to_string).collect();
    let kept = if kept.is_empty() { String::new() } else { format!(", and those of snapshots, {}", kept.join(", ")) };
    format!(
        "the state after height {asked} is not held here any more: held is the newest, after height {newest}{kept}. Prove \
         the transactions that changed it, which are held from every height; or use a snapshot or a backup of that height \
         with `galen proof get --ledger DIR`"
    )
}

impl ProveError {
    /// A stable code for interfaces and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TransactionUnknown(_) => "proof-transaction-unknown",
            Self::Absent(absence) => absence.code(),
            Self::NotCertified { .. } => "proof-not-certified",
            Self::StateNotHeld { .. } => "proof-state-not-held",
            Self::HandoverAbsent { .. } => "proof-handover-absent",
            Self::NoEvidence { .. } => "proof-no-evidence",
            Self::NoBlock => "proof-no-block",
            Self::Ledger(error) => error.code(),
        }
    }
}

/// What the state says of keys, and the header whose state it is. [`View::certified_proof`] makes it a proof once that
/// header is certified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenState {
    /// The keys, their values and paths.
    pub subject: Subject,
    /// The newest header when they were read.
    pub header: BlockHeader,
}

impl Ledger {
    /// Proves what the newest state says of keys, all of one height: that after `height`, where one is given.
    ///
    /// # Errors
    /// [`ProveError`]: it is of another height, there is no block, or the store cannot be read.
    pub fn prove_keys(&self, keys: &[Vec<u8>], height: Option<u64>) -> Result<ProvenState, ProveError> {
        let (proofs, header) = self.prove_each(keys)?;
        let header = header.ok_or(ProveError::NoBlock)?;
        match height {
            Some(asked) if asked != header.height => {
                Err(ProveError::StateNotHeld { asked, newest: header.height, kept: Vec::new() })
            }
            _ => Ok(ProvenState { subject: Subject::State(proofs), header }),
        }
    }
}

impl View<'_> {
    /// Proves that a transaction with its receipt stands in a certified block.
    ///
    /// # Errors
    /// [`ProveError`] saying what is missing, and where it may be found.
    pub fn prove_transaction(&self, genesis: &Genesis, id: &TransactionId) -> Result<Proof, ProveError> {
        let location = self.location(id)?.ok_or(ProveError::TransactionUnknown(*id))?;
        let Some(block) = self.block(location.height)? else {
            return Err(match self.absence(location.height)? {
                Some(absence) => absence.into(),
                None => ProveError::TransactionUnknown(*id),
            });
        };
        let receipts = self.receipts(location.height)?;
        let index = usize::try_from(location.index).unwrap_or(usize::MAX);
        let encoded: Vec<Vec<u8>> = receipts.iter().map(Encoding::encode).collect();
        let path = |contents: &[Vec<u8>]| {
            let contents: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
            list_path(&contents, index)
        };
        let parts = (path(&block.transactions), path(&encoded), block.transactions.get(index), encoded.get(index));
        let (Some(transaction_path), Some(receipt_path), Some(transaction), Some(receipt)) = parts else {
            return Err(LedgerError::Damaged {
                column: "transactions",
                place: format!("height {}", location.height),
                problem: format!("there is no transaction at place {}", location.index),
            }
            .into());
        };
        let subject = Subject::Transaction(Box::new(TransactionProof {
            transaction: transaction.clone(),
            transaction_path,
            receipt: receipt.clone(),
            receipt_path,
        }));
        self.certified_proof(genesis, subject, &block.header)
    }

    /// The proof of a subject that stands under a header of this chain: by the lowest certificate that covers the header,
    /// and the handovers that lead to its voters.
    ///
    /// # Errors
    /// [`ProveError`]: not certified yet, or headers that lead there are not held.
    pub fn certified_proof(
        &self,
        genesis: &Genesis,
        subject: Subject,
        header: &BlockHeader,
    ) -> Result<Proof, ProveError> {
        let height = header.height;
        let Some(certificate) = self.certificate_covering(height)? else {
            return Err(ProveError::NotCertified { height, certified: self.newest_certificate()? });
        };
        let certified = self.header(certificate.height)?;
        let certified = certified.ok_or(ProveError::NotCertified { height, certified: self.height() })?;
        let handovers = self.handovers_to(certified.epoch, certificate.height)?;
        // A certificate of a later epoch covers the heights before a recovery, and no others.
        if certified.epoch != header.epoch && !epochs::kept_by_recovery(&handovers, height) {
            return Err(ProveError::NotCertified { height, certified: self.newest_certificate()? });
        }
        let earlier = (certified.height > height).then(|| self.earlier(header, certified.height)).transpose()?;
        Ok(Proof {
            genesis: genesis.encode(),
            handovers,
            certified,
            signatures: certificate.signatures,
            earlier,
            subject,
        })
    }

    /// The path from a header to the `history_root` of a later one: the range over all headers before that.
    fn earlier(&self, header: &BlockHeader, certified_height: u64) -> Result<EarlierHeader, ProveError> {
        let (place, length) = (header.height - 1, certified_height - 1);
        let node = |level: u8, index: u64| {
            let found = self.history_node(&HistoryPosition { level, index })?;
            found
                .ok_or(Absence::HistoryAbsent { height: header.height, from: self.history_from()? })
                .map_err(ProveError::from)
        };
        let (mut siblings, mut peaks) = (Vec::new(), Vec::new());
        let mut start = 0;
        for level in (0..64_u8).rev().filter(|level| length >> level & 1 == 1) {
            let end = start + (1 << level);
            if (start..end).contains(&place) {
                for below in 0..level {
                    siblings.push(node(below, (place >> below) ^ 1)?);
                }
            } else {
                peaks.push(node(level, start >> level)?);
            }
            start = end;
        }
        Ok(EarlierHeader { header: header.clone(), siblings, peaks })
    }
}
