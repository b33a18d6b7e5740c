//! The key file, version 1: JSON in the shape of EIP-2335 (`kdf`, `cipher`, readable public part), but authenticated as
//! a whole.
//!
//! ```json
//! {
//!   "version": 1,
//!   "name": "alice@harlem",
//!   "public_key": "ed25519:...", "encryption_key": "x25519:...",
//!   "kdf": { "function": "argon2id", "memory_kib": 65536, "iterations": 3, "parallelism": 4, "salt": "<16 bytes>" },
//!   "cipher": { "function": "xchacha20-poly1305", "nonce": "<24 bytes>" },
//!   "ciphertext": "<Ed25519 seed and X25519 secret, encrypted, and the tag: 80 bytes>"
//! }
//! ```
//!
//! The password goes through argon2id (RFC 9106) and BLAKE3's `derive_key` to the cipher's key; associated data is
//! everything but the ciphertext, as compact JSON in this order. A file that does not come out the same when it is
//! written again (unknown fields, other spellings) is refused, blanks between tokens excepted.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use galen_types::member::EncryptionKey;
use galen_types::{PublicKey, Signer};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::KeyError;
use crate::key_pair::{KeyPair, SECRETS_BYTES};
use crate::password::Password;

const VERSION: u32 = 1;
const KEY_CONTEXT: &str = "galen 2026 key file v1";
const TAG_BYTES: usize = 16;

/// A key file has about 700 bytes; what is longer is none.
pub(crate) const MAX_KEY_FILE_BYTES: u64 = 8192;

/// How much work a guess of the password costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KdfProfile {
    /// RFC 9106's second recommendation: 64 MiB, 3 passes, 4 lanes; some 0.1 s a guess.
    #[default]
    Standard,
    /// OWASP's floor: 19 MiB, 2 passes, 1 lane; for testnets that open many keys at once, never for real data.
    Testnet,
}

impl KdfProfile {
    fn cost(self) -> Cost {
        match self {
            Self::Standard => Cost { memory_kib: 64 << 10, iterations: 3, parallelism: 4 },
            Self::Testnet => Cost { memory_kib: 19 << 10, iterations: 2, parallelism: 1 },
        }
    }
}

/// Parameters of argon2id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) memory_kib: u32,
    pub(crate) iterations: u32,
    pub(crate) parallelism: u32,
}

/// What a file may ask of us at most: a crafted file must not eat the machine before its tag is checked.
const COST_CEILING: Cost = Cost { memory_kib: 1 << 20, iterations: 16, parallelism: 16 };

/// The readable part of a key file. It is authenticated only when the file is opened with its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKeys {
    /// Whose keys these are.
    pub name: Signer,
    /// Checks the owner's signatures.
    pub public_key: PublicKey,
    /// File keys are wrapped to it.
    pub encryption_key: EncryptionKey,
}

/// Why a text is not a sound key file; [`crate::Keystore`] adds which file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ParseError {
    Damaged(String),
    UnknownVersion(u32),
}

