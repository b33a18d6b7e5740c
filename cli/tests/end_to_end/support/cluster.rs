use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

use galen_client::{Client, ClientConfig, Wait};
use galen_testnet::isolation::Isolation;
use galen_testnet::plan::PlanOptions;
use galen_testnet::process::{NodeProcess, tail};
use galen_testnet::{Testnet, TestnetError};
use galen_types::api::{ChainStatus, NodeOrdering, Participation, TransactionStatus};
use galen_types::proposal::{Ballot, ProposedChange};
use galen_types::{AccountName, Call, NodeName, ProposalId, Signer};
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{PATIENCE, aloud, eventually};

/// The members' nodes: all vote.
pub(crate) const VOTERS: [&str; 4] = ["node-1.harlem", "node-1.hennepin", "node-1.kentucky", "node-1.mississippi"];

/// One testnet at a time: five processes are enough for two cores, and times stay predictable.
static TURN: Semaphore = Semaphore::const_new(1);

/// Where the next testnet looks for ports. Below the range that the system gives to outgoing connections.
static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

/// A testnet in a temporary folder; its processes end with it.
pub(crate) struct Cluster {
    pub(crate) testnet: Testnet,
    /// Nodes that were made by command line and not by the testnet's plan, whose homes lie beside the others', with their
    /// HTTP ports.
    guests: Vec<(NodeName, u16)>,
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

    /// Makes a testnet whose network can be broken: by namespaces of the kernel where they are permitted, else by relays
    /// between the nodes, which is said aloud; nothing runs. [`Lines::start`](galen_testnet::fault::Lines::start) breaks it.
    pub(crate) async fn make_breakable(options: PlanOptions) -> Self {
        let permitted = Isolation::permitted();
        if let Err(error) = &permitted {
            aloud(&format!("NO NETWORK NAMESPACES: {error}. Relays between the nodes stand in for a broken network."));
        }
        Self::make(PlanOptions { isolated: permitted.is_ok(), relays: permitted.is_err(), ..options }).await
    }

