//! The JSON documents of the HTTP API under `/v1`, shared by nodes and clients. Records of the chain (members,
//! datasets, requests, jobs, ...) travel as they are defined in this crate.

mod audit;
mod chain;
mod consistency;
mod dataset;
mod job;
mod membership;
mod node;
mod problem;
mod transaction;

pub use audit::{AuditEntry, AuditQuery};
pub use chain::{BlockDetail, BlockSummary, ChainStatus, Evidence, NodeStatus, PeerStatus};
pub use consistency::Consistency;
pub use dataset::{
    Card, ContractSet, DatasetDetail, DatasetSearch, DatasetSummary, DownloadTicket, FileKeyDeposit, FilePart,
    FileVerification, StoredFile,
};
pub use job::{JobDetail, JobOpening, JobProgress};
pub use membership::{
    Admission, ApplicationContacts, ApplicationReceived, ApplicationSubmission, ApplicationSummary, BallotCount,
    BootstrapPeer, CONTACTS_BYTES_MAX, DialBack, InvitationText, JoinState, JoinStatus, Withdrawal,
};
pub use node::{
    BackupMade, LeaderTransfer, LeaderTransferOrder, NodeDetail, NodeOrdering, NodeStorage, Participation, SnapshotMade,
};
pub use problem::Problem;
pub use transaction::{Finality, StreamEvent, TransactionStatus};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<Item> {
    /// The height of the state it was read from.
    pub height: u64,
    /// The items, in the list's order.
    pub items: Vec<Item>,
    /// Give it as `start_after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Items on a page when the client does not say.
pub const PAGE_ITEMS_DEFAULT: usize = 100;
/// Most items on a page.
pub const PAGE_ITEMS_MAX: usize = 1_000;
