//! The clocks of other voters, told with every frame between orderers: the frame of the ordering core, and after it the
//! sender's clock in milliseconds since 1970, 8 bytes little-endian.
//!
//! A follower does not acknowledge a batch from a time too far ahead of its own clock, so a leader whose clock is wrong
//! would get nothing committed, and leave batches in its log that nobody takes for as long as it is ahead. So it proposes
//! no later time than what a majority takes as their clocks are now.

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

/// The latest time that a leader may propose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Latest {
    /// Its own clock decides: there is nobody else whose word is needed.
    Own,
    /// That far a majority goes along.
    At(Timestamp),
    /// Too few have told their clocks lately: it could commit nothing anyway.
    Unknown,
}

/// What other nodes' clocks said last, and in which of this node's ticks. They say it with every heartbeat's answer, so it
/// is not reckoned on in between.
#[derive(Debug, Default)]
pub(crate) struct Clocks(BTreeMap<RaftId, (Timestamp, u64)>);

impl Clocks {
    /// A member's frame said what its clock says. Of others nothing is kept.
    pub(crate) fn heard(&mut self, from: RaftId, clock: Timestamp, tick: u64, membership: &Membership) {
        if membership.contains(from) {
            self.0.insert(from, (clock, tick));
            self.0.retain(|id, _| membership.contains(*id));
        }
    }

    /// The latest time that a majority of the voters takes, `own` among it. Of the others the highest words that a majority
    /// does not need are so left out. Only those count that were heard from tick `since` on.
    pub(crate) fn latest(&self, own: RaftId, since: u64, membership: &Membership) -> Latest {
        let of = |voters: &BTreeSet<RaftId>| {
            let others = (voters.len() / 2 + 1).saturating_sub(usize::from(voters.contains(&own)));
            let Some(last) = others.checked_sub(1) else { return Latest::Own };
            let told = voters.iter().filter(|id| **id != own).filter_map(|id| self.0.get(id));
            let mut clocks: Vec<_> = told.filter(|(_, tick)| *tick >= since).map(|(clock, _)| *clock).collect();
            clocks.sort_unstable_by(|left, right| right.cmp(left));
            clocks.get(last).map_or(Latest::Unknown, |clock| Latest::At(clock.plus_ms(MARGIN_MS)))
        };
        let now = of(&membership.voters);
        if !membership.is_joint() {
            return now;
        }
        match (now, of(&membership.voters_outgoing)) {
            (Latest::Unknown, _) | (_, Latest::Unknown) => Latest::Unknown,
            (Latest::Own, other) | (other, Latest::Own) => other,
            (Latest::At(now), Latest::At(outgoing)) => Latest::At(now.min(outgoing)),
        }
    }
}

/// Whether a leader is held back by the clocks of the others for longer than a pause of its own explains.
#[derive(Debug, Default)]
pub(crate) struct HeldBack {
    since: Option<u64>,
    is_told: bool,
}

impl HeldBack {
    /// Notes the time of a proposal; says once by how many milliseconds this node's clock is ahead, when it has been for
    /// `patience` ticks.
    pub(crate) fn note(&mut self, now: Timestamp, latest: Timestamp, tick: u64, patience: u64) -> Option<u64> {
        if now.plus_ms(MARGIN_MS / 2) <= latest {
            *self = Self::default();
        }
        if now <= latest {
            return None;
        }
        let since = *self.since.get_or_insert(tick);
        let is_new = !self.is_told && tick.saturating_sub(since) >= patience;
        self.is_told |= is_new;
        is_new.then(|| now.0.saturating_sub(latest.0).saturating_add(MARGIN_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp(1_790_000_000_000);

    fn at(ms: u64) -> Latest {
        Latest::At(NOON.plus_ms(ms + MARGIN_MS))
    }

    fn latest(own: u64, voters: u64, told: &[(u64, u64)]) -> Latest {
        let membership = Membership::new((1..=voters).map(RaftId), []);
        let mut clocks = Clocks::default();
        for (id, clock) in told {
            clocks.heard(RaftId(*id), NOON.plus_ms(*clock), 7, &membership);
        }
        assert_eq!(clocks.latest(RaftId(own), 8, &membership), if voters == 1 { Latest::Own } else { Latest::Unknown });
        clocks.latest(RaftId(own), 7, &membership)
    }

    #[test]
    fn the_latest_time_is_one_that_a_majority_takes() {
        assert_eq!(latest(1, 1, &[]), Latest::Own);
        assert_eq!(latest(1, 2, &[(2, 5)]), at(5));
        assert_eq!(latest(1, 3, &[(2, 5), (3, 9)]), at(9), "one other is enough");
        assert_eq!(latest(1, 4, &[(2, 5), (3, 9), (4, u64::MAX)]), at(9), "one of four lies");
        assert_eq!(latest(1, 4, &[(2, 5), (3, 9), (4, 0)]), at(5));
        assert_eq!(latest(1, 4, &[(4, 90_000_000)]), Latest::Unknown, "too few have told");
        assert_eq!(latest(1, 5, &[(2, 5), (3, 9), (4, 90_000_000), (5, 1)]), at(9));
        assert_eq!(latest(1, 3, &[(2, 5), (9, 7)]), at(5), "of strangers nothing is kept");
        assert_eq!(latest(9, 3, &[(1, 5), (2, 7), (3, 9)]), at(7), "one that leads and votes no more needs two");
    }

    #[test]
    fn while_the_group_changes_both_majorities_must_go_along() {
        let mut membership = Membership::new([1, 2, 3].map(RaftId), []);
        membership.voters_outgoing = [1, 4, 5].map(RaftId).into();
        let mut clocks = Clocks::default();
        clocks.heard(RaftId(2), NOON.plus_ms(9), 1, &membership);
        assert_eq!(clocks.latest(RaftId(1), 1, &membership), Latest::Unknown);
        clocks.heard(RaftId(4), NOON.plus_ms(3), 1, &membership);
        assert_eq!(clocks.latest(RaftId(1), 1, &membership), at(3));
    }

    #[test]
    fn a_wrong_clock_is_told_once_and_a_pause_is_none() {
        let mut held = HeldBack::default();
        let (ahead, patience) = (NOON.plus_ms(MARGIN_MS + 60_000), 10);
        assert_eq!(held.note(ahead, NOON, 1, patience), None, "it may have slept");
        assert_eq!(held.note(ahead, ahead.plus_ms(MARGIN_MS), 2, patience), None);
        assert_eq!(held.note(ahead, NOON, 3, patience), None);
        assert_eq!(held.note(ahead, NOON, 13, patience), Some(MARGIN_MS * 2 + 60_000));
        assert_eq!(held.note(ahead, ahead, 14, patience), None);
        assert_eq!(held.note(ahead, NOON, 99, patience), None, "once");
    }

    #[test]
    fn a_frame_comes_back_with_the_clock() {
        let frame = Bytes::from_static(b"frame");
        assert_eq!(without_clock(with_clock(frame.clone(), NOON)), Some((frame, NOON)));
        assert_eq!(without_clock(with_clock(Bytes::new(), NOON)), Some((Bytes::new(), NOON)));
        assert_eq!(without_clock(Bytes::from_static(b"short")), None);
    }
}
