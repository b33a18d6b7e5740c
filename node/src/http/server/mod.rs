//! The accept loop. warp has no TLS, header timeout, connection cap or keep-alive control, so connections are ours: hyper's
//! HTTP/1.1 engine with a timer, below warp's filters as the service.
//!
//! One task accepts; one task a connection. A connection ends by its peer, by a limit of [`limits`](super::limits), by
//! eviction for a newcomer ([`slots`]), or by shutdown, which lets requests under way end.

mod connection;
mod guarded_io;
mod slots;
mod state;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use galen_types::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::app::App;
use super::limits::ACCEPT_ERROR_PAUSE;
use super::metrics::ConnectionEnd;
use super::refusal::Refusal;
use super::respond::bare_response;
pub(crate) use connection::Arrival;
pub(crate) use slots::source_of;
use slots::{Admission, SlotLimits, Slots};
pub use tls::{TlsError, TlsFiles};

/// The `[http]` table of a node's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSettings {
    /// Where to listen, e.g. `127.0.0.1:8101`.
    pub listen: SocketAddr,
    /// Where others reach it, e.g. `https://galen.harlem.example`: stands in invitations. Without it they name the host that
    /// the asking administrator used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// Needed unless `listen` is a loopback address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
}

/// Why the HTTP face cannot start.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Plain HTTP would leave the machine.
    #[error(
        "plain HTTP on {0} would send data unprotected over the network; set `certificate` and `key` under `[http.tls]`, or listen on a loopback address such as 127.0.0.1"
    )]
    PlainOffLoopback(SocketAddr),
    /// What is to stand in invitations is no address.
    #[error("`http.public_url` is `{0}`; write it like https://galen.harlem.example, without a path")]
    PublicUrl(String),
    /// Certificate or key do not serve.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The port cannot be had.
    #[error("cannot listen on {address}: {cause}; choose another port, or end the process that holds it")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        cause: io::Error,
    },
    /// What was handed over as the port's socket is none.
    #[error("standard input is no listening TCP socket: {0}; hand one over, or start without --http-on-stdin")]
    NoSocket(io::Error),
}

impl HttpError {
    /// A stable code for interfaces and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::PlainOffLoopback(_) => "http-plain-off-loopback",
            Self::PublicUrl(_) => "http-public-url",
            Self::Tls(error) => error.code(),
            Self::Listen { .. } => "http-listen",
            Self::NoSocket(_) => "http-no-socket",
        }
    }
}

/// Where the socket comes from on which HTTP is served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HttpSocket {
    /// Opened here, at the address of the configuration.
    #[default]
    Opened,
    /// Opened by whoever started this process, and handed over as standard input, listening: as inetd's `wait` services and
    /// systemd's units with `StandardInput=socket` get theirs. The starter may hold rights that this process lacks, or live
    /// in another network.
    Stdin,
}

impl HttpSocket {
    async fn listener(self, settings: &HttpSettings) -> Result<TcpListener, HttpError> {
        let adopted = match self {
            Self::Opened => {
                let error = |cause| HttpError::Listen { address: settings.listen, cause };
                return TcpListener::bind(settings.listen).await.map_err(error);
            }
            // A copy: standard input itself stays for the next start of the node in this process.
            Self::Stdin => io::stdin().as_fd().try_clone_to_owned().and_then(adopt),
        };
        adopted.map_err(HttpError::NoSocket)
    }
}

/// Takes over a socket that listens.
fn adopt(socket: OwnedFd) -> io::Result<TcpListener> {
    use nix::sys::socket::{getsockopt, sockopt};
    if !getsockopt(&socket, sockopt::AcceptConn)? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket does not listen"));
    }
    let listener = std::net::TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// A bound port; serves once it is given to [`serve`](super::serve).
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    public_url: Option<String>,
    tls: Option<TlsAcceptor>,
    slots: Arc<Slots>,
    bound: Timestamp,
}

impl Server {
    /// Takes the port.
    ///
    /// # Errors
    /// [`HttpError`] saying what to set.
    pub async fn bind(settings: &HttpSettings) -> Result<Self, HttpError> {
        Self::open(settings, HttpSocket::Opened).await
    }

    /// Takes the port from where `socket` says.
    ///
    /// # Errors
    /// [`HttpError`] saying what to set.
    pub async fn open(settings: &HttpSettings, socket: HttpSocket) -> Result<Self, HttpError> {
        let refuse_open_plain = |address: SocketAddr| match settings.tls {
            None if !address.ip().to_canonical().is_loopback() => Err(HttpError::PlainOffLoopback(address)),
            _ => Ok(()),
        };
        refuse_open_plain(settings.listen)?;
        let public_url = settings.public_url.as_deref().map(public_url).transpose()?;
        let tls = settings.tls.as_ref().map(TlsFiles::load).transpose()?.map(TlsAcceptor::from);
        let listener = socket.listener(settings).await?;
        let address = listener.local_addr().map_err(|cause| HttpError::Listen { address: settings.listen, cause })?;
        // A socket that was handed over may listen elsewhere than the settings say.
        refuse_open_plain(address)?;
        Ok(Self {
            listener,
            address,
            public_url,
            tls,
            slots: Slots::new(SlotLimits::of_process()),
            bound: Timestamp::now(),
        })
    }

    /// Where it listens; tells the port where the settings said 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// When the port was taken: nobody talked to this process before.
    pub(super) fn bound(&self) -> Timestamp {
        self.bound
    }

    /// Where others reach it, as far as the settings say.
    pub(super) fn public_url(&self) -> Option<&str> {
        self.public_url.as_deref()
    }

    /// Whether it speaks TLS.
    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// Serves until `shutdown` is cancelled, then lets requests under way end.
    pub(super) async fn run(self, app: Arc<App>, shutdown: CancellationToken) {
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = shutdown.cancelled() => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    app.metrics.accept_failed();
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_ERROR_PAUSE).await;
                    continue;
                }
            };
            let Admission::Admitted { slot, evicted } = self.slots.admit(peer.ip()) else {
                app.metrics.connection_refused();
                refuse(&stream, self.tls.is_some());
                continue;
            };
            app.metrics.connection_opened();
            if evicted {
                tracing::debug!(open = self.slots.count(), "an idle connection was closed for a new one");
            }
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection was gone at once");
                app.metrics.connection_ended(ConnectionEnd::Broken);
                continue;
            }
            let run = connection::run(stream, peer.ip(), self.tls.clone(), Arc::clone(&app), slot, shutdown.clone());
            connections.spawn(run);
        }
        drop(self.listener);
        connections.close();
        connections.wait().await;
    }
}

/// Whether a text is the authority of an address: host and perhaps port.
pub(crate) fn is_authority(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    (1..=255).contains(&text.len()) && text.bytes().all(allowed)
}

/// Checks `public_url`.
fn public_url(text: &str) -> Result<String, HttpError> {
    let url = text.trim_end_matches('/');
    let authority = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match authority {
        Some(authority) if is_authority(authority) => Ok(url.to_owned()),
        _ => Err(HttpError::PublicUrl(text.to_owned())),
    }
}

/// Says why, where that can be said without waiting, and closes.
fn refuse(stream: &TcpStream, secure: bool) {
    if !secure {
        // Best effort: a client whose buffer is full at its first byte is not one to wait for.
        let _ = stream.try_write(&bare_response(&Refusal::TooManyAtOnce("connections")));
    }
}

#[cfg(test)]
mod tests;
