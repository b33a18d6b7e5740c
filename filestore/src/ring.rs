//! The key ring: for every stored version, what is needed to read it and to prove what it holds. One small file a
//! version, sealed as a whole to the member's own X25519 key, so that a stolen disk tells nothing without it. Erasing a
//! version means deleting its entry: without the key the ciphertext is noise, without the salt the commitment on the
//! chain tells nothing.
//!
//! Calls block for a few disk syncs; on a runtime, call them from a blocking thread.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use galen_types::Hash;
use galen_types::member::EncryptionKey;
use serde::{Deserialize, Serialize};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use crate::atomic_file::{self, TEMPORARY_SUFFIX};
use crate::box_seal;
use crate::error::{KeyRingError, WrapError};
use crate::file_key::{FileKey, Salt};

const CONTEXT: &str = "galen 2026 key ring entry v1";
const VERSION: u32 = 1;
/// File key, salt, plaintext hash.
const SECRETS_BYTES: usize = 96;
/// An entry has about 400 bytes; what is longer is none.
const MAX_ENTRY_BYTES: u64 = 4096;

/// The secrets of one stored version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionSecrets {
    /// The file's name, which is no secret.
    pub ciphertext: Hash,
    /// Decrypts the file.
    pub key: FileKey,
    /// The salt of the dataset's commitments; the same for all versions of a dataset.
    pub salt: Salt,
    /// BLAKE3 of the plaintext, which salt and commitment prove.
    pub plaintext_hash: Hash,
}

impl VersionSecrets {
    /// What the chain holds of the plaintext.
    pub fn commitment(&self) -> Hash {
        self.salt.commitment(&self.plaintext_hash)
    }
}

/// An entry as stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    version: u32,
    ciphertext: Hash,
    recipient: EncryptionKey,
    #[serde(with = "hex::serde")]
    sealed: Vec<u8>,
}

/// A folder of sealed secrets.
#[derive(Debug, Clone)]
pub struct KeyRing {
    folder: PathBuf,
}

