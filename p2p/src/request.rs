//! Requests with one answer, one stream each.
//!
//! ```text
//!  request:   kind u16 | deadline in ms u32 | length u32 | body
//!  response:  0 u8 | length u32 | body          (answer)
//!             1 u8 | length u32 | Refusal       (refusal: code and text)
//! ```
//! Integers are little-endian. Both ends keep the deadline: the asking side gives up then, the answering side tells its
//! embedder and closes the stream soon after.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{AsyncReadExt, AsyncWriteExt};
use galen_types::{Encoding, NodeName};
use libp2p::swarm::Stream;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{timeout, timeout_at};

use crate::access::{Access, LEAVING, LEAVING_TEXT};
use crate::error::RequestError;
use crate::event::NetworkEvent;
use crate::frame::{FrameError, length_prefix, read_body, write_steadily};
use crate::inbox::Class;
use crate::limits::{
    REQUEST_BYTES_MAX, REQUEST_DEADLINE_MAX, REQUEST_KIND_ORDERING, REQUEST_KINDS_SYNC_END, REQUESTS_PER_PEER_MAX,
    RESPONSE_WRITE_GRACE, response_bytes_max,
};
use crate::refusal::{REFUSAL_BYTES_MAX, Refusal};
use crate::session::Session;
use crate::shared::Shared;

const ANSWER: u8 = 0;
const REFUSAL: u8 = 1;

/// Answers one request, once. Dropped without an answer it refuses with code `unanswered`.
#[derive(Debug)]
pub struct Responder {
    sender: oneshot::Sender<Result<Bytes, Refusal>>,
}

impl Responder {
    /// Sends the answer. If it is larger than its kind allows, the peer gets a refusal with code `response-oversize`.
    pub fn answer(self, bytes: Bytes) {
        // When the deadline has passed nobody waits, and there is nothing to do about it.
        let _ = self.sender.send(Ok(bytes));
    }

    /// Refuses, with a stable code and a text for people.
    pub fn refuse(self, refusal: Refusal) {
        let _ = self.sender.send(Err(refusal));
    }

    /// Whether nobody waits any more.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.sender.is_closed()
    }
}

/// Asks a peer and waits for its answer, at most until the deadline.
pub(crate) async fn request(
    shared: &Shared,
    node: &NodeName,
    kind: u16,
    body: Bytes,
    deadline: Duration,
) -> Result<Bytes, RequestError> {
    if body.len() > REQUEST_BYTES_MAX {
        return Err(RequestError::TooLarge { length: body.len(), limit: REQUEST_BYTES_MAX });
    }
    let session = shared.session(node).ok_or_else(|| RequestError::NotConnected(node.clone()))?;
    if session.is_restricted() {
        return Err(RequestError::of_end(&session));
    }
    let Ok(_permit) = session.requests_out.try_acquire() else {
        return Err(RequestError::Busy { node: node.clone(), limit: REQUESTS_PER_PEER_MAX });
    };
    shared.metrics.requests_sent.increment();
    session.metrics.requests_sent.increment();
    let deadline = deadline.min(REQUEST_DEADLINE_MAX);
    let ask = async {
        let stream = shared
            .control
            .open(session.peer, shared.protocols.request.clone())
            .await
            .map_err(|error| RequestError::of_open(error, node))?;
        exchange(stream, kind, &body, deadline).await
    };
    let outcome = tokio::select! {
        answer = timeout(deadline, ask) => answer.unwrap_or_else(|_| Err(RequestError::Deadline(node.clone()))),
        () = session.full().cancelled() => Err(RequestError::of_end(&session)),
    };
    if outcome.is_err() {
        shared.metrics.requests_failed.increment();
    }
    outcome
}

async fn exchange(stream: Stream, kind: u16, body: &[u8], deadline: Duration) -> Result<Bytes, RequestError> {
    let (mut reader, mut writer) = stream.split();
    let write = async {
        let mut head = [0; 10];
        let milliseconds = u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX);
        head[..2].copy_from_slice(&kind.to_le_bytes());
        head[2..6].copy_from_slice(&milliseconds.to_le_bytes());
        head[6..].copy_from_slice(&length_prefix(body.len())?);
        writer.write_all(&head).await?;
        writer.write_all(body).await?;
        writer.close().await
    };
    let read = async {
        let mut head = [0; 5];
        reader.read_exact(&mut head).await?;
        let [status, length @ ..] = head;
        let limit = if status == ANSWER { response_bytes_max(kind) } else { REFUSAL_BYTES_MAX };
        Ok::<_, FrameError>((status, read_body(&mut reader, u32::from_le_bytes(length), limit).await?))
    };
    // A peer that refuses may close before it has read everything, so a failed write does not count if an answer comes.
    let (_, answer) = futures::join!(write, read);
    match answer {
        Ok((ANSWER, bytes)) => Ok(bytes),
        Ok((REFUSAL, bytes)) => Err(RequestError::Refused(Refusal::read(&bytes))),
        Ok((status, _)) => Err(RequestError::Broken(format!("unknown status {status}"))),
        Err(error) => Err(RequestError::Broken(error.to_string())),
    }
}

