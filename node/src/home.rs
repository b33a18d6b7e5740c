//! A node's home: the folder that holds its configuration, the genesis it belongs to, its key and its data.
//!
//! ```text
//!   node.toml        configuration            log/        ordering log
//!   genesis.toml     founding document        ledger/     chain and state
//!   keys/            the node's key file      files/      encrypted files and their keys
//!                                             jobs/       openings and results of compute jobs
//! ```

use std::path::{Path, PathBuf};

/// Paths inside a node's home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeHome {
    root: PathBuf,
}

impl NodeHome {
    /// The home at a folder.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The configuration.
    pub fn config(&self) -> PathBuf {
        self.root.join("node.toml")
    }

    /// The founding document.
    pub fn genesis(&self) -> PathBuf {
        self.root.join("genesis.toml")
    }

    /// The key files.
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// The ordering log.
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// Chain and state.
    pub fn ledger(&self) -> PathBuf {
        self.root.join("ledger")
    }

    /// Encrypted files and their keys.
    pub fn files(&self) -> PathBuf {
        self.root.join("files")
    }

    /// Openings and results of compute jobs.
    pub fn jobs(&self) -> PathBuf {
        self.root.join("jobs")
    }
}
