//! The nodes that may be on this network: what the chain says about them, replaced as a whole when it changes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, RwLock};

use galen_types::NodeName;
use galen_types::member::{Node, NodeRole, Standing};
use libp2p::{Multiaddr, PeerId};

use crate::access::Access;
use crate::address::{ip_of, parse_address};
use crate::identity::{IdentityError, peer_id_of};
use crate::limits::ADDRESSES_PER_PEER_MAX;
use crate::sync::{read, write};

/// One registered node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredPeer {
    /// The node's Ed25519 public key, 32 bytes.
    pub public_key: [u8; 32],
    /// Where its control port is reached; the first that answers is used. May be empty: then it must dial us.
    pub addresses: Vec<Multiaddr>,
    /// What it does on the chain.
    pub role: NodeRole,
    /// What it may do on the network.
    pub access: Access,
}

/// All registered nodes by name, this node included or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerRegistry {
    peers: BTreeMap<NodeName, (PeerId, RegisteredPeer)>,
}

/// Why a registry is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// A key is no key.
    #[error("node `{node}`: {source}")]
    Key {
        /// The node.
        node: NodeName,
        /// What is wrong.
        source: IdentityError,
    },
    /// Two names with one key.
    #[error("nodes `{first}` and `{second}` have the same key; give each node a key of its own")]
    SharedKey {
        /// One node.
        first: NodeName,
        /// The other.
        second: NodeName,
    },
}

impl RegistryError {
    /// A stable code for interfaces and logs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Key { source, .. } => source.code(),
            Self::SharedKey { .. } => "node-key-shared",
        }
    }
}

impl PeerRegistry {
    /// A registry of these nodes. Of each node at most [`ADDRESSES_PER_PEER_MAX`] addresses are kept.
    ///
    /// # Errors
    /// [`RegistryError`] when a key is no key, or two nodes share one.
    pub fn new(peers: impl IntoIterator<Item = (NodeName, RegisteredPeer)>) -> Result<Self, RegistryError> {
        let mut registry = BTreeMap::new();
        let mut owners: HashMap<PeerId, NodeName> = HashMap::new();
        for (node, mut peer) in peers {
            let id =
                peer_id_of(&peer.public_key).map_err(|source| RegistryError::Key { node: node.clone(), source })?;
            peer.addresses.truncate(ADDRESSES_PER_PEER_MAX);
            if let Some(first) = owners.insert(id, node.clone())
                && first != node
            {
                return Err(RegistryError::SharedKey { first, second: node });
            }
            registry.insert(node, (id, peer));
        }
        Ok(Self { peers: registry })
    }

    /// The registry of the nodes that the chain has and that are active. What cannot be used on the network (a key that
    /// is no key, a key that an earlier node has, an address that cannot be dialled) is left out and logged: one bad
    /// entry on the chain must not cut off the others.
    pub fn of_nodes<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Self {
        let mut registry = Self::default();
        registry.add(nodes.into_iter().filter(|node| node.standing == Standing::Active), Access::Full);
        registry
    }

