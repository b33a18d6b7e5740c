//! A write that is made to fail, so that a simulation sees what a replica does then. Nothing arranges one in a node.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::ledger::Ledger;

/// Which write of a ledger fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteFault {
    /// Writes that succeed before it.
    pub after: u32,
    /// Whether its rows come to the disk all the same: of a write that failed nobody knows.
    pub is_written: bool,
}

/// The fault that is arranged: nothing, or twice one more than the writes before it, plus one if it is written.
#[derive(Debug, Default)]
pub(crate) struct Arranged(AtomicU64);

impl Arranged {
    /// Counts a write; for the one that fails, whether it is written.
    pub(crate) fn next(&self) -> Option<bool> {
        let before = self.0.load(Ordering::Relaxed);
        if before < 4 {
            if before > 0 {
                self.0.store(0, Ordering::Relaxed);
            }
            return (before > 0).then_some(before % 2 == 1);
        }
        self.0.store(before - 2, Ordering::Relaxed);
        None
    }
}

impl Ledger {
    /// Has a write fail with EIO, or takes that back.
    pub fn arrange_write_fault(&self, fault: Option<WriteFault>) {
        let encoded = fault.map_or(0, |fault| 2 * (u64::from(fault.after) + 1) + u64::from(fault.is_written));
        self.store.arranged.0.store(encoded, Ordering::Relaxed);
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
            arranged.0.store(2 * 3 + u64::from(is_written), Ordering::Relaxed);
            assert_eq!([arranged.next(), arranged.next(), arranged.next()], [None, None, Some(is_written)]);
            assert_eq!(arranged.next(), None);
        }
    }
}
