//! Combining the sites' summaries, under disclosure rule 6.
//!
//! A site is a member: two datasets of one member count once. The rule holds for the table *and for each of its cells*:
//! a level that occurs at fewer members than the minimum would give out what those members hold in it. Such a table is
//! refused as a whole. Leaving out the cell alone would not do: the same request without grouping minus the remaining
//! cells is the cell that was left out. A site whose cohort has no row is named as included, and is not counted.

use std::collections::{BTreeMap, BTreeSet};

use galen_types::job::JobFailure;
use galen_types::name::{DatasetName, MemberName, Slug};
use galen_types::parameters::Disclosure;
use galen_types::vocabulary::Statistic;

use crate::moments::{Part, as_f64, join};
use crate::request::SummaryRequest;
use crate::result::{ColumnResult, GroupResult, RefusedSite, ResultTable};
use crate::summary::SiteSummary;

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CombineRefusal {
    /// Rule 6, for the table.
    #[error(
        "{got} members have data in the total; at least {needed} are needed (disclosure rule 6): add datasets of other members"
    )]
    TooFewSites {
        /// Members with data in it.
        got: usize,
        /// Members needed.
        needed: u32,
    },
    /// Rule 6, for a cell.
    #[error("a group occurs at too few members (disclosure rule 6); group by a column whose levels all members share")]
    CellTooFewSites,
    /// A dataset that occurs twice.
    #[error("dataset `{0}` occurs twice among the answers")]
    DuplicateSite(DatasetName),
    /// A summary of another request.
    #[error("the summary of dataset `{0}` does not fit the request")]
    Incompatible(DatasetName),
    /// Sums leave the range of numbers.
    #[error("the values are too large to be summed over the sites")]
    ValuesTooLarge,
}

impl CombineRefusal {
    /// A stable code for interfaces and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooFewSites { .. } => "too-few-sites",
            Self::CellTooFewSites => "cell-too-few-sites",
            Self::DuplicateSite(_) => "duplicate-site",
            Self::Incompatible(_) => "summaries-incompatible",
            Self::ValuesTooLarge => "values-too-large",
        }
    }

    /// How the chain's calls say it.
    pub fn failure(&self) -> JobFailure {
        match self {
            Self::TooFewSites { .. } => JobFailure::TooFewSites,
            Self::CellTooFewSites => JobFailure::DisclosureRefused,
            Self::DuplicateSite(_) | Self::Incompatible(_) | Self::ValuesTooLarge => JobFailure::SummariesIncompatible,
        }
    }
}

/// The parts of one cell and the members they come from.
#[derive(Default)]
struct Pooled<'site> {
    parts: Vec<Part>,
    members: BTreeSet<&'site MemberName>,
}

/// Combines summaries that [`SiteSummary::from_bytes`] checked against the same request, and names the sites that
/// refused with their rule.
///
/// # Errors
/// [`CombineRefusal`]; nothing may be released then.
pub fn combine(
    mut sites: Vec<(DatasetName, SiteSummary)>,
    refused: Vec<(DatasetName, Slug)>,
    request: &SummaryRequest,
    disclosure: &Disclosure,
) -> Result<ResultTable, CombineRefusal> {
    // In one order whatever the order of arrival, so that equal answers make equal bytes.
    sites.sort_by(|left, right| left.0.cmp(&right.0));
    check_sites(&sites, &refused, request)?;
    let members: BTreeSet<&MemberName> =
        sites.iter().filter(|(_, summary)| !summary.is_empty()).map(|(dataset, _)| &dataset.member).collect();
    let enough = |members: &BTreeSet<&MemberName>| u64::from(disclosure.sites_min) <= members.len() as u64;
    if !enough(&members) {
        return Err(CombineRefusal::TooFewSites { got: members.len(), needed: disclosure.sites_min });
    }
    let mut columns = Vec::new();
    for (index, column) in request.columns().iter().enumerate() {
        let groups = pool(&sites, index);
        if !groups.values().all(|pooled| enough(&pooled.members)) {
            return Err(CombineRefusal::CellTooFewSites);
        }
        let missing =
            sites.iter().filter_map(|(_, summary)| summary.columns()[index].missing()).fold(0_u64, u64::saturating_add);
        columns.push(ColumnResult {
            column: column.clone(),
            missing: request.asks(Statistic::Missing).then_some(missing),
            groups: groups
                .into_iter()
                .map(|(label, pooled)| group(label, &pooled.parts, request))
                .collect::<Option<_>>()
                .ok_or(CombineRefusal::ValuesTooLarge)?,
        });
    }
    let mut refused: Vec<RefusedSite> =
        refused.into_iter().map(|(dataset, rule)| RefusedSite { dataset, rule }).collect();
    refused.sort_by(|left, right| left.dataset.cmp(&right.dataset));
    Ok(ResultTable {
        statistics: request.statistics().to_vec(),
        by: request.by().cloned(),
        columns,
        included: sites.into_iter().map(|(dataset, _)| dataset).collect(),
        refused,
    })
}

fn check_sites(
    sites: &[(DatasetName, SiteSummary)],
    refused: &[(DatasetName, Slug)],
    request: &SummaryRequest,
) -> Result<(), CombineRefusal> {
    let mut seen = BTreeSet::new();
    let answered = sites.iter().map(|(dataset, _)| dataset);
    for dataset in answered.chain(refused.iter().map(|(dataset, _)| dataset)) {
        if !seen.insert(dataset) {
            return Err(CombineRefusal::DuplicateSite(dataset.clone()));
        }
    }
    for (dataset, summary) in sites {
        let names = summary.columns().iter().map(|column| column.column());
        if !names.eq(request.columns()) || (request.by().is_none() && !summary.levels().is_empty()) {
            return Err(CombineRefusal::Incompatible(dataset.clone()));
        }
    }
    Ok(())
}

/// The cells of one column over all sites, by label; ungrouped cells have none. Cells without values are left out.
fn pool(sites: &[(DatasetName, SiteSummary)], column: usize) -> BTreeMap<Option<&str>, Pooled<'_>> {
    let mut groups: BTreeMap<Option<&str>, Pooled<'_>> = BTreeMap::new();
    for (dataset, summary) in sites {
        for (place, cell) in summary.columns()[column].cells().iter().enumerate() {
            if cell.count() == 0 {
                continue;
            }
            let label = summary.levels().get(place).map(String::as_str);
            let pooled = groups.entry(label).or_default();
            pooled.parts.push(cell.part());
            pooled.members.insert(&dataset.member);
        }
    }
    groups
}

/// The statistics asked for, of one joined cell; `None` when one left the range of numbers.
fn group(label: Option<&str>, parts: &[Part], request: &SummaryRequest) -> Option<GroupResult> {
    let whole = join(parts);
    if !whole.sum.is_finite() || !whole.squared_deviations.is_finite() {
        return None;
    }
    let mean = whole.sum / as_f64(whole.count);
    let variance = whole.squared_deviations / as_f64(whole.count.saturating_sub(1).max(1));
    Some(GroupResult {
        level: label.map(str::to_owned),
        count: request.asks(Statistic::Count).then_some(whole.count),
        sum: request.asks(Statistic::Sum).then_some(whole.sum),
        mean: request.asks(Statistic::Mean).then_some(mean),
        variance: request.asks(Statistic::Variance).then_some(variance),
    })
}
