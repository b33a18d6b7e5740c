//! Files as streams of bytes, on the bulk plane.
//!
//! ```text
//!  asking side:    length u32 | request
//!  serving side:   0 u8 | length u32 | bytes        (any number of times)
//!                  1 u8                             (complete)
//!                  2 u8 | length u32 | Refusal      (refused, or failed on the way)
//! ```
//! The mark of completeness tells a whole file from a broken connection, which looks like an end. Memory is constant:
//! a few frames on each side and the stream's window; a slow reader slows the writer down.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use futures::{AsyncReadExt, AsyncWriteExt};
use galen_types::{Encoding, NodeName};
use libp2p::swarm::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::PollSender;

use crate::access::{LEAVING, LEAVING_TEXT};
use crate::error::RequestError;
use crate::event::NetworkEvent;
use crate::frame::{FrameError, length_prefix, read_body, read_frame, write_frame, write_steadily};
use crate::inbox::Class;
use crate::limits::{
    FILE_ANSWER_TIMEOUT, FILE_FRAME_BYTES_MAX, FILE_FRAMES_BUFFERED, FILE_REQUEST_BYTES_MAX, FILE_STALL_TIMEOUT,
    FILES_PER_PEER_MAX,
};
use crate::refusal::{REFUSAL_BYTES_MAX, Refusal};
use crate::session::Session;
use crate::shared::Shared;

const DATA: u8 = 0;
const COMPLETE: u8 = 1;
const REFUSED: u8 = 2;

/// One step of a transfer.
enum Frame {
    Data(Bytes),
    Complete,
    Refused(Refusal),
}

// ---------------------------------------------------------------------------------------------- asking side

/// The bytes of a file as they arrive. Reading ends without error only if the file is complete; the error of a transfer
/// that the peer ended carries its [`Refusal`] (see [`FileReader::refusal_of`]).
pub struct FileReader {
    frames: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
    is_complete: bool,
}

impl fmt::Debug for FileReader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FileReader").field("is_complete", &self.is_complete).finish_non_exhaustive()
    }
}

impl FileReader {
    /// The peer's refusal inside an error of reading, if the peer ended the transfer.
    #[must_use]
    pub fn refusal_of(error: &io::Error) -> Option<&Refusal> {
        error.get_ref().and_then(|inner| inner.downcast_ref::<TransferRefused>()).map(|refused| &refused.0)
    }
}

/// Carries a refusal through an I/O error.
#[derive(Debug, thiserror::Error)]
#[error("the peer ended the transfer: {0}")]
struct TransferRefused(Refusal);

impl AsyncRead for FileReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.current.is_empty() && !self.is_complete {
            match ready!(self.frames.poll_recv(context)) {
                Some(Ok(bytes)) if bytes.is_empty() => self.is_complete = true,
                Some(Ok(bytes)) => self.current = bytes,
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            }
        }
        let count = buffer.remaining().min(self.current.len());
        let bytes = self.current.split_to(count);
        buffer.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

/// Asks a peer for a file and waits for its first bytes.
pub(crate) async fn open(shared: &Arc<Shared>, node: &NodeName, request: Bytes) -> Result<FileReader, RequestError> {
    if request.len() > FILE_REQUEST_BYTES_MAX {
        return Err(RequestError::TooLarge { length: request.len(), limit: FILE_REQUEST_BYTES_MAX });
    }
    let session = shared.session(node).ok_or_else(|| RequestError::NotConnected(node.clone()))?;
    if session.is_restricted() {
        return Err(RequestError::of_end(&session));
    }
    let Ok(permit) = Arc::clone(&session.files_out).try_acquire_owned() else {
        return Err(RequestError::Busy { node: node.clone(), limit: FILES_PER_PEER_MAX });
    };
    shared.metrics.files_opened.increment();
    let ask = async {
        let mut stream = shared
            .bulk
            .open(session.peer, shared.bulk_addresses(&session), shared.protocols.file.clone())
            .await
            .map_err(|error| RequestError::of_open(error, node))?;
        let broken = |error: &dyn fmt::Display| RequestError::Broken(error.to_string());
        write_frame(&mut stream, &request).await.map_err(|error| broken(&error))?;
        match receive(&mut stream).await.map_err(|error| broken(&error))? {
            Frame::Refused(refusal) => Err(RequestError::Refused(refusal)),
            first => Ok((stream, first)),
        }
    };
    let (stream, first) = tokio::select! {
        answer = timeout(FILE_ANSWER_TIMEOUT, ask) => answer.map_err(|_| RequestError::Deadline(node.clone()))??,
        () = session.full().cancelled() => return Err(RequestError::of_end(&session)),
    };
    let (sender, frames) = mpsc::channel(FILE_FRAMES_BUFFERED);
    let task = pump_in(Arc::clone(shared), stream, first, sender, permit);
    let stop = session.full().clone();
    shared.tasks.spawn(async move {
        let _ = stop.run_until_cancelled(task).await;
    });
    Ok(FileReader { frames, current: Bytes::new(), is_complete: false })
}

