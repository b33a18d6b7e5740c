//! Backup and restore of a ledger. A backup is an independent copy (no hard links: a bad sector must not reach both), made
//! from a running ledger at the end of a block, with a description in plain text, written last. It holds what the node
//! signed, so that a restored voter does not forget it, and never the ordering log: a restored node has promised things
//! that it no longer knows, and comes back as a new learner.
//!
//! ```text
//! <backup>/
//! ├── db/            RocksDB's files
//! └── backup.toml    what it holds
//! ```

use std::fmt::Write as _;
use std::path::Path;
use std::str::FromStr;

use galen_types::{Hash, Slug};

use crate::folder;
use crate::halt::Halt;
use crate::ledger::Ledger;
use crate::snapshot::check::check_state;
use crate::snapshot::{self, SnapshotError};

const DATABASE: &str = "db";
const DESCRIPTION: &str = "backup.toml";
/// Most bytes of a description.
const DESCRIPTION_BYTES_MAX: usize = 16 << 10;
/// Appended to the ledger's folder name: a copy that is being backed up. No name that a person would give a copy.
const COPY: &str = ".backup-copying";
/// Appended to the ledger's folder name: a ledger that is being restored.
const RESTORING: &str = ".restoring";
/// What a backup or a restoration that was interrupted leaves beside the ledger.
pub(crate) const LEFT: [&str; 2] = [COPY, RESTORING];

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupManifest {
    /// The chain's name.
    pub chain: Slug,
    /// The hash of its genesis document.
    pub genesis: Hash,
    /// The last block.
    pub height: u64,
    /// Its header's hash.
    pub header: Hash,
    /// The root of the state after it.
    pub state_root: Hash,
    /// The highest height that a stored certificate covers.
    pub certified_height: u64,
}

impl BackupManifest {
    fn of(ledger: &Ledger) -> Result<Self, SnapshotError> {
        let tip = ledger.tip()?;
        Ok(Self {
            chain: ledger.chain().clone(),
            genesis: ledger.genesis_hash(),
            height: tip.height,
            header: tip.hash,
            state_root: ledger.state_root()?,
            certified_height: ledger.certified_height(),
        })
    }

    fn to_text(&self) -> String {
        let mut text = String::from("# A backup of a ledger. Restore it with `galen ledger restore`.\n");
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "chain = \"{}\"\ngenesis = \"{}\"\nheight = {}\nheader = \"{}\"\nstate_root = \"{}\"\ncertified_height = {}\n",
            self.chain, self.genesis, self.height, self.header, self.state_root, self.certified_height
        );
        text
    }

    fn of_text(text: &str) -> Result<Self, String> {
        Ok(Self {
            chain: field(text, "chain")?,
            genesis: field(text, "genesis")?,
            height: field(text, "height")?,
            header: field(text, "header")?,
            state_root: field(text, "state_root")?,
            certified_height: field(text, "certified_height")?,
        })
    }
}

fn field<T: FromStr>(text: &str, name: &str) -> Result<T, String> {
    let mut lines = text.lines().filter_map(|line| line.split_once('='));
    let value = lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().trim_matches('"'));
    value.and_then(|value| value.parse().ok()).ok_or_else(|| format!("`{DESCRIPTION}` has no valid `{name}`"))
}

/// Backs a ledger up into a folder that is absent or empty; the ledger may be in use. Checks what it wrote.
///
/// # Errors
/// [`SnapshotError::NotEmpty`], [`SnapshotError::Unsound`] when the ledger does not agree with itself, or when the disk
/// refuses; [`SnapshotError::Halted`]; the folder is no backup then.
pub fn backup(ledger: &Ledger, destination: &Path) -> Result<BackupManifest, SnapshotError> {
    require_empty(destination)?;
    let copy = folder::sibling(ledger.path(), COPY);
    folder::remove(&copy)?;
    let copied = snapshot::copy(ledger, &copy)
        .and_then(|_| folder::create(destination))
        .and_then(|()| folder::copy_files(&copy, &destination.join(DATABASE), &ledger.halt));
    // Also when it failed: its hard links keep files that the ledger has long replaced.
    let removed = folder::remove(&copy);
    copied?;
    removed?;
    let manifest = check(&destination.join(DATABASE), &ledger.halt)?;
    folder::write(&destination.join(DESCRIPTION), manifest.to_text().as_bytes())?;
    tracing::info!(destination = %destination.display(), height = manifest.height, "the ledger was backed up");
    Ok(manifest)
}

/// Backs up the ledger in a folder that no process has open.
///
/// # Errors
/// As [`backup`]; when the folder holds no ledger or is open elsewhere.
pub fn backup_folder(ledger: &Path, destination: &Path) -> Result<BackupManifest, SnapshotError> {
    backup(&Ledger::open_existing(ledger)?, destination)
}

/// Checks a backup: its rows against its state tree, that against its last header, and all against its description.
///
/// # Errors
/// [`SnapshotError::Absent`], [`SnapshotError::Backup`], [`SnapshotError::Unsound`] or what reading it says.
pub fn check_backup(backup: &Path) -> Result<BackupManifest, SnapshotError> {
    let absent = || SnapshotError::Absent { path: backup.to_owned() };
    let wrong = |problem: String| SnapshotError::Backup { path: backup.to_owned(), problem };
    let bytes = folder::read(&backup.join(DESCRIPTION), DESCRIPTION_BYTES_MAX)?.ok_or_else(absent)?;
    let text = String::from_utf8(bytes).map_err(|_| wrong(format!("`{DESCRIPTION}` is no text")))?;
    let described = BackupManifest::of_text(&text).map_err(wrong)?;
    let held = check(&backup.join(DATABASE), &Halt::default())?;
    if described == held {
        return Ok(held);
    }
    Err(wrong(format!("it holds height {} ({}), not what `{DESCRIPTION}` says", held.height, held.header)))
}

/// Restores a backup to a ledger's folder, which must be absent or empty. The folder gets its name once all is checked.
///
/// # Errors
/// [`SnapshotError::NotEmpty`]; as [`check_backup`]; when the disk refuses.
pub fn restore(backup: &Path, ledger: &Path) -> Result<BackupManifest, SnapshotError> {
    crate::install::settle(ledger)?;
    require_empty(ledger)?;
    let described = check_backup(backup)?;
    let restoring = folder::sibling(ledger, RESTORING);
    folder::remove(&restoring)?;
    folder::copy_files(&backup.join(DATABASE), &restoring, &Halt::default())?;
    let restored = check(&restoring, &Halt::default())?;
    if restored != described {
        let problem = format!("its copy holds height {}, not {}", restored.height, described.height);
        return Err(SnapshotError::Backup { path: backup.to_owned(), problem });
    }
    folder::remove(ledger)?;
    folder::rename(&restoring, ledger)?;
    Ok(restored)
}

fn check(database: &Path, halt: &Halt) -> Result<BackupManifest, SnapshotError> {
    let ledger = Ledger::open_read_only(database)?;
    check_state(&ledger, halt, |_, _| Ok(()))?;
    BackupManifest::of(&ledger)
}

fn require_empty(path: &Path) -> Result<(), SnapshotError> {
    if folder::names(path)?.is_empty() {
        return Ok(());
    }
    Err(SnapshotError::NotEmpty { path: path.to_owned() })
}
