//! What can go wrong with keys; one variant per cause.

use std::io;
use std::path::PathBuf;

use galen_types::Signer;

/// A key operation refuses or fails.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file or folder cannot be read, written or synced.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Others can read or change a secret.
    #[error("{} is open to other users (mode {mode:03o}); close it: chmod {fix} {}", path.display(), path.display())]
    OpenToOthers {
        /// The file or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The permission bits it should have.
        fix: &'static str,
    },
    /// No key of this name.
    #[error("there is no key of `{name}` in {}; create or import it", folder.display())]
    Missing {
        /// Whose key.
        name: Box<Signer>,
        /// The keystore.
        folder: PathBuf,
    },
    /// A key of this name is there already.
    #[error("there is a key of `{name}` in {} already; it is never overwritten", folder.display())]
    Exists {
        /// Whose key.
        name: Box<Signer>,
        /// The keystore.
        folder: PathBuf,
    },
    /// The file is not a key file, or not a sound one.
    #[error("the key file {} is damaged ({reason}); restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A key file of a later version.
    #[error("the key file {} has version {version}, which this software does not know; update it", path.display())]
    UnknownVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// The secret part does not open.
    #[error("the password for {} is wrong, or the file was changed", path.display())]
    WrongPassword {
        /// The file.
        path: PathBuf,
    },
    /// No password, or not a usable one.
    #[error("{0}")]
    Password(String),
    /// Deriving a key from the password failed.
    #[error("deriving a key from the password failed: {0}")]
    Derivation(String),
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers: {0}")]
    Randomness(#[from] getrandom::Error),
}

impl KeyError {
    /// A stable code for interfaces and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "key-file-io",
            Self::OpenToOthers { .. } => "key-file-open-to-others",
            Self::Missing { .. } => "key-missing",
            Self::Exists { .. } => "key-exists",
            Self::Damaged { .. } => "key-file-damaged",
            Self::UnknownVersion { .. } => "key-file-unknown-version",
            Self::WrongPassword { .. } => "key-wrong-password",
            Self::Password(_) => "password-unusable",
            Self::Derivation(_) => "key-derivation-failed",
            Self::Randomness(_) => "randomness-unavailable",
        }
    }
}
