//! Who takes part in ordering, as the chain says it. The ordering group follows this; it never decides it.

use std::collections::{BTreeMap, HashMap};

use galen_consensus::RaftId;
use galen_contracts::{StateError, StateRead, keys};
use galen_ledger::StateWrite;
use galen_types::member::OrderingNode;
use galen_types::{Encoding, NodeName};

/// Most bytes of the stored list of ordering nodes: far above what the limits on members and nodes permit.
const ORDERING_BYTES_MAX: usize = 4 << 20;

/// The nodes that order after a block.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    /// The block's height.
    pub height: u64,
    /// Nodes of the voter set.
    pub voters: BTreeMap<RaftId, NodeName>,
    /// Nodes that have a number in ordering and are not in the voter set (yet).
    pub learners: BTreeMap<RaftId, NodeName>,
    /// All of both.
    pub ids: HashMap<RaftId, NodeName>,
    /// Nodes that the chain has taken out of ordering. They are to go, and no change is made for their sake; but until
    /// ordering's own configuration is without them their votes are needed, and they are heard.
    pub retiring: BTreeMap<RaftId, NodeName>,
}

impl Group {
    /// The group that a state names; `height` is the state's.
    ///
    /// # Errors
    /// [`StateError`] when the state cannot be used.
    pub fn of(state: &dyn StateRead, height: u64) -> Result<Self, StateError> {
        let set = galen_contracts::query::get_voter_set(state)?;
        let stored = state.get(keys::ordering().as_bytes())?;
        let nodes = match stored {
            Some(bytes) => Vec::<OrderingNode>::decode(&bytes, ORDERING_BYTES_MAX).map_err(StateError::new)?,
            None => Vec::new(),
        };
        let mut group = Self { height, ..Self::default() };
        for entry in nodes {
            let (id, orders) = (RaftId(entry.raft_id), entry.orders());
            let node = entry.node;
            if !orders {
                group.retiring.insert(id, node);
                continue;
            }
            let part = if set.key_of(&node).is_some() { &mut group.voters } else { &mut group.learners };
            part.insert(id, node.clone());
            group.ids.insert(id, node);
        }
        Ok(group)
    }

    /// Everyone who may speak: those that order, and those that are to go.
    pub fn heard(&self) -> impl Iterator<Item = (&RaftId, &NodeName)> {
        self.ids.iter().chain(&self.retiring)
    }

    /// Whether a block's writes may change the group.
    pub(crate) fn is_changed_by(writes: &[StateWrite]) -> bool {
        let (set, ordering) = (keys::voter_set(), keys::ordering());
        let written = |key: &[u8]| writes.binary_search_by(|write| write.0.as_slice().cmp(key)).is_ok();
        written(set.as_bytes()) || written(ordering.as_bytes())
    }
}
