//! The end of a node that can no longer keep its promises. A node that cannot write its disk, or finds its state in
//! contradiction with a quorum, stops rather than lies: every thread reports here, the first report wins.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use galen_consensus::LogEnd;
use galen_ledger::install::Built;
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

/// Why a node starts itself anew within its process.
#[derive(Clone)]
pub(crate) enum Restart {
    /// What the chain says about this node asks for other threads than those that run.
    Part(String),
    /// It may not order under its number any more: given up before the next start.
    Stale {
        /// The number.
        raft_id: u64,
        /// Where its log ends.
        log_end: LogEnd,
        /// How that is known.
        why: String,
    },
    /// Ordering goes on without it: its number is given up before the next start.
    Retired {
        /// The number.
        raft_id: u64,
        /// Where its log ends.
        log_end: LogEnd,
        /// How that is known.
        why: String,
    },
    /// A ledger was built from a snapshot: put in place before the next start.
    Snapshot(Arc<Mutex<Option<Built>>>),
    /// Stored bytes have rotted, which is noted down: the next start repairs them.
    Damaged(String),
    /// A quorum certified another header than this node computed: its ledger is checked before the next start, which comes
    /// only if that explains it.
    Contradicted(Fatal),
}

impl fmt::Display for Restart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Part(why) => formatter.write_str(why),
            Self::Stale { raft_id, why, .. } => write!(formatter, "it may not order under its number {raft_id}: {why}"),
            Self::Retired { raft_id, why, .. } => write!(formatter, "it gives up its number {raft_id}: {why}"),
            Self::Snapshot(_) => formatter.write_str("a snapshot of the ledger is here whole"),
            Self::Damaged(what) => formatter.write_str(what),
            Self::Contradicted(fatal) => write!(formatter, "its ledger is checked: {fatal}"),
        }
    }
}

/// Where threads report, and where they see that it is time to stop.
#[derive(Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
    cause: Arc<Mutex<Option<Fatal>>>,
    restart: Arc<Mutex<Option<Restart>>>,
}

impl Shutdown {
    /// Stops the node because of a fault.
    pub fn fail(&self, code: &'static str, message: impl fmt::Display) {
        let message = message.to_string();
        if matches!(self.restart_wanted(), Some(Restart::Damaged(_))) {
            // What fails now fails because of the damage, or does not matter any more.
            tracing::warn!(code, %message, "this failed while the node stops for its damage");
            return self.token.cancel();
        }
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

    /// Stops the node to start it anew.
    pub(crate) fn restart(&self, why: Restart) {
        tracing::info!(%why, "the node starts anew within its process");
        self.restart.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        self.token.cancel();
    }

    /// Why it is to start anew, if it is.
    pub(crate) fn restart_wanted(&self) -> Option<Restart> {
        self.restart.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
