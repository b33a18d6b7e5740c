//! What is remembered about peers: the facts of their newest connection, which process they are connected from, and why
//! the last handshake failed. Holds entries of registered nodes only, so it is bounded by the registry.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};

use crate::address::{ip_of, port_of};
use crate::handshake::{PeerFacts, Plane};
use crate::limits::{
    ARRIVALS_PER_PEER_MAX, CLOCK_DIFFERENCE_WARNED, DIAL_BACK_INTERVAL, REFUSAL_LOG_INTERVAL,
    REFUSAL_LOG_LINES_PER_SECOND, STRANGERS_REMEMBERED_MAX,
};
use crate::refusal::Refusal;
use crate::sync::lock;

#[derive(Default)]
pub(crate) struct Book {
    pages: Mutex<HashMap<PeerId, Page>>,
    log: Mutex<LogBudget>,
}

#[derive(Default)]
struct Page {
    /// Of the newest control connection; kept when it ends.
    facts: Option<PeerFacts>,
    /// The process at the other end of its control connections, while there are any.
    live: Option<u64>,
    /// Facts of connections whose handshake is done and that are not established yet.
    arrivals: VecDeque<Arrival>,
    refusal: Option<Refusal>,
    /// The last refusal that was logged: its code, and when.
    logged: Option<(String, Instant)>,
    is_clock_warned: bool,
    dialled_back: Option<Instant>,
}

/// The multiplexer hands the connection on without its facts, so they wait here under its address.
struct Arrival {
    plane: Plane,
    remote: Option<SocketAddr>,
    facts: PeerFacts,
}

#[derive(Default)]
struct LogBudget {
    second: Option<Instant>,
    lines: u32,
    /// Of strangers that were logged lately, oldest first.
    strangers: VecDeque<(PeerId, Instant)>,
}

fn socket_of(remote: &Multiaddr) -> Option<SocketAddr> {
    Some(SocketAddr::new(ip_of(remote)?, port_of(remote)?))
}

impl Book {
    /// Keeps what a peer said in a handshake until its connection is established.
    pub(crate) fn arrive(&self, peer: PeerId, plane: Plane, remote: &Multiaddr, facts: PeerFacts) {
        let mut pages = lock(&self.pages);
        let arrivals = &mut pages.entry(peer).or_default().arrivals;
        if arrivals.len() >= ARRIVALS_PER_PEER_MAX {
            arrivals.pop_front();
        }
        arrivals.push_back(Arrival { plane, remote: socket_of(remote), facts });
    }

    /// Notes that a connection is established, and returns its facts. On the control plane they become the peer's.
    pub(crate) fn establish(&self, peer: PeerId, plane: Plane, remote: &Multiaddr) -> Option<PeerFacts> {
        let remote = socket_of(remote);
        let mut pages = lock(&self.pages);
        let page = pages.get_mut(&peer)?;
        // The newest: an older one from the same address was never established.
        let position = page.arrivals.iter().rposition(|arrival| arrival.plane == plane && arrival.remote == remote)?;
        let facts = page.arrivals.remove(position)?.facts;
        if plane == Plane::Control {
            page.refusal = None;
            page.live = Some(facts.incarnation);
            page.facts = Some(facts.clone());
        }
        Some(facts)
    }

    /// Notes that the last control connection has ended.
    pub(crate) fn leave(&self, peer: &PeerId) {
        if let Some(page) = lock(&self.pages).get_mut(peer) {
            page.live = None;
        }
    }

    /// The process that the peer is connected from, if it is connected.
    pub(crate) fn live_incarnation(&self, peer: &PeerId) -> Option<u64> {
        lock(&self.pages).get(peer).and_then(|page| page.live)
    }

    pub(crate) fn record_refusal(&self, peer: PeerId, refusal: Refusal) {
        lock(&self.pages).entry(peer).or_default().refusal = Some(refusal);
    }

    pub(crate) fn facts(&self, peer: &PeerId) -> Option<PeerFacts> {
        lock(&self.pages).get(peer).and_then(|page| page.facts.clone())
    }

