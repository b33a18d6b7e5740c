//! What an operator does with a node besides looking at it: prepare its home, check it before the start, run it.

mod check;
mod init;
mod run;

pub use check::{CheckItem, check};
pub use init::{InitError, InitOptions, Initialised, init};
pub use run::{RunError, run};
