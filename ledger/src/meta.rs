//! The rows of the column `meta`: settings that never change, and how far the chain has come. No hash covers them, so
//! each value ends with a CRC-32C over key and value.

use galen_types::encoding::Encoding;
use galen_types::merkle::MountainRange;
use galen_types::{Hash, Slug};
use wincode::{SchemaRead, SchemaWrite};

use crate::constants::{FORMAT_VERSION, SNAPSHOT_PROOF_BYTES_MAX, STORED_VALUE_BYTES_MAX};
use crate::error::LedgerError;
use crate::ledger::LedgerOptions;
use crate::snapshot::BaseProof;
use crate::store::bytes::Value as _;
use crate::store::column::Meta;
use crate::store::{Batch, Reader, damaged};

/// A row of the column.
pub(crate) trait MetaRow: Encoding {
    /// Its key.
    const KEY: &'static str;

    /// Most bytes of its value.
    const BYTES_MAX: usize = STORED_VALUE_BYTES_MAX;
}

/// What may never change.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub(crate) struct Settings {
    pub(crate) format_version: u32,
    pub(crate) genesis: Hash,
    pub(crate) chain: Slug,
    pub(crate) state_bucket_bits: u8,
}

impl Settings {
    /// What a folder opened with these options is made with.
    pub(crate) fn of(options: &LedgerOptions) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            genesis: options.genesis_hash,
            chain: options.chain.clone(),
            state_bucket_bits: options.state_bucket_bits,
        }
    }
}

impl MetaRow for Settings {
    const KEY: &'static str = "settings";
}

/// How far the chain has come; written in the same batch as what it speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, SchemaWrite, SchemaRead)]
pub(crate) struct Progress {
    /// The tip's height.
    pub(crate) height: u64,
    /// The last applied entry of the ordering log.
    pub(crate) raft_index: u64,
    /// Its term.
    pub(crate) raft_term: u64,
}

impl MetaRow for Progress {
    const KEY: &'static str = "progress";
}

/// The mountain range over the hashes of all headers so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, SchemaWrite, SchemaRead)]
pub(crate) struct HistoryPeaks {
    pub(crate) range: MountainRange,
}

impl MetaRow for HistoryPeaks {
    const KEY: &'static str = "history_peaks";
}

/// The root of the state before the first block; its presence says that the genesis state is written.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub(crate) struct GenesisRoot {
    pub(crate) root: Hash,
}

impl MetaRow for GenesisRoot {
    const KEY: &'static str = "genesis_root";
}

/// A height that was synced with everything before it: below it no block may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub(crate) struct DurableMark {
    pub(crate) height: u64,
}

impl MetaRow for DurableMark {
    const KEY: &'static str = "durable_mark";
}

/// Which part of the chain is held; without the row, all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub(crate) struct HistorySpan {
    /// The height of the snapshot that the ledger was installed from; 0 when it began with the genesis.
    pub(crate) base_height: u64,
    /// The lowest height whose header is held.
    pub(crate) headers_from: u64,
    /// The lowest height whose transactions and receipts are held.
    pub(crate) bodies_from: u64,
    /// Below this height transactions and receipts were deleted by pruning; 0 when none were.
    pub(crate) pruned_below: u64,
}

impl Default for HistorySpan {
    fn default() -> Self {
        Self { base_height: 0, headers_from: 1, bodies_from: 1, pruned_below: 0 }
    }
}

impl MetaRow for HistorySpan {
    const KEY: &'static str = "history_span";
}

/// The number under which this node took part in ordering last: it promised things under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub(crate) struct OrderingStarted {
    pub(crate) raft_id: u64,
}

impl MetaRow for OrderingStarted {
    const KEY: &'static str = "ordering_started";
}

impl MetaRow for BaseProof {
    const KEY: &'static str = "base_proof";

    const BYTES_MAX: usize = SNAPSHOT_PROOF_BYTES_MAX;
}

/// Bytes of the checksum.
const CHECKSUM_BYTES: usize = 4;

/// Reads a row and checks it.
pub(crate) fn get<R: MetaRow>(reader: &Reader<'_>) -> Result<Option<R>, LedgerError> {
    let key = R::KEY.as_bytes();
    reader.get::<Meta>(key)?.map(|bytes| read(&bytes)).transpose().map_err(|error| reader.see(error))
}

/// Checks and decodes a row's bytes.
pub(crate) fn read<R: MetaRow>(bytes: &[u8]) -> Result<R, LedgerError> {
    let key = R::KEY.as_bytes();
    let (value, checksum) =
        bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or_else(|| damaged::<Meta>(key, "the value is cut short"))?;
    if checksum_of(key, value) != *checksum {
        return Err(damaged::<Meta>(key, "the checksum does not match"));
    }
    R::decode(value, R::BYTES_MAX).map_err(|error| damaged::<Meta>(key, &error.to_string()))
}

/// Adds a row to a batch.
pub(crate) fn put<R: MetaRow>(batch: &mut Batch<'_>, row: &R) -> Result<(), LedgerError> {
    let key = R::KEY.as_bytes();
    let mut value = row.bytes().into_owned();
    let checksum = checksum_of(key, &value);
    value.extend_from_slice(&checksum);
    let column = batch.column::<Meta>()?;
    batch.put(&column, key, &value);
    Ok(())
}

fn checksum_of(key: &[u8], value: &[u8]) -> [u8; CHECKSUM_BYTES] {
    crc32c::crc32c_append(crc32c::crc32c(key), value).to_le_bytes()
}
