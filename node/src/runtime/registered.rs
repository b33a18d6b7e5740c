//! What the chain says about nodes at the newest applied block: who may be talked to, who votes, what this node is. Made
//! anew by the execution thread with every block that writes a record of it; everyone else watches it.
//!
//! A node that the chain takes out is cut off within that block, but for what the others cannot do without it:
//! - where it was a voter, the last block of its epoch waits for its signature, so it is a peer like any until that block
//!   is certified here;
//! - where it ordered, its vote is needed for the change that takes it out of ordering, so frames of ordering go to and fro
//!   for as long as ordering's configuration here names it.
//!
//! Both are read from the ledger and the ordering log, so a restart forgets neither.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use galen_chain::{ExecutorError, LedgerState};
use galen_consensus::RaftId;
use galen_contracts::query::{get_voter_set, list_members, list_nodes, list_ordering, list_retired};
use galen_contracts::{StateError, StateRead};
use galen_ledger::{Ledger, LedgerError, View};
use galen_p2p::{Access, NetworkHandle, PeerRegistry};
use galen_types::member::{Node, OrderingNode, Standing};
use galen_types::{NodeName, PublicKey, VoterSet};
use tokio::sync::watch;

use super::fatal::Shutdown;
use crate::home::NodeHome;
use crate::operate::Bootstrap;

/// Rows read at a time.
const PAGE: usize = 1_000;

/// Epochs whose voters are looked for, from the first that is not certified: certification passes one after the other.
const EPOCHS_MAX: usize = 64;

/// The nodes of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Registered {
    /// The block after which it is so.
    pub(crate) height: u64,
    /// Active nodes of active members.
    pub(crate) nodes: BTreeMap<NodeName, Node>,
    /// This node's record, whatever its standing; `None` where the chain does not know it (yet).
    pub(crate) own: Option<Node>,
    /// Who certifies the next height.
    pub(crate) voters: VoterSet,
    /// The numbers in ordering: of those that order, and of those that were taken out of it last. A node has one at most.
    pub(crate) numbers: BTreeMap<NodeName, OrderingNode>,
    /// Voters of former epochs, of which a signature may be missing: some of their heights are not certified here.
    pub(crate) certifying: BTreeMap<NodeName, Node>,
    /// Nodes that were taken out and that ordering may name still.
    pub(crate) leaving: BTreeMap<NodeName, Node>,
}

impl Registered {
    /// Reads it from the ledger.
    ///
    /// # Errors
    /// [`ExecutorError`] when the ledger cannot be read.
    pub(crate) fn of(ledger: &Ledger, own: &NodeName) -> Result<Self, ExecutorError> {
        // Read first: a view made later holds at least as much.
        let certified = ledger.certified_height();
        let state = LedgerState(ledger.view()?);
        let voters = get_voter_set(&state)?;
        let waited_for = former_voters(&state.0, certified, voters.epoch)?;
        let height = state.0.height();
        Ok(Self::of_state(&state, height, own, voters, &waited_for)?)
    }

    fn of_state(
        state: &dyn StateRead,
        height: u64,
        own: &NodeName,
        voters: VoterSet,
        waited_for: &BTreeSet<NodeName>,
    ) -> Result<Self, StateError> {
        let listed = list_ordering(state)?.into_iter().chain(list_retired(state)?);
        let numbers: BTreeMap<_, _> = listed.map(|entry| (entry.node.clone(), entry)).collect();
        let mut active = HashSet::new();
        let mut last = None;
        loop {
            let page = list_members(state, last.as_ref(), PAGE)?;
            let is_last = page.len() < PAGE;
            last = page.last().map(|member| member.name.clone());
            active.extend(
                page.into_iter().filter(|member| member.standing == Standing::Active).map(|member| member.name),
            );
            if is_last {
                break;
            }
        }
        let (mut nodes, mut found, mut last) = (BTreeMap::new(), None, None);
        let (mut certifying, mut leaving) = (BTreeMap::new(), BTreeMap::new());
        loop {
            let page = list_nodes(state, None, last.as_ref(), PAGE)?;
            let is_last = page.len() < PAGE;
            last = page.last().map(|node| node.name.clone());
            for node in page {
                if node.name == *own {
                    found = Some(node.clone());
                }
                if node.name != *own && waited_for.contains(&node.name) {
                    certifying.insert(node.name.clone(), node.clone());
                }
                if node.standing == Standing::Active && active.contains(&node.name.member) {
                    nodes.insert(node.name.clone(), node);
                } else if node.name != *own && numbers.contains_key(&node.name) {
                    leaving.insert(node.name.clone(), node);
                }
            }
            if is_last {
                break;
            }
        }
        Ok(Self { height, nodes, own: found, voters, numbers, certifying, leaving })
    }

