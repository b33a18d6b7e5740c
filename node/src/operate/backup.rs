//! Backups of a node's home: ledger, founding document, configuration, encrypted keys, stored files. Never the ordering log:
//! a node that is restored from a backup has forgotten promises, so it comes back under a new number in ordering.
//!
//! The ledger comes first and everything else after it: what the chain names at the backup's height is in the backup. The
//! configuration comes last, into the backup and out of it: without it a folder is neither a backup nor a home.
//!
//! Not in a backup: the file with the keys' password; what `node.toml` names outside of the home; and `began`, which says
//! that the disk held blocks once. A restored home gets it in any case: it continues a node, even where its ledger is
//! empty.

mod copy;
#[cfg(test)]
mod tests;

use std::path::{Component, Path, PathBuf};

use galen_ledger::backup::{self, BackupManifest};
use galen_ledger::{Ledger, SnapshotError};
use galen_types::Timestamp;

use super::files::{FileError, sync_folder, write_atomically};
use super::join::JoinFile;
use crate::config::{ConfigError, NodeConfig};
use crate::home::NodeHome;
use copy::{Copier, create_private};

/// The ledger's part, in a backup's folder.
const LEDGER: &str = "ledger";
/// Appended to the name of a backup in the home while it is made.
const MAKING: &str = ".making";

/// A backup as made or restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeBackup {
    /// The folder.
    pub folder: PathBuf,
    /// What its ledger holds.
    pub ledger: BackupManifest,
    /// Bytes of all its files.
    pub bytes: u64,
    /// Files that `node.toml` names and that are not in it: the operator keeps them elsewhere.
    pub missing: Vec<PathBuf>,
}

/// Why a home is not backed up or restored. The code is stable.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] SnapshotError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The configuration, which says what else belongs to the home.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The target is in use.
    #[error("{0} is not empty; give a folder that is absent or empty")]
    NotEmpty(PathBuf),
    /// The source is none.
    #[error("{0} holds no backup of a node's home, or one that was not made to its end")]
    NoBackup(PathBuf),
    /// The target lies in what is copied.
    #[error("{destination} lies in {part}, which is backed up: give a folder outside of the home")]
    Inside {
        /// The target.
        destination: PathBuf,
        /// A part of the home.
        part: PathBuf,
    },
    /// Something that a backup cannot hold.
    #[error(
        "{0} is neither a file nor a folder, or a link to a folder: a backup cannot hold it; move it out of the home"
    )]
    Unfit(PathBuf),
}

impl BackupError {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ledger(error) => error.code(),
            Self::File(error) => error.code(),
            Self::Config(error) => error.code(),
            Self::NotEmpty(_) => "backup-not-empty",
            Self::NoBackup(_) => "backup-absent",
            Self::Inside { .. } => "backup-inside-home",
            Self::Unfit(_) => "backup-unfit-file",
        }
    }
}

/// What of a home is copied after the ledger and before the configuration. Keys first: a rotation that goes on meanwhile
/// adds to them.
fn parts(home: &NodeHome) -> [PathBuf; 11] {
    [
        home.former_keys(),
        home.keys(),
        home.next_keys(),
        home.registered_key(),
        home.genesis(),
        home.join(),
        home.peers(),
        home.recoveries(),
        home.files(),
        home.jobs(),
        home.membership(),
    ]
}

/// Files that the configuration names, but for the password's.
fn named(home: &NodeHome, config: &NodeConfig) -> Result<Vec<PathBuf>, ConfigError> {
    let tls = config.http.tls.iter().flat_map(|tls| [tls.certificate.clone(), tls.key.clone()]);
    let trust_roots = JoinFile::load(home)?.and_then(|join| join.trust_roots);
    Ok(tls.chain(trust_roots).collect())
}

/// A path's place in the home; `None` when it lies elsewhere.
fn place_in(home: &NodeHome, path: &Path) -> Option<PathBuf> {
    let (root, path) = (std::path::absolute(home.root()).ok()?, std::path::absolute(path).ok()?);
    let place = path.strip_prefix(&root).ok()?;
    place.components().all(|component| matches!(component, Component::Normal(_))).then(|| place.to_path_buf())
}

/// Backs a home up into a folder that is absent or empty. The node may be running on `ledger`: the chain goes on meanwhile.
///
/// # Errors
/// [`BackupError`]; the folder is no backup then.
pub fn backup_running(home: &NodeHome, ledger: &Ledger, destination: &Path) -> Result<HomeBackup, BackupError> {
    require_empty(destination)?;
    let config = NodeConfig::load(home)?;
    require_outside(home, destination)?;
    create_private(destination)?;
    let to = NodeHome::new(destination);
    let manifest = backup::backup(ledger, &destination.join(LEDGER))?;
    let copier = Copier::without(config.key.password_file.as_deref());
    for part in parts(home) {
        copier.copy(&part, &destination.join(part.file_name().unwrap_or_default()))?;
    }
    let mut missing: Vec<_> = config.key.password_file.iter().cloned().collect();
    for path in named(home, &config)? {
        let Some(place) = place_in(home, &path) else {
            missing.push(path);
            continue;
        };
        let target = destination.join(place);
        if !target.exists() {
            target.parent().map_or(Ok(()), create_private)?;
            copier.copy(&path, &target)?;
        }
        if !target.exists() {
            missing.push(path);
        }
    }
    // Last: without it the folder is no backup.
    sync_folder(&to.config()).map_err(FileError::of(destination))?;
    copier.copy(&home.config(), &to.config())?;
    sync_folder(&to.config()).and_then(|()| sync_folder(destination)).map_err(FileError::of(destination))?;
    Ok(HomeBackup { folder: destination.to_path_buf(), ledger: manifest, bytes: size(destination), missing })
}

