//! Errors as people and scripts see them: what happened, what to do next, and an exit code.

use galen_bench::BenchError;
use galen_client::ClientError;
use galen_keys::KeyError;
use galen_node::operate::{InitError, RunError};
use galen_testnet::TestnetError;

/// The exit codes that scripts rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Denied = 3,
    NotFound = 4,
    Unreachable = 5,
    OutcomeUnknown = 6,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The client's word.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The keystore's word.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The testnet's word.
    #[error(transparent)]
    Testnet(#[from] TestnetError),
    /// The load generator's word.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// A node's home cannot be made.
    #[error(transparent)]
    Init(#[from] InitError),
    /// A node did not start, or a fault stopped it.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A node's home, or an operation on it.
    #[error("{message}")]
    Operate {
        /// The cause's code.
        code: &'static str,
        message: String,
    },
    /// The arguments do not make sense together, or what they need is not configured.
    #[error("{message}")]
    Usage { message: String, hint: Option<String> },
    /// Anything else.
    #[error("{message}")]
    Failed { message: String, hint: Option<String> },
    /// Stdout cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(std::io::Error),
    /// Whoever read our output has had enough.
    #[error("the output was closed")]
    ClosedPipe,
}

impl CliError {
    /// What an operation on a node's home said, with its code.
    pub(crate) fn operate(code: &'static str, error: &impl std::fmt::Display) -> Self {
        Self::Operate { code, message: error.to_string() }
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), hint: None }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: None }
    }

    /// Says what to do next.
    pub(crate) fn or_hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Usage { hint, .. } | Self::Failed { hint, .. } = &mut self {
            *hint = Some(text.into());
        }
        self
    }

    /// A local file that cannot be read or written.
    pub(crate) fn file(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::failed(format!("{}: {error}", path.display()))
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Client(error)
            | Self::Testnet(TestnetError::Client(error))
            | Self::Bench(BenchError::Client(error) | BenchError::Testnet(TestnetError::Client(error))) => {
                exit_of_client(error)
            }
            Self::Testnet(TestnetError::Plan(_)) | Self::Bench(BenchError::Options(_)) => Exit::Usage,
            Self::Usage { .. } => Exit::Usage,
            Self::ClosedPipe => Exit::Done,
            _ => Exit::Failed,
        }
    }

    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Client(error) => error.code(),
            Self::Key(error) => error.code(),
            Self::Testnet(error) => error.code(),
            Self::Bench(error) => error.code(),
            Self::Init(error) => error.code(),
            Self::Run(error) => error.code(),
            Self::Operate { code, .. } => code,
            Self::Usage { .. } => "usage",
            Self::Failed { .. } => "failed",
            Self::Output(_) | Self::ClosedPipe => "output",
        }
    }

    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Usage { hint, .. } | Self::Failed { hint, .. } => hint.clone(),
            Self::Testnet(TestnetError::Client(error))
            | Self::Bench(BenchError::Client(error) | BenchError::Testnet(TestnetError::Client(error)))
            | Self::Client(error) => error.hint().map(str::to_owned).or_else(|| hint_of_client(error)),
            Self::Key(KeyError::Missing { name, folder }) => Some(format!(
                "make one with `galen key new {name} --keystore {}`, or say where it is with --keystore DIR",
                folder.display()
            )),
            Self::Key(KeyError::Password(_)) => {
                Some("give a file with --password-file FILE, or store one with `galen context add`".to_owned())
            }
            _ => None,
        }
    }
}

fn exit_of_client(error: &ClientError) -> Exit {
    match error {
        ClientError::Denied { .. } => Exit::Denied,
        ClientError::Problem(problem) => match problem.status {
            401 | 403 => Exit::Denied,
            404 => Exit::NotFound,
            504 if problem.code == "outcome-unknown" => Exit::OutcomeUnknown,
            _ => Exit::Failed,
        },
        ClientError::Unreachable { .. } => Exit::Unreachable,
        ClientError::OutcomeUnknown { .. } | ClientError::JobUnfinished { .. } => Exit::OutcomeUnknown,
        ClientError::Configuration(_) | ClientError::NoAccount => Exit::Usage,
        _ => Exit::Failed,
    }
}

fn hint_of_client(error: &ClientError) -> Option<String> {
    let text = match error {
        ClientError::Unreachable { .. } => {
            "is the node running? `galen context list` shows the address in use, --node URL asks another one".to_owned()
        }
        ClientError::OutcomeUnknown { id } => format!("look for it with `galen tx wait {id}` before asking anew"),
        ClientError::JobUnfinished { job } => format!("look again with `galen compute result {job}`"),
        ClientError::Denied { id, .. } => format!("the refusal is recorded: `galen tx show {id}`"),
        ClientError::NoAccount => {
            "choose one with --as ACCOUNT, or `galen context add` and `galen context use`".to_owned()
        }
        ClientError::JobFailed { job, .. } => format!("`galen compute show {job}` says what became of each dataset"),
        _ => return None,
    };
    Some(text)
}

#[cfg(test)]
mod tests {
    use galen_types::api::Problem;
    use galen_types::{Hash, JobId, Slug, TransactionId};

    use super::*;

    #[test]
    fn every_kind_of_error_has_the_exit_code_that_scripts_rely_on() {
        let problem = |status, code| ClientError::Problem(Box::new(Problem::new(status, code, "title", "detail")));
        let id = TransactionId(Hash::ZERO);
        let rule = Slug::parse("nothing-permits").unwrap();
        let table = [
            (problem(400, "malformed"), 1),
            (problem(401, "signature-invalid"), 3),
            (problem(403, "role-missing"), 3),
            (problem(404, "dataset-unknown"), 4),
            (problem(503, "no-leader"), 1),
            (problem(504, "outcome-unknown"), 6),
            (ClientError::Denied { id, rule, explanation: String::new() }, 3),
            (ClientError::Unreachable { url: String::new(), reason: String::new() }, 5),
            (ClientError::OutcomeUnknown { id }, 6),
            (ClientError::JobUnfinished { job: JobId(Hash::ZERO) }, 6),
            (ClientError::NoAccount, 2),
            (ClientError::Integrity(String::new()), 1),
        ];
        for (error, expected) in table {
            let text = format!("{error:?}");
            assert_eq!(CliError::from(error).exit() as u8, expected, "{text}");
        }
        assert_eq!(CliError::usage("").exit(), Exit::Usage);
        assert_eq!(CliError::ClosedPipe.exit(), Exit::Done);
    }

    #[test]
    fn an_unknown_outcome_names_the_transaction() {
        let error = CliError::from(ClientError::OutcomeUnknown { id: TransactionId(Hash([0xab; 32])) });
        assert!(error.to_string().contains(&"ab".repeat(32)));
        assert!(error.hint().unwrap().contains(&"ab".repeat(32)));
    }
}
