//! Faults of a running testnet, by name: of the network between nodes, of processes, of disks. Each holds until
//! [`heal`], whoever runs that.

use std::fmt;

use galen_types::NodeName;
use nix::sys::signal::Signal;
use serde::Serialize;

use crate::error::TestnetError;
use crate::isolation::Isolation;
use crate::network::Testnet;
use crate::process::NodeProcess;
use crate::relay::Relays;
use crate::slow_disk;

/// What can be done to nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "fault")]
pub enum Fault {
    /// Some nodes and all others do not hear each other.
    Partition {
        /// The nodes of one side.
        side: Vec<NodeName>,
    },
    /// One node is not heard by another, without being told.
    OneWay {
        /// Who is not heard.
        from: NodeName,
        /// By whom.
        to: NodeName,
    },
    /// Two nodes do not hear each other; both hear all others.
    Cut {
        /// The one.
        one: NodeName,
        /// The other.
        other: NodeName,
    },
    /// Two sides hear each other through one node alone, which hears both.
    Bridge {
        /// The node between them.
        over: NodeName,
        /// The nodes of one side; all that are not named are the other.
        side: Vec<NodeName>,
    },
    /// A node's cable is pulled.
    LinkDown {
        /// Whose.
        node: NodeName,
    },
    /// A node's cable carries little.
    SlowLink {
        /// Whose.
        node: NodeName,
        /// Each way.
        kilobits_per_second: u32,
    },
    /// A node's process stands still (SIGSTOP) and does not know it afterwards.
    Pause {
        /// Whose.
        node: NodeName,
    },
    /// A node's process can write to its disk only so often.
    SlowDisk {
        /// Whose.
        node: NodeName,
        /// Writes to the disk.
        writes_per_second: u32,
    },
}

fn listed(nodes: &[NodeName]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Partition { side } => {
                write!(formatter, "{} and the others do not hear each other", listed(side))
            }
            Self::OneWay { from, to } => write!(formatter, "{to} does not hear {from}"),
            Self::Cut { one, other } => {
                write!(formatter, "{one} and {other} do not hear each other; the others hear both")
            }
            Self::Bridge { over, side } => {
                write!(formatter, "{} and the others do not hear each other; {over} hears both", listed(side))
            }
            Self::LinkDown { node } => write!(formatter, "the cable of {node} is pulled"),
            Self::SlowLink { node, kilobits_per_second } => {
                write!(formatter, "the cable of {node} carries {kilobits_per_second} kbit/s")
            }
            Self::Pause { node } => write!(formatter, "{node} stands still"),
            Self::SlowDisk { node, writes_per_second } => {
                write!(formatter, "the disk of {node} takes {writes_per_second} writes a second")
            }
        }
    }
}

/// How the network between nodes is broken.
pub enum Lines {
    /// In the kernel.
    Namespaces(Isolation),
    /// By relays between them.
    Relays(Relays),
}

impl Lines {
    /// The lines of a testnet before its nodes are up: the kernel's where it is isolated, else relays that are started here.
    ///
    /// # Errors
    /// [`TestnetError`] when a relay finds no port.
    pub async fn start(testnet: &Testnet) -> Result<Self, TestnetError> {
        match Self::of(testnet) {
            Some(lines) => Ok(lines),
            None => Ok(Self::Relays(Relays::start(testnet).await?)),
        }
    }

    /// The lines of a testnet that is isolated.
    pub fn of(testnet: &Testnet) -> Option<Self> {
        testnet.isolation().map(Self::Namespaces)
    }

    fn cut_one_way(&self, from: &NodeName, to: &NodeName) -> Result<(), TestnetError> {
        let (from, to) = (from.to_string(), to.to_string());
        match self {
            Self::Namespaces(isolation) => isolation.cut_one_way(&from, &to),
            Self::Relays(relays) => {
                relays.cut_one_way(&from, &to);
                Ok(())
            }
        }
    }

