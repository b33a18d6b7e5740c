//! A testnet's folder.
//!
//! ```text
//!   testnet.toml            the plan                    nodes/NAME/       a node's home
//!   genesis.toml            the founding document       nodes/NAME/node.log, node.pid
//!   accounts/               key files of all accounts   demo/             what the main job leaves
//!   password                the password of all key files, random
//! ```

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use galen_keys::{KdfProfile, Keystore, Password, PasswordSource};
use galen_node::config::{KeySection, NetworkSection, NodeConfig, OrderingSection};
use galen_node::home::NodeHome;
use galen_node::http::HttpSettings;
use galen_node::telemetry::LogSettings;
use galen_types::{Genesis, NodeName, Signer};

use crate::error::TestnetError;
use crate::plan::{Plan, PlannedNode, loopback};

/// Most bytes of a plan.
const PLAN_BYTES_MAX: u64 = 1 << 20;

/// Paths inside a testnet's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The testnet's folder at a path.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The plan.
    pub fn plan(&self) -> PathBuf {
        self.root.join("testnet.toml")
    }

    /// The founding document.
    pub fn genesis(&self) -> PathBuf {
        self.root.join("genesis.toml")
    }

    /// The key files of all accounts.
    pub fn accounts(&self) -> PathBuf {
        self.root.join("accounts")
    }

    /// The password of all key files.
    pub fn password(&self) -> PathBuf {
        self.root.join("password")
    }

    /// A node's home.
    pub fn home(&self, node: &NodeName) -> NodeHome {
        NodeHome::new(self.root.join("nodes").join(node.to_string()))
    }

    /// A node's log.
    pub fn log(&self, node: &NodeName) -> PathBuf {
        self.home(node).root().join("node.log")
    }

    /// A node's process.
    pub fn pid(&self, node: &NodeName) -> PathBuf {
        self.home(node).root().join("node.pid")
    }

    /// What the main job leaves.
    pub fn demo(&self) -> PathBuf {
        self.root.join("demo")
    }

    /// Whether a testnet was made here.
    pub fn is_made(&self) -> bool {
        self.plan().is_file()
    }

    /// Whether there is something here that is no testnet.
    pub fn is_occupied(&self) -> bool {
        !self.is_made() && std::fs::read_dir(&self.root).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Reads the plan.
    ///
    /// # Errors
    /// [`TestnetError`] when there is none, or it is malformed.
    pub fn read_plan(&self) -> Result<Plan, TestnetError> {
        let path = self.plan();
        if !path.is_file() {
            return Err(TestnetError::Absent(self.root.clone()));
        }
        let text = galen_node::config::read_text(path.clone(), PLAN_BYTES_MAX)?;
        toml::from_str(&text).map_err(|error| TestnetError::Malformed { path, cause: error.to_string() })
    }

    /// Writes everything that a testnet needs to start. The plan comes last: without it nothing counts as made.
    ///
    /// # Errors
    /// [`TestnetError`] when something cannot be written.
    pub fn write(&self, plan: &Plan, on_key: &dyn Fn(usize, usize)) -> Result<Genesis, TestnetError> {
        create_private(&self.root)?;
        let password = self.write_password()?;
        let genesis = plan.genesis()?;
        let genesis_text = genesis.to_toml()?;
        write_file(&self.genesis(), &genesis_text, 0o644)?;
        let accounts = plan.accounts()?;
        let keys = accounts.len() + plan.nodes.len();
        let store = Keystore::open(self.accounts())?;
        let mut written = 0;
        let mut insert = |store: &Keystore, name: Signer| {
            on_key(written, keys);
            written += 1;
            if store.public_keys(&name).is_err() {
                store.insert(&name, &plan.keys_of(&name), &password, KdfProfile::Testnet)?;
            }
            Ok::<_, TestnetError>(())
        };
        for (name, _) in accounts {
            insert(&store, Signer::Account(name))?;
        }
        for node in &plan.nodes {
            let home = self.home(&node.name);
            create_private(home.root())?;
            insert(&Keystore::open(home.keys())?, Signer::Node(node.name.clone()))?;
            write_file(&home.genesis(), &genesis_text, 0o644)?;
            write_file(&home.config(), &self.config_of(plan, node)?.to_toml()?, 0o644)?;
        }
        let text = toml::to_string_pretty(plan)
            .map_err(|error| TestnetError::Malformed { path: self.plan(), cause: error.to_string() })?;
        // Its seed decides every key.
        write_file(&self.plan(), &text, 0o600)?;
        Ok(genesis)
    }

    fn config_of(&self, plan: &Plan, node: &PlannedNode) -> Result<NodeConfig, TestnetError> {
        let password =
            std::path::absolute(self.password()).map_err(|error| TestnetError::file(self.password(), error))?;
        Ok(NodeConfig {
            node: node.name.clone(),
            http: HttpSettings { listen: ([127, 0, 0, 1], node.http_port).into(), tls: None },
            network: NetworkSection { listen: loopback(node.network_port)?, listen_files: loopback(node.files_port)? },
            key: KeySection { password_file: Some(password), password_env: None },
            ordering: OrderingSection { compact_entries: plan.compact_entries, ..OrderingSection::default() },
            log: LogSettings::default(),
        })
    }

    /// The password of all key files: drawn at the first call.
    fn write_password(&self) -> Result<Password, TestnetError> {
        let path = self.password();
        if !path.exists() {
            let drawn = getrandom::u64().and_then(|first| Ok((first, getrandom::u64()?)));
            let (first, second) = drawn.map_err(|error| TestnetError::Random(error.to_string()))?;
            write_file(&path, &format!("{first:016x}{second:016x}\n"), 0o600)?;
        }
        Ok(PasswordSource::File(path).read("")?)
    }
}

fn create_private(path: &Path) -> Result<(), TestnetError> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| TestnetError::file(path, error))
}

fn write_file(path: &Path, text: &str, mode: u32) -> Result<(), TestnetError> {
    let write = || {
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error| TestnetError::file(path, error))
}
