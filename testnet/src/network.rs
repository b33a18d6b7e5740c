//! The whole testnet: made once, brought up again as often as wanted.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use galen_client::{Client, ClientConfig, ClientError};
use galen_types::api::{ChainStatus, Consistency};
use galen_types::member::{NodeRole, Role};
use galen_types::{AccountName, Genesis, Hash, NodeName};
use nix::sys::signal::Signal;
use serde::Serialize;
use tokio::time::Instant;

use crate::error::TestnetError;
use crate::folder::Folder;
use crate::isolation::Isolation;
use crate::plan::{Plan, PlanOptions, PlannedNode};
use crate::process::{NodeProcess, tail};
use crate::slow_disk;

/// How long nodes may take until they can be used.
const READY_PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether they can.
const READY_LOOK: Duration = Duration::from_millis(50);

/// A testnet in a folder.
#[derive(Debug, Clone)]
pub struct Testnet {
    pub(crate) folder: Folder,
    pub(crate) plan: Plan,
    genesis: Hash,
}

/// A node, for reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeEntry {
    /// Its name.
    pub node: NodeName,
    /// What it does.
    pub role: NodeRole,
    /// Where its API is.
    pub url: String,
}

/// An account, for reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountEntry {
    /// Its name.
    pub account: AccountName,
    /// What it may do.
    pub roles: Vec<Role>,
    /// Its member's node.
    pub url: String,
    /// The folder of its key file.
    pub keystore: PathBuf,
    /// The file that holds the key file's password.
    pub password_file: PathBuf,
}

/// How a node is.
#[derive(Debug, Clone, Serialize)]
pub struct NodeStatus {
    /// The node.
    #[serde(flatten)]
    pub entry: NodeEntry,
    /// Its process, while it runs.
    pub pid: Option<i32>,
    /// What it says of its chain, while it answers.
    pub chain: Option<ChainStatus>,
}

impl Testnet {
    /// Makes a testnet in a folder, or opens the one that was made there with the same options.
    ///
    /// # Errors
    /// [`TestnetError`] when the folder holds something else, or cannot be written.
    pub fn make(
        root: impl Into<PathBuf>,
        options: &PlanOptions,
        on_key: &dyn Fn(usize, usize),
    ) -> Result<Self, TestnetError> {
        let folder = Folder::new(root);
        if folder.is_occupied() && !folder.password().is_file() {
            return Err(TestnetError::Occupied(folder.root().to_path_buf()));
        }
        let plan = if folder.is_made() {
            let plan = folder.read_plan()?;
            if !plan.fits(options) {
                return Err(TestnetError::OtherPlan(folder.root().to_path_buf()));
            }
            plan
        } else {
            let plan = Plan::new(options)?;
            for port in plan.nodes.iter().flat_map(PlannedNode::ports) {
                TcpListener::bind(("127.0.0.1", port)).map_err(|_| TestnetError::PortTaken(port))?;
            }
            folder.write(&plan, on_key)?;
            plan
        };
        Self::of_plan(folder, plan)
    }

