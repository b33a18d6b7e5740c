//! Whole networks over loopback TCP. What is here is what every such test needs.

mod admission;
mod faults;
mod files;
mod identity;
mod leaving;
mod messages;
mod reachability;
mod registry_changes;

use std::io::Write;
use std::sync::{Mutex, Once};
use std::time::Duration;

use galen_types::member::NodeRole;
use galen_types::{Hash, NodeName};
use tokio::time::timeout;
use tracing_subscriber::fmt::MakeWriter;
use zeroize::Zeroizing;

use crate::address::tcp_address;
use crate::identity::keypair_of;
use crate::sync::lock;
use crate::{
    Access, Multiaddr, Network, NetworkConfig, NetworkEvent, NetworkEvents, NetworkHandle, PeerId, PeerRegistry,
    RegisteredPeer,
};

/// How long a condition may take to come true before its test fails.
const PATIENCE: Duration = Duration::from_secs(30);

fn name(member: &str) -> NodeName {
    format!("node-1.{member}").parse().unwrap()
}

/// The seed of a member's node key.
fn seed(member: &str) -> [u8; 32] {
    *blake3::hash(member.as_bytes()).as_bytes()
}

fn peer_id(member: &str) -> PeerId {
    keypair_of(&Zeroizing::new(seed(member))).unwrap().public().to_peer_id()
}

fn config(member: &str) -> NetworkConfig {
    let loopback = || vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
    NetworkConfig {
        node_key: Zeroizing::new(seed(member)),
        listen: loopback(),
        bulk_listen: loopback(),
        genesis: Hash([3; 32]),
        chain: "main".to_owned(),
        node: name(member),
        role: NodeRole::Voter,
        lineage: Hash::ZERO,
        software_version: "0.1.0-test".to_owned(),
        registry: PeerRegistry::default(),
    }
}

/// A running node of a test.
struct Node {
    member: String,
    handle: NetworkHandle,
    events: NetworkEvents,
}

impl Node {
    async fn start(member: &str) -> Self {
        Self::start_with(config(member)).await
    }

    async fn start_with(config: NetworkConfig) -> Self {
        record_log();
        let member = config.node.member.to_string();
        let (handle, events) = Network::start(config).await.unwrap();
        Self { member, handle, events }
    }

    /// What is registered of this node.
    fn entry(&self) -> (NodeName, RegisteredPeer) {
        entry_of(&self.member, self.handle.listen_addresses().iter().copied().map(tcp_address).collect())
    }

    /// The next event of which `pick` makes something; others are dropped.
    async fn expect<T>(&mut self, what: &str, mut pick: impl FnMut(NetworkEvent) -> Option<T>) -> T {
        let found = timeout(PATIENCE, async {
            while let Some(event) = self.events.recv().await {
                if let Some(found) = pick(event) {
                    return Some(found);
                }
            }
            None
        });
        found.await.unwrap_or_else(|_| panic!("{}: no {what} in time", self.member)).unwrap()
    }

    /// Waits until a condition on the handle is true.
    async fn until(&self, what: &str, mut condition: impl FnMut(&NetworkHandle) -> bool) {
        let wait = async {
            while !condition(&self.handle) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, wait).await.unwrap_or_else(|_| {
            panic!("{}: not {what} in time: {:?} {:?}", self.member, self.handle.peers(), self.handle.counters())
        });
    }

    async fn until_connected(&self, member: &str) {
        self.until("connected", |handle| handle.is_connected(&name(member))).await;
    }
}

/// What is registered of a member's node that is reached at these addresses.
fn entry_of(member: &str, addresses: Vec<Multiaddr>) -> (NodeName, RegisteredPeer) {
    let public = keypair_of(&Zeroizing::new(seed(member))).unwrap().public();
    let public_key = public.try_into_ed25519().unwrap().to_bytes();
    // Of texts that only stand for a key, the name is not used.
    let node = format!("node-1.{member}").parse().unwrap_or_else(|_| name("unnamed"));
    (node, RegisteredPeer { public_key, addresses, role: NodeRole::Voter, access: Access::Full })
}

/// The registry of these nodes.
fn registry(nodes: &[&Node]) -> PeerRegistry {
    PeerRegistry::new(nodes.iter().map(|node| node.entry())).unwrap()
}

/// Nodes that are registered with and connected to each other.
async fn connected<const N: usize>(members: [&str; N]) -> [Node; N] {
    let mut nodes = Vec::new();
    for member in members {
        nodes.push(Node::start(member).await);
    }
    let all = registry(&nodes.iter().collect::<Vec<_>>());
    for node in &nodes {
        node.handle.set_registry(all.clone()).await;
    }
    for node in &nodes {
        for member in members.iter().filter(|member| **member != node.member) {
            node.until_connected(member).await;
        }
    }
    nodes.try_into().ok().unwrap()
}

/// Everything logged at `info` and above by all tests of this process, as JSON lines.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Recorder;

impl Write for Recorder {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        lock(&LOG).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Recorder {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

fn record_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt().json().with_max_level(tracing::Level::INFO).with_writer(Recorder).init();
    });
}

/// Waits for a log line that holds all these texts.
async fn until_logged(texts: &[&str]) {
    let wait = async {
        loop {
            let log = String::from_utf8_lossy(&lock(&LOG)).into_owned();
            if log.lines().any(|line| texts.iter().all(|text| line.contains(text))) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("nothing logged with {texts:?}"));
}
