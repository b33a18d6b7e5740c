//! How many connections there may be, in all and from one address. At the limit a newcomer takes the place of the
//! connection that has been idle the longest (kept alive, or dribbling a head); connections with a request under way are
//! left alone, and only when all that are looked at are is the newcomer refused. A newcomer costs as much with four thousand
//! open as with four: the connections stand in line, and are not searched.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

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

/// Of those that were idle first, how many are looked at to make room for a newcomer: what it costs to refuse one is bounded,
/// however many are open.
const LOOKS_MAX: usize = 64;

/// Connections in the order in which they were last seen to be idle, or to be at work. What happened since is found out when
/// one comes to the front: it goes to where it belongs then.
type Line = BTreeSet<(Instant, u64)>;

struct Connection {
    source: IpAddr,
    state: Arc<ConnectionState>,
    /// Its place in the lines.
    seen: Instant,
}

#[derive(Default)]
struct Open {
    next: u64,
    connections: HashMap<u64, Connection>,
    /// From this machine.
    inside: Line,
    /// From all others.
    outside: Line,
    /// From each of the others.
    per_source: HashMap<IpAddr, Line>,
}

/// Whose place a newcomer takes.
#[derive(Clone, Copy)]
enum Among {
    Inside,
    Outside,
    Source(IpAddr),
}

impl Open {
    fn insert(&mut self, source: IpAddr, state: Arc<ConnectionState>) -> u64 {
        let id = self.next;
        self.next += 1;
        let seen = Instant::now();
        self.connections.insert(id, Connection { source, state, seen });
        self.enqueue(source, (seen, id));
        id
    }

    fn enqueue(&mut self, source: IpAddr, place: (Instant, u64)) {
        if source.is_loopback() {
            self.inside.insert(place);
        } else {
            self.outside.insert(place);
            self.per_source.entry(source).or_default().insert(place);
        }
    }

    fn dequeue(&mut self, source: IpAddr, place: (Instant, u64)) {
        if source.is_loopback() {
            self.inside.remove(&place);
            return;
        }
        self.outside.remove(&place);
        if let Some(line) = self.per_source.get_mut(&source) {
            line.remove(&place);
            if line.is_empty() {
                self.per_source.remove(&source);
            }
        }
    }

    fn remove(&mut self, id: u64) {
        if let Some(Connection { source, seen, .. }) = self.connections.remove(&id) {
            self.dequeue(source, (seen, id));
        }
    }

    fn of_source(&self, source: &IpAddr) -> usize {
        self.per_source.get(source).map_or(0, BTreeSet::len)
    }

    /// Closes a connection that has been idle the longest.
    fn evict(&mut self, among: Among) -> bool {
        for _ in 0..LOOKS_MAX {
            let line = match among {
                Among::Inside => Some(&self.inside),
                Among::Outside => Some(&self.outside),
                Among::Source(source) => self.per_source.get(&source),
            };
            let Some((seen, id)) = line.and_then(BTreeSet::first).copied() else { return false };
            let Some(connection) = self.connections.get_mut(&id) else { return false };
            let source = connection.source;
            let since = connection.state.idle_since();
            if since.is_some_and(|since| since <= seen) {
                connection.state.evicted.cancel();
                self.remove(id);
                return true;
            }
            // It worked since, or works now.
            connection.seen = since.unwrap_or_else(Instant::now);
            let place = (connection.seen, id);
            self.dequeue(source, (seen, id));
            self.enqueue(source, place);
        }
        false
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
                if !open.evict(Among::Outside) && !open.evict(Among::Inside) {
                    return Admission::Refused;
                }
                evicted = true;
            }
        } else {
            if open.of_source(&source) >= self.limits.per_address {
                if !open.evict(Among::Source(source)) {
                    return Admission::Refused;
                }
                evicted = true;
            }
            if open.connections.len() >= self.limits.total - self.limits.reserved_for_loopback {
                if !open.evict(Among::Outside) {
                    return Admission::Refused;
                }
                evicted = true;
            }
        }
        let state = Arc::new(ConnectionState::new());
        let id = open.insert(source, Arc::clone(&state));
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
    fn who_worked_since_is_not_the_longest_idle_any_more() {
        let slots = Slots::new(SlotLimits { total: 100, per_address: 100, reserved_for_loopback: 0 });
        let held: Vec<_> = (0..100).map(|_| admitted(&slots, "127.0.0.1").unwrap().0).collect();
        for slot in held.iter().filter(|slot| slot.id % 2 == 0) {
            slot.state.request_began();
            slot.state.answer_ended();
            std::thread::sleep(std::time::Duration::from_millis(1));
            slot.state.flushed();
        }
        let newcomers: Vec<_> = (0..50).map(|_| admitted(&slots, "127.0.0.1").unwrap()).collect();
        assert!(newcomers.iter().all(|(_, evicted)| *evicted));
        for slot in &held {
            assert_eq!(slot.state.evicted.is_cancelled(), slot.id % 2 == 1, "connection {}", slot.id);
        }
        drop((held, newcomers));
        let open = slots.open.lock().unwrap();
        assert!(open.connections.is_empty() && open.inside.is_empty() && open.outside.is_empty());
    }

    #[test]
    fn idle_connections_of_others_are_closed_before_the_machines_own() {
        let slots = Slots::new(SlotLimits { total: 2, per_address: 2, reserved_for_loopback: 1 });
        let (own, _) = admitted(&slots, "127.0.0.1").unwrap();
        // The last place is for loopback.
        assert!(admitted(&slots, "10.0.0.1").is_none(), "there is nobody outside whose place it could take");
        let (second, _) = admitted(&slots, "127.0.0.1").unwrap();
        assert!(!own.state.evicted.is_cancelled());
        let (_third, evicted) = admitted(&slots, "127.0.0.1").unwrap();
        assert!(evicted && own.state.evicted.is_cancelled() && !second.state.evicted.is_cancelled());
        drop((own, second));
        assert!(slots.open.lock().unwrap().per_source.is_empty());
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
