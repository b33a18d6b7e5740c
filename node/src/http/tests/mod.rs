//! The face over real sockets, above a chain in memory that executes the real rules: a call is a block.

mod authentication;
mod client;
mod documents;
mod files;
mod flow;
mod hostile;
mod matrix;
mod secure;
mod streams;
mod visible;
mod world;
