//! Peers that a node is given when it joins, `peers.toml`: keys and addresses as they were then, used until its own
//! ledger has come that far.

use std::path::PathBuf;

use galen_types::api::BootstrapPeer;
use galen_types::member::{Node, Standing};
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, read_text};
use crate::home::NodeHome;
use crate::operate::files::{FileError, write_atomically};

/// Most bytes of the file: some thousand nodes.
const BYTES_MAX: u64 = 4 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    height: u64,
    peers: Vec<BootstrapPeer>,
}

/// Peers at a height.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrap {
    /// The height at which they were registered so.
    pub height: u64,
    /// They, as records.
    pub nodes: Vec<Node>,
    /// Whether this node's own ledger said so, before it rotted: then they count until the chain has come as far again.
    pub is_own: bool,
}

impl Bootstrap {
    /// Peers as a node gave them at a height.
    pub fn new(height: u64, peers: Vec<BootstrapPeer>) -> Self {
        let node = |peer: BootstrapPeer| Node {
            name: peer.name,
            key: peer.key,
            role: peer.role,
            raft_id: 0,
            address: peer.address,
            standing: Standing::Active,
            registered_height: 0,
        };
        Self { height, nodes: peers.into_iter().map(node).collect(), is_own: false }
    }

    /// Reads a home's file; `None` where there is none.
    ///
    /// # Errors
    /// [`ConfigError`] when it cannot be read or understood.
    pub fn load(home: &NodeHome) -> Result<Option<Self>, ConfigError> {
        Self::load_from(home.peers())
    }

    /// What a home's ledger said last of peers, for when it cannot be read any more. A file that rotted too is no help, and
    /// taken for absent.
    pub(crate) fn load_known(home: &NodeHome) -> Option<Self> {
        match Self::load_from(home.known_peers()) {
            Ok(known) => known.map(|known| Self { is_own: true, ..known }),
            Err(error) => {
                tracing::warn!(%error, "where peers were last cannot be read; those of the genesis are tried");
                None
            }
        }
    }

    fn load_from(path: PathBuf) -> Result<Option<Self>, ConfigError> {
        if !path.exists() {
            return Ok(None);
        }
        let text = read_text(path.clone(), BYTES_MAX)?;
        let file: File =
            toml::from_str(&text).map_err(|error| ConfigError::Malformed { path, cause: error.to_string() })?;
        Ok(Some(Self::new(file.height, file.peers)))
    }

    /// Writes it into a home.
    ///
    /// # Errors
    /// [`FileError`] when it cannot be written.
    pub fn write(&self, home: &NodeHome) -> Result<(), FileError> {
        self.write_to(home.peers())
    }

    /// Writes what the home's ledger says of peers, for when it cannot be read any more.
    pub(crate) fn write_known(&self, home: &NodeHome) -> Result<(), FileError> {
        self.write_to(home.known_peers())
    }

    fn write_to(&self, path: PathBuf) -> Result<(), FileError> {
        let peer = |node: &Node| BootstrapPeer {
            name: node.name.clone(),
            key: node.key,
            address: node.address.clone(),
            role: node.role,
        };
        let file = File { height: self.height, peers: self.nodes.iter().map(peer).collect() };
        let text = toml::to_string_pretty(&file)
            .map_err(|error| FileError { path: path.clone(), cause: std::io::Error::other(error) })?;
        write_atomically(&path, text.as_bytes())
    }
}
