//! Histories of real clients at a testnet's nodes, recorded while its nodes are killed and paused, for the checkers of
//! `galen-histories`.
//!
//! The records are access contracts: a contract has one owner's scope, is replaced by naming the version that it replaces
//! (so that each write is a compare-and-swap, judged by the chain's rules), and holds a rule whose name is what was
//! written.

mod chain;
mod clients;
mod faults;

pub use clients::{RecordOptions, Recorder};
pub use faults::{FaultCounts, play};
