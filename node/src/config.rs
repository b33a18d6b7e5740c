//! A node's configuration: `node.toml` in its home. Unknown keys are refused; relative paths are taken from the home.

use std::path::PathBuf;

use galen_types::NodeName;
use galen_types::member::NodeAddress;
use serde::{Deserialize, Serialize};

use crate::http::HttpSettings;
use crate::telemetry::LogSettings;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// This node's name, as registered on the chain.
    pub node: NodeName,
    /// The HTTP API.
    pub http: HttpSettings,
    /// The network between nodes.
    pub network: NetworkSection,
    /// The node's key.
    pub key: KeySection,
    /// Ordering.
    #[serde(default)]
    pub ordering: OrderingSection,
    /// What is kept of the chain.
    #[serde(default)]
    pub ledger: LedgerSection,
    /// Catching up.
    #[serde(default)]
    pub sync: SyncSection,
    /// Reading again what is stored.
    #[serde(default)]
    pub scrub: ScrubSection,
    /// What it does for institutions that want to join.
    #[serde(default)]
    pub joining: JoiningSection,
    /// Logs.
    #[serde(default)]
    pub log: LogSettings,
}

/// The network between nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSection {
    /// Where peers' connections are taken, e.g. `/ip4/0.0.0.0/tcp/7100`.
    pub listen: NodeAddress,
    /// Where peers fetch files, apart from the above so that bulk never delays ordering.
    pub listen_files: NodeAddress,
}

/// Where the password of the node's key file comes from; one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySection {
    /// A file that holds it, readable by the owner only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// An environment variable that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_env: Option<String>,
}

/// Ordering. The same on all voters, or elections become lopsided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrderingSection {
    /// Length of a tick, milliseconds: 5 to 1,000.
    pub tick_ms: u64,
    /// Ticks without a leader before an election; the wait is drawn from one to two times this.
    pub election_ticks: usize,
    /// Ticks between a leader's heartbeats.
    pub heartbeat_ticks: usize,
    /// Entries after which the ordering log is cut (what it held is in blocks): 10 to 1,000,000.
    pub compact_entries: usize,
    /// Not in the file, but asked for at a start: the operator stands for it that this disk was not set back, so that the
    /// node orders with a majority of the voters, though too few are there to know.
    #[serde(skip)]
    pub trusts_disk: bool,
}

impl Default for OrderingSection {
    fn default() -> Self {
        Self { tick_ms: 50, election_ticks: 16, heartbeat_ticks: 2, compact_entries: 10_000, trusts_disk: false }
    }
}

/// What is kept of the chain on this node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LedgerSection {
    /// Blocks below the certified height whose transactions and receipts are kept; 0 for all. Headers, certificates and
    /// proofs' history stay. At least 1,000 otherwise, so that peers that are a little behind find theirs.
    pub keep_bodies_blocks: u64,
    /// Whether a node that began from a snapshot fetches what was before it.
    pub history: HistoryPolicy,
}

/// Whether a node that began from a snapshot fetches what was before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HistoryPolicy {
    /// Headers, then blocks and receipts, in the background.
    #[default]
    Full,
    /// Nothing: reads below the snapshot say so.
    None,
}

/// Catching up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SyncSection {
    /// Blocks that this node may lie behind before it catches up by snapshot instead of block by block: 100 at least.
    pub snapshot_lag_blocks: u64,
    /// Blocks after which a snapshot is too old to be given out, and a newer one is taken when a peer asks.
    pub snapshot_age_blocks: u64,
}

impl Default for SyncSection {
    fn default() -> Self {
        Self { snapshot_lag_blocks: 2_000, snapshot_age_blocks: 2_000 }
    }
}

/// Reading again, in the background, everything that is stored: what rots unread is found while the others hold it still.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScrubSection {
    /// Seconds from the end of one pass to the next; 0 for never. A day by default: the longer it is, the likelier two
    /// nodes hold rot of the same block before either finds it.
    pub period_seconds: u64,
    /// Bytes read in a second, a tenth of it while the node is busy. 16 MiB by default: a tenth of what one disk of
    /// spinning metal gives, and 100 GiB in two hours.
    pub bytes_per_second: u64,
    /// Seconds for which a repair waits for a peer that has what it needs, counted from the last byte that came, before the
    /// node stops and says so. 300 by default: a peer restarts in less.
    pub repair_patience_seconds: u64,
}

impl Default for ScrubSection {
    fn default() -> Self {
        Self { period_seconds: 86_400, bytes_per_second: 16 << 20, repair_patience_seconds: 300 }
    }
}

