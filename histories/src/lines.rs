//! A history as text: one JSON document a line, so that it can be written while it is recorded.

use serde::{Deserialize, Serialize};

use crate::{Entry, History, Operation};

/// One line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Operation(Operation),
    Entry(Entry),
    Tip(u64),
}

/// A line that is none.
#[derive(Debug, thiserror::Error)]
#[error("line {line} is no part of a history: {cause}")]
pub struct LinesError {
    /// Counted from 1.
    pub line: usize,
    /// Why.
    pub cause: serde_json::Error,
}

impl History {
    /// The history as lines of JSON, the operations before the chain.
    #[must_use]
    pub fn to_lines(&self) -> String {
        let operations = self.operations.iter().cloned().map(Line::Operation);
        let chain = self.chain.iter().cloned().map(Line::Entry);
        let mut text = String::new();
        for line in operations.chain(chain).chain([Line::Tip(self.tip)]) {
            // Texts and numbers: every line has a document.
            text.push_str(&serde_json::to_string(&line).unwrap_or_default());
            text.push('\n');
        }
        text
    }

    /// Reads [`to_lines`](Self::to_lines).
    ///
    /// # Errors
    /// [`LinesError`] naming the first line that is none.
    pub fn from_lines(text: &str) -> Result<Self, LinesError> {
        let mut history = Self::default();
        for (line, text) in text.lines().enumerate() {
            match serde_json::from_str(text).map_err(|cause| LinesError { line: line + 1, cause })? {
                Line::Operation(operation) => history.operations.push(operation),
                Line::Entry(entry) => history.chain.push(entry),
                Line::Tip(tip) => history.tip = tip,
            }
        }
        Ok(history)
    }
}
