//! A private testnet on one machine: genesis, keys and configuration of a few members, every node started as a process
//! of its own on loopback ports, and the main job on the data that ships with the project.
//!
//! - [`plan`]: who takes part, on which ports, with which keys.
//! - [`folder`]: where everything lies; what is written at creation.
//! - [`process`]: nodes as processes: start, stop, kill, whether they live.
//! - [`network`]: [`Testnet`], the whole of it: up, status, down, reset.
//! - [`membership`]: members that join and leave while the others go on.
//! - [`isolation`]: nodes in network namespaces, and what can go wrong between them.
//! - [`slow_disk`]: nodes whose disk is slow.
//! - [`fault`]: all faults, by name.
//! - [`relay`]: links that can be cut where there are no namespaces.
//! - [`demo`]: the main job, step by step.
//! - [`history`]: what clients ask and are told while nodes die, for the checkers of linearizability.

pub mod demo;
mod error;
pub mod fault;
pub mod folder;
pub mod history;
pub mod isolation;
pub mod membership;
pub mod network;
pub mod plan;
pub mod process;
pub mod relay;
pub mod slow_disk;

pub use error::TestnetError;
pub use membership::MembershipStep;
pub use network::{AccountEntry, NodeEntry, NodeStatus, Testnet};
pub use plan::{Plan, PlanOptions};
