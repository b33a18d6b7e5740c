//! Whether a node can be reached by others. A node asks a peer to dial it back; the peer tries a TCP connection to the
//! addresses that the asking node is REGISTERED with, never to an address in the question, and says what it met.
//!
//! ```text
//!  asking side:     (opens the stream, says nothing)
//!  answering side:  length u32 | 0 u8             (reached)
//!                   length u32 | 1 u8 | Refusal   (not reached, or not tried)
//! ```

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::AsyncWriteExt;
use galen_types::{Encoding, NodeName};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::Stream;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::access::{LEAVING, LEAVING_TEXT};
use crate::address::{ip_of, port_of, resolve};
use crate::error::RequestError;
use crate::frame::{read_frame, write_frame};
use crate::limits::{DIAL_BACK_ANSWER_TIMEOUT, DIAL_BACK_INTERVAL, DIAL_BACK_TIMEOUT};
use crate::refusal::{REFUSAL_BYTES_MAX, Refusal};
use crate::session::Session;
use crate::shared::Shared;

const REACHED: u8 = 0;
const NOT_REACHED: u8 = 1;

/// Whether an address is a host's, by number or name, and a TCP port.
pub(crate) fn is_plain(address: &Multiaddr) -> bool {
    address.iter().count() == 2
        && matches!(
            address.iter().next(),
            Some(Protocol::Ip4(_) | Protocol::Ip6(_) | Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_))
        )
        && port_of(address).is_some_and(|port| port != 0)
}

/// Tries a TCP connection to an address and closes it again; says nothing over it. Of a host name, each IP address is
/// tried. Takes at most `limit`.
///
/// # Errors
/// What went wrong, in words for people. Addresses other than plain `/ip4|ip6|dns|dns4|dns6/HOST/tcp/PORT`, port 0, and
/// hosts that are nobody's (unspecified, multicast, broadcast) are refused without being tried.
async fn dial_check(address: &Multiaddr, limit: Duration) -> Result<(), String> {
    if !is_plain(address) {
        return Err(format!("{address} is not a plain TCP address like /dns/harlem.example.org/tcp/7000"));
    }
    let try_each = async {
        let mut met = format!("{address}: the host name is not known");
        for candidate in resolve(vec![address.clone()]).await {
            match connect(&candidate).await {
                Ok(()) => return Ok(()),
                Err(reason) => met = reason,
            }
        }
        Err(met)
    };
    timeout(limit, try_each)
        .await
        .unwrap_or_else(|_| Err(format!("{address}: no answer within {} ms", limit.as_millis())))
}

/// Connects to an address whose host is an IP address, and closes again.
pub(crate) async fn connect(address: &Multiaddr) -> Result<(), String> {
    let (Some(ip), Some(port)) = (ip_of(address), port_of(address)) else {
        return Err(format!("{address} is no TCP address"));
    };
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    if ip.is_unspecified() || ip.is_multicast() || is_broadcast {
        return Err(format!("{address} is no host's address"));
    }
    TcpStream::connect((ip, port)).await.map(drop).map_err(|error| format!("{address}: {error}"))
}

/// Asks a peer to dial this node back.
pub(crate) async fn ask(shared: &Shared, node: &NodeName) -> Result<(), RequestError> {
    let session = shared.session(node).ok_or_else(|| RequestError::NotConnected(node.clone()))?;
    if session.is_restricted() {
        return Err(RequestError::of_end(&session));
    }
    let broken = |reason: &dyn std::fmt::Display| RequestError::Broken(reason.to_string());
    let ask = async {
        let mut stream = shared
            .control
            .open(session.peer, shared.protocols.dial_back.clone())
            .await
            .map_err(|error| RequestError::of_open(error, node))?;
        let answer = read_frame(&mut stream, REFUSAL_BYTES_MAX + 1).await.map_err(|error| broken(&error))?;
        match answer.as_deref().and_then(<[u8]>::split_first) {
            Some((&REACHED, _)) => Ok(()),
            Some((&NOT_REACHED, refusal)) => Err(RequestError::Refused(Refusal::read(refusal))),
            _ => Err(broken(&"the peer gave no answer")),
        }
    };
    tokio::select! {
        answer = timeout(DIAL_BACK_ANSWER_TIMEOUT, ask) => {
            answer.unwrap_or_else(|_| Err(RequestError::Deadline(node.clone())))
        }
        () = session.full().cancelled() => Err(RequestError::of_end(&session)),
    }
}

