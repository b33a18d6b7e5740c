//! The network of a Galen node: who may connect, and how bytes travel between nodes. It knows nothing of what they mean.
//!
//! ```text
//!                 control plane (one port)                              bulk plane (a second port)
//!  TCP > Noise > handshake > yamux                          TCP > Noise > handshake > yamux
//!         |- raft/1          one stream each way, frames           |- file/1      one stream a file
//!         |- transactions/1  one stream each way, frames
//!         |- request/1       one stream a request
//!         |- gossip          blocks, signatures, announcements
//!         |- alive/1         does the process still answer?
//!         |- dial-back/1     can you reach me?
//!         `- ping            round trip time, dead peers
//! ```
//!
//! - **Admission.** Noise proves the peer's key; only keys in the registry go on. The handshake then settles
//!   chain, genesis, name, version and lineage before the multiplexer starts, so nothing else can be said before it succeeded.
//! - **Identity.** Node key = libp2p identity = key registered on chain ([`peer_id_of`]). A peer is its node name; it
//!   may have several connections, and streams are opened on the newest.
//! - **Leaving.** A node that the chain removed may still be needed by the ordering group; until that is without it, it
//!   stays with [`Access::OrderingOnly`]: raft frames and nothing else.
//! - **One process a key.** A second process with the key of a connected peer is refused while the first answers.
//! - **Two planes.** Files have their own port and connections, so a heartbeat never waits behind a file in a socket's
//!   buffer, and operators may route or shape them apart. The bulk port is told in the handshake.
//! - **Bounds.** Every limit is in [`limits`]; every queue says there what happens when it is full. Each peer has its own
//!   queues, so one that floods or sleeps harms only itself.
//!
//! Tasks: one per plane (`control`, `bulk`), which never wait for anything but their inputs; per peer one writer for
//! each long-lived stream; one per inbound stream. All end when the [`NetworkHandle`] shuts down.

pub mod limits;

mod access;
mod address;
mod applicant;
mod book;
mod bulk;
mod control;
mod dialer;
mod error;
mod event;
mod file;
mod frame;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod gate;
mod gossip;
mod handle;
mod handshake;
mod identity;
mod inbox;
mod link;
mod liveness;
mod metrics;
mod network;
mod own;
mod probe;
mod protocol;
mod reach;
mod refusal;
mod registry;
mod request;
mod selective_gossip;
mod session;
mod shared;
mod streams;
mod sync;
mod transport;

pub use access::Access;
pub use address::{AddressError, parse_address};
pub use applicant::{DialTargets, DialledPort, dial_applicant};
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
pub use probe::{ProbeError, ProbeOrigin, ProbeReport, ProbedNode, probe};
pub use protocol::PROTOCOL_VERSION;
pub use refusal::Refusal;
pub use registry::{PeerRegistry, RegisteredPeer, RegistryError};
pub use request::Responder;

#[cfg(test)]
mod tests;
