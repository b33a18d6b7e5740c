//! What is remembered about peers across connections: the facts of their last handshake, and why the last one failed.
//! Holds entries of registered nodes only, so it is bounded by the registry.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use libp2p::PeerId;

use crate::handshake::PeerFacts;
use crate::limits::REFUSAL_LOG_LINES_PER_SECOND;
use crate::refusal::Refusal;
use crate::sync::lock;

#[derive(Default)]
pub(crate) struct Book {
    pages: Mutex<HashMap<PeerId, Page>>,
    log: Mutex<LogBudget>,
}

#[derive(Default)]
struct Page {
    facts: Option<PeerFacts>,
    former_incarnation: Option<u64>,
    refusal: Option<Refusal>,
}

#[derive(Default)]
struct LogBudget {
    second: Option<Instant>,
    lines: u32,
}

impl Book {
    /// Notes a successful handshake. Returns whether a process that had been replaced by another came back, which means
    /// that two use the same key.
    pub(crate) fn record(&self, peer: PeerId, facts: PeerFacts) -> bool {
        let mut pages = lock(&self.pages);
        let page = pages.entry(peer).or_default();
        page.refusal = None;
        let current = page.facts.as_ref().map(|facts| facts.incarnation);
        let mut duplicate = false;
        if let Some(current) = current
            && current != facts.incarnation
        {
            duplicate = page.former_incarnation == Some(facts.incarnation);
            page.former_incarnation = Some(current);
        }
        page.facts = Some(facts);
        duplicate
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

    /// Whether a registered node has had a handshake from this address.
    pub(crate) fn is_address_known(&self, ip: &IpAddr) -> bool {
        lock(&self.pages).values().any(|page| page.facts.as_ref().is_some_and(|facts| facts.ip.as_ref() == Some(ip)))
    }

    /// Forgets peers that are not registered any more.
    pub(crate) fn retain(&self, is_registered: impl Fn(&PeerId) -> bool) {
        lock(&self.pages).retain(|peer, _| is_registered(peer));
    }

    /// Whether one more line about a stranger may be logged in this second.
    pub(crate) fn may_log_stranger(&self) -> bool {
        let mut budget = lock(&self.log);
        let now = Instant::now();
        if budget.second.is_none_or(|second| now.duration_since(second) >= Duration::from_secs(1)) {
            *budget = LogBudget { second: Some(now), lines: 0 };
        }
        budget.lines += 1;
        budget.lines <= REFUSAL_LOG_LINES_PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(incarnation: u64) -> PeerFacts {
        PeerFacts { software_version: String::new(), bulk_port: 0, incarnation, ip: None }
    }

    #[test]
    fn a_restart_is_no_duplicate_but_a_return_is() {
        let book = Book::default();
        let peer = PeerId::random();
        assert!(!book.record(peer, facts(1)));
        assert!(!book.record(peer, facts(1)));
        assert!(!book.record(peer, facts(2)), "restarted");
        assert!(book.record(peer, facts(1)), "the former process is still there");
    }

    #[test]
    fn lines_about_strangers_are_bounded() {
        let book = Book::default();
        let logged = (0..1000).filter(|_| book.may_log_stranger()).count();
        assert!(logged >= 1 && logged <= 3 * REFUSAL_LOG_LINES_PER_SECOND as usize, "{logged}");
    }
}
