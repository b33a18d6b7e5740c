//! The recoveries that a home holds, each in a file of its own: `recoveries/<hash>.toml`. One that an operator applied has
//! the recovery block's transaction; one that an invitation vouches for is the document alone.

use std::path::PathBuf;

use galen_chain::recovery::{HeldRecoveries, HeldRecovery};
use galen_types::Hash;
use galen_types::recovery::Recovery;

use super::files::{FileError, create_folder, write_atomically};
use super::recovery::RecoveryFile;
use crate::config::ConfigError;
use crate::home::NodeHome;

/// Why the recoveries that a home holds cannot be used. The code is stable.
#[derive(Debug, thiserror::Error)]
pub enum HeldFileError {
    /// It cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The folder cannot be read.
    #[error("{path} cannot be read: {cause}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's words.
        cause: std::io::Error,
    },
    /// It is damaged or of another chain.
    #[error("{path} cannot be used: {cause}; apply the complete recovery, or remove the file")]
    Unfit {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
}

impl HeldFileError {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config(error) => error.code(),
            Self::Folder { .. } => "recovery-folder-unreadable",
            Self::Unfit { .. } => "recovery-file-unfit",
        }
    }
}

/// What a home holds.
pub(crate) fn load(home: &NodeHome, genesis: &Hash) -> Result<HeldRecoveries, HeldFileError> {
    let mut held = HeldRecoveries::default();
    for path in files(home)? {
        let unfit = |cause: String| HeldFileError::Unfit { path: path.clone(), cause };
        let file = RecoveryFile::load(&path)?;
        let read = match &file.transaction {
            Some(_) => {
                let bytes = file.transaction_bytes().map_err(|error| unfit(error.to_string()))?;
                HeldRecovery::from_bytes(&bytes, genesis).map_err(|error| unfit(error.to_string()))?
            }
            None if file.recovery.genesis == *genesis => HeldRecovery::from_document(file.recovery),
            None => return Err(unfit(format!("it is for the chain with genesis {}", file.recovery.genesis))),
        };
        if path != home.recovery(&read.hash) {
            return Err(unfit("its name is not its hash".to_owned()));
        }
        held.add(read);
    }
    Ok(held)
}

/// Keeps a recovery, durably. Another that goes on from the same lineage, and that this home has not come through, gives
/// way: an operator who applies a second one means it.
pub(crate) fn keep(home: &NodeHome, file: &RecoveryFile, lineage: Hash) -> Result<(), FileError> {
    let hash = file.recovery.hash();
    for path in files(home).unwrap_or_default() {
        let Ok(other) = RecoveryFile::load(&path) else { continue };
        let other_hash = other.recovery.hash();
        if other.recovery.lineage == file.recovery.lineage && other_hash != hash && other_hash != lineage {
            std::fs::remove_file(&path).map_err(|cause| FileError { path: path.clone(), cause })?;
        }
    }
    create_folder(&home.recoveries())?;
    write_atomically(&home.recovery(&hash), file.to_text(&home.recovery(&hash))?.as_bytes())
}

/// Keeps a document that an invitation vouches for, unless the recovery is held.
pub(crate) fn keep_document(home: &NodeHome, recovery: Recovery) -> Result<(), FileError> {
    if home.recovery(&recovery.hash()).exists() {
        return Ok(());
    }
    keep(home, &RecoveryFile::of(recovery), Hash::ZERO)
}

fn files(home: &NodeHome) -> Result<Vec<PathBuf>, HeldFileError> {
    let path = home.recoveries();
    let failed = |cause| HeldFileError::Folder { path: path.clone(), cause };
    let entries = match std::fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
