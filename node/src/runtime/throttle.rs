//! Reading slowly: so many bytes a second, and a tenth of that while the node has work to do, but never for more than a
//! twentieth of the time then: what was read is unpacked, compared and looked up, and small rows make much work of few bytes.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;

use super::fatal::Shutdown;

/// Bytes between two looks at the clock.
const STRIDE_BYTES: u64 = 256 << 10;
/// Longest sleep before it is looked whether the node stops.
const NAP: Duration = Duration::from_millis(50);
/// While the node is busy, reading takes so many times as long.
const BUSY_FACTOR: u32 = 10;
/// While the node is busy, reading rests for so many times as long as it worked.
const BUSY_REST: u32 = 19;
/// Transactions recorded in a second from which on the node counts as busy: what a clinic's day makes is far below, what
/// waits for a disk is above.
const BUSY_TRANSACTIONS: u64 = 50;

/// Whether the node has work to do.
#[derive(Clone)]
pub(super) struct Load {
    transactions: Counter,
    seen: Arc<Mutex<(Instant, u64, bool)>>,
}

impl Load {
    /// Judges by the count of recorded transactions.
    pub(super) fn new(transactions: Counter) -> Self {
        let now = (Instant::now(), transactions.get(), false);
        Self { transactions, seen: Arc::new(Mutex::new(now)) }
    }

    /// Whether many transactions were recorded in the last second or so.
    fn is_busy(&self) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count, busy) = *seen;
        let elapsed = since.elapsed();
        if elapsed < Duration::from_secs(1) {
            return busy;
        }
        let now = self.transactions.get();
        let busy = (now.saturating_sub(count)) as f64 / elapsed.as_secs_f64() >= BUSY_TRANSACTIONS as f64;
        *seen = (Instant::now(), now, busy);
        busy
    }
}

/// Lets bytes through at a rate.
#[derive(Clone)]
pub(super) struct Throttle {
    bytes_per_second: u64,
    load: Load,
    read: Counter,
    shutdown: Shutdown,
    owed: Arc<Mutex<Owed>>,
}

/// What was read since the last rest.
struct Owed {
    bytes: u64,
    since: Instant,
}

impl Throttle {
    pub(super) fn new(bytes_per_second: u64, load: Load, read: Counter, shutdown: Shutdown) -> Self {
        let owed = Arc::new(Mutex::new(Owed { bytes: 0, since: Instant::now() }));
        Self { bytes_per_second: bytes_per_second.max(1), load, read, shutdown, owed }
    }

    /// Counts bytes that were read; how long to rest for them.
    fn due(&self, bytes: u64) -> Duration {
        self.read.inc_by(bytes);
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        owed.bytes += bytes;
        if owed.bytes < STRIDE_BYTES {
            return Duration::ZERO;
        }
        let rest = self.rest(owed.bytes, owed.since.elapsed(), self.load.is_busy());
        *owed = Owed { bytes: 0, since: Instant::now() + rest };
        rest
    }

    /// How long to rest for bytes that took so long to read and look at.
    fn rest(&self, bytes: u64, worked: Duration, is_busy: bool) -> Duration {
        let rest = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        if is_busy { (rest * BUSY_FACTOR).max(worked.saturating_mul(BUSY_REST)) } else { rest }
    }

    /// Counts bytes that were read, and waits where that was too fast; `false` when the node stops.
    pub(super) fn take(&self, bytes: u64) -> bool {
        let until = Instant::now() + self.due(bytes);
        loop {
            if self.shutdown.is_stopping() {
                return false;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(NAP));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle(transactions: &Counter) -> Throttle {
        Throttle::new(1 << 20, Load::new(transactions.clone()), Counter::default(), Shutdown::default())
    }

    #[test]
    fn a_mebibyte_takes_a_second_and_ten_while_the_node_is_busy() {
        let transactions = Counter::default();
        let throttle = throttle(&transactions);
        assert_eq!(throttle.due(1000), Duration::ZERO);
        assert_eq!(throttle.due((1 << 20) - 1000), Duration::from_secs(1));
        transactions.inc_by(1_000_000);
        *throttle.load.seen.lock().unwrap() = (Instant::now().checked_sub(Duration::from_secs(2)).unwrap(), 0, false);
        assert_eq!(throttle.due(1 << 20), Duration::from_secs(10));
        assert_eq!(throttle.read.get(), 2 << 20);
    }

    #[test]
    fn much_work_for_few_bytes_takes_a_twentieth_of_a_busy_nodes_time() {
        let throttle = throttle(&Counter::default());
        let worked = Duration::from_secs(1);
        assert_eq!(throttle.rest(1 << 18, worked, false), Duration::from_millis(250));
        assert_eq!(throttle.rest(1 << 18, worked, true), Duration::from_secs(19));
        assert_eq!(throttle.rest(1 << 20, Duration::ZERO, true), Duration::from_secs(10));
    }

    #[test]
    fn a_node_that_stops_waits_no_longer() {
        let throttle = throttle(&Counter::default());
        throttle.shutdown.stop();
        assert!(!throttle.take(1 << 40));
    }
}
