//! One record of the log.
//!
//! ```text
//! header   magic u32 | version u8 | kind u8 | 0 u16 | length u32 | segment u64 | offset u64 | batch u64
//!          | index u64 | term u64 | previous [16] | CRC-32C of all this u32                          72 bytes
//! payload  `length` bytes
//! trailer  chain [16] = BLAKE3(header, payload), cut | end mark u8 = 0xED                            17 bytes
//! ```
//!
//! `previous` is the chain value of the record before, so a record proves all before it. `segment` and `offset` say where
//! it must stand, so a misplaced or stale block is found. `batch` is the offset at which its write began: a later batch
//! proves that everything before it had been synced. The end mark is never zero, so a tail that the file system filled
//! with zeros shows.

use bytes::Bytes;

use crate::limits::RECORD_BYTES_MAX;
use crate::reader::{DecodeError, Reader, length_u32, put_membership, put_string};
use crate::types::{Entry, EntryKind, HardState, MembershipAt, RaftId, SnapshotMeta};

use super::Identity;

const MAGIC: [u8; 4] = *b"GLR1";
const VERSION: u8 = 2;
const END: u8 = 0xED;
pub(super) const HEADER_BYTES: usize = 72;
const TRAILER_BYTES: usize = 17;
/// Versioned context of the chain's hash.
const CHAIN_CONTEXT: &str = "galen 2025 consensus log record chain v1";

/// The chain value of a record.
pub(super) type Chain = [u8; 16];

/// What a record holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    /// Begins each segment.
    Segment(Identity),
    /// An entry; overwrites what stands at its index and after.
    Entry(Entry),
    HardState(HardState),
    Membership(MembershipAt),
    Snapshot(SnapshotRecord, SnapshotMeta),
}

/// Why a snapshot is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SnapshotRecord {
    /// Entries up to it may go.
    Compacted = 0,
    /// It replaces all entries before it in the stream.
    Restored = 1,
    /// Repeated at a segment's begin; changes nothing.
    Carried = 2,
}

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) batch: u64,
}

/// A checked header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) place: Place,
    pub(super) previous: Chain,
    kind: u8,
    length: usize,
    index: u64,
    term: u64,
}

impl Header {
    /// The header at the front of `bytes`, if its checksum holds.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        let (body, crc) = header.split_at(HEADER_BYTES - 4);
        if !header.starts_with(&MAGIC) || crc32c::crc32c(body).to_le_bytes() != crc {
            return None;
        }
        let mut reader = Reader::new(Bytes::copy_from_slice(body));
        let mut parse = || -> Result<Self, DecodeError> {
            reader.bytes(4)?;
            if reader.u8()? != VERSION {
                return Err(DecodeError::Unknown);
            }
            let kind = reader.u8()?;
            if reader.u16()? != 0 {
                return Err(DecodeError::Unknown);
            }
            let length = usize::try_from(reader.u32()?).map_err(|_| DecodeError::TooLong)?;
            if length > RECORD_BYTES_MAX {
                return Err(DecodeError::TooLong);
            }
            let place = Place { segment: reader.u64()?, offset: reader.u64()?, batch: reader.u64()? };
            let (index, term) = (reader.u64()?, reader.u64()?);
            let mut previous = Chain::default();
            previous.copy_from_slice(&reader.bytes(16)?);
            Ok(Self { place, previous, kind, length, index, term })
        };
        parse().ok()
    }

    /// Bytes of the whole record.
    pub(super) fn record_bytes(&self) -> usize {
        HEADER_BYTES + self.length + TRAILER_BYTES
    }
}

/// The record at the front of `bytes` and its chain value, if both checksums hold and it means something.
pub(super) fn read(header: &Header, bytes: &Bytes) -> Option<(Record, Chain)> {
    let whole = bytes.get(..header.record_bytes())?;
    let (body, trailer) = whole.split_at(HEADER_BYTES + header.length);
    let chain = chain(body);
    if trailer.get(..16) != Some(chain.as_slice()) || trailer.get(16) != Some(&END) {
        return None;
    }
    let payload = bytes.slice(HEADER_BYTES..HEADER_BYTES + header.length);
    Some((decode(header, payload).ok()?, chain))
}

