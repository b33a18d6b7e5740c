//! What a node notes down when it finds that its stored bytes have rotted, before it does anything else about it.
//!
//! Notes under `damage/` in the home, outside of all folders that are made anew:
//! - `ledger.toml`: the ledger is damaged. There until the ledger that came from peers in its place is whole: a start that
//!   finds it repairs (see `repair`), whatever else it finds, and orders and signs nothing.
//! - `log.toml`: the ordering log of a number is damaged. There until that number is given up.
//!
//! The note is written by whoever met the damage, on its thread, before its reader gets the error. Then the node starts
//! itself anew.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use galen_consensus::LogError;
use galen_ledger::{Ledger, LedgerError};
use galen_types::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::fatal::{Restart, Shutdown};
use crate::home::NodeHome;
use crate::operate::files::{FileError, create_folder, remove, write_atomically};

/// Most bytes of a note that are read.
const NOTE_BYTES_MAX: u64 = 64 << 10;
/// Most characters kept of what is wrong: RocksDB's words name files and offsets.
const PROBLEM_CHARACTERS_MAX: usize = 2_000;

/// Held while a note is written: several threads may meet damage at once.
static NOTING: Mutex<()> = Mutex::new(());

/// How damage was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FoundBy {
    /// When the node started.
    Start,
    /// By a reader: a client, a peer, execution, compaction.
    Read,
    /// By the background scrub.
    Scrub,
    /// Because a quorum certified what this node did not compute, and its ledger was checked then.
    Contradiction,
}

/// How far a repair has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stage {
    /// The damaged ledger is in its place still.
    Found,
    /// A new one is coming from peers.
    Repairing,
}

/// A damaged ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LedgerDamage {
    /// The error's stable name.
    pub(crate) code: String,
    /// The column family; `files` where that is not known.
    pub(crate) column: String,
    /// The height or key.
    pub(crate) place: String,
    /// What is wrong.
    pub(crate) problem: String,
    /// Who met it.
    pub(crate) found_by: FoundBy,
    /// When, milliseconds.
    pub(crate) found_ms: u64,
    /// The height that was certified here and durable; 0 where that could not be read any more.
    pub(crate) certified_height: u64,
    /// How far the repair has come.
    pub(crate) stage: Stage,
    /// Whether the ledger in which it was found first is set aside: what is in its place is a copy that is being made.
    pub(crate) is_aside: bool,
}

impl LedgerDamage {
    fn unreadable() -> Self {
        Self {
            code: "damage-note-unreadable".to_owned(),
            column: "files".to_owned(),
            place: "damage/ledger.toml".to_owned(),
            problem: "the note of the damage cannot be read itself".to_owned(),
            found_by: FoundBy::Start,
            found_ms: Timestamp::now().0,
            certified_height: 0,
            stage: Stage::Found,
            is_aside: false,
        }
    }

    /// Where and what, for people.
    pub(crate) fn told(&self) -> String {
        format!("`{}` at {}: {}", self.column, self.place, self.problem)
    }
}

/// A damaged ordering log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogDamage {
    /// The number whose log it is.
    pub(crate) raft_id: u64,
    /// The error's stable name.
    pub(crate) code: String,
    /// Which segment and byte.
    pub(crate) problem: String,
    /// Who met it.
    pub(crate) found_by: FoundBy,
    /// When, milliseconds.
    pub(crate) found_ms: u64,
}

/// The notes of a home.
pub(crate) struct DamageNotes<'home> {
    home: &'home NodeHome,
}

impl<'home> DamageNotes<'home> {
    pub(crate) fn new(home: &'home NodeHome) -> Self {
        Self { home }
    }

    fn path(&self, of: &str) -> PathBuf {
        self.home.damage().join(of)
    }

    fn read<T: DeserializeOwned>(&self, of: &str) -> Option<Result<T, String>> {
        let path = self.path(of);
        if !path.exists() {
            return None;
        }
        let text = crate::config::read_text(path, NOTE_BYTES_MAX).map_err(|error| error.to_string());
        Some(text.and_then(|text| toml::from_str(&text).map_err(|error| error.to_string())))
    }

