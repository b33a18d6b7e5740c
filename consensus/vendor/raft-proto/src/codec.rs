//! The bytes of a configuration change in an entry: fixed width, little-endian, exact. Raft asks entries for their size
//! only.

use bytes::Bytes;
use protobuf::{Message as Codec, ProtobufError};

use crate::eraftpb::{
    ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, Entry,
};

/// Bytes of an entry beside its data on the wire: kind, index, term, length.
const ENTRY_OVERHEAD: usize = 1 + 8 + 8 + 4;
/// Steps that one change may hold: far more than a consortium has nodes.
const MAX_CHANGES: usize = 64;
/// Bytes of context that one change may carry.
const MAX_CONTEXT: usize = 4096;

impl Codec for Entry {
    fn compute_size(&self) -> u32 {
        u32::try_from(self.data.len().saturating_add(ENTRY_OVERHEAD)).unwrap_or(u32::MAX)
    }

    fn write_to_bytes(&self) -> Result<Vec<u8>, ProtobufError> {
        Err(ProtobufError::new(
            "an entry is encoded by the wire codec, not by raft",
        ))
    }

    fn merge_from_bytes(&mut self, _bytes: &[u8]) -> Result<(), ProtobufError> {
        Err(ProtobufError::new(
            "an entry is decoded by the wire codec, not by raft",
        ))
    }
}

impl Codec for ConfChange {
    fn compute_size(&self) -> u32 {
        0
    }

    fn write_to_bytes(&self) -> Result<Vec<u8>, ProtobufError> {
        Err(ProtobufError::new(
            "configuration changes of the first kind are not used",
        ))
    }

    fn merge_from_bytes(&mut self, _bytes: &[u8]) -> Result<(), ProtobufError> {
        Err(ProtobufError::new(
            "configuration changes of the first kind are not used",
        ))
    }
}

impl Codec for ConfChangeV2 {
    fn compute_size(&self) -> u32 {
        u32::try_from(1 + 2 + self.changes.len() * 9 + 2 + self.context.len()).unwrap_or(u32::MAX)
    }

    fn write_to_bytes(&self) -> Result<Vec<u8>, ProtobufError> {
        let too_large = ProtobufError::new("the configuration change is too large");
        if self.changes.len() > MAX_CHANGES || self.context.len() > MAX_CONTEXT {
            return Err(too_large);
        }
        let count = u16::try_from(self.changes.len()).map_err(|_| too_large.clone())?;
        let context = u16::try_from(self.context.len()).map_err(|_| too_large)?;
        let mut bytes = Vec::with_capacity(5 + self.changes.len() * 9 + self.context.len());
        bytes.push(self.transition as u8);
        bytes.extend_from_slice(&count.to_le_bytes());
        for change in &self.changes {
            bytes.push(change.change_type as u8);
            bytes.extend_from_slice(&change.node_id.to_le_bytes());
        }
        bytes.extend_from_slice(&context.to_le_bytes());
        bytes.extend_from_slice(&self.context);
        Ok(bytes)
    }

    fn merge_from_bytes(&mut self, bytes: &[u8]) -> Result<(), ProtobufError> {
        let mut rest = bytes;
        let transition = match take::<1>(&mut rest)? {
            [0] => ConfChangeTransition::Auto,
            [1] => ConfChangeTransition::Implicit,
            [2] => ConfChangeTransition::Explicit,
            _ => return Err(ProtobufError::new("unknown transition")),
        };
        let count = usize::from(u16::from_le_bytes(take(&mut rest)?));
        if count > MAX_CHANGES {
            return Err(ProtobufError::new("too many changes"));
        }
        let mut changes = Vec::with_capacity(count);
        for _ in 0..count {
            let change_type = match take::<1>(&mut rest)? {
                [0] => ConfChangeType::AddNode,
                [1] => ConfChangeType::RemoveNode,
                [2] => ConfChangeType::AddLearnerNode,
                _ => return Err(ProtobufError::new("unknown change")),
            };
            changes.push(ConfChangeSingle {
                change_type,
                node_id: u64::from_le_bytes(take(&mut rest)?),
            });
        }
        let context = usize::from(u16::from_le_bytes(take(&mut rest)?));
        if context > MAX_CONTEXT || context != rest.len() {
            return Err(ProtobufError::new(
                "the context's length is not what is left",
            ));
        }
        *self = Self {
            transition,
            changes,
            context: Bytes::copy_from_slice(rest),
        };
        Ok(())
    }
}

impl ConfChangeV2 {
    /// The change's bytes, for callers that do not name the trait.
    ///
    /// # Errors
    /// When it has more steps or context than an entry may hold.
    pub fn encode(&self) -> Result<Vec<u8>, ProtobufError> {
        self.write_to_bytes()
    }

    /// The change that `bytes` encode.
    ///
    /// # Errors
    /// When `bytes` are not exactly one change.
    pub fn decode(bytes: &[u8]) -> Result<Self, ProtobufError> {
        let mut change = Self::default();
        change.merge_from_bytes(bytes)?;
        Ok(change)
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], ProtobufError> {
    let (head, tail) = rest
        .split_first_chunk::<N>()
        .ok_or_else(|| ProtobufError::new("the bytes end too early"))?;
    *rest = tail;
    Ok(*head)
}
