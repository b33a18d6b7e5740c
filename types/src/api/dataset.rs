use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::{Contract, Decision};
use crate::dataset::{Dataset, Version, VersionContent};
use crate::hash::Hash;
use crate::identifier::TransactionId;
use crate::name::{DatasetName, VersionName};
use crate::time::Timestamp;

/// The off-chain card of a dataset: free text that stays at the owner's node behind a salted commitment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// A title; at most 256 bytes.
    #[serde(default)]
    pub title: String,
    /// What the data is; at most 16 KiB.
    #[serde(default)]
    pub description: String,
    /// Whom to ask; at most 256 bytes.
    #[serde(default)]
    pub contact: String,
}

/// What `GET /v1/datasets` searches for; all given parts must match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DatasetSearch {
    /// Words looked for in name, card title and column names, without regard to case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Only this member's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// Only those with this column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Only those with this DUO term, e.g. `GRU`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_use: Option<String>,
    /// The page's start: the last page's `next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_after: Option<String>,
    /// Items on the page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A dataset in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DatasetSummary {
    /// The record on the chain.
    pub dataset: Dataset,
    /// The newest version.
    pub version: Version,
    /// The card, where its owner's node gave it and it matches its commitment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<Card>,
}

/// `GET /v1/datasets/{member}/{dataset}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DatasetDetail {
    /// The height of the state it was read from.
    pub height: u64,
    /// The record on the chain.
    pub dataset: Dataset,
    /// All versions, the newest last.
    pub versions: Vec<Version>,
    /// The card, where its owner's node gave it and it matches its commitment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<Card>,
}

/// `GET /v1/contracts/{member}/{dataset}`: what governs access to a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContractSet {
    /// The height of the state it was read from.
    pub height: u64,
    /// The dataset's own contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<Contract>,
    /// The contract over all of its member's datasets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<Contract>,
}

/// Answer to `POST /v1/files` (a ciphertext upload).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoredFile {
    /// BLAKE3 of the ciphertext: the file's name.
    pub ciphertext: Hash,
    /// Its bytes.
    pub ciphertext_bytes: u64,
}

/// `PUT /v1/files/{ciphertext}/key`: deposits an uploaded file's key at its owner's node, which decrypts the file once
/// to check it and to read its columns, and answers with the [`VersionContent`] to publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FileKeyDeposit {
    /// The dataset that it is a version of; its secret salt is kept per dataset.
    pub dataset: DatasetName,
    /// The file key, wrapped to the node's encryption key; base64.
    pub wrapped_key: String,
    /// BLAKE3 of the plaintext, as the client computed it.
    pub plaintext: Hash,
    /// Its bytes.
    pub plaintext_bytes: u64,
    /// The card to keep with the dataset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<Card>,
}

/// `GET /v1/downloads/{transaction}`: what a certified `Download` receipt releases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DownloadTicket {
    /// The receipt's transaction.
    pub transaction: TransactionId,
    /// The version.
    pub version: VersionName,
    /// What permitted it.
    pub decision: Decision,
    /// What the chain says of it; check the bytes against it.
    pub content: VersionContent,
    /// The file key, wrapped to the account's encryption key; base64.
    pub wrapped_key: String,
}

/// `POST /v1/datasets/{member}/{dataset}/verify`: the stored bytes compared with the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileVerification {
    /// When it was checked.
    pub checked: Timestamp,
    /// Every version of the dataset that is not withdrawn.
    pub parts: Vec<FilePart>,
}

/// One stored file as found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FilePart {
    /// The version.
    pub version: VersionName,
    /// The hash on the chain.
    pub ciphertext: Hash,
    /// Bytes read.
    pub bytes: u64,
    /// Whether the stored bytes are those of the chain.
    pub intact: bool,
    /// What is wrong, e.g. `differs in bytes 131072 to 147455`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<String>,
}
