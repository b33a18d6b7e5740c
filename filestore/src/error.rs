//! What can go wrong with a file, sorted by part; one variant per cause.

use std::io;
use std::path::PathBuf;

use galen_types::Hash;

/// The encrypted format refuses, or a stream it reads or writes fails.
#[derive(Debug, thiserror::Error)]
pub enum CipherError {
    /// The stream given to read from failed.
    #[error("reading the file failed: {0}")]
    Read(#[source] io::Error),
    /// The stream given to write to failed.
    #[error("writing the file failed: {0}")]
    Write(#[source] io::Error),
    /// More chunks than the nonce counter counts: 256 TiB.
    #[error("the file is longer than 256 TiB; split it")]
    TooLong,
    /// Not a file of the encrypted format.
    #[error("the bytes are not an encrypted file of this software, or its first 64 bytes are damaged")]
    NotEncrypted,
    /// Encrypted under another key.
    #[error("the key is not the one the file is encrypted under; ask the file's owner to wrap it again")]
    WrongKey,
    /// A chunk is not what was encrypted there: changed, moved or swapped.
    #[error("the encrypted file is damaged in the chunk at byte {offset}; fetch it again")]
    Damaged {
        /// Where the chunk starts in the ciphertext.
        offset: u64,
    },
    /// The end is missing.
    #[error("the encrypted file is cut short after {bytes} bytes; fetch it again")]
    Truncated {
        /// Bytes of ciphertext that came.
        bytes: u64,
    },
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers: {0}")]
    Randomness(#[from] getrandom::Error),
}

impl CipherError {
    /// A stable code for interfaces and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read(_) => "file-read-failed",
            Self::Write(_) => "file-write-failed",
            Self::TooLong => "file-too-long",
            Self::NotEncrypted => "file-not-encrypted",
            Self::WrongKey => "file-wrong-key",
            Self::Damaged { .. } => "file-chunk-damaged",
            Self::Truncated { .. } => "file-truncated",
            Self::Randomness(_) => "randomness-unavailable",
        }
    }
}

/// For the reader adapters, whose traits speak `io::Error`.
impl From<CipherError> for io::Error {
    fn from(error: CipherError) -> Self {
        match error {
            CipherError::Read(error) | CipherError::Write(error) => error,
            error => Self::new(io::ErrorKind::InvalidData, error),
        }
    }
}

/// The store refuses or fails.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the folder open.
    #[error("the file store {} is in use by another process; stop that one first", .0.display())]
    InUse(PathBuf),
    /// The folder cannot be prepared.
    #[error("the file store cannot use {}: {source}", path.display())]
    Folder {
        /// What was opened, made or synced.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The object store failed.
    #[error("the object store failed: {0}")]
    ObjectStore(#[from] object_store::Error),
    /// Encrypting or reading the source failed.
    #[error(transparent)]
    Cipher(#[from] CipherError),
    /// No such file here.
    #[error("the file {ciphertext} is not in this store; fetch it from its owner")]
    Missing {
        /// The file's name.
        ciphertext: Hash,
    },
    /// The stored bytes are not those that the name stands for.
    #[error("the stored file {ciphertext} was changed at or after byte {offset}; put it again from the original")]
    Tampered {
        /// The file's name.
        ciphertext: Hash,
        /// Every byte before this one was checked and is right; the next 16 KiB hold a wrong one.
        offset: u64,
    },
    /// The hash tree beside the file is missing or damaged; whether the file is, is for `verify` to say.
    #[error("the hash tree of {ciphertext} is missing or damaged; verify the file, which makes the tree anew")]
    OutboardDamaged {
        /// The file's name.
        ciphertext: Hash,
    },
    /// Longer than this store takes.
    #[error("the file is longer than the {limit} bytes that this store takes; raise the limit or split the file")]
    TooLarge {
        /// Bytes of ciphertext accepted.
        limit: u64,
    },
    /// An upload has another length than announced.
    #[error("the upload has {actual} bytes where {expected} were announced; send it again")]
    SizeMismatch {
        /// Bytes announced.
        expected: u64,
        /// Bytes that came, or came before the upload was stopped.
        actual: u64,
    },
    /// An upload has another hash than announced.
    #[error("the upload's hash is {actual} where {expected} was announced; send it again")]
    HashMismatch {
        /// The hash announced.
        expected: Hash,
        /// The hash of what came.
        actual: Hash,
    },
    /// A range that the file does not have.
    #[error("bytes {start} to {end} are outside of the file's {size} bytes")]
    RangeInvalid {
        /// First byte asked for.
        start: u64,
        /// First byte no longer asked for.
        end: u64,
        /// Bytes the file has.
        size: u64,
    },
}

impl StoreError {
    /// A stable code for interfaces and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InUse(_) => "file-store-in-use",
            Self::Folder { .. } => "file-store-folder",
            Self::ObjectStore(_) => "file-store-failed",
            Self::Cipher(error) => error.code(),
            Self::Missing { .. } => "file-missing",
            Self::Tampered { .. } => "file-tampered",
            Self::OutboardDamaged { .. } => "file-outboard-damaged",
            Self::TooLarge { .. } => "file-too-large",
            Self::SizeMismatch { .. } => "file-size-mismatch",
            Self::HashMismatch { .. } => "file-hash-mismatch",
            Self::RangeInvalid { .. } => "file-range-invalid",
        }
    }
}

/// A wrapped key refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrapError {
    /// Not the bytes of a wrapped key.
    #[error("the bytes are not a wrapped key of this software")]
    Malformed,
    /// Wrapped for another recipient or another file, or changed.
    #[error("the key is wrapped for another recipient or another file, or was changed; ask its owner to wrap it again")]
    NotOpened,
    /// The recipient's public key is one of the few that make every shared secret the same (RFC 7748, section 6.1).
    #[error("the recipient's encryption key is unsafe; register another one")]
    UnsafeKey,
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers: {0}")]
    Randomness(#[from] getrandom::Error),
}

impl WrapError {
    /// A stable code for interfaces and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "wrapped-key-malformed",
            Self::NotOpened => "wrapped-key-not-opened",
            Self::UnsafeKey => "encryption-key-unsafe",
            Self::Randomness(_) => "randomness-unavailable",
        }
    }
}

/// The key ring refuses or fails.
#[derive(Debug, thiserror::Error)]
pub enum KeyRingError {
    /// A file of the ring cannot be read, written or deleted.
    #[error("the key ring cannot use {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Others can read or change the ring.
    #[error("{} is open to other users (mode {mode:03o}); close it: chmod {fix} {}", path.display(), path.display())]
    OpenToOthers {
        /// The file or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The permission bits it should have.
        fix: &'static str,
    },
    /// No secrets for this file: never here, or erased.
    #[error("there is no key for the file {ciphertext}: it was never here or was erased")]
    Missing {
        /// The file's name.
        ciphertext: Hash,
    },
    /// Secrets for this file are there already.
    #[error("there is a key for the file {ciphertext} already")]
    Exists {
        /// The file's name.
        ciphertext: Hash,
    },
    /// The entry cannot be read.
    #[error("the key ring's file {} is damaged ({reason}); restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The entry cannot be sealed or opened with this key.
    #[error(transparent)]
    Wrap(#[from] WrapError),
}

impl KeyRingError {
    /// A stable code for interfaces and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "key-ring-failed",
            Self::OpenToOthers { .. } => "key-ring-open-to-others",
            Self::Missing { .. } => "file-key-missing",
            Self::Exists { .. } => "file-key-exists",
            Self::Damaged { .. } => "key-ring-damaged",
            Self::Wrap(error) => error.code(),
        }
    }
}
