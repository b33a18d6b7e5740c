//! The bytes of messages between nodes: fixed width, little-endian, exact, bounded, one encoding per value.
//!
//! ```text
//! version u8 = 2 | type u8 | reject u8 (0 or 1)
//! to, from, term, log_term, index, commit, commit_term, reject_hint   8 x u64
//! context     length u32, bytes
//! entries     count u32, each: kind u8, index u64, term u64, length u32, data
//! snapshot    only in MsgSnapshot: index u64, term u64, data as length u32, bytes
//! ```
//!
//! Fields that raft 0.7 has and Galen never uses (priorities, requested snapshots, contexts of entries) do not travel.

use bytes::Bytes;
use raft::eraftpb::{Entry, EntryType, Message, MessageType, Snapshot, SnapshotMetadata};

use crate::limits::{
    CHANGE_CONTEXT_BYTES_MAX, ENTRY_BYTES_MAX, FRAME_BYTES_MAX, MEMBERS_MAX, READ_CONTEXT_BYTES_MAX,
    SNAPSHOT_CONTEXT_BYTES_MAX,
};
use crate::reader::{DecodeError, Reader, length_u32, put_membership, put_string};
use crate::types::{MembershipAt, SnapshotMeta};

/// Version of this layout. Another one is refused: the handshake decides which versions meet.
const VERSION: u8 = 2;
/// Bytes of an entry beside its data.
pub(crate) const ENTRY_OVERHEAD: usize = 1 + 8 + 8 + 4;
/// Bytes of a frame without context, entries and snapshot.
const FIXED_BYTES: usize = 3 + 8 * 8 + 4 + 4;
/// A read's context and the asking node's id, or raft's own campaign marks.
const CONTEXT_BYTES_MAX: usize = READ_CONTEXT_BYTES_MAX + 8;
/// A snapshot's data: configuration (four sets of ids and a few numbers) and context.
const SNAPSHOT_BYTES_MAX: usize = SNAPSHOT_CONTEXT_BYTES_MAX + 8 * 4 * MEMBERS_MAX + 64;

/// The message's bytes.
pub(crate) fn encode(message: &Message) -> Bytes {
    let entry_bytes: usize = message.entries.iter().map(|entry| ENTRY_OVERHEAD + entry.data.len()).sum();
    let snapshot_bytes = 20 + message.snapshot.data.len();
    let mut out = Vec::with_capacity(FIXED_BYTES + message.context.len() + entry_bytes + snapshot_bytes);
    out.extend_from_slice(&[VERSION, message.msg_type as u8, u8::from(message.reject)]);
    let numbers = [
        message.to,
        message.from,
        message.term,
        message.log_term,
        message.index,
        message.commit,
        message.commit_term,
        message.reject_hint,
    ];
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
    put_string(&mut out, &message.context);
    out.extend_from_slice(&length_u32(message.entries.len()).to_le_bytes());
    for entry in &message.entries {
        out.push(entry.entry_type as u8);
        out.extend_from_slice(&entry.index.to_le_bytes());
        out.extend_from_slice(&entry.term.to_le_bytes());
        put_string(&mut out, &entry.data);
    }
    if message.msg_type == MessageType::MsgSnapshot {
        out.extend_from_slice(&message.snapshot.metadata.index.to_le_bytes());
        out.extend_from_slice(&message.snapshot.metadata.term.to_le_bytes());
        put_string(&mut out, &message.snapshot.data);
    }
    Bytes::from(out)
}

/// The message that `bytes` encode; entries share the buffer. Nothing but the layout is checked here: the firewall does
/// the rest.
pub(crate) fn decode(bytes: Bytes) -> Result<Message, DecodeError> {
    if bytes.len() > FRAME_BYTES_MAX {
        return Err(DecodeError::TooLong);
    }
    let mut reader = Reader::new(bytes);
    if reader.u8()? != VERSION {
        return Err(DecodeError::Unknown);
    }
    let msg_type = message_type(reader.u8()?)?;
    let reject = match reader.u8()? {
        0 => false,
        1 => true,
        _ => return Err(DecodeError::Unknown),
    };
    let mut message = Message {
        msg_type,
        reject,
        to: reader.u64()?,
        from: reader.u64()?,
        term: reader.u64()?,
        log_term: reader.u64()?,
        index: reader.u64()?,
        commit: reader.u64()?,
        commit_term: reader.u64()?,
        reject_hint: reader.u64()?,
        context: reader.string(CONTEXT_BYTES_MAX)?,
        ..Message::default()
    };
    message.entries = entries(&mut reader)?;
    if msg_type == MessageType::MsgSnapshot {
        message.snapshot = snapshot(&mut reader)?;
    }
    reader.end()?;
    Ok(message)
}

