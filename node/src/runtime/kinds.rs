//! What nodes ask each other over the network's request protocol, beside ordering and gossip. Kinds below
//! [`galen_p2p::limits::REQUEST_KINDS_SYNC_END`] may have large answers.

/// Blocks or header signatures: [`galen_chain::sync::SyncRequest`].
pub const SYNC: u16 = 1;
/// What the peer knows of the asker, before the asker orders: `runtime::knowledge`. Also a node that leaves may ask it.
pub const KNOWLEDGE: u16 = galen_p2p::limits::REQUEST_KIND_ORDERING;
/// Snapshots of the ledger: [`galen_chain::snapshot::SnapshotRequest`].
pub const SNAPSHOT: u16 = 3;
/// What came before a snapshot: [`galen_chain::history::HistoryRequest`].
pub const HISTORY: u16 = 4;
/// The filter of a job, for the aggregator and the sites: a job id; answered by the submitter's node.
pub const JOB_OPENING: u16 = 1_001;
/// A site's summary for a job.
pub const JOB_SUMMARY: u16 = 1_002;
/// A job's result document, for the submitter's node.
pub const JOB_RESULT: u16 = 1_003;
/// The file key of a certified download, wrapped to the account's key; answered by the owner's node.
pub const DOWNLOAD_KEY: u16 = 1_004;
/// The card of a dataset; answered by the owner's node.
pub const CARD: u16 = 1_005;
/// How far a node must have come for its answers to be linearizable: `runtime::reading`; answered by voters.
pub const READ_HEIGHT: u16 = 1_007;
/// The contacts of an application; answered by the node that took it.
pub const CONTACTS: u16 = 1_006;
