//! The native rule engine: contracts are typed data, not programs.
//!
//! [`execute`] takes a state, a block's context and a transaction, and says what becomes of it: void (never recorded),
//! or recorded with an outcome, events and writes. It is total and pure: no I/O but [`StateRead::get`], no clock, no
//! randomness, no floating point, no map whose order varies, no loop that input does not bound. The same state, block
//! and transaction give the same writes on every node.
//!
//! - [`state`]: what the engine needs of a store. [`keys`]: every key in it, as a table.
//! - [`refusal`]: one variant a rule; listing them lists the rules. [`void`]: what is never recorded.
//! - [`begin_block`]: changes that are due, put in force before a block's transactions.
//! - `members/`, `datasets/`, `access/`, `jobs/`: one file a state machine.
//! - [`access::authorise`]: who may do what with a dataset, and by what.
//! - [`query`]: typed readers. [`event_index`]: how events are found again.

pub mod access;
mod begin;
mod changes;
mod datasets;
pub mod event_index;
mod execute;
mod genesis;
mod jobs;
pub mod keys;
pub mod limits;
mod live_ids;
mod members;
mod provenance;
pub mod query;
pub mod refusal;
mod session;
mod signer;
pub mod state;
pub mod void;

pub use access::{Authorisation, Charge, authorise};
pub use begin::{Begun, begin_block};
pub use event_index::{EventPosition, EventQuery, index_entries};
pub use execute::{
    BlockContext, Recorded, Verdict, Writes, execute, group_keys_changed, void_reason, write_set_digest,
};
pub use genesis::genesis_writes;
pub use jobs::job_site_permitted;
pub use live_ids::{Pruned, prune_live_ids};
pub use members::proposals::Tally;
pub use refusal::{Failure, Refusal};
pub use signer::signer_key;
pub use state::{Entry, StateError, StateRead};
pub use void::VoidReason;
