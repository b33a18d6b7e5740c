//! What an operator does with a node besides looking at it: prepare its home, join, check it before the start, run it.

pub mod backup;
mod bootstrap;
mod check;
pub mod fetch;
pub(crate) mod files;
pub(crate) mod held;
mod init;
pub mod join;
mod own_key;
pub mod recovery;
mod run;

pub use bootstrap::Bootstrap;
pub use check::{CheckItem, check};
pub use files::{FileError, UNFINISHED_SUFFIX};
pub use init::{InitError, InitOptions, Initialised, init};
pub use own_key::{lay_next_key, note_registered_key};
pub use run::{RunError, run};
