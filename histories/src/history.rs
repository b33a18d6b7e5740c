//! What a history is made of.

use serde::{Deserialize, Serialize};

/// A transaction's place on the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The block.
    pub height: u64,
    /// Its place in the block, from 0.
    pub index: u32,
}

/// What a record holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Value {
    /// Counted from 1, by writes that were applied.
    pub version: u32,
    /// What was written. No two writes of a history write the same.
    pub text: String,
}

/// What a client asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Replaces the record if it has a version (0: if there is none).
    Write {
        /// Names the transaction.
        id: String,
        /// The version that it replaces.
        expected: u32,
        /// What is written.
        text: String,
    },
    /// Asks what the record holds, by a linearizable read.
    Read,
    /// Asks what the node that is asked holds of the record.
    ReadLocal,
}

/// What the client was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A write stands on the chain.
    Acknowledged {
        /// Where.
        place: Place,
        /// Whether it was applied; else the rules refused it, as it named another version than the record had.
        applied: bool,
    },
    /// A write was not taken and never will be, or a read was not answered.
    Refused,
    /// A write may stand on the chain, now or later.
    Unknown,
    /// A read was answered.
    Found {
        /// The height that the answer names.
        height: u64,
        /// What there was.
        value: Option<Value>,
    },
}

/// One question of one client, and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Who asked; a client has one operation at a time.
    pub client: u32,
    /// Which node was asked.
    pub node: String,
    /// Which record it is about.
    pub key: String,
    /// When the client began to ask, nanoseconds of the recorder's monotonic clock.
    pub invoked_ns: u64,
    /// When it had the answer, or gave up.
    pub returned_ns: u64,
    /// What it asked.
    pub action: Action,
    /// What it was told.
    pub outcome: Outcome,
}

/// A write as the chain holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it stands.
    pub place: Place,
    /// The transaction.
    pub id: String,
    /// The record.
    pub key: String,
    /// The version that it replaces.
    pub expected: u32,
    /// What is written.
    pub text: String,
    /// Whether the rules applied it.
    pub applied: bool,
}

/// What clients asked and were told, and the chain afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// All operations, in any order.
    pub operations: Vec<Operation>,
    /// All writes to the operations' records that the chain holds, in its order.
    pub chain: Vec<Entry>,
    /// The height of the chain that [`chain`](Self::chain) was read from.
    pub tip: u64,
}