    /// This node's record, if it takes part.
    pub(crate) fn own_active(&self) -> Option<&Node> {
        self.own.as_ref().filter(|own| self.nodes.contains_key(&own.name))
    }

    /// A node's number in ordering, which may be one that the chain has taken from it.
    pub(crate) fn number(&self, node: &NodeName) -> Option<RaftId> {
        self.numbers.get(node).map(|entry| RaftId(entry.raft_id))
    }

    /// The number in ordering that the chain has taken from this node, which has no other since.
    pub(crate) fn own_retired(&self) -> Option<u64> {
        let own = self.own.as_ref()?;
        self.numbers.get(&own.name).filter(|entry| !entry.orders()).map(|entry| entry.raft_id)
    }

    /// Whether a node is in the voter set.
    pub(crate) fn votes(&self, node: &NodeName) -> bool {
        self.voters.key_of(node).is_some()
    }

    /// Whether the peers that this node was given when it joined count still. No longer, once the chain has come as far,
    /// or to where it registers this node as it is (its key): from then on the chain alone says who its peers are.
    pub(crate) fn needs(&self, given: &Bootstrap, own_key: &PublicKey) -> bool {
        given.height > self.height && (given.is_own || self.own.as_ref().is_none_or(|own| own.key != *own_key))
    }

    /// Whom the network lets in: those that the chain knows, with the keys and addresses that it says; those that this
    /// node was given when it joined, where the chain has no record of their name, or with `prefers_given` in its place;
    /// and those that were taken out and are needed still. `named` are the numbers in ordering's configuration here; none
    /// on a node that does not order.
    pub(crate) fn peers(
        &self,
        given: Option<&Bootstrap>,
        prefers_given: bool,
        named: &BTreeSet<RaftId>,
    ) -> PeerRegistry {
        let mut nodes = self.nodes.clone();
        for node in given.into_iter().flat_map(|given| &given.nodes) {
            if prefers_given {
                nodes.insert(node.name.clone(), node.clone());
            } else {
                nodes.entry(node.name.clone()).or_insert_with(|| node.clone());
            }
        }
        let is_named = |node: &&Node| self.number(&node.name).is_some_and(|number| named.contains(&number));
        PeerRegistry::of_nodes(nodes.values())
            .with_removed(self.certifying.values(), Access::Full)
            .with_removed(self.leaving.values().filter(is_named), Access::OrderingOnly)
    }
}

/// The voters of epochs before `epoch` of which a height above the certified one is applied here.
fn former_voters(view: &View<'_>, certified: u64, epoch: u64) -> Result<BTreeSet<NodeName>, LedgerError> {
    let Some(first) = view.header(certified.saturating_add(1))? else { return Ok(BTreeSet::new()) };
    let mut names = BTreeSet::new();
    for epoch in (first.epoch..epoch).take(EPOCHS_MAX) {
        if let Some(set) = view.voter_set(epoch)? {
            names.extend(set.voters.into_iter().map(|voter| voter.node));
        }
    }
    Ok(names)
}

/// How long a joining node that reaches nobody tries the peers that the chain names (or those that it was given) before it
/// tries the others. All that the chain names at the newcomer's height may have changed keys and addresses since.
const GIVEN_TRIED: Duration = Duration::from_secs(10);

/// Keeps the network's registry at what the chain and ordering's configuration say, until the node stops.
pub(super) async fn follow(
    mut registered: watch::Receiver<Arc<Registered>>,
    mut named: watch::Receiver<BTreeSet<RaftId>>,
    network: NetworkHandle,
    home: NodeHome,
    mut given: Option<Arc<Bootstrap>>,
    own_key: PublicKey,
    shutdown: Shutdown,
) {
    let mut prefers_given = false;
    let mut known: Option<BTreeMap<NodeName, Node>> = None;
    loop {
        let now = Arc::clone(&registered.borrow_and_update());
        let numbers = named.borrow_and_update().clone();
        given = given.filter(|given| now.needs(given, &own_key));
        network.set_registry(now.peers(given.as_deref(), prefers_given, &numbers)).await;
        // While a ledger comes anew, what the former one said last is worth more.
        if given.is_none() && now.height > 0 && known.as_ref() != Some(&now.nodes) {
            known = Some(now.nodes.clone());
            keep_known(&home, &now).await;
        }
        tracing::debug!(
            height = now.height,
            nodes = now.nodes.len(),
            certifying = now.certifying.len(),
            leaving = now.leaving.len(),
            "who may be talked to"
        );
        tokio::select! {
            () = shutdown.stopping() => return,
            changed = registered.changed() => if changed.is_err() { return },
            changed = named.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(GIVEN_TRIED), if given.is_some() => {
                prefers_given ^= network.connected_count() == 0;
            }
        }
    }
}

