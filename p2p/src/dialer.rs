//! When to dial which registered peer: at once, then after pauses that double up to a cap, lengthened at random.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use libp2p::PeerId;

use crate::limits::{
    CONNECTION_STABLE_AFTER, DIAL_JITTER_PERCENT, DIAL_PAUSE_MAX, DIAL_PAUSE_MIN, DIAL_PAUSE_NOT_REGISTERED,
    DIAL_PAUSE_REFUSED_MAX,
};

/// Peers to stay connected to, and what is known of the attempts.
#[derive(Default)]
pub(crate) struct Dialer {
    peers: HashMap<PeerId, Attempts>,
}

struct Attempts {
    state: State,
    failures: u32,
    /// Its addresses have changed while it was being dialled: a failure of that dial says nothing.
    is_hurried: bool,
    /// The peer's last word was that it does not know this node.
    is_unknown_there: bool,
}

/// How a dial failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DialFailure {
    /// Nobody answered, or the connection broke.
    Unreachable,
    /// The peer answered and refused.
    Refused,
    /// The peer does not know this node: it dials by itself when the chain makes it known, so asking again is slow.
    NotRegistered,
}

enum State {
    Waiting { until: Instant },
    Dialling,
    Connected { since: Instant },
}

impl Dialer {
    /// Sets the peers to stay connected to. New ones are due at once.
    pub(crate) fn set_peers(&mut self, peers: &[PeerId], now: Instant) {
        self.peers.retain(|peer, _| peers.contains(peer));
        for peer in peers {
            self.peers.entry(*peer).or_insert(Attempts {
                state: State::Waiting { until: now },
                failures: 0,
                is_hurried: false,
                is_unknown_there: false,
            });
        }
    }

    /// The registry has changed here: peers that did not know this node may know it now.
    pub(crate) fn registry_changed(&mut self, now: Instant) {
        for attempts in self.peers.values_mut().filter(|attempts| attempts.is_unknown_there) {
            if let State::Waiting { until } = &mut attempts.state {
                *until = now;
                attempts.failures = 0;
                attempts.is_unknown_there = false;
            }
        }
    }

    /// Makes a peer due at once: its addresses have changed.
    pub(crate) fn hurry(&mut self, peer: &PeerId, now: Instant) {
        let Some(attempts) = self.peers.get_mut(peer) else {
            return;
        };
        match &mut attempts.state {
            State::Waiting { until } => *until = now,
            State::Dialling => attempts.is_hurried = true,
            State::Connected { .. } => return,
        }
        attempts.failures = 0;
    }

    /// Whether the peer is to be connected to.
    pub(crate) fn wants(&self, peer: &PeerId) -> bool {
        self.peers.contains_key(peer)
    }

    /// Peers whose pause is over; they count as being dialled from now on.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<PeerId> {
        let mut due = Vec::new();
        for (peer, attempts) in &mut self.peers {
            if matches!(attempts.state, State::Waiting { until } if until <= now) {
                attempts.state = State::Dialling;
                attempts.is_hurried = false;
                due.push(*peer);
            }
        }
        due
    }

    /// When the next pause is over.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.peers
            .values()
            .filter_map(|attempts| match attempts.state {
                State::Waiting { until } => Some(until),
                _ => None,
            })
            .min()
    }

    pub(crate) fn connected(&mut self, peer: &PeerId, now: Instant) {
        if let Some(attempts) = self.peers.get_mut(peer)
            && !matches!(attempts.state, State::Connected { .. })
        {
            attempts.state = State::Connected { since: now };
            attempts.is_unknown_there = false;
        }
    }

    /// The last connection is gone. One that lived long was no failure.
    pub(crate) fn disconnected(&mut self, peer: &PeerId, now: Instant) {
        if let Some(attempts) = self.peers.get_mut(peer)
            && let State::Connected { since } = attempts.state
        {
            let was_stable = now.duration_since(since) >= CONNECTION_STABLE_AFTER;
            attempts.failures = if was_stable { 0 } else { attempts.failures.saturating_add(1) };
            attempts.state = State::Waiting { until: now + pause(attempts.failures, DIAL_PAUSE_MAX) };
        }
    }

    /// A dial failed. After a refusal the pauses grow longer; where this node is not known they are long at once.
    pub(crate) fn failed(&mut self, peer: &PeerId, failure: DialFailure, now: Instant) {
        if let Some(attempts) = self.peers.get_mut(peer)
            && matches!(attempts.state, State::Dialling)
        {
            if attempts.is_hurried {
                attempts.state = State::Waiting { until: now };
                return;
            }
            attempts.failures = attempts.failures.saturating_add(1);
            attempts.is_unknown_there = failure == DialFailure::NotRegistered;
            let pause = match failure {
                DialFailure::Unreachable => pause(attempts.failures, DIAL_PAUSE_MAX),
                DialFailure::Refused => pause(attempts.failures, DIAL_PAUSE_REFUSED_MAX),
                DialFailure::NotRegistered => jittered(DIAL_PAUSE_NOT_REGISTERED),
            };
            attempts.state = State::Waiting { until: now + pause };
        }
    }
}

