//! Header signatures: this node's own, which are on disk before they are given out, and those of others.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use galen_types::{Hash, HeaderSignature};

use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::meta::{self, DurableMark};
use crate::signed_mark::{Signed, SignedMark};
use crate::store::Durability;
use crate::store::bytes::SignatureKey;
use crate::store::column::{OwnSignatures, Signatures};
use crate::view::View;

impl Ledger {
    /// Records a signature of this node's own: [`Ledger::record_own_signatures`] of one.
    ///
    /// # Errors
    /// As there.
    pub fn record_own_signature(&self, signature: &HeaderSignature) -> Result<HeaderSignature, LedgerError> {
        let mut released = self.record_own_signatures(std::slice::from_ref(signature))?;
        let given = signature.height;
        released.pop().ok_or(LedgerError::AlreadySigned { last: given, given })
    }

    /// Records this node's own signatures, of ascending heights, with one sync, and gives those to release: the one
    /// stored, where this header was signed before. Everything written before is durable afterwards.
    ///
    /// # Errors
    /// [`LedgerError::AlreadySigned`] when another header was signed at a height, or any at a higher one;
    /// [`LedgerError::BeyondTip`] and [`LedgerError::OtherHeader`] when a header is not the one held at its height: then
    /// none is recorded. A failed write is fatal.
    pub fn record_own_signatures(&self, signatures: &[HeaderSignature]) -> Result<Vec<HeaderSignature>, LedgerError> {
        self.check_writable()?;
        let mut last_signed = self.last_signed()?;
        let view = self.view()?;
        let mut last = self.signed_floor.load(Ordering::Acquire).max(*last_signed);
        let mut released = Vec::with_capacity(signatures.len());
        let mut new = Vec::with_capacity(signatures.len());
        for signature in signatures {
            let height = signature.height;
            if let Some(stored) = view.own_signature(height)? {
                if stored.header != signature.header {
                    return Err(LedgerError::AlreadySigned { last: *last_signed, given: height });
                }
                released.push(stored);
                continue;
            }
            if height <= last {
                return Err(LedgerError::AlreadySigned { last, given: height });
            }
            self.check_names_held_header(height, signature.header)?;
            released.push(signature.clone());
            new.push(signature);
            last = height;
        }
        let Some(highest) = new.last() else { return Ok(released) };
        if let Some(mark) = self.signed_mark.get() {
            // The highest bounds all of them.
            let lineage = lineage_at(&view, highest.height)?;
            let mut mark = mark.lock().map_err(|_| self.panicked())?;
            let noted = mark.advance(lineage, highest.height, highest.header);
            noted.inspect_err(|error| self.store.stop(&error.to_string()))?;
        }
        // Taken before the write: blocks committed meanwhile are not promised.
        let durable = view.height();
        drop(view);
        let mut batch = self.store.batch(1024);
        let column = batch.column::<OwnSignatures>()?;
        for signature in &new {
            batch.put(&column, &signature.height, signature);
        }
        meta::put(&mut batch, &DurableMark { height: durable })?;
        batch.write(Durability::Disk)?;
        *last_signed = last;
        self.durable.fetch_max(durable, Ordering::AcqRel);
        Ok(released)
    }

    /// The highest height that this node signed, or may have signed; 0 when it signed none. Up to it nothing is signed.
    ///
    /// # Errors
    /// When a thread panicked while it signed.
    pub fn last_signed_height(&self) -> Result<u64, LedgerError> {
        Ok(self.signed_floor.load(Ordering::Acquire).max(*self.last_signed()?))
    }

    /// Keeps the note of the highest header signed in a file outside of the ledger (see the `signed_mark` module), and
    /// holds this ledger to what it says: where the chain here has not come to the header that was signed last, or has
    /// another in its place, nothing up to that height is signed.
    ///
    /// # Errors
    /// When the file or the ledger cannot be read or written.
    pub fn keep_signed_mark(&self, path: &Path) -> Result<(), LedgerError> {
        let last_signed = self.last_signed()?;
        let mut mark = SignedMark::open(path)?;
        let view = self.view()?;
        match mark.last() {
            Some(signed) => {
                let holds = view.header_hash(signed.height)? == Some(signed.header);
                if !holds && !self.is_obsolete(&view, signed)? {
                    let floor = signed.bound();
                    tracing::info!(height = floor, "nothing up to here is signed: another header of it may have been");
                    self.signed_floor.store(floor, Ordering::Release);
                }
            }
            None if *last_signed > 0 => {
                let header = view.header_hash(*last_signed)?.unwrap_or(Hash::ZERO);
                mark.advance(lineage_at(&view, *last_signed)?, *last_signed, header)?;
            }
            None => {}
        }
        // A second call finds the first one's.
        let _ = self.signed_mark.set(Mutex::new(mark));
        Ok(())
    }

    /// The highest height that the note outside of the ledger says was signed; 0 without one.
    pub fn signed_mark_height(&self) -> u64 {
        let mark = self.signed_mark.get().and_then(|mark| mark.lock().ok()?.last().map(Signed::bound));
        mark.unwrap_or(0)
    }

    /// Whether the voters that a mark speaks of were left behind by a recovery that the chain here has come through: their
    /// heights are passed again, and signed under other voter sets.
    fn is_obsolete(&self, view: &View<'_>, signed: &Signed) -> Result<bool, LedgerError> {
        let Some(tip) = self.tip()?.header else { return Ok(false) };
        let epoch = crate::handover::next_epoch(&tip);
        let mut later = false;
        for epoch in (0..=epoch).rev() {
            // Epochs that a recovery passed over are not known.
            let Some(set) = view.voter_set(epoch)? else { continue };
            if set.lineage == signed.lineage {
                return Ok(later);
            }
            later = true;
        }
        Ok(false)
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

/// The recovery that the voters of a height went on by.
fn lineage_at(view: &View<'_>, height: u64) -> Result<Hash, LedgerError> {
    let Some(header) = view.header(height)? else { return Ok(Hash::ZERO) };
    Ok(view.voter_set(header.epoch)?.map_or(Hash::ZERO, |set| set.lineage))
}