/// What a node does for institutions that want to join.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JoiningSection {
    /// Whether it brings applications of all who ask before the members; else of those whom an administrator of its member
    /// invited.
    pub open_applications: bool,
    /// Whether it dials applicants' nodes at private, loopback and link-local addresses though it listens on none itself.
    pub dial_private: bool,
}

/// Most bytes of a configuration file.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// Why a configuration cannot be used. The code is stable.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {path}: {cause}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// The system's words.
        cause: std::io::Error,
    },
    /// A file is far larger than any configuration.
    #[error("{0} is larger than 1 MiB; is it the right file?")]
    TooLarge(PathBuf),
    /// A file says what is not understood.
    #[error("{path} is malformed: {cause}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Where and why.
        cause: String,
    },
    /// A value out of its bounds.
    #[error("`{key}` in node.toml is {value}; it must be {bounds}")]
    OutOfBounds {
        /// The key.
        key: &'static str,
        /// Its value.
        value: u64,
        /// What is allowed.
        bounds: &'static str,
    },
}

impl ConfigError {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "config-unreadable",
            Self::TooLarge(_) => "config-too-large",
            Self::Malformed { .. } => "config-malformed",
            Self::OutOfBounds { .. } => "config-out-of-bounds",
        }
    }
}

/// Reads a small text file.
///
/// # Errors
/// [`ConfigError`] when it cannot be read or is larger than `limit` bytes.
pub fn read_text(path: PathBuf, limit: u64) -> Result<String, ConfigError> {
    let unreadable = |cause| ConfigError::Unreadable { path: path.clone(), cause };
    if std::fs::metadata(&path).map_err(unreadable)?.len() > limit {
        return Err(ConfigError::TooLarge(path));
    }
    std::fs::read_to_string(&path).map_err(unreadable)
}

impl NodeConfig {
    /// Reads and checks the configuration of a home.
    ///
    /// # Errors
    /// [`ConfigError`] saying what to mend.
    pub fn load(home: &crate::home::NodeHome) -> Result<Self, ConfigError> {
        let path = home.config();
        let text = read_text(path.clone(), CONFIG_BYTES_MAX)?;
        let mut config: Self =
            toml::from_str(&text).map_err(|error| ConfigError::Malformed { path, cause: error.to_string() })?;
        config.check()?;
        if let Some(file) = &mut config.key.password_file {
            *file = home.root().join(&*file);
        }
        if let Some(tls) = &mut config.http.tls {
            tls.certificate = home.root().join(&tls.certificate);
            tls.key = home.root().join(&tls.key);
        }
        Ok(config)
    }

    /// The configuration as text.
    ///
    /// # Errors
    /// [`ConfigError::Malformed`] when a path is not UTF-8.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        toml::to_string_pretty(self)
            .map_err(|error| ConfigError::Malformed { path: "node.toml".into(), cause: error.to_string() })
    }

    fn check(&self) -> Result<(), ConfigError> {
        let ordering = &self.ordering;
        let keep = self.ledger.keep_bodies_blocks;
        let bounds: [(&'static str, u64, u64, u64, &'static str); 9] = [
            ("scrub.bytes_per_second", self.scrub.bytes_per_second, 64 << 10, u64::MAX, "at least 65536"),
            ("scrub.repair_patience_seconds", self.scrub.repair_patience_seconds, 1, 86_400, "1 to 86400"),
            (
                "ledger.keep_bodies_blocks",
                if keep == 0 { u64::MAX } else { keep },
                1_000,
                u64::MAX,
                "0, or at least 1000",
            ),
            ("sync.snapshot_lag_blocks", self.sync.snapshot_lag_blocks, 100, u64::MAX, "at least 100"),
            ("sync.snapshot_age_blocks", self.sync.snapshot_age_blocks, 1, u64::MAX, "at least 1"),
            ("ordering.tick_ms", ordering.tick_ms, 5, 1_000, "5 to 1000"),
            ("ordering.election_ticks", ordering.election_ticks as u64, 2, 1_000, "2 to 1000"),
            (
                "ordering.heartbeat_ticks",
                ordering.heartbeat_ticks as u64,
                1,
                (ordering.election_ticks as u64).saturating_sub(1),
                "at least 1 and below election_ticks",
            ),
            ("ordering.compact_entries", ordering.compact_entries as u64, 10, 1_000_000, "10 to 1000000"),
        ];
        for (key, value, low, high, text) in bounds {
            if !(low..=high).contains(&value) {
                return Err(ConfigError::OutOfBounds { key, value, bounds: text });
            }
        }
        Ok(())
    }
}
