//! The running node: which thread and task does what, and the queues between them.
//!
//! | thread or task | owns | takes from | gives to |
//! |---|---|---|---|
//! | `ordering` thread (voters) | `Orderer`: mempool, Raft core | frames, admitted transactions, log writer, execution | log writer, network, execution |
//! | `log` thread (voters) | the ordering log | ordering | ordering |
//! | `execution` thread | `Executor`: ledger writes, header signatures | ordering, network task | clients that wait, network, ordering |
//! | `admission` thread | signature checks | HTTP, network task | ordering (voters), a voter's node (others) |
//! | network task | - | peers | all of the above, files, jobs |
//! | sync task | - | progress, snapshot offers | execution |
//! | aggregation task (aggregators) | running jobs | certified height | sites, chain |
//! | HTTP tasks | - | clients | admission, ledger views, files, jobs |
//!
//! A thread stops when the node stops; a fault in any of them stops the node ([`fatal`]). What each queue does when it
//! is full stands in `limits`.

mod admission;
mod chain_view;
mod execution;
pub mod fatal;
pub mod kinds;
mod limits;
mod log_writer;
mod metrics;
mod network;
mod ordering;
mod own_transactions;
mod receipts;
mod relay;
mod service;
mod start;
mod sync;

pub use chain_view::LedgerChainView;
pub use execution::Progress;
pub use own_transactions::NodeSigner;
pub use service::Chain;
pub(crate) use service::free_space;
pub use start::{Node, StartError};