fn entries(reader: &mut Reader) -> Result<Vec<Entry>, DecodeError> {
    let count = usize::try_from(reader.u32()?).map_err(|_| DecodeError::TooLong)?;
    if count > reader.len() / ENTRY_OVERHEAD {
        return Err(DecodeError::Short);
    }
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let entry_type = match reader.u8()? {
            0 => EntryType::EntryNormal,
            2 => EntryType::EntryConfChangeV2,
            _ => return Err(DecodeError::Unknown),
        };
        entries.push(Entry {
            entry_type,
            index: reader.u64()?,
            term: reader.u64()?,
            data: reader.string(ENTRY_BYTES_MAX)?,
            context: Bytes::new(),
        });
    }
    Ok(entries)
}

fn snapshot(reader: &mut Reader) -> Result<Snapshot, DecodeError> {
    let (index, term) = (reader.u64()?, reader.u64()?);
    let data = reader.string(SNAPSHOT_BYTES_MAX)?;
    let (membership, _) = decode_snapshot_data(&data)?;
    Ok(Snapshot { data, metadata: SnapshotMetadata { conf_state: membership.membership.to_raft(), index, term } })
}

fn message_type(number: u8) -> Result<MessageType, DecodeError> {
    const TYPES: [MessageType; 19] = [
        MessageType::MsgHup,
        MessageType::MsgBeat,
        MessageType::MsgPropose,
        MessageType::MsgAppend,
        MessageType::MsgAppendResponse,
        MessageType::MsgRequestVote,
        MessageType::MsgRequestVoteResponse,
        MessageType::MsgSnapshot,
        MessageType::MsgHeartbeat,
        MessageType::MsgHeartbeatResponse,
        MessageType::MsgUnreachable,
        MessageType::MsgSnapStatus,
        MessageType::MsgCheckQuorum,
        MessageType::MsgTransferLeader,
        MessageType::MsgTimeoutNow,
        MessageType::MsgReadIndex,
        MessageType::MsgReadIndexResp,
        MessageType::MsgRequestPreVote,
        MessageType::MsgRequestPreVoteResponse,
    ];
    TYPES.get(usize::from(number)).copied().ok_or(DecodeError::Unknown)
}

/// What a snapshot carries in raft's `data`: its configuration with the highest id, and the embedder's context.
pub(crate) fn encode_snapshot_data(snapshot: &SnapshotMeta) -> Bytes {
    let mut out = Vec::new();
    put_membership(&mut out, &snapshot.membership);
    put_string(&mut out, &snapshot.context);
    Bytes::from(out)
}

/// The configuration and the embedder's context of a snapshot.
pub(crate) fn decode_snapshot_data(data: &Bytes) -> Result<(MembershipAt, Bytes), DecodeError> {
    let mut reader = Reader::new(data.clone());
    let membership = reader.membership()?;
    let context = reader.string(SNAPSHOT_CONTEXT_BYTES_MAX)?;
    reader.end()?;
    Ok((membership, context))
}

/// What a configuration change carries in raft's `context`: the configuration that it changes, and the embedder's context.
/// So a node that joins learns the configuration from the first change in its log, and a change never lands on another
/// configuration than the one it was made for.
pub(crate) fn encode_change_context(base: &MembershipAt, context: &[u8]) -> Bytes {
    let mut out = Vec::new();
    put_membership(&mut out, base);
    put_string(&mut out, context);
    Bytes::from(out)
}

