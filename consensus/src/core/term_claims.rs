//! Terms far ahead, and when they are believed.
//!
//! One message cannot push this node's term to the end of its range: a lead of more than
//! [`TERM_LEAD_MAX`](crate::limits::TERM_LEAD_MAX) is refused. But a liar among the voters can push those that run step by
//! step, and a node that was away meanwhile would refuse everything that they say, for ever. So it remembers which term each
//! member claimed, and takes one that more of them claim than may lie, and two at least.

use std::collections::BTreeMap;

use super::RaftCore;
use crate::types::RaftId;

/// The highest term that each member claimed in a message that was refused for it.
#[derive(Debug, Default)]
pub(super) struct TermClaims(BTreeMap<RaftId, u64>);

impl TermClaims {
    /// A member claimed a term far ahead of this node's. What lies behind this node's is forgotten.
    pub(super) fn note(&mut self, from: RaftId, term: u64, own: u64) {
        self.0.retain(|_, claimed| *claimed > own);
        let claimed = self.0.entry(from).or_default();
        *claimed = term.max(*claimed);
    }

    /// The highest term that enough of a group of so many claim, or more; 0 when none.
    pub(super) fn believed(&self, members: usize) -> u64 {
        let enough = (members.saturating_sub(1) / 3 + 1).max(2);
        let mut claimed: Vec<u64> = self.0.values().copied().collect();
        claimed.sort_unstable_by(|left, right| right.cmp(left));
        claimed.get(enough - 1).copied().unwrap_or(0)
    }
}

impl RaftCore {
    /// How many members there are to this node's knowledge: a node that joins knows only whom it was told to hear.
    pub(super) fn voices(&self) -> usize {
        self.membership().voters.len().max(self.admitted.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_liar_is_not_believed_and_the_others_are() {
        let mut claims = TermClaims::default();
        for _ in 0..3 {
            claims.note(RaftId(4), u64::MAX >> 2, 7);
        }
        assert_eq!(claims.believed(4), 0, "one may lie");
        claims.note(RaftId(1), 5 << 20, 7);
        assert_eq!(claims.believed(4), 5 << 20);
        claims.note(RaftId(2), 6 << 20, 7);
        assert_eq!(claims.believed(4), 6 << 20);
        assert_eq!(claims.believed(7), 5 << 20, "of seven two may lie");
        assert_eq!(claims.believed(2), 6 << 20, "never a single one");
        claims.note(RaftId(3), 8 << 20, 6 << 20);
        assert_eq!(claims.believed(4), 8 << 20, "what is behind is forgotten: {claims:?}");
    }
}
