//! Terms of a request: checked and brought into one form.

use galen_types::access::AccessTerms;
use galen_types::dataset::Version;
use galen_types::vocabulary::Action;
use galen_types::{ColumnName, DatasetName};

use crate::limits::{COLUMNS_MAX, LIST_MAX};
use crate::refusal::Refusal;
use crate::session::Judged;

/// The terms with lists sorted and each value once; refused where they make no sense for the newest version.
pub(super) fn check(terms: &AccessTerms, dataset: &DatasetName, newest: &Version) -> Judged<AccessTerms> {
    let mut terms = terms.clone();
    terms.columns.sort();
    terms.columns.dedup();
    terms.statistics.sort();
    terms.statistics.dedup();
    terms.data_use.sort();
    terms.data_use.dedup();
    if terms.columns.len() > COLUMNS_MAX || terms.data_use.len() > LIST_MAX {
        return Err(Refusal::TermsTooLong.into());
    }
    let narrowed = !terms.columns.is_empty() || !terms.statistics.is_empty();
    if narrowed && terms.action != Action::Compute {
        return Err(Refusal::TermsNotForAction { action: terms.action }.into());
    }
    check_columns(&terms.columns, dataset, newest)?;
    Ok(terms)
}

/// That a version has all these columns.
fn check_columns(columns: &[ColumnName], dataset: &DatasetName, version: &Version) -> Judged {
    if columns.is_empty() {
        return Ok(());
    }
    let mut known: Vec<_> = version.content.columns.iter().map(|column| &column.name).collect();
    known.sort();
    match columns.iter().find(|column| known.binary_search(column).is_err()) {
        Some(column) => Err(Refusal::ColumnUnknown { dataset: dataset.clone(), column: column.clone() }.into()),
        None => Ok(()),
    }
}
