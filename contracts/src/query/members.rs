use galen_types::member::{Account, Member, Node, OrderingNode};
use galen_types::proposal::{Proposal, ProposalState};
use galen_types::recovery::Recovery;
use galen_types::{AccountName, Hash, MemberName, NodeName, Parameters, ProposalId, Timestamp, VoterSet};

use super::{Start, page};
use crate::changes::Changes;
use crate::keys;
use crate::members::proposals::{self, Tally};
use crate::members::schedule;
use crate::state::{Lookup, StateError, StateRead};

/// The parameters in force.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn get_parameters(state: &dyn StateRead) -> Result<Parameters, StateError> {
    state.load_present(&keys::parameters())
}

/// The voters that certify the next height.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn get_voter_set(state: &dyn StateRead) -> Result<VoterSet, StateError> {
    state.load_present(&keys::voter_set())
}

/// A member.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn get_member(state: &dyn StateRead, name: &MemberName) -> Result<Option<Member>, StateError> {
    state.load(&keys::member(name))
}

/// Members by name.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn list_members(
    state: &dyn StateRead,
    start_after: Option<&MemberName>,
    limit: usize,
) -> Result<Vec<Member>, StateError> {
    page(state, &keys::members(), start_after.map(keys::member), limit)
}

/// An account.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn get_account(state: &dyn StateRead, name: &AccountName) -> Result<Option<Account>, StateError> {
    state.load(&keys::account(name))
}

/// An account as a block made now would have it: a reset of its key may be due that no block has put in force yet,
/// because the chain is idle.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn get_account_due(
    state: &dyn StateRead,
    name: &AccountName,
    now: Timestamp,
) -> Result<Option<Account>, StateError> {
    let mut changes = Changes::new(state);
    // Only resets change accounts, and they wait for a time, not for a height.
    schedule::put_in_force(&mut changes, 0, now)?;
    changes.load(&keys::account(name))
}

/// Accounts, of one member or of all, by member and name.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn list_accounts(
    state: &dyn StateRead,
    member: Option<&MemberName>,
    start_after: Option<&AccountName>,
    limit: usize,
) -> Result<Vec<Account>, StateError> {
    page(state, &keys::accounts(member), start_after.map(keys::account), limit)
}

/// A node.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn get_node(state: &dyn StateRead, name: &NodeName) -> Result<Option<Node>, StateError> {
    state.load(&keys::node(name))
}

/// Nodes, of one member or of all, by member and name.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn list_nodes(
    state: &dyn StateRead,
    member: Option<&MemberName>,
    start_after: Option<&NodeName>,
    limit: usize,
) -> Result<Vec<Node>, StateError> {
    page(state, &keys::nodes(member), start_after.map(keys::node), limit)
}

/// Nodes that have a number in ordering, by number: those in the voter set, and those that are catching up.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn list_ordering(state: &dyn StateRead) -> Result<Vec<OrderingNode>, StateError> {
    let listed = state.load_present(&keys::ordering())?;
    Ok(listed.into_iter().filter(OrderingNode::orders).collect())
}

/// Nodes that the chain took out of ordering last, by number: ordering may name them still.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn list_retired(state: &dyn StateRead) -> Result<Vec<OrderingNode>, StateError> {
    let listed = state.load_present(&keys::ordering())?;
    Ok(listed.into_iter().filter(|entry| !entry.orders()).collect())
}

/// The node that has a number in ordering; `None` when none has, or it is retired.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn get_node_by_raft_id(state: &dyn StateRead, raft_id: u64) -> Result<Option<Node>, StateError> {
    let ordering = list_ordering(state)?;
    match ordering.binary_search_by_key(&raft_id, |entry| entry.raft_id).ok().and_then(|place| ordering.get(place)) {
        Some(entry) => state.load(&keys::node(&entry.node)),
        None => Ok(None),
    }
}

/// The hash of the last recovery; all zeros where there was none.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn get_lineage(state: &dyn StateRead) -> Result<Hash, StateError> {
    Ok(state.load(&keys::last_recovery())?.unwrap_or(Hash::ZERO))
}

/// The recoveries that the chain went on by, the last first, beginning with one of these hashes; at most `limit`.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn list_recoveries(state: &dyn StateRead, last: Hash, limit: usize) -> Result<Vec<Recovery>, StateError> {
    let (mut recoveries, mut next) = (Vec::new(), last);
    while next != Hash::ZERO && recoveries.len() < limit {
        let Some(recovery) = get_recovery(state, &next)? else { break };
        next = recovery.lineage;
        recoveries.push(recovery);
    }
    Ok(recoveries)
}

/// A recovery that the chain went on by.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn get_recovery(state: &dyn StateRead, hash: &Hash) -> Result<Option<Recovery>, StateError> {
    state.load(&keys::recovery(hash))
}

/// Applications that members can vote on at a time, in the order made.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn list_applications_open(state: &dyn StateRead, now: Timestamp) -> Result<Vec<Proposal>, StateError> {
    let open = state.load(&keys::applications_open())?.unwrap_or_default();
    let in_time = open.into_iter().filter(|entry| entry.closes >= now);
    in_time.map(|entry| state.load_present(&keys::proposal(entry.proposal))).collect()
}

/// Changes that passed and come into force later, in the order voted.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn list_scheduled(state: &dyn StateRead) -> Result<Vec<Proposal>, StateError> {
    let schedule = state.load(&keys::schedule())?.unwrap_or_default();
    schedule.into_iter().map(|entry| state.load_present(&keys::proposal(entry.proposal))).collect()
}

/// How the vote on a proposal stands, by the members and parameters of now.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn tally(state: &dyn StateRead, proposal: &Proposal) -> Result<Tally, StateError> {
    Tally::of(state, &get_parameters(state)?, proposal)
}

/// A proposal.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn get_proposal(state: &dyn StateRead, id: ProposalId) -> Result<Option<Proposal>, StateError> {
    state.load(&keys::proposal(id))
}

/// Proposals in the order made.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn list_proposals(
    state: &dyn StateRead,
    start_after: Option<ProposalId>,
    limit: usize,
) -> Result<Vec<Proposal>, StateError> {
    let start = Start::new(state, start_after.map(keys::proposal), keys::proposal_made)?;
    start.page(state, &keys::proposals(), limit, |id| keys::proposal(ProposalId(id)))
}

/// Where a proposal stands at a time: one whose time is over has failed, whether or not a call has written that down.
pub fn proposal_state_at(proposal: &Proposal, now: Timestamp) -> ProposalState {
    proposals::state_at(proposal, now)
}
