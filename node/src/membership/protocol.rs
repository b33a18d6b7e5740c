//! What nodes ask each other about applications.

use galen_types::ProposalId;
use wincode::{SchemaRead, SchemaWrite};

/// Most bytes of a request.
pub(crate) const REQUEST_BYTES_MAX: usize = 64;
/// Most bytes of an answer: the largest contacts with their salt.
pub(crate) const ANSWER_BYTES_MAX: usize = 4 << 10;

/// Asks the node that took an application for its contacts. Answered by the encoding of a
/// [`ContactsOpening`](super::ContactsOpening).
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub(crate) struct ContactsRequest {
    /// The application's proposal.
    pub(crate) proposal: ProposalId,
}