/// A key file in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyFile {
    header: Header,
    ciphertext: [u8; SECRETS_BYTES + TAG_BYTES],
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u32,
    name: Signer,
    public_key: PublicKey,
    encryption_key: EncryptionKey,
    kdf: Kdf,
    cipher: Cipher,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kdf {
    function: KdfFunction,
    memory_kib: u32,
    iterations: u32,
    parallelism: u32,
    #[serde(with = "hex::serde")]
    salt: [u8; 16],
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum KdfFunction {
    #[serde(rename = "argon2id")]
    Argon2id,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cipher {
    function: CipherFunction,
    #[serde(with = "hex::serde")]
    nonce: [u8; 24],
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum CipherFunction {
    #[serde(rename = "xchacha20-poly1305")]
    XChaCha20Poly1305,
}

/// The file's fields in their order; `Header` and the ciphertext on one level.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    name: Signer,
    public_key: PublicKey,
    encryption_key: EncryptionKey,
    kdf: Kdf,
    cipher: Cipher,
    #[serde(with = "hex::serde")]
    ciphertext: [u8; SECRETS_BYTES + TAG_BYTES],
}

/// Read before the rest, so that a later version is told from damage.
#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

impl KeyFile {
    /// Encrypts keys under a password, with a fresh salt and nonce.
    pub(crate) fn seal(
        name: &Signer,
        keys: &KeyPair,
        password: &Password,
        profile: KdfProfile,
    ) -> Result<Self, KeyError> {
        Self::seal_at_cost(name, keys, password, profile.cost())
    }

    pub(crate) fn seal_at_cost(
        name: &Signer,
        keys: &KeyPair,
        password: &Password,
        cost: Cost,
    ) -> Result<Self, KeyError> {
        let (mut salt, mut nonce) = ([0; 16], [0; 24]);
        getrandom::fill(&mut salt)?;
        getrandom::fill(&mut nonce)?;
        let Cost { memory_kib, iterations, parallelism } = cost;
        let header = Header {
            version: VERSION,
            name: name.clone(),
            public_key: keys.public_key(),
            encryption_key: keys.encryption_key(),
            kdf: Kdf { function: KdfFunction::Argon2id, memory_kib, iterations, parallelism, salt },
            cipher: Cipher { function: CipherFunction::XChaCha20Poly1305, nonce },
        };
        let mut content = Zeroizing::new(Vec::with_capacity(SECRETS_BYTES + TAG_BYTES));
        content.extend_from_slice(keys.to_secrets().as_ref());
        let inner: &mut Vec<u8> = &mut content;
        header
            .kdf
            .derive(password)?
            .encrypt_in_place(&XNonce::from(nonce), &header.associated_data(), inner)
            .map_err(|error| KeyError::Derivation(error.to_string()))?;
        let ciphertext =
            inner.as_slice().try_into().map_err(|_| KeyError::Derivation("unexpected length".to_owned()))?;
        Ok(Self { header, ciphertext })
    }

    /// Reads a key file's text; the secrets stay closed.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, ParseError> {
        let damaged = |error: serde_json::Error| ParseError::Damaged(error.to_string());
        let VersionOnly { version } = serde_json::from_slice(text).map_err(damaged)?;
        if version != VERSION {
            return Err(ParseError::UnknownVersion(version));
        }
        let document: Document = serde_json::from_slice(text).map_err(damaged)?;
        let as_read: serde_json::Value = serde_json::from_slice(text).map_err(damaged)?;
        if serde_json::to_value(&document).map_err(damaged)? != as_read {
            return Err(ParseError::Damaged("a value is not spelled as this software writes it".to_owned()));
        }
        let Document { version, name, public_key, encryption_key, kdf, cipher, ciphertext } = document;
        kdf.check()?;
        Ok(Self { header: Header { version, name, public_key, encryption_key, kdf, cipher }, ciphertext })
    }

    /// The text that [`KeyFile::parse`] reads, with a line break at its end.
    pub(crate) fn to_text(&self) -> String {
        let Header { version, name, public_key, encryption_key, kdf, cipher } = self.header.clone();
        let ciphertext = self.ciphertext;
        let document = Document { version, name, public_key, encryption_key, kdf, cipher, ciphertext };
        // Plain structs with text keys always have a JSON text.
        let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Opens the secrets; nothing if the password is wrong or anything in the file was changed.
    pub(crate) fn open(&self, password: &Password) -> Result<Option<KeyPair>, KeyError> {
        let mut content = Zeroizing::new(self.ciphertext.to_vec());
        let inner: &mut Vec<u8> = &mut content;
        let nonce = XNonce::from(self.header.cipher.nonce);
        let cipher = self.header.kdf.derive(password)?;
        if cipher.decrypt_in_place(&nonce, &self.header.associated_data(), inner).is_err() {
            return Ok(None);
        }
        let Some(secrets) = inner.first_chunk() else { return Ok(None) };
        let keys = KeyPair::from_secrets(secrets);
        let same = keys.public_key() == self.header.public_key && keys.encryption_key() == self.header.encryption_key;
        Ok(same.then_some(keys))
    }

    pub(crate) fn public_keys(&self) -> PublicKeys {
        PublicKeys {
            name: self.header.name.clone(),
            public_key: self.header.public_key,
            encryption_key: self.header.encryption_key,
        }
    }

    /// What a guess of the password costs, so that a new password costs the same.
    pub(crate) fn cost(&self) -> Cost {
        let Kdf { memory_kib, iterations, parallelism, .. } = self.header.kdf;
        Cost { memory_kib, iterations, parallelism }
    }
}

impl Header {
    fn associated_data(&self) -> Vec<u8> {
        // Plain structs with text keys always have a JSON text.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Kdf {
    fn check(&self) -> Result<(), ParseError> {
        let within = self.memory_kib <= COST_CEILING.memory_kib
            && (1..=COST_CEILING.iterations).contains(&self.iterations)
            && (1..=COST_CEILING.parallelism).contains(&self.parallelism)
            && self.memory_kib >= 8 * self.parallelism;
        if within {
            return Ok(());
        }
        Err(ParseError::Damaged(format!(
            "it asks for {} KiB, {} iterations and {} lanes of argon2id; accepted are up to {} KiB (at least 8 a lane), \
             {} and {}",
            self.memory_kib,
            self.iterations,
            self.parallelism,
            COST_CEILING.memory_kib,
            COST_CEILING.iterations,
            COST_CEILING.parallelism,
        )))
    }

    /// The cipher under the password's key.
    fn derive(&self, password: &Password) -> Result<XChaCha20Poly1305, KeyError> {
        let failed = |error: argon2::Error| KeyError::Derivation(error.to_string());
        let params = Params::new(self.memory_kib, self.iterations, self.parallelism, Some(32)).map_err(failed)?;
        let mut stretched = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password.as_bytes(), &self.salt, stretched.as_mut())
            .map_err(failed)?;
        let key = Zeroizing::new(blake3::derive_key(KEY_CONTEXT, stretched.as_ref()));
        Ok(XChaCha20Poly1305::new(&Key::from(*key)))
    }
}

#[cfg(test)]
mod tests;
