//! Exact, bounded reading of fixed-width little-endian bytes.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::limits::MEMBERS_MAX;
use crate::membership::Membership;
use crate::types::{MembershipAt, RaftId};

/// Why bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before the value does.
    #[error("the bytes end too early")]
    Short,
    /// Bytes are left after the value.
    #[error("bytes are left over")]
    Trailing,
    /// A length is above its limit.
    #[error("a length is above its limit")]
    TooLong,
    /// A number is not one of those that mean something.
    #[error("a number has no meaning here")]
    Unknown,
    /// A list is not in strictly ascending order, so the value has a second encoding.
    #[error("a list is not in order")]
    Order,
}

/// Reads from the front; byte strings are slices of the same buffer, not copies.
pub(crate) struct Reader {
    rest: Bytes,
}

impl Reader {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        if length > self.rest.len() {
            return Err(DecodeError::Short);
        }
        Ok(self.rest.split_to(length))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let array = *self.rest.first_chunk::<N>().ok_or(DecodeError::Short)?;
        self.rest = self.rest.slice(N..);
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    /// A byte string whose length (u32) comes first.
    pub(crate) fn string(&mut self, limit: usize) -> Result<Bytes, DecodeError> {
        let length = usize::try_from(self.u32()?).map_err(|_| DecodeError::TooLong)?;
        if length > limit {
            return Err(DecodeError::TooLong);
        }
        self.bytes(length)
    }

    pub(crate) fn end(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
    }

    fn ids(&mut self) -> Result<BTreeSet<RaftId>, DecodeError> {
        let count = usize::from(self.u16()?);
        if count > MEMBERS_MAX {
            return Err(DecodeError::TooLong);
        }
        let mut set = BTreeSet::new();
        for _ in 0..count {
            let id = RaftId(self.u64()?);
            if set.last().is_some_and(|last| *last >= id) {
                return Err(DecodeError::Order);
            }
            set.insert(id);
        }
        Ok(set)
    }

    /// A configuration and its index, as [`put_membership`] writes them. The sets are not checked against each other.
    pub(crate) fn membership(&mut self) -> Result<MembershipAt, DecodeError> {
        let index = self.u64()?;
        let membership = Membership {
            voters: self.ids()?,
            learners: self.ids()?,
            voters_outgoing: self.ids()?,
            learners_next: self.ids()?,
            highest_id: RaftId(self.u64()?),
        };
        Ok(MembershipAt { index, membership })
    }
}

/// A length as u32. Lengths in this crate are bounded far below; one that is not would be cut off by its own limit on
/// the reading side, never read as another value.
pub(crate) fn length_u32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Writes a byte string after its length.
pub(crate) fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&length_u32(bytes.len()).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Writes a configuration and its index.
pub(crate) fn put_membership(out: &mut Vec<u8>, at: &MembershipAt) {
    out.extend_from_slice(&at.index.to_le_bytes());
    let membership = &at.membership;
    let sets = [&membership.voters, &membership.learners, &membership.voters_outgoing, &membership.learners_next];
    for set in sets {
        out.extend_from_slice(&u16::try_from(set.len()).unwrap_or(u16::MAX).to_le_bytes());
        for id in set {
            out.extend_from_slice(&id.0.to_le_bytes());
        }
    }
    out.extend_from_slice(&membership.highest_id.0.to_le_bytes());
}
