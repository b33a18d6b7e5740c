//! A ledger that cannot be written any more, or whose stored rows have rotted. As the real node's `runtime::repair` and
//! `runtime::standing` do: after a failed write the process ends by name; a damaged ledger is set aside whole and fetched
//! anew from peers, and until it is whole again the node orders and signs nothing.

use galen_ledger::install::{carry_sound_evidence, set_aside};
use galen_ledger::{Ledger, LedgerError, WriteFault};

use super::*;
use crate::consortium::ledger_options;

/// What a node notes on its disk of a damaged ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damage {
    /// Up to which height it was certified and durable; 0 where that could not be read.
    certified: u64,
    /// Whether what stands in its place is a copy that is being made.
    is_aside: bool,
    /// Whether damage was found that is still in its place.
    is_found: bool,
}

/// What a node waits for that follows until its ledger has come so far that it can take its part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rejoin {
    /// Whether its ledger was damaged: a copy that is not whole is nothing to sign from.
    pub(super) is_damaged: bool,
    /// The height that must be certified here again.
    certified: u64,
    /// Its ordering log begins after this entry.
    until_index: u64,
}

impl Node {
    fn aside(&self) -> PathBuf {
        self.beside("-damaged")
    }

    /// The note of the highest header that it signed, beside its ledger.
    pub(super) fn signed_mark(&self) -> PathBuf {
        self.beside("-signed")
    }

    /// Whether its ledger is damaged, or not whole yet.
    pub(crate) fn is_repairing(&self) -> bool {
        self.is_rotten || self.damage.is_some() || self.rejoin().is_some()
    }

    /// Whether it met what ends it: it does nothing more until it starts again.
    pub(super) fn has_ended(&self) -> bool {
        self.failed || self.damage.is_some_and(|damage| damage.is_found)
    }

    pub(super) fn rejoin(&self) -> Option<Rejoin> {
        self.running.as_ref().and_then(|running| running.rejoin)
    }

    /// Has one of the next writes of its ledger fail.
    pub(crate) fn fail_write(&mut self, fault: WriteFault) {
        self.executor().ledger().arrange_write_fault(Some(fault));
        self.write_fails = true;
    }

    /// Takes a failing write back that has not come yet.
    pub(crate) fn relieve_ledger(&mut self) {
        if let Some(running) = self.running.as_ref().filter(|_| self.write_fails) {
            running.executor.ledger().arrange_write_fault(None);
        }
    }

    /// What came of work on the ledger; `None` where that ends the process or the ledger.
    pub(super) fn survive<T>(&mut self, outcome: Result<T, impl Into<ExecutorError>>) -> Option<T> {
        let error = match outcome {
            Ok(done) => return Some(done),
            Err(error) => error.into(),
        };
        let ledger = Arc::clone(self.executor().ledger());
        match (&error, ledger.damage()) {
            (_, Some(damage)) => self.met_damage(&damage),
            (ExecutorError::Ledger(damage), _) if damage.is_damage() => self.met_damage(damage),
            (ExecutorError::Ledger(LedgerError::Write(_) | LedgerError::Stopped(_)), _) if self.write_fails => {
                self.failed = true;
                self.stopped_by = Some(error.code());
            }
            _ => panic!("{}: {error}", self.name),
        }
        None
    }

    /// Notes that its ledger is damaged, and starts anew.
    fn met_damage(&mut self, damage: &LedgerError) {
        assert!(self.is_rotten, "{}: damage that nobody did: {damage}", self.name);
        let certified = self.running.as_ref().map_or(0, |running| {
            let ledger = running.executor.ledger();
            ledger.certified_height().min(ledger.durable_height())
        });
        let earlier = self.damage.filter(|earlier| earlier.is_aside || earlier.is_found);
        let noted = earlier.unwrap_or(Damage { certified, is_aside: false, is_found: true });
        self.damage = Some(Damage { is_found: true, ..noted });
        self.must_restart = true;
        self.seen.rot_found += 1;
    }

    /// Opens its ledger; one that turns out to be damaged is set aside before, and a new one begins in its place.
    pub(super) fn open_settled(&mut self) -> Arc<Ledger> {
        if self.is_rotten && self.rot_shows_at_start {
            let report = crate::check::verify(&self.folder, &self.genesis, false);
            assert!(!report.is_sound(), "{}: a ledger that rotted verifies", self.name);
            let finding = report.findings.first().unwrap();
            let (place, problem) = (finding.place.clone(), finding.problem.to_string());
            self.met_damage(&LedgerError::Damaged { column: "files", place, problem });
        }
        loop {
            self.settle_damage();
            match Ledger::open(&self.folder, &ledger_options(&self.genesis)) {
                Ok(ledger) => {
                    let ledger = Arc::new(ledger);
                    if self.snapshots.is_some() {
                        ledger.keep_signed_mark(&self.signed_mark()).unwrap();
                    }
                    return ledger;
                }
                Err(error) if error.is_damage() => self.met_damage(&error),
                Err(error) => panic!("{}: {error}", self.name),
            }
        }
    }

