//! Dialling the node of an institution that is not registered yet, on a stranger's word. So that nobody makes a member's
//! node look at others' ports, the outcome is yes or no: yes only where the applied key was proved by Noise; and hosts of
//! the dialling node's own machine or site are left alone unless it is permitted to dial them.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use libp2p::core::Endpoint;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, DialOpts, ListenerId, PortUse, TransportEvent};
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId, Transport};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use zeroize::Zeroizing;

use crate::address::{ip_of, resolve};
use crate::handshake::HandshakeError;
use crate::identity::{keypair_of, public_key_of};
use crate::reach::is_plain;
use crate::transport::{Conversation, transport};

/// How long one that dials may take to prove its key where a port is held open for it.
const PROVING_PATIENCE: Duration = Duration::from_secs(5);

/// Hosts of the own machine and site that may be dialled on a stranger's word; public ones always may.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DialTargets {
    /// This machine.
    pub loopback: bool,
    /// Networks of a site: RFC 1918, RFC 6598, RFC 4193.
    pub private: bool,
    /// Networks of a cable: RFC 3927, RFC 4291.
    pub link_local: bool,
}

impl DialTargets {
    /// All hosts.
    pub const ALL: Self = Self { loopback: true, private: true, link_local: true };

    /// The kinds of host that a node listens on itself: its peers are of the same kind.
    pub fn of_listening<'a>(addresses: impl IntoIterator<Item = &'a Multiaddr>) -> Self {
        let kinds = addresses.into_iter().filter_map(ip_of).map(kind_of);
        kinds.fold(Self::default(), |so_far, kind| Self {
            loopback: so_far.loopback || kind.loopback,
            private: so_far.private || kind.private,
            link_local: so_far.link_local || kind.link_local,
        })
    }

    fn permits(self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let kind = kind_of(ip);
        let is_nobody = match ip {
            IpAddr::V4(ip) => ip.octets()[0] == 0 || ip.is_broadcast() || ip.is_multicast(),
            IpAddr::V6(ip) => ip.is_unspecified() || ip.is_multicast(),
        };
        !is_nobody
            && (self.loopback || !kind.loopback)
            && (self.private || !kind.private)
            && (self.link_local || !kind.link_local)
    }
}

/// What of the own machine and site an address is; nothing of it for public ones.
fn kind_of(ip: IpAddr) -> DialTargets {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            // 100.64.0.0/10, which carriers share (RFC 6598).
            let [first, second, ..] = ip.octets();
            let is_shared = first == 100 && second & 0xc0 == 64;
            DialTargets {
                loopback: ip.is_loopback(),
                private: ip.is_private() || is_shared,
                link_local: ip.is_link_local(),
            }
        }
        IpAddr::V6(ip) => DialTargets {
            loopback: ip.is_loopback(),
            private: ip.is_unique_local(),
            link_local: ip.is_unicast_link_local(),
        },
    }
}

/// Whether a node that holds `key` answers at `address`. A no takes `limit`, whatever the reason, so that it tells nothing
/// about the host.
pub async fn dial_applicant(address: &Multiaddr, key: &[u8; 32], targets: DialTargets, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    if timeout_at(deadline, answers(address, key, targets)).await.unwrap_or(false) {
        return true;
    }
    sleep_until(deadline).await;
    false
}

async fn answers(address: &Multiaddr, key: &[u8; 32], targets: DialTargets) -> bool {
    if !is_plain(address) {
        return false;
    }
    // A key of the moment: the one that answers need not know who dials.
    let expected = Arc::new(Expected { key: *key, proved: AtomicBool::new(false) });
    let Ok(mut transport) = transport(&Keypair::generate_ed25519(), Arc::clone(&expected)) else { return false };
    for candidate in resolve(vec![address.clone()]).await {
        if !ip_of(&candidate).is_some_and(|ip| targets.permits(ip)) {
            continue;
        }
        let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
        if let Ok(dial) = transport.dial(candidate, options) {
            // Always an error: it ends once the key is proved.
            let _ = dial.await;
        }
        if expected.proved.load(Ordering::Relaxed) {
            return true;
        }
    }
    false
}

/// The dialling side: looks at the key that Noise proved, and says nothing.
struct Expected {
    key: [u8; 32],
    proved: AtomicBool,
}

impl Conversation for Expected {
    async fn hold<S>(&self, _: &mut S, peer: PeerId, _: &Multiaddr) -> Result<(), HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        if public_key_of(&peer).is_ok_and(|key| key == self.key) {
            self.proved.store(true, Ordering::Relaxed);
        }
        Err(HandshakeError::Probed)
    }
}

/// A port that a node which does not run yet holds open to be dialled: it proves the node's key to all who come, and
/// nothing else.
pub struct DialledPort(Boxed<(PeerId, StreamMuxerBox)>);

