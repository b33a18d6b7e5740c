use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::{NodeOrdering, NodeStorage};
use crate::block::BlockHeader;
use crate::certificate::Certificate;
use crate::hash::Hash;
use crate::identifier::TransactionId;
use crate::member::{EncryptionKey, NodeRole};
use crate::name::{NodeName, Slug};
use crate::receipt::Receipt;
use crate::time::Timestamp;

/// `GET /v1/chain`: the node, how far its chain has come, and how it takes part. Open to everyone who reaches the port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeStatus {
    /// The chain.
    #[serde(flatten)]
    pub chain: ChainStatus,
    /// Ordering and voting.
    pub ordering: NodeOrdering,
    /// What it stores.
    #[serde(default)]
    pub storage: NodeStorage,
}

/// The node, and how far its chain has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChainStatus {
    /// The chain's name.
    pub chain: Slug,
    /// The genesis hash.
    pub genesis: Hash,
    /// The answering node.
    pub node: NodeName,
    /// What it does.
    pub role: NodeRole,
    /// The software's version.
    pub version: String,
    /// File keys deposited at this node are wrapped to this key.
    pub encryption_key: EncryptionKey,
    /// Blocks applied here.
    pub height: u64,
    /// The last block's hash; the genesis hash at height 0.
    pub header: Hash,
    /// The last block's time; the founding time at height 0.
    pub time: Timestamp,
    /// Everything up to this height is certified.
    pub certified_height: u64,
    /// The epoch of the voter set.
    pub epoch: u64,
    /// Voters of the epoch.
    pub voters: Vec<NodeName>,
    /// Signatures that make a certificate.
    pub quorum: usize,
    /// Lying voters that are tolerated.
    pub faults_tolerated: usize,
    /// The node that orders now, as far as this one knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<NodeName>,
    /// Connected peers.
    pub peers: usize,
    /// Whether it accepts transactions now.
    pub ready: bool,
}

/// A connected or expected peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PeerStatus {
    /// The node.
    pub node: NodeName,
    /// What it does.
    pub role: NodeRole,
    /// Whether it is connected now.
    pub connected: bool,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected_since: Option<Timestamp>,
    /// Round-trip time of the last ping, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_us: Option<u64>,
}

/// A block in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockSummary {
    /// Its height.
    pub height: u64,
    /// Its hash.
    pub hash: Hash,
    /// Its time.
    pub time: Timestamp,
    /// Transactions in it.
    pub transactions: u32,
    /// The leader that proposed it.
    pub proposer: NodeName,
}

/// `GET /v1/blocks/{height}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockDetail {
    /// Its hash.
    pub hash: Hash,
    /// Its header.
    pub header: BlockHeader,
    /// Its transactions' ids, in order.
    pub transactions: Vec<TransactionId>,
    /// Their receipts, in the same order; those that the reader may see.
    pub receipts: Vec<Receipt>,
    /// The certificate that covers it, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
}

/// Evidence in `GET /v1/evidence`: a voter signed another header than the one that its epoch's voters certified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Evidence {
    /// At which height.
    pub height: u64,
    /// The voter.
    pub voter: NodeName,
    /// The epoch of which it was a voter.
    pub epoch: u64,
    /// The certified block's time.
    pub time: Timestamp,
    /// What it signed.
    pub signed: Hash,
    /// What was certified.
    pub certified: Hash,
    /// Whether it signed the certified header as well.
    pub both: bool,
}