    /// Why the last handshake with this peer was refused, if it was.
    pub(crate) fn refusal(&self, peer: &PeerId) -> Option<Refusal> {
        lock(&self.pages).get(peer).and_then(|page| page.refusal.clone())
    }

    /// Whether a registered node has had a connection from this address.
    pub(crate) fn is_address_known(&self, ip: &IpAddr) -> bool {
        lock(&self.pages).values().any(|page| page.facts.as_ref().is_some_and(|facts| facts.ip.as_ref() == Some(ip)))
    }

    /// Whether a peer's clock is to be warned about: once until it is right again.
    pub(crate) fn warns_of_clock(&self, peer: PeerId, difference_ms: i64) -> bool {
        let is_wrong = Duration::from_millis(difference_ms.unsigned_abs()) > CLOCK_DIFFERENCE_WARNED;
        let mut pages = lock(&self.pages);
        let warned = &mut pages.entry(peer).or_default().is_clock_warned;
        let is_news = is_wrong && !*warned;
        *warned = is_wrong;
        is_news
    }

    /// Whether a peer may have its address tried now; notes that it was.
    pub(crate) fn may_dial_back(&self, peer: PeerId, now: Instant) -> bool {
        let mut pages = lock(&self.pages);
        let last = &mut pages.entry(peer).or_default().dialled_back;
        let may = last.is_none_or(|last| now.duration_since(last) >= DIAL_BACK_INTERVAL);
        if may {
            *last = Some(now);
        }
        may
    }

    /// Forgets peers that are not registered any more.
    pub(crate) fn retain(&self, is_registered: impl Fn(&PeerId) -> bool) {
        lock(&self.pages).retain(|peer, _| is_registered(peer));
    }

    /// Whether a refusal of or by a registered peer is to be logged: once in [`REFUSAL_LOG_INTERVAL`] for the same code.
    pub(crate) fn is_refusal_news(&self, peer: PeerId, code: &str, now: Instant) -> bool {
        let mut pages = lock(&self.pages);
        let logged = &mut pages.entry(peer).or_default().logged;
        let is_old = |(known, at): &(String, Instant)| {
            known == code && now.saturating_duration_since(*at) < REFUSAL_LOG_INTERVAL
        };
        if logged.as_ref().is_some_and(is_old) {
            return false;
        }
        *logged = Some((code.to_owned(), now));
        true
    }

    /// Whether the refusal of a stranger's key is to be logged: once in [`REFUSAL_LOG_INTERVAL`] for the same key, and
    /// bounded for all.
    pub(crate) fn is_stranger_news(&self, peer: PeerId, now: Instant) -> bool {
        {
            let mut log = lock(&self.log);
            log.strangers.retain(|(_, at)| now.saturating_duration_since(*at) < REFUSAL_LOG_INTERVAL);
            if log.strangers.iter().any(|(known, _)| *known == peer) {
                return false;
            }
        }
        let may = self.may_log_stranger();
        if may {
            let mut log = lock(&self.log);
            if log.strangers.len() >= STRANGERS_REMEMBERED_MAX {
                log.strangers.pop_front();
            }
            log.strangers.push_back((peer, now));
        }
        may
    }

    /// Whether one more line about a stranger may be logged in this second.
    pub(crate) fn may_log_stranger(&self) -> bool {
        let mut budget = lock(&self.log);
        let now = Instant::now();
        if budget.second.is_none_or(|second| now.duration_since(second) >= Duration::from_secs(1)) {
            budget.second = Some(now);
            budget.lines = 0;
        }
        budget.lines += 1;
        budget.lines <= REFUSAL_LOG_LINES_PER_SECOND
    }

    #[cfg(test)]
    pub(crate) fn pages(&self) -> usize {
        lock(&self.pages).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use galen_types::Hash;

    fn facts(incarnation: u64) -> PeerFacts {
        PeerFacts {
            software_version: String::new(),
            bulk_port: 0,
            incarnation,
            ip: None,
            lineage: Hash::ZERO,
            clock_difference_ms: 0,
        }
    }

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/10.0.0.1/tcp/{port}").parse().unwrap()
    }

