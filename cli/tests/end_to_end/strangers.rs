//! Nodes that do not belong: refused, with the reason in the log.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use galen_client::Wait;
use galen_keys::{KdfProfile, KeyPair, Keystore, PasswordSource};
use galen_node::config::{
    JoiningSection, KeySection, LedgerSection, NetworkSection, NodeConfig, OrderingSection, ScrubSection, SyncSection,
};
use galen_node::home::NodeHome;
use galen_node::http::HttpSettings;
use galen_node::telemetry::LogSettings;
use galen_testnet::PlanOptions;
use galen_testnet::plan::PlannedNode;
use galen_types::genesis::{Founder, FoundingNode};
use galen_types::member::{NewAccount, NodeAddress, NodeRole, Role};
use galen_types::{Genesis, NodeName, Signer, Slug};

use crate::support::{Cluster, VOTERS, eventually, program, publication};

/// A node of its own making, and its log.
struct Outsider {
    child: Child,
    log: PathBuf,
}

impl Outsider {
    /// Starts a node at another node's ports, with a genesis and a key that the testnet has not given it.
    fn start(cluster: &Cluster, ports: &PlannedNode, name: &NodeName, keys: &KeyPair, genesis: &Genesis) -> Self {
        let home = NodeHome::new(cluster.scratch().join(name.to_string()));
        let password_file = cluster.testnet.folder().password();
        let password = PasswordSource::File(password_file.clone()).read("").unwrap();
        let store = Keystore::open(home.keys()).unwrap();
        store.insert(&Signer::Node(name.clone()), keys, &password, KdfProfile::Testnet).unwrap();
        std::fs::write(home.genesis(), genesis.to_toml().unwrap()).unwrap();
        let config = NodeConfig {
            node: name.clone(),
            http: HttpSettings { listen: ([127, 0, 0, 1], ports.http_port).into(), public_url: None, tls: None },
            network: NetworkSection { listen: address(ports.network_port), listen_files: address(ports.files_port) },
            key: KeySection { password_file: Some(password_file), password_env: None },
            ordering: OrderingSection::default(),
            ledger: LedgerSection::default(),
            sync: SyncSection::default(),
            scrub: ScrubSection::default(),
            joining: JoiningSection::default(),
            log: LogSettings::default(),
        };
        std::fs::write(home.config(), config.to_toml().unwrap()).unwrap();
        let log = home.root().join("node.log");
        let file = File::create(&log).unwrap();
        let child = Command::new(program())
            .args(["node", "run", "--home"])
            .arg(home.root())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Outsider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the outsider\n{}", self.log());
        }
    }
}

fn address(port: u16) -> NodeAddress {
    NodeAddress::parse(&format!("/ip4/127.0.0.1/tcp/{port}")).unwrap()
}

/// A running testnet whose last voter is stopped, so that its ports are free and the others expect it there.
async fn with_a_place_free() -> (Cluster, PlannedNode) {
    let cluster = Cluster::start(PlanOptions::default()).await;
    let place = cluster.testnet.node(VOTERS[3]).unwrap().clone();
    assert!(cluster.testnet.kill(VOTERS[3]).unwrap());
    (cluster, place)
}

/// That the others refuse and say why, that the outsider says so too, got nothing, and that the chain goes on.
async fn assert_refused(cluster: &Cluster, outsider: &Outsider, code: &str) {
    eventually(&format!("a node logs the refusal `{code}`"), Duration::from_secs(30), async || {
        let refused = |node: &&str| {
            cluster.log(node).lines().any(|line| line.contains("connection refused") && line.contains(code))
        };
        VOTERS[..3].iter().any(refused).then_some(())
    })
    .await;
    eventually("the outsider logs why it is refused", Duration::from_secs(30), async || {
        outsider.log().contains(code).then_some(())
    })
    .await;
    let client = cluster.client(VOTERS[0], "owner@harlem");
    let status = client.apply(publication(), Wait::Certified).await.unwrap();
    assert!(status.height.is_some());
    assert!(!outsider.log().contains("peer connected"), "{}", outsider.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_key_is_not_registered_is_refused() {
    let (cluster, place) = with_a_place_free().await;
    // It has the real genesis, with itself written into it.
    let keys = KeyPair::from_seed(&[7; 32]);
    let mut genesis = cluster.testnet.plan().genesis().unwrap();
    let name = NodeName { node: Slug::parse("node-1").unwrap(), member: Slug::parse("stranger").unwrap() };
    let administrator = KeyPair::from_seed(&[8; 32]);
    genesis.members.push(Founder {
        name: name.member.clone(),
        accounts: vec![NewAccount {
            account: Slug::parse("admin").unwrap(),
            key: administrator.public_key(),
            encryption_key: administrator.encryption_key(),
            roles: vec![Role::Admin],
        }],
        nodes: vec![FoundingNode {
            node: name.node.clone(),
            key: keys.public_key(),
            role: NodeRole::Voter,
            address: address(place.network_port),
        }],
    });
    let outsider = Outsider::start(&cluster, &place, &name, &keys, &genesis);
    assert_refused(&cluster, &outsider, "not-registered").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_node_with_another_genesis_is_refused() {
    let (cluster, place) = with_a_place_free().await;
    let keys = cluster.testnet.plan().keys_of(&Signer::Node(place.name.clone()));
    let mut genesis = cluster.testnet.plan().genesis().unwrap();
    genesis.parameters.disclosure.rows_min += 1;
    let outsider = Outsider::start(&cluster, &place, &place.name, &keys, &genesis);
    assert_refused(&cluster, &outsider, "wrong-genesis").await;
}
