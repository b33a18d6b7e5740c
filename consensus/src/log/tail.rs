//! Tells a write that a crash cut off from damage to what was durable.

use super::record::{HEADER_BYTES, Header};

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;

/// Whether the bad bytes from `offset` to the end of the newest segment can be a write that was never acknowledged.
///
/// A write is acknowledged after its sync, and the next begins only then. So a record of a later write behind the bad
/// bytes proves damage. Without one, a write that was cut off leaves a file that ends too early, or zeros: at its end,
/// or in whole sectors that never reached the medium. Anything else is damage.
pub(super) fn is_torn(bytes: &[u8], offset: usize, segment: u64) -> bool {
    #[cfg(feature = "planted")]
    if galen_planted::is_on(galen_planted::Bug::DamageTakenForTorn) {
        return true;
    }
    if has_later_batch(bytes, offset, segment) {
        return false;
    }
    let Some(rest) = bytes.get(offset..) else {
        return false;
    };
    if rest.len() < HEADER_BYTES {
        return true;
    }
    if Header::read(rest).is_some_and(|header| header.record_bytes() > rest.len()) {
        return true;
    }
    rest.last() == Some(&0) || has_zero_sector(bytes, offset)
}

fn has_later_batch(bytes: &[u8], offset: usize, segment: u64) -> bool {
    let from = offset.saturating_add(1);
    (from..bytes.len().saturating_sub(HEADER_BYTES - 1)).any(|at| {
        bytes.get(at) == Some(&b'G')
            && bytes.get(at..).and_then(Header::read).is_some_and(|header| {
                let place = header.place;
                place.segment == segment && place.offset == at as u64 && place.batch > offset as u64
            })
    })
}

fn has_zero_sector(bytes: &[u8], offset: usize) -> bool {
    let mut start = offset;
    while start < bytes.len() {
        let end = ((start / SECTOR + 1) * SECTOR).min(bytes.len());
        if bytes.get(start..end).is_some_and(|sector| sector.iter().all(|byte| *byte == 0)) {
            return true;
        }
        start = end;
    }
    false
}
