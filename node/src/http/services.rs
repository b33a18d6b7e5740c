//! What the HTTP face needs of the node, as traits that the runtime implements. Nothing here blocks for long, except where
//! it returns a future or says so.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use galen_contracts::{EventPosition, EventQuery, StateRead};
pub use galen_types::api::Participation;
use galen_types::api::{
    Card, ChainStatus, DownloadTicket, Evidence, FileKeyDeposit, FileVerification, Finality, JobOpening, PeerStatus,
    StoredFile, StreamEvent, TransactionStatus,
};
use galen_types::application::{InvitationToken, SignedApplication};
use galen_types::dataset::VersionContent;
use galen_types::member::{Account, NodeAddress};
use galen_types::{
    AccountName, BlockHeader, Certificate, DatasetName, Genesis, Hash, JobId, NodeName, ProposalId, PublicKey, Receipt,
    Signature, TransactionId,
};
use tokio::sync::broadcast;

use crate::proving::ProofQuestion;

/// Everything that the face is given.
#[derive(Clone)]
pub struct Services {
    /// The chain as this node knows it.
    pub chain: Arc<dyn ChainService>,
    /// Stored files and their keys.
    pub files: Arc<dyn FileService>,
    /// What of compute jobs stays off-chain.
    pub jobs: Arc<dyn JobService>,
    /// Applications for membership.
    pub membership: Arc<dyn MembershipService>,
    /// What operators ask of the node itself.
    pub operator: Arc<dyn OperatorService>,
    /// Whether the node is well.
    pub health: Arc<dyn HealthService>,
}

/// What kind of failure a service reports; decides the HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// 400: what was sent is malformed.
    Malformed,
    /// 401: a signature or signer is not accepted.
    Unauthenticated,
    /// 403: known, and not allowed.
    Forbidden,
    /// 404: does not exist, or not for the asker.
    NotFound,
    /// 409: does not fit the present state.
    Conflict,
    /// 410: its time is over.
    Gone,
    /// 413: too large.
    TooLarge,
    /// 422: well-formed and wrong.
    Unprocessable,
    /// 429: a quota or a queue is full.
    TooMany,
    /// 500: a fault of the node.
    Internal,
    /// 502: another node failed or could not be reached.
    PeerFailed,
    /// 503: not now.
    Unavailable,
    /// 504: no answer in time; what was asked may still happen.
    TimedOut,
    /// 507: the disk is full.
    StorageFull,
}

impl ErrorKind {
    /// The HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::Gone => 410,
            Self::TooLarge => 413,
            Self::Unprocessable => 422,
            Self::TooMany => 429,
            Self::Internal => 500,
            Self::PeerFailed => 502,
            Self::Unavailable => 503,
            Self::TimedOut => 504,
            Self::StorageFull => 507,
        }
    }

    /// A problem's title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unauthenticated => "not authenticated",
            Self::Forbidden => "not allowed",
            Self::NotFound => "not found",
            Self::Conflict => "conflict",
            Self::Gone => "gone",
            Self::TooLarge => "too large",
            Self::Unprocessable => "not acceptable",
            Self::TooMany => "too many",
            Self::Internal => "internal error",
            Self::PeerFailed => "another node failed",
            Self::Unavailable => "not available now",
            Self::TimedOut => "no answer in time",
            Self::StorageFull => "storage full",
        }
    }
}

/// Why a service did not do what was asked. The text goes to the client: it holds no path, key or row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct ServiceError {
    /// Decides the HTTP status.
    pub kind: ErrorKind,
    /// Stable, for programs: e.g. `transaction-expired`.
    pub code: &'static str,
    /// What happened.
    pub detail: String,
    /// What to do next.
    pub hint: Option<String>,
    /// When to try again, seconds; sent as `Retry-After`.
    pub retry_after_s: Option<u32>,
}

impl ServiceError {
    /// An error without hint.
    pub fn new(kind: ErrorKind, code: &'static str, detail: impl Into<String>) -> Self {
        let retry_after_s = matches!(kind, ErrorKind::TooMany | ErrorKind::Unavailable).then_some(1);
        Self { kind, code, detail: detail.into(), hint: None, retry_after_s }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A fault of the node: logged here with its cause, told to the client without it.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request met a fault of the node");
        Self::new(ErrorKind::Internal, "internal", "the node could not answer; its log says why")
    }
}

/// The chain as this node knows it.
pub trait ChainService: Send + Sync {
    /// The founding document.
    fn genesis(&self) -> &Genesis;

    /// Its hash.
    fn genesis_hash(&self) -> &Hash;

