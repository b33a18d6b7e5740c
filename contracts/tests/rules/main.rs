//! The rule engine from outside: every state machine, every refusal, and properties over random calls.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests assert by panicking")]

mod authorisation;
mod golden;
mod joining;
mod leaving;
mod membership_properties;
mod ordering;
mod properties;
mod queries;
mod recovery;
mod refusals;
mod refusals_membership;
mod scenario;
mod speed;
mod support;
mod transitions;
mod void;
