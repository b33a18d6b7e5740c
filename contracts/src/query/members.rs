use galen_types::member::{Account, Member, Node};
use galen_types::proposal::{Proposal, ProposalState};
use galen_types::{AccountName, MemberName, NodeName, Parameters, ProposalId, Timestamp, VoterSet};

use super::{Start, page};
use crate::keys;
use crate::members::proposals;
use crate::state::{Lookup, StateError, StateRead};

/// The parameters in force.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn get_parameters(state: &dyn StateRead) -> Result<Parameters, StateError> {
    state.load_present(&keys::parameters())
}

/// The voters in force.
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
