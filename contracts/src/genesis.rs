//! The state at height 0.

use galen_types::member::Role;
use galen_types::{Encoding, Genesis, Signer};

use crate::keys::{self, Key};
use crate::state::Entry;

/// What the founding document puts into the state, in ascending order of keys. The document must have been checked
/// ([`Genesis::check`]).
pub fn genesis_writes(genesis: &Genesis) -> Vec<Entry> {
    let mut writes = Vec::new();
    put(&mut writes, keys::parameters(), &genesis.parameters);
    put(&mut writes, keys::voter_set(), &genesis.voter_set());
    let members = genesis.registered_members();
    put(&mut writes, keys::members_active(), &u32::try_from(members.len()).unwrap_or(u32::MAX));
    for member in &members {
        put(&mut writes, keys::member(&member.name), member);
    }
    for founder in &genesis.members {
        let administrators = founder.accounts.iter().filter(|account| account.roles.contains(&Role::Admin)).count();
        let administrators = u32::try_from(administrators).unwrap_or(u32::MAX);
        put(&mut writes, keys::administrators_active(&founder.name), &administrators);
    }
    for account in genesis.accounts() {
        put(&mut writes, keys::account(&account.name), &account);
        put(&mut writes, keys::signing_key(&account.key), &Signer::Account(account.name));
    }
    for node in genesis.nodes() {
        put(&mut writes, keys::node(&node.name), &node);
        put(&mut writes, keys::signing_key(&node.key), &Signer::Node(node.name));
    }
    writes.sort();
    writes
}

fn put<T: Encoding>(writes: &mut Vec<Entry>, key: Key<T>, record: &T) {
    writes.push((key.into_bytes(), record.encode()));
}
