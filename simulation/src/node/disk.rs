//! What happens to a disk: loss of power, loss of everything, and an operator's recovery.

use super::*;

impl Node {
    /// Its disk is lost.
    pub(crate) fn wipe(&mut self) {
        // The ledger may have lost the block that gave it the number under which it orders.
        let before = self.record().raft_id;
        self.stop();
        self.stale = self.stale.max((before > 0).then_some(before));
        self.wipe_stopped();
    }

    /// Its disk is lost while it does not run.
    pub(crate) fn wipe_stopped(&mut self) {
        let before = self.last_number.map_or(0, |number| number.0);
        self.disk = SimVfs::default();
        self.last_number = None;
        for folder in [Some(&self.folder), self.durable_copy.as_ref()].into_iter().flatten() {
            let _ = std::fs::remove_dir_all(folder);
        }
        self.stale = self.stale.max((before > 0).then_some(before));
    }

    /// Arranges an error of the log's disk.
    pub(crate) fn inject(&self, fault: galen_consensus::vfs::Fault) {
        self.disk.inject(fault);
    }

    fn opens(&self, disk: SimVfs) -> Option<galen_consensus::Recovered> {
        let id = self.last_number?;
        let identity = Identity { cluster: self.genesis.hash().0, node: id };
        let options = LogOptions { segment_bytes: 16 << 10 };
        Log::open(disk, &PathBuf::from(format!("log-{id}")), identity, options).ok().map(|(_, recovered)| recovered)
    }

    /// Whether an entry would be in its ordering log after a loss of power now.
    pub(crate) fn holds_durably(&self, index: u64, term: u64) -> bool {
        self.opens(self.disk.durable_copy()).is_some_and(|recovered| {
            let cut = recovered.snapshot.as_ref().is_some_and(|snapshot| snapshot.index >= index);
            cut || recovered.entries.iter().any(|entry| (entry.index, entry.term) == (index, term))
        })
    }

    /// A bit of its ordering log flips while it is stopped. Whether the log then refuses to open, or opens shorter than it
    /// was: it must not vote under its number any more.
    pub(crate) fn rot(&mut self, random: &mut crate::consortium::Random) -> bool {
        let Some(id) = self.last_number else { return false };
        let folder = PathBuf::from(format!("log-{id}"));
        let names = self.disk.list(&folder).unwrap();
        let segments: Vec<_> = names.into_iter().filter(|name| name.ends_with(".log")).collect();
        if segments.is_empty() {
            return false;
        }
        let path = folder.join(&segments[random.below(segments.len())]);
        let end = |recovered: &galen_consensus::Recovered| recovered.entries.last().map(|entry| entry.index);
        let before = self.opens(self.disk.durable_copy()).map(|recovered| end(&recovered));
        let mut bytes = self.disk.read(&path).unwrap();
        if bytes.is_empty() {
            return false;
        }
        let place = random.below(bytes.len());
        bytes[place] ^= 1 << random.below(8);
        self.disk.overwrite(&path, bytes);
        let after = self.opens(self.disk.durable_copy()).map(|recovered| end(&recovered));
        after.is_none() || after != before
    }

    /// Its operator gives it a recovery while it is stopped. Says why not, where it must be set up again.
    pub(crate) fn recover(&mut self, held: &HeldRecovery) -> Result<(), RecoveryError> {
        let ledger = open_ledger(&self.folder, &self.genesis);
        let config = ExecutorConfig {
            genesis: Arc::clone(&self.genesis),
            node: self.name.clone(),
            voter_keys: Vec::new(),
            orders: false,
            recoveries: HeldRecoveries::default(),
            verified: Arc::new(VerifiedCache::default()),
        };
        let mut executor = Executor::new(Arc::clone(&ledger), config).unwrap();
        match executor.apply_recovery(held.transaction_bytes().unwrap()) {
            Ok(_) | Err(ApplyRecoveryError::Recovery(RecoveryError::Behind { .. })) => {}
            Err(ApplyRecoveryError::Recovery(error)) => return Err(error),
            Err(ApplyRecoveryError::Fatal(error)) => panic!("{error}"),
        }
        self.held.push(held.clone());
        self.last_number = None;
        drop((executor, ledger));
        if let Some(copy) = &self.durable_copy {
            copy_folder(&self.folder, copy);
        }
        Ok(())
    }

    /// The machine dies: everything in memory is gone, and what the disk has not synced by `kind`.
    pub(crate) fn crash(&mut self, kind: Crash) {
        self.seen.crashes += 1;
        self.running = None;
        self.out.clear();
        self.ordered_now.clear();
        self.told_now.clear();
        self.disk.crash(kind);
        if let Some(copy) = self.durable_copy.as_ref().filter(|copy| copy.exists()) {
            copy_folder(copy, &self.folder);
        }
    }

    /// Stops in order, so that others may open its ledger.
    pub(crate) fn stop(&mut self) {
        self.running = None;
        self.out.clear();
        self.disk.crash(Crash::KeepAll);
    }
}

/// Copies a folder in which RocksDB may be tidying up: again, if the files changed on the way.
pub(super) fn copy_folder(from: &Path, to: &Path) {
    let names = || {
        let entries = std::fs::read_dir(from).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect::<std::collections::BTreeSet<_>>()
    };
    loop {
        let _ = std::fs::remove_dir_all(to);
        std::fs::create_dir_all(to).unwrap();
        let before = names();
        let copied = before.iter().all(|name| std::fs::copy(from.join(name), to.join(name)).is_ok());
        if copied && names() == before {
            return;
        }
    }
}
