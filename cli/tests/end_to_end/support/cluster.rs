use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use galen_client::{Client, ClientConfig};
use galen_testnet::plan::PlanOptions;
use galen_testnet::process::{NodeProcess, tail};
use galen_testnet::{Testnet, TestnetError};
use galen_types::api::ChainStatus;
use galen_types::{AccountName, Signer};
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::eventually;

/// The members' nodes: all vote.
pub(crate) const VOTERS: [&str; 4] = ["node-1.harlem", "node-1.hennepin", "node-1.kentucky", "node-1.mississippi"];

/// One testnet at a time: five processes are enough for two cores, and times stay predictable.
static TURN: Semaphore = Semaphore::const_new(1);

/// Where the next testnet looks for ports. Below the range that the system gives to outgoing connections.
static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

/// A testnet in a temporary folder; its processes end with it.
pub(crate) struct Cluster {
    pub(crate) testnet: Testnet,
    folder: TempDir,
    _turn: SemaphorePermit<'static>,
}

impl Cluster {
    /// Makes a testnet and waits until it can be used.
    pub(crate) async fn start(options: PlanOptions) -> Self {
        let cluster = Self::make(options).await;
        cluster.testnet.up(&program(), &|_| {}).await.unwrap();
        cluster
    }

    /// Makes a testnet; nothing runs.
    pub(crate) async fn make(mut options: PlanOptions) -> Self {
        let turn = TURN.acquire().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        // Test programs that run at the same time begin at different places.
        let start = 10_000 + u16::try_from(std::process::id() % 1_000).unwrap() * 20;
        let testnet = loop {
            options.port_base = start + NEXT_PORT.fetch_add(16, Ordering::Relaxed) % 2_000;
            match Testnet::make(folder.path().join("net"), &options, &|_, _| {}) {
                Ok(testnet) => break testnet,
                Err(TestnetError::PortTaken(_)) => {}
                Err(error) => panic!("{error}"),
            }
        };
        Self { testnet, folder, _turn: turn }
    }

    /// A folder beside the testnet's.
    pub(crate) fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// A client of an account, asking any node.
    pub(crate) fn client(&self, node: &str, account: &str) -> Client {
        self.client_with(node, account, |_| {})
    }

    /// The same, configured further.
    pub(crate) fn client_with(&self, node: &str, account: &str, configure: impl FnOnce(&mut ClientConfig)) -> Client {
        let account: AccountName = account.parse().unwrap();
        let keys = self.testnet.plan().keys_of(&Signer::Account(account.clone()));
        let mut config = ClientConfig::new(self.url(node)).with_account(account, keys);
        config.genesis = Some(self.testnet.genesis_hash());
        configure(&mut config);
        Client::new(config).unwrap()
    }

    /// A node's address.
    pub(crate) fn url(&self, node: &str) -> String {
        format!("http://127.0.0.1:{}", self.testnet.node(node).unwrap().http_port)
    }

    /// A node's process, if it runs.
    pub(crate) fn process(&self, node: &str) -> Option<NodeProcess> {
        NodeProcess::find(self.testnet.folder(), &self.testnet.node(node).unwrap().name)
    }

    /// A node's home.
    pub(crate) fn home(&self, node: &str) -> PathBuf {
        self.testnet.folder().home(&self.testnet.node(node).unwrap().name).root().to_path_buf()
    }

    /// A node's log so far.
    pub(crate) fn log(&self, node: &str) -> String {
        let path = self.testnet.folder().log(&self.testnet.node(node).unwrap().name);
        String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
    }

    /// How a node's chain is.
    pub(crate) async fn chain(&self, node: &str) -> Option<ChainStatus> {
        self.testnet.client(self.testnet.node(node).unwrap()).unwrap().chain().await.ok()
    }

    /// The node that orders, as `asked` knows it.
    pub(crate) async fn leader(&self, asked: &str) -> String {
        eventually("a leader is known", Duration::from_secs(20), async || self.chain(asked).await?.leader)
            .await
            .to_string()
    }

    pub(crate) async fn restart(&self, node: &str) {
        self.testnet.start(node, &program()).await.unwrap();
    }

    /// Every node's name.
    pub(crate) fn nodes(&self) -> Vec<String> {
        self.testnet.nodes().iter().map(|entry| entry.node.to_string()).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in self.nodes() {
            if let Some(process) = self.process(&node) {
                process.kill();
            }
            if std::thread::panicking() {
                let path = self.testnet.folder().log(&self.testnet.node(&node).unwrap().name);
                eprintln!("--- end of the log of {node}\n{}", tail(&path, 25));
            }
        }
    }
}

/// The program under test.
pub(crate) fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_galen"))
}