/// Dials the asking peer back.
pub(crate) async fn serve(shared: Arc<Shared>, session: Arc<Session>, mut stream: Stream) {
    let mut wire = Vec::new();
    let tried = match session.full().run_until_cancelled(try_registered(&shared, &session)).await {
        Some(tried) => tried,
        None => Err(Refusal::new(LEAVING, LEAVING_TEXT)),
    };
    match tried {
        Ok(()) => wire.push(REACHED),
        Err(refusal) => {
            wire.push(NOT_REACHED);
            wire.extend(refusal.encode());
        }
    }
    let answer = async {
        write_frame(&mut stream, &wire).await?;
        stream.close().await
    };
    if !matches!(timeout(DIAL_BACK_TIMEOUT, answer).await, Ok(Ok(()))) {
        tracing::trace!(node = %session.node, "the outcome of a dial-back was not taken");
    }
}

async fn try_registered(shared: &Shared, session: &Session) -> Result<(), Refusal> {
    let index = shared.registry.current();
    let addresses = index.registry.get(&session.node).map(|(_, peer)| peer.addresses.clone()).unwrap_or_default();
    if addresses.is_empty() {
        return Err(Refusal::new("no-address", "your node is registered without an address that can be dialled"));
    }
    if !shared.book.may_dial_back(session.peer, Instant::now()) {
        return Err(Refusal::new(
            "dial-back-too-soon",
            format_args!("ask again after {} s, or ask another node", DIAL_BACK_INTERVAL.as_secs()),
        ));
    }
    let mut met = Vec::new();
    for address in addresses {
        // A registered address may end in the peer's id, which says nothing about where to dial.
        let plain: Multiaddr = address.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect();
        match dial_check(&plain, DIAL_BACK_TIMEOUT).await {
            Ok(()) => return Ok(()),
            Err(reason) => met.push(reason),
        }
    }
    Err(Refusal::new("unreachable", met.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(text: &str) -> Result<(), String> {
        dial_check(&text.parse().unwrap(), Duration::from_secs(5)).await
    }

    #[tokio::test]
    async fn an_open_port_is_reached_and_a_closed_one_is_named() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        check(&format!("/ip4/127.0.0.1/tcp/{port}")).await.unwrap();
        check(&format!("/dns4/localhost/tcp/{port}")).await.unwrap();
        drop(listener);
        let error = check(&format!("/ip4/127.0.0.1/tcp/{port}")).await.unwrap_err();
        assert!(error.contains(&format!("/ip4/127.0.0.1/tcp/{port}")), "{error}");
    }

    #[tokio::test]
    async fn what_is_not_plain_tcp_is_not_tried() {
        for text in [
            "/memory/1",
            "/ip4/127.0.0.1/udp/7000",
            "/ip4/127.0.0.1/tcp/0",
            "/ip4/127.0.0.1/tcp/7000/ws",
            "/ip4/127.0.0.1/tcp/7000/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN",
            "/unix/tmp",
        ] {
            assert!(check(text).await.unwrap_err().contains("plain TCP"), "{text}");
        }
        for text in
            ["/ip4/0.0.0.0/tcp/7000", "/ip4/224.0.0.1/tcp/7000", "/ip4/255.255.255.255/tcp/7000", "/ip6/::/tcp/7000"]
        {
            assert!(check(text).await.unwrap_err().contains("no host's address"), "{text}");
        }
    }
}