/// Keeps where peers are in a file, for when the ledger cannot be read any more.
async fn keep_known(home: &NodeHome, now: &Registered) {
    let (home, nodes) = (home.clone(), now.nodes.values().cloned().collect());
    let known = Bootstrap { height: now.height, nodes, is_own: true };
    let written = tokio::task::spawn_blocking(move || known.write_known(&home)).await;
    if let Ok(Err(error)) = written {
        tracing::warn!(%error, "where peers are cannot be noted down");
    }
}

#[cfg(test)]
mod tests {
    use galen_contracts::keys;
    use galen_p2p::peer_id_of;
    use galen_types::api::BootstrapPeer;
    use galen_types::certificate::Voter;
    use galen_types::member::{Member, NodeAddress, NodeRole};
    use galen_types::{Encoding, MemberName, SecretKey};

    use super::*;

    /// A state of single records.
    #[derive(Default)]
    struct Records(BTreeMap<Vec<u8>, Vec<u8>>);

    impl StateRead for Records {
        fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
            Ok(self.0.get(key).cloned())
        }

        fn scan(
            &self,
            prefix: &[u8],
            start_after: Option<&[u8]>,
            limit: usize,
        ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StateError> {
            let within = self.0.iter().filter(|(key, _)| key.starts_with(prefix));
            let after = within.filter(|(key, _)| start_after.is_none_or(|start| key.as_slice() > start));
            Ok(after.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect())
        }
    }

    fn key(name: &NodeName) -> galen_types::PublicKey {
        SecretKey::from_seed(
            &galen_types::Hash::of(galen_types::hash::Context::Commitment, name.to_string().as_bytes()).0,
        )
        .public_key()
    }

    /// Harlem votes; hennepin is suspended and kentucky's node was removed, both after they voted; mississippi's was
    /// demoted.
    fn records() -> Records {
        let mut records = Records::default();
        let mut put = |key: Vec<u8>, value: Vec<u8>| records.0.insert(key, value);
        let mut ordering = Vec::new();
        let mut voters = Vec::new();
        for (raft_id, member, member_is, node_is, retired_height) in [
            (1, "harlem", Standing::Active, Standing::Active, 0),
            (2, "hennepin", Standing::Suspended, Standing::Active, 7),
            (3, "kentucky", Standing::Active, Standing::Left, 8),
            (4, "mississippi", Standing::Active, Standing::Active, 9),
        ] {
            let name: MemberName = member.parse().unwrap();
            let node: NodeName = format!("node-1.{member}").parse().unwrap();
            put(
                keys::member(&name).into_bytes(),
                Member { name: name.clone(), standing: member_is, admitted_height: 0 }.encode(),
            );
            let record = Node {
                name: node.clone(),
                key: key(&node),
                role: NodeRole::Voter,
                raft_id: if retired_height == 0 { raft_id } else { 0 },
                address: NodeAddress::parse("/ip4/127.0.0.1/tcp/1").unwrap(),
                standing: node_is,
                registered_height: 0,
            };
            put(keys::node(&node).into_bytes(), record.encode());
            ordering.push(OrderingNode { raft_id, node: node.clone(), retired_height });
            if retired_height == 0 {
                voters.push(Voter { key: key(&node), node });
            }
        }
        put(keys::ordering().into_bytes(), ordering.encode());
        put(keys::voter_set().into_bytes(), VoterSet::new(3, galen_types::Hash::ZERO, voters).encode());
        records
    }

    fn registered(own: &str, waited_for: &[&str]) -> Registered {
        let state = records();
        let waited_for = waited_for.iter().map(|node| node.parse().unwrap()).collect();
        let voters = get_voter_set(&state).unwrap();
        Registered::of_state(&state, 9, &own.parse().unwrap(), voters, &waited_for).unwrap()
    }

