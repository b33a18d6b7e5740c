use std::path::PathBuf;

use galen_client::ClientError;
use galen_keys::KeyError;
use galen_node::config::ConfigError;
use galen_types::NodeName;
use galen_types::genesis::GenesisError;

/// Why something about a testnet failed. The code is stable.
#[derive(Debug, thiserror::Error)]
pub enum TestnetError {
    /// A member's name, a number of nodes or a port that does not go.
    #[error("{0}")]
    Plan(String),
    /// There is no testnet in the folder.
    #[error("there is no testnet in {0}; make one with `galen testnet up`")]
    Absent(PathBuf),
    /// The folder holds a testnet of other members, ports or seed.
    #[error("{0} holds a testnet made with other options; use another --dir, or delete it with `galen testnet reset`")]
    OtherPlan(PathBuf),
    /// The folder holds something else.
    #[error("{0} is not empty and holds no testnet; choose another --dir")]
    Occupied(PathBuf),
    /// A node that is not part of it.
    #[error("there is no node `{name}` in this testnet; there are: {nodes}")]
    UnknownNode {
        /// As given.
        name: String,
        /// Those that are.
        nodes: String,
    },
    /// A file of the testnet.
    #[error("{path}: {cause}")]
    File {
        /// Which.
        path: PathBuf,
        /// The system's words.
        cause: std::io::Error,
    },
    /// A file of the testnet that was changed by hand.
    #[error("{path} is malformed: {cause}; restore it, or delete the testnet with `galen testnet reset`")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Where and why.
        cause: String,
    },
    /// A port that something else holds.
    #[error("port {0} on 127.0.0.1 is in use; choose other ports with --port, or end what holds it")]
    PortTaken(u16),
    /// A node that ended instead of starting.
    #[error("node {node} ended while starting; the end of its log ({log}):\n{tail}")]
    Ended {
        /// Which.
        node: NodeName,
        /// Its log.
        log: PathBuf,
        /// The last lines.
        tail: String,
    },
    /// A node that does not get ready.
    #[error("node {node} is not ready after {seconds} s: {state}; its log is {log}")]
    NotReady {
        /// Which.
        node: NodeName,
        /// How long was waited.
        seconds: u64,
        /// What it says of itself.
        state: String,
        /// Its log.
        log: PathBuf,
    },
    /// The process could not be started or signalled.
    #[error("node {node}: {cause}")]
    Process {
        /// Which.
        node: NodeName,
        /// The system's words.
        cause: String,
    },
    /// Network namespaces, or what breaks the network in them.
    #[error(
        "`{command}`: {cause}; namespaces need root, the kernel's network namespaces and Debian's package iproute2"
    )]
    Isolation {
        /// What was to be done.
        command: String,
        /// The tool's or the system's words.
        cause: String,
    },
    /// A fault that needs namespaces, on a testnet without.
    #[error("{0} needs nodes in network namespaces; make the testnet with `galen testnet up --isolated`")]
    NotIsolated(&'static str),
    /// A disk cannot be made slow here.
    #[error("the disk of {node} cannot be made slow: {cause}")]
    SlowDisk {
        /// Whose.
        node: NodeName,
        /// What is missing, or the system's words.
        cause: String,
    },
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers: {0}")]
    Random(String),
    /// A key file.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The founding document.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// A node's configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A node's answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A member did not join or leave as it should.
    #[error("the change of membership stopped at `{step}`: {problem}")]
    Membership {
        /// The step.
        step: &'static str,
        /// How it is.
        problem: String,
    },
    /// The main job did not come out as it must.
    #[error("the main job went wrong at `{step}`: {problem}")]
    Demo {
        /// The step.
        step: &'static str,
        /// What was expected and what came.
        problem: String,
    },
}

impl TestnetError {
    /// A stable name.
    pub fn code(&self) -> &str {
        match self {
            Self::Plan(_) => "testnet-plan",
            Self::Absent(_) => "testnet-absent",
            Self::OtherPlan(_) => "testnet-other-plan",
            Self::Occupied(_) => "testnet-occupied",
            Self::UnknownNode { .. } => "testnet-unknown-node",
            Self::File { .. } => "testnet-file",
            Self::Malformed { .. } => "testnet-malformed",
            Self::PortTaken(_) => "testnet-port-taken",
            Self::Ended { .. } => "testnet-node-ended",
            Self::NotReady { .. } => "testnet-node-not-ready",
            Self::Process { .. } => "testnet-process",
            Self::Isolation { .. } => "testnet-isolation",
            Self::NotIsolated(_) => "testnet-not-isolated",
            Self::SlowDisk { .. } => "testnet-slow-disk",
            Self::Random(_) => "testnet-random",
            Self::Key(error) => error.code(),
            Self::Genesis(error) => error.code(),
            Self::Config(error) => error.code(),
            Self::Client(error) => error.code(),
            Self::Membership { .. } => "testnet-membership",
            Self::Demo { .. } => "testnet-demo",
        }
    }

    /// A file's error.
    pub(crate) fn file(path: impl Into<PathBuf>, cause: std::io::Error) -> Self {
        Self::File { path: path.into(), cause }
    }
}
