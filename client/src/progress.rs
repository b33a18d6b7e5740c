//! How far long work has come, for whoever shows it.

use std::sync::Arc;

/// A part of long work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The file is encrypted here.
    Encrypting,
    /// The ciphertext goes to the node.
    Uploading,
    /// The node decrypts the file once, checks it and reads its columns.
    Checking,
    /// The transaction is recorded on the chain.
    Recording,
    /// The ciphertext comes from the owner's node.
    Downloading,
    /// The file is decrypted here.
    Decrypting,
    /// The sites compute their summaries.
    Computing,
}

/// How far a part has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The part.
    pub stage: Stage,
    /// Done of it: bytes, or sites that answered.
    pub done: u64,
    /// All of it; 0 where that is not known.
    pub total: u64,
}

/// Is told of progress, often and from any thread.
pub type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

/// For callers that show nothing.
pub fn silent() -> OnProgress {
    Arc::new(|_| {})
}
