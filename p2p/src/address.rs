//! Network addresses: what people write, what libp2p dials.

use std::net::{IpAddr, SocketAddr};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use crate::limits::RESOLVE_TIMEOUT;

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a node address; write host:port, like harlem.example.org:7000 or 10.0.0.4:7000")]
pub struct AddressError {
    /// What was given.
    pub text: String,
}

impl AddressError {
    /// A stable code for interfaces and logs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "node-address-invalid"
    }
}

/// Reads `10.0.0.4:7000`, `[::1]:7000`, `harlem.example.org:7000` or a libp2p address like `/ip4/10.0.0.4/tcp/7000`.
///
/// # Errors
/// [`AddressError`] when the text is none of these.
pub fn parse_address(text: &str) -> Result<Multiaddr, AddressError> {
    let error = || AddressError { text: text.chars().take(256).collect() };
    if text.starts_with('/') {
        let address: Multiaddr = text.parse().map_err(|_| error())?;
        return if Endpoint::of(&address).is_some() { Ok(address) } else { Err(error()) };
    }
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Ok(tcp_address(socket));
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(error)?;
    let port: u16 = port.parse().map_err(|_| error())?;
    let host_is_name = !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
    if !host_is_name {
        return Err(error());
    }
    Ok(Multiaddr::empty().with(Protocol::Dns(host.into())).with(Protocol::Tcp(port)))
}

/// `/ip4/…/tcp/…` of a socket address.
pub(crate) fn tcp_address(socket: SocketAddr) -> Multiaddr {
    Multiaddr::from(socket.ip()).with(Protocol::Tcp(socket.port()))
}

/// The IP address at the front of an address, if it has one.
pub(crate) fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => Some(ip.into()),
        Some(Protocol::Ip6(ip)) => Some(ip.into()),
        _ => None,
    }
}

/// The TCP port of an address.
pub(crate) fn port_of(address: &Multiaddr) -> Option<u16> {
    Endpoint::of(address).map(|endpoint| endpoint.port)
}

/// The same address with another TCP port, without a trailing peer id.
pub(crate) fn with_port(address: &Multiaddr, port: u16) -> Option<Multiaddr> {
    let host = address.iter().next()?;
    Endpoint::of(address)?;
    Some(Multiaddr::empty().with(host).with(Protocol::Tcp(port)))
}

/// Host and port of `/ip4|ip6|dns|dns4|dns6/HOST/tcp/PORT[/p2p/…]`.
struct Endpoint {
    host: Host,
    port: u16,
}

enum Host {
    Ip(IpAddr),
    Name { name: String, v4: bool, v6: bool },
}

impl Endpoint {
    fn of(address: &Multiaddr) -> Option<Self> {
        let mut parts = address.iter();
        let name = |name: &str, v4, v6| Host::Name { name: name.to_owned(), v4, v6 };
        let host = match parts.next()? {
            Protocol::Ip4(ip) => Host::Ip(ip.into()),
            Protocol::Ip6(ip) => Host::Ip(ip.into()),
            Protocol::Dns(text) => name(&text, true, true),
            Protocol::Dns4(text) => name(&text, true, false),
            Protocol::Dns6(text) => name(&text, false, true),
            _ => return None,
        };
        let Some(Protocol::Tcp(port)) = parts.next() else {
            return None;
        };
        match parts.next() {
            None | Some(Protocol::P2p(_)) => Some(Self { host, port }),
            Some(_) => None,
        }
    }
}

/// Turns host names into IP addresses by the operating system's resolver (so `/etc/hosts` counts), and leaves out what
/// cannot be dialled. Takes at most [`RESOLVE_TIMEOUT`] per name; a name that does not resolve is left out.
pub(crate) async fn resolve(addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
    let mut resolved = Vec::new();
    for address in addresses {
        let Some(Endpoint { host, port }) = Endpoint::of(&address) else {
            tracing::warn!(%address, code = "address-unsupported", "this address cannot be dialled; use tcp");
            continue;
        };
        match host {
            Host::Ip(ip) => resolved.push(tcp_address(SocketAddr::new(ip, port))),
            Host::Name { name, v4, v6 } => {
                match tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((name.as_str(), port))).await {
                    Ok(Ok(found)) => {
                        resolved.extend(found.filter(|socket| if socket.is_ipv4() { v4 } else { v6 }).map(tcp_address))
                    }
                    Ok(Err(error)) => {
                        tracing::debug!(%address, %error, code = "address-unresolved", "host name not resolved");
                    }
                    Err(_) => {
                        tracing::debug!(%address, code = "address-unresolved", "host name not resolved in time")
                    }
                }
            }
        }
    }
    resolved.dedup();
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_host_and_port() {
        for (text, expected) in [
            ("10.0.0.4:7000", "/ip4/10.0.0.4/tcp/7000"),
            ("[::1]:7000", "/ip6/::1/tcp/7000"),
            ("harlem.example.org:7000", "/dns/harlem.example.org/tcp/7000"),
            ("/dns4/harlem/tcp/7000", "/dns4/harlem/tcp/7000"),
        ] {
            assert_eq!(parse_address(text).unwrap().to_string(), expected);
        }
        for text in ["", "harlem", ":7000", "harlem:99999", "/ip4/10.0.0.4/udp/7000", "a b:1", "/memory/1"] {
            assert_eq!(parse_address(text).unwrap_err().code(), "node-address-invalid", "{text}");
        }
    }

    #[test]
    fn the_port_is_replaced_and_the_peer_id_left_out() {
        let address: Multiaddr = "/dns/harlem/tcp/7000".parse().unwrap();
        assert_eq!(with_port(&address, 7001).unwrap().to_string(), "/dns/harlem/tcp/7001");
        assert_eq!(with_port(&"/memory/4".parse().unwrap(), 7001), None);
    }

    #[tokio::test]
    async fn literal_addresses_need_no_resolver_and_unsupported_ones_are_left_out() {
        let addresses = vec!["/ip4/127.0.0.1/tcp/7".parse().unwrap(), "/memory/1".parse().unwrap()];
        assert_eq!(resolve(addresses).await, vec!["/ip4/127.0.0.1/tcp/7".parse::<Multiaddr>().unwrap()]);
    }
}
