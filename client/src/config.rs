//! What a client is made with, and how the HTTP connection is set up from it.

use std::path::PathBuf;
use std::time::Duration;

use galen_keys::KeyPair;
use galen_types::api::Consistency;
use galen_types::{AccountName, Hash};
use reqwest::Url;

use crate::error::ClientError;

/// What a [`Client`](crate::Client) is made with.
#[derive(Debug)]
pub struct ClientConfig {
    /// The node, e.g. `http://127.0.0.1:7201` or `https://node-1.harlem.example`; without a path.
    pub base_url: String,
    /// Whose requests these are; without it only what is open to everyone can be asked.
    pub account: Option<(AccountName, KeyPair)>,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// PEM file of the certificate authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Permits `http://` to other machines; what is sent can then be read and changed on the way.
    pub plain_http_allowed: bool,
    /// The chain to speak with; a node of another one is refused. Without it the node's word is taken.
    pub genesis: Option<Hash>,
    /// How old answers about the chain may be. A linearizable read that no quorum confirms in time is refused with a
    /// problem of status 503.
    pub consistency: Consistency,
    /// Told once, in words for a person, when a transaction waits longer than usual, and why.
    pub notice: Option<fn(&str)>,
}

impl ClientConfig {
    /// A client of a node, with no account and the usual timeouts.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            account: None,
            timeouts: Timeouts::default(),
            ca_file: None,
            plain_http_allowed: false,
            genesis: None,
            consistency: Consistency::Local,
            notice: None,
        }
    }

    /// The same, speaking for an account.
    #[must_use]
    pub fn with_account(mut self, name: AccountName, keys: KeyPair) -> Self {
        self.account = Some((name, keys));
        self
    }
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For a complete answer to an ordinary request.
    pub request: Duration,
    /// Between two reads of a stream (a file, events).
    pub read_idle: Duration,
    /// How long a transaction can be executed after it was signed; it is sent again until then.
    pub validity: Duration,
    /// How long a transaction is offered to a node that takes no connection, while it has never reached one.
    pub unreachable: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            request: Duration::from_secs(30),
            read_idle: Duration::from_secs(60),
            validity: Duration::from_secs(60),
            unreachable: Duration::from_secs(3),
        }
    }
}

/// Checks the node's address.
pub(crate) fn parse_base_url(text: &str, plain_http_allowed: bool) -> Result<(Url, bool), ClientError> {
    let wrong = |problem: &str| {
        ClientError::Configuration(format!(
            "`{text}` is not a node's address: {problem}; write it like http://127.0.0.1:7201"
        ))
    };
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    let loopback = match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        None => return Err(wrong("it names no host")),
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback || plain_http_allowed => {}
        "http" => {
            return Err(ClientError::Configuration(format!(
                "`{text}` is plain http to another machine; use https, or say --allow-plain-http (`plain_http_allowed`) where the network between is trusted"
            )));
        }
        _ => return Err(wrong("it starts neither with http:// nor https://")),
    }
    if url.path() != "/" || url.query().is_some() || !url.username().is_empty() {
        return Err(wrong("it has more than scheme, host and port"));
    }
    Ok((url, loopback))
}

/// Sets up the HTTP connection pool.
pub(crate) fn http_client(config: &ClientConfig, url: &Url, loopback: bool) -> Result<reqwest::Client, ClientError> {
    // A second installation fails harmlessly: the process keeps the provider that it has.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("galen-client/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(config.timeouts.connect)
        .read_timeout(config.timeouts.read_idle)
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .tcp_nodelay(true);
    if loopback {
        builder = builder.no_proxy();
    }
    if let Some(path) = &config.ca_file {
        let pem = std::fs::read(path).map_err(|source| ClientError::io(path, source))?;
        let roots = reqwest::Certificate::from_pem_bundle(&pem)
            .ok()
            .filter(|roots| !roots.is_empty())
            .ok_or_else(|| ClientError::Configuration(format!("`{}` holds no PEM certificate", path.display())))?;
        builder = builder.tls_certs_only(roots);
    } else if url.scheme() == "http" {
        // Without TLS the system's certificates are not looked for: a bare machine may have none.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| {
        ClientError::Configuration(format!(
            "the connection to `{url}` cannot be set up: {}",
            crate::error::chain(&error)
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_this_machine_unless_allowed() {
        for local in ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"] {
            assert!(parse_base_url(local, false).unwrap().1, "{local}");
        }
        assert!(parse_base_url("http://10.0.0.1:1", false).is_err());
        assert!(!parse_base_url("http://10.0.0.1:1", true).unwrap().1);
        assert!(parse_base_url("https://10.0.0.1", false).is_ok());
    }

    #[test]
    fn what_is_no_node_address_is_refused() {
        for wrong in ["127.0.0.1:7201", "ftp://127.0.0.1", "http://127.0.0.1/v1", "http://u@127.0.0.1", ""] {
            let error = parse_base_url(wrong, true).unwrap_err();
            assert_eq!(error.code(), "client-configuration", "{wrong}");
        }
    }
}