    /// This node; its member's data is what it serves.
    fn node(&self) -> &NodeName;

    /// How far the chain has come here. Cheap: kept up to date, not computed.
    fn status(&self) -> ChainStatus;

    /// The peers, connected and expected.
    fn peers(&self) -> Vec<PeerStatus>;

    /// A consistent view of the newest applied block's state. Cheap to make; reading from it blocks on the disk.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] while the node cannot read.
    fn view(&self) -> Result<Box<dyn ChainView + '_>, ServiceError>;

    /// Waits until a view made afterwards holds everything that was acknowledged by any node before the call: then what is
    /// read from it is linearizable.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when nobody could confirm that by the deadline.
    fn confirm(&self, deadline: Instant) -> BoxFuture<'_, Result<(), ServiceError>>;

    /// Takes the bytes of a [`SignedTransaction`](galen_types::SignedTransaction), and waits until it has come as far as
    /// `wait` ([`Finality::Pending`]: until it is accepted). Bytes that were seen before give the first receipt.
    ///
    /// # Errors
    /// The reason why it is void or cannot be taken now; [`ErrorKind::TimedOut`] with code `outcome-unknown`, naming the
    /// id, when `deadline` passes first. A call that a rule refuses is no error: it has a receipt.
    fn submit(
        &self,
        transaction: Vec<u8>,
        wait: Finality,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<TransactionStatus, ServiceError>>;

    /// [`submit`](Self::submit) for several; answers in the same order, as many as given.
    fn submit_many(
        &self,
        transactions: Vec<Vec<u8>>,
        wait: Finality,
        deadline: Instant,
    ) -> BoxFuture<'_, Vec<Result<TransactionStatus, ServiceError>>>;

    /// Waits until a transaction has come as far as `wait` or the deadline passes, then says where it stands; `None` when
    /// it is unknown here. Its `body` is given; the face leaves it out for those who may not see it.
    ///
    /// # Errors
    /// When the node cannot read.
    fn wait(
        &self,
        id: TransactionId,
        wait: Finality,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<Option<TransactionStatus>, ServiceError>>;

    /// The file of an offline proof. Waits until what is proven is certified, or the deadline passes.
    ///
    /// # Errors
    /// What is not held here, or not certified yet.
    fn prove(&self, question: ProofQuestion, deadline: Instant) -> BoxFuture<'_, Result<Vec<u8>, ServiceError>>;

    /// Events from now on. Receipts carry their transaction's `body`; the face leaves out what a reader may not see.
    fn subscribe(&self) -> broadcast::Receiver<Arc<StreamEvent>>;
}

/// A transaction's place on the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionPlace {
    /// The block.
    pub height: u64,
    /// Its place in the block, from 0.
    pub index: u32,
}

/// A block as stored.
#[derive(Debug, Clone)]
pub struct StoredBlock {
    /// Its header.
    pub header: BlockHeader,
    /// Full signed bytes of each transaction.
    pub transactions: Vec<Vec<u8>>,
    /// Their receipts, in the same order.
    pub receipts: Vec<Receipt>,
}

/// A transaction as stored.
#[derive(Debug, Clone)]
pub struct StoredTransaction {
    /// Where.
    pub place: TransactionPlace,
    /// Full signed bytes.
    pub bytes: Vec<u8>,
    /// What became of it.
    pub receipt: Receipt,
}

/// The chain at one moment: state, blocks and indexes agree with each other. Reading blocks.
pub trait ChainView {
    /// The state after block [`height`](Self::height).
    fn state(&self) -> &dyn StateRead;

    /// The newest applied block.
    fn height(&self) -> u64;

    /// Everything up to this height is certified.
    fn certified_height(&self) -> u64;

    /// A block's header; `None` above the newest and below the oldest that is kept.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn header(&self, height: u64) -> Result<Option<BlockHeader>, ServiceError>;

    /// How many transactions a block has.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn transaction_count(&self, height: u64) -> Result<u32, ServiceError>;

    /// A block with its receipts.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn block(&self, height: u64) -> Result<Option<StoredBlock>, ServiceError>;

    /// Voters that signed another header than the certified one, from a height upwards, at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn evidence(&self, from: u64, limit: usize) -> Result<Vec<Evidence>, ServiceError>;

    /// The certificate that covers a height: the lowest at or above it.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn certificate(&self, height: u64) -> Result<Option<Certificate>, ServiceError>;

    /// A transaction by its id.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn transaction(&self, id: &TransactionId) -> Result<Option<StoredTransaction>, ServiceError>;

