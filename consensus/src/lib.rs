//! Ordering of opaque entries by Raft: a sans-io core, its durable log, and the firewall for messages from peers.
//!
//! Nothing here opens a socket, starts a thread, reads a clock or draws a random number; what an entry means is never
//! known. The embedder owns a loop:
//!
//! ```text
//!   tick / message / propose / applied / ...          every input of the moment
//!            |
//!   core.effects()  -->  committed        execute, in order
//!                        send             to peers, now
//!                        persist          log.append(..): one write, one fdatasync, maybe on another thread
//!            |                               |
//!            +------ core.persisted(token) <-+        releases the messages that promise what is now durable
//! ```
//!
//! - [`RaftCore`]: the state machine, over the `raft` crate (no type of which leaves this crate).
//! - [`firewall`]: the checks that every message passes before Raft sees it.
//! - [`log`]: the durable log, own segment files in one record stream.
//! - [`vfs`]: the file operations that the log needs, real and simulated (with crashes, torn writes, full disks).
//!
//! Safety rests on four rules, repeated where they are kept: R1 a message that promises something is sent only when it
//! is durable; R2 an entry is given to the embedder only when it is committed and durable on this node; R3 the log is
//! cut only where the embedder says that the effects are durable; R4 after any storage or internal error the instance
//! takes no further input.

pub mod core;
pub mod firewall;
pub mod limits;
pub mod log;
mod logger;
mod membership;
mod reader;
mod storage;
mod timeout;
mod types;
pub mod vfs;
mod wire;

pub use crate::core::{
    Committed, CompactError, ConfigError, CoreConfig, Effects, MembershipChange, MembershipChangeError, MessageError,
    Outgoing, Payload, PeerProgress, ProposeError, RaftCore, ReadIndexError, ReadState, Role, RoleChange,
    SnapshotError, SnapshotOffer, Status, Stopped, TransferEnd, TransferError, TransferOutcome,
};
pub use crate::firewall::Refusal;
pub use crate::log::{
    Extent, Identity, Link, Log, LogError, LogOptions, Recovered, SegmentCheck, TornTail, segment_path,
};
pub use crate::membership::{Membership, MembershipError};
pub use crate::reader::DecodeError;
pub use crate::types::{
    Entry, EntryKind, HardState, LogEnd, MembershipAt, Persist, PersistToken, RaftId, SnapshotChange, SnapshotMeta,
    VoteFloor,
};
