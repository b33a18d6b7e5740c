//! The two keys of an account or node: one signs, one receives file keys.

use std::fmt;

use galen_types::member::EncryptionKey;
use galen_types::{PublicKey, SecretKey};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

const SIGNING_CONTEXT: &str = "galen 2026 signing key of seed v1";
const ENCRYPTION_CONTEXT: &str = "galen 2026 encryption key of seed v1";

/// Bytes of both secrets together.
pub(crate) const SECRETS_BYTES: usize = 64;

/// The secret keys of one account or node; cleared from memory when dropped.
#[derive(Clone)]
pub struct KeyPair {
    /// Signs transactions, headers and requests (Ed25519).
    pub signing: SecretKey,
    encryption: StaticSecret,
}

impl KeyPair {
    /// Fresh, independent keys from the operating system's random numbers.
    ///
    /// # Errors
    /// When the operating system gives none.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut secrets = Zeroizing::new([0; SECRETS_BYTES]);
        getrandom::fill(secrets.as_mut())?;
        Ok(Self::from_secrets(&secrets))
    }

    /// The same encryption key beside a fresh signing key: what was wrapped to a node before its key was replaced must stay
    /// readable to it.
    ///
    /// # Errors
    /// When the operating system gives no random numbers.
    pub fn with_new_signing_key(&self) -> Result<Self, getrandom::Error> {
        Ok(Self { signing: Self::generate()?.signing, encryption: self.encryption.clone() })
    }

    /// The keys of a seed, always the same: for testnets whose keys must come out again. Whoever knows the seed has
    /// the keys.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let mut secrets = Zeroizing::new([0; SECRETS_BYTES]);
        secrets[..32].copy_from_slice(Zeroizing::new(blake3::derive_key(SIGNING_CONTEXT, seed)).as_ref());
        secrets[32..].copy_from_slice(Zeroizing::new(blake3::derive_key(ENCRYPTION_CONTEXT, seed)).as_ref());
        Self::from_secrets(&secrets)
    }

    /// The public half of the signing key, as registered on the chain.
    pub fn public_key(&self) -> PublicKey {
        self.signing.public_key()
    }

    /// The public half of the encryption key, as registered on the chain.
    pub fn encryption_key(&self) -> EncryptionKey {
        EncryptionKey(x25519_dalek::PublicKey::from(&self.encryption).to_bytes())
    }

    /// Unwraps file keys (X25519).
    pub fn encryption_secret(&self) -> &StaticSecret {
        &self.encryption
    }

    /// Ed25519 seed, then X25519 secret.
    pub(crate) fn from_secrets(secrets: &[u8; SECRETS_BYTES]) -> Self {
        let (mut seed, mut scalar) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
        seed.copy_from_slice(&secrets[..32]);
        scalar.copy_from_slice(&secrets[32..]);
        Self { signing: SecretKey::from_seed(&seed), encryption: StaticSecret::from(*scalar) }
    }

    pub(crate) fn to_secrets(&self) -> Zeroizing<[u8; SECRETS_BYTES]> {
        let mut secrets = Zeroizing::new([0; SECRETS_BYTES]);
        secrets[..32].copy_from_slice(self.signing.seed().as_ref());
        secrets[32..].copy_from_slice(self.encryption.as_bytes());
        secrets
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeyPair(of {}, {})", self.public_key(), self.encryption_key())
    }
}
