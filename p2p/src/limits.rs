//! Every limit, size and timeout of the network, in one place, each with its unit, its reason and what happens when it
//! is reached.
//!
//! Nothing here is negotiated: two nodes that run different values still understand each other, and the stricter one
//! wins.

use std::time::Duration;

// ---------------------------------------------------------------------------------------------- connections

/// Inbound connections that have not finished Noise and handshake, from addresses of no registered node.
/// Each costs one socket and at most one key exchange. Above it, new ones are closed at once.
pub const PENDING_STRANGERS_MAX: usize = 64;

/// Of [`PENDING_STRANGERS_MAX`], those from one IP address, so that one host cannot use up the pool.
pub const PENDING_STRANGERS_PER_ADDRESS_MAX: usize = 16;

/// Inbound connections that have not finished Noise and handshake, from the IP addresses of registered nodes (those in
/// the registry and those seen in an earlier handshake): a pool of their own, so strangers never lock members out.
pub const PENDING_KNOWN_MAX: usize = 256;

/// Of [`PENDING_KNOWN_MAX`], those from one IP address: whoever floods from a member's machine, or from behind the same
/// router, does not keep the other members out. Several nodes of a member behind one address have room.
pub const PENDING_KNOWN_PER_ADDRESS_MAX: usize = 64;

/// Established connections per peer and plane. Two nodes that dial each other at the same moment have two; a restarted
/// node may have one that the other side does not yet know to be dead. Above it, the oldest is closed, so that a
/// returning node always gets in. The total is therefore at most this times the number of registered nodes.
pub const CONNECTIONS_PER_PEER_MAX: usize = 4;

/// From TCP accept or connect until Noise and handshake are done. A slow link needs 4 round trips; a stranger that
/// dribbles bytes is cut here.
pub const CONNECTION_SETUP_TIMEOUT: Duration = Duration::from_secs(10);

/// A bulk connection without a stream is closed after this. Control connections stay open.
pub const BULK_IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Connections waiting in the kernel to be accepted.
pub const LISTEN_BACKLOG: u32 = 256;

/// Streams that a peer may be negotiating (name of the protocol not yet agreed) on one connection; more are reset.
pub const NEGOTIATING_STREAMS_MAX: usize = 64;

/// Streams open at once on one connection, both directions. More end the connection. Each starts with a 256 KiB
/// receive window that grows only while it is read, so an unread connection holds at most 64 MiB.
pub const STREAMS_PER_CONNECTION_MAX: usize = 256;

/// Opening a stream: command to the network task, negotiation with the peer.
pub const STREAM_OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause before a long-lived stream is opened again after it broke.
pub const STREAM_RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Between two pings on a connection: how soon a dead one (power cut, pulled cable) is noticed, and how fresh round
/// trip times are.
pub const PING_INTERVAL: Duration = Duration::from_secs(5);

/// A ping without an answer for this long closes the connection.
pub const PING_TIMEOUT: Duration = Duration::from_secs(10);

// ---------------------------------------------------------------------------------------------- dialling

/// First pause before dialling again; doubled at each failure.
pub const DIAL_PAUSE_MIN: Duration = Duration::from_millis(200);

/// Longest pause between dials of an unreachable peer: how long a repaired link may stay unused.
pub const DIAL_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Longest pause after a handshake that was refused (wrong genesis, not registered): only a person can repair that.
pub const DIAL_PAUSE_REFUSED_MAX: Duration = Duration::from_secs(30);

/// Pause after a handshake that was refused because the peer does not know this node: it was removed, or the peer has not
/// come to the block that registers it, and then dials by itself. A change of the registry here ends the pause.
pub const DIAL_PAUSE_NOT_REGISTERED: Duration = Duration::from_secs(10);

/// A refusal of the same peer with the same code is logged once in this time.
pub const REFUSAL_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Strangers that are remembered as logged; above that the oldest is forgotten, and lines are bounded by
/// [`REFUSAL_LOG_LINES_PER_SECOND`] only.
pub const STRANGERS_REMEMBERED_MAX: usize = 256;

/// Each pause is lengthened by up to this many per cent at random, so that nodes do not dial in step.
pub const DIAL_JITTER_PERCENT: u64 = 25;

/// A connection that lived at least this long resets the pause to its minimum.
pub const CONNECTION_STABLE_AFTER: Duration = Duration::from_secs(5);

/// Resolving a host name before dialling.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Addresses kept of one registered node; further ones are ignored.
pub const ADDRESSES_PER_PEER_MAX: usize = 8;

// ---------------------------------------------------------------------------------------------- handshake