/// The pause after so many failures, with its random part.
fn pause(failures: u32, longest: Duration) -> Duration {
    let doubled = DIAL_PAUSE_MIN.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(16)));
    jittered(doubled.min(longest))
}

/// A pause with its random part.
fn jittered(base: Duration) -> Duration {
    let base_ms = u64::try_from(base.as_millis()).unwrap_or(u64::MAX);
    let span_ms = base_ms.saturating_mul(DIAL_JITTER_PERCENT) / 100;
    // Without random numbers nodes merely dial in step.
    let random = getrandom::u64().unwrap_or_default();
    base + Duration::from_millis(random % (span_ms + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_cap() {
        let jittered = |base: Duration| base..=base + base * u32::try_from(DIAL_JITTER_PERCENT).unwrap() / 100;
        assert!(jittered(DIAL_PAUSE_MIN).contains(&pause(0, DIAL_PAUSE_MAX)));
        assert!(jittered(DIAL_PAUSE_MIN).contains(&pause(1, DIAL_PAUSE_MAX)));
        assert!(jittered(DIAL_PAUSE_MIN * 4).contains(&pause(3, DIAL_PAUSE_MAX)));
        assert!(jittered(DIAL_PAUSE_MAX).contains(&pause(u32::MAX, DIAL_PAUSE_MAX)));
    }

    #[test]
    fn a_peer_is_due_at_once_then_after_a_pause_and_never_while_connected() {
        let mut dialer = Dialer::default();
        let peer = PeerId::random();
        let start = Instant::now();
        dialer.set_peers(&[peer], start);
        assert_eq!(dialer.take_due(start), [peer]);
        assert!(dialer.take_due(start).is_empty(), "already being dialled");

        dialer.failed(&peer, DialFailure::Unreachable, start);
        let due = dialer.next_due().unwrap();
        assert!(due >= start + DIAL_PAUSE_MIN);
        assert!(dialer.take_due(start).is_empty());
        assert_eq!(dialer.take_due(due), [peer]);

        dialer.connected(&peer, due);
        assert_eq!(dialer.next_due(), None);
        dialer.failed(&peer, DialFailure::Unreachable, due);
        assert_eq!(dialer.next_due(), None, "a second dial's failure changes nothing");

        let end = due + CONNECTION_STABLE_AFTER;
        dialer.disconnected(&peer, end);
        assert!(dialer.next_due().unwrap() <= end + DIAL_PAUSE_MIN * 2);
        dialer.set_peers(&[], end);
        assert_eq!(dialer.next_due(), None);
    }

    #[test]
    fn a_peer_whose_address_changes_while_it_is_dialled_is_due_at_once() {
        let mut dialer = Dialer::default();
        let peer = PeerId::random();
        let start = Instant::now();
        dialer.set_peers(&[peer], start);
        assert_eq!(dialer.take_due(start), [peer]);
        dialer.hurry(&peer, start);
        assert!(dialer.take_due(start).is_empty(), "not twice at once");
        dialer.failed(&peer, DialFailure::Unreachable, start);
        assert_eq!(dialer.take_due(start), [peer]);
        dialer.failed(&peer, DialFailure::Unreachable, start);
        assert!(dialer.take_due(start).is_empty(), "the new address has its pauses");
    }

    #[test]
    fn a_peer_that_does_not_know_this_node_is_asked_rarely_until_the_registry_changes() {
        let mut dialer = Dialer::default();
        let (peer, start) = (PeerId::random(), Instant::now());
        dialer.set_peers(&[peer], start);
        let (mut now, mut dials) = (start, 0);
        while now < start + DIAL_PAUSE_NOT_REGISTERED * 10 {
            dials += dialer.take_due(now).len();
            dialer.failed(&peer, DialFailure::NotRegistered, now);
            now = dialer.next_due().unwrap();
        }
        assert!((8..=10).contains(&dials), "{dials}");
        dialer.registry_changed(start);
        assert_eq!(dialer.next_due(), Some(start));
        assert_eq!(dialer.take_due(start), [peer]);
        dialer.failed(&peer, DialFailure::Unreachable, start);
        let pause = dialer.next_due();
        dialer.registry_changed(start);
        assert_eq!(dialer.next_due(), pause, "of one that is unreachable the registry says nothing");
    }

    #[test]
    fn connections_that_die_young_do_not_reset_the_pause() {
        let mut dialer = Dialer::default();
        let peer = PeerId::random();
        let now = Instant::now();
        dialer.set_peers(&[peer], now);
        for _ in 0..20 {
            dialer.hurry_for_test(&peer, now);
            dialer.connected(&peer, now);
            dialer.disconnected(&peer, now);
        }
        assert!(dialer.next_due().unwrap() >= now + DIAL_PAUSE_MAX);
    }

    impl Dialer {
        /// Ends the pause without forgetting the failures.
        fn hurry_for_test(&mut self, peer: &PeerId, now: Instant) {
            if let Some(Attempts { state: State::Waiting { until }, .. }) = self.peers.get_mut(peer) {
                *until = now;
            }
            self.take_due(now);
        }
    }
}