impl DialledPort {
    /// Opens it.
    ///
    /// # Errors
    /// In words for people, when the port or the key cannot be used.
    pub async fn open(listen: &Multiaddr, node_key: &Zeroizing<[u8; 32]>) -> Result<Self, String> {
        let keypair = keypair_of(node_key).map_err(|error| error.to_string())?;
        let transport = transport(&keypair, Arc::new(Proving)).map_err(|error| error.to_string())?;
        let mut port = Self(transport);
        let failed = |reason: &dyn std::fmt::Display| format!("{listen}: {reason}");
        port.0.listen_on(ListenerId::next(), listen.clone()).map_err(|error| failed(&error))?;
        match timeout(PROVING_PATIENCE, port.next()).await {
            Ok(TransportEvent::NewAddress { .. }) => Ok(port),
            Ok(TransportEvent::ListenerError { error, .. }) => Err(failed(&error)),
            Ok(_) | Err(_) => Err(failed(&"the port does not open")),
        }
    }

    async fn next(
        &mut self,
    ) -> TransportEvent<<Boxed<(PeerId, StreamMuxerBox)> as Transport>::ListenerUpgrade, std::io::Error> {
        std::future::poll_fn(|context| Pin::new(&mut self.0).poll(context)).await
    }

    /// Proves the key to all who come, one after the other, until `done` is; gives what that gives.
    pub async fn serve_until<T>(mut self, done: impl Future<Output = T>) -> T {
        let mut done = std::pin::pin!(done);
        loop {
            tokio::select! {
                outcome = &mut done => return outcome,
                event = self.next() => {
                    let TransportEvent::Incoming { upgrade, .. } = event else { continue };
                    tokio::select! {
                        outcome = &mut done => return outcome,
                        // Always an error: it ends once the key is proved.
                        _ = timeout(PROVING_PATIENCE, upgrade) => {}
                    }
                }
            }
        }
    }
}

/// The dialled side: waits until the other has gone.
struct Proving;

impl Conversation for Proving {
    async fn hold<S>(&self, stream: &mut S, _: PeerId, _: &Multiaddr) -> Result<(), HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let _ = timeout(PROVING_PATIENCE, stream.read(&mut [0; 1])).await;
        Err(HandshakeError::Probed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::tcp_address;

    const LIMIT: Duration = Duration::from_secs(2);

    fn seed(byte: u8) -> Zeroizing<[u8; 32]> {
        Zeroizing::new([byte; 32])
    }

    fn key(byte: u8) -> [u8; 32] {
        keypair_of(&seed(byte)).unwrap().public().try_into_ed25519().unwrap().to_bytes()
    }

    /// An address that nobody has.
    async fn free() -> Multiaddr {
        tcp_address(tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap())
    }

    #[tokio::test]
    async fn only_the_holder_of_the_applied_key_is_a_yes() {
        let address = free().await;
        let port = DialledPort::open(&address, &seed(7)).await.unwrap();
        let short = Duration::from_millis(500);
        let (right, wrong, not_permitted) = port
            .serve_until(async {
                let right = dial_applicant(&address, &key(7), DialTargets::ALL, Duration::from_secs(20)).await;
                let wrong = dial_applicant(&address, &key(8), DialTargets::ALL, LIMIT).await;
                let not_permitted = dial_applicant(&address, &key(7), DialTargets::default(), short).await;
                (right, wrong, not_permitted)
            })
            .await;
        assert!(right);
        assert!(!wrong, "another key answers");
        assert!(!not_permitted, "this machine is nobody's business");
    }

    #[tokio::test]
    async fn open_closed_and_silent_ports_look_alike() {
        let open = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = (tcp_address(open.local_addr().unwrap()), open);
        for address in [&open.0, &free().await, &"/ip4/127.0.0.1/udp/7".parse().unwrap()] {
            let started = Instant::now();
            assert!(!dial_applicant(address, &key(7), DialTargets::ALL, Duration::from_millis(300)).await);
            assert!(started.elapsed() >= Duration::from_millis(300), "{address}");
        }
    }

    #[test]
    fn a_node_dials_the_kinds_of_host_that_it_listens_on_itself() {
        let of = |text: &str| DialTargets::of_listening([&text.parse().unwrap()]);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(of("/ip4/0.0.0.0/tcp/1"), DialTargets::default());
        assert_eq!(of("/ip4/127.0.0.1/tcp/1"), DialTargets { loopback: true, ..DialTargets::default() });
        assert_eq!(of("/ip4/10.1.2.3/tcp/1"), DialTargets { private: true, ..DialTargets::default() });
        for text in
            ["127.0.0.1", "10.0.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "::1", "fe80::1", "fd00::1"]
        {
            assert!(!DialTargets::default().permits(ip(text)), "{text}");
            assert!(DialTargets::ALL.permits(ip(text)), "{text}");
        }
        assert!(!DialTargets::default().permits(ip("::ffff:127.0.0.1")), "the same host, written otherwise");
        for text in ["0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "::", "ff02::1"] {
            assert!(!DialTargets::ALL.permits(ip(text)), "{text}");
        }
        assert!(DialTargets::default().permits(ip("203.0.113.7")) && DialTargets::default().permits(ip("2001:db8::1")));
    }
}
