//! The targets, by name.

pub mod canary;
pub mod configuration;
pub mod consensus;
pub mod execution;
pub mod files;
pub mod frames;
pub mod http;
pub mod keys;
pub mod log;
pub mod ordering;
pub mod proofs;
pub mod sync;
pub mod tables;
pub mod transactions;

use crate::target::Target;

/// Makes a target.
pub type Make = fn() -> Box<dyn Target>;

/// Every target with its name, which is that of its folders too.
pub const ALL: &[(&str, Make)] = &[
    ("configuration", || Box::new(configuration::Configuration::default())),
    ("consensus", || Box::new(consensus::Consensus)),
    ("execution", || Box::new(execution::Execution::default())),
    ("files", || Box::new(files::Files::default())),
    ("frames", || Box::new(frames::Frames)),
    ("http", || Box::new(http::Http::default())),
    ("keys", || Box::new(keys::Keys::default())),
    ("log", || Box::new(log::LogRecovery::default())),
    ("ordering", || Box::new(ordering::Ordering)),
    ("proofs", || Box::new(proofs::Proofs)),
    ("sync", || Box::new(sync::Sync::default())),
    ("tables", || Box::new(tables::Tables::default())),
    ("transactions", || Box::new(transactions::Transactions::default())),
];

/// The target of this name.
pub fn find(name: &str) -> Option<Make> {
    ALL.iter().find(|(known, _)| *known == name).map(|(_, make)| *make)
}
