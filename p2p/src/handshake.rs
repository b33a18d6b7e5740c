//! The handshake: who speaks to whom on which chain, settled on every connection after Noise has proved the peer's key
//! and before the multiplexer starts. Until it succeeds no other protocol can be spoken at all.
//!
//! ```text
//!  dialler                                      listener
//!     | -- Hello {chain, genesis, name, ...} -->  |     key registered?  if not: Refused {code, text}, close
//!     | <-- Hello or Refused -------------------  |
//!     | -- Accepted or Refused {code, text} --->  |     both judge the other's hello
//!     | <-- Accepted or Refused ----------------  |
//! ```
//! Both sides send at once, so it costs two one-way trips. Whoever refuses says why, and both sides log it.
//!
//! A second process with the key of a connected peer (another incarnation) is let in only when the first does not
//! answer any more ([`Liveness`]): whoever runs a node twice learns it instead of having two nodes with one vote.
//!
//! Messages are frames (`frame.rs`): protocol version (`u32`), then the canonical encoding of [`Opening`] or
//! [`Verdict`]. The version stands first so that later layouts still get the answer "protocol version".

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use galen_types::member::NodeRole;
use galen_types::{Encoding, Hash, NodeName};
use libp2p::{Multiaddr, PeerId};
use wincode::{SchemaRead, SchemaWrite};

use crate::address::ip_of;
use crate::book::Book;
use crate::frame::{FrameError, read_frame, write_frame};
use crate::inbox::Inbox;
use crate::limits::{HANDSHAKE_MESSAGE_BYTES_MAX, REFUSAL_LINGER};
use crate::liveness::Liveness;
use crate::metrics::{Counter, Metrics};
use crate::own::{Own, clock_difference_ms, clock_ms};
use crate::protocol::PROTOCOL_VERSION;
use crate::refusal::{Refusal, printable};
use crate::registry::SharedRegistry;
use crate::transport::Conversation;

/// What a connection is for. Each plane has its own port and its own connections, so that files never stand in the way
/// of heartbeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub(crate) enum Plane {
    /// Raft, transactions, requests, gossip.
    Control,
    /// Files.
    Bulk,
    /// Nothing: the connection ends after its handshake. Either port takes it. See `probe.rs`.
    Probe,
}

impl Plane {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Bulk => "bulk",
            Self::Probe => "probe",
        }
    }
}

/// What a node says about itself.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub(crate) struct Hello {
    pub(crate) genesis: Hash,
    pub(crate) chain: String,
    pub(crate) node: String,
    pub(crate) role: NodeRole,
    pub(crate) software_version: String,
    pub(crate) plane: Plane,
    /// TCP port of the node's bulk plane; 0 elsewhere than on the control plane.
    pub(crate) bulk_port: u16,
    /// Drawn at random when the network starts: tells a restarted node's connections from those of its former life, and
    /// two processes with one key from each other.
    pub(crate) incarnation: u64,
    /// Hash of the last recovery that its ledger holds; zero if none.
    pub(crate) lineage: Hash,
    /// Its clock: milliseconds since 1970, UTC.
    pub(crate) clock_ms: u64,
}

#[derive(SchemaWrite, SchemaRead)]
pub(crate) enum Opening {
    Hello(Hello),
    Refused(Refusal),
}

#[derive(SchemaWrite, SchemaRead)]
pub(crate) enum Verdict {
    Accepted,
    Refused(Refusal),
}

/// What is known of a peer after its handshake.
#[derive(Debug, Clone)]
pub(crate) struct PeerFacts {
    pub(crate) software_version: String,
    pub(crate) bulk_port: u16,
    pub(crate) incarnation: u64,
    pub(crate) ip: Option<IpAddr>,
    pub(crate) lineage: Hash,
    /// Ahead of ours; behind is negative.
    pub(crate) clock_difference_ms: i64,
}