    /// Does what the note of damage asks for before the ledger is opened.
    fn settle_damage(&mut self) {
        let Some(damage) = self.damage.filter(|damage| damage.is_found) else { return };
        let aside = self.aside();
        if damage.is_aside {
            std::fs::remove_dir_all(&self.folder).unwrap();
        } else {
            let _ = std::fs::remove_dir_all(&aside);
            set_aside(&self.folder, &aside).unwrap();
        }
        // Snapshots for peers share files with it; a copy for a loss of power holds the same rot.
        let sources = self.snapshots_folder();
        for height in galen_ledger::snapshot::list(&sources).unwrap_or_default() {
            std::fs::remove_dir_all(sources.join(height.to_string())).unwrap();
        }
        if let Some(copy) = &self.durable_copy {
            let _ = std::fs::remove_dir_all(copy);
        }
        self.is_rotten = false;
        self.damage = Some(Damage { is_aside: true, is_found: false, ..damage });
    }

    /// Whether it only follows, from this start on.
    pub(super) fn must_rejoin(&mut self, ledger: &Ledger) -> Option<Rejoin> {
        let until_index = self.rejoin_until.take();
        if let Some(damage) = self.damage {
            // Blocks above may wait for this very node.
            let signed = ledger.signed_mark_height().saturating_sub(LAG_VOTER);
            return Some(Rejoin { is_damaged: true, certified: damage.certified.max(signed), until_index: 0 });
        }
        until_index.map(|until_index| Rejoin { is_damaged: false, certified: 0, until_index })
    }

    /// Takes its part again once its ledger is whole.
    pub(super) fn end_rejoin(&mut self) {
        let Some(rejoin) = self.rejoin() else { return };
        let running = self.running.as_ref().unwrap();
        let ledger = Arc::clone(running.executor.ledger());
        let tip = running.executor.tip().height;
        let caught_up = running.known_height <= tip + LAG_VOTER && running.leap.is_none();
        let reached =
            ledger.certified_height() >= rejoin.certified && ledger.applied().unwrap().index >= rejoin.until_index;
        if !caught_up || !reached || tip == 0 || self.failed {
            return;
        }
        if rejoin.is_damaged {
            let carried = carry_sound_evidence(&self.aside(), &ledger).and_then(|_| ledger.sync());
            if self.survive(carried).is_none() {
                return;
            }
            self.damage = None;
            self.seen.repaired += 1;
        }
        self.must_restart = true;
    }

    /// Its disk is another one: whatever was wrong with the ledger is gone.
    pub(super) fn forget_damage(&mut self) {
        (self.damage, self.is_rotten, self.rejoin_until) = (None, false, None);
        let _ = std::fs::remove_dir_all(self.aside());
        let _ = std::fs::remove_file(self.signed_mark());
    }

    /// Reads all of its ledger again, from a copy, as the background scrub does.
    pub(super) fn scrub(&mut self, step: u64) {
        if self.scrub_at.is_none_or(|at| step < at) || self.running.is_none() {
            return;
        }
        self.scrub_at = None;
        let copy = self.beside("-scrub");
        let _ = std::fs::remove_dir_all(&copy);
        let ledger = Arc::clone(self.executor().ledger());
        let copied = galen_ledger::snapshot::copy(&ledger, &copy);
        let report = match copied {
            Ok(_) => galen_chain::verify::scrub_copy(&copy, &self.genesis, |_| true),
            Err(galen_ledger::SnapshotError::Ledger(error)) => Err(error),
            Err(error) => panic!("{}: {error}", self.name),
        };
        let _ = std::fs::remove_dir_all(&copy);
        let damage = match report {
            Ok(report) if report.is_sound() => {
                assert!(!self.is_rotten, "{}: the scrub passes over a ledger that rotted", self.name);
                return;
            }
            Ok(report) => {
                let finding = report.findings.first().unwrap();
                let (place, problem) = (finding.place.clone(), finding.problem.to_string());
                LedgerError::Damaged { column: "files", place, problem }
            }
            Err(error) => error,
        };
        ledger.report_damage(damage);
        let stops = ledger.check_writable().map_err(ExecutorError::from);
        assert!(self.survive(stops).is_none(), "{}: a damaged ledger is written to", self.name);
    }
}
