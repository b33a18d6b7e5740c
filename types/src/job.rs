//! Compute jobs: what is to be computed over whose data, and how each site answered. Summaries, filters and results
//! stay off-chain; the chain holds commitments and digests.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wincode::{SchemaRead, SchemaWrite};

use crate::access::Decision;
use crate::hash::Hash;
use crate::identifier::JobId;
use crate::name::{AccountName, ColumnName, DatasetName, NodeName, Slug, VersionName};
use crate::time::Timestamp;
use crate::vocabulary::{DataUse, Purpose, Statistic, text_enum};

/// What is to be computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
#[serde(deny_unknown_fields)]
pub struct JobSpecification {
    /// Over which datasets, in ascending order, each once; their newest active versions are taken.
    pub datasets: Vec<DatasetName>,
    /// Which statistics, in ascending order, each once.
    pub statistics: Vec<Statistic>,
    /// Of which numeric columns, in the order of the result.
    pub columns: Vec<ColumnName>,
    /// Grouped by the levels of this column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<ColumnName>,
    /// Columns that the filter reads, in ascending order, each once; they need permission like the others.
    #[serde(default)]
    pub filter_columns: Vec<ColumnName>,
    /// Salted commitment to the filter's text, where there is a filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Hash>,
    /// Why.
    pub purpose: Purpose,
    /// Data-use conditions that the requester affirms.
    #[serde(default)]
    pub data_use: Vec<DataUse>,
}

impl JobSpecification {
    /// Every column that the job reads, in ascending order, each once.
    pub fn columns_read(&self) -> Vec<ColumnName> {
        let mut columns: Vec<_> = self.columns.iter().chain(&self.by).chain(&self.filter_columns).cloned().collect();
        columns.sort();
        columns.dedup();
        columns
    }
}

text_enum! {
    /// Where a job stands.
    pub enum JobState {
        /// Authorized; the sites' answers are awaited.
        Running = 1 "running",
        /// The result's digest is on the chain.
        Finished = 2 "finished",
        /// Given up.
        Failed = 3 "failed",
    }
}

text_enum! {
    /// Why a job was given up.
    pub enum JobFailure {
        /// Fewer sites answered than a released aggregate needs (disclosure rule 6).
        TooFewSites = 1 "too-few-sites",
        /// The filter that the commitment stands for was not delivered.
        FilterMissing = 2 "filter-missing",
        /// The sites did not answer in time.
        TimedOut = 3 "timed-out",
        /// The combined table breaks a disclosure rule.
        DisclosureRefused = 4 "disclosure-refused",
        /// The sites' summaries do not fit together.
        SummariesIncompatible = 5 "summaries-incompatible",
    }
}

/// How a site answered for one dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct SiteAnswer {
    /// For which dataset.
    pub dataset: DatasetName,
    /// The digest of the summary it gave, or the rule by which it refused.
    pub given: SiteGiven,
}

/// A summary's digest or a refusal's rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
#[wincode(tag_encoding = "u8")]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SiteGiven {
    /// A summary was given.
    #[wincode(tag = 1)]
    Summary {
        /// Its salted digest.
        digest: Hash,
    },
    /// The site refused.
    #[wincode(tag = 2)]
    Refused {
        /// By which rule, e.g. `rows-below-minimum`.
        rule: Slug,
    },
}

/// What became of one dataset in a finished or failed job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct SiteOutcome {
    /// The dataset.
    pub dataset: DatasetName,
    /// `None`: it is in the total. Otherwise the rule or reason why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<Slug>,
}

/// One dataset as authorized for a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct JobSite {
    /// The version to compute over.
    pub version: VersionName,
    /// What permitted it.
    pub decision: Decision,
    /// Smallest cohort that may be answered: the chain's, the rule's or the grant's, whichever is greatest.
    pub cohort_min: u32,
    /// The site's recorded answer.
    pub answer: Option<SiteGiven>,
}

/// A job as registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct Job {
    /// The transaction that submitted it.
    pub id: JobId,
    /// Who submitted it.
    pub submitter: AccountName,
    /// What is to be computed.
    pub specification: JobSpecification,
    /// The authorized datasets, in the specification's order.
    pub sites: Vec<JobSite>,
    /// Block time of submission.
    pub submitted: Timestamp,
    /// Height of submission.
    pub height: u64,
    /// Where it stands.
    pub state: JobState,
    /// The result document's digest, once finished.
    pub result: Option<Hash>,
    /// The aggregator's account of the sites, once finished or failed.
    pub outcomes: Vec<SiteOutcome>,
    /// Why it failed.
    pub failure: Option<JobFailure>,
    /// The aggregator that ended it.
    pub aggregator: Option<NodeName>,
}