/// Serves one inbound request, as long as the peer's access is what it is now.
pub(crate) async fn serve(shared: Arc<Shared>, session: Arc<Session>, stream: Stream) {
    let access = if session.is_restricted() { Access::OrderingOnly } else { Access::Full };
    let stop = match access {
        Access::Full => session.full().clone(),
        Access::OrderingOnly => session.stop.clone(),
    };
    let _ = stop.run_until_cancelled(serve_with(shared, session, stream, access)).await;
}

async fn serve_with(shared: Arc<Shared>, session: Arc<Session>, mut stream: Stream, access: Access) {
    let outcome = match Arc::clone(&session.requests_in).try_acquire_owned() {
        Err(_) => {
            shared.metrics.requests_refused.increment();
            Err(Refusal::new("busy", format_args!("{REQUESTS_PER_PEER_MAX} of your requests are in progress here")))
        }
        Ok(permit) => {
            let outcome = answer_of(&shared, &session, &mut stream, access).await;
            // Held while the answer is written: an answer takes memory too.
            let refusal = match outcome {
                Ok((answer, sync_permit)) => {
                    write_response(&mut stream, ANSWER, &answer).await;
                    drop(sync_permit);
                    Ok(())
                }
                Err(refusal) => Err(refusal),
            };
            drop(permit);
            refusal
        }
    };
    if let Err(refusal) = outcome {
        write_response(&mut stream, REFUSAL, &refusal.encode()).await;
    }
}

async fn write_response(stream: &mut Stream, status: u8, body: &[u8]) {
    let write = async {
        let [a, b, c, d] = length_prefix(body.len())?;
        write_steadily(stream, &[status, a, b, c, d]).await?;
        write_steadily(stream, body).await?;
        stream.close().await?;
        // What the peer still sends is read and dropped: resetting the stream could overtake the response.
        let mut sink = [0; 1024];
        let mut left = REQUEST_BYTES_MAX;
        while let count @ 1.. = stream.read(&mut sink).await? {
            left = left.checked_sub(count).ok_or(std::io::ErrorKind::InvalidData)?;
        }
        Ok::<_, std::io::Error>(())
    };
    if !matches!(timeout(REQUEST_DEADLINE_MAX, write).await, Ok(Ok(()))) {
        tracing::trace!(status, "a response was not taken");
    }
}

/// The embedder's answer, and the permit that bounds answers of block sync: to be held until it is written.
async fn answer_of(
    shared: &Shared,
    session: &Session,
    stream: &mut Stream,
    access: Access,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Refusal> {
    let refuse = |code: &str, text: &dyn std::fmt::Display| {
        shared.metrics.requests_refused.increment();
        Refusal::new(code, text)
    };
    let (kind, milliseconds, body) = match timeout(REQUEST_DEADLINE_MAX, read_request(stream)).await {
        Ok(Ok(request)) => request,
        Ok(Err(error @ FrameError::Oversize { .. })) => {
            shared.metrics.frames_oversize.increment();
            return Err(refuse("request-oversize", &error));
        }
        Ok(Err(error)) => return Err(refuse("request-malformed", &error)),
        Err(_) => return Err(refuse("deadline", &"the request did not arrive in time")),
    };
    if access == Access::OrderingOnly && kind != REQUEST_KIND_ORDERING {
        return Err(refuse(LEAVING, &LEAVING_TEXT));
    }
    let deadline = Instant::now() + Duration::from_millis(milliseconds.into()).min(REQUEST_DEADLINE_MAX);
    let sync_permit = if kind < REQUEST_KINDS_SYNC_END {
        match timeout_at(deadline.into(), Arc::clone(&session.sync_in).acquire_owned()).await {
            Ok(permit) => permit.ok(),
            Err(_) => return Err(refuse("busy", &"your earlier requests of blocks took all the time")),
        }
    } else {
        None
    };
    let (sender, receiver) = oneshot::channel();
    let length = body.len();
    let event =
        NetworkEvent::Request { from: session.node.clone(), kind, bytes: body, deadline, reply: Responder { sender } };
    shared.metrics.requests_received.increment();
    session.metrics.requests_received.increment();
    let answered = async {
        match shared.inbox.send(Class::Request, &session.node, length, event).await {
            Ok(()) => receiver.await.map_err(|_| unanswered()),
            Err(_) => Err(unanswered()),
        }
    };
    let answer = timeout_at((deadline + RESPONSE_WRITE_GRACE).into(), answered)
        .await
        .map_err(|_| Refusal::new("deadline", "no answer in time"))???;
    let limit = response_bytes_max(kind);
    if answer.len() > limit {
        return Err(Refusal::new(
            "response-oversize",
            format_args!("the answer has {} bytes, {limit} are allowed; ask for less at once", answer.len()),
        ));
    }
    Ok((answer, sync_permit))
}

fn unanswered() -> Refusal {
    Refusal::new("unanswered", "the node did not answer this request")
}

async fn read_request(stream: &mut Stream) -> Result<(u16, u32, Bytes), FrameError> {
    let mut head = [0; 10];
    stream.read_exact(&mut head).await?;
    let [k0, k1, d0, d1, d2, d3, length @ ..] = head;
    let body = read_body(stream, u32::from_le_bytes(length), REQUEST_BYTES_MAX).await?;
    Ok((u16::from_le_bytes([k0, k1]), u32::from_le_bytes([d0, d1, d2, d3]), body))
}
