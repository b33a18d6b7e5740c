//! The chain on RocksDB: blocks, receipts, state with its Merkle tree, indexes, certificates and signatures. Keys and
//! values of the state are bytes here; what they mean is the contracts' business.
//!
//! Four layers, each using only the one above it in this list:
//! 1. `store::bytes`: the byte formats of keys and values;
//! 2. `store::column`: column families with typed keys and values, read through snapshots, written in batches;
//! 3. [`View`]: headers, blocks, receipts, state, events at one moment;
//! 4. [`Ledger`]: block commits, header signatures, certificates, and their rules.
//!
//! What holds at every moment, also after a crash (tested by killing the process):
//! - **One batch a block.** A block, its receipts, state, tree, indexes and its place in the ordering log are written
//!   together or not at all.
//! - **Never two signatures.** A voter's header signature is on disk before it is given out, and no other is ever
//!   recorded at its height or below.
//! - **Fail-stop.** After a failed write the outcome is unknown; nothing is written any more and the node must stop.
//!
//! Block writes are not synced: the ordering log replays them. [`Ledger::record_own_signatures`] and [`Ledger::sync`]
//! are, and they make everything written before durable too.

pub mod backup;
mod certificates;
mod commit;
pub mod constants;
mod damage;
mod error;
mod evidence;
mod fault;
mod folder;
mod halt;
mod handover;
mod history;
pub mod install;
mod ledger;
mod meta;
mod proof;
mod prove;
mod prune;
mod signatures;
mod signed_mark;
pub mod snapshot;
mod state_root;
mod store;
mod tree;
pub mod verify;

mod view;

pub use commit::{BlockCommit, PreparedState, StateWrite};
pub use damage::DamageObserver;
pub use error::LedgerError;
pub use evidence::FoundEvidence;
pub use fault::WriteFault;
pub use halt::Halt;
pub use handover::{hands_over, next_epoch};
pub use history::{Absence, HistoryError};
pub use ledger::{Applied, Ledger, LedgerOptions, Tip};
pub use proof::{StateProof, StateProofError};
pub use prove::{ProveError, ProvenState};
pub use prune::Pruned;
pub use snapshot::SnapshotError;
pub use state_root::state_root_of;
pub use store::bytes::Location;
pub use view::{EventSpan, Row, View};
