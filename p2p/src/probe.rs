//! One look at a node's port from outside, without a running network: who answers there, and would it let this node in.
//! Connects, proves both keys by Noise, speaks the handshake, and closes. A port that refuses is a port that answers.
//!
//! The hello of a probe says that it is one ([`Plane::Probe`]), so that asking beside a running node is not taken for a
//! second process with its key.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{AsyncRead, AsyncWrite};
use galen_types::member::NodeRole;
use galen_types::{Hash, NodeName};
use libp2p::core::Endpoint;
use libp2p::core::transport::{DialOpts, PortUse};
use libp2p::{Multiaddr, PeerId, Transport};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::address::resolve;
use crate::handshake::{HandshakeError, Hello, Opening, Plane, Verdict, receive, send};
use crate::identity::{IdentityError, keypair_of, public_key_of};
use crate::own::{clock_difference_ms, clock_ms};
use crate::protocol::PROTOCOL_VERSION;
use crate::reach::connect;
use crate::refusal::{Refusal, printable};
use crate::sync::lock;
use crate::transport::{Conversation, transport};

/// On whose behalf a port is looked at: what [`crate::NetworkConfig`] says of a node.
pub struct ProbeOrigin {
    /// The secret seed of the node's key.
    pub node_key: Zeroizing<[u8; 32]>,
    /// Hash of the genesis document.
    pub genesis: Hash,
    /// Name of the chain.
    pub chain: String,
    /// Name of the node.
    pub node: NodeName,
    /// What it does, or shall do, on the chain.
    pub role: NodeRole,
    /// Hash of the last recovery that its ledger holds; [`Hash::ZERO`] if none.
    pub lineage: Hash,
    /// Version of its software.
    pub software_version: String,
}

/// What answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeReport {
    /// The key that it proved to hold.
    pub public_key: [u8; 32],
    /// The protocol version that it speaks; compare with [`PROTOCOL_VERSION`].
    pub protocol: u32,
    /// What it said about itself. Nothing to nodes that are not registered with it, or speak another protocol version.
    pub node: Option<ProbedNode>,
    /// Why it would not let this node in: a stable code (`not-registered`, `wrong-genesis`, `wrong-chain`,
    /// `wrong-lineage`, `wrong-name`, `protocol-version`) and a text. None: the node is registered there and welcome.
    pub refusal: Option<Refusal>,
}

/// What a node said about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbedNode {
    /// Its name, as it says; at most 130 printable bytes.
    pub name: String,
    /// Its role.
    pub role: NodeRole,
    /// The software it says it runs.
    pub software_version: String,
    /// Hash of the last recovery that its ledger holds.
    pub lineage: Hash,
    /// How far its clock is ahead of ours, in milliseconds; behind is negative.
    pub clock_difference_ms: i64,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The own key is unusable.
    #[error("the node key cannot be used: {0}")]
    Key(#[from] IdentityError),
    /// Nobody answers at the address.
    #[error("{address} cannot be reached: {reason}; check the address, and the firewalls on the way")]
    Unreachable {
        /// The address.
        address: String,
        /// The system's words.
        reason: String,
    },
    /// Something answers that has another key than the one expected.
    #[error("the node at {address} has another key than the one registered; check the address")]
    WrongKey {
        /// The address.
        address: String,
    },
    /// Something answers that is no node, or not at its control port.
    #[error("what answers at {address} does not speak like a node: {reason}; check the port")]
    NotANode {
        /// The address.
        address: String,
        /// What it did.
        reason: String,
    },
}

impl ProbeError {
    /// A stable code for interfaces and logs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Key(error) => error.code(),
            Self::Unreachable { .. } => "unreachable",
            Self::WrongKey { .. } => "wrong-key",
            Self::NotANode { .. } => "not-a-node",
        }
    }
}

/// Looks at the node at `address`, its control port. With `expected`, its registered key, nothing is said to any other.
/// Takes at most `limit`.
///
/// # Errors
/// [`ProbeError`] when no node answers there. A node that refuses is a report.
pub async fn probe(
    address: &Multiaddr,
    expected: Option<[u8; 32]>,
    origin: ProbeOrigin,
    limit: Duration,
) -> Result<ProbeReport, ProbeError> {
    let slow = || ProbeError::Unreachable {
        address: address.to_string(),
        reason: format!("no answer within {} ms", limit.as_millis()),
    };
    timeout(limit, look(address, expected, origin)).await.unwrap_or_else(|_| Err(slow()))
}

