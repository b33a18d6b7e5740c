use galen_types::dataset::{Dataset, Version, VersionState};
use galen_types::member::Standing;
use galen_types::{DatasetName, MemberName};

use super::page;
use crate::keys;
use crate::state::{Lookup, StateError, StateRead};

/// A dataset; withdrawn, where its member left.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn get_dataset(state: &dyn StateRead, name: &DatasetName) -> Result<Option<Dataset>, StateError> {
    let dataset = state.load(&keys::dataset(name))?;
    dataset.map(|dataset| withdrawn_by_leaving(state, dataset)).transpose()
}

/// Datasets, of one member or of all, by member and name.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn list_datasets(
    state: &dyn StateRead,
    member: Option<&MemberName>,
    start_after: Option<&DatasetName>,
    limit: usize,
) -> Result<Vec<Dataset>, StateError> {
    let datasets = page(state, &keys::datasets(member), start_after.map(keys::dataset), limit)?;
    datasets.into_iter().map(|dataset| withdrawn_by_leaving(state, dataset)).collect()
}

fn withdrawn_by_leaving(state: &dyn StateRead, mut dataset: Dataset) -> Result<Dataset, StateError> {
    if state.load(&keys::member_left(&dataset.name.member))?.is_some() {
        dataset.state = VersionState::Withdrawn;
    }
    Ok(dataset)
}

/// Whether a dataset can be used by those who may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatasetStanding {
    /// It can.
    Usable,
    /// Not while its member is suspended.
    OwnerSuspended,
    /// Withdrawn by its owner, or because its member left.
    Withdrawn,
}

/// Whether a dataset can be used; `None` when it is unknown.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn dataset_standing(state: &dyn StateRead, name: &DatasetName) -> Result<Option<DatasetStanding>, StateError> {
    let Some(dataset) = get_dataset(state, name)? else { return Ok(None) };
    let member = state.load_present(&keys::member(&name.member))?;
    Ok(Some(match (dataset.state, member.standing) {
        (VersionState::Withdrawn, _) | (_, Standing::Left) => DatasetStanding::Withdrawn,
        (VersionState::Active, Standing::Suspended) => DatasetStanding::OwnerSuspended,
        (VersionState::Active, Standing::Active) => DatasetStanding::Usable,
    }))
}

/// A version of a dataset.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn get_version(state: &dyn StateRead, name: &DatasetName, number: u32) -> Result<Option<Version>, StateError> {
    state.load(&keys::version(name, number))
}

/// The newest version that can be used; `None` when the dataset is unknown or withdrawn, its member left, or every
/// version is withdrawn.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn get_newest_version(state: &dyn StateRead, name: &DatasetName) -> Result<Option<Version>, StateError> {
    match get_dataset(state, name)? {
        Some(dataset) if dataset.state == VersionState::Active => crate::datasets::newest_active(state, &dataset),
        _ => Ok(None),
    }
}

/// Versions of a dataset with numbers above `start_after` (0: from the first), in ascending order.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn list_versions(
    state: &dyn StateRead,
    name: &DatasetName,
    start_after: u32,
    limit: usize,
) -> Result<Vec<Version>, StateError> {
    page(state, &keys::versions(name), Some(keys::version(name, start_after)), limit)
}
