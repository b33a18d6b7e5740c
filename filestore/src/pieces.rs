//! Sources of ciphertext: a stream of pieces, each small enough to hold in memory.

use std::future::Future;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::error::CipherError;

/// A stream that yields its bytes in pieces of at most some 64 KiB.
pub(crate) trait Pieces: Send {
    /// How it fails.
    type Error;

    /// The next piece, never empty; nothing once it has ended.
    fn next_piece(&mut self) -> impl Future<Output = Result<Option<Bytes>, Self::Error>> + Send;
}

/// Ciphertext that comes as such: an upload.
pub(crate) struct RawSource<R> {
    reader: R,
    buffer: BytesMut,
}

/// Bytes asked for at a time.
const READ_BYTES: usize = 64 << 10;

impl<R: AsyncRead + Unpin + Send> RawSource<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, buffer: BytesMut::with_capacity(READ_BYTES) }
    }
}

impl<R: AsyncRead + Unpin + Send> Pieces for RawSource<R> {
    type Error = CipherError;

    async fn next_piece(&mut self) -> Result<Option<Bytes>, CipherError> {
        self.buffer.reserve(READ_BYTES);
        match self.reader.read_buf(&mut self.buffer).await {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(self.buffer.split().freeze())),
            Err(error) => Err(CipherError::Read(error)),
        }
    }
}
