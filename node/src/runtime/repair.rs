//! Repairing what rotted: before anything else of a node is started, and when what came from peers is whole.
//!
//! ```text
//!   damage found       note          damage/ledger.toml, stage found          orders and signs nothing from here on
//!   settle, at start   set aside     ledger/ -> ledger.damaged/               kept, never served, never believed
//!                      note          stage repairing
//!   follow             fetch         ledger/ from peers: certified blocks, or a certified snapshot and then blocks
//!   finish             carry over    evidence that proves itself
//!                      note          gone; the node starts anew and takes its part again
//! ```
//!
//! A crash at any moment of it goes on where it was: each step can be done twice. The damaged ledger never comes back by
//! itself: when nobody has a sound copy the node stops, and says up to which height it came.
//!
//! A damaged ordering log is given up with its number, as a lost one is (see `part`). A damaged ledger leaves the number
//! in force where its log is sound: what was promised is in the log. What was signed is in the file `signed`.

use std::path::Path;
use std::time::Duration;

use galen_ledger::install::{carry_sound_evidence, set_aside};
use galen_ledger::{Ledger, LedgerError};
use galen_types::Timestamp;

use super::damage::{DamageNotes, FoundBy, LedgerDamage, Stage};
use super::part::{PartError, PartNotes};
use super::room;
use crate::home::NodeHome;
use crate::operate::files::{FileError, write_atomically};

/// How long a ledger that was repaired is kept aside, to be looked at.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Why a repair cannot begin or end. The code is stable.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// A file of the home.
    #[error(transparent)]
    File(#[from] FileError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The number whose log is damaged cannot be given up.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The new ledger would fill the disk, and the damaged one is not removed while it may be the last copy.
    #[error(
        "the ledger is damaged ({damage}) and there is no room to fetch it anew: {room}; the damaged one is kept in \
         ledger.damaged, remove it yourself once you know that the other nodes are well"
    )]
    NoRoom {
        /// What is damaged.
        damage: String,
        /// How much room.
        room: String,
    },
    /// The note of a damaged log cannot be read.
    #[error(
        "`damage/log.toml` cannot be read ({0}): remove the folder of the newest number under log/, then this file"
    )]
    Note(String),
}

impl RepairError {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::File(error) => error.code(),
            Self::Ledger(error) => error.code(),
            Self::Part(error) => error.code(),
            Self::NoRoom { .. } => "repair-no-room",
            Self::Note(_) => "damage-note-unreadable",
        }
    }
}

/// Does what the notes of damage in a home ask for before anything is opened; the damage, while the ledger is a copy that
/// is not whole yet.
pub(super) fn settle(home: &NodeHome) -> Result<Option<LedgerDamage>, RepairError> {
    let notes = DamageNotes::new(home);
    if let Some(log) = notes.log() {
        let log = log.map_err(RepairError::Note)?;
        give_up(home, log.raft_id)?;
        notes.remove_log()?;
        tracing::warn!(
            raft_id = log.raft_id, found_by = ?log.found_by, problem = log.problem,
            "the number whose ordering log was damaged is given up"
        );
    }
    let Some(mut note) = notes.ledger() else {
        remove_kept(home);
        return Ok(None);
    };
    if note.stage == Stage::Found {
        let (ledger, aside) = (home.ledger(), home.damaged_ledger());
        if note.is_aside {
            remove_folder(&ledger)?;
        } else if ledger.exists() {
            // Of an earlier repair, which ended: this ledger had come in its place.
            crate::operate::files::remove(&kept_until(home))?;
            remove_folder(&aside)?;
            set_aside(&ledger, &aside)?;
        }
        forget_snapshots(home)?;
        note.stage = Stage::Repairing;
        note.is_aside = true;
        notes.write_ledger(&note)?;
        tracing::warn!(
            code = note.code, found_by = ?note.found_by,
            "the damaged ledger is set aside ({}); it is fetched anew from peers", note.told()
        );
    }
    check_room(home, &note)?;
    Ok(Some(note))
}

