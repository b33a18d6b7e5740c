//! One replica of the chain, sans-io: it owns no socket, thread or clock, so that the node runs it on threads of its
//! own and a simulator runs a whole cluster in one thread under a seed.
//!
//! ```text
//!   client bytes            peer messages
//!        |                       |
//!   [Orderer: mempool -> batch -> Raft core]  -- persist --> log thread -- persisted --+
//!        |  committed batches        ^------------------------------------------------+
//!        v
//!   [Executor: verify -> contracts -> one ledger write -> receipts -> header signature -> certificate]
//! ```
//!
//! - [`mempool`]: transactions that wait, bounded.
//! - [`orderer`]: mempool, batching and the Raft core as one state machine.
//! - [`executor`]: ordered batches (or certified blocks) to blocks, receipts, signatures, certificates.
//! - [`sync`]: what replicas ask each other to catch up.
//! - [`verify`]: an offline check of a ledger folder, with re-execution.

pub mod executor;
pub mod limits;
pub mod mempool;
pub mod orderer;
pub mod overlay;
pub mod signatures;
pub mod sync;
pub mod verify;

pub use executor::{Executed, Executor, ExecutorConfig, ExecutorError, LedgerState, Void};
pub use mempool::{Mempool, MempoolRefusal};
pub use orderer::{BatchLimits, OrderedBatch, Orderer, OrdererConfig, OrdererEffects};