    fn split(&self, one: &[NodeName], other: &[NodeName]) -> Result<(), TestnetError> {
        let names = |nodes: &[NodeName]| nodes.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (one, other) = (names(one), names(other));
        let one: Vec<&str> = one.iter().map(String::as_str).collect();
        let other: Vec<&str> = other.iter().map(String::as_str).collect();
        match self {
            Self::Namespaces(isolation) => isolation.split(&one, &other),
            Self::Relays(relays) => {
                relays.split(&one, &other);
                Ok(())
            }
        }
    }

    /// Everything passes again.
    ///
    /// # Errors
    /// [`TestnetError::Isolation`] when the system refuses.
    pub fn heal(&self) -> Result<(), TestnetError> {
        match self {
            Self::Namespaces(isolation) => isolation.heal(),
            Self::Relays(relays) => {
                relays.heal();
                Ok(())
            }
        }
    }
}

impl Fault {
    /// Does it. `lines` is how the network is broken; faults of processes and disks need none.
    ///
    /// # Errors
    /// [`TestnetError`] when the fault needs lines and there are none, or the system refuses.
    pub fn apply(&self, testnet: &Testnet, lines: Option<&Lines>) -> Result<(), TestnetError> {
        let lines = |what| lines.ok_or(TestnetError::NotIsolated(what));
        match self {
            Self::Partition { side } => {
                let others: Vec<_> = others_of(testnet, side);
                lines("a partition")?.split(side, &others)
            }
            Self::OneWay { from, to } => lines("a one-way cut")?.cut_one_way(from, to),
            Self::Cut { one, other } => lines("a cut")?.split(std::slice::from_ref(one), std::slice::from_ref(other)),
            Self::Bridge { over, side } => {
                let near: Vec<_> = side.iter().filter(|node| *node != over).cloned().collect();
                let far = others_of(testnet, &[side.as_slice(), std::slice::from_ref(over)].concat());
                lines("a bridge")?.split(&near, &far)
            }
            Self::LinkDown { node } => match lines("a pulled cable")? {
                Lines::Namespaces(isolation) => isolation.unplug(&node.to_string()),
                lines => lines.split(std::slice::from_ref(node), &others_of(testnet, std::slice::from_ref(node))),
            },
            Self::SlowLink { node, kilobits_per_second } => match lines("a slow cable")? {
                Lines::Namespaces(isolation) => isolation.slow(&node.to_string(), *kilobits_per_second),
                Lines::Relays(_) => Err(TestnetError::NotIsolated("a slow cable")),
            },
            Self::Pause { node } => {
                let process = NodeProcess::find(testnet.folder(), node);
                let process = process.ok_or_else(|| TestnetError::Process {
                    node: node.clone(),
                    cause: "it does not run, so that it cannot be paused".to_owned(),
                })?;
                process.signal(Signal::SIGSTOP);
                Ok(())
            }
            Self::SlowDisk { node, writes_per_second } => slow_disk::slow(testnet, node, *writes_per_second),
        }
    }
}

/// The nodes that take part and are not of the given.
fn others_of(testnet: &Testnet, nodes: &[NodeName]) -> Vec<NodeName> {
    testnet.plan().present().map(|node| node.name.clone()).filter(|name| !nodes.contains(name)).collect()
}

/// Ends every fault: lines, paused processes, slow disks. A node that was killed stays so.
///
/// # Errors
/// [`TestnetError`] when the system refuses; what could be healed is.
pub fn heal(testnet: &Testnet, lines: Option<&Lines>) -> Result<(), TestnetError> {
    resume(testnet);
    let disks = slow_disk::release_all(testnet);
    lines.map_or(Ok(()), Lines::heal).and(disks)
}

/// Lets every paused process go on.
pub fn resume(testnet: &Testnet) {
    for node in testnet.plan().present() {
        if let Some(process) = NodeProcess::find(testnet.folder(), &node.name) {
            process.signal(Signal::SIGCONT);
        }
    }
}
