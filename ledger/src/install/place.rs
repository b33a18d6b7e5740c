//! Putting a built ledger in the place of the old one, and ending what a crash interrupted.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use super::build::{InstallProgress, InstallStep};
use crate::backup;
use crate::constants::EVIDENCE_MAX;
use crate::error::LedgerError;
use crate::folder;
use crate::ledger::Ledger;
use crate::meta::{self, OrderingStarted};
use crate::snapshot::SnapshotError;
use crate::store::column::OwnSignatures;
use crate::store::current::is_store;
use crate::store::{Durability, Span};

/// Appended to the ledger's folder name: the new ledger while it is built.
pub(super) const BUILDING: &str = ".install-building";
/// The new ledger, whole.
const NEW: &str = ".install-new";
/// The ledger that is being replaced.
const OLD: &str = ".install-old";

/// A ledger that was built beside the one in use.
#[must_use = "it counts only once it is put in place"]
pub struct Built {
    ledger: PathBuf,
    height: u64,
}

/// Rows carried over in one batch.
const CARRIED_ROWS: usize = 10_000;

impl Built {
    pub(super) fn new(ledger: &Path, height: u64) -> Self {
        Self { ledger: ledger.to_owned(), height }
    }

    /// The height that it begins at.
    pub fn height(&self) -> u64 {
        self.height
    }

    /// Takes the place of the ledger that was in use, which must be closed by now. Afterwards the parts that were received
    /// can be discarded.
    ///
    /// # Errors
    /// [`LedgerError::Locked`] when the old ledger is still open, and nothing has changed; [`SnapshotError::NotAhead`] when it has come as far
    /// meanwhile; when the disk refuses. The old ledger is in place then, or [`settle`] puts one of the two there.
    pub fn put_in_place(&self, progress: &mut dyn FnMut(InstallProgress)) -> Result<(), SnapshotError> {
        let building = folder::sibling(&self.ledger, BUILDING);
        let (new, old) = (folder::sibling(&self.ledger, NEW), folder::sibling(&self.ledger, OLD));
        progress(InstallProgress::at(InstallStep::CarryOver));
        // The lock goes where the folder goes, and ends with the process: nobody else settles meanwhile.
        let _claim = claim(&building, &self.ledger)?;
        {
            let built = Ledger::open_existing_in_place(&building)?;
            if is_store(&self.ledger) {
                // What an earlier installation may have left.
                folder::remove(&new)?;
                folder::remove(&old)?;
                let replaced = Ledger::open_existing_in_place(&self.ledger)?;
                carry_over(&replaced, &built)?;
            }
            built.store.flush()?;
        }
        let renames = [(&building, &new), (&self.ledger, &old), (&new, &self.ledger)];
        for (done, (from, to)) in (0..).zip(renames) {
            progress(InstallProgress { step: InstallStep::Place, done, total: 3 });
            // A node that joins has no ledger yet.
            if from.exists() {
                folder::rename(from, to)?;
            }
        }
        progress(InstallProgress::at(InstallStep::Remove));
        folder::remove(&old)
    }
}

/// What a voter must never forget: what it signed, evidence against others, and that it ordered before.
fn carry_over(from: &Ledger, to: &Ledger) -> Result<(), SnapshotError> {
    if from.genesis_hash() != to.genesis_hash() || from.chain() != to.chain() {
        let (path, stored, given) = (from.path().to_owned(), from.genesis_hash(), to.genesis_hash());
        return Err(LedgerError::OtherGenesis { path, stored, given }.into());
    }
    let (tip, height) = (from.tip()?.height, to.tip()?.height);
    if tip >= height {
        return Err(SnapshotError::NotAhead { tip, height });
    }
    let reader = from.store.reader();
    let mut rows = reader.sweep::<OwnSignatures>(Span::default())?.peekable();
    while rows.peek().is_some() {
        let mut batch = to.store.batch(CARRIED_ROWS * 256);
        let column = batch.column::<OwnSignatures>()?;
        for row in rows.by_ref().take(CARRIED_ROWS) {
            let (height, signature) = row?;
            batch.put(&column, &height, &signature);
        }
        batch.write(Durability::Process)?;
    }
    carry_evidence(from, to)?;
    if let Some(started) = meta::get::<OrderingStarted>(&reader)? {
        to.note_ordering_started(started.raft_id)?;
    }
    Ok(())
}

