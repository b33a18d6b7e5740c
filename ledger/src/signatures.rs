//! Header signatures: this node's own, which are on disk before they are given out, and those of others.

use std::sync::atomic::Ordering;

use galen_types::{Hash, HeaderSignature};

use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::meta::{self, DurableMark};
use crate::store::Durability;
use crate::store::bytes::SignatureKey;
use crate::store::column::{OwnSignatures, Signatures};

impl Ledger {
    /// Records this node's own signature, synced, and gives the one to release: the one stored, when this header was
    /// signed before. Everything written before is durable afterwards.
    ///
    /// # Errors
    /// [`LedgerError::AlreadySigned`] when another header was signed at this height, or any at a higher one;
    /// [`LedgerError::BeyondTip`] and [`LedgerError::OtherHeader`] when the header is not the one held at its height. A
    /// failed write is fatal.
    pub fn record_own_signature(&self, signature: &HeaderSignature) -> Result<HeaderSignature, LedgerError> {
        self.check_writable()?;
        let mut last_signed = self.last_signed()?;
        let height = signature.height;
        let view = self.view()?;
        if let Some(stored) = view.own_signature(height)? {
            if stored.header == signature.header {
                return Ok(stored);
            }
            return Err(LedgerError::AlreadySigned { last: *last_signed, given: height });
        }
        if height <= *last_signed {
            return Err(LedgerError::AlreadySigned { last: *last_signed, given: height });
        }
        self.check_names_held_header(height, signature.header)?;
        // Taken before the write: blocks committed meanwhile are not promised.
        let durable = view.height();
        drop(view);
        let mut batch = self.store.batch(1024);
        let column = batch.column::<OwnSignatures>()?;
        batch.put(&column, &height, signature);
        meta::put(&mut batch, &DurableMark { height: durable })?;
        batch.write(Durability::Disk)?;
        *last_signed = height;
        self.durable.fetch_max(durable, Ordering::AcqRel);
        Ok(signature.clone())
    }

    /// The highest height that this node signed; 0 when it signed none.
    ///
    /// # Errors
    /// When a thread panicked while it signed.
    pub fn last_signed_height(&self) -> Result<u64, LedgerError> {
        Ok(*self.last_signed()?)
    }

    /// Syncs: everything written before survives loss of power. Gives the durable height.
    ///
    /// # Errors
    /// A failed write is fatal.
    pub fn sync(&self) -> Result<u64, LedgerError> {
        self.check_writable()?;
        // Marks of two callers must not overtake each other.
        let _turn = self.last_signed()?;
        let durable = self.view()?.height();
        let mut batch = self.store.batch(256);
        meta::put(&mut batch, &DurableMark { height: durable })?;
        batch.write(Durability::Disk)?;
        self.durable.fetch_max(durable, Ordering::AcqRel);
        Ok(durable)
    }

    /// Stores another voter's signature that the caller has verified: with the chain when it names the header held at
    /// its height, else as evidence of deviation, within bounds. Says whether it agrees. Not synced: it can be pulled
    /// again.
    ///
    /// # Errors
    /// [`LedgerError::BeyondTip`] when no header is held at its height yet; a failed write is fatal.
    pub fn put_signature(&self, signature: &HeaderSignature) -> Result<bool, LedgerError> {
        self.check_writable()?;
        let agrees = match self.check_names_held_header(signature.height, signature.header) {
            #[cfg(feature = "planted")]
            Err(LedgerError::OtherHeader { .. })
                if galen_planted::is_on(galen_planted::Bug::DeviantSignatureCounted) =>
            {
                true
            }
            Ok(()) => true,
            Err(LedgerError::OtherHeader { .. }) => false,
            Err(error) => return Err(error),
        };
        if agrees {
            let (height, voter) = (signature.height, signature.voter.clone());
            let mut batch = self.store.batch(1024);
            let column = batch.column::<Signatures>()?;
            batch.put(&column, &SignatureKey { height, voter }, signature);
            batch.write(Durability::Process)?;
        } else {
            self.keep_evidence(signature)?;
        }
        Ok(agrees)
    }

    /// Whether this is the header held at this height.
    pub(crate) fn check_names_held_header(&self, height: u64, given: Hash) -> Result<(), LedgerError> {
        let view = self.view()?;
        let held = if height == 0 { None } else { view.header_hash(height)? };
        match held {
            Some(expected) if expected == given => Ok(()),
            Some(expected) => Err(LedgerError::OtherHeader { height, expected, given }),
            None => Err(LedgerError::BeyondTip { height, tip: view.height() }),
        }
    }
}
