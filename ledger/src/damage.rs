//! What happens when stored bytes turn out not to be those that were written.
//!
//! Whoever reads may meet it first: a client's question, a peer's, the execution of a block, RocksDB's own compaction.
//! Wherever it is met, the reader gets an error and no bytes; nothing is written to this ledger any more, no signature
//! either; and whoever owns the ledger is told, once, before the error is returned: it notes that down durably.

use std::fmt;
use std::sync::OnceLock;

use crate::error::LedgerError;

/// Who is told of the first damage, on the thread that met it.
pub type DamageObserver = Box<dyn Fn(&LedgerError) + Send + Sync>;

/// The first damage that was met, and who is told.
#[derive(Default)]
pub(crate) struct DamageLatch {
    found: OnceLock<LedgerError>,
    observer: OnceLock<DamageObserver>,
}

impl DamageLatch {
    /// Looks at an error on its way to a reader.
    pub(crate) fn see(&self, error: LedgerError) -> LedgerError {
        if error.is_damage() && self.found.set(error.clone()).is_ok() {
            tracing::error!(code = error.code(), %error, "the ledger is damaged: nothing is written to it any more");
            if let Some(observer) = self.observer.get() {
                observer(&error);
            }
        }
        error
    }

    /// The first damage.
    pub(crate) fn found(&self) -> Option<&LedgerError> {
        self.found.get()
    }

    /// Takes the observer, who hears at once of what was found before.
    pub(crate) fn observe(&self, observer: DamageObserver) {
        if self.observer.set(observer).is_ok()
            && let (Some(found), Some(observer)) = (self.found.get(), self.observer.get())
        {
            observer(found);
        }
    }
}

impl fmt::Debug for DamageLatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DamageLatch").field("found", &self.found).finish_non_exhaustive()
    }
}
