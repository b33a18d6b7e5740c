//! The byte stream below the HTTP engine. It ends connections whose peer does not take its answer, and it turns the
//! engine's own bare answers to broken heads (400, 414, 431) into problem documents.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::state::ConnectionState;
use crate::http::limits::{WRITE_PROGRESS_BYTES, WRITE_PROGRESS_TIMEOUT};
use crate::http::refusal::Refusal;
use crate::http::respond::bare_response;

/// A peer that does not take what is written for it.
struct Stall {
    timer: Pin<Box<Sleep>>,
    /// Bytes it took since the timer runs.
    taken: usize,
}

/// An answer of the engine's own, replaced.
struct Replacement {
    bytes: Vec<u8>,
    written: usize,
}

/// See the module.
pub(super) struct GuardedIo<T> {
    inner: T,
    state: Arc<ConnectionState>,
    stall: Option<Stall>,
    replacement: Option<Replacement>,
}

impl<T> GuardedIo<T> {
    pub(super) fn new(inner: T, state: Arc<ConnectionState>) -> Self {
        Self { inner, state, stall: None, replacement: None }
    }

    /// Judges the outcome of a write.
    fn judge(&mut self, context: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(count)) => {
                if let Some(stall) = &mut self.stall {
                    stall.taken += count;
                    if stall.taken >= WRITE_PROGRESS_BYTES {
                        self.stall = None;
                    }
                }
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let stall = self
                    .stall
                    .get_or_insert_with(|| Stall { timer: Box::pin(sleep(WRITE_PROGRESS_TIMEOUT)), taken: 0 });
                ready!(stall.timer.as_mut().poll(context));
                if stall.taken >= WRITE_PROGRESS_BYTES {
                    stall.taken = 0;
                    stall.timer.as_mut().reset(Instant::now() + WRITE_PROGRESS_TIMEOUT);
                    return Poll::Pending;
                }
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not take its answer")))
            }
        }
    }
}

/// The problem that stands for an answer which the engine made itself.
fn problem_of(engine_answer: &[u8]) -> Option<Refusal> {
    let status = engine_answer.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    match status {
        b"431" | b"414" => Some(Refusal::HeadTooLarge),
        b"400" => Some(Refusal::HeadMalformed),
        _ => None,
    }
}

impl<T: AsyncWrite + Unpin> GuardedIo<T> {
    /// Writes the replacement of an answer that the engine made itself; `None` when the bytes are no such answer.
    fn poll_replaced(
        &mut self,
        context: &mut Context<'_>,
        first: &[u8],
        length: usize,
    ) -> Option<Poll<io::Result<usize>>> {
        if self.replacement.is_none() {
            if !self.state.is_idle() {
                return None;
            }
            let refusal = problem_of(first)?;
            self.replacement = Some(Replacement { bytes: bare_response(&refusal), written: 0 });
        }
        while let Some(replacement) = &mut self.replacement {
            let rest = replacement.bytes.get(replacement.written..).unwrap_or_default();
            if rest.is_empty() {
                self.replacement = None;
                break;
            }
            let written = Pin::new(&mut self.inner).poll_write(context, rest);
            match self.judge(context, written) {
                Poll::Ready(Ok(0)) => return Some(Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
                Poll::Ready(Ok(count)) => {
                    if let Some(replacement) = &mut self.replacement {
                        replacement.written += count;
                    }
                }
                other => return Some(other),
            }
        }
        Some(Poll::Ready(Ok(length)))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for GuardedIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        self.state.bytes_read(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for GuardedIo<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if let Some(outcome) = this.poll_replaced(context, bytes, bytes.len()) {
            return outcome;
        }
        let written = Pin::new(&mut this.inner).poll_write(context, bytes);
        this.judge(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
        let length = slices.iter().map(|slice| slice.len()).sum();
        if let Some(outcome) = this.poll_replaced(context, first, length) {
            return outcome;
        }
        let written = Pin::new(&mut this.inner).poll_write_vectored(context, slices);
        this.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match Pin::new(&mut this.inner).poll_flush(context) {
            Poll::Ready(Ok(())) => {
                this.stall = None;
                this.state.flushed();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => this.judge(context, Poll::Pending).map_ok(|_| ()),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn guarded() -> (GuardedIo<DuplexStream>, DuplexStream) {
        let (near, far) = duplex(1024);
        let state = Arc::new(ConnectionState::new());
        state.request_began();
        (GuardedIo::new(near, state), far)
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (mut io, _far) = guarded();
        let start = Instant::now();
        let error = io.write_all(&[0; 4096]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), WRITE_PROGRESS_TIMEOUT.as_secs());
    }

    /// Reads some bytes a second until the other side ends.
    async fn read_at(mut far: DuplexStream, bytes_per_second: usize) -> usize {
        let mut buffer = vec![0; bytes_per_second];
        let mut total = 0;
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            match far.read(&mut buffer).await {
                Ok(0) | Err(_) => return total,
                Ok(count) => total += count,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_a_little_at_a_time_is_given_up_as_well() {
        let (mut io, far) = guarded();
        let reader = tokio::spawn(read_at(far, 100));
        let error = io.write_all(&vec![0; 1 << 20]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(io);
        assert!(reader.await.unwrap() < 8192);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_but_steady_peer_gets_everything() {
        let (near, far) = duplex(WRITE_PROGRESS_BYTES);
        let state = Arc::new(ConnectionState::new());
        state.request_began();
        let mut io = GuardedIo::new(near, state);
        let reader = tokio::spawn(read_at(far, 8192));
        io.write_all(&vec![0; 1 << 20]).await.unwrap();
        io.flush().await.unwrap();
        drop(io);
        assert_eq!(reader.await.unwrap(), 1 << 20);
    }

    #[tokio::test]
    async fn only_the_engines_own_answers_are_replaced() {
        let (near, mut far) = duplex(4096);
        let state = Arc::new(ConnectionState::new());
        let mut io = GuardedIo::new(near, Arc::clone(&state));
        let engine = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
        io.write_all(engine).await.unwrap();
        state.request_began();
        io.write_all(engine).await.unwrap();
        drop(io);
        let mut text = String::new();
        far.read_to_string(&mut text).await.unwrap();
        assert!(text.contains("head-malformed"), "{text}");
        assert!(text.ends_with(std::str::from_utf8(engine).unwrap()), "{text}");
    }
}
