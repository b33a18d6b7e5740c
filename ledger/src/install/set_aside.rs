//! A damaged ledger is set aside whole, to be looked at, and a new one comes from others in its place. Nothing in it is
//! believed: of what only it may hold, evidence against voters is taken over where it proves itself.

use std::path::Path;

use super::place::remove_siblings;
use crate::error::LedgerError;
use crate::folder;
use crate::ledger::Ledger;
use crate::store::Store;
use crate::store::column::Evidence;
use crate::verify::sweep::Sweep;

/// Bytes of memory to read a damaged ledger with.
const READ_CACHE_BYTES: usize = 8 << 20;

/// Moves a ledger's folder, which nobody has open, to `aside`, durably; what interrupted installations left beside it
/// goes, so that none of it takes the ledger's place. Does nothing where the ledger is gone already.
///
/// # Errors
/// When something stands at `aside` already, or the disk refuses.
pub fn set_aside(ledger: &Path, aside: &Path) -> Result<(), LedgerError> {
    let failed = |error: crate::SnapshotError| LedgerError::Read(error.to_string());
    remove_siblings(ledger)?;
    if !ledger.exists() {
        return Ok(());
    }
    if aside.exists() {
        return Err(LedgerError::Read(format!("`{}` is in the way", aside.display())));
    }
    folder::rename(ledger, aside).map_err(failed)
}

/// Takes over, from a ledger that was set aside, the evidence that proves itself: signatures that hold under the voters
/// that the sound ledger knows, over other headers than its own. Gives how many. What cannot be read is left behind.
///
/// # Errors
/// When the sound ledger cannot be read or written.
pub fn carry_sound_evidence(aside: &Path, into: &Ledger) -> Result<u64, LedgerError> {
    // Damage may keep it from being opened at all.
    let Ok(store) = Store::open_read_only(aside, READ_CACHE_BYTES, 0) else { return Ok(0) };
    let reader = store.reader();
    let view = into.view()?;
    let mut carried = 0;
    let mut findings = crate::verify::finding::Findings::default();
    let mut rows = Sweep::<Evidence>::new(&reader, &mut findings);
    while let Some(row) = rows.next(&mut findings) {
        let Some(signature) = row.value else { continue };
        let Some(header) = view.header(signature.height)? else { continue };
        let Some(voters) = view.voter_set(header.epoch)? else { continue };
        let holds = voters
            .key_of(&signature.voter)
            .is_some_and(|key| signature.verifies(&into.genesis_hash(), &voters.hash(), key));
        if holds && signature.header != header.hash() && !into.put_signature(&signature)? {
            carried += 1;
        }
    }
    Ok(carried)
}
