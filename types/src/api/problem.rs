use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What went wrong: RFC 9457 problem details, with a stable code and a hint. Served as `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[error("{title}: {detail}")]
pub struct Problem {
    /// A relative reference made of the code, e.g. `/problems/transaction-expired`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem, the same each time.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// Stable, for programs: e.g. `transaction-expired`.
    pub code: String,
    /// What happened this time.
    pub detail: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    /// A problem of a code; its type is derived from the code.
    pub fn new(status: u16, code: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("/problems/{code}"),
            title: title.to_owned(),
            status,
            code: code.to_owned(),
            detail: detail.into(),
            hint: None,
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
