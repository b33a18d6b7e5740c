//! A whole life of a node: founded, started, used, backed up, stopped and started again; and what must be true of its home
//! whatever happened to it.

mod error;
mod reopen;
mod stage;
mod workload;

pub use error::{Fault, LifeError};
pub use reopen::{Outcome, Running, attempt, reopen};
pub(crate) use reopen::{cause, compare};
pub use stage::Stage;
pub(crate) use stage::remove;
pub use workload::{Chapter, Played, Receipts, play};