/// Moves frames from the stream to the reader; empty bytes mean complete.
async fn pump_in(
    shared: Arc<Shared>,
    mut stream: Stream,
    first: Frame,
    sender: mpsc::Sender<io::Result<Bytes>>,
    _permit: OwnedSemaphorePermit,
) {
    let mut frame = Ok(first);
    loop {
        let (item, is_last) = match frame {
            Ok(Frame::Data(bytes)) if bytes.is_empty() => {
                (Err(io::Error::new(io::ErrorKind::InvalidData, "an empty frame of a file")), true)
            }
            Ok(Frame::Data(bytes)) => {
                shared.metrics.file_bytes_received.add_bytes(bytes.len());
                (Ok(bytes), false)
            }
            Ok(Frame::Complete) => (Ok(Bytes::new()), true),
            Ok(Frame::Refused(refusal)) => (Err(io::Error::other(TransferRefused(refusal))), true),
            Err(error) => (Err(error), true),
        };
        if item.is_err() {
            shared.metrics.streams_broken.increment();
        }
        // A reader that takes nothing for long gives its place to others.
        let sent = timeout(FILE_STALL_TIMEOUT, sender.send(item)).await;
        if is_last || !matches!(sent, Ok(Ok(()))) {
            return;
        }
        frame = match timeout(FILE_STALL_TIMEOUT, receive(&mut stream)).await {
            Ok(received) => received.map_err(|error| match error {
                FrameError::Broken(error) => error,
                other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
            }),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the peer sends nothing")),
        };
    }
}

async fn receive(stream: &mut Stream) -> Result<Frame, FrameError> {
    let mut tag = [0];
    stream.read_exact(&mut tag).await?;
    let limit = match tag {
        [DATA] => FILE_FRAME_BYTES_MAX,
        [REFUSED] => REFUSAL_BYTES_MAX,
        [COMPLETE] => return Ok(Frame::Complete),
        [_] => {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an unknown frame of a file").into());
        }
    };
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let body = read_body(stream, u32::from_le_bytes(length), limit).await?;
    Ok(if tag == [DATA] { Frame::Data(body) } else { Frame::Refused(Refusal::read(&body)) })
}

// ---------------------------------------------------------------------------------------------- serving side

/// Where the bytes of a requested file go. Shut it down (`AsyncWriteExt::shutdown`) to say that the file is complete;
/// dropped before, the peer gets an error. Writing waits while the peer reads slowly.
pub struct FileSink {
    frames: PollSender<Frame>,
    done: oneshot::Receiver<io::Result<()>>,
    is_complete: bool,
}

impl fmt::Debug for FileSink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FileSink").field("is_complete", &self.is_complete).finish_non_exhaustive()
    }
}

impl FileSink {
    /// Refuses the file, or ends it with an error after some bytes.
    pub async fn refuse(self, refusal: Refusal) {
        if let Some(sender) = self.frames.get_ref() {
            // When the peer is gone nobody needs the reason.
            let _ = sender.send(Frame::Refused(refusal)).await;
        }
    }

    fn poll_send(&mut self, context: &mut Context<'_>, frame: impl FnOnce() -> Frame) -> Poll<io::Result<()>> {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        ready!(self.frames.poll_reserve(context)).map_err(|_| broken())?;
        Poll::Ready(self.frames.send_item(frame()).map_err(|_| broken()))
    }
}

impl AsyncWrite for FileSink {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let part = buffer.get(..buffer.len().min(FILE_FRAME_BYTES_MAX)).unwrap_or(buffer);
        ready!(self.poll_send(context, || Frame::Data(Bytes::copy_from_slice(part))))?;
        Poll::Ready(Ok(part.len()))
    }

    /// Frames leave by themselves.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Says that the file is complete and waits until everything is written to the connection.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_complete {
            ready!(self.poll_send(context, || Frame::Complete))?;
            self.is_complete = true;
            self.frames.close();
        }
        let done = ready!(Pin::new(&mut self.done).poll(context));
        Poll::Ready(done.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into())))
    }
}

