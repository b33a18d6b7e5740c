//! What can go wrong with a node, and with looking at it.

use std::path::PathBuf;

use galen_bench::BenchError;
use galen_client::ClientError;
use galen_testnet::TestnetError;
use galen_types::TransactionId;

use crate::trace::TraceError;

/// A promise that a node broke.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It does not start, though it must.
    #[error("the node does not start: {0}")]
    DoesNotStart(String),
    /// It panicked.
    #[error("the node panicked: {0}")]
    Panicked(String),
    /// It stopped and says no cause by name.
    #[error("the node stopped without a named cause ({status}): {said}")]
    NoCause {
        /// Its exit status.
        status: String,
        /// The end of its log.
        said: String,
    },
    /// It neither works nor stops.
    #[error("the node neither answers nor stops: {0}")]
    Hangs(String),
    /// It forgot what it acknowledged.
    #[error("lost: {id} was acknowledged at height {height}, place {index}; now the node says {now}")]
    Lost {
        /// The transaction.
        id: TransactionId,
        /// The block that the receipt named.
        height: u64,
        /// Its place there.
        index: u32,
        /// What the node says now.
        now: String,
    },
    /// A file that it took is damaged or gone.
    #[error("the file of {dataset} is not whole any more: {now}")]
    FileLost {
        /// The dataset.
        dataset: String,
        /// What the node says now.
        now: String,
    },
    /// It takes nothing new.
    #[error("the node takes no new transaction: {0}")]
    Stuck(String),
    /// Its ledger does not verify.
    #[error("`galen ledger verify` says: {0}")]
    Unsound(String),
    /// A command cannot be completed.
    #[error("`{command}` cannot be completed: {said}")]
    Command {
        /// The command.
        command: String,
        /// What it says.
        said: String,
    },
}

/// Why a point was not tried.
#[derive(Debug, thiserror::Error)]
pub enum LifeError {
    /// The tracer.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The consortium cannot be made.
    #[error(transparent)]
    Testnet(#[from] TestnetError),
    /// The load cannot be made.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// A request that must succeed did not.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A file of the harness.
    #[error("{path}: {cause}")]
    File {
        /// Which.
        path: PathBuf,
        /// The system's words.
        cause: std::io::Error,
    },
    /// The undisturbed life already fails.
    #[error("the undisturbed life fails: {0}")]
    Fault(#[from] Fault),
}

impl LifeError {
    pub(crate) fn file(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |cause| Self::File { path, cause }
    }
}
