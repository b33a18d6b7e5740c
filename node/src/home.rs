//! A node's home: the folder that holds its configuration, the genesis it belongs to, its key and its data.
//!
//! ```text
//!   node.toml        configuration            log/<id>/   ordering log under that number in ordering
//!   genesis.toml     founding document        ledger/     chain and state
//!   keys/            the node's key file      snapshots/  of the ledger, for peers; `incoming/` on its way here
//!   join.toml        where it applied         files/      encrypted files and their keys
//!   peers.toml       where peers were then    jobs/       openings and results of compute jobs
//!   recoveries/      that it believes         backups/    of this home
//!   keys-next/       the key that it is about to have
//!   keys-former/     keys that it had, until what their voters must certify is certified
//!   began            there once the ledger held a block
//!   signed           the highest header that the node signed
//!   damage/          notes of stored bytes that rotted, until they are repaired
//!   ledger.damaged/  a ledger that rotted, set aside
//!   scrub/           a copy of the ledger while it is checked, and when that was last done
//!   peers-known.toml where peers were when the chain changed that last
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

    /// The key file that a rotation of the node's key is about to put in force.
    pub fn next_keys(&self) -> PathBuf {
        self.root.join("keys-next")
    }

    /// There once the node's ledger held a block: that it is gone then is a loss, not a beginning.
    pub fn began(&self) -> PathBuf {
        self.root.join("began")
    }

    /// The public key of [`Self::next_keys`], once the chain was seen to register it: peers refuse the former key from
    /// that block on, so a node that has not come to it needs to be told.
    pub fn registered_key(&self) -> PathBuf {
        self.root.join("keys-registered")
    }

    /// Keys that rotations replaced, each in a folder of its own, until every height that names them is certified.
    pub fn former_keys(&self) -> PathBuf {
        self.root.join("keys-former")
    }

    /// Where the node applied.
    pub fn join(&self) -> PathBuf {
        self.root.join("join.toml")
    }

    /// The certificates (PEM) by which the inviting node's address is trusted.
    pub fn trust_roots(&self) -> PathBuf {
        self.root.join("invitation-ca.pem")
    }

    /// Peers' keys and addresses at the time of joining, until the ledger knows better.
    pub fn peers(&self) -> PathBuf {
        self.root.join("peers.toml")
    }

    /// Recoveries that this node holds.
    pub fn recoveries(&self) -> PathBuf {
        self.root.join("recoveries")
    }

    /// The one with this hash.
    pub fn recovery(&self, hash: &galen_types::Hash) -> PathBuf {
        self.recoveries().join(format!("{hash}.toml"))
    }

    /// Snapshots of the ledger.
    pub fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    /// Backups of this home.
    pub fn backups(&self) -> PathBuf {
        self.root.join("backups")
    }

    /// The ordering logs, one folder for each number that this node had in ordering.
    pub fn logs(&self) -> PathBuf {
        self.root.join("log")
    }

    /// The ordering log under a number in ordering.
    pub fn log(&self, raft_id: u64) -> PathBuf {
        self.logs().join(raft_id.to_string())
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

    /// The highest header that this node signed.
    pub fn signed(&self) -> PathBuf {
        self.root.join("signed")
    }

    /// Notes of stored bytes that rotted.
    pub fn damage(&self) -> PathBuf {
        self.root.join("damage")
    }

    /// A ledger that rotted, set aside.
    pub fn damaged_ledger(&self) -> PathBuf {
        self.root.join("ledger.damaged")
    }

    /// What the scrub works with.
    pub fn scrub(&self) -> PathBuf {
        self.root.join("scrub")
    }

    /// Peers' keys and addresses as the chain said last, for a node whose ledger cannot be read any more.
    pub fn known_peers(&self) -> PathBuf {
        self.root.join("peers-known.toml")
    }

    /// Contacts of applicants.
    pub fn membership(&self) -> PathBuf {
        self.root.join("membership")
    }
}