async fn look(address: &Multiaddr, expected: Option<[u8; 32]>, origin: ProbeOrigin) -> Result<ProbeReport, ProbeError> {
    let keypair = keypair_of(&origin.node_key)?;
    let hello = Hello {
        genesis: origin.genesis,
        chain: origin.chain,
        node: origin.node.to_string(),
        role: origin.role,
        software_version: origin.software_version,
        plane: Plane::Probe,
        bulk_port: 0,
        incarnation: 0,
        lineage: origin.lineage,
        clock_ms: clock_ms(),
    };
    let not_a_node =
        |reason: String| ProbeError::NotANode { address: address.to_string(), reason: printable(&reason, 512) };
    let question = Arc::new(Question { hello, expected, answer: Mutex::new(None) });
    let mut transport = transport(&keypair, Arc::clone(&question)).map_err(|error| not_a_node(error.to_string()))?;
    let mut reason = "the host name is not known".to_owned();
    for candidate in resolve(vec![address.clone()]).await {
        // The first that takes a connection is the node; whether it behaves is the report.
        if let Err(error) = connect(&candidate).await {
            reason = error;
            continue;
        }
        let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
        let dial = transport.dial(candidate, options).map_err(|error| not_a_node(error.to_string()))?;
        // Always an error: a probe ends with the handshake.
        let ended = dial.await.err().map(|error| error.to_string()).unwrap_or_default();
        return match lock(&question.answer).take() {
            Some(Answer::Report(report)) => Ok(report),
            Some(Answer::WrongKey) => Err(ProbeError::WrongKey { address: address.to_string() }),
            Some(Answer::FilePort) => Err(not_a_node("it is a node's port for files".to_owned())),
            Some(Answer::Broken(reason)) => Err(not_a_node(reason)),
            None => Err(not_a_node(ended)),
        };
    }
    Err(ProbeError::Unreachable { address: address.to_string(), reason })
}

/// The asking side of the handshake.
struct Question {
    hello: Hello,
    expected: Option<[u8; 32]>,
    answer: Mutex<Option<Answer>>,
}

enum Answer {
    Report(ProbeReport),
    WrongKey,
    FilePort,
    Broken(String),
}

impl Conversation for Question {
    async fn hold<S>(&self, stream: &mut S, peer: PeerId, _: &Multiaddr) -> Result<(), HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let answer = match public_key_of(&peer) {
            Ok(key) if self.expected.is_some_and(|expected| expected != key) => Answer::WrongKey,
            Ok(key) => self.ask(stream, key).await.unwrap_or_else(|error| Answer::Broken(error.to_string())),
            Err(error) => Answer::Broken(error.to_string()),
        };
        *lock(&self.answer) = Some(answer);
        Err(HandshakeError::Probed)
    }
}

impl Question {
    async fn ask<S>(&self, stream: &mut S, public_key: [u8; 32]) -> Result<Answer, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let report = |protocol, node, refusal| Answer::Report(ProbeReport { public_key, protocol, node, refusal });
        // A node that refuses at once may have closed before it has read this; its refusal counts.
        let said = send(stream, &Opening::Hello(self.hello.clone())).await;
        let theirs = match receive::<Opening, S>(stream).await {
            Ok(Opening::Hello(theirs)) => theirs,
            Ok(Opening::Refused(refusal)) => return Ok(report(PROTOCOL_VERSION, None, Some(refusal.cleaned()))),
            Err(error @ HandshakeError::ProtocolVersion { theirs, .. }) => {
                return Ok(report(theirs, None, Some(Refusal::new(error.code(), &error))));
            }
            Err(error) => return Err(error),
        };
        said?;
        if theirs.plane == Plane::Bulk {
            return Ok(Answer::FilePort);
        }
        let node = ProbedNode {
            name: printable(&theirs.node, 130),
            role: theirs.role,
            software_version: printable(&theirs.software_version, 64),
            lineage: theirs.lineage,
            clock_difference_ms: clock_difference_ms(theirs.clock_ms),
        };
        send(stream, &Verdict::Accepted).await?;
        let refusal = match receive::<Verdict, S>(stream).await? {
            Verdict::Accepted => None,
            Verdict::Refused(refusal) => Some(refusal.cleaned()),
        };
        Ok(report(PROTOCOL_VERSION, Some(node), refusal))
    }
}
