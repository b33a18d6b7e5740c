//! Why stored files cannot be opened, and how failures of the store are told to clients and peers.

use std::error::Error;
use std::io;

use galen_contracts::StateError;
use galen_filestore::{CipherError, KeyRingError, StoreError, WrapError};
use galen_p2p::Refusal;

use super::documents::FolderError;
use crate::http::services::{ErrorKind, ServiceError};

/// Why a node's files cannot be opened. The code is stable.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The store of ciphertexts.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ring of file keys.
    #[error(transparent)]
    KeyRing(#[from] KeyRingError),
    /// The folder of salts or cards.
    #[error(transparent)]
    Folder(#[from] FolderError),
}

impl FilesError {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::KeyRing(error) => error.code(),
            Self::Folder(_) => "files-folder",
        }
    }
}

/// The state cannot be read: a fault of the node.
pub(crate) fn state_unusable(error: StateError) -> ServiceError {
    ServiceError::internal(&error)
}

/// A document of the node cannot be read or written.
pub(crate) fn disk_failed(error: io::Error) -> ServiceError {
    if is_full(&error) { storage_full() } else { ServiceError::internal(&error) }
}

fn storage_full() -> ServiceError {
    ServiceError::new(ErrorKind::StorageFull, "storage-full", "the node's disk is full; nothing was stored")
        .with_hint("ask the node's operator to make room, then send it again")
}

fn is_full(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::StorageFull) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// What the store's failure means to whoever asked.
pub(crate) fn store_failed(error: &StoreError) -> ServiceError {
    let kind = match error {
        StoreError::Missing { .. } => ErrorKind::NotFound,
        StoreError::TooLarge { .. } => ErrorKind::TooLarge,
        StoreError::SizeMismatch { .. } | StoreError::HashMismatch { .. } => ErrorKind::Unprocessable,
        StoreError::RangeInvalid { .. } => return range_invalid(),
        // The body broke off, was too slow, or had another length than announced.
        StoreError::Cipher(CipherError::Read(cause)) => {
            return ServiceError::new(ErrorKind::Malformed, "upload-broken", format!("the upload broke off: {cause}"))
                .with_hint("send it again");
        }
        StoreError::Tampered { .. } | StoreError::OutboardDamaged { .. } => {
            return ServiceError::new(
                ErrorKind::Conflict,
                "integrity-failure",
                "the stored file is not the one that the chain names; its owner has been told",
            );
        }
        StoreError::InUse(_) | StoreError::Folder { .. } | StoreError::ObjectStore(_) | StoreError::Cipher(_) => {
            return if is_full(error) { storage_full() } else { ServiceError::internal(error) };
        }
    };
    ServiceError::new(kind, error.code(), error.to_string())
}

/// A range that the file does not have.
pub(crate) fn range_invalid() -> ServiceError {
    ServiceError::new(ErrorKind::Unprocessable, "range-invalid", "the file has no such range of bytes")
}

/// What a failure while reading a plaintext means: the store's, the cipher's, or the disk's.
pub(crate) fn plaintext_failed(error: &io::Error) -> ServiceError {
    if let Some(error) = StoreError::of_io(error) {
        return store_failed(error);
    }
    match cipher_error_of(error) {
        Some(error) => ServiceError::new(ErrorKind::Unprocessable, error.code(), error.to_string()),
        None => ServiceError::internal(error),
    }
}

/// The cipher's error inside of a reader's `io::Error`.
pub(crate) fn cipher_error_of(error: &io::Error) -> Option<&CipherError> {
    error.get_ref()?.downcast_ref()
}

/// The key ring's failure.
pub(crate) fn key_ring_failed(error: &KeyRingError) -> ServiceError {
    match error {
        KeyRingError::Missing { .. } => ServiceError::new(
            ErrorKind::NotFound,
            "file-key-missing",
            "this node has no key for the file: it was never here or was erased",
        ),
        KeyRingError::Exists { .. } => {
            ServiceError::new(ErrorKind::Conflict, error.code(), "there is a key for the file already")
        }
        _ if is_full(error) => storage_full(),
        _ => ServiceError::internal(error),
    }
}

/// A wrapped key's failure.
pub(crate) fn wrap_failed(error: &WrapError) -> ServiceError {
    match error {
        WrapError::Randomness(_) => ServiceError::internal(error),
        _ => ServiceError::new(ErrorKind::Unprocessable, error.code(), error.to_string()),
    }
}

/// A service's error as a peer is told.
pub(crate) fn refusal(error: &ServiceError) -> Refusal {
    Refusal::new(error.code, &error.detail)
}