    /// The same with nodes that the chain has removed and that are needed for a while still, whatever their standing. Of a
    /// name or key that is here already nothing is changed.
    #[must_use]
    pub fn with_removed<'a>(mut self, nodes: impl IntoIterator<Item = &'a Node>, access: Access) -> Self {
        self.add(nodes.into_iter(), access);
        self
    }

    fn add<'a>(&mut self, nodes: impl Iterator<Item = &'a Node>, access: Access) {
        let mut keys: HashSet<PeerId> = self.peers.values().map(|(id, _)| *id).collect();
        for node in nodes {
            if self.peers.contains_key(&node.name) {
                continue;
            }
            let public_key = *node.key.as_bytes();
            let id = match peer_id_of(&public_key) {
                Ok(id) if keys.insert(id) => id,
                Ok(_) => {
                    tracing::warn!(node = %node.name, code = "node-key-shared", "left out: another node has the same key");
                    continue;
                }
                Err(error) => {
                    tracing::warn!(node = %node.name, code = error.code(), "left out: {error}");
                    continue;
                }
            };
            let addresses = match parse_address(node.address.as_str()) {
                Ok(address) => vec![address],
                Err(error) => {
                    tracing::warn!(node = %node.name, code = error.code(), "cannot be dialled: {error}");
                    Vec::new()
                }
            };
            let peer = RegisteredPeer { public_key, addresses, role: node.role, access };
            self.peers.insert(node.name.clone(), (id, peer));
        }
    }

    /// The nodes, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&NodeName, &PeerId, &RegisteredPeer)> {
        self.peers.iter().map(|(node, (id, peer))| (node, id, peer))
    }

    /// A node by name.
    #[must_use]
    pub fn get(&self, node: &NodeName) -> Option<(&PeerId, &RegisteredPeer)> {
        self.peers.get(node).map(|(id, peer)| (id, peer))
    }
}

/// The registry in force, with the look-ups that admission needs, shared by the network's tasks.
pub(crate) struct SharedRegistry {
    own: NodeName,
    current: RwLock<Arc<Index>>,
}

/// A registry and its look-ups.
pub(crate) struct Index {
    pub(crate) registry: PeerRegistry,
    names: HashMap<PeerId, NodeName>,
    addresses: HashSet<IpAddr>,
}

impl Index {
    fn new(registry: PeerRegistry, own: &NodeName) -> Self {
        // Nobody else may speak under this node's name, not even the key that replaced its own.
        let names =
            registry.iter().filter(|(node, ..)| *node != own).map(|(node, id, _)| (*id, node.clone())).collect();
        let addresses = registry.iter().flat_map(|(_, _, peer)| peer.addresses.iter().filter_map(ip_of)).collect();
        Self { registry, names, addresses }
    }

    /// The peer with this key: a registered node that is not this one.
    pub(crate) fn name(&self, peer: &PeerId) -> Option<&NodeName> {
        self.names.get(peer)
    }

    /// Whether some node is registered under this IP address.
    pub(crate) fn is_address_known(&self, ip: &IpAddr) -> bool {
        self.addresses.contains(ip)
    }
}

impl SharedRegistry {
    /// The registry as the node named `own` sees it, which may stand in it or not.
    pub(crate) fn new(registry: PeerRegistry, own: NodeName) -> Self {
        let index = Index::new(registry, &own);
        Self { own, current: RwLock::new(Arc::new(index)) }
    }

    pub(crate) fn current(&self) -> Arc<Index> {
        Arc::clone(&read(&self.current))
    }

    pub(crate) fn replace(&self, registry: PeerRegistry) {
        *write(&self.current) = Arc::new(Index::new(registry, &self.own));
    }

    /// What this node does on the chain, if it stands in the registry.
    pub(crate) fn own_role(&self) -> Option<NodeRole> {
        self.current().registry.get(&self.own).map(|(_, registered)| registered.role)
    }

    /// What the peer with this key may do, if it is registered.
    pub(crate) fn access(&self, peer: &PeerId) -> Option<Access> {
        let index = self.current();
        index.name(peer).and_then(|node| index.registry.get(node)).map(|(_, registered)| registered.access)
    }

