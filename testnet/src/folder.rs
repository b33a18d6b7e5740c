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
use galen_node::config::{
    JoiningSection, KeySection, LedgerSection, NetworkSection, NodeConfig, OrderingSection, ScrubSection, SyncSection,
};
use galen_node::home::NodeHome;
use galen_node::http::HttpSettings;
use galen_node::operate::join::JoinFile;
use galen_node::telemetry::LogSettings;
use galen_types::application::Invitation;
use galen_types::{Genesis, NodeName, Signer};

use crate::error::TestnetError;
use crate::plan::{Plan, PlannedNode};

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
        let mut next = || {
            on_key(written, keys);
            written += 1;
        };
        for (name, _) in accounts {
            next();
            insert(&store, plan, Signer::Account(name), &password)?;
        }
        for node in &plan.nodes {
            next();
            self.write_home(plan, node, &password)?;
            write_file(&self.home(&node.name).genesis(), &genesis_text, 0o644)?;
        }
        self.write_plan(plan)?;
        Ok(genesis)
    }

    /// Writes a node's home without a genesis.
    fn write_home(&self, plan: &Plan, node: &PlannedNode, password: &Password) -> Result<(), TestnetError> {
        let home = self.home(&node.name);
        create_private(home.root())?;
        insert(&Keystore::open(home.keys())?, plan, Signer::Node(node.name.clone()), password)?;
        write_file(&home.config(), &self.config_of(plan, node)?.to_toml()?, 0o644)
    }

    /// Writes the home of an institution's first node, which knows the invitation only, and the keys of the accounts that
    /// its member will have. What is there already stays.
    ///
    /// # Errors
    /// [`TestnetError`] when something cannot be written.
    pub(crate) fn write_newcomer(
        &self,
        plan: &Plan,
        node: &PlannedNode,
        invitation: &Invitation,
    ) -> Result<(), TestnetError> {
        let password = self.write_password()?;
        let store = Keystore::open(self.accounts())?;
        for (account, _) in Plan::accounts_of(&node.name.member)? {
            insert(&store, plan, Signer::Account(account), &password)?;
        }
        let home = self.home(&node.name);
        if home.config().is_file() {
            return Ok(());
        }
        create_private(home.root())?;
        write_join(&home, &JoinFile::new(invitation, node.name.clone()))?;
        // The configuration comes last: without it the home does not count as made.
        self.write_home(plan, node, &password)
    }

    /// What a newcomer's home notes of its joining.
    ///
    /// # Errors
    /// [`TestnetError`] when the home is malformed.
    pub(crate) fn join_of(&self, node: &NodeName) -> Result<Option<JoinFile>, TestnetError> {
        Ok(JoinFile::load(&self.home(node))?)
    }

    /// Notes it in the newcomer's home.
    ///
    /// # Errors
    /// [`TestnetError`] when it cannot be written.
    pub(crate) fn write_join_of(&self, node: &NodeName, join: &JoinFile) -> Result<(), TestnetError> {
        write_join(&self.home(node), join)
    }

    /// Writes the plan, all or nothing.
    ///
    /// # Errors
    /// [`TestnetError`] when it cannot be written.
    pub(crate) fn write_plan(&self, plan: &Plan) -> Result<(), TestnetError> {
        let text = toml::to_string_pretty(plan)
            .map_err(|error| TestnetError::Malformed { path: self.plan(), cause: error.to_string() })?;
        let temporary = self.root.join("testnet.toml.new");
        // Its seed decides every key.
        write_file(&temporary, &text, 0o600)?;
        std::fs::rename(&temporary, self.plan()).map_err(|error| TestnetError::file(self.plan(), error))
    }

    fn config_of(&self, plan: &Plan, node: &PlannedNode) -> Result<NodeConfig, TestnetError> {
        let password =
            std::path::absolute(self.password()).map_err(|error| TestnetError::file(self.password(), error))?;
        Ok(NodeConfig {
            node: node.name.clone(),
            http: HttpSettings { listen: ([127, 0, 0, 1], node.http_port).into(), public_url: None, tls: None },
            network: NetworkSection {
                listen: node.address_at(node.network_port)?,
                listen_files: node.address_at(node.files_port)?,
            },
            key: KeySection { password_file: Some(password), password_env: None },
            ordering: OrderingSection { compact_entries: plan.compact_entries, ..OrderingSection::default() },
            ledger: LedgerSection::default(),
            sync: SyncSection::default(),
            scrub: ScrubSection::default(),
            joining: JoiningSection::default(),
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

fn write_join(home: &NodeHome, join: &JoinFile) -> Result<(), TestnetError> {
    join.write(home).map_err(|error| TestnetError::file(error.path, error.cause))
}

/// Puts the keys that the plan gives a name into a keystore that does not have the name.
fn insert(store: &Keystore, plan: &Plan, name: Signer, password: &Password) -> Result<(), TestnetError> {
    if store.public_keys(&name).is_err() {
        store.insert(&name, &plan.keys_of(&name), password, KdfProfile::Testnet)?;
    }
    Ok(())
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
