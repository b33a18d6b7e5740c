//! The network of a Galen node: who may connect, and how bytes travel between nodes. It knows nothing of what they mean.
//!
//! ```text
//!                 control plane (one port)                              bulk plane (a second port)
//!  TCP > Noise > handshake > yamux                          TCP > Noise > handshake > yamux
//!         |- raft/1          one stream each way, frames           |- file/1      one stream a file
//!         |- transactions/1  one stream each way, frames
//!         |- request/1       one stream a request
//!         |- gossip          blocks, signatures, announcements
//!         `- ping            round trip time, dead peers
//! ```
//!
//! - **Admission.** Noise proves the peer's key; only keys in the registry go on. The handshake then settles
//!   chain, genesis, name and version before the multiplexer starts, so nothing else can be said before it succeeded.
//! - **Identity.** Node key = libp2p identity = key registered on chain ([`peer_id_of`]). A peer is its node name; it
//!   may have several connections, and streams are opened on the newest.
//! - **Two planes.** Files have their own port and connections, so a heartbeat never waits behind a file in a socket's
//!   buffer, and operators may route or shape them apart. The bulk port is told in the handshake.
//! - **Bounds.** Every limit is in [`limits`]; every queue says there what happens when it is full. Each peer has its own
//!   queues, so one that floods or sleeps harms only itself.
//!
//! Tasks: one per plane (`control`, `bulk`), which never wait for anything but their inputs; per peer one writer for
//! each long-lived stream; one per inbound stream. All end when the [`NetworkHandle`] shuts down.

pub mod limits;

mod address;
mod book;
mod bulk;
mod control;
mod dialer;
mod error;
mod event;
mod file;
mod frame;
mod gate;
mod gossip;
mod handle;
mod handshake;
mod identity;
mod inbox;
mod link;
mod metrics;
mod network;
mod protocol;
mod refusal;
mod registry;
mod request;
mod session;
mod shared;
mod streams;
mod sync;
mod transport;

pub use address::{AddressError, parse_address};
pub use error::{PublishError, RequestError, SendError, StartError};
pub use event::NetworkEvent;
pub use file::{FileReader, FileSink};
pub use gossip::{GossipValidation, Topic};
pub use handle::{NetworkHandle, PeerConnection, PeerStatus};
pub use identity::{IdentityError, peer_id_of, public_key_of};
pub use inbox::NetworkEvents;
pub use libp2p::{Multiaddr, PeerId};
pub use metrics::{NetworkCounters, PeerCounters};
pub use network::{Network, NetworkConfig};
pub use protocol::PROTOCOL_VERSION;
pub use refusal::Refusal;
pub use registry::{PeerRegistry, RegisteredPeer, RegistryError};
pub use request::Responder;

#[cfg(test)]
mod tests;
