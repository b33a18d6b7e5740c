//! Off-chain files: a file becomes an authenticated stream of 64 KiB chunks under a random key of its own, is stored
//! under the BLAKE3 hash of its ciphertext, and any range of it is checked against that hash before it is released.
//! The chain is not known here; callers bring the hash that the chain names.
//!
//! ```text
//! plaintext --64 KiB chunks--> XChaCha20-Poly1305 STREAM --> ciphertext --> objects/<BLAKE3 of ciphertext>
//!                                                               \--> 16 KiB groups --> outboards/<same name>
//! file key --X25519 + XChaCha20-Poly1305--> wrapped key, one per reader; the member's own in the key ring
//! ```
//!
//! - [`store`]: [`FileStore`] puts, gets, verifies, lists and deletes.
//! - [`mod@encrypt`], [`mod@decrypt`], [`mod@format`]: the encrypted format, usable without a store (by the client).
//! - [`wrap`]: file keys for a recipient's X25519 key.
//! - [`ring`]: what is needed to read a stored version: its key, its salt, its plaintext hash; erasing deletes them.
//!
//! Every operation works in constant memory, whatever the file's size.

mod atomic_file;
mod box_seal;
pub mod decrypt;
mod digest;
pub mod encrypt;
pub mod error;
pub mod file_key;
pub mod format;
mod outboard;
mod pieces;
pub mod read;
pub mod ring;
pub mod store;
mod upload;
pub mod verify;
pub mod wrap;

pub use decrypt::{DecryptingRead, DecryptingReader, PlaintextDigest, decrypt};
pub use encrypt::{EncryptedDigest, encrypt};
pub use error::{CipherError, KeyRingError, StoreError, WrapError};
pub use file_key::{FileKey, Salt};
pub use read::VerifiedReader;
pub use ring::{KeyRing, VersionSecrets};
pub use store::{FileStore, FileStoreOptions, StoredCiphertext, StoredFile, StoredObject};
pub use verify::Verification;
pub use wrap::{WrappedKey, unwrap_key, wrap_key};