    /// One receipt by its place.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn receipt(&self, place: TransactionPlace) -> Result<Option<Receipt>, ServiceError>;

    /// Where events stand, in ascending order, at most `limit`: those after `start_after` (from the first where `None`).
    ///
    /// # Errors
    /// When the store cannot be read.
    fn events(
        &self,
        query: &EventQuery,
        start_after: Option<EventPosition>,
        limit: usize,
    ) -> Result<Vec<EventPosition>, ServiceError>;
}

/// Bytes that come in parts.
pub type ByteStream = BoxStream<'static, std::io::Result<Bytes>>;

/// Bytes of a stored file, or a range of them.
pub struct FileContent {
    /// Bytes of the whole file.
    pub bytes: u64,
    /// The bytes that the stream gives.
    pub range: Range<u64>,
    /// They, verified; an error ends the answer early, so that a client never takes a broken file for whole.
    pub stream: ByteStream,
}

/// Which bytes of a file are asked for; both ends count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// From a byte to a byte, or to the end.
    From(u64, Option<u64>),
    /// The last so many.
    Last(u64),
}

impl ByteRange {
    /// The range within a file of `bytes` bytes; `None` when it lies outside.
    pub fn within(self, bytes: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::From(first, last) => first..last.map_or(bytes, |last| last.saturating_add(1).min(bytes)),
            Self::Last(count) => bytes.saturating_sub(count)..bytes,
        };
        (range.start < range.end).then_some(range)
    }
}

/// Stored files and their keys. The face has checked who asks, and that receipts are certified; implementations check
/// again what their own node must not be talked into.
pub trait FileService: Send + Sync {
    /// Stores an uploaded ciphertext. The stream is already limited to `bytes` and ends in an error when it stays below
    /// them or is too slow; the implementation checks that the BLAKE3 of the whole is `ciphertext`, which the account
    /// signed, and keeps nothing otherwise.
    fn receive_upload(
        &self,
        account: AccountName,
        ciphertext: Hash,
        bytes: u64,
        content: ByteStream,
    ) -> BoxFuture<'_, Result<StoredFile, ServiceError>>;

    /// Keeps an uploaded file's key; decrypts the file once to check it and read its columns.
    fn deposit_key(
        &self,
        account: AccountName,
        ciphertext: Hash,
        deposit: FileKeyDeposit,
    ) -> BoxFuture<'_, Result<VersionContent, ServiceError>>;

    /// Compares the stored bytes of a dataset's versions with the chain; records what differs on the chain.
    fn verify(&self, dataset: DatasetName) -> BoxFuture<'_, Result<FileVerification, ServiceError>>;

    /// What a certified `Download` receipt releases to its account: the file key wrapped to `account.encryption_key`.
    fn download_ticket(
        &self,
        transaction: TransactionId,
        account: Account,
    ) -> BoxFuture<'_, Result<DownloadTicket, ServiceError>>;

    /// The ciphertext that a certified `Download` receipt releases. A range outside the file is
    /// [`ErrorKind::Unprocessable`] with code `range-invalid`.
    fn download_content(
        &self,
        transaction: TransactionId,
        account: Account,
        range: Option<ByteRange>,
    ) -> BoxFuture<'_, Result<FileContent, ServiceError>>;

    /// The cards of datasets where they are at hand and match their commitments, in the order asked, as many as asked.
    /// Bounds its own time: a card that another node does not give within a second or two is `None`.
    fn cards(&self, datasets: Vec<DatasetName>) -> BoxFuture<'_, Vec<Option<Card>>>;
}

/// A job's result document.
#[derive(Debug, Clone)]
pub struct JobResult {
    /// The JSON, exactly as hashed.
    pub document: Bytes,
    /// Its digest, equal to that on the chain.
    pub digest: Hash,
}

/// What of compute jobs stays off-chain.
pub trait JobService: Send + Sync {
    /// Keeps the filter of a job that the account is about to submit.
    fn put_opening(&self, account: AccountName, opening: JobOpening) -> BoxFuture<'_, Result<(), ServiceError>>;

    /// The result of a job, against the certified `ReadResult` receipt of its submitter.
    fn result(
        &self,
        job: JobId,
        receipt: TransactionId,
        account: AccountName,
    ) -> BoxFuture<'_, Result<JobResult, ServiceError>>;
}

