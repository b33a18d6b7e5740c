//! Length-prefixed frames: a little-endian `u32` length, then so many bytes.

use std::io;

use bytes::{Bytes, BytesMut};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::limits::{FRAME_COMPLETION_TIMEOUT, READ_STEP_BYTES, WRITE_STALL_TIMEOUT};

/// Why a frame could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    /// The announced length is above the protocol's limit.
    #[error("a frame of {length} bytes is larger than the {limit} allowed")]
    Oversize { length: usize, limit: usize },
    /// The stream broke, or ended inside a frame.
    #[error("the stream broke: {0}")]
    Broken(#[from] io::Error),
    /// The frame began and did not end in time.
    #[error("the frame was not complete in time")]
    Slow,
}

/// Reads one frame; `None` when the stream ended between frames. Waits without limit for a frame to begin.
pub(crate) async fn read_frame<S>(stream: &mut S, limit: usize) -> Result<Option<Bytes>, FrameError>
where
    S: AsyncRead + Unpin,
{
    let mut head = [0; 4];
    let first = stream.read(&mut head).await?;
    if first == 0 {
        return Ok(None);
    }
    timeout(FRAME_COMPLETION_TIMEOUT, async {
        stream.read_exact(head.get_mut(first..).unwrap_or_default()).await?;
        read_body(stream, u32::from_le_bytes(head), limit).await.map(Some)
    })
    .await
    .unwrap_or(Err(FrameError::Slow))
}

/// Reads `length` bytes after checking them against `limit`. Memory grows as the bytes arrive.
pub(crate) async fn read_body<S>(stream: &mut S, length: u32, limit: usize) -> Result<Bytes, FrameError>
where
    S: AsyncRead + Unpin,
{
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > limit {
        return Err(FrameError::Oversize { length, limit });
    }
    let mut body = BytesMut::new();
    while body.len() < length {
        let start = body.len();
        let step = (length - start).min(READ_STEP_BYTES.max(start));
        body.resize(start + step, 0);
        stream.read_exact(body.get_mut(start..).unwrap_or_default()).await?;
    }
    Ok(body.freeze())
}

/// The length prefix of a frame.
///
/// # Errors
/// When the length does not fit its prefix; every protocol's limit is far below that.
pub(crate) fn length_prefix(length: usize) -> io::Result<[u8; 4]> {
    u32::try_from(length)
        .map(u32::to_le_bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a frame is at most 4 GiB"))
}

/// Writes one frame and flushes.
pub(crate) async fn write_frame<S>(stream: &mut S, body: &[u8]) -> io::Result<()>
where
    S: AsyncWrite + Unpin,
{
    stream.write_all(&length_prefix(body.len())?).await?;
    stream.write_all(body).await?;
    stream.flush().await
}

/// Writes and flushes; fails when nothing moves for [`WRITE_STALL_TIMEOUT`], however long it takes in all.
pub(crate) async fn write_steadily<S>(stream: &mut S, mut wire: &[u8]) -> io::Result<()>
where
    S: AsyncWrite + Unpin,
{
    let stalled = || io::Error::new(io::ErrorKind::TimedOut, "the peer takes no bytes");
    while !wire.is_empty() {
        let written = timeout(WRITE_STALL_TIMEOUT, stream.write(wire)).await.map_err(|_| stalled())??;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        wire = wire.get(written..).unwrap_or_default();
    }
    timeout(WRITE_STALL_TIMEOUT, stream.flush()).await.map_err(|_| stalled())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::io::Cursor;

    #[tokio::test]
    async fn frames_come_back_as_written_and_the_end_is_clean_between_them() {
        let bodies: [&[u8]; 3] = [b"", b"abc", &[7; 200_000]];
        let mut wire = Vec::new();
        for body in bodies {
            write_frame(&mut wire, body).await.unwrap();
        }
        let mut stream = Cursor::new(wire);
        for body in bodies {
            assert_eq!(read_frame(&mut stream, 200_000).await.unwrap().unwrap(), body);
        }
        assert!(read_frame(&mut stream, 200_000).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_lying_length_is_refused_before_anything_is_reserved() {
        let mut stream = Cursor::new(u32::MAX.to_le_bytes().to_vec());
        assert!(matches!(read_frame(&mut stream, 1024).await, Err(FrameError::Oversize { .. })));
    }

    #[tokio::test]
    async fn a_frame_cut_short_is_an_error_not_an_end() {
        for cut in 1..7 {
            let mut wire = Vec::new();
            write_frame(&mut wire, b"abc").await.unwrap();
            wire.truncate(cut);
            assert!(matches!(read_frame(&mut Cursor::new(wire), 16).await, Err(FrameError::Broken(_))), "cut at {cut}");
        }
    }
}
