//! What can go wrong between isolated nodes. All of it is state of the kernel: it holds until [`Isolation::heal`], whoever
//! runs that.

use super::tools::{batch, tc};
use super::{Isolation, LINK, Place};
use crate::error::TestnetError;

/// Nobody's.
const NOWHERE_MAC: &str = "02:67:61:6c:ff:ff";

impl Isolation {
    /// Nothing that `from` says reaches `to` any more, and `from` is told nothing: its packets go to a hardware address
    /// that nobody has. The other direction stays, as with a switch that lost one port's entry.
    ///
    /// # Errors
    /// [`TestnetError`] when there is no such node, or the system refuses.
    pub fn cut_one_way(&self, from: &str, to: &str) -> Result<(), TestnetError> {
        let (from, to) = (self.place(from)?, self.place(to)?);
        batch(&from.namespace, &format!("neigh replace {} lladdr {NOWHERE_MAC} dev {LINK} nud permanent\n", to.address))
    }

    /// Nothing passes between the nodes of the one side and those of the other, either way: both sides' routes lead into
    /// nothing.
    ///
    /// # Errors
    /// [`TestnetError`] when there is no such node, or the system refuses.
    pub fn split(&self, one: &[&str], other: &[&str]) -> Result<(), TestnetError> {
        let places = |nodes: &[&str]| nodes.iter().map(|node| self.place(node)).collect::<Result<Vec<_>, _>>();
        let (one, other) = (places(one)?, places(other)?);
        for (near, far) in [(&one, &other), (&other, &one)] {
            let routes: String =
                far.iter().map(|place| format!("route replace blackhole {}/32\n", place.address)).collect();
            for place in near {
                batch(&place.namespace, &routes)?;
            }
        }
        Ok(())
    }

    /// Pulls a node's cable.
    ///
    /// # Errors
    /// [`TestnetError`] when there is no such node, or the system refuses.
    pub fn unplug(&self, node: &str) -> Result<(), TestnetError> {
        batch(&self.place(node)?.namespace, &format!("link set {LINK} down\n"))
    }

    /// Lets so many kilobits a second pass each way on a node's cable; more waits up to 400 ms, then is lost.
    ///
    /// # Errors
    /// [`TestnetError`] when there is no such node, or the system refuses.
    pub fn slow(&self, node: &str, kilobits_per_second: u32) -> Result<(), TestnetError> {
        let place = self.place(node)?;
        let rate = format!("{kilobits_per_second}kbit");
        let switch = self.switch();
        for (namespace, end) in self.ends(place, &switch) {
            tc(
                namespace,
                ["qdisc", "replace", "dev", end, "root", "tbf", "rate", &rate, "burst", "32kbit", "latency", "400ms"],
            )?;
        }
        Ok(())
    }

    /// Mends everything.
    ///
    /// # Errors
    /// [`TestnetError`] when the system refuses.
    pub fn heal(&self) -> Result<(), TestnetError> {
        let switch = self.switch();
        for place in &self.places {
            // A link that was down has forgotten its neighbours.
            batch(
                &place.namespace,
                &format!("route flush table main type blackhole\nlink set {LINK} up\n{}", self.neighbours(place)),
            )?;
            for (namespace, end) in self.ends(place, &switch) {
                if tc(namespace, ["qdisc", "show", "dev", end])?.contains(" tbf ") {
                    tc(namespace, ["qdisc", "delete", "dev", end, "root"])?;
                }
            }
        }
        Ok(())
    }

    /// Both ends of a node's cable, each with its namespace.
    fn ends<'place>(&self, place: &'place Place, switch: &'place str) -> [(&'place str, &'place str); 2] {
        [(place.namespace.as_str(), LINK), (switch, place.port.as_str())]
    }
}
