//! Histories that are linearizable by construction: clients, nodes that lag, and a chain, drawn from a seed.

use std::collections::BTreeMap;

use crate::{Action, Entry, History, Operation, Outcome, Place, Random, Value};

/// How large a history is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Clients at a time.
    pub clients: u32,
    /// Nodes that are asked.
    pub nodes: u64,
    /// Records.
    pub keys: u64,
    /// Operations in all.
    pub operations: usize,
}

impl Default for Size {
    fn default() -> Self {
        Self { clients: 8, nodes: 4, keys: 3, operations: 120 }
    }
}

/// An operation that has not returned, or a write that its client gave up.
#[derive(Debug, Clone, Copy)]
struct Open {
    operation: usize,
    node: usize,
    /// What was committed when it was invoked.
    committed: u64,
    /// Where a write stands.
    stands: Option<(Place, bool)>,
    given_up: bool,
}

struct World {
    random: Random,
    history: History,
    now_ns: u64,
    /// What each node has applied.
    applied: Vec<u64>,
    open: Vec<Open>,
    /// What each record held from which height on.
    values: BTreeMap<String, Vec<(u64, Value)>>,
}

impl World {
    fn version(&self, key: &str) -> u32 {
        self.values.get(key).and_then(|held| held.last()).map_or(0, |(_, value)| value.version)
    }

    fn value(&self, key: &str, height: u64) -> Option<Value> {
        let held = self.values.get(key)?;
        held.iter().rev().find(|(from, _)| *from <= height).map(|(_, value)| value.clone())
    }

    fn invoke(&mut self, client: u32, size: Size) {
        let number = self.history.operations.len();
        let node = usize::try_from(self.random.below(size.nodes)).unwrap_or(0);
        let key = format!("record-{}", self.random.below(size.keys));
        let action = match self.random.below(10) {
            0..4 => {
                let version = self.version(&key);
                // Some name a version that is gone, or not there yet.
                let expected = if self.random.chance(80) {
                    version
                } else {
                    (version + 1).saturating_sub(2 * u32::from(self.random.chance(70)))
                };
                Action::Write { id: format!("tx-{number}"), expected, text: format!("value-{number}") }
            }
            4..8 => Action::Read,
            _ => Action::ReadLocal,
        };
        self.open.push(Open { operation: number, node, committed: self.history.tip, stands: None, given_up: false });
        self.history.operations.push(Operation {
            client,
            node: format!("node-{node}"),
            key,
            invoked_ns: self.now_ns,
            returned_ns: u64::MAX,
            action,
            outcome: Outcome::Unknown,
        });
    }

    /// A block of some of the writes that are on their way, also of those whose clients gave up.
    fn commit(&mut self) {
        let height = self.history.tip + 1;
        let mut index = 0;
        for place in 0..self.open.len() {
            let open = self.open[place];
            let operation = &self.history.operations[open.operation];
            let Action::Write { id, expected, text } = operation.action.clone() else { continue };
            if open.stands.is_some() || self.random.chance(50) {
                continue;
            }
            let key = operation.key.clone();
            let version = self.version(&key);
            let applied = version == expected;
            if applied {
                let value = Value { version: version + 1, text: text.clone() };
                self.values.entry(key.clone()).or_default().push((height, value));
            }
            let stands = Place { height, index };
            self.history.chain.push(Entry { place: stands, id, key, expected, text, applied });
            self.open[place].stands = Some((stands, applied));
            index += 1;
        }
        self.history.tip = height;
    }

    fn end(&mut self, place: usize, outcome: Outcome) {
        let open = self.open[place];
        let operation = &mut self.history.operations[open.operation];
        operation.returned_ns = self.now_ns;
        let stays = outcome == Outcome::Unknown && open.stands.is_none();
        operation.outcome = outcome;
        if stays {
            self.open[place].given_up = true;
        } else {
            self.open.swap_remove(place);
        }
    }

    /// An open operation returns, if it can.
    fn give_back(&mut self) {
        let waiting: Vec<_> = (0..self.open.len()).filter(|place| !self.open[*place].given_up).collect();
        let Some(place) = self.random.pick(&waiting) else { return };
        let open = self.open[place];
        let operation = self.history.operations[open.operation].clone();
        let applied = self.applied[open.node];
        match (&operation.action, open.stands) {
            (Action::Write { .. }, _) if self.random.chance(5) => self.end(place, Outcome::Unknown),
            (Action::Write { .. }, None) if self.random.chance(3) => self.end(place, Outcome::Refused),
            (Action::Write { .. }, Some((stands, was_applied))) if applied >= stands.height => {
                self.end(place, Outcome::Acknowledged { place: stands, applied: was_applied });
            }
            (Action::Write { .. }, _) => {}
            (Action::Read, _) if self.random.chance(3) => self.end(place, Outcome::Refused),
            (Action::Read, _) if applied < open.committed => {}
            (Action::Read | Action::ReadLocal, _) => {
                let value = self.value(&operation.key, applied);
                self.end(place, Outcome::Found { height: applied, value });
            }
        }
    }

    fn step(&mut self, size: Size) {
        self.now_ns += 1 + self.random.below(1_000);
        match self.random.below(10) {
            0..4 => {
                let is_busy = |client: u32| {
                    self.open
                        .iter()
                        .any(|open| !open.given_up && self.history.operations[open.operation].client == client)
                };
                let idle: Vec<_> = (0..size.clients).filter(|client| !is_busy(*client)).collect();
                if let Some(client) = self.random.pick(&idle) {
                    self.invoke(client, size);
                }
            }
            4 => self.commit(),
            5 | 6 => {
                let node = usize::try_from(self.random.below(self.applied.len() as u64)).unwrap_or(0);
                let missing = self.history.tip - self.applied[node];
                self.applied[node] += self.random.below(missing + 1);
            }
            _ => self.give_back(),
        }
    }
}

/// A linearizable history.
#[must_use]
pub fn genuine(seed: u64, size: Size) -> History {
    let mut world = World {
        random: Random(seed),
        history: History::default(),
        now_ns: 0,
        applied: (0..size.nodes).map(|_| 0).collect(),
        open: Vec::new(),
        values: BTreeMap::new(),
    };
    while world.history.operations.len() < size.operations {
        world.step(size);
    }
    world.now_ns += 1;
    for open in &world.open {
        let operation = &mut world.history.operations[open.operation];
        if !open.given_up {
            operation.returned_ns = world.now_ns;
        }
    }
    world.history
}
