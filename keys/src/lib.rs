//! Encrypted key files: the signing and encryption keys of accounts and nodes, under a password.
//!
//! - [`key_pair`]: [`KeyPair`], the Ed25519 signing key and the X25519 encryption key of one account or node.
//! - [`keystore`]: [`Keystore`], a private folder of key files.
//! - [`key_file`]: the file format: argon2id, XChaCha20-Poly1305, everything readable bound to the secret part.
//! - [`password`]: where a password comes from.
//!
//! Secrets are cleared from memory when dropped and never appear in `Debug` output.

pub mod error;
pub mod key_file;
pub mod key_pair;
pub mod keystore;
pub mod password;
mod private_file;

pub use error::KeyError;
pub use key_file::{KdfProfile, PublicKeys};
pub use key_pair::KeyPair;
pub use keystore::{Keystore, ListedKey};
pub use password::{Password, PasswordSource};