/// The code of a refusal by a node that does not know the key.
pub(crate) const NOT_REGISTERED: &str = "not-registered";

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("the key is not registered on this chain")]
    NotRegistered,
    #[error(
        "wrong genesis: theirs {theirs}, ours {ours}; one of the two nodes was given the genesis file of another chain"
    )]
    WrongGenesis { theirs: String, ours: String },
    #[error("wrong chain: theirs `{theirs}`, ours `{ours}`")]
    WrongChain { theirs: String, ours: String },
    #[error(
        "wrong lineage: the last recovery in their ledger is {theirs}, in ours {ours} (zeros: none); one of the two does not hold the recovery that the other went through"
    )]
    WrongLineage { theirs: Hash, ours: Hash },
    #[error("another process with its key is connected here and answers; stop one of the two")]
    DuplicateIdentity,
    #[error("it only asked; nothing is refused")]
    Probed,
    #[error("protocol version: theirs {theirs}, ours {ours}; run the same release on both nodes")]
    ProtocolVersion { theirs: u32, ours: u32 },
    #[error("wrong name: it says `{theirs}`, its key is registered as `{registered}`")]
    WrongName { theirs: String, registered: String },
    #[error("wrong port: the connection is for {theirs}, this port for {ours}")]
    WrongPlane { theirs: &'static str, ours: &'static str },
    #[error("the handshake is malformed: {0}")]
    Malformed(String),
    #[error("refused by the peer: {0}")]
    RefusedByPeer(Refusal),
    #[error("the connection broke in the handshake: {0}")]
    Broken(#[from] std::io::Error),
}

impl HandshakeError {
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::NotRegistered => NOT_REGISTERED,
            Self::WrongGenesis { .. } => "wrong-genesis",
            Self::WrongChain { .. } => "wrong-chain",
            Self::ProtocolVersion { .. } => "protocol-version",
            Self::WrongLineage { .. } => "wrong-lineage",
            Self::DuplicateIdentity => "duplicate-identity",
            Self::Probed => "probed",
            Self::WrongName { .. } => "wrong-name",
            Self::WrongPlane { .. } => "wrong-plane",
            Self::Malformed(_) => "handshake-malformed",
            Self::RefusedByPeer(refusal) => refusal.code(),
            Self::Broken(_) => "handshake-broken",
        }
    }

    fn counter<'a>(&self, metrics: &'a Metrics) -> Option<&'a Counter> {
        match self {
            Self::Broken(_) | Self::Probed => None,
            Self::WrongLineage { .. } => Some(&metrics.refused_wrong_lineage),
            Self::DuplicateIdentity => Some(&metrics.duplicate_identities),
            Self::NotRegistered => Some(&metrics.refused_not_registered),
            Self::WrongGenesis { .. } => Some(&metrics.refused_wrong_genesis),
            Self::WrongChain { .. } => Some(&metrics.refused_wrong_chain),
            Self::ProtocolVersion { .. } => Some(&metrics.refused_protocol_version),
            Self::WrongName { .. } | Self::WrongPlane { .. } | Self::Malformed(_) => Some(&metrics.refused_other),
            Self::RefusedByPeer(refusal) => Some(match refusal.code() {
                "wrong-genesis" => &metrics.refused_wrong_genesis,
                "wrong-chain" => &metrics.refused_wrong_chain,
                "protocol-version" => &metrics.refused_protocol_version,
                "wrong-lineage" => &metrics.refused_wrong_lineage,
                "duplicate-identity" => &metrics.duplicate_identities,
                _ => &metrics.refused_other,
            }),
        }
    }
}

impl From<FrameError> for HandshakeError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Broken(error) => Self::Broken(error),
            other => Self::Malformed(other.to_string()),
        }
    }
}

/// What this node brings to every handshake of one plane.
pub(crate) struct HandshakeContext {
    /// What never changes of its hello.
    pub(crate) hello: Hello,
    pub(crate) own: Arc<Own>,
    pub(crate) registry: Arc<SharedRegistry>,
    pub(crate) book: Arc<Book>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) liveness: Arc<Liveness>,
}

impl Conversation for HandshakeContext {
    /// Runs the handshake with the owner of `peer`'s key. On success what the peer said is in the book; on failure the
    /// reason is logged and counted, and the peer was told.
    async fn hold<S>(&self, stream: &mut S, peer: PeerId, remote: &Multiaddr) -> Result<(), HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let registered = self.registry.name(&peer);
        match self.exchange(stream, peer, registered.as_ref()).await {
            Ok(theirs) if theirs.plane == Plane::Probe => Err(HandshakeError::Probed),
            Ok(theirs) => {
                self.remember(&theirs, peer, remote);
                Ok(())
            }
            Err(error) => {
                self.report(&error, peer, remote, registered.as_ref());
                Err(error)
            }
        }
    }
}

