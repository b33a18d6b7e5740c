//! Fuzzing of everything that comes from outside.
//!
//! - [`target`]: what is fuzzed and what is demanded of it; [`targets`]: the targets.
//! - [`judge`]: one input, judged: no panic, bounded memory and time, and the target's own claims.
//! - [`campaign`]: mutate what is known, keep what reaches something new; [`mutation`], [`random`].
//! - [`corpus`]: the files; [`allocation`]: the counting allocator.
//!
//! Inputs are kept by what they reach: a target labels each (the error's code, the state it led to), and an input with a
//! new combination of labels joins the corpus. That needs no instrumentation and works with every compiler.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test harness: what goes wrong in it must stop it, and its numbers are small"
)]

pub mod allocation;
pub mod campaign;
mod chain;
pub mod corpus;
pub mod judge;
pub mod mutation;
pub mod random;
pub mod target;
pub mod targets;

mod script;
mod shared;
