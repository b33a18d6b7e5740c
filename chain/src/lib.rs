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
//! - [`clocks`]: the clocks of others, and the latest time that a leader may propose.
//! - [`executor`]: ordered batches (or certified blocks) to blocks, receipts, signatures, certificates.
//! - [`group`]: who takes part in ordering, as the chain says it.
//! - [`knowledge`]: what peers know of a node that is to order.
//! - [`recovery`]: going on without a lost quorum.
//! - [`sync`]: what replicas ask each other to catch up.
//! - [`snapshot`]: a snapshot of the state between peers; [`history`]: what came before it, fetched and pruned.
//! - [`verify`]: an offline check of a ledger folder, with re-execution.

pub mod clocks;
pub mod executor;
pub mod group;
pub mod history;
pub mod knowledge;
pub mod limits;
pub mod mempool;
pub mod orderer;
pub mod overlay;
#[cfg(feature = "planted")]
mod planted;
pub mod recovery;
pub mod signatures;
pub mod snapshot;
pub mod sync;
pub mod verify;

pub use executor::{Executed, Executor, ExecutorConfig, ExecutorError, LedgerState, Void};
pub use group::Group;
pub use mempool::{Mempool, MempoolRefusal};
pub use orderer::{
    BatchLimits, MembershipProgress, OrderedBatch, Orderer, OrdererConfig, OrdererEffects, ReadTicket, ReadsFull,
};
