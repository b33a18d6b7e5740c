//! What happens to a disk: loss of power, loss of everything, and an operator's recovery.

use galen_consensus::vfs::Fault;

use super::*;

/// What a flipped bit does to a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flipped {
    /// It does not open.
    Refused,
    /// It opens without what was written last.
    LastWriteLost,
}

/// An old copy of a node's disk.
pub(crate) struct HomeCopy {
    disk: SimVfs,
    ledger: PathBuf,
    /// Its note of the highest header signed.
    signed: PathBuf,
    last_number: Option<RaftId>,
    home: Home,
}

impl Node {
    /// Its disk is lost, while it does not run.
    pub(crate) fn wipe(&mut self) {
        self.disk = SimVfs::default();
        self.home = Home::default();
        self.last_number = None;
        self.forget_snapshots();
        self.forget_damage();
        for folder in [Some(&self.folder), self.durable_copy.as_ref()].into_iter().flatten() {
            let _ = std::fs::remove_dir_all(folder);
        }
    }

    /// What it kept of snapshots is gone.
    pub(super) fn forget_snapshots(&mut self) {
        self.refused.clear();
        self.blamed.clear();
        let _ = std::fs::remove_dir_all(self.snapshots_folder());
    }

    /// What a copy of its disk would hold now; to be kept in a folder.
    pub(crate) fn copy_home(&mut self, folder: &Path) -> HomeCopy {
        self.stop();
        copy_folder(&self.folder, folder);
        let mut signed = folder.to_owned().into_os_string();
        signed.push("-signed");
        let signed = PathBuf::from(signed);
        let _ = std::fs::copy(self.signed_mark(), &signed);
        HomeCopy {
            disk: self.disk.durable_copy(),
            ledger: folder.to_owned(),
            signed,
            last_number: self.last_number,
            home: self.home,
        }
    }

    /// What a copy of its ordering log's disk would hold that is made while it runs.
    pub(crate) fn copy_log(&self) -> SimVfs {
        self.disk.durable_copy()
    }

    /// The disk of its ordering log is set back while it does not run; its ledger's is not.
    pub(crate) fn set_log_back(&mut self, copy: SimVfs) {
        self.disk = copy;
    }

    /// Its disk is set back to a copy while it does not run.
    pub(crate) fn set_back(&mut self, copy: HomeCopy) {
        self.disk = copy.disk;
        self.forget_snapshots();
        self.forget_damage();
        let _ = std::fs::copy(&copy.signed, self.signed_mark());
        copy_folder(&copy.ledger, &self.folder);
        if let Some(durable) = &self.durable_copy {
            copy_folder(&copy.ledger, durable);
        }
        (self.last_number, self.home) = (copy.last_number, copy.home);
    }

    /// Arranges an error of the log's disk.
    pub(crate) fn inject(&self, fault: Fault) {
        self.disk.inject(fault);
    }

    /// Takes errors of the log's disk back that have not come yet.
    pub(crate) fn relieve(&self) {
        for never in [Fault::FullAfter(u64::MAX), Fault::SyncFails(u32::MAX)] {
            self.disk.inject(never);
        }
    }

    fn opens(&self, disk: SimVfs) -> Option<galen_consensus::Recovered> {
        let id = self.last_number?;
        let identity = Identity { cluster: self.genesis.hash().0, node: id };
        let options = LogOptions { segment_bytes: 16 << 10 };
        Log::open(disk, &PathBuf::from(format!("log-{id}")), identity, options).ok().map(|(_, recovered)| recovered)
    }

    /// What its ordering log would give after a loss of power now; `None` without a number, or where it would not open.
    pub(crate) fn durable_log(&self) -> Option<galen_consensus::Recovered> {
        self.opens(self.disk.durable_copy())
    }

    /// Whether an entry would be in its ordering log after a loss of power now.
    pub(crate) fn holds_durably(&self, index: u64, term: u64) -> bool {
        self.opens(self.disk.durable_copy()).is_some_and(|recovered| {
            let cut = recovered.snapshot.as_ref().is_some_and(|snapshot| snapshot.index >= index);
            cut || recovered.entries.iter().any(|entry| (entry.index, entry.term) == (index, term))
        })
    }

    /// A bit of its ordering log flips while it is stopped. The log must say so and not open; where the bit is in the last
    /// write, it may also take that for cut off by a crash, and open without it. Anything else is a broken rule.
    pub(crate) fn flip_bit(&mut self, random: &mut crate::consortium::Random) -> Option<Flipped> {
        let folder = PathBuf::from(format!("log-{}", self.last_number?));
        let names = self.disk.list(&folder).unwrap();
        let segments: Vec<_> = names.into_iter().filter(|name| name.ends_with(".log")).collect();
        let path = folder.join(segments.get(random.below(segments.len()))?);
        let before = self.durable_log()?;
        let mut bytes = self.disk.read(&path).unwrap();
        if bytes.is_empty() {
            return None;
        }
        let place = random.below(bytes.len());
        bytes[place] ^= 1 << random.below(8);
        self.disk.overwrite(&path, bytes);
        let Some(after) = self.durable_log() else { return Some(Flipped::Refused) };
        let Some(torn) = after.torn else { panic!("{}: a log with a flipped bit opens as if nothing were", self.name) };
        let last_write = self.last_write as u64;
        assert!(
            torn.bytes <= last_write,
            "{}: a log with a flipped bit opens without its last {} bytes, the last write had {last_write}",
            self.name,
            torn.bytes
        );
        assert!(before.entries.starts_with(&after.entries) || after.snapshot != before.snapshot);
        Some(Flipped::LastWriteLost)
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
        // What was to be written comes no further than into the middle of its sync.
        if let Some(ordering) = self.running.as_mut().and_then(|running| running.ordering.as_mut())
            && !ordering.writes.is_empty()
        {
            let writes: Vec<_> = ordering.writes.drain(..).map(|(_, persist)| persist).collect();
            self.disk.inject(Fault::SyncCut);
            let outcome = ordering.log.append(&writes);
            assert!(outcome.is_err(), "{}: a sync that was cut off came to its end", self.name);
            self.last_write = self.disk.last_append();
            self.seen.cut_off += 1;
        }
        self.running = None;
        self.built = None;
        self.out.clear();
        self.ordered_now.clear();
        self.told_now.clear();
        self.served_now.clear();
        self.signed_now.clear();
        self.disk.crash(kind);
        if let Some(copy) = self.durable_copy.as_ref().filter(|copy| copy.exists()) {
            copy_folder(copy, &self.folder);
        }
    }

    /// Stops in order, so that others may open its ledger.
    pub(crate) fn stop(&mut self) {
        self.running = None;
        self.built = None;
        self.out.clear();
        self.signed_now.clear();
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
