//! Nodes of a member: registered, moved, re-keyed, demoted and taken out by its administrators; other roles, and taking
//! out another member's node, are voted on.
//!
//! | from | what happens | to |
//! |---|---|---|
//! | (none) | add | observer |
//! | observer, aggregator | vote: role voter | voter, without a number in ordering |
//! | observer, voter | vote: role aggregator | aggregator |
//! | voter, aggregator | demote, or vote: role observer | observer |
//! | any active | remove, or vote: removal | removed, for good |
//!
//! What takes the role voter away takes the node out of ordering and out of the voter set at once; the last voter stays.
//! A node that changes its key keeps its number in ordering; if it stands in the voter set, the set names the new key, and
//! some time must have passed since its last change there.

use galen_types::member::{NewNode, Node, NodeAddress, NodeRole, Role, Standing};
use galen_types::receipt::Operation;
use galen_types::vocabulary::ReasonCode;
use galen_types::{Event, NodeName, PublicKey, Signer};

use super::signing_keys::{self, Claim};
use super::{ordering, voters};
use crate::keys;
use crate::refusal::Refusal;
use crate::session::{Judged, Session};
use crate::state::Lookup;

pub(crate) fn add(session: &mut Session<'_>, new: &NewNode) -> Judged {
    let administrator = session.account_with_role(&[Role::Admin])?;
    if new.role != NodeRole::Observer {
        return Err(Refusal::NodeRoleVoted.into());
    }
    let name = NodeName { node: new.node.clone(), member: administrator.member };
    let most = session.parameters.nodes_per_member_max;
    if session.load(&keys::nodes_active(&name.member))?.unwrap_or(0) >= most {
        return Err(Refusal::NodesTooMany { member: name.member, most }.into());
    }
    let claim = Claim { now: session.now(), proposal: None };
    register(session, name, new, claim)?;
    session.record(session.event());
    Ok(())
}

/// Writes a new node's record and counts it.
pub(super) fn register(session: &mut Session<'_>, name: NodeName, new: &NewNode, claim: Claim) -> Judged {
    if session.load(&keys::node(&name))?.is_some() {
        return Err(Refusal::NodeExists { node: name }.into());
    }
    signing_keys::register(&mut session.changes, new.key, &Signer::Node(name.clone()), claim)?;
    let node = Node {
        name,
        key: new.key,
        role: new.role,
        raft_id: 0,
        address: new.address.clone(),
        standing: Standing::Active,
        registered_height: session.height(),
    };
    session.count(keys::nodes_active(&node.name.member), 1)?;
    if node.role == NodeRole::Voter {
        session.count(keys::voter_nodes(&node.name.member), 1)?;
    }
    session.put(keys::node(&node.name), &node);
    Ok(())
}

pub(crate) fn remove_own(session: &mut Session<'_>, name: &NodeName, reason: ReasonCode) -> Judged {
    session.account_of_member(&name.member, &[Role::Admin])?;
    remove(session, name, reason)
}

/// Takes a node out for good.
pub(super) fn remove(session: &mut Session<'_>, name: &NodeName, reason: ReasonCode) -> Judged {
    let node = active(session, name)?;
    session.count(keys::nodes_active(&name.member), -1)?;
    if node.role == NodeRole::Voter {
        session.count(keys::voter_nodes(&name.member), -1)?;
    }
    session.put(keys::node(name), &Node { standing: Standing::Left, ..node });
    voters::retire(session, |other| other == name)?;
    let event = Event { operation: Operation::RemoveNode, reason: Some(reason), ..session.event() };
    session.record(event);
    Ok(())
}

pub(crate) fn demote(session: &mut Session<'_>, name: &NodeName) -> Judged {
    session.account_of_member(&name.member, &[Role::Admin])?;
    set_role(session, name, NodeRole::Observer)
}

/// Gives a node another role.
pub(super) fn set_role(session: &mut Session<'_>, name: &NodeName, role: NodeRole) -> Judged {
    let node = active(session, name)?;
    if node.role == role {
        return Err(Refusal::NodeRoleUnchanged { node: node.name, role }.into());
    }
    let voting = keys::voter_nodes(&name.member);
    if role == NodeRole::Voter {
        let most = session.parameters.voters_per_member_max;
        if session.load(&voting)?.unwrap_or(0) >= most {
            return Err(Refusal::MemberVotersTooMany { member: node.name.member, most }.into());
        }
        session.count(voting, 1)?;
    } else if node.role == NodeRole::Voter {
        session.count(voting, -1)?;
    }
    session.put(keys::node(name), &Node { role, ..node });
    voters::retire(session, |other| other == name)?;
    let event = Event { operation: Operation::SetNodeRole, reason: None, ..session.event() };
    session.record(event);
    Ok(())
}

pub(crate) fn set_address(session: &mut Session<'_>, name: &NodeName, address: &NodeAddress) -> Judged {
    let itself = session.node().is_ok_and(|node| &node.name == name);
    if !itself {
        session.account_of_member(&name.member, &[Role::Admin])?;
    }
    let node = active(session, name)?;
    if &node.address == address {
        return Err(Refusal::AddressUnchanged { node: node.name }.into());
    }
    session.put(keys::node(name), &Node { address: address.clone(), ..node });
    session.record(session.event());
    Ok(())
}

pub(crate) fn rotate_key(session: &mut Session<'_>, name: &NodeName, key: PublicKey) -> Judged {
    session.account_of_member(&name.member, &[Role::Admin])?;
    let node = active(session, name)?;
    signing_keys::register_own(session, key, &Signer::Node(name.clone()))?;
    if session.load_present(&keys::voter_set())?.key_of(name).is_some() {
        ordering::pace(session, name)?;
    }
    session.put(keys::node(name), &Node { key, ..node });
    voters::change(session, |voters| {
        if let Some(voter) = voters.iter_mut().find(|voter| &voter.node == name) {
            voter.key = key;
        }
    })?;
    session.record(session.event());
    Ok(())
}

/// A node that was not removed, of a member that did not leave.
fn active(session: &Session<'_>, name: &NodeName) -> Judged<Node> {
    let node = session.require(&keys::node(name), || Refusal::NodeUnknown { node: name.clone() })?;
    if node.standing != Standing::Active {
        return Err(Refusal::NodeRemoved { node: node.name }.into());
    }
    let member = session.load_present(&keys::member(&name.member))?;
    if member.standing == Standing::Left {
        return Err(Refusal::MemberLeft { member: member.name }.into());
    }
    Ok(node)
}