impl HandshakeContext {
    fn remember(&self, theirs: &Hello, peer: PeerId, remote: &Multiaddr) {
        let facts = PeerFacts {
            software_version: printable(&theirs.software_version, 64),
            bulk_port: theirs.bulk_port,
            incarnation: theirs.incarnation,
            ip: ip_of(remote),
            lineage: theirs.lineage,
            clock_difference_ms: clock_difference_ms(theirs.clock_ms),
        };
        let difference_ms = facts.clock_difference_ms;
        if self.hello.plane == Plane::Control && self.book.warns_of_clock(peer, difference_ms) {
            tracing::warn!(
                peer_id = %peer, address = %remote, node = %theirs.node, code = "clock-differs", difference_ms,
                "the clocks of this node and the peer differ; synchronise them (NTP)"
            );
        }
        self.book.arrive(peer, self.hello.plane, remote, facts);
    }

    fn report(&self, error: &HandshakeError, peer: PeerId, remote: &Multiaddr, registered: Option<&NodeName>) {
        let code = error.code();
        let plane = self.hello.plane.name();
        let Some(counter) = error.counter(&self.metrics) else {
            tracing::debug!(peer_id = %peer, address = %remote, plane, code, "{error}");
            return;
        };
        counter.increment();
        match registered {
            Some(node) => {
                if self.hello.plane == Plane::Control {
                    self.book.record_refusal(peer, Refusal::new(code, error));
                    if matches!(error, HandshakeError::RefusedByPeer(refusal) if refusal.code() == "duplicate-identity")
                    {
                        self.inbox.tell_duplicate(node);
                    }
                }
                if self.book.is_refusal_news(peer, code, Instant::now()) {
                    tracing::warn!(peer_id = %peer, address = %remote, node = %node, plane, code, "connection refused: {error}");
                }
            }
            None if self.book.is_stranger_news(peer, Instant::now()) => {
                tracing::warn!(peer_id = %peer, address = %remote, plane, code, "connection refused: {error}");
            }
            None => {}
        }
    }

    /// What this node says of itself now.
    fn own_hello(&self) -> Hello {
        Hello {
            role: self.registry.own_role().unwrap_or(self.hello.role),
            lineage: self.own.lineage(),
            clock_ms: clock_ms(),
            ..self.hello.clone()
        }
    }

    async fn exchange<S>(
        &self,
        stream: &mut S,
        peer: PeerId,
        registered: Option<&NodeName>,
    ) -> Result<Hello, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let Some(registered) = registered else {
            // A stranger learns that it is one, and nothing about this chain.
            let error = HandshakeError::NotRegistered;
            send(stream, &Opening::Refused(refusal_of(&error))).await?;
            linger(stream).await;
            return Err(error);
        };
        let ours = self.own_hello();
        send(stream, &Opening::Hello(ours.clone())).await?;
        let judged = match receive::<Opening, S>(stream).await {
            Ok(Opening::Refused(refusal)) => {
                return Err(HandshakeError::RefusedByPeer(refusal.cleaned()));
            }
            Ok(Opening::Hello(theirs)) => match self.judge(theirs, &ours, registered) {
                Ok(theirs) => self.judge_process(theirs, peer).await,
                Err(error) => Err(error),
            },
            Err(error @ HandshakeError::Broken(_)) => return Err(error),
            Err(error) => Err(error),
        };
        match judged {
            Ok(theirs) => {
                send(stream, &Verdict::Accepted).await?;
                match receive::<Verdict, S>(stream).await? {
                    Verdict::Accepted => Ok(theirs),
                    Verdict::Refused(refusal) => Err(HandshakeError::RefusedByPeer(refusal.cleaned())),
                }
            }
            Err(error) => {
                // Our own finding counts, whether or not the peer still hears of it.
                if send(stream, &Verdict::Refused(refusal_of(&error))).await.is_ok() {
                    linger(stream).await;
                }
                Err(error)
            }
        }
    }

    /// Whether the process at the other end may speak for its key: not while another one does and answers.
    async fn judge_process(&self, theirs: Hello, peer: PeerId) -> Result<Hello, HandshakeError> {
        let other = self.book.live_incarnation(&peer).filter(|live| *live != theirs.incarnation);
        match (theirs.plane, other) {
            (Plane::Probe, _) | (_, None) => Ok(theirs),
            (Plane::Control, Some(_)) if !self.liveness.answers(peer).await => {
                tracing::info!(node = %theirs.node, peer_id = %peer, code = "peer-restarted",
                    "the peer comes back as a new process; the former one no longer answers");
                Ok(theirs)
            }
            // Files follow the control plane.
            (Plane::Control | Plane::Bulk, Some(_)) => Err(HandshakeError::DuplicateIdentity),
        }
    }

    fn judge(&self, theirs: Hello, ours: &Hello, registered: &NodeName) -> Result<Hello, HandshakeError> {
        if theirs.genesis != ours.genesis {
            return Err(HandshakeError::WrongGenesis {
                theirs: hex::encode(theirs.genesis.0),
                ours: hex::encode(ours.genesis.0),
            });
        }
        if theirs.chain != ours.chain {
            return Err(HandshakeError::WrongChain { theirs: printable(&theirs.chain, 64), ours: ours.chain.clone() });
        }
        if theirs.lineage != ours.lineage {
            return Err(HandshakeError::WrongLineage { theirs: theirs.lineage, ours: ours.lineage });
        }
        if theirs.plane != ours.plane && theirs.plane != Plane::Probe {
            return Err(HandshakeError::WrongPlane { theirs: theirs.plane.name(), ours: ours.plane.name() });
        }
        if theirs.node != registered.to_string() {
            return Err(HandshakeError::WrongName {
                theirs: printable(&theirs.node, 130),
                registered: registered.to_string(),
            });
        }
        let role = self.registry.current().registry.get(registered).map(|(_, peer)| peer.role);
        if role.is_some_and(|role| role != theirs.role) {
            // The registry decides; a node that has not yet seen its own change of role is no stranger.
            tracing::info!(node = %registered, says = %theirs.role, code = "role-differs",
                "the peer's role differs from its registration");
        }
        Ok(theirs)
    }
}

