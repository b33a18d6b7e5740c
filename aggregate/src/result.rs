//! The total over the sites: the document whose digest the chain holds.

use galen_types::job::SiteOutcome;
use galen_types::name::{ColumnName, DatasetName, Slug};
use galen_types::vocabulary::Statistic;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A job's result: equal to the computation over the pooled rows of the included sites.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResultTable {
    /// The statistics asked for, in order of the vocabulary.
    pub statistics: Vec<Statistic>,
    /// The column whose levels make the groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<ColumnName>,
    /// In the order of the request.
    pub columns: Vec<ColumnResult>,
    /// Datasets that are in the total, in ascending order.
    pub included: Vec<DatasetName>,
    /// Datasets that are not, and why, in ascending order.
    pub refused: Vec<RefusedSite>,
}

/// The statistics of one column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ColumnResult {
    /// The column.
    pub column: ColumnName,
    /// Rows of the cohort without a value, or without a group label, over all groups and sites.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<u64>,
    /// In ascending order of label; without grouping, one.
    pub groups: Vec<GroupResult>,
}

/// The statistics of one group; only those asked for are given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupResult {
    /// The group's label; none where rows are not grouped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// Values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Their sum, in the column's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum: Option<f64>,
    /// Their arithmetic mean, in the column's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
    /// Their sample variance (divisor n - 1), in the column's unit squared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variance: Option<f64>,
}

/// A dataset that is not in the total.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefusedSite {
    /// The dataset.
    pub dataset: DatasetName,
    /// The rule or reason, e.g. `rows-below-minimum`.
    pub rule: Slug,
}

impl ResultTable {
    /// The document: JSON with fields in fixed order and numbers in their shortest text, so equal results have equal
    /// bytes.
    #[expect(clippy::expect_used, reason = "the document has text keys only and is written to memory")]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a result has a JSON text")
    }

    /// Reads a document.
    ///
    /// # Errors
    /// When the bytes are no result document.
    pub fn from_json(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// What became of each dataset, as the chain's calls carry it.
    pub fn outcomes(&self) -> Vec<SiteOutcome> {
        let included = self.included.iter().map(|dataset| SiteOutcome { dataset: dataset.clone(), refused: None });
        let refused = self
            .refused
            .iter()
            .map(|site| SiteOutcome { dataset: site.dataset.clone(), refused: Some(site.rule.clone()) });
        let mut outcomes: Vec<SiteOutcome> = included.chain(refused).collect();
        outcomes.sort_by(|left, right| left.dataset.cmp(&right.dataset));
        outcomes
    }
}
