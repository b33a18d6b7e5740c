//! A write that is made to fail, so that a simulation sees what a replica does then. Nothing arranges one in a node.

use std::sync::{Mutex, PoisonError};

use crate::ledger::Ledger;

/// Which write of a ledger fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteFault {
    /// Writes that succeed before it.
    pub after: u32,
    /// Whether its rows come to the disk all the same: of a write that failed nobody knows.
    pub is_written: bool,
}

/// The fault that is arranged.
#[derive(Debug, Default)]
pub(crate) struct Arranged(Mutex<Option<WriteFault>>);

impl Arranged {
    /// Counts a write; for the one that fails, whether it is written.
    pub(crate) fn next(&self) -> Option<bool> {
        let mut fault = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let arranged = fault.as_mut()?;
        if let Some(after) = arranged.after.checked_sub(1) {
            arranged.after = after;
            return None;
        }
        fault.take().map(|fault| fault.is_written)
    }

    fn arrange(&self, fault: Option<WriteFault>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}

impl Ledger {
    /// Has a write fail with EIO, or takes that back.
    pub fn arrange_write_fault(&self, fault: Option<WriteFault>) {
        self.store.arranged.arrange(fault);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arranged_write_fails_and_no_other() {
        for is_written in [false, true] {
            let arranged = Arranged::default();
            assert_eq!(arranged.next(), None);
            arranged.arrange(Some(WriteFault { after: 2, is_written }));
            assert_eq!([arranged.next(), arranged.next(), arranged.next()], [None, None, Some(is_written)]);
            assert_eq!(arranged.next(), None);
        }
    }
}
