//! Every limit of the HTTP face: unit in the name or type, and the reason for the value.

use std::time::Duration;

// --- connections

/// Open connections in all. Each costs about 20 KiB here (buffers, task, TLS state), so at most 80 MiB. Lowered at start to
/// half of the process's file-descriptor limit, so that the store and the network always have the other half.
pub(crate) const CONNECTIONS_MAX: usize = 4_096;
/// Connections from one address that is not loopback (IPv6: one /64): one client cannot take all.
pub(crate) const CONNECTIONS_PER_ADDRESS_MAX: usize = 256;
/// Connections that only loopback may take: the operator's tools on the machine still get in during a flood from outside.
pub(crate) const CONNECTIONS_RESERVED_FOR_LOOPBACK: usize = 64;
/// A TLS handshake must be done by then; it takes two round trips.
pub(crate) const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A request's head must be complete by then. Also how long a kept-alive connection may stay without a request.
pub(crate) const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// After a failure to accept (file descriptors used up, for one) the accept loop rests this long rather than spin.
pub(crate) const ACCEPT_ERROR_PAUSE: Duration = Duration::from_millis(50);
/// At shutdown, requests under way may take this long to end.
pub(crate) const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// After the last answer the rest of what the client still sends is read and dropped this long, so that a reset does not
/// destroy the answer before the client has read it.
pub(crate) const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes read and dropped while lingering.
pub(crate) const LINGER_BYTES_MAX: usize = 1 << 20;

// --- request heads

/// Bytes of a connection's read buffer, which a request's head must fit into; more is answered 431.
pub(crate) const HEAD_BUFFER_BYTES: usize = 32 << 10;
/// Header fields of a request; clients send about ten. More are answered 431.
pub(crate) const HEADERS_MAX: usize = 64;
/// Bytes of the path with its query; the longest real one (an audit query with every part) has about 500.
pub(crate) const TARGET_BYTES_MAX: usize = 4 << 10;

// --- request bodies

/// Bytes of one transaction's body: the greatest `transaction_bytes_max` that a chain can vote for is its block size, but
/// what is larger than this is no call that exists. The chain's own limit is checked by the mempool.
pub(crate) const TRANSACTION_BODY_BYTES_MAX: usize = 512 << 10;
/// Bytes of a batch submission: the default largest block.
pub(crate) const BATCH_BODY_BYTES_MAX: usize = 4 << 20;
/// Transactions in a batch submission.
pub(crate) const BATCH_TRANSACTIONS_MAX: usize = 1_000;
/// Bytes of a JSON body; the largest, a file key with its card, has under 20 KiB.
pub(crate) const JSON_BODY_BYTES_MAX: usize = 64 << 10;
/// Bytes of an application's body: the application has under 3 KiB, its contacts 2 KiB, at worst six times that as JSON.
pub(crate) const APPLICATION_BODY_BYTES_MAX: usize = 16 << 10;
/// Bytes of one uploaded ciphertext: 1 TiB, far above medical tables and images; the store's disk ends earlier.
pub(crate) const UPLOAD_BYTES_MAX: u64 = 1 << 40;
/// A body that is read into memory must be complete by then: 4 MiB at 2 Mbit/s.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes read into memory for bodies of all requests together: clients that send large bodies slowly cannot exhaust it.
pub(crate) const BODY_BYTES_IN_MEMORY_MAX: usize = 128 << 20;
/// An upload that brings fewer than [`UPLOAD_PROGRESS_BYTES`] in this time is ended.
pub(crate) const UPLOAD_PROGRESS_TIMEOUT: Duration = Duration::from_secs(30);
/// See [`UPLOAD_PROGRESS_TIMEOUT`]: about 2 KiB a second.
pub(crate) const UPLOAD_PROGRESS_BYTES: u64 = 64 << 10;
/// Uploads at a time: each holds a file, and they compete for one disk.
pub(crate) const UPLOADS_MAX: usize = 16;

// --- answers

/// A client that takes fewer than [`WRITE_PROGRESS_BYTES`] of a waiting answer in this time is disconnected.
pub(crate) const WRITE_PROGRESS_TIMEOUT: Duration = Duration::from_secs(20);
/// See [`WRITE_PROGRESS_TIMEOUT`]: about 3 KiB a second.
pub(crate) const WRITE_PROGRESS_BYTES: usize = 64 << 10;
/// Downloads at a time.
pub(crate) const DOWNLOADS_MAX: usize = 64;
/// Chain reads at a time, each on a blocking thread. More wait [`READ_QUEUE_TIMEOUT`], then are refused.
pub(crate) const READS_MAX: usize = 32;
/// See [`READS_MAX`].
pub(crate) const READ_QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
/// Records that one list request looks at before it answers with what it has and where to go on: bounds the work of a
/// search that matches little.
pub(crate) const RECORDS_EXAMINED_MAX: usize = 10_000;

