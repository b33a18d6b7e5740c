//! Encrypting a stream of any length in constant memory; the format is described in [`crate::format`](mod@crate::format).

use bytes::Bytes;
use galen_types::Hash;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use zeroize::Zeroizing;

use crate::decrypt::PlaintextDigest;
use crate::digest::CiphertextHasher;
use crate::error::CipherError;
use crate::file_key::FileKey;
use crate::format::{CHUNK_BYTES, FileCipher, HEADER_BYTES, NONCE_PREFIX_BYTES, SEALED_CHUNK_BYTES};
use crate::pieces::Pieces;

/// What is published of an encrypted file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncryptedDigest {
    /// BLAKE3 of the ciphertext: the file's name.
    pub ciphertext: Hash,
    /// SHA-256 of the ciphertext.
    pub ciphertext_sha256: Hash,
    /// Bytes of ciphertext.
    pub ciphertext_bytes: u64,
    /// Bytes of plaintext.
    pub plaintext_bytes: u64,
    /// BLAKE3 of the plaintext, for the salted commitment ([`crate::Salt::commitment`]); never published itself.
    pub plaintext_hash: Hash,
}

/// Encrypts `reader` to its end into `writer` and flushes it, in one pass and constant memory. Use a fresh key for
/// every file: [`FileKey::generate`].
///
/// # Errors
/// When reading, writing or drawing random numbers fails, or the file is longer than the format's 256 TiB.
pub async fn encrypt<R, W>(reader: R, mut writer: W, key: &FileKey) -> Result<EncryptedDigest, CipherError>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin,
{
    let mut source = EncryptingSource::new(reader, key)?;
    let mut hasher = CiphertextHasher::without_outboard();
    while let Some(piece) = source.next_piece().await? {
        hasher.update(&piece);
        writer.write_all(&piece).await.map_err(CipherError::Write)?;
    }
    writer.flush().await.map_err(CipherError::Write)?;
    let (ciphertext, plaintext) = (hasher.finish(), source.plaintext());
    Ok(EncryptedDigest {
        ciphertext: ciphertext.hash,
        ciphertext_sha256: ciphertext.sha256,
        ciphertext_bytes: ciphertext.bytes,
        plaintext_bytes: plaintext.bytes,
        plaintext_hash: plaintext.hash,
    })
}

/// Plaintext in, pieces of ciphertext out. Reads one chunk ahead, since the last chunk is sealed as such.
pub(crate) struct EncryptingSource<R> {
    reader: R,
    cipher: FileCipher,
    stage: Stage,
    plaintext_hasher: blake3::Hasher,
    plaintext_bytes: u64,
}

enum Stage {
    Header,
    Chunk { number: u64, plaintext: Zeroizing<Vec<u8>> },
    Ended,
}

impl<R: AsyncRead + Unpin + Send> EncryptingSource<R> {
    pub(crate) fn new(reader: R, key: &FileKey) -> Result<Self, CipherError> {
        let mut prefix = [0; NONCE_PREFIX_BYTES];
        getrandom::fill(&mut prefix)?;
        Ok(Self::with_nonce_prefix(reader, key, prefix))
    }

    /// A prefix must never be used twice with the same key, so that only tests of the format choose it.
    fn with_nonce_prefix(reader: R, key: &FileKey, prefix: [u8; NONCE_PREFIX_BYTES]) -> Self {
        Self {
            reader,
            cipher: FileCipher::new(key, prefix),
            stage: Stage::Header,
            plaintext_hasher: blake3::Hasher::new(),
            plaintext_bytes: 0,
        }
    }

    /// Digest of the plaintext read so far: all of it once the pieces have ended.
    pub(crate) fn plaintext(&self) -> PlaintextDigest {
        PlaintextDigest { bytes: self.plaintext_bytes, hash: Hash(*self.plaintext_hasher.finalize().as_bytes()) }
    }

    /// Reads a whole chunk, or what is left.
    async fn read_chunk(&mut self) -> Result<Zeroizing<Vec<u8>>, CipherError> {
        // Room for the tag from the start: growing would leave a copy of the plaintext behind.
        let mut chunk = Zeroizing::new(vec![0; SEALED_CHUNK_BYTES]);
        let mut filled = 0;
        while filled < CHUNK_BYTES {
            match self.reader.read(&mut chunk[filled..CHUNK_BYTES]).await {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) => return Err(CipherError::Read(error)),
            }
        }
        chunk.truncate(filled);
        self.plaintext_hasher.update(&chunk);
        self.plaintext_bytes += filled as u64;
        Ok(chunk)
    }
}

impl<R: AsyncRead + Unpin + Send> Pieces for EncryptingSource<R> {
    type Error = CipherError;

    async fn next_piece(&mut self) -> Result<Option<Bytes>, CipherError> {
        match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Header => {
                self.stage = Stage::Chunk { number: 0, plaintext: self.read_chunk().await? };
                let header: [u8; HEADER_BYTES] = *self.cipher.header();
                Ok(Some(Bytes::copy_from_slice(&header)))
            }
            Stage::Chunk { number, plaintext } => {
                let following = if plaintext.len() == CHUNK_BYTES { Some(self.read_chunk().await?) } else { None };
                let following = following.filter(|chunk| !chunk.is_empty());
                let sealed = self.cipher.seal(number, following.is_none(), plaintext)?;
                if let Some(plaintext) = following {
                    self.stage = Stage::Chunk { number: number + 1, plaintext };
                }
                Ok(Some(sealed))
            }
            Stage::Ended => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stored files must stay readable: these bytes never change.
    #[tokio::test]
    async fn the_format_is_pinned() {
        let key = FileKey::from_bytes([7; 32]);
        let mut lines = String::new();
        for size in [0_usize, 5, CHUNK_BYTES, CHUNK_BYTES + 1] {
            let plaintext: Vec<u8> = (0_u8..=250).cycle().take(size).collect();
            let mut source = EncryptingSource::with_nonce_prefix(&plaintext[..], &key, [9; NONCE_PREFIX_BYTES]);
            let mut ciphertext = Vec::new();
            while let Some(piece) = source.next_piece().await.unwrap() {
                ciphertext.extend_from_slice(&piece);
            }
            if size < 100 {
                lines += &format!("{size} bytes: {}\n", hex::encode(&ciphertext));
            } else {
                lines += &format!("{size} bytes: blake3 {}\n", blake3::hash(&ciphertext));
            }
        }
        assert_eq!(lines, include_str!("../tests/golden/encrypted_v1.txt"));
    }
}
