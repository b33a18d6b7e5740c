//! What the other crates' tests are built on: one example of every call, and a consortium in memory.
#![allow(dead_code, unreachable_pub, reason = "shared with other crates' tests; a part is used here")]

/// Reads a value from its text.
pub(crate) fn text<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

#[path = "../../contracts/tests/rules/support.rs"]
pub(crate) mod consortium;
#[path = "../../types/tests/common/examples.rs"]
pub(crate) mod examples;
