//! Layer 2: column families with typed keys and values, and the list of them.

use std::fmt::Debug;

use galen_types::certificate::VoterSet;
use galen_types::{BlockHeader, Certificate, Hash, HeaderSignature, Receipt, TransactionId};

use super::bytes::{BucketPath, EvidenceKey, HistoryPosition, Key, Location, SignatureKey, Value};

/// A column family.
pub(crate) trait Column {
    /// Its name in RocksDB.
    const NAME: &'static str;
    /// Whether its values shrink: hashes do not.
    const COMPRESSED: bool;
    /// Whether absent keys are looked up, so that a Bloom filter pays.
    const FILTERED: bool;
    /// Its keys.
    type Key: Key + ?Sized;
    /// Its values.
    type Value: Value + ?Sized;
}

/// What the store needs to know of a column family before it is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ColumnSettings {
    pub(crate) name: &'static str,
    pub(crate) compressed: bool,
    pub(crate) filtered: bool,
}

/// The key of a column as reading gives it.
pub(crate) type KeyOf<C> = <<C as Column>::Key as Key>::Owned;
/// The value of a column as reading gives it.
pub(crate) type ValueOf<C> = <<C as Column>::Value as Value>::Owned;

/// A row of a column as reading gives it.
pub(crate) type RowOf<C> = (KeyOf<C>, ValueOf<C>);

macro_rules! columns {
    ($($(#[$doc:meta])* $column:ident = $name:literal: $key:ty => $value:ty, $compressed:literal, $filtered:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy)]
            pub(crate) struct $column;

            impl Column for $column {
                const NAME: &'static str = $name;
                const COMPRESSED: bool = $compressed;
                const FILTERED: bool = $filtered;
                type Key = $key;
                type Value = $value;
            }
        )*

        /// Every column family.
        pub(crate) const COLUMNS: &[ColumnSettings] = &[
            $(ColumnSettings { name: $name, compressed: $column::COMPRESSED, filtered: $column::FILTERED }),*
        ];
    };
}

// name in code = name in RocksDB: key => value, compressed, filtered
columns! {
    /// Height to header.
    Headers = "headers": u64 => BlockHeader, true, false;
    /// Height and place to full signed bytes.
    Transactions = "transactions": Location => [u8], true, false;
    /// Height and place to receipt.
    Receipts = "receipts": Location => Receipt, true, false;
    /// Transaction id to height and place.
    TransactionIndex = "transaction_index": TransactionId => Location, false, true;
    /// Opaque keys and values: what the contracts keep.
    State = "state": [u8] => [u8], true, true;
    /// Nodes of the state tree at and below its buckets, see the `tree` module.
    StateBuckets = "state_buckets": BucketPath => [u8], false, true;
    /// Bucket number to the bucket's hash; empty buckets have no row.
    StateLeaves = "state_leaves": u32 => Hash, false, false;
    /// Nodes of the mountain range over header hashes.
    History = "history": HistoryPosition => Hash, false, false;
    /// Height to certificate.
    Certificates = "certificates": u64 => Certificate, false, false;
    /// Height to this node's own header signature.
    OwnSignatures = "own_signatures": u64 => HeaderSignature, false, false;
    /// Height and voter to a header signature that agrees with the chain.
    Signatures = "signatures": SignatureKey => HeaderSignature, false, false;
    /// Header signatures that deviate from the chain, kept as evidence.
    Evidence = "evidence": EvidenceKey => HeaderSignature, false, false;
    /// Epoch to its voters.
    VoterSets = "voter_sets": u64 => VoterSet, false, false;
    /// Opaque keys and values given by the caller: the audit trail's indexes.
    Events = "events": [u8] => [u8], true, false;
    /// Settings and progress, see the `meta` module; each value ends with its CRC-32C.
    Meta = "meta": [u8] => [u8], false, false;
}
