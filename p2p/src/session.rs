//! A connected peer: its queues, budgets and counts, from its first connection to the end of its last.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use galen_types::NodeName;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::limits::{
    FILES_PER_PEER_MAX, OUTBOUND_BYTES_MAX, OUTBOUND_FRAMES_MAX, REQUESTS_PER_PEER_MAX, SYNC_REQUESTS_PER_PEER_MAX,
};
use crate::metrics::{Counter, PeerMetrics};
use crate::sync::lock;

/// See the module's description.
pub(crate) struct Session {
    pub(crate) node: NodeName,
    pub(crate) peer: PeerId,
    pub(crate) software_version: String,
    pub(crate) since: SystemTime,
    /// Cancelled when the peer is gone; ends all its tasks.
    pub(crate) stop: CancellationToken,
    pub(crate) raft: Outbound,
    pub(crate) transactions: Outbound,
    pub(crate) requests_out: Arc<Semaphore>,
    pub(crate) requests_in: Arc<Semaphore>,
    /// Of those, the ones of block sync that are being answered.
    pub(crate) sync_in: Arc<Semaphore>,
    pub(crate) files_out: Arc<Semaphore>,
    pub(crate) files_in: Arc<Semaphore>,
    pub(crate) metrics: PeerMetrics,
    /// Last round trip time in microseconds; 0 before the first ping.
    rtt_us: AtomicU64,
    /// Remote addresses of its control connections.
    pub(crate) remotes: Mutex<Vec<Multiaddr>>,
    readers: Mutex<Readers>,
    /// Cancelled once the peer's access is restricted, and with `stop`.
    full: CancellationToken,
}

/// The tasks that read the peer's long-lived streams; a newer stream ends the older one's reader.
#[derive(Default)]
struct Readers {
    raft: Option<CancellationToken>,
    transactions: Option<CancellationToken>,
}

/// The long-lived streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Raft,
    Transactions,
}

impl Session {
    /// A session and the receiving ends of its two queues.
    pub(crate) fn new(
        node: NodeName,
        peer: PeerId,
        software_version: String,
        access: Access,
        stop: CancellationToken,
    ) -> (Self, OutboundQueue, OutboundQueue) {
        let (raft, raft_queue) = Outbound::new();
        let (transactions, transactions_queue) = Outbound::new();
        let full = stop.child_token();
        let session = Self {
            node,
            peer,
            software_version,
            since: SystemTime::now(),
            stop,
            raft,
            transactions,
            requests_out: Arc::new(Semaphore::new(REQUESTS_PER_PEER_MAX)),
            requests_in: Arc::new(Semaphore::new(REQUESTS_PER_PEER_MAX)),
            sync_in: Arc::new(Semaphore::new(SYNC_REQUESTS_PER_PEER_MAX)),
            files_out: Arc::new(Semaphore::new(FILES_PER_PEER_MAX)),
            files_in: Arc::new(Semaphore::new(FILES_PER_PEER_MAX)),
            metrics: PeerMetrics::default(),
            rtt_us: AtomicU64::new(0),
            remotes: Mutex::default(),
            readers: Mutex::default(),
            full,
        };
        if access == Access::OrderingOnly {
            session.restrict();
        }
        (session, raft_queue, transactions_queue)
    }

    /// Leaves the peer nothing but ordering, for as long as the session lasts: what else is in progress ends.
    pub(crate) fn restrict(&self) {
        self.full.cancel();
    }

    /// Whether nothing but ordering is left to the peer.
    pub(crate) fn is_restricted(&self) -> bool {
        self.full.is_cancelled() && !self.stop.is_cancelled()
    }

    /// Cancelled when everything but ordering ends: the peer's access is restricted, or it is gone.
    pub(crate) fn full(&self) -> &CancellationToken {
        &self.full
    }

    /// Starts the reader of a new inbound stream: the former one's token is cancelled, the new one's returned.
    pub(crate) fn replace_reader(&self, link: Link) -> CancellationToken {
        let token = match link {
            Link::Raft => self.stop.child_token(),
            Link::Transactions => self.full.child_token(),
        };
        let mut readers = lock(&self.readers);
        let slot = match link {
            Link::Raft => &mut readers.raft,
            Link::Transactions => &mut readers.transactions,
        };
        if let Some(former) = slot.replace(token.clone()) {
            former.cancel();
        }
        token
    }

