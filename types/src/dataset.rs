//! Datasets as the chain knows them: never a row, a name, or a bare hash of personal data.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wincode::{SchemaRead, SchemaWrite};

use crate::hash::Hash;
use crate::name::{AccountName, ColumnName, DatasetName};
use crate::time::Timestamp;
use crate::vocabulary::{DataUse, ReasonCode, text_enum};

text_enum! {
    /// How a stored file is to be read.
    pub enum FileFormat {
        /// Comma-separated values with a header row (RFC 4180).
        Csv = 1 "csv",
        /// Anything else: can be shared, not computed over.
        Opaque = 2 "opaque",
    }
}

text_enum! {
    /// What a column holds.
    pub enum ColumnKind {
        /// Every non-null value is a finite number.
        Number = 1 "number",
        /// Text.
        Text = 2 "text",
    }
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct Column {
    /// Its name.
    pub name: ColumnName,
    /// What it holds.
    pub kind: ColumnKind,
}

/// What is published of one version of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct VersionContent {
    /// Salted commitment to the plaintext: BLAKE3 over the dataset's secret salt and the plaintext's BLAKE3 hash.
    pub commitment: Hash,
    /// BLAKE3 of the ciphertext, which is also its name in the store and the root of its hash tree.
    pub ciphertext: Hash,
    /// SHA-256 of the ciphertext, for interfaces that ask for it (GA4GH DRS).
    pub ciphertext_sha256: Hash,
    /// Bytes of ciphertext.
    pub ciphertext_bytes: u64,
    /// Bytes of plaintext.
    pub plaintext_bytes: u64,
    /// How to read the plaintext.
    pub format: FileFormat,
    /// Rows of the table, without the header; 0 for opaque files.
    pub rows: u64,
    /// Columns of the table in file order; empty for opaque files.
    pub columns: Vec<Column>,
    /// Data-use terms: exactly one permission, then modifiers.
    pub data_use: Vec<DataUse>,
    /// Salted commitment to the off-chain card (title, description, contact), if there is one.
    pub card: Option<Hash>,
}

text_enum! {
    /// Whether a version can be used.
    pub enum VersionState {
        /// It can.
        Active = 1 "active",
        /// Taken back by its owner; history stays.
        Withdrawn = 2 "withdrawn",
    }
}

/// One version of a dataset as registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct Version {
    /// Counted from 1; version n follows n - 1.
    pub number: u32,
    /// What was published.
    pub content: VersionContent,
    /// Who published it.
    pub publisher: AccountName,
    /// Block time at which it was published.
    pub published: Timestamp,
    /// Whether it can be used.
    pub state: VersionState,
    /// Why it was withdrawn.
    pub reason: Option<ReasonCode>,
    /// The node's last report that the stored bytes differ from `ciphertext`, if any.
    pub tampering_reported: Option<Timestamp>,
}

/// A dataset as registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct Dataset {
    /// Its name.
    pub name: DatasetName,
    /// The newest version's number.
    pub latest: u32,
    /// Withdrawn: as a whole, for good; versions withdrawn one by one leave it active, and another can follow.
    pub state: VersionState,
    /// Block time of the first publication.
    pub created: Timestamp,
}
