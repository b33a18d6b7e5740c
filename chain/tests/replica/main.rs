//! One replica and whole clusters of them, on real ledgers, in one thread.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    missing_docs,
    reason = "tests assert by panicking, and their numbers are small"
)]

mod certification;
mod cluster;
mod execution;
mod faults;
mod mempool;
mod node;
mod ordering;
mod overlay;
mod support;