    fn access(registered: &Registered, named: &[u64]) -> Vec<(String, Access)> {
        let named = named.iter().map(|id| RaftId(*id)).collect();
        let registry = registered.peers(None, false, &named);
        registry.iter().map(|(node, _, peer)| (node.member.to_string(), peer.access)).collect()
    }

    #[test]
    fn who_was_taken_out_is_a_peer_while_it_is_needed() {
        let entry = |member: &str, access| (member.to_owned(), access);
        let (harlem, mississippi) = (entry("harlem", Access::Full), entry("mississippi", Access::Full));
        let now = registered("node-1.harlem", &[]);
        assert_eq!(access(&now, &[]), [harlem.clone(), mississippi.clone()], "nobody needs the others");
        assert_eq!(
            access(&now, &[1, 2, 3, 4]),
            [
                harlem.clone(),
                entry("hennepin", Access::OrderingOnly),
                entry("kentucky", Access::OrderingOnly),
                mississippi.clone()
            ]
        );
        assert_eq!(
            access(&now, &[1, 3]),
            [harlem.clone(), entry("kentucky", Access::OrderingOnly), mississippi.clone()]
        );
        // An epoch's last block waits for its voters.
        let waiting = registered("node-1.harlem", &["node-1.harlem", "node-1.hennepin", "node-1.mississippi"]);
        assert_eq!(
            access(&waiting, &[1, 2, 3]),
            [harlem, entry("hennepin", Access::Full), entry("kentucky", Access::OrderingOnly), mississippi]
        );
        let names: Vec<_> = waiting.certifying.keys().map(|node| node.member.to_string()).collect();
        assert_eq!(names, ["hennepin", "mississippi"], "all but this node");
    }

    #[test]
    fn what_the_sponsor_said_of_a_name_does_not_take_the_chain_s_place() {
        let peer = |name: &str, key: &str| BootstrapPeer {
            name: name.parse().unwrap(),
            key: self::key(&key.parse().unwrap()),
            address: NodeAddress::parse("/ip4/127.0.0.1/tcp/2").unwrap(),
            role: NodeRole::Voter,
        };
        let now = registered("node-1.harlem", &[]);
        let peers = [peer("node-1.mississippi", "node-9.evil"), peer("node-1.ohio", "node-1.ohio")];
        let given = Bootstrap::new(u64::MAX, peers.to_vec());
        let keys = |prefers_given| {
            let registry = now.peers(Some(&given), prefers_given, &BTreeSet::new());
            let keys = registry.iter().map(|(node, key, _)| (node.to_string(), *key));
            keys.collect::<BTreeMap<_, _>>()
        };
        let of = |node: &str| peer_id_of(self::key(&node.parse().unwrap()).as_bytes()).unwrap();
        assert_eq!(keys(false)["node-1.mississippi"], of("node-1.mississippi"));
        assert_eq!(keys(false)["node-1.ohio"], of("node-1.ohio"), "one that the chain does not know yet");
        assert_eq!(keys(true)["node-1.mississippi"], of("node-9.evil"), "where nobody else is reached");

        let own_key = self::key(&"node-1.harlem".parse().unwrap());
        assert!(!now.needs(&given, &own_key), "the chain knows this node, whatever height the sponsor said");
        assert!(now.needs(&given, &of_seed(9)), "it does not know it with this key yet");
        assert!(!now.needs(&Bootstrap::new(now.height, Vec::new()), &of_seed(9)));
    }

    fn of_seed(seed: u8) -> PublicKey {
        SecretKey::from_seed(&[seed; 32]).public_key()
    }

    #[test]
    fn a_frame_of_ordering_is_its_sender_s_that_leaves_too() {
        let now = registered("node-1.kentucky", &[]);
        let number = |member: &str| now.number(&format!("node-1.{member}").parse().unwrap()).map(|id| id.0);
        assert_eq!(["harlem", "hennepin", "kentucky", "mississippi"].map(number), [Some(1), Some(2), Some(3), Some(4)]);
        assert_eq!((now.own_retired(), now.own_active()), (Some(3), None));
        assert_eq!(registered("node-1.harlem", &[]).own_retired(), None);
        assert!(now.leaving.keys().all(|node| node.to_string() == "node-1.hennepin"), "all but this node");
    }
}
