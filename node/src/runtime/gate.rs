//! Whether this node may speak in ordering and sign headers: closed from the start until its peers have said that they
//! know nothing of it that it does not know itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shared by the threads that wait for it.
#[derive(Debug, Clone, Default)]
pub(super) struct Gate(Arc<AtomicBool>);

impl Gate {
    /// Whether it is open.
    pub(super) fn is_open(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Opens it, for good.
    pub(super) fn open(&self) {
        self.0.store(true, Ordering::Release);
    }
}