/// The configuration that a change is for, and the embedder's context.
pub(crate) fn decode_change_context(data: &Bytes) -> Result<(MembershipAt, Bytes), DecodeError> {
    let mut reader = Reader::new(data.clone());
    let base = reader.membership()?;
    let context = reader.string(CHANGE_CONTEXT_BYTES_MAX)?;
    reader.end()?;
    Ok((base, context))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::Membership;
    use crate::types::RaftId;
    use proptest::prelude::*;

    fn arbitrary_entry() -> impl Strategy<Value = Entry> {
        (any::<bool>(), any::<u64>(), any::<u64>(), proptest::collection::vec(any::<u8>(), 0..64)).prop_map(
            |(change, index, term, data)| Entry {
                entry_type: if change { EntryType::EntryConfChangeV2 } else { EntryType::EntryNormal },
                index,
                term,
                data: data.into(),
                context: Bytes::new(),
            },
        )
    }

    fn arbitrary_message() -> impl Strategy<Value = Message> {
        (
            0u8..19,
            any::<bool>(),
            any::<[u64; 8]>(),
            proptest::collection::vec(any::<u8>(), 0..CONTEXT_BYTES_MAX),
            proptest::collection::vec(arbitrary_entry(), 0..4),
            any::<(u64, u64)>(),
        )
            .prop_map(|(kind, reject, numbers, context, entries, (index, term))| {
                let msg_type = message_type(kind).unwrap();
                let [to, from, term_of, log_term, index_of, commit, commit_term, reject_hint] = numbers;
                let mut message = Message {
                    msg_type,
                    reject,
                    to,
                    from,
                    term: term_of,
                    log_term,
                    index: index_of,
                    commit,
                    commit_term,
                    reject_hint,
                    context: context.into(),
                    entries,
                    ..Message::default()
                };
                if msg_type == MessageType::MsgSnapshot {
                    let membership = Membership::new([RaftId(1), RaftId(2)], [RaftId(9)]);
                    let meta = SnapshotMeta {
                        index,
                        term,
                        membership: MembershipAt { index: 3, membership: membership.clone() },
                        context: Bytes::from_static(b"height and hash"),
                    };
                    message.snapshot = Snapshot {
                        data: encode_snapshot_data(&meta),
                        metadata: SnapshotMetadata { conf_state: membership.to_raft(), index, term },
                    };
                }
                message
            })
    }

    proptest! {
        #[test]
        fn a_message_has_one_encoding(message in arbitrary_message()) {
            let bytes = encode(&message);
            let decoded = decode(bytes.clone()).unwrap();
            prop_assert_eq!(&decoded, &message);
            prop_assert_eq!(encode(&decoded), bytes.clone());
            for cut in 0..bytes.len() {
                prop_assert!(decode(bytes.slice(..cut)).is_err());
            }
            let mut longer = bytes.to_vec();
            longer.push(0);
            prop_assert_eq!(decode(longer.into()), Err(DecodeError::Trailing));
        }

        #[test]
        fn what_decodes_encodes_to_the_same_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(message) = decode(Bytes::from(bytes.clone())) {
                prop_assert_eq!(encode(&message).to_vec(), bytes);
            }
        }

        #[test]
        fn changed_bytes_decode_to_another_message_or_not_at_all(
            message in arbitrary_message(), position in any::<proptest::sample::Index>(), bit in 0u8..8,
        ) {
            let mut bytes = encode(&message).to_vec();
            let position = position.index(bytes.len());
            bytes[position] ^= 1 << bit;
            if let Ok(decoded) = decode(Bytes::from(bytes.clone())) {
                prop_assert_ne!(&decoded, &message);
                prop_assert_eq!(encode(&decoded).to_vec(), bytes);
            }
        }
    }

    #[test]
    fn a_count_beyond_the_bytes_reserves_nothing() {
        let mut bytes = encode(&Message::default()).to_vec();
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(decode(bytes.into()), Err(DecodeError::Short));
    }

    #[test]
    fn a_frame_above_the_limit_is_refused_unread() {
        assert_eq!(decode(vec![1; FRAME_BYTES_MAX + 1].into()), Err(DecodeError::TooLong));
    }
}
