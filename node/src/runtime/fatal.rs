//! The end of a node that can no longer keep its promises. A node that cannot write its disk, or finds its state in
//! contradiction with a quorum, stops rather than lies: every thread reports here, the first report wins.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// Why a node stopped by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fatal {
    /// A stable name.
    pub code: &'static str,
    /// What happened and what to do.
    pub message: String,
}

/// Where threads report, and where they see that it is time to stop.
#[derive(Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
    cause: Arc<Mutex<Option<Fatal>>>,
}

impl Shutdown {
    /// Stops the node because of a fault.
    pub fn fail(&self, code: &'static str, message: impl fmt::Display) {
        let message = message.to_string();
        tracing::error!(code, %message, "the node stops");
        let mut cause = self.cause.lock().unwrap_or_else(PoisonError::into_inner);
        cause.get_or_insert(Fatal { code, message });
        drop(cause);
        self.token.cancel();
    }

    /// Stops the node because it was asked to.
    pub fn stop(&self) {
        self.token.cancel();
    }

    /// Whether the node stops.
    pub fn is_stopping(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Cancelled when the node stops.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Waits until the node stops.
    pub async fn stopping(&self) {
        self.token.cancelled().await;
    }

    /// The fault, if one stopped the node.
    pub fn cause(&self) -> Option<Fatal> {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
