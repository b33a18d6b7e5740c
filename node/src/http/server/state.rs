//! What the parts of one connection know of each other: the accept loop (may it be closed to make room?), the guarded
//! I/O (whose bytes are these?) and the service (is a request under way?).

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

use tokio_util::sync::CancellationToken;

/// No request is under way.
const IDLE: u8 = 0;
/// A request is under way.
const SERVING: u8 = 1;
/// The answer is handed over; its last bytes are not flushed yet.
const ANSWERED: u8 = 2;

/// The state of one connection.
#[derive(Debug)]
pub(super) struct ConnectionState {
    phase: AtomicU8,
    /// Milliseconds after `opened` since which it is idle.
    idle_since_ms: AtomicU64,
    /// Bytes read since it is idle: of the next request's head.
    head_bytes: AtomicU64,
    opened: Instant,
    /// Cancelled to close the connection at once.
    pub(super) evicted: CancellationToken,
}

impl ConnectionState {
    pub(super) fn new() -> Self {
        Self {
            phase: AtomicU8::new(IDLE),
            idle_since_ms: AtomicU64::new(0),
            head_bytes: AtomicU64::new(0),
            opened: Instant::now(),
            evicted: CancellationToken::new(),
        }
    }

    /// A request's head is complete.
    pub(super) fn request_began(&self) {
        self.head_bytes.store(0, Ordering::Relaxed);
        self.phase.store(SERVING, Ordering::Release);
    }

    /// The answer's body is at its end, or was dropped.
    pub(super) fn answer_ended(&self) {
        self.phase.store(ANSWERED, Ordering::Release);
    }

    /// Everything written is with the operating system.
    pub(super) fn flushed(&self) {
        if self.phase.load(Ordering::Acquire) == ANSWERED {
            let elapsed = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.idle_since_ms.store(elapsed, Ordering::Relaxed);
            self.phase.store(IDLE, Ordering::Release);
        }
    }

    pub(super) fn bytes_read(&self, count: usize) {
        if self.is_idle() {
            self.head_bytes.fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    /// Whether no request is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.phase.load(Ordering::Acquire) == IDLE
    }

    /// Whether part of a request's head has come.
    pub(super) fn head_began(&self) -> bool {
        self.is_idle() && self.head_bytes.load(Ordering::Relaxed) > 0
    }

    /// Since when it is idle, if it is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.is_idle()
            .then(|| self.opened + std::time::Duration::from_millis(self.idle_since_ms.load(Ordering::Relaxed)))
    }
}
