//! The encrypted format, version 1.
//!
//! ```text
//! header (64 bytes): "galenf01" | nonce prefix (19) | zeros (5) | key commitment (32)
//! chunk i          : XChaCha20-Poly1305 of 64 KiB of plaintext (the last: 0 to 64 KiB) | tag (16)
//! ```
//!
//! Chunks form the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár: "Online Authenticated-Encryption and its
//! Nonce-Reuse Misuse-Resistance", CRYPTO 2015): the nonce of chunk i is prefix | i as u32, big-endian | 1 if it is the
//! last one, else 0. So no chunk can be changed, moved, dropped or cut off unseen. The header is associated data of
//! every chunk. Exactly one chunk may be empty: the only chunk of an empty file.
//!
//! The cipher's key and the commitment are derived from the file key under contexts of their own. The commitment tells
//! a wrong key from a damaged file, and binds the file to one key (the AEAD alone does not).

use bytes::Bytes;
use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{Key, KeyInit, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::error::CipherError;
use crate::file_key::FileKey;

/// Bytes of plaintext in every chunk but the last.
pub const CHUNK_BYTES: usize = 64 << 10;
/// Bytes that encryption adds to each chunk.
pub const TAG_BYTES: usize = 16;
/// Bytes before the first chunk.
pub const HEADER_BYTES: usize = 64;
/// Bytes of every stored chunk but the last.
pub(crate) const SEALED_CHUNK_BYTES: usize = CHUNK_BYTES + TAG_BYTES;

/// Bytes of the random part of the nonce.
pub(crate) const NONCE_PREFIX_BYTES: usize = 19;

const MAGIC: &[u8; 8] = b"galenf01";
const ENCRYPTION_CONTEXT: &str = "galen 2026 file encryption v1";
const KEY_COMMITMENT_CONTEXT: &str = "galen 2026 file key commitment v1";

/// Bytes of ciphertext that a plaintext of this length becomes; none above the format's 256 TiB.
pub fn ciphertext_bytes(plaintext_bytes: u64) -> Option<u64> {
    let chunks = plaintext_bytes.div_ceil(CHUNK_BYTES as u64).max(1);
    if chunks > 1 << 32 {
        return None;
    }
    plaintext_bytes.checked_add(HEADER_BYTES as u64 + chunks * TAG_BYTES as u64)
}

/// The cipher of one file: key, header and nonces.
pub(crate) struct FileCipher {
    cipher: XChaCha20Poly1305,
    header: [u8; HEADER_BYTES],
    prefix: [u8; NONCE_PREFIX_BYTES],
}

impl FileCipher {
    pub(crate) fn new(key: &FileKey, prefix: [u8; NONCE_PREFIX_BYTES]) -> Self {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(MAGIC);
        header[8..27].copy_from_slice(&prefix);
        header[32..].copy_from_slice(key.derive(KEY_COMMITMENT_CONTEXT).as_ref());
        let cipher = XChaCha20Poly1305::new(&Key::from(*key.derive(ENCRYPTION_CONTEXT)));
        Self { cipher, header, prefix }
    }

    /// Checks a header and the key against it.
    pub(crate) fn of_header(key: &FileKey, header: &[u8; HEADER_BYTES]) -> Result<Self, CipherError> {
        if &header[..8] != MAGIC || header[27..32] != [0; 5] {
            return Err(CipherError::NotEncrypted);
        }
        let mut prefix = [0; NONCE_PREFIX_BYTES];
        prefix.copy_from_slice(&header[8..27]);
        let cipher = Self::new(key, prefix);
        if cipher.header == *header { Ok(cipher) } else { Err(CipherError::WrongKey) }
    }

    pub(crate) fn header(&self) -> &[u8; HEADER_BYTES] {
        &self.header
    }

    /// Encrypts chunk `number`. (Not generic over anything, so that the cipher is compiled into this crate, optimised.)
    pub(crate) fn seal(&self, number: u64, last: bool, mut chunk: Zeroizing<Vec<u8>>) -> Result<Bytes, CipherError> {
        let number = u32::try_from(number).map_err(|_| CipherError::TooLong)?;
        let buffer: &mut Vec<u8> = &mut chunk;
        self.cipher
            .encrypt_in_place(&self.nonce(number, last), &self.header, buffer)
            .map_err(|_| CipherError::TooLong)?;
        Ok(Bytes::from(std::mem::take(buffer)))
    }

    /// Decrypts chunk `number`; nothing if it is not what was encrypted there.
    pub(crate) fn open(&self, number: u64, last: bool, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let number = u32::try_from(number).ok()?;
        let mut chunk = Zeroizing::new(sealed.to_vec());
        let buffer: &mut Vec<u8> = &mut chunk;
        self.cipher.decrypt_in_place(&self.nonce(number, last), &self.header, buffer).ok()?;
        Some(chunk)
    }

    fn nonce(&self, chunk: u32, last: bool) -> XNonce {
        let mut nonce = [0; 24];
        nonce[..NONCE_PREFIX_BYTES].copy_from_slice(&self.prefix);
        nonce[NONCE_PREFIX_BYTES..23].copy_from_slice(&chunk.to_be_bytes());
        nonce[23] = u8::from(last);
        XNonce::from(nonce)
    }
}
