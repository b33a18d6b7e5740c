//! Certificates: which heights a quorum of voters has signed.

use std::sync::atomic::Ordering;

use galen_types::Certificate;

use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::store::Durability;
use crate::store::column::Certificates;

impl Ledger {
    /// Stores a certificate that the caller has verified against the epoch's voters; it covers all heights up to its own.
    /// The first stored at a height stays. Not synced: it can be pulled again.
    ///
    /// # Errors
    /// [`LedgerError::BeyondTip`] when no header is held at its height; [`LedgerError::OtherHeader`] when it contradicts
    /// the header held: a quorum saw another chain, so the node must stop and say so. A failed write is fatal.
    pub fn put_certificate(&self, certificate: &Certificate) -> Result<(), LedgerError> {
        self.check_writable()?;
        self.check_names_held_header(certificate.height, certificate.header)?;
        if self.view()?.certificate(certificate.height)?.is_none() {
            let mut batch = self.store.batch(4096);
            let column = batch.column::<Certificates>()?;
            batch.put(&column, &certificate.height, certificate);
            batch.write(Durability::Process)?;
        }
        self.certified.fetch_max(certificate.height, Ordering::AcqRel);
        Ok(())
    }
}
