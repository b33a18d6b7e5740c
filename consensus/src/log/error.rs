//! Why the log does not open or stops.

use std::io;
use std::path::PathBuf;

/// Why the log does not open or stops. The code is stable. After any error the log takes nothing more (R4).
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file system failed. Whether the last write is there is unknown until the log is opened again.
    #[error("cannot {action} `{}`: {source}; free or repair the disk, then start the node again", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Another process has the log.
    #[error("another process uses the log in `{}`; stop it first", .0.display())]
    Locked(PathBuf),
    /// Bytes that were durable have changed or are gone: this node may have forgotten a promise and must not vote.
    #[error(
        "the log is damaged in segment {segment} at byte {offset} (entry {index} or the record after the one before it): \
         its number must not vote any more; a node gives it up by itself and comes back under a new one"
    )]
    Damaged {
        /// The segment's number.
        segment: u64,
        /// Where in its file.
        offset: u64,
        /// The index that was to come next.
        index: u64,
    },
    /// A segment between others is gone.
    #[error(
        "segment {0} of the log is missing: its number must not vote any more; a node gives it up by itself and comes \
         back under a new one"
    )]
    MissingSegment(u64),
    /// The log is of another group or node.
    #[error("segment {segment} of the log belongs to {found}, not to {wanted}; is this another node's folder?")]
    WrongIdentity {
        /// The segment's number.
        segment: u64,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        wanted: String,
    },
    /// A log that is to begin at a snapshot finds something there.
    #[error("the folder `{}` is not empty; a new log needs a folder of its own", .0.display())]
    NotEmpty(PathBuf),
    /// Something to be written is above its limit.
    #[error("a record of {0} bytes is above the log's limit")]
    TooLarge(usize),
    /// An entry that would leave a gap.
    #[error("entry {found} does not follow entry {last}")]
    Gap {
        /// The entry to be written.
        found: u64,
        /// The last one written.
        last: u64,
    },
    /// An earlier error stopped the log.
    #[error("the log has stopped after an earlier error; start the node again")]
    Stopped,
}

impl LogError {
    /// Whether bytes that were durable have changed or are gone: the number of this log must never vote again.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::MissingSegment(_))
    }

    /// A stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "log-io",
            Self::Locked(_) => "log-locked",
            Self::Damaged { .. } => "log-damaged",
            Self::MissingSegment(_) => "log-missing-segment",
            Self::WrongIdentity { .. } => "log-wrong-identity",
            Self::NotEmpty(_) => "log-not-empty",
            Self::TooLarge(_) => "log-too-large",
            Self::Gap { .. } => "log-gap",
            Self::Stopped => "log-stopped",
        }
    }
}
