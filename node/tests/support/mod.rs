//! Whole consortia of real nodes in one process, each with its own folder and ports.

#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod liar;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use galen_client::{Client, ClientConfig};
use galen_keys::{KdfProfile, KeyPair, Keystore, Password};
use galen_node::config::{
    JoiningSection, KeySection, LedgerSection, NetworkSection, NodeConfig, OrderingSection, ScrubSection, SyncSection,
};
use galen_node::home::NodeHome;
use galen_node::http::HttpSettings;
use galen_node::runtime::Node;
use galen_node::telemetry::LogSettings;
use galen_types::genesis::{Founder, FoundingNode};
use galen_types::hash::Context;
use galen_types::member::{NewAccount, NodeAddress, NodeRole, Role};
use galen_types::{Genesis, Hash, Parameters, Signer, Timestamp};

pub(crate) const MEMBERS: [&str; 4] = ["harlem", "hennepin", "kentucky", "mississippi"];
pub(crate) const PASSWORD: &str = "a password of the tests";
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub(crate) fn keys_of(signer: &str) -> KeyPair {
    KeyPair::from_seed(&Hash::of(Context::Commitment, signer.as_bytes()).0)
}

/// Ports that were free a moment ago, below those that the system gives to outgoing connections; no two callers on this
/// machine are likely to look at the same place.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    let mut candidate = 10_000 + u16::try_from(getrandom::u64().unwrap() % 20_000).unwrap();
    let mut found = Vec::new();
    while found.len() < count {
        candidate = if candidate >= 32_000 { 10_000 } else { candidate + 1 };
        if TcpListener::bind(("127.0.0.1", candidate)).is_ok() {
            found.push(candidate);
        }
    }
    found
}

pub(crate) fn address(port: u16) -> NodeAddress {
    NodeAddress::parse(&format!("/ip4/127.0.0.1/tcp/{port}")).unwrap()
}

pub(crate) fn genesis(ports: &[u16]) -> Genesis {
    let founder = |member: &str, port: u16| {
        let account = |account: &str, role| {
            let keys = keys_of(&format!("{account}@{member}"));
            let (key, encryption_key) = (keys.public_key(), keys.encryption_key());
            NewAccount { account: name(account), key, encryption_key, roles: vec![role] }
        };
        Founder {
            name: name(member),
            accounts: vec![
                account("admin", Role::Admin),
                account("owner", Role::Owner),
                account("researcher", Role::Researcher),
            ],
            nodes: vec![founding_node("node-1", member, NodeRole::Voter, port)],
        }
    };
    let mut members: Vec<_> = MEMBERS.iter().zip(ports).map(|(member, port)| founder(member, *port)).collect();
    members[0].nodes.push(founding_node("aggregator", "harlem", NodeRole::Aggregator, ports[MEMBERS.len()]));
    let genesis = Genesis {
        chain: name("opt"),
        founded: Timestamp::now(),
        rules_version: 1,
        state_bucket_bits: 8,
        parameters: Parameters::default(),
        members,
    };
    genesis.check().unwrap();
    genesis
}

pub(crate) fn founding_node(node: &str, member: &str, role: NodeRole, port: u16) -> FoundingNode {
    let key = keys_of(&format!("{node}.{member}")).public_key();
    FoundingNode { node: name(node), key, role, address: address(port) }
}