/// Backs the home of a running node up into its `backups/`, under the certified height and the time.
///
/// # Errors
/// [`BackupError`]; there is no new backup then.
pub fn backup_into_home(home: &NodeHome, ledger: &Ledger) -> Result<HomeBackup, BackupError> {
    let name = format!("{}-{}", ledger.certified_height(), Timestamp::now().0);
    let (folder, making) = (home.backups().join(&name), home.backups().join(name + MAKING));
    let made = backup_running(home, ledger, &making).inspect_err(|_| {
        // The reason it failed for is what counts; the next start removes what is left.
        let _ = std::fs::remove_dir_all(&making);
    })?;
    std::fs::rename(&making, &folder).and_then(|()| sync_folder(&folder)).map_err(FileError::of(&folder))?;
    Ok(HomeBackup { folder, ..made })
}

/// Removes what a crash left in `backups/` of one that was being made. Only while none is being made.
///
/// # Errors
/// When the disk refuses.
pub(crate) fn tidy(home: &NodeHome) -> Result<(), FileError> {
    let Ok(entries) = std::fs::read_dir(home.backups()) else { return Ok(()) };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.to_str().is_some_and(|path| path.ends_with(MAKING)) {
            std::fs::remove_dir_all(&path).map_err(FileError::of(&path))?;
        }
    }
    Ok(())
}

/// Backs up the home of a stopped node.
///
/// # Errors
/// As [`backup_running`]; when the node runs.
pub fn backup_stopped(home: &NodeHome, destination: &Path) -> Result<HomeBackup, BackupError> {
    let ledger = Ledger::open_existing(&home.ledger()).map_err(SnapshotError::from)?;
    backup_running(home, &ledger, destination)
}

/// Restores a backup into a home that is absent or empty. Its ledger is checked before and after; since there is no ordering
/// log, a voter comes back under a new number.
///
/// # Errors
/// [`BackupError`]; what was written is no home then.
pub fn restore(source: &Path, home: &NodeHome) -> Result<HomeBackup, BackupError> {
    require_empty(home.root())?;
    let from = NodeHome::new(source);
    if !from.config().is_file() || !source.join(LEDGER).is_dir() {
        return Err(BackupError::NoBackup(source.to_path_buf()));
    }
    create_private(home.root())?;
    let manifest = backup::restore(&source.join(LEDGER), &home.ledger())?;
    write_atomically(&home.began(), b"")?;
    let copier = Copier::without(None);
    for entry in std::fs::read_dir(source).map_err(FileError::of(source))? {
        let path = entry.map_err(FileError::of(source))?.path();
        let is_own_part =
            [from.ledger(), from.config(), from.logs(), from.began(), from.snapshots(), from.backups()].contains(&path);
        if !is_own_part {
            copier.copy(&path, &home.root().join(path.file_name().unwrap_or_default()))?;
        }
    }
    // Last: without it nothing starts from a half of a home.
    copier.copy(&from.config(), &home.config())?;
    sync_folder(&home.config()).map_err(FileError::of(home.root()))?;
    let config = NodeConfig::load(home)?;
    let mut missing: Vec<_> = config.key.password_file.iter().cloned().collect();
    missing.extend(named(home, &config)?);
    missing.retain(|path| !path.exists());
    Ok(HomeBackup { folder: home.root().to_path_buf(), ledger: manifest, bytes: size(home.root()), missing })
}

fn require_empty(folder: &Path) -> Result<(), BackupError> {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            Some(_) => Err(BackupError::NotEmpty(folder.to_path_buf())),
            None => Ok(()),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(FileError::of(folder)(error).into()),
    }
}

/// A copy that came into what is being copied would have no end.
fn require_outside(home: &NodeHome, destination: &Path) -> Result<(), BackupError> {
    let absolute = std::path::absolute(destination).map_err(FileError::of(destination))?;
    // It need not be there yet; what is there above it says where it comes to lie.
    let place = absolute.ancestors().find_map(|folder| folder.canonicalize().ok());
    for part in parts(home).into_iter().chain([home.ledger()]) {
        let is_within = |place: &PathBuf| part.canonicalize().is_ok_and(|part| place.starts_with(part));
        if place.as_ref().is_some_and(is_within) {
            return Err(BackupError::Inside { destination: destination.to_path_buf(), part });
        }
    }
    Ok(())
}

fn size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
