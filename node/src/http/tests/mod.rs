//! The face over real sockets, above a chain in memory that executes the real rules: a call is a block.

mod authentication;
mod client;
mod consistency;
mod documents;
mod files;
mod flow;
mod hostile;
mod joining;
mod matrix;
mod proofs;
mod secure;
mod streams;
mod visible;
mod who_gets_what;

use super::world;
