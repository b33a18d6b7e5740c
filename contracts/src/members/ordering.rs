//! The way of a node with the role voter into ordering and into the voter set. The calls are signed by the node itself.
//!
//! | from | call | to |
//! |---|---|---|
//! | role voter, no number | start ordering, replaces 0 | a fresh number: learner |
//! | learner with number n | start ordering, replaces n | a fresh number: learner |
//! | learner with number n | join voters n | in the voter set |
//! | in the voter set with number n | start ordering, replaces n | a fresh number: learner, out of the voter set |
//! | any | demoted, removed, or its member is suspended or leaves | no number |
//!
//! What a member does alone is paced: a number is replaced at most once in [`VOTING_CHANGE_MS_MIN`], for each time may
//! begin an epoch. A number is never given twice. Whatever would leave no voter is refused. The number of a node that was
//! taken out stays listed as retired, until newer ones crowd it out or the node gets another: the ordering group needs the
//! node's vote to go on without it. A number that was replaced is gone at once, since its log is.

use galen_types::NodeName;
use galen_types::certificate::Voter;
use galen_types::member::{Node, NodeRole, OrderingNode};

use super::voters;
use crate::keys;
use crate::limits::{VOTERS_MAX, VOTING_CHANGE_MS_MIN};
use crate::refusal::Refusal;
use crate::session::{Judged, Session};
use crate::state::{Lookup, StateError};

pub(crate) fn start(session: &mut Session<'_>, replaces: u64) -> Judged {
    let node = voting_node(session)?;
    if node.raft_id != replaces {
        return Err(Refusal::RaftIdOutdated { current: node.raft_id }.into());
    }
    if replaces != 0 {
        pace(session, &node.name)?;
    }
    voters::replace(session, &node.name)?;
    let ordering = session.load_present(&keys::ordering())?;
    if ordering.iter().filter(|entry| entry.orders()).count() >= VOTERS_MAX {
        return Err(Refusal::VotersTooMany.into());
    }
    give_number(session, node)?;
    session.record(session.event());
    Ok(())
}

pub(crate) fn join(session: &mut Session<'_>, raft_id: u64) -> Judged {
    let node = voting_node(session)?;
    if node.raft_id != raft_id || raft_id == 0 {
        return Err(Refusal::RaftIdOutdated { current: node.raft_id }.into());
    }
    let set = session.load_present(&keys::voter_set())?;
    if set.voters.iter().any(|voter| voter.node == node.name) {
        return Err(Refusal::AlreadyVoter { node: node.name }.into());
    }
    voters::change(session, |voters| voters.push(Voter { node: node.name, key: node.key }))?;
    session.record(session.event());
    Ok(())
}

/// Holds a member back that changes the part of one of its nodes in voting again and again: each time may begin an epoch.
pub(super) fn pace(session: &mut Session<'_>, node: &NodeName) -> Judged {
    let now = session.now();
    if let Some(last) = session.load(&keys::voting_changed(node))? {
        let until = last.plus_ms(VOTING_CHANGE_MS_MIN);
        if now < until {
            return Err(Refusal::VotingChangedLately { node: node.clone(), until }.into());
        }
    }
    session.put(keys::voting_changed(node), &now);
    Ok(())
}

/// Gives a node a fresh number. It must have none, or one that was retired.
pub(super) fn give_number(session: &mut Session<'_>, node: Node) -> Result<(), StateError> {
    let raft_id = session.load_present(&keys::raft_ids_next())?;
    let next = raft_id.checked_add(1).ok_or_else(|| StateError::new("no number in ordering is left"))?;
    session.put(keys::raft_ids_next(), &next);
    // Numbers only grow, so the list stays in their order. Who asks for a number has given its former one up.
    let mut ordering = session.load_present(&keys::ordering())?;
    ordering.retain(|entry| entry.node != node.name);
    ordering.push(OrderingNode { raft_id, node: node.name.clone(), retired_height: 0 });
    session.put(keys::ordering(), &ordering);
    session.put(keys::node(&node.name), &Node { raft_id, ..node.clone() });
    Ok(())
}

fn voting_node(session: &Session<'_>) -> Judged<Node> {
    let node = session.node()?;
    match node.role {
        NodeRole::Voter => Ok(node.clone()),
        NodeRole::Observer | NodeRole::Aggregator => Err(Refusal::VoterRoleMissing { node: node.name.clone() }.into()),
    }
}