impl KeyRing {
    /// Opens the ring in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// When the folder cannot be used or is open to other users.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, KeyRingError> {
        let folder = folder.as_ref().to_owned();
        atomic_file::private_folder(&folder).map_err(failed(&folder))?;
        let permissions = folder.metadata().map_err(failed(&folder))?.permissions();
        check_private(&folder, &permissions, "700")?;
        for entry in std::fs::read_dir(&folder).map_err(failed(&folder))? {
            let path = entry.map_err(failed(&folder))?.path();
            if path.to_string_lossy().ends_with(TEMPORARY_SUFFIX) {
                std::fs::remove_file(&path).map_err(failed(&path))?;
            }
        }
        Ok(Self { folder })
    }

    /// Stores the secrets of a version, sealed to the member's own key, durably.
    ///
    /// # Errors
    /// [`KeyRingError::Exists`] when there are some already; or when sealing or writing fails.
    pub fn insert(&self, secrets: &VersionSecrets, owner: &EncryptionKey) -> Result<(), KeyRingError> {
        let path = self.path(&secrets.ciphertext);
        if path.try_exists().map_err(failed(&path))? {
            return Err(KeyRingError::Exists { ciphertext: secrets.ciphertext });
        }
        let mut content = Zeroizing::new([0; SECRETS_BYTES]);
        content[..32].copy_from_slice(secrets.key.as_bytes());
        content[32..64].copy_from_slice(secrets.salt.as_bytes());
        content[64..].copy_from_slice(secrets.plaintext_hash.as_bytes());
        let sealed = box_seal::seal(content.as_slice(), owner, &secrets.ciphertext, CONTEXT)?;
        let entry = Entry { version: VERSION, ciphertext: secrets.ciphertext, recipient: *owner, sealed };
        let text = serde_json::to_vec_pretty(&entry).map_err(|error| failed(&path)(error.into()))?;
        atomic_file::write(&path, &text).map_err(failed(&path))
    }

    /// The secrets of a version, opened with the member's secret key.
    ///
    /// # Errors
    /// [`KeyRingError::Missing`], [`KeyRingError::Damaged`], or [`WrapError::NotOpened`] when the key is not the one
    /// they were sealed to.
    pub fn get(&self, ciphertext: &Hash, owner: &StaticSecret) -> Result<VersionSecrets, KeyRingError> {
        let path = self.path(ciphertext);
        let damaged = |reason: &str| KeyRingError::Damaged { path: path.clone(), reason: reason.to_owned() };
        let entry = self.read(ciphertext)?;
        let public = x25519_dalek::PublicKey::from(owner);
        if entry.recipient.0 != public.to_bytes() {
            return Err(WrapError::NotOpened.into());
        }
        // Sealed to this very key, so what does not open is damaged.
        let content = box_seal::open(&entry.sealed, owner, ciphertext, CONTEXT)
            .map_err(|_| damaged("the sealed part was changed"))?;
        let (parts, rest) = content.as_chunks::<32>();
        let ([key, salt, plaintext_hash], []) = (parts, rest) else {
            return Err(damaged("the sealed part has a wrong length"));
        };
        Ok(VersionSecrets {
            ciphertext: *ciphertext,
            key: FileKey::from_bytes(*key),
            salt: Salt::from_bytes(*salt),
            plaintext_hash: Hash(*plaintext_hash),
        })
    }

    /// Whether there are secrets for a file.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn contains(&self, ciphertext: &Hash) -> Result<bool, KeyRingError> {
        let path = self.path(ciphertext);
        path.try_exists().map_err(failed(&path))
    }

    /// Every file there are secrets for, in the order of names.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self) -> Result<Vec<Hash>, KeyRingError> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(failed(&self.folder))? {
            let name = entry.map_err(failed(&self.folder))?.file_name();
            if let Some(Ok(hash)) = name.to_string_lossy().strip_suffix(".json").map(str::parse) {
                names.push(hash);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Deletes the secrets of a version for good; whether there were some. Without them its ciphertext is noise.
    ///
    /// # Errors
    /// When they cannot be deleted.
    pub fn erase(&self, ciphertext: &Hash) -> Result<bool, KeyRingError> {
        let path = self.path(ciphertext);
        match std::fs::remove_file(&path) {
            Ok(()) => {
                atomic_file::sync_folder(&self.folder).map_err(failed(&self.folder))?;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed(&path)(error)),
        }
    }

    fn path(&self, ciphertext: &Hash) -> PathBuf {
        self.folder.join(format!("{ciphertext}.json"))
    }

    fn read(&self, ciphertext: &Hash) -> Result<Entry, KeyRingError> {
        let path = self.path(ciphertext);
        let damaged = |reason: String| KeyRingError::Damaged { path: path.clone(), reason };
        let metadata = match path.metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(KeyRingError::Missing { ciphertext: *ciphertext });
            }
            Err(error) => return Err(failed(&path)(error)),
        };
        check_private(&path, &metadata.permissions(), "600")?;
        if metadata.len() > MAX_ENTRY_BYTES {
            return Err(damaged(format!("{} bytes are too many", metadata.len())));
        }
        let text = std::fs::read(&path).map_err(failed(&path))?;
        let entry: Entry = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if entry.version != VERSION {
            return Err(damaged(format!("version {} is unknown here", entry.version)));
        }
        if entry.ciphertext != *ciphertext {
            return Err(damaged(format!("it is the entry of {}", entry.ciphertext)));
        }
        Ok(entry)
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> KeyRingError {
    move |source| KeyRingError::Io { path: path.to_owned(), source }
}

fn check_private(path: &Path, permissions: &Permissions, fix: &'static str) -> Result<(), KeyRingError> {
    let mode = permissions.mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(KeyRingError::OpenToOthers { path: path.to_owned(), mode, fix }) }
}
