//! What the network tells its embedder.

use std::time::Instant;

use bytes::Bytes;
use galen_types::NodeName;
use galen_types::member::NodeRole;

use crate::file::FileSink;
use crate::gossip::{GossipValidation, Topic};
use crate::request::Responder;

/// One event. Only registered nodes that passed the handshake appear here.
#[derive(Debug)]
pub enum NetworkEvent {
    /// A peer has its first connection.
    PeerConnected {
        /// The peer.
        node: NodeName,
        /// Its role in the registry.
        role: NodeRole,
        /// The software it says it runs.
        software_version: String,
    },
    /// A peer lost its last connection, or left the registry.
    PeerDisconnected {
        /// The peer.
        node: NodeName,
    },
    /// A peer refused this process because another one with the same key is connected to it and answers. At most one
    /// waits per peer. A stopped process is never taken for a living one (the peer asks it first), so this means that two
    /// run; but a single peer could also lie, and each of the two may have been first at some peers. Stop when more peers
    /// say so than are connected ([`crate::NetworkHandle::connected_count`]).
    DuplicateIdentity {
        /// The peer that refused.
        by: NodeName,
    },
    /// A raft frame.
    Raft {
        /// Who sent it.
        from: NodeName,
        /// The frame.
        bytes: Bytes,
    },
    /// A frame of forwarded transactions.
    Transactions {
        /// Who sent it.
        from: NodeName,
        /// The frame.
        bytes: Bytes,
    },
    /// A request that waits for an answer.
    Request {
        /// Who asks.
        from: NodeName,
        /// What kind of request; the embedder gives kinds their meaning.
        kind: u16,
        /// The request.
        bytes: Bytes,
        /// After this nobody waits for the answer any more.
        deadline: Instant,
        /// Answers or refuses. Dropped, it refuses with code `unanswered`.
        reply: Responder,
    },
    /// A request for a file's bytes.
    File {
        /// Who asks.
        from: NodeName,
        /// What it asks for; the embedder gives it its meaning.
        request: Bytes,
        /// Where the bytes go.
        sink: FileSink,
    },
    /// A gossip message. Its author is registered; whether its contents are right is for the embedder to say.
    Gossip {
        /// Its topic.
        topic: Topic,
        /// Who signed it first. Anyone may repeat public contents under its own name, so judge by the contents.
        author: NodeName,
        /// The peer that passed it on.
        from: NodeName,
        /// The message.
        bytes: Bytes,
        /// Says whether to pass it on. Dropped, it says ignore.
        validation: GossipValidation,
    },
}