fn chain(body: &[u8]) -> Chain {
    let mut hasher = blake3::Hasher::new_derive_key(CHAIN_CONTEXT);
    hasher.update(body);
    let mut chain = Chain::default();
    hasher.finalize_xof().fill(&mut chain);
    chain
}

fn decode(header: &Header, payload: Bytes) -> Result<Record, DecodeError> {
    let mut reader = Reader::new(payload);
    let record = match header.kind {
        0 => {
            let mut cluster = [0; 32];
            cluster.copy_from_slice(&reader.bytes(32)?);
            Record::Segment(Identity { cluster, node: RaftId(reader.u64()?) })
        }
        1 => {
            let kind = match reader.u8()? {
                0 => EntryKind::Data,
                1 => EntryKind::Membership,
                _ => return Err(DecodeError::Unknown),
            };
            let data = reader.bytes(reader.len())?;
            Record::Entry(Entry { index: header.index, term: header.term, kind, data })
        }
        2 => {
            let (term, vote, commit) = (reader.u64()?, reader.u64()?, reader.u64()?);
            Record::HardState(HardState { term, vote: RaftId::known(vote), commit })
        }
        3 => Record::Membership(reader.membership()?),
        4 => {
            let reason = match reader.u8()? {
                0 => SnapshotRecord::Compacted,
                1 => SnapshotRecord::Restored,
                2 => SnapshotRecord::Carried,
                _ => return Err(DecodeError::Unknown),
            };
            let membership = reader.membership()?;
            let context = reader.string(RECORD_BYTES_MAX)?;
            Record::Snapshot(reason, SnapshotMeta { index: header.index, term: header.term, membership, context })
        }
        _ => return Err(DecodeError::Unknown),
    };
    reader.end()?;
    Ok(record)
}

/// A record to be written, borrowed: entry data is copied once, into the write.
pub(super) enum Draft<'a> {
    Segment(&'a Identity),
    Entry(&'a Entry),
    HardState(&'a HardState),
    Membership(&'a MembershipAt),
    Snapshot(SnapshotRecord, &'a SnapshotMeta),
}

impl Draft<'_> {
    /// Appends the record to `out` and gives its chain value.
    pub(super) fn write(&self, out: &mut Vec<u8>, place: Place, previous: Chain) -> Chain {
        let start = out.len();
        let (kind, index, term) = match self {
            Self::Segment(_) => (0u8, 0, 0),
            Self::Entry(entry) => (1, entry.index, entry.term),
            Self::HardState(state) => (2, 0, state.term),
            Self::Membership(at) => (3, at.index, 0),
            Self::Snapshot(_, meta) => (4, meta.index, meta.term),
        };
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION, kind, 0, 0]);
        let length_at = out.len();
        out.extend_from_slice(&[0; 4]);
        for number in [place.segment, place.offset, place.batch, index, term] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&previous);
        let crc_at = out.len();
        out.extend_from_slice(&[0; 4]);
        let payload_at = out.len();
        self.payload(out);
        let length = length_u32(out.len() - payload_at).to_le_bytes();
        if let Some(slot) = out.get_mut(length_at..length_at + 4) {
            slot.copy_from_slice(&length);
        }
        let crc = crc32c::crc32c(out.get(start..crc_at).unwrap_or_default()).to_le_bytes();
        if let Some(slot) = out.get_mut(crc_at..crc_at + 4) {
            slot.copy_from_slice(&crc);
        }
        let chain = chain(out.get(start..).unwrap_or_default());
        out.extend_from_slice(&chain);
        out.push(END);
        chain
    }

    fn payload(&self, out: &mut Vec<u8>) {
        match self {
            Self::Segment(identity) => {
                out.extend_from_slice(&identity.cluster);
                out.extend_from_slice(&identity.node.0.to_le_bytes());
            }
            Self::Entry(entry) => {
                out.push(match entry.kind {
                    EntryKind::Data => 0,
                    EntryKind::Membership => 1,
                });
                out.extend_from_slice(&entry.data);
            }
            Self::HardState(state) => {
                for number in [state.term, state.vote.map_or(0, |id| id.0), state.commit] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
            }
            Self::Membership(at) => put_membership(out, at),
            Self::Snapshot(reason, meta) => {
                out.push(*reason as u8);
                put_membership(out, &meta.membership);
                put_string(out, &meta.context);
            }
        }
    }
}
