//! What is done to a traced process, and where.

use std::path::PathBuf;

use nix::errno::Errno;

use super::call::Kind;

/// What happens at the n-th call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The process is killed (SIGKILL) before the call.
    Kill,
    /// The call does nothing and returns this error; later calls of the same kinds too when it lasts.
    Fail {
        /// The error.
        error: Errno,
        /// Whether it stays so until the process ends, as on a full disk.
        lasts: bool,
    },
    /// The call writes half of its bytes; later calls of the same kinds fail with this error: the disk becomes full in the
    /// middle of a write.
    Halve {
        /// The error of the later calls.
        error: Errno,
    },
}

/// What is done to a process, and at which call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strike {
    /// The kinds of calls that are counted.
    pub kinds: Vec<Kind>,
    /// Only calls on files whose path holds this text; on all when `None`.
    pub within: Option<String>,
    /// At which of them, from 1.
    pub at: usize,
    /// What happens.
    pub action: Action,
}

impl Strike {
    /// A kill at the n-th call of any kind.
    pub fn kill(at: usize) -> Self {
        Self { kinds: Kind::ALL.to_vec(), within: None, at, action: Action::Kill }
    }

    /// Whether a call counts.
    pub(super) fn counts(&self, kind: Kind, path: &std::path::Path) -> bool {
        let within = self.within.as_deref().is_none_or(|text| path.to_string_lossy().contains(text));
        within && self.kinds.contains(&kind)
    }
}

/// Where a strike fell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Struck {
    /// The call's kind.
    pub kind: Kind,
    /// Its file.
    pub path: PathBuf,
}

impl std::fmt::Display for Struck {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} of {}", self.kind, self.path.display())
    }
}
