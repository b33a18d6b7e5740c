use std::path::PathBuf;

use galen_client::ClientError;
use galen_testnet::TestnetError;

/// Why a measurement failed. The code is stable.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A number that does not go.
    #[error("{0}")]
    Options(String),
    /// The testnet.
    #[error(transparent)]
    Testnet(#[from] TestnetError),
    /// A node's answer while preparing.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A file.
    #[error("{path}: {cause}")]
    File {
        /// Which.
        path: PathBuf,
        /// The system's words.
        cause: std::io::Error,
    },
    /// A record of receipts that is none.
    #[error("{path}, line {line}: {cause}")]
    Record {
        /// Which.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        cause: String,
    },
    /// Nodes that do not have the same chain, or not what was acknowledged.
    #[error("{0}")]
    Disagreement(String),
    /// The chain does not go on, or goes on where it must not.
    #[error("{0}")]
    Stalled(String),
    /// Not one transaction was acknowledged.
    #[error("no transaction was acknowledged; the first failure: {0}")]
    NothingDone(String),
}

impl BenchError {
    /// A stable name.
    pub fn code(&self) -> &str {
        match self {
            Self::Options(_) => "bench-options",
            Self::Testnet(error) => error.code(),
            Self::Client(error) => error.code(),
            Self::File { .. } => "bench-file",
            Self::Record { .. } => "bench-record",
            Self::Disagreement(_) => "bench-disagreement",
            Self::Stalled(_) => "bench-stalled",
            Self::NothingDone(_) => "bench-nothing-done",
        }
    }
}