    /// Makes a testnet; nothing runs.
    pub(crate) async fn make(mut options: PlanOptions) -> Self {
        let turn = TURN.acquire().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        // Test programs that run at the same time begin at different places.
        let start = 10_000 + u16::try_from(std::process::id() % 500).unwrap() * 40;
        let testnet = loop {
            options.port_base = start + NEXT_PORT.fetch_add(40, Ordering::Relaxed) % 2_000;
            match Testnet::make(folder.path().join("net"), &options, &|_, _| {}) {
                Ok(testnet) => break testnet,
                Err(TestnetError::PortTaken(_)) => {}
                Err(error) => panic!("{error}"),
            }
        };
        Self { testnet, guests: Vec::new(), folder, _turn: turn }
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

    /// A client without an account.
    pub(crate) fn anyone(&self, node: &str) -> Client {
        let mut config = ClientConfig::new(self.url(node));
        config.genesis = Some(self.testnet.genesis_hash());
        Client::new(config).unwrap()
    }

    /// A node's address.
    pub(crate) fn url(&self, node: &str) -> String {
        let guest = self.guests.iter().find(|(name, _)| name.to_string() == node).map(|(_, port)| *port);
        format!("http://127.0.0.1:{}", guest.unwrap_or_else(|| self.testnet.node(node).unwrap().http_port))
    }

    /// A node's process, if it runs.
    pub(crate) fn process(&self, node: &str) -> Option<NodeProcess> {
        NodeProcess::find(self.testnet.folder(), &node.parse().unwrap())
    }

    /// Starts a node's process where it does not run; waits for nothing.
    pub(crate) fn launch(&self, node: &str) -> NodeProcess {
        self.testnet.launch(&node.parse().unwrap(), &program()).unwrap()
    }

    /// Counts a node as one of the testnet's that is not in its plan.
    pub(crate) fn invite(&mut self, node: &str, http_port: u16) {
        self.guests.push((node.parse().unwrap(), http_port));
    }

    /// Ends such a node, which left, and counts it no more.
    pub(crate) fn dismiss(&mut self, node: &str) {
        if let Some(process) = self.process(node) {
            process.stop();
        }
        self.guests.retain(|(name, _)| name.to_string() != node);
    }

    /// Ports of this testnet's range that nobody holds.
    pub(crate) fn free_ports<const N: usize>(&self) -> [u16; N] {
        let highest = self.testnet.plan().nodes.iter().map(|node| node.files_port).max().unwrap();
        let mut free = (highest + 1..).filter(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok());
        [(); N].map(|()| free.next().unwrap())
    }

    /// A node's home.
    pub(crate) fn home(&self, node: &str) -> PathBuf {
        self.testnet.folder().home(&node.parse().unwrap()).root().to_path_buf()
    }

    /// Sets values of a section of a stopped node's configuration.
    pub(crate) fn write_config(&self, node: &str, section: &str, values: &[(&str, toml::Value)]) {
        let path = self.home(node).join("node.toml");
        let mut document: toml::Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
        let table = document.entry(section).or_insert_with(|| toml::Table::new().into()).as_table_mut().unwrap();
        table.extend(values.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        std::fs::write(path, document.to_string()).unwrap();
    }

    /// Restarts a node with other values in its configuration.
    pub(crate) async fn configure(&self, node: &str, section: &str, values: &[(&str, toml::Value)]) {
        self.testnet.stop(node).unwrap();
        self.write_config(node, section, values);
        self.restart(node).await;
    }

    /// A node's log so far.
    pub(crate) fn log(&self, node: &str) -> String {
        let path = self.testnet.folder().log(&node.parse().unwrap());
        String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
    }

    /// How a node's chain is.
    pub(crate) async fn chain(&self, node: &str) -> Option<ChainStatus> {
        self.anyone(node).chain().await.ok()
    }

    /// The node that orders, as `asked` knows it.
    pub(crate) async fn leader(&self, asked: &str) -> String {
        eventually("a leader is known", PATIENCE, async || self.chain(asked).await?.leader).await.to_string()
    }

    /// How a node takes part in ordering, and its number there.
    pub(crate) async fn place(&self, node: &str) -> Option<(Participation, u64)> {
        self.ordering(node).await.map(|ordering| (ordering.participation, ordering.raft_id))
    }

    /// The same, with what it waits for.
    pub(crate) async fn ordering(&self, node: &str) -> Option<NodeOrdering> {
        self.anyone(node).node_status().await.ok().map(|status| status.ordering)
    }

    /// Waits until a node votes and its chain is that of the others; its number in ordering.
    pub(crate) async fn votes(&self, node: &str) -> u64 {
        if self.guests.iter().any(|(name, _)| name.to_string() == node) {
            return eventually(&format!("{node} votes"), PATIENCE, async || {
                let (part, number) = self.place(node).await?;
                let seen = self.chain(VOTERS[0]).await?.voters.iter().any(|voter| voter.to_string() == node);
                (part == Participation::Voting && seen && self.anyone(node).ready().await.is_ok()).then_some(number)
            })
            .await;
        }
        self.testnet.joined(&node.parse().unwrap()).await.unwrap_or_else(|error| panic!("{error}")).ordering.raft_id
    }

    /// An administrator's call, at its member's node or another that runs.
    pub(crate) async fn administer(&self, member: &str, call: Call) -> TransactionStatus {
        let administrator = self.testnet.administrator(&member.parse().unwrap()).unwrap();
        administrator.apply(call, Wait::Certified).await.unwrap_or_else(|error| panic!("admin@{member}: {error}"))
    }

    /// Proposes a change for a member and has every member approve it.
    pub(crate) async fn decide(&self, proposer: &str, change: ProposedChange) {
        let status = self.administer(proposer, Call::Propose(change)).await;
        self.testnet.vote(&ProposalId(status.id.0), Ballot::Approve).await.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Stops every node and verifies the ledger of each that takes part, offline.
    pub(crate) fn verify_ledgers(&self) {
        self.testnet.down().unwrap();
        for process in self.guests.iter().filter_map(|(name, _)| self.process(&name.to_string())) {
            process.stop();
        }
        for node in self.nodes() {
            let home = self.home(&node);
            let run = std::process::Command::new(program()).args(["ledger", "verify"]).arg(&home).output().unwrap();
            let (said, error) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
            assert!(run.status.success(), "the ledger of {node}: {said}\n{error}");
        }
    }

    pub(crate) async fn restart(&self, node: &str) {
        self.testnet.start(node, &program()).await.unwrap();
    }

    /// Every node's name.
    pub(crate) fn nodes(&self) -> Vec<String> {
        let planned = self.testnet.nodes().into_iter().map(|entry| entry.node);
        planned.chain(self.guests.iter().map(|(name, _)| name.clone())).map(|name| name.to_string()).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let planned = self.testnet.plan().nodes.iter().map(|node| &node.name);
        for node in planned.chain(self.guests.iter().map(|(name, _)| name)) {
            if let Some(process) = NodeProcess::find(self.testnet.folder(), node) {
                process.kill();
            }
            if std::thread::panicking() {
                let path = self.testnet.folder().log(node);
                eprintln!("--- end of the log of {node}\n{}", tail(&path, 25));
            }
        }
        // Nothing runs any more; what the kernel holds for it goes too. A test that fails has said more than this could.
        let _ = self.testnet.down();
    }
}

/// The program under test.
pub(crate) fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_galen"))
}

/// Runs `galen-verify` on a file of proof. Another package's program, which cargo does not name here: it lies beside `galen`.
pub(crate) fn stand_alone(file: &Path, genesis: &str) -> std::process::Output {
    let verifier = program().with_file_name("galen-verify");
    assert!(
        verifier.is_file(),
        "{} is not built; `cargo test --workspace` builds it where no `--test` is named, and so does `cargo build -p \
         galen-verifier`",
        verifier.display()
    );
    std::process::Command::new(verifier).arg(file).arg(genesis).output().unwrap()
}