    #[test]
    fn each_connection_gets_the_facts_of_its_own_handshake() {
        let book = Book::default();
        let peer = PeerId::random();
        book.arrive(peer, Plane::Control, &address(1), facts(1));
        book.arrive(peer, Plane::Control, &address(2), facts(2));
        book.arrive(peer, Plane::Bulk, &address(1), facts(3));
        assert_eq!(book.live_incarnation(&peer), None, "nothing is established");
        assert_eq!(book.establish(peer, Plane::Control, &address(1)).unwrap().incarnation, 1);
        assert_eq!(book.establish(peer, Plane::Bulk, &address(1)).unwrap().incarnation, 3);
        assert_eq!(book.live_incarnation(&peer), Some(1), "the bulk plane does not count");
        assert_eq!(book.establish(peer, Plane::Control, &address(2)).unwrap().incarnation, 2);
        assert!(book.establish(peer, Plane::Control, &address(2)).is_none(), "taken");
        book.leave(&peer);
        assert_eq!(book.live_incarnation(&peer), None);
        assert!(book.facts(&peer).is_some());
    }

    #[test]
    fn handshakes_that_never_became_connections_are_bounded() {
        let book = Book::default();
        let peer = PeerId::random();
        for port in 0..1000 {
            book.arrive(peer, Plane::Control, &address(port), facts(u64::from(port)));
        }
        assert_eq!(lock(&book.pages)[&peer].arrivals.len(), ARRIVALS_PER_PEER_MAX);
        assert_eq!(book.establish(peer, Plane::Control, &address(999)).unwrap().incarnation, 999);
        book.retain(|_| false);
        assert_eq!(book.pages(), 0);
    }

    #[test]
    fn a_wrong_clock_is_news_once_until_it_is_right() {
        let book = Book::default();
        let peer = PeerId::random();
        let warned: Vec<bool> = [29_000, 31_000, -31_000, 0, -31_000, i64::MIN]
            .map(|difference| book.warns_of_clock(peer, difference))
            .to_vec();
        assert_eq!(warned, [false, true, false, false, true, false]);
    }

    #[test]
    fn a_dial_back_is_allowed_once_in_a_while() {
        let book = Book::default();
        let peer = PeerId::random();
        let now = Instant::now();
        assert!(book.may_dial_back(peer, now));
        assert!(!book.may_dial_back(peer, now + DIAL_BACK_INTERVAL / 2));
        assert!(book.may_dial_back(PeerId::random(), now));
        assert!(book.may_dial_back(peer, now + DIAL_BACK_INTERVAL));
    }

    #[test]
    fn the_same_refusal_is_news_once_in_a_while() {
        let book = Book::default();
        let (peer, now) = (PeerId::random(), Instant::now());
        let news: Vec<bool> =
            [(0, "not-registered"), (1, "not-registered"), (2, "wrong-genesis"), (3, "wrong-genesis")]
                .map(|(second, code)| book.is_refusal_news(peer, code, now + Duration::from_secs(second)))
                .to_vec();
        assert_eq!(news, [true, false, true, false]);
        assert!(book.is_refusal_news(peer, "wrong-genesis", now + REFUSAL_LOG_INTERVAL * 2));

        assert!(book.is_stranger_news(peer, now));
        assert!(!book.is_stranger_news(peer, now + REFUSAL_LOG_INTERVAL / 2));
        assert!(book.is_stranger_news(PeerId::random(), now));
        assert!(book.is_stranger_news(peer, now + REFUSAL_LOG_INTERVAL * 2));
    }

    #[test]
    fn lines_about_strangers_are_bounded() {
        let book = Book::default();
        let logged = (0..1000).filter(|_| book.may_log_stranger()).count();
        assert!(logged >= 1 && logged <= 3 * REFUSAL_LOG_LINES_PER_SECOND as usize, "{logged}");
    }
}
