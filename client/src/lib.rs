//! Typed client of Galen's HTTP API. It signs requests and transactions, encrypts files before they leave the user's
//! machine and decrypts them on it, and believes no bytes that do not match the chain.
//!
//! - [`Client`]: one node, one account; every endpoint is a method.
//! - [`Client::submit`], [`Client::apply`]: transactions, sent again with the same bytes until their validity ends.
//! - [`Client::publish_file`], [`Client::download`]: files, in constant memory.
//! - [`Client::run_job`]: compute jobs, from the filter's opening to the checked result.
//! - [`Client::send_application`], [`Client::join_status`]: the way into a consortium, without an account.
//! - [`Client::transaction_proof`], [`Client::state_proof`]: offline proofs.
//! - [`Client::events`]: what happens on the chain, as a stream.

mod client;
mod compute;
mod config;
mod download;
mod endpoints;
mod error;
mod events;
mod local_file;
mod membership;
mod page;
mod progress;
mod proof;
mod publish;
mod transaction;
mod transport;

pub use client::Client;
pub use compute::JobResult;
pub use config::{ClientConfig, Timeouts};
pub use download::Downloaded;
pub use endpoints::{BlockOrder, JobFilter, RequestFilter};
pub use error::ClientError;
pub use events::EventKind;
pub use page::{Paging, collect_pages};
pub use progress::{OnProgress, Progress, Stage, silent};
pub use publish::{Publication, Published};
pub use transaction::{BatchAnswer, PreparedTransaction, Wait};
