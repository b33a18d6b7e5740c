//! What concurrent clients asked and were told, the chain that came of it, and whether the two fit.
//!
//! A [`History`] is recorded by one process with one monotonic clock ([`History::operations`]) and completed with the
//! writes that the chain holds ([`History::chain`]). The records are registers with compare-and-swap: a write names the
//! version that it replaces, and the chain's rules apply or refuse it.
//!
//! Two checkers that share no logic:
//!
//! | checker | knows | says | cost |
//! |---|---|---|---|
//! | [`by_chain`] | operations and the chain | each answer is that of the chain at its place or height, and the chain's order extends real time | O(n log n) |
//! | [`by_search`] | operations only, no heights | there is some order of each record's operations that explains every answer (Wing and Gong 1993, by Lowe's just-in-time search, 2017) | the number of operations times that of orders still possible |
//!
//! [`synthetic`] makes histories that are linearizable by construction, and [`corrupt`] makes one wrong in a known way:
//! the checkers must accept the ones and reject the others. Nothing here does any I/O.

pub mod by_chain;
pub mod by_search;
pub mod corrupt;
mod history;
mod lines;
mod random;
pub mod synthetic;

pub use history::{Action, Entry, History, Operation, Outcome, Place, Value};
pub use lines::LinesError;
pub use random::Random;
