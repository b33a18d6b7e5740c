//! The running Galen node: threads and channels around the chain, its HTTP face, files, compute jobs, configuration and
//! telemetry. Wiring only: what is decided is decided in the crates that it wires.
//!
//! - [`runtime`]: which thread does what, and the queues between them.
//! - [`http`]: the face under `/v1`.
//! - [`files`], [`jobs`]: off-chain files and compute jobs.
//! - [`membership`]: applications of institutions that want to join.
//! - [`config`], [`home`], [`operate`]: what an operator writes, keeps and does.
//! - [`proving`]: offline proofs.
//! - [`telemetry`]: what is logged, and how.

pub mod config;
pub mod files;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod home;
pub mod http;
pub mod jobs;
pub mod membership;
pub mod operate;
pub mod proving;
pub mod runtime;
pub mod telemetry;