/// One handshake message, bytes. Two names, a version and a reason fit several times.
pub const HANDSHAKE_MESSAGE_BYTES_MAX: usize = 2 * 1024;

/// After a refusal the connection is read (and the bytes dropped) for this long, so that closing does not destroy the
/// reason on its way to the peer.
pub const REFUSAL_LINGER: Duration = Duration::from_secs(1);

/// A reason code sent with a refusal, bytes.
pub const CODE_BYTES_MAX: usize = 64;

/// A reason text sent with a refusal, bytes.
pub const TEXT_BYTES_MAX: usize = 512;

/// A second process with a connected peer's key is let in only if the first does not answer for this long. A stopped or
/// crashed process never costs this: its connections are closed by then. Well below [`CONNECTION_SETUP_TIMEOUT`], in
/// which the newcomer's handshake waits.
pub const LIVENESS_PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// Such questions in progress, whoever caused them (only holders of registered keys can); more wait, and their
/// handshakes end at [`CONNECTION_SETUP_TIMEOUT`].
pub const LIVENESS_PROBES_MAX: usize = 16;

/// Connections of one peer between handshake and establishment whose facts are kept; the oldest is forgotten first.
pub const ARRIVALS_PER_PEER_MAX: usize = 16;

/// A peer's clock that differs by more is logged, once until it is right again; nobody is refused for it.
pub const CLOCK_DIFFERENCE_WARNED: Duration = Duration::from_secs(30);

/// Log lines a second about refused strangers; more are only counted.
pub const REFUSAL_LOG_LINES_PER_SECOND: u32 = 10;

// ---------------------------------------------------------------------------------------------- reachability

/// One attempt to reach an address on somebody's behalf.
pub const DIAL_BACK_TIMEOUT: Duration = Duration::from_secs(5);

/// A peer may have its address tried once in this time; sooner is refused with code `dial-back-too-soon`.
pub const DIAL_BACK_INTERVAL: Duration = Duration::from_secs(10);

/// The whole of a dial-back for the one who asks: opening the stream, every address, the answer.
pub const DIAL_BACK_ANSWER_TIMEOUT: Duration = Duration::from_secs(50);

// ---------------------------------------------------------------------------------------------- ordering and transactions

/// One raft frame, bytes: the largest batch that a block may hold, with its envelope. A larger one is refused when it
/// is sent, and closes the stream when it is received.
pub const RAFT_FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One frame of forwarded transactions, bytes.
pub const TRANSACTIONS_FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Frames waiting to be sent to one peer, per protocol. When full the newest is dropped and counted: Raft sends again
/// what is missing, and a forwarder keeps its transactions until it sees them in a block.
pub const OUTBOUND_FRAMES_MAX: usize = 4096;

/// Bytes of the frames waiting to be sent to one peer, per protocol; same rule.
pub const OUTBOUND_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Frames are gathered up to this many bytes before a write, so that small ones share packets.
pub const WRITE_GATHER_BYTES: usize = 128 * 1024;

/// A write that makes no progress for this long breaks its stream; the stream is opened anew.
pub const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(15);

/// A frame that has begun must be complete within this.
pub const FRAME_COMPLETION_TIMEOUT: Duration = Duration::from_secs(60);

/// Memory is reserved for a frame in steps of this many bytes while they arrive, whatever length was announced.
pub const READ_STEP_BYTES: usize = 64 * 1024;

// ---------------------------------------------------------------------------------------------- events to the embedder

/// Bytes of raft frames received from one peer and not yet taken by the embedder. When full, that peer's stream is not
/// read (its sender's queue fills instead); other peers are not affected.
pub const INBOX_RAFT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The same for forwarded transactions.
pub const INBOX_TRANSACTIONS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The same for requests: when full, a request waits until its deadline.
pub const INBOX_REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The same for requests of files.
pub const INBOX_FILE_BYTES_MAX: usize = 1024 * 1024;

/// The same for gossip, by the peer that passed it on. When full the newest is dropped, counted and not passed on:
/// gossip is a hint, and every gap is pulled by height.
pub const INBOX_GOSSIP_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Charged for each waiting event on top of its bytes, so that empty frames are bounded too.
pub const INBOX_EVENT_OVERHEAD_BYTES: usize = 512;

/// Raft events handed out in a row while others wait; then one other event goes first.
pub const RAFT_EVENTS_IN_A_ROW_MAX: u32 = 64;

// ---------------------------------------------------------------------------------------------- requests

/// Requests in progress from one peer, and to one peer. More are refused at once with code `busy`.
pub const REQUESTS_PER_PEER_MAX: usize = 32;

