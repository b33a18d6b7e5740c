//! Nodes in network namespaces of their own (namespaces(7)), so that their network can be broken as cables, switches and
//! firewalls break it, between real kernels' TCP.
//!
//! ```text
//!   galen-ID-switch            bridge br0
//!                                |      |      |
//!                               p0     p1     p2     one end of a virtual cable each
//!                                |      |      |
//!   galen-ID-0, -1, -2, ...    link0  link0  link0   the other end, 10.210.0.1, .2, .3, ...; the node's process
//! ```
//!
//! The bridge lives in a namespace too: the machine's own network is not touched, and any number of testnets use the same
//! addresses side by side. HTTP does not pass here: the launcher opens each node's HTTP socket on the machine's loopback and
//! hands it over, so that clients reach every node whatever is cut between nodes.
//!
//! Every name follows from the plan ([`Isolation::of`]), so that whoever has the testnet's folder can remove what a killed
//! launcher left. Needs root, `ip` and `tc` (Debian's package `iproute2`).

mod faults;
mod tools;

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns};

use crate::error::TestnetError;
use crate::plan::Plan;
use tools::{batch, ip};

/// Where `ip netns` keeps namespaces.
const NAMESPACES: &str = "/run/netns";
/// The cable's end in a node's namespace.
const LINK: &str = "link0";
/// Bits of a testnet's network.
const PREFIX_BITS: u8 = 24;

/// The address of the node at a place of the plan, counted from 0.
pub(crate) fn address_of(place: usize) -> Option<Ipv4Addr> {
    let host = u8::try_from(place + 1).ok().filter(|host| *host < u8::MAX)?;
    Some(Ipv4Addr::new(10, 210, 0, host))
}

/// The namespaces of a testnet.
#[derive(Debug, Clone)]
pub struct Isolation {
    /// Sets testnets on one machine apart.
    id: String,
    places: Vec<Place>,
}

/// A node's place.
#[derive(Debug, Clone)]
struct Place {
    node: String,
    namespace: String,
    /// The cable's end at the switch.
    port: String,
    address: Ipv4Addr,
    mac: String,
}

impl Isolation {
    /// The namespaces of a testnet that was made isolated.
    pub fn of(plan: &Plan) -> Option<Self> {
        let id = plan.id();
        let place_of = |(place, node): (usize, &crate::plan::PlannedNode)| {
            let address = node.address_isolated?;
            let [.., host] = address.octets();
            Some(Place {
                node: node.name.to_string(),
                namespace: format!("galen-{id}-{place}"),
                port: format!("p{place}"),
                address,
                mac: format!("02:67:61:6c:00:{host:02x}"),
            })
        };
        let places: Option<Vec<_>> = plan.nodes.iter().enumerate().map(place_of).collect();
        places.filter(|places| !places.is_empty()).map(|places| Self { id, places })
    }

    /// Whether namespaces can be made here: tries it.
    ///
    /// # Errors
    /// [`TestnetError::Isolation`] with what is missing.
    pub fn permitted() -> Result<(), TestnetError> {
        let name = format!("galen-try-{}", std::process::id());
        ip(["netns", "add", name.as_str()])?;
        let tried = batch(&name, "link add try0 type bridge\nlink set lo up\n");
        let removed = ip(["netns", "delete", name.as_str()]);
        tried.and(removed)
    }

    fn switch(&self) -> String {
        format!("galen-{}-switch", self.id)
    }

    fn names(&self) -> impl Iterator<Item = String> {
        self.places.iter().map(|place| place.namespace.clone()).chain([self.switch()])
    }