    fn write<T: Serialize>(&self, of: &str, note: &T) -> Result<(), FileError> {
        let path = self.path(of);
        let text = toml::to_string(note)
            .map_err(|error| FileError { path: path.clone(), cause: std::io::Error::other(error) })?;
        let folder = self.home.damage();
        create_folder(&folder)?;
        write_atomically(&path, text.as_bytes())
    }

    /// The note of a damaged ledger. One that cannot be read is one all the same.
    pub(crate) fn ledger(&self) -> Option<LedgerDamage> {
        self.read("ledger.toml").map(|note| {
            note.unwrap_or_else(|error| {
                tracing::error!(error, "the note of a damaged ledger cannot be read; it counts all the same");
                LedgerDamage::unreadable()
            })
        })
    }

    pub(crate) fn write_ledger(&self, note: &LedgerDamage) -> Result<(), FileError> {
        self.write("ledger.toml", note)
    }

    pub(crate) fn remove_ledger(&self) -> Result<(), FileError> {
        remove(&self.path("ledger.toml"))
    }

    /// The note of a damaged log; `Some(Err)` when there is one that cannot be read.
    pub(crate) fn log(&self) -> Option<Result<LogDamage, String>> {
        self.read("log.toml")
    }

    pub(crate) fn remove_log(&self) -> Result<(), FileError> {
        remove(&self.path("log.toml"))
    }

    /// Notes that the ledger is damaged; an earlier note stays, and says that what came in its place is damaged too.
    pub(crate) fn note_ledger(
        &self,
        found_by: FoundBy,
        error: &LedgerError,
        certified_height: u64,
    ) -> Result<LedgerDamage, FileError> {
        let (column, place, mut problem) = match error {
            LedgerError::Damaged { column, place, problem } | LedgerError::Unreadable { column, place, problem } => {
                ((*column).to_owned(), place.clone(), problem.clone())
            }
            other => ("files".to_owned(), "its folder".to_owned(), other.to_string()),
        };
        problem = problem.chars().take(PROBLEM_CHARACTERS_MAX).collect();
        let _turn = NOTING.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = self.ledger();
        let note = match earlier {
            Some(earlier) if earlier.is_aside => LedgerDamage { stage: Stage::Found, ..earlier },
            Some(earlier) => earlier,
            None => LedgerDamage {
                code: error.code().to_owned(),
                column,
                place,
                problem,
                found_by,
                found_ms: Timestamp::now().0,
                certified_height,
                stage: Stage::Found,
                is_aside: false,
            },
        };
        self.write_ledger(&note)?;
        Ok(note)
    }

    /// Notes that the ordering log of a number is damaged.
    pub(crate) fn note_log(&self, found_by: FoundBy, raft_id: u64, error: &LogError) -> Result<(), FileError> {
        let (code, problem) = (error.code().to_owned(), error.to_string());
        let _turn = NOTING.lock().unwrap_or_else(PoisonError::into_inner);
        self.write("log.toml", &LogDamage { raft_id, code, problem, found_by, found_ms: Timestamp::now().0 })
    }
}

/// Notes down what readers and the scrub find, and has the node start anew to repair it.
#[derive(Clone)]
pub(super) struct Damages {
    home: NodeHome,
    shutdown: Shutdown,
}

impl Damages {
    pub(super) fn new(home: &NodeHome, shutdown: &Shutdown) -> Self {
        Self { home: home.clone(), shutdown: shutdown.clone() }
    }

    /// Has a ledger's readers' findings noted down.
    pub(super) fn watch(&self, ledger: &Arc<Ledger>) {
        let (this, of) = (self.clone(), Arc::downgrade(ledger));
        // The ledger may be in the middle of anything: nothing that takes its locks is asked of it.
        ledger.on_damage(Box::new(move |error| {
            let certified = of.upgrade().map_or(0, |ledger| ledger.certified_height().min(ledger.durable_height()));
            this.ledger(FoundBy::Read, error, certified);
        }));
    }

