//! One replica on a real ledger. Whole clusters: `galen-simulation`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    missing_docs,
    reason = "tests assert by panicking, and their numbers are small"
)]

mod certification;
mod execution;
mod handover;
mod mempool;
mod ordering;
mod overlay;
mod reads;
mod recovery;
mod support;
