use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::identifier::JobId;
use crate::job::Job;

/// `POST /v1/jobs/openings`: the filter that a job's commitment stands for, kept off-chain by the submitter's node and
/// given to the aggregator and the sites. Sent before the job's transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JobOpening {
    /// The id of the job's transaction.
    pub job: JobId,
    /// The filter's text, e.g. `Age >= 18 and Group = 'T'`.
    pub filter: String,
    /// The commitment's salt, 64 hexadecimal digits.
    #[serde(with = "hex::serde")]
    #[schema(value_type = String)]
    pub salt: [u8; 32],
}

/// `GET /v1/jobs/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobDetail {
    /// The height of the state it was read from.
    pub height: u64,
    /// The record on the chain.
    pub job: Job,
    /// How many sites have answered.
    pub progress: JobProgress,
}

/// How far a job has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobProgress {
    /// Datasets that were answered for: by a summary or a refusal.
    pub answered: usize,
    /// Datasets in the job.
    pub sites: usize,
}