/// Carries evidence over: what the new ledger says is evidence, and of heights whose headers it does not hold, what the old
/// one could prove. Signatures that deviate only from what a damaged ledger held accuse nobody, and stay behind.
fn carry_evidence(from: &Ledger, to: &Ledger) -> Result<(), SnapshotError> {
    let (old, new) = (from.view()?, to.view()?);
    let (held_from, mut left) = (old.history_from()?, 0_usize);
    for kept in old.evidence(0, EVIDENCE_MAX)? {
        if kept.height < held_from && new.header(kept.height)?.is_none() {
            // It was carried over, and proven then, when the old ledger itself began with a snapshot.
            to.keep_evidence(&kept)?;
            continue;
        }
        let judge = if new.header(kept.height)?.is_some() { &new } else { &old };
        match judge.judged(kept)? {
            Some(found) => to.keep_evidence(&found.signature)?,
            None => left += 1,
        }
    }
    if left > 0 {
        tracing::info!(
            signatures = left,
            "signatures that no certificate makes evidence were left with the old ledger"
        );
    }
    Ok(())
}

/// Claims a ledger that is to be put in place, until the file is dropped.
fn claim(folder: &Path, ledger: &Path) -> Result<File, SnapshotError> {
    let file = File::open(folder).map_err(folder::failed(folder, "it cannot be opened"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let message = format!("`{}` is being put in its place", folder.display());
            Err(LedgerError::Locked { path: ledger.to_owned(), message }.into())
        }
        Err(TryLockError::Error(error)) => Err(folder::failed(folder, "it cannot be locked")(error)),
    }
}

/// Ends what a crash interrupted while a ledger was being put in place, where that left no ledger: the new one comes there,
/// or the old one comes back. What lies beside a ledger that is there goes when it is opened: not before, because another
/// process may be at work with it.
///
/// # Errors
/// [`LedgerError::Locked`] while another process puts one in place; when the disk refuses.
pub fn settle(ledger: &Path) -> Result<(), LedgerError> {
    settle_folders(ledger).map_err(ledger_error)
}

fn settle_folders(ledger: &Path) -> Result<(), SnapshotError> {
    if is_store(ledger) {
        return Ok(());
    }
    let (new, old) = (folder::sibling(ledger, NEW), folder::sibling(ledger, OLD));
    if new.exists() || old.exists() {
        let claimed = if new.exists() { &new } else { &old };
        let _claim = claim(claimed, ledger)?;
        if ledger.exists() {
            // Only an empty folder may stand where the ledger belongs.
            std::fs::remove_dir(ledger).map_err(folder::failed(ledger, "it is in the way"))?;
        }
        folder::rename(claimed, ledger)?;
        tracing::info!(
            ledger = %ledger.display(),
            from = %claimed.display(),
            "a ledger was put in place after an interrupted installation"
        );
    }
    Ok(())
}

/// Removes what installations left beside a ledger that nobody holds.
pub(super) fn remove_siblings(ledger: &Path) -> Result<(), LedgerError> {
    for suffix in [BUILDING, NEW, OLD] {
        let left = folder::sibling(ledger, suffix);
        if left.exists() {
            let _claim = claim(&left, ledger).map_err(ledger_error)?;
            folder::remove(&left).map_err(ledger_error)?;
        }
    }
    Ok(())
}

/// Removes what crashes left beside a ledger that this process holds.
pub(crate) fn remove_leftovers(ledger: &Path) -> Result<(), LedgerError> {
    let installing = [BUILDING, NEW, OLD];
    for suffix in installing.into_iter().chain(backup::LEFT) {
        let left = folder::sibling(ledger, suffix);
        if !left.exists() {
            continue;
        }
        let removed = if installing.contains(&suffix) { claim(&left, ledger).map(Some) } else { Ok(None) };
        removed.and_then(|_claim| folder::remove(&left)).map_err(ledger_error)?;
        tracing::info!(folder = %left.display(), "what an interrupted installation or backup left behind is removed");
    }
    Ok(())
}

fn ledger_error(error: SnapshotError) -> LedgerError {
    match error {
        SnapshotError::Ledger(error) => error,
        error => LedgerError::Read(error.to_string()),
    }
}
