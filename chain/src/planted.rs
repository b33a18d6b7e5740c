//! What planted bugs need that is more than a line.

use galen_contracts::{StateError, StateRead, keys};
use galen_planted::{Bug, is_on};
use galen_types::{Encoding, Hash, Timestamp, TransactionId};

use crate::executor::LedgerState;
use crate::group::Group;

/// The state of a replica that forgot at its start which transactions are recorded.
pub(crate) struct Forgetful<'ledger> {
    pub(crate) state: LedgerState<'ledger>,
    /// The tip's height at the start.
    pub(crate) before: u64,
}

impl Forgetful<'_> {
    fn forgot(&self, key: &[u8]) -> bool {
        let of_id = keys::live_id(Timestamp(0), TransactionId(Hash::ZERO)).into_bytes();
        if !is_on(Bug::ReplayAfterRestart) || key.first() != of_id.first() || key.len() != of_id.len() {
            return false;
        }
        let id = key.get(key.len() - 32..).and_then(|id| TransactionId::decode(id, 32).ok());
        let place = id.and_then(|id| self.state.0.location(&id).ok().flatten());
        place.is_some_and(|place| place.height <= self.before)
    }
}

impl StateRead for Forgetful<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        if self.forgot(key) { Ok(None) } else { self.state.get(key) }
    }

    fn scan(
        &self,
        prefix: &[u8],
        start_after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StateError> {
        self.state.scan(prefix, start_after, limit)
    }
}

/// Whether a key is that of a grant, or of the list of those in force.
pub(crate) fn is_of_grants(key: &[u8]) -> bool {
    matches!(key.first(), Some(0x48 | 0x4b))
}

/// The group as the planted bug has it: whoever learns is to vote.
pub(crate) fn wrong_group(group: &Group) -> Group {
    let mut group = group.clone();
    if is_on(Bug::PromotedUnnamed) {
        group.voters.append(&mut group.learners);
    }
    group
}