fn refusal_of(error: &HandshakeError) -> Refusal {
    match error {
        // Names and hashes swap sides: what is ours is theirs over there.
        HandshakeError::WrongGenesis { theirs, ours } => {
            Refusal::new("wrong-genesis", format_args!("wrong genesis: theirs {ours}, ours {theirs}"))
        }
        HandshakeError::WrongChain { theirs, ours } => {
            Refusal::new("wrong-chain", format_args!("wrong chain: theirs `{ours}`, ours `{theirs}`"))
        }
        HandshakeError::WrongLineage { theirs, ours } => {
            Refusal::new("wrong-lineage", HandshakeError::WrongLineage { theirs: *ours, ours: *theirs })
        }
        HandshakeError::DuplicateIdentity => Refusal::new(
            "duplicate-identity",
            "another running process uses your node's key, is connected here and answers; stop one of the two",
        ),
        HandshakeError::NotRegistered => Refusal::new(
            NOT_REGISTERED,
            "your node's key is not registered here; ask a member to register it, or wait until this node has the block that does",
        ),
        other => Refusal::new(other.code(), other),
    }
}

pub(crate) async fn send<T, S>(stream: &mut S, message: &T) -> Result<(), HandshakeError>
where
    T: Encoding + Sync,
    S: AsyncWrite + Unpin + Send,
{
    let mut body = PROTOCOL_VERSION.to_le_bytes().to_vec();
    body.extend(message.encode());
    Ok(write_frame(stream, &body).await?)
}

pub(crate) async fn receive<T, S>(stream: &mut S) -> Result<T, HandshakeError>
where
    T: Encoding,
    S: AsyncRead + Unpin + Send,
{
    let frame = read_frame(stream, HANDSHAKE_MESSAGE_BYTES_MAX)
        .await?
        .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::UnexpectedEof))?;
    let (version, message) = frame
        .split_first_chunk::<4>()
        .ok_or_else(|| HandshakeError::Malformed("a message without a version".to_owned()))?;
    let theirs = u32::from_le_bytes(*version);
    if theirs != PROTOCOL_VERSION {
        return Err(HandshakeError::ProtocolVersion { theirs, ours: PROTOCOL_VERSION });
    }
    T::decode(message, HANDSHAKE_MESSAGE_BYTES_MAX).map_err(|error| HandshakeError::Malformed(error.to_string()))
}

/// Closes our side and drops what still comes in, for a moment: closing a socket that holds unread bytes would destroy
/// the refusal on its way.
async fn linger<S>(stream: &mut S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let drain = async {
        let mut sink = [0; 1024];
        let mut left = 8 * HANDSHAKE_MESSAGE_BYTES_MAX;
        if stream.close().await.is_err() {
            return;
        }
        while let Ok(count @ 1..) = stream.read(&mut sink).await {
            if count > left {
                return;
            }
            left -= count;
        }
    };
    let _ = tokio::time::timeout(REFUSAL_LINGER, drain).await;
}

#[cfg(test)]
mod tests;
