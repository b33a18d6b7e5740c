//! Batches (what is ordered), blocks and their headers (what execution makes of a batch).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wincode::{SchemaRead, SchemaWrite};

use crate::encoding::Encoding;
use crate::hash::{Context, Hash};
use crate::merkle;
use crate::name::{NodeName, Slug};
use crate::time::Timestamp;

/// What a leader proposes for ordering: the content of one entry of the ordering log.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Batch {
    /// The leader's clock, as far as a majority goes along; the block's time is at least the parent's plus 1 ms.
    pub proposed: Timestamp,
    /// The leader.
    pub proposer: NodeName,
    /// Full signed bytes of each transaction. Those found void at execution are left out of the block.
    pub transactions: Vec<Vec<u8>>,
}

/// What a block is known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct BlockHeader {
    /// The chain: the hash of its genesis document.
    pub genesis: Hash,
    /// The chain's name within the consortium.
    pub chain: Slug,
    /// Counted from 1; the genesis is 0 and has no block.
    pub height: u64,
    /// The hash of the header before; of the first block, the genesis hash.
    pub parent: Hash,
    /// max(parent's time + 1 ms, proposed time).
    pub time: Timestamp,
    /// Counts the voter sets, from 0.
    pub epoch: u64,
    /// The hash of the epoch's voter set.
    pub voter_set: Hash,
    /// The hash of the voter set that certifies the next height. It differs from `voter_set` only in the last block of an
    /// epoch, which the old set certifies: that certificate is what hands over to the new set.
    pub next_voter_set: Hash,
    /// Which version of the rules executed it.
    pub rules_version: u32,
    /// The leader that proposed the batch.
    pub proposer: NodeName,
    /// Term of its entry in the ordering log.
    pub raft_term: u64,
    /// Index of its entry in the ordering log.
    pub raft_index: u64,
    /// Merkle root over the full signed bytes of its transactions.
    pub transactions_root: Hash,
    /// Merkle root over its receipts.
    pub receipts_root: Hash,
    /// Root of the Merkle mountain range over all earlier headers' hashes.
    pub history_root: Hash,
    /// Root of the state tree after execution.
    pub state_root: Hash,
}

impl BlockHeader {
    /// The block's hash.
    pub fn hash(&self) -> Hash {
        Hash::of(Context::BlockHeader, &self.encode())
    }
}

/// A header and its transactions.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Block {
    /// The header.
    pub header: BlockHeader,
    /// Full signed bytes of each transaction, in order of execution.
    pub transactions: Vec<Vec<u8>>,
}

/// Most bytes of an encoded block that is accepted from outside: the largest permitted content and its framing.
pub const BLOCK_BYTES_MAX: usize = 9 << 20;

impl Block {
    /// Whether the transactions are those that the header names.
    pub fn transactions_match(&self) -> bool {
        merkle::root(self.transactions.iter().map(Vec::as_slice)) == self.header.transactions_root
    }
}
