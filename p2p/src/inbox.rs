//! The queue of events to the embedder: a bounded lane per peer and class, so that one peer that floods fills only its
//! own lane.
//!
//! Order of delivery: comings and goings of peers first, then raft frames (peers in turn), then the other classes in
//! turn (within each, peers in turn). After [`RAFT_EVENTS_IN_A_ROW_MAX`] raft events one of another class goes first, so
//! that none starves. A full lane of raft, transactions, requests or files makes its sender wait (its stream is not
//! read); a full lane of gossip drops the newest. Events of one lane keep their order.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use galen_types::NodeName;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::event::NetworkEvent;
use crate::limits::{
    INBOX_EVENT_OVERHEAD_BYTES, INBOX_FILE_BYTES_MAX, INBOX_GOSSIP_BYTES_MAX, INBOX_RAFT_BYTES_MAX,
    INBOX_REQUEST_BYTES_MAX, INBOX_TRANSACTIONS_BYTES_MAX, RAFT_EVENTS_IN_A_ROW_MAX,
};
use crate::sync::lock;

/// Classes of events, in the order of their turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    Raft,
    Transactions,
    Request,
    File,
    Gossip,
}

/// The classes that share turns behind raft.
const OTHERS: [Class; 4] = [Class::Transactions, Class::Request, Class::File, Class::Gossip];

impl Class {
    fn bytes_max(self) -> usize {
        match self {
            Self::Raft => INBOX_RAFT_BYTES_MAX,
            Self::Transactions => INBOX_TRANSACTIONS_BYTES_MAX,
            Self::Request => INBOX_REQUEST_BYTES_MAX,
            Self::File => INBOX_FILE_BYTES_MAX,
            Self::Gossip => INBOX_GOSSIP_BYTES_MAX,
        }
    }
}

/// The sending side, shared by the network's tasks.
#[derive(Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Default)]
struct State {
    /// Comings, goings and warnings of duplicates. Per peer at most two and one wait (see [`Inbox::tell_status`] and
    /// [`Inbox::tell_duplicate`]), so it is bounded by the registry.
    status: VecDeque<(NodeName, NetworkEvent)>,
    lanes: HashMap<(Class, NodeName), Lane>,
    /// Of each class, the peers whose lane holds something, in the order of their turns.
    turns: HashMap<Class, VecDeque<NodeName>>,
    raft_in_a_row: u32,
    next_other: usize,
    closed: bool,
}

struct Lane {
    budget: Arc<Semaphore>,
    events: VecDeque<(NetworkEvent, OwnedSemaphorePermit)>,
}

/// The embedder has dropped its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// The event found no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dropped;

impl Inbox {
    /// Queues an event, waiting while the peer's lane is full.
    pub(crate) async fn send(
        &self,
        class: Class,
        node: &NodeName,
        length: usize,
        event: NetworkEvent,
    ) -> Result<(), Gone> {
        let budget = self.budget(class, node)?;
        let permit = budget.acquire_many_owned(cost(class, length)).await.map_err(|_| Gone)?;
        self.push(class, node, event, permit)
    }

    /// Queues an event, or drops it when the peer's lane is full or nobody listens.
    pub(crate) fn try_send(
        &self,
        class: Class,
        node: &NodeName,
        length: usize,
        event: NetworkEvent,
    ) -> Result<(), Dropped> {
        let budget = self.budget(class, node).map_err(|Gone| Dropped)?;
        let permit = budget.try_acquire_many_owned(cost(class, length)).map_err(|_| Dropped)?;
        self.push(class, node, event, permit).map_err(|Gone| Dropped)
    }

    /// Queues that a peer came or went. What the embedder has not yet seen is folded: a coming and going in between
    /// vanish, a going and coming stay.
    pub(crate) fn tell_status(&self, node: &NodeName, event: NetworkEvent) {
        {
            let mut state = lock(&self.state);
            let is_going = matches!(event, NetworkEvent::PeerDisconnected { .. });
            let last = state
                .status
                .iter()
                .rposition(|(name, event)| name == node && !matches!(event, NetworkEvent::DuplicateIdentity { .. }));
            match last {
                Some(position)
                    if is_going
                        && matches!(state.status.get(position), Some((_, NetworkEvent::PeerConnected { .. }))) =>
                {
                    state.status.remove(position);
                }
                _ => state.status.push_back((node.clone(), event)),
            }
        }
        self.arrived.notify_one();
    }

    /// Queues that a peer refuses this process for a duplicate, unless such a word of that peer waits already.
    pub(crate) fn tell_duplicate(&self, by: &NodeName) {
        {
            let mut state = lock(&self.state);
            let waits = |(node, event): &(NodeName, NetworkEvent)| {
                node == by && matches!(event, NetworkEvent::DuplicateIdentity { .. })
            };
            if state.closed || state.status.iter().any(waits) {
                return;
            }
            state.status.push_back((by.clone(), NetworkEvent::DuplicateIdentity { by: by.clone() }));
        }
        self.arrived.notify_one();
    }

