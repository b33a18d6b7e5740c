//! Why the jobs folder cannot be opened.

use std::io;

use crate::files::FolderError;

/// Why a node's jobs cannot be opened. The code is stable.
#[derive(Debug, thiserror::Error)]
pub enum JobsError {
    /// A folder of jobs.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// What the folder holds cannot be read.
    #[error("the jobs that this node keeps cannot be read: {0}")]
    Read(#[from] io::Error),
}

impl JobsError {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Folder(_) => "jobs-folder",
            Self::Read(_) => "jobs-unreadable",
        }
    }
}