pub(crate) fn make_home(
    folder: &Path,
    genesis: Option<&Genesis>,
    node: &str,
    port: u16,
    files_port: u16,
    configure: &dyn Fn(&mut NodeConfig),
) -> NodeHome {
    let home = NodeHome::new(folder.join(node));
    std::fs::create_dir_all(home.root()).unwrap();
    let password_file = home.root().join("password");
    std::fs::write(&password_file, PASSWORD).unwrap();
    std::fs::set_permissions(&password_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let password = Password::new(PASSWORD.to_owned()).unwrap();
    let store = Keystore::open(home.keys()).unwrap();
    store.insert(&name::<Signer>(node), &keys_of(node), &password, KdfProfile::Testnet).unwrap();
    let mut config = NodeConfig {
        node: name(node),
        http: HttpSettings { listen: name("127.0.0.1:0"), public_url: None, tls: None },
        network: NetworkSection { listen: address(port), listen_files: address(files_port) },
        key: KeySection { password_file: Some("password".into()), password_env: None },
        ordering: OrderingSection::default(),
        ledger: LedgerSection::default(),
        sync: SyncSection::default(),
        scrub: ScrubSection::default(),
        joining: JoiningSection::default(),
        log: LogSettings::default(),
    };
    configure(&mut config);
    std::fs::write(home.config(), config.to_toml().unwrap()).unwrap();
    if let Some(genesis) = genesis {
        std::fs::write(home.genesis(), genesis.to_toml().unwrap()).unwrap();
    }
    home
}

/// The running consortium.
pub(crate) struct Consortium {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) nodes: Vec<(String, NodeHome, Node)>,
    pub(crate) stopped: Vec<(String, NodeHome)>,
}

impl Consortium {
    pub(crate) async fn start() -> Self {
        Self::start_with(&|_| {}).await
    }

    /// A consortium whose nodes' configurations are changed before they start.
    pub(crate) async fn start_with(configure: &dyn Fn(&mut NodeConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = free_ports(2 * (MEMBERS.len() + 1));
        let (control, bulk) = ports.split_at(MEMBERS.len() + 1);
        let genesis = genesis(control);
        let mut names: Vec<String> = MEMBERS.iter().map(|member| format!("node-1.{member}")).collect();
        names.push("aggregator.harlem".to_owned());
        let mut nodes = Vec::new();
        for ((node, port), files_port) in names.into_iter().zip(control).zip(bulk) {
            let home = make_home(folder.path(), Some(&genesis), &node, *port, *files_port, configure);
            let running = Node::start(&home).await.unwrap();
            nodes.push((node, home, running));
        }
        let consortium = Self { folder, nodes, stopped: Vec::new() };
        for (node, _, _) in &consortium.nodes {
            consortium.ready(node).await;
        }
        consortium
    }

    pub(crate) async fn ready(&self, node: &str) {
        let client = Client::new(ClientConfig::new(self.url(node))).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = client.ready().await {
            if Instant::now() >= deadline {
                let status = client.node_status().await.map(|status| format!("{status:?}"));
                panic!("{node} is not ready: {error}; {status:?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) fn url(&self, node: &str) -> String {
        let (_, _, running) = self.nodes.iter().find(|(found, _, _)| found == node).unwrap();
        format!("http://{}", running.http_address())
    }

    /// What a node's metrics page says of one.
    pub(crate) async fn metric(&self, node: &str, name: &str) -> f64 {
        let text = reqwest::get(format!("{}/metrics", self.url(node))).await.unwrap().text().await.unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{node} has no {name}")).parse().unwrap()
    }

    /// An account at its own member's node.
    pub(crate) fn client(&self, account: &str) -> Client {
        let member = account.split_once('@').unwrap().1;
        let config = ClientConfig::new(self.url(&format!("node-1.{member}")));
        Client::new(config.with_account(name(account), keys_of(account))).unwrap()
    }

    pub(crate) fn home(&self, node: &str) -> &NodeHome {
        &self.nodes.iter().find(|(found, _, _)| found == node).unwrap().1
    }

    pub(crate) async fn restart(&mut self, node: &str) {
        self.stop_node(node).await;
        self.start_node(node).await;
    }

    pub(crate) async fn stop_node(&mut self, node: &str) {
        let place = self.nodes.iter().position(|(found, _, _)| found == node).unwrap();
        let (name, home, running) = self.nodes.remove(place);
        assert_eq!(running.stop().await, None);
        self.stopped.push((name, home));
    }

    pub(crate) async fn start_node(&mut self, node: &str) {
        let place = self.stopped.iter().position(|(found, _)| found == node).unwrap();
        let (name, home) = self.stopped.remove(place);
        let running = Node::start(&home).await.unwrap();
        self.nodes.push((name, home, running));
        self.ready(node).await;
    }

    pub(crate) async fn stop(self) {
        for (node, _, running) in self.nodes {
            assert_eq!(running.stop().await, None, "{node}");
        }
    }
}