/// Applications for membership: brought before the members by the node that takes them, which keeps the applicants'
/// contacts off-chain.
pub trait MembershipService: Send + Sync {
    /// Keeps the contacts, and brings the application before the members as this node. The face has checked the
    /// signatures, the chain and the contacts' commitment, and that the rules would take it. The status has the receipt.
    fn apply(
        &self,
        application: SignedApplication,
        contacts: String,
        salt: [u8; 32],
    ) -> BoxFuture<'_, Result<TransactionStatus, ServiceError>>;

    /// Brings it before the members, as this node, that an applicant takes its application back. The face has checked the
    /// signature. The status has the receipt.
    fn withdraw(
        &self,
        proposal: ProposalId,
        signature: Signature,
    ) -> BoxFuture<'_, Result<TransactionStatus, ServiceError>>;

    /// What an administrator of this node's member hands to an institution, with the invitation, so that this node takes
    /// its application; `None` where it takes everybody's. Good for a while.
    fn invite(&self) -> Option<InvitationToken>;

    /// Whether this node takes an application that comes with such a token, or without one.
    fn is_invited(&self, token: Option<InvitationToken>) -> bool;

    /// The contacts of an application, from here or from the node that took it, checked against the chain's commitment.
    /// [`ErrorKind::NotFound`] with code `contacts-unknown` when that node has them no more.
    fn contacts(
        &self,
        proposal: ProposalId,
        sponsor: NodeName,
        commitment: Hash,
    ) -> BoxFuture<'_, Result<String, ServiceError>>;
}

/// One thing that is checked of the node's health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// What, e.g. `leader-known`.
    pub name: &'static str,
    /// Whether it is well.
    pub ok: bool,
    /// How it is, for people.
    pub detail: String,
}

/// Whether the node is well.
pub trait HealthService: Send + Sync {
    /// Whether its loops run; if not, the process should be restarted.
    fn live(&self) -> Vec<HealthCheck>;

    /// Whether it should be given work: caught up, leader known, disk sound.
    fn ready(&self) -> Vec<HealthCheck>;
}

/// Where a node stands in ordering, and how far a change of ordering's members has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderingStatus {
    /// What it does.
    pub participation: Participation,
    /// What it waits for or what the operator is to do; empty when nothing.
    pub detail: String,
    /// Its number in ordering; 0 for none.
    pub raft_id: u64,
    /// Whether two sets of voters hold at once: for moments in the middle of a change.
    pub joint: bool,
    /// Whether ordering's members differ from those on the chain, as the leader sees it.
    pub change_pending: bool,
    /// Since when, seconds.
    pub change_pending_seconds: u64,
    /// What the change waits for.
    pub blocked_by: Option<String>,
    /// Lowest height whose block is held whole; 1 for the whole history.
    pub history_from: u64,
}

/// A snapshot of the ledger, for peers that are far behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotSummary {
    /// The block after which it was taken; certified.
    pub height: u64,
    /// That block's header.
    pub header: Hash,
    /// Keys of the state.
    pub rows: u64,
    /// Bytes to transfer.
    pub bytes: u64,
}

/// A backup of a node's home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSummary {
    /// The folder on the node's machine.
    pub folder: std::path::PathBuf,
    /// The last block in it.
    pub height: u64,
    /// Bytes of all its files.
    pub bytes: u64,
}

/// What the operator asks of the node itself. The face has checked that an administrator of the node's member asks.
pub trait OperatorService: Send + Sync {
    /// Where the node stands in ordering. Cheap.
    fn ordering(&self) -> OrderingStatus;

    /// What is known of the bytes that are stored.
    fn storage(&self) -> galen_types::api::NodeStorage;

    /// Hands leadership over: to the named voter, else to the most caught-up one. Gives who leads then.
    /// [`ErrorKind::Conflict`] with code `not-leader` when this node does not lead.
    fn transfer_leadership(&self, to: Option<NodeName>) -> BoxFuture<'_, Result<NodeName, ServiceError>>;

    /// Takes a snapshot of the ledger at the certified height; the chain goes on meanwhile.
    fn snapshot(&self) -> BoxFuture<'_, Result<SnapshotSummary, ServiceError>>;

    /// Writes a backup of the node's home into a new folder under `backups/` in it; the chain goes on meanwhile.
    fn backup(&self) -> BoxFuture<'_, Result<BackupSummary, ServiceError>>;

    /// Whether a node that holds the key answers at an applicant's announced address: for `galen node check` on the other
    /// side, whose node need not run yet. A no takes always as long, and is all that is said of addresses that are not
    /// dialled on a stranger's word.
    fn dial_back(&self, address: NodeAddress, key: PublicKey) -> BoxFuture<'_, Result<bool, ServiceError>>;
}
