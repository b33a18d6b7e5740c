//! The network between nodes, to be cut without any rights: one TCP relay for each node stands at the address under which
//! the chain registers the node, so that all that peers say to each other passes here. It lives as long as its process;
//! where namespaces are permitted, [`isolation`](crate::isolation) breaks the kernel's own network instead.
//!
//! Who dialled is found out as the kernel knows it: the connection's source port, that socket's inode, the process that
//! holds it. A cut link swallows: nothing is closed or refused, bytes wait as they do on a cable that is unplugged and come
//! when it is put back.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::error::TestnetError;
use crate::network::Testnet;
use crate::plan::PlannedNode;
use crate::process::NodeProcess;

/// What holds between nodes. Directed: `(from, to)` is what `from` says to `to`.
#[derive(Debug, Clone, Default)]
struct Rules {
    cut: HashSet<(String, String)>,
    delay: HashMap<(String, String), Duration>,
}

/// The relays of a testnet that was made with [`relays`](crate::PlanOptions::relays). They end when this is dropped.
pub struct Relays {
    rules: watch::Sender<Rules>,
    listeners: JoinSet<()>,
}

impl Relays {
    /// Starts a relay for every node of a testnet that was made with `relays`; the nodes need not run yet.
    ///
    /// # Errors
    /// [`TestnetError`] when a node has no relay's port, or the port is taken.
    pub async fn start(testnet: &Testnet) -> Result<Self, TestnetError> {
        let mut relays = Self { rules: watch::channel(Rules::default()).0, listeners: JoinSet::new() };
        for node in testnet.plan().present() {
            relays.add(testnet, node).await?;
        }
        Ok(relays)
    }

    /// A relay for one more node.
    ///
    /// # Errors
    /// [`TestnetError`] when the node has no relay's port, or the port is taken.
    pub async fn add(&mut self, testnet: &Testnet, node: &PlannedNode) -> Result<(), TestnetError> {
        let relay_port = node.relay_port.ok_or(TestnetError::NotIsolated("a relay"))?;
        let listener = TcpListener::bind(("127.0.0.1", relay_port)).await;
        let listener = listener.map_err(|_| TestnetError::PortTaken(relay_port))?;
        let (testnet, node, rules) = (testnet.clone(), node.clone(), self.rules.clone());
        self.listeners.spawn(async move {
            let mut links = JoinSet::new();
            while let Ok((dialler, address)) = listener.accept().await {
                let from = owner_of(&testnet, address.port(), relay_port).unwrap_or_else(|| "unknown".to_owned());
                let (to, port) = (node.name.to_string(), node.network_port);
                let rules = rules.subscribe();
                links.spawn(async move {
                    // The node may be down: then the dialler sees its connection end.
                    let Ok(node) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    link(dialler, node, from, to, rules).await;
                });
            }
        });
        Ok(())
    }

    /// Nothing that `from` says reaches `to` any more; the other direction stays.
    pub fn cut_one_way(&self, from: &str, to: &str) {
        self.rules.send_modify(|rules| {
            rules.cut.insert((from.to_owned(), to.to_owned()));
        });
    }

    /// Nothing passes between the nodes of the one side and those of the other.
    pub fn split(&self, one: &[&str], other: &[&str]) {
        for left in one {
            for right in other {
                self.cut_one_way(left, right);
                self.cut_one_way(right, left);
            }
        }
    }

    /// What `from` says to `to` arrives later.
    pub fn delay(&self, from: &str, to: &str, by: Duration) {
        self.rules.send_modify(|rules| {
            rules.delay.insert((from.to_owned(), to.to_owned()), by);
        });
    }

    /// Everything passes again.
    pub fn heal(&self) {
        self.rules.send_replace(Rules::default());
    }
}

/// Carries bytes both ways until either side ends.
async fn link(dialler: TcpStream, node: TcpStream, from: String, to: String, rules: watch::Receiver<Rules>) {
    let _ = (dialler.set_nodelay(true), node.set_nodelay(true));
    let ((from_dialler, to_dialler), (from_node, to_node)) = (dialler.into_split(), node.into_split());
    tokio::select! {
        () = carry(from_dialler, to_node, (from.clone(), to.clone()), rules.clone()) => {}
        () = carry(from_node, to_dialler, (to, from), rules) => {}
    }
}

async fn carry(
    mut source: OwnedReadHalf,
    mut target: OwnedWriteHalf,
    way: (String, String),
    mut rules: watch::Receiver<Rules>,
) {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let Ok(read @ 1..) = source.read(&mut bytes).await else { return };
        let delay = rules.borrow().delay.get(&way).copied();
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        if rules.wait_for(|rules| !rules.cut.contains(&way)).await.is_err() {
            return;
        }
        if target.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

/// The node whose process holds the socket from a port to a relay's (proc(5), `/proc/net/tcp`).
fn owner_of(testnet: &Testnet, port: u16, relay_port: u16) -> Option<String> {
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let (local, remote) = (format!(":{port:04X}"), format!(":{relay_port:04X}"));
    let inode = table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it = fields.get(1)?.ends_with(&local) && fields.get(2)?.ends_with(&remote);
        is_it.then(|| fields.get(9).map_or_else(String::new, |inode| (*inode).to_owned()))
    })?;
    let socket = format!("socket:[{inode}]");
    testnet.plan().nodes.iter().find_map(|node| {
        let process = NodeProcess::find(testnet.folder(), &node.name)?;
        let entries = std::fs::read_dir(format!("/proc/{}/fd", process.pid)).ok()?;
        let holds = entries
            .flatten()
            .any(|entry| std::fs::read_link(entry.path()).is_ok_and(|target| target.to_string_lossy() == socket));
        holds.then(|| node.name.to_string())
    })
}
