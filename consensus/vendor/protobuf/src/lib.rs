//! The two items of protobuf 2 that raft 0.7 names. There is no protobuf here: raft asks a message for its size, and
//! turns configuration changes into entry data and back.

use std::fmt;

/// What raft asks of a message type.
pub trait Message {
    /// Size in bytes, as it counts against raft's size limits.
    fn compute_size(&self) -> u32;

    /// The message's bytes.
    ///
    /// # Errors
    /// When the message has no encoding.
    fn write_to_bytes(&self) -> Result<Vec<u8>, ProtobufError>;

    /// Replaces `self` by the message that `bytes` encode.
    ///
    /// # Errors
    /// When `bytes` are not exactly one encoded message.
    fn merge_from_bytes(&mut self, bytes: &[u8]) -> Result<(), ProtobufError>;
}

/// Why bytes are no message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtobufError {
    reason: &'static str,
}

impl ProtobufError {
    /// An error with its reason.
    #[must_use]
    pub fn new(reason: &'static str) -> Self {
        Self { reason }
    }
}

impl fmt::Display for ProtobufError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.reason)
    }
}

impl std::error::Error for ProtobufError {}
