//! Running a node until it is told to stop.

use tokio::signal::unix::{SignalKind, signal};

use crate::config::{ConfigError, NodeConfig};
use crate::home::NodeHome;
use crate::operate::join;
use crate::runtime::fatal::Fatal;
use crate::runtime::{Node, RunOptions, StartError};
use crate::telemetry::{self, TelemetryError};

/// Why a node ended. The code is stable.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Its configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It cannot log.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// It cannot be told to stop.
    #[error("signals cannot be received: {0}")]
    Signals(std::io::Error),
    /// It stopped by itself rather than break a promise.
    #[error("the node stopped: {0}")]
    Fatal(Fatal),
}

impl RunError {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Start(error) => error.code(),
            Self::Config(error) => error.code(),
            Self::Telemetry(error) => error.code(),
            Self::Signals(_) => "signals",
            Self::Fatal(fatal) => fatal.code,
        }
    }
}

/// Runs the node of a home until SIGTERM or SIGINT, or until a fault stops it.
///
/// # Errors
/// [`RunError`] when it does not start, or a fault stopped it.
pub async fn run(home: &NodeHome, options: RunOptions) -> Result<(), RunError> {
    let config = NodeConfig::load(home)?;
    telemetry::start(&config.log)?;
    raise_open_files_limit();
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    // May take days: the members vote.
    tokio::select! {
        _ = terminate.recv() => {
            tracing::info!("told to stop before it was admitted");
            return Ok(());
        }
        _ = interrupt.recv() => {
            tracing::info!("interrupted before it was admitted");
            return Ok(());
        }
        prepared = join::prepare(home, &config.node) => prepared.map_err(StartError::from)?,
    }
    let node = Node::start_with(home, options).await?;
    tokio::select! {
        _ = terminate.recv() => tracing::info!("told to stop"),
        _ = interrupt.recv() => tracing::info!("interrupted"),
        _ = node.failed() => {}
    }
    match node.stop().await {
        Some(fatal) => Err(RunError::Fatal(fatal)),
        None => Ok(()),
    }
}

/// Asks for as many open files as the system allows: connections and the chain's store need them, and the usual soft
/// limit of 1,024 is meant for programs that use `select`.
fn raise_open_files_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map(|()| hard));
    match raised {
        Ok(limit) => tracing::debug!(limit, "open files limit"),
        Err(error) => tracing::warn!(%error, "the open files limit cannot be raised"),
    }
}