    /// The name of the peer with this key, if it is registered.
    pub(crate) fn name(&self, peer: &PeerId) -> Option<NodeName> {
        self.current().name(peer).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::keypair_of;
    use galen_types::PublicKey;
    use zeroize::Zeroizing;

    fn peer(seed: u8) -> RegisteredPeer {
        let pair = keypair_of(&Zeroizing::new([seed; 32])).unwrap();
        RegisteredPeer {
            public_key: pair.public().try_into_ed25519().unwrap().to_bytes(),
            addresses: vec![],
            role: NodeRole::Voter,
            access: Access::Full,
        }
    }

    #[test]
    fn two_names_may_not_share_a_key() {
        let names: [NodeName; 2] = ["node-1.harlem".parse().unwrap(), "node-1.kentucky".parse().unwrap()];
        let error = PeerRegistry::new([(names[0].clone(), peer(1)), (names[1].clone(), peer(1))]).unwrap_err();
        assert_eq!(error.code(), "node-key-shared");
        assert!(PeerRegistry::new([(names[0].clone(), peer(1)), (names[1].clone(), peer(2))]).is_ok());
    }

    #[test]
    fn one_bad_entry_on_the_chain_does_not_cut_off_the_others() {
        let node = |name: &str, key: [u8; 32], address: &str| Node {
            name: name.parse().unwrap(),
            key: PublicKey::Ed25519(key),
            role: NodeRole::Voter,
            raft_id: 1,
            address: address.parse().unwrap(),
            standing: Standing::Active,
            registered_height: 0,
        };
        let no_key = (0..=255).map(|byte| [byte; 32]).find(|key| peer_id_of(key).is_err()).unwrap();
        let nodes = [
            node("node-1.harlem", peer(1).public_key, "/ip4/10.0.0.1/tcp/7101"),
            node("node-1.hennepin", peer(1).public_key, "/ip4/10.0.0.2/tcp/7101"),
            node("node-1.kentucky", no_key, "/ip4/10.0.0.3/tcp/7101"),
            node("node-1.mississippi", peer(4).public_key, "/memory/1"),
            Node { standing: Standing::Left, ..node("node-1.ohio", peer(5).public_key, "/ip4/10.0.0.5/tcp/7101") },
        ];
        let registry = PeerRegistry::of_nodes(&nodes);
        let usable: Vec<_> = registry.iter().map(|(name, _, peer)| (name.to_string(), peer.addresses.len())).collect();
        assert_eq!(usable, [("node-1.harlem".to_owned(), 1), ("node-1.mississippi".to_owned(), 0)]);

        // Those that leave change nothing of those that stay.
        let active = Node { standing: Standing::Active, ..nodes[4].clone() };
        let registry = registry.with_removed([&nodes[1], &nodes[2], &nodes[4], &nodes[0]], Access::OrderingOnly);
        let access: Vec<_> = registry.iter().map(|(name, _, peer)| (name.to_string(), peer.access)).collect();
        let expected = [
            ("node-1.harlem".to_owned(), Access::Full),
            ("node-1.mississippi".to_owned(), Access::Full),
            ("node-1.ohio".to_owned(), Access::OrderingOnly),
        ];
        assert_eq!(access, expected);
        let full = PeerRegistry::of_nodes([&active]).with_removed([&active], Access::OrderingOnly);
        assert_eq!(full.get(&active.name).unwrap().1.access, Access::Full);
    }

    #[test]
    fn nobody_else_is_admitted_under_this_node_s_name_and_its_role_is_known() {
        let (own, other): (NodeName, NodeName) = ("node-1.harlem".parse().unwrap(), "node-1.kentucky".parse().unwrap());
        let registry = PeerRegistry::new([(own.clone(), peer(1)), (other.clone(), peer(2))]).unwrap();
        let shared = SharedRegistry::new(registry, own);
        let id = |seed| peer_id_of(&peer(seed).public_key).unwrap();
        assert_eq!((shared.name(&id(1)), shared.name(&id(2))), (None, Some(other.clone())));
        assert_eq!(shared.own_role(), Some(NodeRole::Voter));
        shared.replace(PeerRegistry::new([(other, peer(2))]).unwrap());
        assert_eq!(shared.own_role(), None);
    }

    #[test]
    fn addresses_of_a_node_are_bounded() {
        let mut many = peer(1);
        many.addresses = vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap(); 100];
        let registry = PeerRegistry::new([("node-1.harlem".parse().unwrap(), many)]).unwrap();
        assert_eq!(registry.iter().next().unwrap().2.addresses.len(), ADDRESSES_PER_PEER_MAX);
    }
}
