//! The result document of a job: what its digest on the chain is taken of.

use galen_types::job::{Job, JobSpecification};
use galen_types::{JobId, VersionName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::result::ResultTable;

/// A job's result: what was asked, over which versions, and the table. The same whichever aggregator combined it, so it
/// holds no time and no node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResultDocument {
    /// The job.
    pub job: JobId,
    /// What was asked; of a filter only its commitment and columns.
    pub specification: JobSpecification,
    /// Whether only rows that a filter keeps are in the total.
    pub filtered: bool,
    /// The versions that are in the total, in ascending order of datasets.
    pub versions: Vec<VersionName>,
    /// The statistics, the datasets in the total, and those refused with their rules.
    pub table: ResultTable,
}

impl ResultDocument {
    /// The document of a combined table.
    pub fn new(job: &Job, table: ResultTable) -> Self {
        let included = |version: &VersionName| table.included.contains(&version.dataset);
        let mut versions: Vec<_> =
            job.sites.iter().map(|site| &site.version).filter(|version| included(version)).cloned().collect();
        versions.sort();
        let specification = job.specification.clone();
        Self { job: job.id, filtered: specification.filter.is_some(), specification, versions, table }
    }

    /// The document's bytes: JSON with fields in fixed order and numbers in their shortest text, so that equal results
    /// have equal bytes.
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
}
