//! How many connections there may be, in all and from one address. At the limit a newcomer takes the place of the
//! connection that has been idle the longest (kept alive, or dribbling a head); connections with a request under way are
//! left alone, and only when all are is the newcomer refused.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use super::state::ConnectionState;
use crate::http::limits::{CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_MAX, CONNECTIONS_RESERVED_FOR_LOOPBACK};

/// Numbers of connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct SlotLimits {
    pub(super) total: usize,
    pub(super) per_address: usize,
    pub(super) reserved_for_loopback: usize,
}

impl SlotLimits {
    /// The limits, lowered to half of the process's file descriptors.
    pub(super) fn of_process() -> Self {
        let descriptors = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
            .map_or(1024, |(soft, _)| usize::try_from(soft).unwrap_or(usize::MAX));
        let total = CONNECTIONS_MAX.min(descriptors / 2).max(16);
        Self {
            total,
            per_address: CONNECTIONS_PER_ADDRESS_MAX.min(total),
            reserved_for_loopback: CONNECTIONS_RESERVED_FOR_LOOPBACK.min(total / 4),
        }
    }
}

/// Where a connection comes from, as far as limits care: IPv6 networks hand out whole /64s.
pub(crate) fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

#[derive(Default)]
struct Open {
    next: u64,
    connections: HashMap<u64, (IpAddr, Arc<ConnectionState>)>,
    per_source: HashMap<IpAddr, usize>,
}

impl Open {
    fn remove(&mut self, id: u64) {
        if let Some((source, _)) = self.connections.remove(&id)
            && let Some(count) = self.per_source.get_mut(&source)
        {
            *count -= 1;
            if *count == 0 {
                self.per_source.remove(&source);
            }
        }
    }

    /// Closes the connection that has been idle the longest, of those that `may_go`.
    fn evict(&mut self, may_go: impl Fn(&IpAddr) -> bool) -> bool {
        let oldest = self
            .connections
            .iter()
            .filter(|(_, (source, _))| may_go(source))
            .filter_map(|(id, (_, state))| state.idle_since().map(|since| (since, *id)))
            .min();
        let Some((_, id)) = oldest else { return false };
        if let Some((_, state)) = self.connections.get(&id) {
            state.evicted.cancel();
        }
        self.remove(id);
        true
    }
}

/// The open connections.
pub(super) struct Slots {
    limits: SlotLimits,
    open: Mutex<Open>,
}

/// What became of a newcomer.
pub(super) enum Admission {
    /// It may stay; `evicted` says whether another made room for it.
    Admitted { slot: Slot, evicted: bool },
    /// Too many are busy.
    Refused,
}

impl Slots {
    pub(super) fn new(limits: SlotLimits) -> Arc<Self> {
        Arc::new(Self { limits, open: Mutex::new(Open::default()) })
    }

    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Admission {
        let source = source_of(address);
        let mut evicted = false;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if source.is_loopback() {
            if open.connections.len() >= self.limits.total {
                if !open.evict(|_| true) {
                    return Admission::Refused;
                }
                evicted = true;
            }
        } else {
            if open.per_source.get(&source).copied().unwrap_or(0) >= self.limits.per_address {
                if !open.evict(|other| *other == source) {
                    return Admission::Refused;
                }
                evicted = true;
            }
            if open.connections.len() >= self.limits.total - self.limits.reserved_for_loopback {
                if !open.evict(|other| !other.is_loopback()) {
                    return Admission::Refused;
                }
                evicted = true;
            }
        }
        let id = open.next;
        open.next += 1;
        let state = Arc::new(ConnectionState::new());
        open.connections.insert(id, (source, Arc::clone(&state)));
        *open.per_source.entry(source).or_insert(0) += 1;
        let slot = Slot { id, slots: Arc::clone(self), state };
        Admission::Admitted { slot, evicted }
    }

    pub(super) fn count(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).connections.len()
    }
}

/// One connection's place; free again when dropped.
pub(super) struct Slot {
    id: u64,
    slots: Arc<Slots>,
    pub(super) state: Arc<ConnectionState>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.slots.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SlotLimits = SlotLimits { total: 4, per_address: 2, reserved_for_loopback: 1 };

    fn admitted(slots: &Arc<Slots>, address: &str) -> Option<(Slot, bool)> {
        match slots.admit(address.parse().unwrap()) {
            Admission::Admitted { slot, evicted } => Some((slot, evicted)),
            Admission::Refused => None,
        }
    }

    #[test]
    fn a_newcomer_takes_the_place_of_the_longest_idle() {
        let slots = Slots::new(LIMITS);
        let (busy, _) = admitted(&slots, "10.0.0.1").unwrap();
        busy.state.request_began();
        let (idle, _) = admitted(&slots, "10.0.0.1").unwrap();
        let (_third, evicted) = admitted(&slots, "10.0.0.1").unwrap();
        assert!(evicted);
        assert!(idle.state.evicted.is_cancelled());
        assert!(!busy.state.evicted.is_cancelled());
        drop(idle);
        assert_eq!(slots.count(), 2, "an evicted connection is counted once");
    }

    #[test]
    fn busy_connections_are_never_closed_for_newcomers() {
        let slots = Slots::new(LIMITS);
        let held: Vec<_> =
            ["10.0.0.1", "10.0.0.1", "10.0.0.2"].iter().map(|address| admitted(&slots, address).unwrap().0).collect();
        for slot in &held {
            slot.state.request_began();
        }
        assert!(admitted(&slots, "10.0.0.1").is_none(), "two from one address");
        assert!(admitted(&slots, "10.0.0.3").is_none(), "the last place is for loopback");
        let (local, evicted) = admitted(&slots, "127.0.0.1").unwrap();
        assert!(!evicted);
        local.state.request_began();
        assert!(admitted(&slots, "127.0.0.1").is_none());
        drop(held);
        assert_eq!(slots.count(), 1);
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let source = |text: &str| source_of(text.parse().unwrap());
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:1"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:10.0.0.1"), source("10.0.0.1"));
        assert!(source("::1").is_loopback());
    }
}
