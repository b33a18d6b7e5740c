use galen_types::dataset::{Dataset, Version, VersionState};
use galen_types::{DatasetName, MemberName};

use super::page;
use crate::keys;
use crate::state::{Lookup, StateError, StateRead};

/// A dataset.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn get_dataset(state: &dyn StateRead, name: &DatasetName) -> Result<Option<Dataset>, StateError> {
    state.load(&keys::dataset(name))
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
    page(state, &keys::datasets(member), start_after.map(keys::dataset), limit)
}

/// A version of a dataset.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn get_version(state: &dyn StateRead, name: &DatasetName, number: u32) -> Result<Option<Version>, StateError> {
    state.load(&keys::version(name, number))
}

/// The newest version that can be used; `None` when the dataset is unknown or withdrawn, or every version is.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn get_newest_version(state: &dyn StateRead, name: &DatasetName) -> Result<Option<Version>, StateError> {
    match state.load(&keys::dataset(name))? {
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
