//! What can go wrong for callers.

use galen_types::NodeName;

use crate::access::LEAVING;
use crate::identity::IdentityError;
use crate::refusal::Refusal;
use crate::session::Session;
use crate::streams::OpenError;

/// Why the network did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The node's key is unusable.
    #[error("the node key cannot be used: {0}")]
    Key(#[from] IdentityError),
    /// No address to listen on was given for a plane.
    #[error("no {plane} address to listen on; set one, like 0.0.0.0:7000")]
    NoListenAddress {
        /// `control` or `bulk`.
        plane: &'static str,
    },
    /// An address could not be listened on.
    #[error("cannot listen on {address}: {reason}; is another process using the port?")]
    Listen {
        /// The address.
        address: String,
        /// The system's words.
        reason: String,
    },
    /// The parts of the network do not fit together; a defect, not a matter of configuration.
    #[error("the network cannot be set up: {0}")]
    Setup(String),
}

impl StartError {
    /// A stable code for interfaces and logs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Key(error) => error.code(),
            Self::NoListenAddress { .. } => "no-listen-address",
            Self::Listen { .. } => "cannot-listen",
            Self::Setup(_) => "network-setup",
        }
    }
}

/// Why a frame was not queued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The peer's queue is full; this frame was dropped.
    #[error("the queue to `{0}` is full; send again later")]
    Full(NodeName),
    /// No connection.
    #[error("`{0}` is not connected")]
    NotConnected(NodeName),
    /// The chain has removed the peer: only raft frames go to it.
    #[error("`{0}` leaves the consortium: only ordering goes on with it")]
    Leaving(NodeName),
    /// The frame is larger than its protocol allows.
    #[error("a frame of {length} bytes is larger than the {limit} allowed; send less at once")]
    TooLarge {
        /// Its bytes.
        length: usize,
        /// The protocol's limit, bytes.
        limit: usize,
    },
}

impl SendError {
    /// A stable code for interfaces and logs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Full(_) => "queue-full",
            Self::NotConnected(_) => "not-connected",
            Self::Leaving(_) => LEAVING,
            Self::TooLarge { .. } => "frame-oversize",
        }
    }
}

/// Why a request, or the opening of a file, failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No connection.
    #[error("`{0}` is not connected; try again when it is, or ask another node")]
    NotConnected(NodeName),
    /// The chain has removed the peer: nothing is asked of it.
    #[error("`{0}` leaves the consortium: ask another node")]
    Leaving(NodeName),
    /// Too many in progress to that peer.
    #[error("{limit} requests to `{node}` are in progress; wait for one of them")]
    Busy {
        /// The peer.
        node: NodeName,
        /// The limit.
        limit: usize,
    },
    /// The request is too large.
    #[error("a request of {length} bytes is larger than the {limit} allowed; ask for less at once")]
    TooLarge {
        /// Its bytes.
        length: usize,
        /// The limit, bytes.
        limit: usize,
    },
    /// The peer refused, with its reason.
    #[error("the peer refused: {0}")]
    Refused(Refusal),
    /// No answer in time.
    #[error("`{0}` did not answer in time; try again, or ask another node")]
    Deadline(NodeName),
    /// The stream broke, or the answer breaks the protocol.
    #[error("the answer did not come through: {0}; try again, or ask another node")]
    Broken(String),
}

impl RequestError {
    /// A stable code for interfaces and logs; of a refusal, the code that the peer gave.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::NotConnected(_) => "not-connected",
            Self::Leaving(_) => LEAVING,
            Self::Busy { .. } => "busy",
            Self::TooLarge { .. } => "request-oversize",
            Self::Refused(refusal) => refusal.code(),
            Self::Deadline(_) => "deadline",
            Self::Broken(_) => "stream-broken",
        }
    }

    /// Why a question ended before its answer came, or was not asked, when [`Session::full`] is cancelled.
    pub(crate) fn of_end(session: &Session) -> Self {
        let node = session.node.clone();
        if session.is_restricted() { Self::Leaving(node) } else { Self::NotConnected(node) }
    }

    pub(crate) fn of_open(error: OpenError, node: &NodeName) -> Self {
        match error {
            OpenError::NotConnected => Self::NotConnected(node.clone()),
            OpenError::Slow => Self::Deadline(node.clone()),
            other => Self::Broken(other.to_string()),
        }
    }
}

/// Why a message was not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Larger than its topic allows.
    #[error(
        "a message of {length} bytes is larger than the {limit} allowed on this topic; announce it and let peers pull it"
    )]
    TooLarge {
        /// Its bytes.
        length: usize,
        /// The topic's limit, bytes.
        limit: usize,
    },
    /// Too many messages wait to be published; this one was dropped.
    #[error("too many messages wait to be published; peers will pull what they miss")]
    Full,
    /// The network has shut down.
    #[error("the network has shut down")]
    Stopped,
}

impl PublishError {
    /// A stable code for interfaces and logs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "gossip-oversize",
            Self::Full => "queue-full",
            Self::Stopped => "network-stopped",
        }
    }
}