// --- waiting

/// How long a submission waits for its receipt when the client does not say, milliseconds.
pub(crate) const WAIT_MS_DEFAULT: u64 = 10_000;
/// Longest that a client may ask to wait, milliseconds.
pub(crate) const WAIT_MS_MAX: u64 = 60_000;

// --- linearizable reads

/// Reads of accounts that wait for their confirmation. Each holds a task and a connection; with a quorum it takes
/// milliseconds, without one as long as the client waits. More are answered 503.
pub(crate) const CONFIRMATIONS_MAX: usize = 1_024;
/// Those of all others, so that strangers cannot keep accounts from reading.
pub(crate) const CONFIRMATIONS_OPEN_MAX: usize = 64;

// --- authentication and rates

/// Nonces remembered. Each is kept up to twice the time window; 500,000 are 4,000 authenticated requests a second and
/// about 20 MiB. When full, authenticated requests are refused until old ones go.
pub(crate) const NONCES_MAX: usize = 500_000;
/// Authenticated requests an account may make at once.
pub(crate) const ACCOUNT_BURST: u32 = 400;
/// Authenticated requests a second that an account may make lastingly.
pub(crate) const ACCOUNT_REQUESTS_PER_SECOND: u32 = 200;
/// Failed authentications an address may have at once; then all its authenticated requests are refused for a while.
/// Loopback is never locked out: everyone on the machine, or a proxy with everyone behind it, shares it.
pub(crate) const FAILURE_BURST: u32 = 50;
/// Failed authentications a second that an address may have lastingly.
pub(crate) const FAILURES_PER_SECOND: u32 = 1;
/// Applications for membership that an address may send at once: an institution sends one, and a few after mistakes.
pub(crate) const APPLICATION_BURST: u32 = 10;
/// Applications a minute that an address may send lastingly.
pub(crate) const APPLICATIONS_PER_MINUTE: u32 = 6;
/// Applications from all addresses together at once: each costs two signature checks and a transaction of this node.
pub(crate) const APPLICATION_BURST_ALL: u32 = 50;
/// Applications a minute from all addresses together.
pub(crate) const APPLICATIONS_PER_MINUTE_ALL: u32 = 30;
/// Times that an address may ask at once where applications stand: an applicant's node asks every second at first.
pub(crate) const JOIN_BURST: u32 = 60;
/// Times a minute that an address may ask lastingly.
pub(crate) const JOINS_PER_MINUTE: u32 = 60;
/// Such questions from all addresses together at once.
pub(crate) const JOIN_BURST_ALL: u32 = 600;
/// Such questions a minute from all addresses together.
pub(crate) const JOINS_PER_MINUTE_ALL: u32 = 600;
/// How long after the end of its vote an admitted institution is told its first peers, milliseconds: 30 days. Afterwards
/// its administrator registers a node (`galen node replace`).
pub(crate) const BOOTSTRAP_TOLD_MS: u64 = 30 * 24 * 3_600_000;
/// Times that an address may have an applicant's node dialled at once: each is a connection that this node opens.
pub(crate) const DIAL_BURST: u32 = 10;
/// Times a minute that an address may have an applicant's node dialled lastingly.
pub(crate) const DIALS_PER_MINUTE: u32 = 12;
/// Dials for all addresses together at once.
pub(crate) const DIAL_BURST_ALL: u32 = 30;
/// Dials a minute for all addresses together.
pub(crate) const DIALS_PER_MINUTE_ALL: u32 = 60;
/// Accounts, or addresses, whose rates are remembered; beyond, those untouched the longest are forgotten.
pub(crate) const RATES_MAX: usize = 10_000;

// --- server-sent events

/// Event streams in all.
pub(crate) const STREAMS_MAX: usize = 512;
/// Event streams of one account.
pub(crate) const STREAMS_PER_ACCOUNT_MAX: usize = 8;
/// A comment is sent this often, so that proxies and clients see the stream alive; the account's standing is checked then.
pub(crate) const STREAM_KEEP_ALIVE: Duration = Duration::from_secs(15);

// --- membership

/// Nodes that an applicant is told to connect to first.
pub(crate) const BOOTSTRAP_PEERS_MAX: usize = 64;

// --- references

/// Fewest hexadecimal digits of a shortened identifier.
pub(crate) const PREFIX_DIGITS_MIN: usize = 8;

// --- evidence

/// Pieces of evidence in one answer: each costs a signature check.
pub(crate) const EVIDENCE_ITEMS_MAX: usize = 1_000;