    fn place(&self, node: &str) -> Result<&Place, TestnetError> {
        self.places.iter().find(|place| place.node == node).ok_or_else(|| TestnetError::UnknownNode {
            name: node.to_owned(),
            nodes: self.places.iter().map(|place| place.node.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Makes the namespaces and cables, where they are not all there.
    ///
    /// # Errors
    /// [`TestnetError::Isolation`] when the system does not let it; nothing is left behind then.
    pub fn create(&self) -> Result<(), TestnetError> {
        if self.names().all(|name| path_of(&name).exists()) {
            return Ok(());
        }
        self.remove()?;
        let made = self.try_create();
        if made.is_err() {
            let _ = self.remove();
        }
        made
    }

    fn try_create(&self) -> Result<(), TestnetError> {
        let switch = self.switch();
        // The switch comes last in `names` and is made first: whole only when every namespace is there.
        ip(["netns", "add", switch.as_str()])?;
        batch(&switch, "link set lo up\nlink add br0 type bridge\nlink set br0 up\n")?;
        for place in &self.places {
            let Place { namespace, port, address, mac, .. } = place;
            ip(["netns", "add", namespace.as_str()])?;
            batch(
                namespace,
                &format!(
                    "link set lo up\nlink add {LINK} address {mac} type veth peer name {port} netns {switch}\n\
                     addr add {address}/{PREFIX_BITS} dev {LINK}\nlink set {LINK} up\n{}",
                    self.neighbours(place)
                ),
            )?;
            batch(&switch, &format!("link set {port} master br0\nlink set {port} up\n"))?;
        }
        Ok(())
    }

    /// Commands that tell a node's kernel where every other node is, so that it never asks around.
    fn neighbours(&self, place: &Place) -> String {
        let others = self.places.iter().filter(|other| other.address != place.address);
        others
            .map(|other| format!("neigh replace {} lladdr {} dev {LINK} nud permanent\n", other.address, other.mac))
            .collect()
    }

    /// Removes whatever is there of the namespaces. Processes that still run in one keep it alive without a name.
    ///
    /// # Errors
    /// [`TestnetError::Isolation`] when the system does not let it.
    pub fn remove(&self) -> Result<(), TestnetError> {
        for name in self.names().filter(|name| path_of(name).exists()) {
            ip(["netns", "delete", name.as_str()])?;
        }
        Ok(())
    }

    /// Runs something in a node's namespace: sockets that it opens and processes that it starts belong there.
    ///
    /// # Errors
    /// [`TestnetError`] when the namespace cannot be entered.
    pub fn within<T: Send>(&self, node: &str, run: impl FnOnce() -> T + Send) -> Result<T, TestnetError> {
        let path = path_of(&self.place(node)?.namespace);
        // The namespace is a thread's property: this one enters and ends.
        let entered = std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let namespace = File::open(&path)?;
                setns(&namespace, CloneFlags::CLONE_NEWNET)?;
                Ok::<T, std::io::Error>(run())
            });
            inside.join()
        });
        match entered {
            Ok(outcome) => outcome.map_err(|cause| TestnetError::file(path, cause)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn path_of(namespace: &str) -> PathBuf {
    Path::new(NAMESPACES).join(namespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::PlanOptions;

    #[test]
    fn names_and_addresses_follow_from_the_plan() {
        let options = PlanOptions { seed: Some(7), isolated: true, ..PlanOptions::default() };
        let plan = Plan::new(&options).unwrap();
        let (one, again) = (Isolation::of(&plan).unwrap(), Isolation::of(&plan.clone()).unwrap());
        assert_eq!(one.names().collect::<Vec<_>>(), again.names().collect::<Vec<_>>());
        assert_eq!(one.places.len(), 5);
        assert_eq!(one.place("node-1.hennepin").unwrap().address, Ipv4Addr::new(10, 210, 0, 2));
        assert!(one.place("node-1.riverside").is_err());
        let other = Plan::new(&PlanOptions { seed: Some(8), ..options }).unwrap();
        assert_ne!(Isolation::of(&other).unwrap().id, one.id);
        assert!(Isolation::of(&Plan::new(&PlanOptions::default()).unwrap()).is_none(), "it is not isolated");
        let ports: Vec<_> = one.places.iter().map(|place| place.port.len()).collect();
        assert!(ports.iter().all(|length| *length <= 15), "the kernel takes 15 characters of an interface's name");
    }

    #[test]
    fn there_are_as_many_addresses_as_a_network_of_that_size_has() {
        assert_eq!(address_of(0), Some(Ipv4Addr::new(10, 210, 0, 1)));
        assert_eq!(address_of(253), Some(Ipv4Addr::new(10, 210, 0, 254)));
        assert_eq!(address_of(254), None);
    }
}
