//! Secrets of a stored file: the key of a version and the salt of a dataset. Neither is ever printed.

use std::fmt;

use galen_types::Hash;
use zeroize::Zeroizing;

/// The key that one version of a file is encrypted under; cleared from memory when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct FileKey(Zeroizing<[u8; 32]>);

impl FileKey {
    /// A fresh key from the operating system's random numbers.
    ///
    /// # Errors
    /// When the operating system gives none.
    pub fn generate() -> Result<Self, getrandom::Error> {
        random().map(Self)
    }

    /// The key of 32 bytes that were read from a safe place.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key's bytes, to be kept as safe as the file itself.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A key for one use, derived under that use's context string.
    pub(crate) fn derive(&self, context: &str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key(context, self.as_bytes()))
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("FileKey(secret)")
    }
}

/// The secret salt of a dataset's commitments: without it, nobody can test a guess of the plaintext against the chain.
#[derive(Clone, PartialEq, Eq)]
pub struct Salt(Zeroizing<[u8; 32]>);

impl Salt {
    /// A fresh salt from the operating system's random numbers.
    ///
    /// # Errors
    /// When the operating system gives none.
    pub fn generate() -> Result<Self, getrandom::Error> {
        random().map(Self)
    }

    /// The salt of 32 bytes that were read from a safe place.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The salt's bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What the chain may hold of a plaintext: the commitment to its BLAKE3 hash under this salt.
    pub fn commitment(&self, plaintext_hash: &Hash) -> Hash {
        Hash::commitment(&self.0, plaintext_hash.as_bytes())
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Salt(secret)")
    }
}

fn random() -> Result<Zeroizing<[u8; 32]>, getrandom::Error> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut())?;
    Ok(bytes)
}