    pub(crate) fn set_rtt(&self, rtt: Duration) {
        self.rtt_us.store(u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
    }

    pub(crate) fn rtt(&self) -> Option<Duration> {
        match self.rtt_us.load(Ordering::Relaxed) {
            0 => None,
            microseconds => Some(Duration::from_micros(microseconds)),
        }
    }
}

/// The sending end of a bounded queue of frames: bounded in frames and in bytes; when full the newest is refused.
pub(crate) struct Outbound {
    sender: mpsc::Sender<Bytes>,
    bytes: Arc<AtomicUsize>,
}

/// The receiving end.
pub(crate) struct OutboundQueue {
    receiver: mpsc::Receiver<Bytes>,
    bytes: Arc<AtomicUsize>,
}

/// The queue is full, or its peer is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
    Closed,
}

impl Outbound {
    fn new() -> (Self, OutboundQueue) {
        let (sender, receiver) = mpsc::channel(OUTBOUND_FRAMES_MAX);
        let bytes = Arc::new(AtomicUsize::new(0));
        (Self { sender, bytes: Arc::clone(&bytes) }, OutboundQueue { receiver, bytes })
    }

    pub(crate) fn push(&self, frame: Bytes) -> Result<(), Refused> {
        let length = frame.len();
        let before = self.bytes.fetch_add(length, Ordering::Relaxed);
        if before.saturating_add(length) > OUTBOUND_BYTES_MAX {
            self.bytes.fetch_sub(length, Ordering::Relaxed);
            return Err(Refused::Full);
        }
        self.sender.try_send(frame).map_err(|error| {
            self.bytes.fetch_sub(length, Ordering::Relaxed);
            match error {
                mpsc::error::TrySendError::Full(_) => Refused::Full,
                mpsc::error::TrySendError::Closed(_) => Refused::Closed,
            }
        })
    }
}

impl OutboundQueue {
    pub(crate) async fn recv(&mut self) -> Option<Bytes> {
        let frame = self.receiver.recv().await;
        self.release(frame)
    }

    pub(crate) fn try_recv(&mut self) -> Option<Bytes> {
        let frame = self.receiver.try_recv().ok();
        self.release(frame)
    }

    /// Empties the queue and returns how many frames were in it.
    pub(crate) fn clear(&mut self) -> u64 {
        let mut count = 0;
        while self.try_recv().is_some() {
            count += 1;
        }
        count
    }

    fn release(&self, frame: Option<Bytes>) -> Option<Bytes> {
        if let Some(frame) = &frame {
            self.bytes.fetch_sub(frame.len(), Ordering::Relaxed);
        }
        frame
    }
}

/// Counters of one kind of link, of the whole network and of the peer.
pub(crate) struct LinkCounters<'a> {
    pub(crate) sent: [&'a Counter; 2],
    pub(crate) received: [&'a Counter; 2],
    pub(crate) dropped: [&'a Counter; 2],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_bounded_in_frames_and_bytes_and_gives_room_back() {
        let (outbound, mut queue) = Outbound::new();
        for _ in 0..OUTBOUND_FRAMES_MAX {
            outbound.push(Bytes::from_static(b"x")).unwrap();
        }
        assert_eq!(outbound.push(Bytes::from_static(b"x")), Err(Refused::Full));
        assert_eq!(queue.clear(), OUTBOUND_FRAMES_MAX as u64);

        let large = Bytes::from(vec![0; OUTBOUND_BYTES_MAX / 2]);
        outbound.push(large.clone()).unwrap();
        outbound.push(large.clone()).unwrap();
        assert_eq!(outbound.push(Bytes::from_static(b"x")), Err(Refused::Full));
        queue.try_recv().unwrap();
        outbound.push(large.clone()).unwrap();

        queue.clear();
        drop(queue);
        assert_eq!(outbound.push(Bytes::new()), Err(Refused::Closed));
    }
}