    /// The scrub, or a check, found the ledger damaged; `ledger` stops taking writes.
    pub(super) fn found(&self, found_by: FoundBy, error: LedgerError, ledger: &Weak<Ledger>) {
        let ledger = ledger.upgrade();
        let certified = ledger.as_ref().map_or(0, |ledger| ledger.certified_height().min(ledger.durable_height()));
        self.ledger(found_by, &error, certified);
        if let Some(ledger) = ledger {
            ledger.report_damage(error);
        }
    }

    fn ledger(&self, found_by: FoundBy, error: &LedgerError, certified_height: u64) {
        match DamageNotes::new(&self.home).note_ledger(found_by, error, certified_height) {
            Ok(note) => {
                tracing::error!(
                    code = note.code,
                    ?found_by,
                    certified_height,
                    "the ledger is damaged: {}; this node stops ordering and signing, and fetches it from its peers",
                    note.told()
                );
                self.shutdown.restart(Restart::Damaged(format!("its ledger is damaged: {}", note.told())));
            }
            Err(failed) => self.cannot_note(error, &failed),
        }
    }

    /// The ordering log of a number is damaged.
    pub(super) fn log(&self, found_by: FoundBy, raft_id: u64, error: &LogError) {
        match DamageNotes::new(&self.home).note_log(found_by, raft_id, error) {
            Ok(()) => {
                tracing::error!(
                    code = error.code(),
                    raft_id,
                    ?found_by,
                    "the ordering log is damaged: {error}; this node gives its number up and comes back under a new one"
                );
                self.shutdown.restart(Restart::Damaged(format!("its ordering log is damaged: {error}")));
            }
            Err(failed) => self.cannot_note(error, &failed),
        }
    }

    /// Without the note a restart would go on as if nothing were wrong; so it stops, for its operator to see.
    fn cannot_note(&self, error: &dyn std::fmt::Display, failed: &FileError) {
        self.shutdown.fail(
            "damage-not-noted",
            format_args!(
                "{error}; and that cannot be noted down ({failed}): make room on the disk, then start the node"
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damage(place: &str) -> LedgerError {
        LedgerError::Damaged { column: "headers", place: place.to_owned(), problem: "its parent".to_owned() }
    }

    #[test]
    fn the_first_finding_stays_and_a_copy_that_is_damaged_too_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let home = NodeHome::new(folder.path());
        let notes = DamageNotes::new(&home);
        assert_eq!(notes.ledger(), None);
        notes.note_ledger(FoundBy::Scrub, &damage("height 7"), 9).unwrap();
        let note = notes.note_ledger(FoundBy::Read, &damage("height 8"), 9).unwrap();
        assert_eq!((note.place.as_str(), note.stage, note.found_by), ("height 7", Stage::Found, FoundBy::Scrub));
        notes.write_ledger(&LedgerDamage { stage: Stage::Repairing, is_aside: true, ..note }).unwrap();
        let again = notes.note_ledger(FoundBy::Read, &damage("height 2"), 1).unwrap();
        assert_eq!((again.place.as_str(), again.certified_height), ("height 7", 9));
        assert!(again.is_aside && again.stage == Stage::Found);
        notes.remove_ledger().unwrap();
        assert_eq!(notes.ledger(), None);
    }

    #[test]
    fn a_note_that_rotted_itself_counts() {
        let folder = tempfile::tempdir().unwrap();
        let home = NodeHome::new(folder.path());
        std::fs::create_dir(home.damage()).unwrap();
        std::fs::write(home.damage().join("ledger.toml"), b"\xff\x00").unwrap();
        let note = DamageNotes::new(&home).ledger().unwrap();
        assert_eq!((note.code.as_str(), note.stage), ("damage-note-unreadable", Stage::Found));
    }
}
