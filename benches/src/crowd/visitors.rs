//! Connections that want nothing, or want it very slowly. They live on a thread of their own, so that they and whoever works
//! beside them do not wait for one another here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::draws::Draws;
use crate::error::BenchError;

/// Connections that are opened a second, until all have been.
const OPENED_A_SECOND: usize = 2_000;
/// Who was sent away comes back after a time between these.
const COMES_BACK: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(40));
/// Bytes that the kernel holds for somebody who reads slowly.
const SLOW_BUFFER_BYTES: u32 = 4_096;
/// Requests that a slow reader sends at once: their answers do not fit any buffer on the way.
const SLOW_READER_REQUESTS: usize = 200;

/// What a visitor does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Visit {
    /// Nothing.
    Idle,
    /// Sends a request's head, a byte a second.
    SlowHead,
    /// Sends a request's body, a byte a second.
    SlowBody,
    /// Asks for much and reads 16 bytes a second.
    SlowReader,
    /// Begins a handshake of the network between nodes and goes no further.
    Stranger,
}

/// What became of visitors of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Visits {
    /// Connections that are open now.
    pub open: u64,
    /// Most that were open at a time.
    pub open_max: u64,
    /// Connections that the node took.
    pub taken: u64,
    /// Connections that the node ended.
    pub ended: u64,
    /// Connections that the node did not take.
    pub refused: u64,
    /// Seconds that the longest lasted of those that the node ended.
    pub lasted_s_max: f64,
}

type Book = Arc<Mutex<BTreeMap<Visit, Visits>>>;

/// Visitors, until this is dropped.
pub struct Crowd {
    book: Book,
    /// Ends the thread when dropped.
    _leave: oneshot::Sender<()>,
}

impl Crowd {
    /// Lets visitors come: so many of each kind, each kind to its address.
    ///
    /// # Errors
    /// [`BenchError`] when there is no thread for them.
    pub fn gather(visits: &[(Visit, usize, SocketAddr)], seed: u64) -> Result<Self, BenchError> {
        let book = Book::default();
        let (leave, left) = oneshot::channel::<()>();
        let visitors: Vec<(Visit, SocketAddr)> =
            visits.iter().flat_map(|(visit, count, address)| std::iter::repeat_n((*visit, *address), *count)).collect();
        let failed = |error: std::io::Error| BenchError::Options(format!("there is no thread for a crowd: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let noted = Arc::clone(&book);
        let live = move || {
            runtime.block_on(async move {
                for (number, (visit, address)) in visitors.into_iter().enumerate() {
                    let draws = Draws::new(seed, &format!("visitor {number}"));
                    let wait = Duration::from_secs(1).mul_f64(number as f64 / OPENED_A_SECOND as f64);
                    tokio::spawn(visitor(visit, address, Arc::clone(&noted), draws, wait));
                }
                // Everything ends with the runtime.
                let _ = left.await;
            });
        };
        std::thread::Builder::new().name("crowd".to_owned()).spawn(live).map_err(failed)?;
        Ok(Self { book, _leave: leave })
    }

    /// What became of them so far.
    pub fn visits(&self) -> BTreeMap<Visit, Visits> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until all have come once.
    pub async fn all_came(&self, count: usize) {
        let came = || self.visits().values().map(|visits| visits.taken + visits.refused).sum::<u64>();
        let deadline = Instant::now() + Duration::from_secs(60);
        while came() < count as u64 && Instant::now() < deadline {
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Comes, stays until it is sent away, comes back later.
async fn visitor(visit: Visit, address: SocketAddr, book: Book, mut draws: Draws, wait: Duration) {
    sleep(wait).await;
    let note = |change: &dyn Fn(&mut Visits)| {
        change(book.lock().unwrap_or_else(PoisonError::into_inner).entry(visit).or_default());
    };
    loop {
        match connect(visit, address).await {
            Ok(stream) => {
                note(&|visits| {
                    visits.taken += 1;
                    visits.open += 1;
                    visits.open_max = visits.open_max.max(visits.open);
                });
                let came = Instant::now();
                stay(visit, stream).await;
                let lasted = came.elapsed().as_secs_f64();
                note(&|visits| {
                    visits.open -= 1;
                    visits.ended += 1;
                    visits.lasted_s_max = visits.lasted_s_max.max(lasted);
                });
            }
            Err(_) => note(&|visits| visits.refused += 1),
        }
        sleep(draws.between(COMES_BACK.0, COMES_BACK.1)).await;
    }
}

async fn connect(visit: Visit, address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if visit == Visit::SlowReader {
        socket.set_recv_buffer_size(SLOW_BUFFER_BYTES)?;
    }
    socket.connect(address).await
}

/// Does what the visitor does until the node ends the connection.
async fn stay(visit: Visit, stream: TcpStream) {
    let (opening, drip): (Vec<u8>, &[u8]) = match visit {
        Visit::Idle => (Vec::new(), b""),
        Visit::SlowHead => (b"GET /v1/chain HTTP/1.1\r\nHost: x\r\nX-Slow: ".to_vec(), b"x"),
        Visit::SlowBody => {
            let head = b"POST /v1/transactions HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n\
                Content-Length: 5000\r\n\r\n";
            (head.to_vec(), b"x")
        }
        Visit::SlowReader => (b"GET /v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(SLOW_READER_REQUESTS), b"x"),
        Visit::Stranger => (b"\x13/multistream/1.0.0\n".to_vec(), b""),
    };
    let (mut reading, mut writing) = stream.into_split();
    if writing.write_all(&opening).await.is_err() {
        return;
    }
    let mut turn = interval(Duration::from_secs(1));
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut bytes = [0; 16];
    let reads_slowly = visit == Visit::SlowReader;
    loop {
        tokio::select! {
            read = reading.read(&mut bytes), if !reads_slowly => {
                if matches!(read, Ok(0) | Err(_)) {
                    return;
                }
            }
            _ = turn.tick(), if reads_slowly || !drip.is_empty() => {
                // What the node sent before it ended the connection still arrives, for hours: that it did is noticed by
                // the reset that answers what is sent to it.
                if writing.write_all(drip).await.is_err() {
                    return;
                }
                if reads_slowly && matches!(reading.read(&mut bytes).await, Ok(0) | Err(_)) {
                    return;
                }
            }
        }
    }
}