/// Gives up the number of a damaged log. Where the ledger is damaged too, its repair ends by noting that the number was in
/// use, so that it is stale without its log.
fn give_up(home: &NodeHome, raft_id: u64) -> Result<(), RepairError> {
    let parts = PartNotes::new(home);
    let notes = DamageNotes::new(home);
    if notes.ledger().is_none() {
        match Ledger::open_existing(&home.ledger()) {
            // Where the log ended is not known: peers that ask are told nothing.
            Ok(ledger) => ledger.note_ordering_started(raft_id)?,
            Err(LedgerError::Absent { .. }) => {}
            Err(error) if error.is_damage() => {
                notes.note_ledger(FoundBy::Start, &error, 0)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(parts.set_aside_damaged(raft_id)?)
}

/// Snapshots for peers share files with the damaged ledger.
fn forget_snapshots(home: &NodeHome) -> Result<(), FileError> {
    let folder = home.snapshots();
    let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(()) };
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.parse::<u64>().is_ok()) {
            remove_folder(&entry.path())?;
        }
    }
    Ok(())
}

fn check_room(home: &NodeHome, note: &LedgerDamage) -> Result<(), RepairError> {
    // What is fetched already needs no room again.
    let needed = folder_bytes(&home.damaged_ledger()).saturating_sub(folder_bytes(&home.ledger()));
    room::check(home.root(), needed.saturating_add(room::SPARED_BYTES))
        .map_err(|room| RepairError::NoRoom { damage: note.told(), room })
}

/// Ends a repair, once the new ledger holds what the peers hold: before the next start the node is again what it was.
pub(super) fn finish(home: &NodeHome, ledger: &Ledger, raft_id: u64) -> Result<(), RepairError> {
    let aside = home.damaged_ledger();
    let evidence = carry_sound_evidence(&aside, ledger)?;
    // Without its log that number is stale; with it, it is in force.
    if raft_id != 0 {
        ledger.note_ordering_started(raft_id)?;
    }
    ledger.sync()?;
    keep(home)?;
    DamageNotes::new(home).remove_ledger()?;
    tracing::warn!(
        height = ledger.certified_height(),
        evidence,
        "the ledger is repaired: what peers gave is in its place"
    );
    Ok(())
}

/// Keeps the damaged ledger for a while, where the disk has room for it.
fn keep(home: &NodeHome) -> Result<(), FileError> {
    let aside = home.damaged_ledger();
    if !aside.exists() {
        return Ok(());
    }
    if room::check(home.root(), folder_bytes(&aside).saturating_add(room::SPARED_BYTES)).is_err() {
        tracing::warn!("the damaged ledger is removed: the disk has little room");
        return remove_folder(&aside);
    }
    let until = Timestamp::now().0.saturating_add(u64::try_from(KEPT.as_millis()).unwrap_or(u64::MAX));
    write_atomically(&kept_until(home), until.to_string().as_bytes())
}

fn kept_until(home: &NodeHome) -> std::path::PathBuf {
    home.damage().join("kept-until")
}

/// Removes a ledger that was kept aside for long enough.
pub(super) fn remove_kept(home: &NodeHome) {
    let path = kept_until(home);
    let Some(until) = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse::<u64>().ok()) else {
        return;
    };
    if Timestamp::now().0 < until {
        return;
    }
    let removed = remove_folder(&home.damaged_ledger()).and_then(|()| crate::operate::files::remove(&path));
    match removed {
        Ok(()) => tracing::info!("the damaged ledger that was kept aside is removed"),
        Err(error) => tracing::warn!(%error, "the damaged ledger that was kept aside cannot be removed"),
    }
}

fn remove_folder(folder: &Path) -> Result<(), FileError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(FileError::of(folder)(error)),
        _ => Ok(()),
    }
}

fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
}
