use serde::Serialize;
use serde_json::Value;

/// A step that came out as it must.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// Names it, for programs.
    pub step: &'static str,
    /// Names it, for people.
    pub title: &'static str,
    /// What was done.
    pub done: String,
    /// What came, line by line.
    pub came: Vec<String>,
    /// How to do the same by hand.
    pub by_hand: Vec<String>,
    /// What came, for programs.
    pub facts: Value,
}
