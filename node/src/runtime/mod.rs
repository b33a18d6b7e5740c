//! The running node: which thread and task does what, and the queues between them.
//!
//! | thread or task | owns | takes from | gives to |
//! |---|---|---|---|
//! | supervisor task | the incarnations of the node, one after the other | the others' wish to start anew | - |
//! | `ordering` thread (voters) | `Orderer`: mempool, Raft core | frames, admitted transactions, log writer, execution | log writer, network, execution |
//! | `log` thread (voters) | the ordering log | ordering | ordering |
//! | `execution` thread | `Executor`: ledger writes, header signatures | ordering, network task | clients that wait, network, ordering |
//! | `admission` thread | signature checks | HTTP, network task | ordering (voters), a voter's node (others) |
//! | network task | - | peers | all of the above, files, jobs |
//! | sync task | - | progress, snapshot offers | execution |
//! | standing task | what the node does against what the chain says | the chain's records, ordering | chain, supervisor |
//! | registry task | - | the chain's records | network |
//! | check task (voters) | - | what peers know of this node | ordering and execution, by the gate |
//! | inquiry task | linearizable reads of nodes that do not order | HTTP | voters |
//! | past task | fetching and pruning what is old | peers | the ledger |
//! | `scrub` thread | reading again all that is stored | the log writer's word how far the log goes | `damage` |
//! | aggregation task (aggregators) | running jobs | certified height | sites, chain |
//! | HTTP tasks | - | clients | admission, ledger views, files, jobs |
//!
//! A thread stops when the node stops; a fault in any of them stops the node ([`fatal`]). What each queue does when it
//! is full stands in `limits`.

mod admission;
mod archive;
mod chain_view;
pub(crate) mod damage;
mod execution;
pub mod fatal;
mod gate;
mod inquiry;
mod keys;
pub mod kinds;
pub(crate) mod knowledge;
mod leap;
mod limits;
mod loaded;
mod log_writer;
mod metrics;
mod network;
mod offers;
mod operations;
mod ordering;
mod own_transactions;
mod part;
mod past;
mod proofs;
mod reading;
mod receipts;
mod registered;
mod relay;
mod repair;
mod room;
mod scrub;
mod service;
mod standing;
mod start;
mod supervisor;
mod sync;
mod threads;
mod throttle;

pub use chain_view::LedgerChainView;
pub use execution::Progress;
pub(crate) use loaded::ledger_options;
pub use own_transactions::NodeSigner;
pub use part::PartError;
pub(crate) use part::PartNotes;
pub use service::Chain;
pub(crate) use service::free_space;
pub use start::StartError;
pub use supervisor::{Node, RunOptions};
