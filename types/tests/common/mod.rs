//! Helpers of the tests: strategies for random values, and one fixed example of every call.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::expect_used, reason = "tests assert by panicking")]

pub(crate) mod examples;
pub(crate) mod strategies;

/// Reads a value from its text.
pub(crate) fn text<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect(text)
}
