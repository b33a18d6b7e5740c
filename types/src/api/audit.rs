use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::hash::Hash;
use crate::identifier::TransactionId;
use crate::receipt::Event;
use crate::time::Timestamp;

/// What `GET /v1/audit` asks for; all given parts must match. Auditors and administrators see everything, others what
/// their own member did or what was done with its data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// Only about this dataset, e.g. `harlem/opt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// Only by this operator, e.g. `alice@harlem`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Only by operators of this member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// Only from this time on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Only before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The page's start: the last page's `next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_after: Option<String>,
    /// Items on the page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// One entry of the audit trail: an event and where the chain holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// The block's height.
    pub height: u64,
    /// The block's time.
    pub time: Timestamp,
    /// The transaction.
    pub transaction: TransactionId,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
    /// The ciphertext hash of the version it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ciphertext: Option<Hash>,
}
