//! The load generator. It drives a running testnet over HTTP with individually signed transactions of many accounts,
//! through the contract path and indexes that `data add` uses, and counts a transaction when its receipt is back at the
//! client. What is not acknowledged does not count.
//!
//! - [`options`]: how much load, of what kind, for how long.
//! - [`accounts`]: the accounts that sign, added to the chain by each member's administrator.
//! - [`workload`]: the calls.
//! - [`drive`]: clients in parallel, closed loop or at a fixed rate.
//! - [`report`]: throughput and latency percentiles, as text, JSON and SVG.
//! - [`steady`]: load that goes on whatever nodes do.
//! - [`failover`]: what the death of a leader costs.
//! - [`crowd`]: many connections that want nothing beside clients that work.
//! - [`faults`]: broken networks, paused processes and slow disks under load, and what must hold.
//! - [`agreement`]: whether nodes have the same chain with everything that was acknowledged.
//! - [`pauses`]: the longest time without a receipt.
//! - [`acknowledged`]: the record of receipts, and the check that a chain still holds every one of them.

pub mod accounts;
pub mod acknowledged;
pub mod agreement;
pub mod crowd;
mod draws;
pub mod drive;
mod error;
pub mod failover;
pub mod faults;
pub mod options;
pub mod pauses;
pub mod quantiles;
pub mod report;
mod standing;
pub mod steady;
pub mod workload;

pub use drive::run;
pub use error::BenchError;
pub use options::{BenchOptions, Workload};
pub use report::Report;