    /// Drops lanes with all that waits in them: of peers that are gone (not registered any more, or under another key),
    /// and of those that leave all but raft frames.
    pub(crate) fn forget(&self, is_gone: impl Fn(Class, &NodeName) -> bool) {
        let mut state = lock(&self.state);
        let forgotten: Vec<Lane> =
            state.lanes.extract_if(|(class, node), _| is_gone(*class, node)).map(|(_, lane)| lane).collect();
        for (class, turns) in &mut state.turns {
            turns.retain(|node| !is_gone(*class, node));
        }
        // Events answer for themselves when they are dropped; not while others wait for the lock.
        drop(state);
        drop(forgotten);
    }

    fn budget(&self, class: Class, node: &NodeName) -> Result<Arc<Semaphore>, Gone> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err(Gone);
        }
        let lane = state
            .lanes
            .entry((class, node.clone()))
            .or_insert_with(|| Lane { budget: Arc::new(Semaphore::new(class.bytes_max())), events: VecDeque::new() });
        Ok(Arc::clone(&lane.budget))
    }

    fn push(
        &self,
        class: Class,
        node: &NodeName,
        event: NetworkEvent,
        permit: OwnedSemaphorePermit,
    ) -> Result<(), Gone> {
        {
            let mut state = lock(&self.state);
            if state.closed {
                return Err(Gone);
            }
            let lane = state.lanes.entry((class, node.clone())).or_insert_with(|| Lane {
                budget: Arc::new(Semaphore::new(class.bytes_max())),
                events: VecDeque::new(),
            });
            let was_empty = lane.events.is_empty();
            lane.events.push_back((event, permit));
            if was_empty {
                state.turns.entry(class).or_default().push_back(node.clone());
            }
        }
        self.arrived.notify_one();
        Ok(())
    }
}

/// Bytes charged to a lane, never more than the whole lane.
fn cost(class: Class, length: usize) -> u32 {
    let cost = length.saturating_add(INBOX_EVENT_OVERHEAD_BYTES).min(class.bytes_max());
    u32::try_from(cost).unwrap_or(u32::MAX)
}

impl State {
    fn next(&mut self) -> Option<NetworkEvent> {
        if let Some((_, event)) = self.status.pop_front() {
            return Some(event);
        }
        if self.raft_in_a_row < RAFT_EVENTS_IN_A_ROW_MAX
            && let Some(event) = self.take(Class::Raft)
        {
            self.raft_in_a_row += 1;
            return Some(event);
        }
        self.raft_in_a_row = 0;
        for step in 0..OTHERS.len() {
            let turn = (self.next_other + step) % OTHERS.len();
            if let Some(event) = OTHERS.get(turn).and_then(|class| self.take(*class)) {
                self.next_other = turn + 1;
                return Some(event);
            }
        }
        self.take(Class::Raft)
    }

    fn take(&mut self, class: Class) -> Option<NetworkEvent> {
        let turns = self.turns.get_mut(&class)?;
        let node = turns.pop_front()?;
        let lane = self.lanes.get_mut(&(class, node.clone()))?;
        let (event, _permit) = lane.events.pop_front()?;
        if !lane.events.is_empty() {
            turns.push_back(node);
        }
        Some(event)
    }
}

/// The receiver of events. Take them promptly: while the embedder does not, raft frames wait too.
pub struct NetworkEvents {
    inbox: Arc<Inbox>,
}

impl NetworkEvents {
    pub(crate) fn new(inbox: Arc<Inbox>) -> Self {
        Self { inbox }
    }

    /// The next event; `None` when the network has shut down and all events are taken. Cancel-safe.
    pub async fn recv(&mut self) -> Option<NetworkEvent> {
        loop {
            {
                let mut state = lock(&self.inbox.state);
                if let Some(event) = state.next() {
                    return Some(event);
                }
                if state.closed {
                    return None;
                }
            }
            self.inbox.arrived.notified().await;
        }
    }
}

impl Inbox {
    /// Takes no more events; what waits can still be received.
    pub(crate) fn close(&self) {
        {
            let mut state = lock(&self.state);
            state.closed = true;
            for lane in state.lanes.values() {
                lane.budget.close();
            }
        }
        self.arrived.notify_one();
    }
}

impl Drop for NetworkEvents {
    fn drop(&mut self) {
        self.inbox.close();
        let mut state = lock(&self.inbox.state);
        state.status.clear();
        let lanes = std::mem::take(&mut state.lanes);
        drop(state);
        drop(lanes);
    }
}

#[cfg(test)]
mod tests;
