//! Wrapping a file key for one reader: X25519 (ephemeral to static), BLAKE3 key derivation, XChaCha20-Poly1305. A
//! wrapped key opens only with the recipient's secret key and only for the file it was wrapped for.

use std::fmt;

use galen_types::Hash;
use galen_types::member::EncryptionKey;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use x25519_dalek::StaticSecret;

use crate::box_seal::{self, OVERHEAD_BYTES};
use crate::error::WrapError;
use crate::file_key::FileKey;

/// Bytes of a wrapped key.
pub const WRAPPED_KEY_BYTES: usize = OVERHEAD_BYTES + 32;

const CONTEXT: &str = "galen 2026 file key wrap v1";

/// A file key that only its recipient can unwrap; safe to send and store. In text: hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct WrappedKey([u8; WRAPPED_KEY_BYTES]);

impl WrappedKey {
    /// Takes bytes that came from outside; whether they open is found out by [`unwrap_key`].
    ///
    /// # Errors
    /// [`WrapError::Malformed`] when the length is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WrapError> {
        bytes.try_into().map(Self).map_err(|_| WrapError::Malformed)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; WRAPPED_KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "WrappedKey({})", hex::encode(self.0))
    }
}

impl Serialize for WrappedKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for WrappedKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes: Vec<u8> = hex::serde::deserialize(deserializer)?;
        Self::from_bytes(&bytes).map_err(serde::de::Error::custom)
    }
}

/// Wraps the key of the file named `ciphertext` for a recipient.
///
/// # Errors
/// When the recipient's key is unsafe, or there are no random numbers.
pub fn wrap_key(key: &FileKey, recipient: &EncryptionKey, ciphertext: &Hash) -> Result<WrappedKey, WrapError> {
    WrappedKey::from_bytes(&box_seal::seal(key.as_bytes(), recipient, ciphertext, CONTEXT)?)
}

/// Unwraps the key of the file named `ciphertext` with the recipient's secret key.
///
/// # Errors
/// [`WrapError::NotOpened`] when it was wrapped for another recipient or file, or changed.
pub fn unwrap_key(wrapped: &WrappedKey, recipient: &StaticSecret, ciphertext: &Hash) -> Result<FileKey, WrapError> {
    let content = box_seal::open(&wrapped.0, recipient, ciphertext, CONTEXT)?;
    let key: [u8; 32] = content.as_slice().try_into().map_err(|_| WrapError::Malformed)?;
    Ok(FileKey::from_bytes(key))
}
