//! TCP, Noise, handshake, yamux: what every connection of both planes is made of.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{AsyncRead, AsyncWrite, FutureExt};
use libp2p::core::ConnectedPoint;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo, Version};
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId, Transport, noise, tcp, yamux};

use crate::handshake::HandshakeError;
use crate::limits::{CONNECTION_SETUP_TIMEOUT, LISTEN_BACKLOG, STREAMS_PER_CONNECTION_MAX};
use crate::protocol::HANDSHAKE;

/// What is said on a connection between Noise and the multiplexer.
pub(crate) trait Conversation: Send + Sync + 'static {
    /// Speaks with the owner of `peer`'s key; without an error the connection goes on to the multiplexer.
    fn hold<S>(
        &self,
        stream: &mut S,
        peer: PeerId,
        remote: &Multiaddr,
    ) -> impl Future<Output = Result<(), HandshakeError>> + Send
    where
        S: AsyncRead + AsyncWrite + Unpin + Send;
}

/// The transport of one plane (or of a probe). Its connections come out with the peer's key proved and the handshake
/// done.
pub(crate) fn transport<H: Conversation>(
    keypair: &Keypair,
    context: Arc<H>,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, noise::Error> {
    // A consensus message must not wait for Nagle's algorithm.
    let tcp = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true).listen_backlog(LISTEN_BACKLOG));
    Ok(tcp
        .upgrade(Version::V1)
        .authenticate(noise::Config::new(keypair)?)
        .multiplex_ext(move |peer: &PeerId, endpoint: &ConnectedPoint| Upgrade {
            context: Arc::clone(&context),
            peer: *peer,
            remote: endpoint.get_remote_address().clone(),
        })
        .timeout(CONNECTION_SETUP_TIMEOUT)
        .boxed())
}

/// The upgrade from an authenticated connection to a multiplexed one, by way of the handshake.
struct Upgrade<H> {
    context: Arc<H>,
    peer: PeerId,
    remote: Multiaddr,
}

impl<H> Clone for Upgrade<H> {
    fn clone(&self) -> Self {
        Self { context: Arc::clone(&self.context), peer: self.peer, remote: self.remote.clone() }
    }
}

/// The multiplexer's own name; it is not negotiated, since the handshake's version implies it.
const YAMUX: &str = "/yamux/1.0.0";

fn yamux_config() -> yamux::Config {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(STREAMS_PER_CONNECTION_MAX);
    config
}

impl<H> UpgradeInfo for Upgrade<H> {
    type Info = &'static str;
    type InfoIter = std::iter::Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once(HANDSHAKE)
    }
}

impl<C, H> InboundConnectionUpgrade<C> for Upgrade<H>
where
    H: Conversation,
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = yamux::Muxer<C>;
    type Error = HandshakeError;
    type Future = BoxFuture<'static, Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, mut stream: C, _: Self::Info) -> Self::Future {
        async move {
            self.context.hold(&mut stream, self.peer, &self.remote).await?;
            Ok(yamux_config().upgrade_inbound(stream, YAMUX).await?)
        }
        .boxed()
    }
}

impl<C, H> OutboundConnectionUpgrade<C> for Upgrade<H>
where
    H: Conversation,
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = yamux::Muxer<C>;
    type Error = HandshakeError;
    type Future = BoxFuture<'static, Result<Self::Output, Self::Error>>;

    fn upgrade_outbound(self, mut stream: C, _: Self::Info) -> Self::Future {
        async move {
            self.context.hold(&mut stream, self.peer, &self.remote).await?;
            Ok(yamux_config().upgrade_outbound(stream, YAMUX).await?)
        }
        .boxed()
    }
}
