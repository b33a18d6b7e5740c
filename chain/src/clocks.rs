//! The clocks of other voters, told with every frame between orderers: the frame of the ordering core, and after it the
//! sender's clock in milliseconds since 1970, 8 bytes little-endian.
//!
//! A follower does not acknowledge a batch from a time too far ahead of its own clock, so a leader whose clock is wrong
//! would get nothing committed, and leave batches in its log that nobody takes for as long as it is ahead. So it proposes
//! no later time than what a majority takes: honest nodes, however wrong their clocks, never write such batches.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use galen_consensus::{Membership, RaftId};
use galen_types::Timestamp;

use crate::limits::PROPOSED_AHEAD_MS_MAX;

/// Bytes that a frame has beside the core's.
pub const CLOCK_BYTES: usize = 8;

/// How far ahead of the others' clocks a batch's time may be proposed, milliseconds: what clocks kept by NTP differ by, and
/// what they said being a moment old. Far below what followers refuse.
const MARGIN_MS: u64 = 5_000;
const _: () = assert!(MARGIN_MS * 2 <= PROPOSED_AHEAD_MS_MAX);

/// The core's frame with the sender's clock.
pub fn with_clock(frame: Bytes, clock: Timestamp) -> Bytes {
    let mut bytes = Vec::from(frame);
    bytes.extend_from_slice(&clock.0.to_le_bytes());
    bytes.into()
}

/// The core's frame and the sender's clock; `None` where it is too short to have one.
pub fn without_clock(mut bytes: Bytes) -> Option<(Bytes, Timestamp)> {
    let frame_bytes = bytes.len().checked_sub(CLOCK_BYTES)?;
    let clock = bytes.split_off(frame_bytes);
    Some((bytes, Timestamp(u64::from_le_bytes(clock.as_ref().try_into().ok()?))))
}

/// What other nodes' clocks said last. They say it several times a second, so it is not reckoned on in between.
#[derive(Debug, Default)]
pub(crate) struct Clocks(BTreeMap<RaftId, Timestamp>);

impl Clocks {
    /// A member's frame said what its clock says. Of others nothing is kept.
    pub(crate) fn heard(&mut self, from: RaftId, clock: Timestamp, membership: &Membership) {
        if membership.contains(from) {
            self.0.insert(from, clock);
            self.0.retain(|id, _| membership.contains(*id));
        }
    }

    /// The latest time that a majority of the voters takes with `own` among it, whatever as many as are left out of a
    /// majority say; `None` while too few have told their clocks.
    pub(crate) fn latest(&self, own: RaftId, membership: &Membership) -> Option<Timestamp> {
        let of = |voters: &BTreeSet<RaftId>| {
            let others = (voters.len() / 2 + 1).saturating_sub(usize::from(voters.contains(&own)));
            let mut clocks: Vec<_> =
                voters.iter().filter(|id| **id != own).filter_map(|id| self.0.get(id).copied()).collect();
            clocks.sort_unstable_by(|left, right| right.cmp(left));
            // A sole voter asks nobody.
            others.checked_sub(1).map(|last| clocks.get(last).copied())
        };
        let both = [of(&membership.voters), of(&membership.voters_outgoing)];
        let groups = if membership.is_joint() { &both[..] } else { &both[..1] };
        groups.iter().flatten().copied().min().flatten().map(|clock| clock.plus_ms(MARGIN_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp(1_790_000_000_000);

    fn latest(own: u64, voters: u64, told: &[(u64, u64)]) -> Option<u64> {
        let membership = Membership::new((1..=voters).map(RaftId), []);
        let mut clocks = Clocks::default();
        for (id, clock) in told {
            clocks.heard(RaftId(*id), NOON.plus_ms(*clock), &membership);
        }
        clocks.latest(RaftId(own), &membership).map(|latest| latest.0 - NOON.0 - MARGIN_MS)
    }

    #[test]
    fn the_latest_time_is_one_that_a_majority_takes() {
        assert_eq!(latest(1, 1, &[]), None, "nobody to ask");
        assert_eq!(latest(1, 2, &[(2, 5)]), Some(5));
        assert_eq!(latest(1, 3, &[(2, 5), (3, 9)]), Some(9), "one other is enough");
        assert_eq!(latest(1, 4, &[(2, 5), (3, 9), (4, 90_000_000)]), Some(9), "one of four lies");
        assert_eq!(latest(1, 4, &[(4, 90_000_000)]), None, "too few have told");
        assert_eq!(latest(1, 5, &[(2, 5), (3, 9), (4, 90_000_000), (5, 1)]), Some(9));
        assert_eq!(latest(1, 3, &[(2, 5), (9, 7)]), Some(5), "of strangers nothing is kept");
    }

    #[test]
    fn a_frame_comes_back_with_the_clock() {
        let frame = Bytes::from_static(b"frame");
        assert_eq!(without_clock(with_clock(frame.clone(), NOON)), Some((frame, NOON)));
        assert_eq!(without_clock(with_clock(Bytes::new(), NOON)), Some((Bytes::new(), NOON)));
        assert_eq!(without_clock(Bytes::from_static(b"short")), None);
    }
}