/// Of [`REQUESTS_PER_PEER_MAX`], requests of block sync from one peer that are being answered; more wait their turn
/// until their deadline. Bounds the memory of answers to one peer at this times [`RESPONSE_SYNC_BYTES_MAX`].
pub const SYNC_REQUESTS_PER_PEER_MAX: usize = 4;

/// Body of a request, bytes.
pub const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// Body of a response, bytes, unless [`response_bytes_max`] says otherwise.
pub const RESPONSE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Kinds of request below this number are block sync (the embedder gives each its meaning); their responses may be as
/// large as [`RESPONSE_SYNC_BYTES_MAX`].
pub const REQUEST_KINDS_SYNC_END: u16 = 0x100;

/// The kind of request that belongs to ordering: a peer that is left nothing but ordering may ask this and no other.
pub const REQUEST_KIND_ORDERING: u16 = 2;

/// Body of a response of block sync, bytes: the largest block with its certificate.
pub const RESPONSE_SYNC_BYTES_MAX: usize = 16 * 1024 * 1024 + 64 * 1024;

/// The longest deadline a requester may set.
pub const REQUEST_DEADLINE_MAX: Duration = Duration::from_secs(60);

/// Time to write a response or refusal when the deadline has passed or is close.
pub const RESPONSE_WRITE_GRACE: Duration = Duration::from_secs(5);

/// The largest response, bytes, to a request of this kind.
#[must_use]
pub const fn response_bytes_max(kind: u16) -> usize {
    if kind < REQUEST_KINDS_SYNC_END { RESPONSE_SYNC_BYTES_MAX } else { RESPONSE_BYTES_MAX }
}

// ---------------------------------------------------------------------------------------------- files

/// Files being sent to one peer, and received from one peer, at once. More are refused with code `busy`.
pub const FILES_PER_PEER_MAX: usize = 8;

/// The request that opens a file, bytes.
pub const FILE_REQUEST_BYTES_MAX: usize = 64 * 1024;

/// One frame of a file, bytes.
pub const FILE_FRAME_BYTES_MAX: usize = 64 * 1024;

/// Frames of a file held between network and embedder in each direction. With the stream's window this bounds the
/// memory of a transfer, whatever the file's size.
pub const FILE_FRAMES_BUFFERED: usize = 4;

/// From the request of a file until its first frame or refusal.
pub const FILE_ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A transfer that makes no progress for this long, in either direction, is ended with an error.
pub const FILE_STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Streams to one peer that wait until its bulk connection is up.
pub const BULK_WAITING_PER_PEER_MAX: usize = 16;

// ---------------------------------------------------------------------------------------------- gossip

/// One gossip message on the topic of blocks, bytes. A larger block is announced and pulled.
pub const GOSSIP_BLOCK_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One gossip message on the other topics, bytes.
pub const GOSSIP_SMALL_BYTES_MAX: usize = 64 * 1024;

/// Room for the envelope of a gossip message (author, signature, topic), bytes.
pub const GOSSIP_ENVELOPE_BYTES: usize = 1024;

/// Between two rounds of mesh upkeep.
pub const GOSSIP_HEARTBEAT: Duration = Duration::from_millis(700);

/// How long a message id is remembered, so that it is delivered once.
pub const GOSSIP_DUPLICATE_MEMORY: Duration = Duration::from_secs(120);

/// Messages waiting to be sent to one peer by gossip; more are dropped.
pub const GOSSIP_QUEUE_PER_PEER: usize = 512;

/// A published message that could not be sent to a peer for this long is dropped for that peer.
pub const GOSSIP_PUBLISH_QUEUE_TIME: Duration = Duration::from_secs(5);

/// A passed-on message, likewise.
pub const GOSSIP_FORWARD_QUEUE_TIME: Duration = Duration::from_secs(2);

/// Neighbours in the mesh of a topic: wanted, fewest, most. Own messages go to all peers anyway; the mesh only passes
/// on those of others. With fewer peers than wanted, all of them are in the mesh.
pub const GOSSIP_MESH: (usize, usize, usize) = (6, 4, 12);

/// After a peer left the mesh (restart, prune), how long until it may come back: short, because a consortium's nodes
/// are few and known.
pub const GOSSIP_PRUNE_PAUSE: Duration = Duration::from_secs(5);

/// Verdicts on gossip messages that wait for the network task; more are dropped, and their messages not passed on.
pub const GOSSIP_VERDICTS_MAX: usize = 4096;

// ---------------------------------------------------------------------------------------------- commands

/// Commands that wait for a network task. Callers that can wait do; `publish` fails with `full`.
pub const COMMANDS_MAX: usize = 256;

/// On shutdown, how long connections get to be closed in good order, so that peers notice at once.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// On shutdown, how long tasks get to end by themselves.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
