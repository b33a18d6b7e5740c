//! Decrypting a stream in constant memory. Plaintext is released chunk by chunk, each only after it was authenticated;
//! a stream that ends early, or whose chunks were changed, moved or swapped, ends in an error.

use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use galen_types::Hash;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use zeroize::Zeroizing;

use crate::error::CipherError;
use crate::file_key::FileKey;
use crate::format::{CHUNK_BYTES, FileCipher, HEADER_BYTES, SEALED_CHUNK_BYTES, TAG_BYTES};

/// Length and hash of a plaintext.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaintextDigest {
    /// Bytes of plaintext.
    pub bytes: u64,
    /// BLAKE3 of the plaintext; the dataset's salt makes the published commitment of it.
    pub hash: Hash,
}

/// Decrypts `reader` to its end into `writer` and flushes it. On an error, what was written so far is authentic but
/// not the whole file: write to a temporary place and move it when this returned.
///
/// # Errors
/// When the key is wrong, the stream is damaged or cut short, or reading or writing fails.
pub async fn decrypt<R, W>(reader: R, mut writer: W, key: &FileKey) -> Result<PlaintextDigest, CipherError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut reader = DecryptingReader::new(reader, key.clone());
    let mut hasher = blake3::Hasher::new();
    let mut buffer = Zeroizing::new(vec![0; CHUNK_BYTES]);
    let mut bytes = 0;
    loop {
        let read = reader.read(&mut buffer).await.map_err(into_cipher_error)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        bytes += read as u64;
        writer.write_all(&buffer[..read]).await.map_err(CipherError::Write)?;
    }
    writer.flush().await.map_err(CipherError::Write)?;
    Ok(PlaintextDigest { bytes, hash: Hash(*hasher.finalize().as_bytes()) })
}

/// Takes the error out that a reader adapter had to wrap.
fn into_cipher_error(error: io::Error) -> CipherError {
    if error.get_ref().is_some_and(|inner| inner.is::<CipherError>()) {
        match error.into_inner().map(|inner| inner.downcast::<CipherError>()) {
            Some(Ok(inner)) => *inner,
            _ => CipherError::NotEncrypted,
        }
    } else {
        CipherError::Read(error)
    }
}

/// Ciphertext in, plaintext out, without any I/O of its own. Holds one chunk.
struct Decryptor {
    key: FileKey,
    cipher: Option<FileCipher>,
    /// The header or the chunk that is being collected.
    sealed: Vec<u8>,
    /// An authenticated chunk, of which `released` bytes were read.
    plaintext: Zeroizing<Vec<u8>>,
    released: usize,
    next_chunk: u64,
    /// Bytes of ciphertext of the header and of opened chunks.
    opened_bytes: u64,
    ended: bool,
    failed: bool,
}

impl Decryptor {
    fn new(key: FileKey) -> Self {
        Self {
            key,
            cipher: None,
            sealed: Vec::new(),
            plaintext: Zeroizing::default(),
            released: 0,
            next_chunk: 0,
            opened_bytes: 0,
            ended: false,
            failed: false,
        }
    }

    /// Moves plaintext out; the number of bytes moved, 0 if there is none now.
    fn read_plaintext(&mut self, destination: &mut [u8]) -> usize {
        let count = destination.len().min(self.plaintext.len() - self.released);
        destination[..count].copy_from_slice(&self.plaintext[self.released..self.released + count]);
        self.released += count;
        count
    }

    /// Bytes of ciphertext to bring before the next step: the header and then one byte more than a chunk, since only a
    /// chunk that is followed by something is known not to be the last.
    fn wanted(&self) -> usize {
        let target = if self.cipher.is_none() { HEADER_BYTES } else { SEALED_CHUNK_BYTES + 1 };
        target.saturating_sub(self.sealed.len())
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), CipherError> {
        self.sealed.extend_from_slice(bytes);
        if self.wanted() > 0 {
            return Ok(());
        }
        let result = match &self.cipher {
            None => self.open_header(),
            Some(_) => self.open_chunk(SEALED_CHUNK_BYTES, false),
        };
        self.failed = result.is_err();
        result
    }

    /// The ciphertext has ended: what was collected is the last chunk.
    fn end(&mut self) -> Result<(), CipherError> {
        let length = self.sealed.len();
        let truncated = CipherError::Truncated { bytes: self.opened_bytes + length as u64 };
        let result = if self.cipher.is_none() || length < TAG_BYTES {
            Err(truncated)
        } else if length == TAG_BYTES && self.next_chunk > 0 {
            // An empty last chunk after others would be a second encoding of the same file.
            Err(CipherError::Damaged { offset: self.opened_bytes })
        } else {
            self.open_chunk(length, true).map_err(|error| match error {
                // A whole chunk that does not open as the last one but does as an inner one: the rest is missing.
                CipherError::Damaged { .. } if self.opens_as_inner_chunk() => truncated,
                error => error,
            })
        };
        self.ended = result.is_ok();
        self.failed = result.is_err();
        result
    }

