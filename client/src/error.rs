//! What can go wrong between a user and a node, by what the caller does next.

use std::path::{Path, PathBuf};

use galen_types::api::Problem;
use galen_types::job::{JobFailure, SiteOutcome};
use galen_types::{JobId, Slug, TransactionId};

/// Why a request did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The node refused or failed, and says why.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// No node answered: nothing is known to have happened.
    #[error("cannot reach the node at {url}: {reason}")]
    Unreachable {
        /// The node.
        url: String,
        /// What the network said.
        reason: String,
    },
    /// A transaction was handed over, but its receipt did not come back in time. It may or may not have been executed:
    /// look for it by its id before asking anew.
    #[error("no receipt came back in time for transaction {id}; it may or may not have been executed")]
    OutcomeUnknown {
        /// The transaction.
        id: TransactionId,
    },
    /// A rule of the chain refused the call; the refusal is recorded.
    #[error("denied by rule `{rule}`: {explanation}")]
    Denied {
        /// The transaction that was refused.
        id: TransactionId,
        /// The rule's code.
        rule: Slug,
        /// What the rule says about this case.
        explanation: String,
    },
    /// A job ended without a result.
    #[error("job {job} failed: {}", .failure.map_or("no reason was recorded", JobFailure::as_str))]
    JobFailed {
        /// The job.
        job: JobId,
        /// Why.
        failure: Option<JobFailure>,
        /// What became of each dataset.
        sites: Vec<SiteOutcome>,
    },
    /// A job goes on, but not within the time given.
    #[error("job {job} has not ended in time; it goes on without this command")]
    JobUnfinished {
        /// The job.
        job: JobId,
    },
    /// What came is not what the chain says: never used, never kept.
    #[error("integrity check failed: {0}")]
    Integrity(String),
    /// Events came faster than they were read; the node ended the stream.
    #[error("{missed} events were missed: they came faster than they were read; read the state again")]
    EventsMissed {
        /// How many.
        missed: u64,
    },
    /// The node's answer cannot be read.
    #[error("the node's answer cannot be read: {0}; are node and client of the same version?")]
    Answer(String),
    /// The client cannot work as configured.
    #[error("{0}")]
    Configuration(String),
    /// The request needs an account.
    #[error("this needs an account: say which one speaks, and where its key is")]
    NoAccount,
    /// A local file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file cannot be encrypted or decrypted.
    #[error(transparent)]
    Cipher(#[from] galen_filestore::CipherError),
    /// A file key cannot be wrapped or unwrapped.
    #[error(transparent)]
    Wrap(#[from] galen_filestore::WrapError),
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

impl ClientError {
    /// A stable code for interfaces and logs.
    pub fn code(&self) -> &str {
        match self {
            Self::Problem(problem) => &problem.code,
            Self::Unreachable { .. } => "client-unreachable",
            Self::OutcomeUnknown { .. } => "outcome-unknown",
            Self::Denied { rule, .. } => rule.as_str(),
            Self::JobFailed { .. } => "job-failed",
            Self::JobUnfinished { .. } => "job-unfinished",
            Self::Integrity(_) => "client-integrity",
            Self::EventsMissed { .. } => "client-events-missed",
            Self::Answer(_) => "client-answer-unreadable",
            Self::Configuration(_) => "client-configuration",
            Self::NoAccount => "client-no-account",
            Self::Io { .. } => "client-file",
            Self::Cipher(error) => error.code(),
            Self::Wrap(error) => error.code(),
            Self::Random(_) => "client-random",
        }
    }

    /// What to do next, where there is something to say.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Problem(problem) => problem.hint.as_deref(),
            _ => None,
        }
    }

    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

/// An error with its causes on one line, without repeating what a cause already says.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let part = next.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        cause = next.source();
    }
    text
}
