use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::BlockSummary;
use crate::identifier::{JobId, TransactionId};
use crate::job::JobState;
use crate::receipt::Receipt;
use crate::time::Timestamp;
use crate::transaction::TransactionBody;
use crate::vocabulary::text_enum;

text_enum! {
    /// How far a transaction has come.
    pub enum Finality {
        /// Accepted by this node, not in a block yet.
        Pending = 1 "pending",
        /// In a block, on a majority's disks, applied here: a crash loses nothing.
        Committed = 2 "committed",
        /// A quorum of voters signed a header that covers it.
        Certified = 3 "certified",
    }
}

/// `GET /v1/transactions/{id}` and the answer to a submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransactionStatus {
    /// The transaction.
    pub id: TransactionId,
    /// How far it has come.
    pub finality: Finality,
    /// The block's height, once committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u64>,
    /// Its place in the block, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// The block's time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// What became of it, once committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
    /// What was asked, where the reader may see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<TransactionBody>,
}

/// What `GET /v1/events` streams as server-sent events; the event's name is the `event` field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum StreamEvent {
    /// A block was applied here.
    Block(BlockSummary),
    /// Everything up to this height is certified.
    Certified {
        /// The height.
        height: u64,
    },
    /// A transaction of the reader's member got its receipt.
    Receipt(Box<TransactionStatus>),
    /// A job of the reader's member changed.
    Job {
        /// Which.
        job: JobId,
        /// Where it stands.
        state: JobState,
    },
}