    fn opens_as_inner_chunk(&self) -> bool {
        let cipher = self.cipher.as_ref();
        self.sealed.len() == SEALED_CHUNK_BYTES
            && cipher.is_some_and(|cipher| cipher.open(self.next_chunk, false, &self.sealed).is_some())
    }

    fn open_header(&mut self) -> Result<(), CipherError> {
        let header: &[u8; HEADER_BYTES] = self.sealed.as_slice().try_into().map_err(|_| CipherError::NotEncrypted)?;
        self.cipher = Some(FileCipher::of_header(&self.key, header)?);
        self.sealed.clear();
        self.opened_bytes = HEADER_BYTES as u64;
        Ok(())
    }

    /// Opens the first `length` collected bytes. On failure they stay collected.
    fn open_chunk(&mut self, length: usize, last: bool) -> Result<(), CipherError> {
        let cipher = self.cipher.as_ref();
        let chunk = cipher
            .and_then(|cipher| cipher.open(self.next_chunk, last, &self.sealed[..length]))
            .ok_or(CipherError::Damaged { offset: self.opened_bytes })?;
        self.sealed.drain(..length);
        self.plaintext = chunk;
        self.released = 0;
        self.next_chunk += 1;
        self.opened_bytes += length as u64;
        Ok(())
    }

    /// After an error nothing more is released.
    fn refuse_after_failure(&self) -> io::Result<()> {
        if self.failed {
            return Err(CipherError::Damaged { offset: self.opened_bytes }.into());
        }
        Ok(())
    }
}

/// The most ciphertext asked of the source at once.
const READ_BYTES: usize = SEALED_CHUNK_BYTES + 1;

/// An asynchronous reader of the plaintext of an encrypted stream.
pub struct DecryptingReader<R> {
    source: R,
    decryptor: Decryptor,
    buffer: Vec<u8>,
}

impl<R> DecryptingReader<R> {
    /// Reads the plaintext of `source`.
    pub fn new(source: R, key: FileKey) -> Self {
        Self { source, decryptor: Decryptor::new(key), buffer: vec![0; READ_BYTES] }
    }
}

impl<R> std::fmt::Debug for DecryptingReader<R> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("DecryptingReader").finish_non_exhaustive()
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for DecryptingReader<R> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, output: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if output.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            this.decryptor.refuse_after_failure()?;
            let count = this.decryptor.read_plaintext(output.initialize_unfilled());
            output.advance(count);
            if count > 0 || this.decryptor.ended {
                return Poll::Ready(Ok(()));
            }
            let mut sealed = ReadBuf::new(&mut this.buffer[..this.decryptor.wanted()]);
            ready!(Pin::new(&mut this.source).poll_read(context, &mut sealed))?;
            match sealed.filled() {
                [] => this.decryptor.end()?,
                bytes => this.decryptor.push(bytes)?,
            }
        }
    }
}

/// A blocking reader of the plaintext of an encrypted stream, for code on a thread of its own.
pub struct DecryptingRead<R> {
    source: R,
    decryptor: Decryptor,
    buffer: Vec<u8>,
}

impl<R> DecryptingRead<R> {
    /// Reads the plaintext of `source`.
    pub fn new(source: R, key: FileKey) -> Self {
        Self { source, decryptor: Decryptor::new(key), buffer: vec![0; READ_BYTES] }
    }
}

impl<R> std::fmt::Debug for DecryptingRead<R> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("DecryptingRead").finish_non_exhaustive()
    }
}

impl<R: Read> Read for DecryptingRead<R> {
    fn read(&mut self, output: &mut [u8]) -> io::Result<usize> {
        if output.is_empty() {
            return Ok(0);
        }
        loop {
            self.decryptor.refuse_after_failure()?;
            let count = self.decryptor.read_plaintext(output);
            if count > 0 || self.decryptor.ended {
                return Ok(count);
            }
            let wanted = self.decryptor.wanted();
            match self.source.read(&mut self.buffer[..wanted]) {
                Ok(0) => self.decryptor.end()?,
                Ok(read) => self.decryptor.push(&self.buffer[..read])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Even whoever has the key cannot make two ciphertexts of the same kind for one plaintext.
    #[tokio::test]
    async fn an_empty_last_chunk_after_others_is_refused() {
        let key = FileKey::from_bytes([5; 32]);
        let cipher = FileCipher::new(&key, [1; 19]);
        let seal = |number, last, size| cipher.seal(number, last, Zeroizing::new(vec![0; size])).unwrap();
        let header = cipher.header().as_slice();

        let whole = [header, &seal(0, false, CHUNK_BYTES), &seal(1, true, 1)].concat();
        assert_eq!(decrypt(&whole[..], tokio::io::sink(), &key).await.unwrap().bytes, CHUNK_BYTES as u64 + 1);
        let padded = [header, &seal(0, false, CHUNK_BYTES), &seal(1, true, 0)].concat();
        let error = decrypt(&padded[..], tokio::io::sink(), &key).await.unwrap_err();
        assert!(matches!(error, CipherError::Damaged { offset: 65_616 }), "{error}");
    }
}
