//! The state at height 0.

use galen_types::member::{NodeRole, OrderingNode, Role};
use galen_types::{Encoding, Genesis, Signer};

use crate::keys::{self, Key};
use crate::state::Entry;

/// What the founding document puts into the state, in ascending order of keys. The document must have been checked
/// ([`Genesis::check`]).
pub fn genesis_writes(genesis: &Genesis) -> Vec<Entry> {
    let mut writes = Vec::new();
    put(&mut writes, keys::parameters(), &genesis.parameters);
    put(&mut writes, keys::voter_set(), &genesis.voter_set());
    let nodes = genesis.nodes();
    let ordering: Vec<_> = nodes
        .iter()
        .filter(|node| node.raft_id != 0)
        .map(|node| OrderingNode { raft_id: node.raft_id, node: node.name.clone(), retired_height: 0 })
        .collect();
    let raft_ids_next = ordering.iter().map(|node| node.raft_id).max().unwrap_or(0) + 1;
    put(&mut writes, keys::raft_ids_next(), &raft_ids_next);
    put(&mut writes, keys::ordering(), &ordering);
    let members = genesis.registered_members();
    put(&mut writes, keys::members_active(), &count(members.len()));
    for member in &members {
        put(&mut writes, keys::member(&member.name), member);
    }
    for founder in &genesis.members {
        let administrators = founder.accounts.iter().filter(|account| account.roles.contains(&Role::Admin)).count();
        let voters = founder.nodes.iter().filter(|node| node.role == NodeRole::Voter).count();
        put(&mut writes, keys::administrators_active(&founder.name), &count(administrators));
        put(&mut writes, keys::nodes_active(&founder.name), &count(founder.nodes.len()));
        put(&mut writes, keys::voter_nodes(&founder.name), &count(voters));
    }
    for account in genesis.accounts() {
        put(&mut writes, keys::account(&account.name), &account);
        put(&mut writes, keys::signing_key(&account.key), &Signer::Account(account.name));
    }
    for node in nodes {
        put(&mut writes, keys::node(&node.name), &node);
        put(&mut writes, keys::signing_key(&node.key), &Signer::Node(node.name));
    }
    writes.sort();
    writes
}

/// A genesis document holds far fewer than 2^32 of anything: its size is bounded.
fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn put<T: Encoding>(writes: &mut Vec<Entry>, key: Key<T>, record: &T) {
    writes.push((key.into_bytes(), record.encode()));
}
