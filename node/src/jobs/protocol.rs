//! What nodes send each other about jobs.

use std::fmt;

use galen_types::hash::Context;
use galen_types::job::SiteGiven;
use galen_types::vocabulary::Filter;
use galen_types::{DatasetName, Encoding, Hash, JobId, Slug, TransactionId};
use wincode::{SchemaRead, SchemaWrite};
use zeroize::Zeroize as _;

/// Most bytes of a request about jobs: names, hashes, a filter of 4 KiB.
pub(crate) const REQUEST_BYTES_MAX: usize = 16 << 10;
/// Most bytes of an opening.
pub(crate) const OPENING_BYTES_MAX: usize = 8 << 10;
/// Most bytes of a site's reply: a summary and its salt.
pub(crate) const REPLY_BYTES_MAX: usize = galen_aggregate::SUMMARY_BYTES_MAX + 1024;

/// An aggregator asks for the filter of a job. Answered by an [`Opening`].
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub(crate) struct OpeningRequest {
    pub(crate) job: JobId,
}

/// A filter's text and its commitment's salt. Its values may identify people: never printed, cleared when dropped.
#[derive(Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub(crate) struct Opening {
    pub(crate) filter: String,
    pub(crate) salt: [u8; 32],
}

impl Opening {
    /// The filter, if it is the one that a commitment stands for.
    pub(crate) fn open(&self, commitment: &Hash) -> Option<Filter> {
        let sound = Hash::commitment(&self.salt, self.filter.as_bytes()) == *commitment;
        if sound { self.filter.parse().ok() } else { None }
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Opening(secret)")
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.filter.zeroize();
        self.salt.zeroize();
    }
}

/// An aggregator asks a site for its summary. Answered by a [`SiteReply`].
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub(crate) struct SummaryQuestion {
    pub(crate) job: JobId,
    pub(crate) dataset: DatasetName,
    /// The filter, where the job has one.
    pub(crate) opening: Option<Opening>,
}

/// A site's reply.
#[derive(Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
#[wincode(tag_encoding = "u8")]
pub(crate) enum SiteReply {
    /// The summary; its digest is on the chain.
    #[wincode(tag = 1)]
    Summary {
        /// The encoding of a [`SiteSummary`](galen_aggregate::SiteSummary).
        bytes: Vec<u8>,
        /// The digest's salt.
        salt: [u8; 32],
    },
    /// The site refuses, as the chain says too.
    #[wincode(tag = 2)]
    Refused {
        /// By which rule.
        rule: Slug,
    },
    /// The table is being read; ask again.
    #[wincode(tag = 3)]
    Working,
}

impl SiteReply {
    /// What the chain records of it; nothing of a reply that is not final.
    pub(crate) fn given(&self, job: JobId, dataset: &DatasetName) -> Option<SiteGiven> {
        match self {
            Self::Summary { bytes, salt } => {
                // Each part but the last has a length of its own.
                let parts: [&[u8]; 4] = [job.0.as_bytes(), &dataset.encode(), salt, bytes];
                Some(SiteGiven::Summary { digest: Hash::of_parts(Context::JobSummary, &parts) })
            }
            Self::Refused { rule } => Some(SiteGiven::Refused { rule: rule.clone() }),
            Self::Working => None,
        }
    }
}

impl fmt::Debug for SiteReply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Summary { bytes, .. } => write!(formatter, "Summary({} bytes)", bytes.len()),
            Self::Refused { rule } => write!(formatter, "Refused({rule})"),
            Self::Working => formatter.write_str("Working"),
        }
    }
}

/// The submitter's node asks the aggregator for a result. Answered by the document's bytes.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub(crate) struct ResultRequest {
    pub(crate) job: JobId,
    /// The certified `ReadResult`.
    pub(crate) receipt: TransactionId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opening_opens_its_own_commitment_only() {
        let opening = Opening { filter: "Age >= 18".to_owned(), salt: [3; 32] };
        let commitment = Hash::commitment(&opening.salt, opening.filter.as_bytes());
        assert_eq!(opening.open(&commitment).unwrap().to_string(), "\"Age\" >= 18");
        assert!(Opening { filter: "Age >= 18".to_owned(), salt: [4; 32] }.open(&commitment).is_none());
        assert!(Opening { filter: "Age >= 17".to_owned(), salt: [3; 32] }.open(&commitment).is_none());
        let nonsense = Opening { filter: "Age >=".to_owned(), salt: [3; 32] };
        assert!(nonsense.open(&Hash::commitment(&[3; 32], b"Age >=")).is_none());
        assert_eq!(format!("{opening:?}"), "Opening(secret)");
        assert_eq!(Opening::decode(&opening.encode(), OPENING_BYTES_MAX).unwrap(), opening);
    }

    #[test]
    fn a_digest_is_of_one_job_dataset_salt_and_summary() {
        let digest = |job: u8, dataset: &str, salt: u8, bytes: &[u8]| {
            let reply = SiteReply::Summary { bytes: bytes.to_vec(), salt: [salt; 32] };
            reply.given(JobId(Hash([job; 32])), &dataset.parse().unwrap()).unwrap()
        };
        let first = digest(1, "harlem/opt", 1, b"summary");
        assert_eq!(first, digest(1, "harlem/opt", 1, b"summary"));
        let others = [
            digest(2, "harlem/opt", 1, b"summary"),
            digest(1, "harlem/mouse", 1, b"summary"),
            digest(1, "harlem/opt", 2, b"summary"),
            digest(1, "harlem/opt", 1, b"summar"),
        ];
        assert!(others.iter().all(|other| *other != first));
        assert_eq!(SiteReply::Working.given(JobId(Hash::ZERO), &"harlem/opt".parse().unwrap()), None);
    }
}
