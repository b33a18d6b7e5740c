//! How far this node, which does not order, must have come for its answers to be linearizable: asked of the voters, each
//! of which has ordering's quorum confirm its own word first. Questions that come while voters are being asked share the
//! next round.
//!
//! Where nobody lies, one voter's word is enough. A quorum (that of certificates) is asked all the same, and a word is
//! taken that no `f` liars of it can have pushed below every honest one, `f` being what certificates tolerate, and at
//! least one where there are two words: one voter that lies, or whose disk or program is broken, does not make an answer
//! stale. With four voters or more it cannot hold answers up by naming a height that does not exist, either.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use galen_p2p::NetworkHandle;
use galen_types::{NodeName, VoterSet};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout_at};

use super::fatal::Shutdown;
use super::kinds;
use super::limits;
use super::registered::Registered;

/// Somebody who wants to know.
pub(super) struct Inquirer {
    /// Until when.
    pub(super) deadline: Instant,
    /// Whom to tell; dropped when nobody answered in time.
    pub(super) reply: oneshot::Sender<u64>,
}

/// The task that asks.
pub(super) struct Inquiry {
    /// This node.
    pub(super) node: NodeName,
    /// To peers.
    pub(super) network: NetworkHandle,
    /// Who votes.
    pub(super) registered: watch::Receiver<Arc<Registered>>,
    /// Stops the node.
    pub(super) shutdown: Shutdown,
}

impl Inquiry {
    /// Runs until the node stops.
    pub(super) async fn run(self, mut inquirers: mpsc::Receiver<Inquirer>) {
        let mut waiting = Vec::new();
        loop {
            let received = tokio::select! {
                () = self.shutdown.stopping() => return,
                received = inquirers.recv_many(&mut waiting, limits::INQUIRIES_MAX) => received,
            };
            if received == 0 {
                return;
            }
            let Some(deadline) = waiting.iter().map(|inquirer| inquirer.deadline).max() else { continue };
            let height = tokio::select! {
                () = self.shutdown.stopping() => return,
                height = timeout_at(deadline.into(), self.ask(deadline)) => height,
            };
            for Inquirer { reply, .. } in waiting.drain(..) {
                if let Ok(height) = height {
                    // Who gave up does not listen.
                    let _ = reply.send(height);
                }
            }
        }
    }

    /// Asks all voters until a quorum has answered.
    async fn ask(&self, deadline: Instant) -> u64 {
        let voters = self.registered.borrow().voters.clone();
        let others = voters.voters.iter().map(|voter| &voter.node).filter(|node| **node != self.node);
        let mut asked: FuturesUnordered<_> = others.map(|node| self.ask_one(node, deadline)).collect();
        let mut words = BTreeMap::new();
        while let Some((node, height)) = asked.next().await {
            words.insert(node, height);
            if words.len() >= voters.quorum() {
                return judge(words.into_values().collect(), &voters);
            }
        }
        // Too few can be asked: the deadline ends it.
        std::future::pending().await
    }

    /// Asks one voter, again and again: it may not be connected now, or its side may have no leader.
    async fn ask_one<'voter>(&self, node: &'voter NodeName, deadline: Instant) -> (&'voter NodeName, u64) {
        loop {
            let patience = deadline.saturating_duration_since(Instant::now());
            let answer = self.network.request(node, kinds::READ_HEIGHT, Bytes::new(), patience).await;
            match answer.ok().and_then(|bytes| Some(u64::from_le_bytes(bytes.as_ref().try_into().ok()?))) {
                Some(height) => return (node, height),
                None => sleep(limits::INQUIRY_PAUSE).await,
            }
        }
    }
}

/// The height to be held, by the words of a quorum: so many of the lowest are left out as may lie.
fn judge(mut words: Vec<u64>, voters: &VoterSet) -> u64 {
    words.sort_unstable();
    let left_out = voters.faults_tolerated().max(1).min(words.len().saturating_sub(1));
    words.get(left_out).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use galen_types::certificate::Voter;
    use galen_types::{Hash, SecretKey};

    use super::*;

    fn voters(count: u8) -> VoterSet {
        let key = SecretKey::from_seed(&[2; 32]).public_key();
        let voter = |index: u8| Voter { node: format!("node-1.member-{index}").parse().unwrap(), key };
        VoterSet::new(1, Hash::ZERO, (0..count).map(voter).collect())
    }

    #[test]
    fn as_many_as_may_lie_cannot_make_an_answer_stale() {
        // What honest voters say lies between 10 and 12: each of these words is late enough.
        for (count, liars) in [(2, 1), (3, 1), (4, 1), (5, 1), (7, 2), (10, 3)] {
            let voters = voters(count);
            for low in 0..=liars {
                let honest = (0..voters.quorum() - low).map(|index| 10 + index as u64 % 3);
                let words = honest.chain(std::iter::repeat_n(1, low)).collect();
                assert!(judge(words, &voters) >= 10, "{low} of {count} say too little");
            }
        }
        assert_eq!(judge(vec![7], &voters(1)), 7);
    }

    #[test]
    fn as_many_as_certificates_tolerate_cannot_hold_an_answer_up() {
        for count in [4, 5, 7, 10] {
            let voters = voters(count);
            let liars = voters.faults_tolerated();
            let honest = std::iter::repeat_n(10, voters.quorum() - liars);
            assert_eq!(judge(honest.chain(std::iter::repeat_n(u64::MAX, liars)).collect(), &voters), 10, "{count}");
        }
    }
}
