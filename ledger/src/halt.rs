//! Breaking off work that takes long: copying a ledger, checking the copy, building one from a snapshot. A node that stops or
//! starts anew must not wait for it, nor leave it running beside the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::snapshot::SnapshotError;

/// Shared by whoever breaks off and the work that looks at it.
#[derive(Debug, Clone, Default)]
pub struct Halt(Arc<AtomicBool>);

impl Halt {
    /// Has the work end soon with [`SnapshotError::Halted`].
    pub fn halt(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// # Errors
    /// [`SnapshotError::Halted`] once it was broken off.
    pub(crate) fn look(&self) -> Result<(), SnapshotError> {
        if self.0.load(Ordering::Relaxed) { Err(SnapshotError::Halted) } else { Ok(()) }
    }
}