    /// Opens the testnet in a folder.
    ///
    /// # Errors
    /// [`TestnetError`] when there is none.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, TestnetError> {
        let folder = Folder::new(root);
        let plan = folder.read_plan()?;
        Self::of_plan(folder, plan)
    }

    fn of_plan(folder: Folder, plan: Plan) -> Result<Self, TestnetError> {
        let text = galen_node::config::read_text(folder.genesis(), galen_types::genesis::GENESIS_BYTES_MAX as u64)?;
        let genesis = Genesis::from_toml(&text)?.hash();
        Ok(Self { folder, plan, genesis })
    }

    /// Where everything lies.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Who takes part.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The chain.
    pub fn genesis_hash(&self) -> Hash {
        self.genesis
    }

    /// The nodes that take part.
    pub fn nodes(&self) -> Vec<NodeEntry> {
        self.plan.present().map(entry_of).collect()
    }

    /// The accounts, each with its member's voter.
    ///
    /// # Errors
    /// [`TestnetError::Plan`] when the plan names none.
    pub fn accounts(&self) -> Result<Vec<AccountEntry>, TestnetError> {
        let absolute = |path: PathBuf| std::path::absolute(&path).map_err(|error| TestnetError::file(path, error));
        let keystore = absolute(self.folder.accounts())?;
        let password_file = absolute(self.folder.password())?;
        let accounts = self.plan.accounts()?.into_iter();
        Ok(accounts
            .filter_map(|(account, roles)| {
                let own = self.plan.present().find(|node| node.name.member == account.member);
                // A member without a node speaks through another's.
                let node = own.or_else(|| self.plan.present().next())?;
                let url = entry_of(node).url;
                Some(AccountEntry {
                    account,
                    roles,
                    url,
                    keystore: keystore.clone(),
                    password_file: password_file.clone(),
                })
            })
            .collect())
    }

    /// A node by its full name, or by its member's name for that member's first node.
    ///
    /// # Errors
    /// [`TestnetError::UnknownNode`].
    pub fn node(&self, name: &str) -> Result<&PlannedNode, TestnetError> {
        let matches = |node: &&PlannedNode| {
            node.name.to_string() == name || node.name.member.as_str() == name || node.name.node.as_str() == name
        };
        self.plan.nodes.iter().find(matches).ok_or_else(|| TestnetError::UnknownNode {
            name: name.to_owned(),
            nodes: self.plan.nodes.iter().map(|node| node.name.to_string()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Starts every node that does not run and waits until all can be used.
    ///
    /// # Errors
    /// [`TestnetError`] when one ends, or is not ready in time.
    pub async fn up(&self, program: &Path, on_node: &dyn Fn(&NodeEntry)) -> Result<(), TestnetError> {
        for node in self.plan.present() {
            self.launch(&node.name, program)?;
        }
        for node in self.plan.present() {
            self.ready(node).await?;
            on_node(&entry_of(node));
        }
        Ok(())
    }

    /// Starts one node and waits until it can be used.
    ///
    /// # Errors
    /// [`TestnetError`] when it ends, or is not ready in time.
    pub async fn start(&self, name: &str, program: &Path) -> Result<(), TestnetError> {
        let node = self.node(name)?;
        self.launch(&node.name, program)?;
        self.ready(node).await
    }

    /// Starts a node's process, in its namespace where it has one.
    pub(crate) fn spawn(&self, node: &PlannedNode, program: &Path) -> Result<NodeProcess, TestnetError> {
        let Some(isolation) = self.isolation() else {
            return NodeProcess::start(&self.folder, &node.name, program);
        };
        isolation.create()?;
        // Opened here, on the machine's own loopback: inside nobody could reach it.
        let http =
            TcpListener::bind(("127.0.0.1", node.http_port)).map_err(|_| TestnetError::PortTaken(node.http_port))?;
        let start = || NodeProcess::start_with_socket(&self.folder, &node.name, program, http);
        isolation.within(&node.name.to_string(), start)?
    }

    /// The network namespaces of the nodes, where they have some.
    pub fn isolation(&self) -> Option<Isolation> {
        Isolation::of(&self.plan)
    }

    /// Waits until a started node can be used.
    ///
    /// # Errors
    /// [`TestnetError`] when it ends, or is not ready in time.
    pub async fn ready(&self, node: &PlannedNode) -> Result<(), TestnetError> {
        let client = self.client(node)?;
        let log = self.folder.log(&node.name);
        let deadline = Instant::now() + READY_PATIENCE;
        loop {
            let state = match client.ready().await {
                Ok(()) => return Ok(()),
                Err(ClientError::Problem(problem)) => problem.detail,
                Err(error) => error.to_string(),
            };
            if NodeProcess::find(&self.folder, &node.name).is_none() {
                let tail = tail(&log, 12);
                return Err(TestnetError::Ended { node: node.name.clone(), log, tail });
            }
            if Instant::now() >= deadline {
                let (node, seconds) = (node.name.clone(), READY_PATIENCE.as_secs());
                return Err(TestnetError::NotReady { node, seconds, state, log });
            }
            tokio::time::sleep(READY_LOOK).await;
        }
    }

    /// A client of a node, without an account.
    ///
    /// # Errors
    /// [`TestnetError::Client`].
    pub fn client(&self, node: &PlannedNode) -> Result<Client, TestnetError> {
        let mut config = ClientConfig::new(entry_of(node).url);
        config.genesis = Some(self.genesis);
        Ok(Client::new(config)?)
    }

    /// The same, whose reads are linearizable.
    ///
    /// # Errors
    /// [`TestnetError::Client`].
    pub fn client_linearizable(&self, node: &PlannedNode) -> Result<Client, TestnetError> {
        let mut config = ClientConfig::new(entry_of(node).url);
        config.genesis = Some(self.genesis);
        config.consistency = Consistency::Linearizable;
        Ok(Client::new(config)?)
    }

    /// A client of an account at its member's node.
    ///
    /// # Errors
    /// [`TestnetError`] when there is no such account.
    pub fn client_as(&self, account: &AccountName) -> Result<Client, TestnetError> {
        let url = self.accounts()?.into_iter().find(|entry| &entry.account == account).map(|entry| entry.url);
        self.client_of(
            url.ok_or_else(|| TestnetError::Plan(format!("this testnet has no account {account}")))?,
            account,
        )
    }

    /// A client of an account at any node.
    ///
    /// # Errors
    /// [`TestnetError::Client`].
    pub fn client_at(&self, node: &PlannedNode, account: &AccountName) -> Result<Client, TestnetError> {
        self.client_of(entry_of(node).url, account)
    }

    fn client_of(&self, url: String, account: &AccountName) -> Result<Client, TestnetError> {
        let keys = self.plan.keys_of(&galen_types::Signer::Account(account.clone()));
        let mut config = ClientConfig::new(url).with_account(account.clone(), keys);
        config.genesis = Some(self.genesis);
        Ok(Client::new(config)?)
    }

    /// How every node is.
    ///
    /// # Errors
    /// [`TestnetError::Client`] when no client can be made.
    pub async fn status(&self) -> Result<Vec<NodeStatus>, TestnetError> {
        let mut statuses = Vec::new();
        for node in self.plan.present() {
            let pid = NodeProcess::find(&self.folder, &node.name).map(|process| process.pid);
            let chain = if pid.is_some() { self.client(node)?.chain().await.ok() } else { None };
            statuses.push(NodeStatus { entry: entry_of(node), pid, chain });
        }
        Ok(statuses)
    }

    /// Stops every node that runs; namespaces and slow disks go with them.
    ///
    /// # Errors
    /// [`TestnetError::Isolation`] when a namespace cannot be removed.
    pub fn down(&self) -> Result<usize, TestnetError> {
        let running: Vec<_> =
            self.plan.nodes.iter().filter_map(|node| NodeProcess::find(&self.folder, &node.name)).collect();
        for process in &running {
            process.signal(Signal::SIGTERM);
            // One that is paused would not hear it.
            process.signal(Signal::SIGCONT);
        }
        for process in &running {
            process.stop();
        }
        slow_disk::release_all(self)?;
        if let Some(isolation) = self.isolation() {
            isolation.remove()?;
        }
        Ok(running.len())
    }

    /// Asks one node to stop and waits until it has; `false` when it did not run.
    ///
    /// # Errors
    /// [`TestnetError::UnknownNode`].
    pub fn stop(&self, name: &str) -> Result<bool, TestnetError> {
        let process = NodeProcess::find(&self.folder, &self.node(name)?.name);
        if let Some(process) = &process {
            process.stop();
        }
        Ok(process.is_some())
    }

    /// Ends one node at once, as a crash would; `false` when it did not run.
    ///
    /// # Errors
    /// [`TestnetError::UnknownNode`].
    pub fn kill(&self, name: &str) -> Result<bool, TestnetError> {
        let node = self.node(name)?;
        let process = NodeProcess::find(&self.folder, &node.name);
        if let Some(process) = &process {
            process.kill();
        }
        Ok(process.is_some())
    }

    /// Stops every node and deletes the folder.
    ///
    /// # Errors
    /// [`TestnetError::File`] when something cannot be deleted.
    pub fn reset(self) -> Result<(), TestnetError> {
        self.down()?;
        let root = self.folder.root();
        std::fs::remove_dir_all(root).map_err(|error| TestnetError::file(root, error))
    }
}

pub(crate) fn entry_of(node: &PlannedNode) -> NodeEntry {
    NodeEntry { node: node.name.clone(), role: node.role, url: format!("http://127.0.0.1:{}", node.http_port) }
}