/// Serves one inbound request for a file, as long as the peer has full access.
pub(crate) async fn serve(shared: Arc<Shared>, session: Arc<Session>, mut stream: Stream) {
    if !session.is_restricted() {
        let stop = session.full().clone();
        let _ = stop.run_until_cancelled(serve_fully(shared, session, stream)).await;
        return;
    }
    let stop = session.stop.clone();
    let refusal = Refusal::new(LEAVING, LEAVING_TEXT);
    let _ = stop.run_until_cancelled(timeout(FILE_STALL_TIMEOUT, refuse(&shared, &mut stream, &refusal))).await;
}

async fn serve_fully(shared: Arc<Shared>, session: Arc<Session>, mut stream: Stream) {
    let refusal = match Arc::clone(&session.files_in).try_acquire_owned() {
        Err(_) => Refusal::new("busy", format_args!("{FILES_PER_PEER_MAX} files are being sent to you")),
        Ok(_permit) => match timeout(FILE_ANSWER_TIMEOUT, read_frame(&mut stream, FILE_REQUEST_BYTES_MAX)).await {
            Ok(Ok(Some(request))) => {
                return serve_request(&shared, &session, stream, request).await;
            }
            Ok(Ok(None)) => Refusal::new("request-malformed", "no request"),
            Ok(Err(error)) => Refusal::new("request-malformed", error),
            Err(_) => Refusal::new("deadline", "the request did not arrive in time"),
        },
    };
    refuse(&shared, &mut stream, &refusal).await;
}

async fn refuse(shared: &Shared, stream: &mut Stream, refusal: &Refusal) {
    shared.metrics.files_refused.increment();
    if let Ok(wire) = encode_refusal(refusal) {
        let _ = write_steadily(stream, &wire).await;
        let _ = stream.close().await;
    }
}

async fn serve_request(shared: &Shared, session: &Session, mut stream: Stream, request: Bytes) {
    let (frames, mut queue) = mpsc::channel(FILE_FRAMES_BUFFERED);
    let (done_sender, done) = oneshot::channel();
    let length = request.len();
    let sink = FileSink { frames: PollSender::new(frames), done, is_complete: false };
    let event = NetworkEvent::File { from: session.node.clone(), request, sink };
    shared.metrics.files_served.increment();
    if shared.inbox.send(Class::File, &session.node, length, event).await.is_err() {
        return;
    }
    let outcome = pump_out(shared, &mut stream, &mut queue).await;
    if outcome.is_err() {
        shared.metrics.streams_broken.increment();
    }
    // Without a listener the embedder did not wait for the end.
    let _ = done_sender.send(outcome);
}

/// Moves frames from the embedder to the stream until it says that the file is complete or refused, or drops its end.
async fn pump_out(shared: &Shared, stream: &mut Stream, queue: &mut mpsc::Receiver<Frame>) -> io::Result<()> {
    loop {
        match queue.recv().await {
            Some(Frame::Data(bytes)) => {
                let [a, b, c, d] = length_prefix(bytes.len())?;
                // One write for head and bytes: two would be two packets.
                let mut wire = BytesMut::with_capacity(bytes.len() + 5);
                wire.put_slice(&[DATA, a, b, c, d]);
                wire.put_slice(&bytes);
                steadily(write_steadily(stream, &wire)).await?;
                shared.metrics.file_bytes_sent.add_bytes(bytes.len());
            }
            Some(Frame::Complete) => {
                steadily(write_steadily(stream, &[COMPLETE])).await?;
                return steadily(stream.close()).await;
            }
            Some(Frame::Refused(refusal)) => {
                steadily(write_steadily(stream, &encode_refusal(&refusal)?)).await?;
                return steadily(stream.close()).await;
            }
            None => {
                let refusal = Refusal::new("transfer-broken", "the node stopped sending before the file was complete");
                steadily(write_steadily(stream, &encode_refusal(&refusal)?)).await?;
                return steadily(stream.close()).await;
            }
        }
    }
}

async fn steadily(write: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    timeout(FILE_STALL_TIMEOUT, write).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn encode_refusal(refusal: &Refusal) -> io::Result<Vec<u8>> {
    let body = refusal.encode();
    let mut wire = vec![REFUSED];
    wire.extend(length_prefix(body.len())?);
    wire.extend(body);
    Ok(wire)
}
