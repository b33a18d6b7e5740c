//! Typed readers over a state, for those who answer questions. `get_` reads one record; `list_` reads a page: the
//! records after `start_after` (from the beginning where it is `None`), at most `limit`. A page that is shorter than
//! `limit` is the last.
//!
//! Records are given as stored; but datasets of a member that left are withdrawn, its grants ended when it left, and its
//! open requests are closed, for its leaving says so without touching each of them. What depends on time is judged by [`crate::access::request_state_at`],
//! [`crate::access::grant_in_force`] and [`proposal_state_at`].

mod access;
mod datasets;
mod jobs;
mod members;

pub use access::{
    get_contract, get_contract_version, get_grant, get_request, list_grants_of, list_grants_on, list_requests_for,
    list_requests_of, list_requests_to,
};
pub use datasets::{
    DatasetStanding, dataset_standing, get_dataset, get_newest_version, get_version, list_datasets, list_versions,
};
pub use jobs::{get_job, list_jobs_of, list_jobs_running};
pub use members::{
    get_account, get_account_due, get_lineage, get_member, get_node, get_node_by_raft_id, get_parameters, get_proposal,
    get_recovery, get_voter_set, list_accounts, list_applications_open, list_members, list_nodes, list_ordering,
    list_proposals, list_recoveries, list_retired, list_scheduled, proposal_state_at, tally,
};

use galen_types::{Encoding, Hash};

use crate::keys::{self, Key, Prefix};
use crate::state::{Lookup, StateError, StateRead, decode};

/// A page of a table's records.
fn page<T: Encoding>(
    state: &dyn StateRead,
    prefix: &Prefix,
    start_after: Option<Key<T>>,
    limit: usize,
) -> Result<Vec<T>, StateError> {
    let start_after = start_after.as_ref().map(Key::as_bytes);
    state.scan(prefix.as_bytes(), start_after, limit)?.iter().map(|(_, value)| decode(value)).collect()
}

/// A page of the records that an index's entries name. `start_after` is the entry of the record before.
fn indexed<T: Encoding>(
    state: &dyn StateRead,
    prefix: &Prefix,
    start_after: Option<Key<u8>>,
    limit: usize,
    record: impl Fn(Hash) -> Key<T>,
) -> Result<Vec<T>, StateError> {
    let start_after = start_after.as_ref().map(Key::as_bytes);
    let mut records = Vec::new();
    for (key, _) in state.scan(prefix.as_bytes(), start_after, limit)? {
        let id = keys::last_id(&key).ok_or_else(|| StateError::new("an index entry is too short"))?;
        records.push(state.load_present(&record(id))?);
    }
    Ok(records)
}

/// The index entry of the record that a page starts after. An id that is not known starts nowhere: the page is empty.
enum Start {
    Beginning,
    After(Key<u8>),
    Nowhere,
}

impl Start {
    fn new<T: Encoding>(
        state: &dyn StateRead,
        record: Option<Key<T>>,
        entry: impl Fn(&T) -> Key<u8>,
    ) -> Result<Self, StateError> {
        let Some(key) = record else { return Ok(Self::Beginning) };
        Ok(match state.load(&key)? {
            Some(record) => Self::After(entry(&record)),
            None => Self::Nowhere,
        })
    }

    fn page<T: Encoding>(
        self,
        state: &dyn StateRead,
        prefix: &Prefix,
        limit: usize,
        record: impl Fn(Hash) -> Key<T>,
    ) -> Result<Vec<T>, StateError> {
        match self {
            Self::Beginning => indexed(state, prefix, None, limit, record),
            Self::After(entry) => indexed(state, prefix, Some(entry), limit, record),
            Self::Nowhere => Ok(Vec::new()),
        }
    }
}
