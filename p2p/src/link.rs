//! The long-lived streams of raft and forwarded transactions: one task writes, one reads, per peer and protocol.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use libp2p::StreamProtocol;
use libp2p::swarm::Stream;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::event::NetworkEvent;
use crate::frame::{FrameError, length_prefix, read_frame, write_steadily};
use crate::inbox::Class;
use crate::limits::{RAFT_FRAME_BYTES_MAX, STREAM_RETRY_PAUSE, TRANSACTIONS_FRAME_BYTES_MAX, WRITE_GATHER_BYTES};
use crate::session::{Link, LinkCounters, OutboundQueue, Session};
use crate::shared::Shared;

impl Link {
    pub(crate) fn frame_bytes_max(self) -> usize {
        match self {
            Self::Raft => RAFT_FRAME_BYTES_MAX,
            Self::Transactions => TRANSACTIONS_FRAME_BYTES_MAX,
        }
    }

    fn protocol(self, shared: &Shared) -> StreamProtocol {
        match self {
            Self::Raft => shared.protocols.raft.clone(),
            Self::Transactions => shared.protocols.transactions.clone(),
        }
    }

    pub(crate) fn counters<'a>(self, shared: &'a Shared, session: &'a Session) -> LinkCounters<'a> {
        let (all, peer) = (&shared.metrics, &session.metrics);
        match self {
            Self::Raft => LinkCounters {
                sent: [&all.raft_frames_sent, &peer.raft_frames_sent],
                received: [&all.raft_frames_received, &peer.raft_frames_received],
                dropped: [&all.raft_frames_dropped, &peer.raft_frames_dropped],
            },
            Self::Transactions => LinkCounters {
                sent: [&all.transactions_frames_sent, &peer.transactions_frames_sent],
                received: [&all.transactions_frames_received, &peer.transactions_frames_received],
                dropped: [&all.transactions_frames_dropped, &peer.transactions_frames_dropped],
            },
        }
    }
}

/// Writes queued frames to a stream that it opens, and opens anew when it breaks, until the peer is gone. What was
/// being written when a stream broke is written once more on the next; receivers of both protocols bear duplicates.
pub(crate) async fn write_link(shared: Arc<Shared>, session: Arc<Session>, link: Link, mut queue: OutboundQueue) {
    let stop = match link {
        Link::Raft => session.stop.clone(),
        Link::Transactions => session.full().clone(),
    };
    let _ = stop.run_until_cancelled(write_until_gone(&shared, &session, link, &mut queue)).await;
    let left = queue.clear();
    link.counters(&shared, &session).dropped.iter().for_each(|counter| counter.add(left));
}

async fn write_until_gone(shared: &Shared, session: &Session, link: Link, queue: &mut OutboundQueue) {
    let counters = link.counters(shared, session);
    let mut retried: Option<Gathered> = None;
    loop {
        // The first frame opens the stream, so that an idle link costs nothing.
        let (mut gathered, is_retry) = match retried.take() {
            Some(gathered) => (gathered, true),
            None => match gather(queue).await {
                Some(gathered) => (gathered, false),
                None => return,
            },
        };
        let mut stream = match shared.control.open(session.peer, link.protocol(shared)).await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(node = %session.node, ?link, %error, "stream not opened");
                sleep(STREAM_RETRY_PAUSE).await;
                retried = Some(gathered);
                continue;
            }
        };
        let mut may_retry = !is_retry;
        loop {
            match write_steadily(&mut stream, &gathered.wire).await {
                Ok(()) => {
                    counters.sent.iter().for_each(|counter| counter.add(gathered.frames));
                    if link == Link::Raft {
                        shared.metrics.raft_bytes_sent.add_bytes(gathered.wire.len());
                    }
                }
                Err(error) => {
                    shared.metrics.streams_broken.increment();
                    tracing::debug!(node = %session.node, ?link, %error, "stream broke while writing");
                    if may_retry {
                        retried = Some(gathered);
                    } else {
                        counters.dropped.iter().for_each(|counter| counter.add(gathered.frames));
                    }
                    break;
                }
            }
            may_retry = true;
            match gather(queue).await {
                Some(next) => gathered = next,
                None => return,
            }
        }
        sleep(STREAM_RETRY_PAUSE).await;
    }
}

/// Frames with their length prefixes, as they go on the wire.
struct Gathered {
    wire: Bytes,
    frames: u64,
}

/// Waits for a frame, then takes what else is ready, up to [`WRITE_GATHER_BYTES`].
async fn gather(queue: &mut OutboundQueue) -> Option<Gathered> {
    let first = queue.recv().await?;
    let mut wire = BytesMut::with_capacity(first.len() + 4);
    let mut frames = 0;
    let mut next = Some(first);
    while let Some(frame) = next {
        // Checked when it was queued.
        if let Ok(prefix) = length_prefix(frame.len()) {
            wire.put_slice(&prefix);
            wire.put_slice(&frame);
            frames += 1;
        }
        next = if wire.len() < WRITE_GATHER_BYTES { queue.try_recv() } else { None };
    }
    Some(Gathered { wire: wire.freeze(), frames })
}

/// Reads frames of an inbound stream into the peer's lane until the stream ends, a newer one replaces it, or the peer
/// is gone. A frame that breaks the rules ends the stream only.
pub(crate) async fn read_link(
    shared: Arc<Shared>,
    session: Arc<Session>,
    link: Link,
    mut stream: Stream,
    stop: CancellationToken,
) {
    let counters = link.counters(&shared, &session);
    let read = async {
        loop {
            let bytes = match read_frame(&mut stream, link.frame_bytes_max()).await {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return,
                Err(error) => {
                    shared.metrics.streams_broken.increment();
                    if let FrameError::Oversize { .. } = error {
                        shared.metrics.frames_oversize.increment();
                        tracing::warn!(node = %session.node, ?link, code = "frame-oversize", "stream closed: {error}");
                    } else {
                        tracing::debug!(node = %session.node, ?link, %error, "stream broke while reading");
                    }
                    return;
                }
            };
            let length = bytes.len();
            let from = session.node.clone();
            let (class, event) = match link {
                Link::Raft => {
                    shared.metrics.raft_bytes_received.add_bytes(length);
                    (Class::Raft, NetworkEvent::Raft { from, bytes })
                }
                Link::Transactions => (Class::Transactions, NetworkEvent::Transactions { from, bytes }),
            };
            counters.received.iter().for_each(|counter| counter.increment());
            if shared.inbox.send(class, &session.node, length, event).await.is_err() {
                return;
            }
        }
    };
    let _ = stop.run_until_cancelled(read).await;
}
