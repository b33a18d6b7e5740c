//! Checks the operations of a history without the chain and without heights: for each record, is there an order of its
//! writes and linearizable reads that explains every answer and respects real time? (Wing and Gong 1993; records are
//! checked one by one, as linearizability is local: Herlihy and Wing 1990.)
//!
//! The search goes through time once (Lowe 2017, "just-in-time linearization"): an operation takes effect no sooner than
//! some return needs it, so that what is looked at is the window of operations that are open at a time. What it holds
//! are configurations: a state that the record may have, and which open operations have taken effect for it. Two facts keep
//! them few. An operation that changes nothing (a read, a refused write) loses nothing by taking effect as soon as its
//! answer is right. And a write of unknown outcome can only take effect while the record has the version that it names,
//! which never comes back.

use std::collections::{BTreeMap, HashSet};

use crate::{Action, History, Operation, Outcome, Value};

/// Configurations that are held at once before the search gives up.
const CONFIGURATIONS_MAX: usize = 100_000;

/// What is wrong. Operations are named by their place in [`History::operations`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// No order explains the answers up to this one.
    #[error("no order of the operations on {key} explains the answer of operation {operation}")]
    NoOrder {
        /// The record.
        key: String,
        /// The operation at whose return nothing was left.
        operation: usize,
    },
    /// Too many orders are possible to tell.
    #[error("more than {CONFIGURATIONS_MAX} orders of the operations on {key} are possible at operation {operation}")]
    Undecided {
        /// The record.
        key: String,
        /// The operation at whose return the search gave up.
        operation: usize,
    },
    /// An answer before its question.
    #[error("operation {0} returned before it was invoked")]
    Clock(usize),
    /// An answer that does not fit the question.
    #[error("operation {0} has an answer of another kind")]
    Kind(usize),
}

/// What an operation does when it takes effect.
#[derive(Debug, Clone, Copy)]
enum Effect<'history> {
    /// Replaces a version. `returns` says whether it is known to have.
    Replace { expected: u32, text: &'history str, returns: bool },
    /// Finds another version than it names.
    Miss { expected: u32 },
    /// Finds a value.
    Find { value: Option<(u32, &'history str)> },
}

/// A record's version and text; version 0 before the first write.
type State<'history> = (u32, &'history str);

/// A state that the record may have, and the open operations that have taken effect for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Configuration<'history> {
    state: State<'history>,
    /// Ascending.
    done: Vec<usize>,
}

impl Configuration<'_> {
    fn finish(&mut self, operation: usize) {
        if let Err(place) = self.done.binary_search(&operation) {
            self.done.insert(place, operation);
        }
    }

    fn has_done(&self, operation: usize) -> bool {
        self.done.binary_search(&operation).is_ok()
    }
}

/// What an operation does, if the search has to do with it.
fn effect(number: usize, operation: &Operation) -> Result<Option<Effect<'_>>, Violation> {
    Ok(match (&operation.action, &operation.outcome) {
        (Action::Write { expected, text, .. }, Outcome::Acknowledged { applied: true, .. }) => {
            Some(Effect::Replace { expected: *expected, text, returns: true })
        }
        (Action::Write { expected, text, .. }, Outcome::Unknown) => {
            Some(Effect::Replace { expected: *expected, text, returns: false })
        }
        (Action::Write { expected, .. }, Outcome::Acknowledged { applied: false, .. }) => {
            Some(Effect::Miss { expected: *expected })
        }
        (Action::Read, Outcome::Found { value, .. }) => {
            let value = value.as_ref().map(|Value { version, text }| (*version, text.as_str()));
            Some(Effect::Find { value })
        }
        (Action::Read | Action::ReadLocal, Outcome::Refused | Outcome::Unknown)
        | (Action::ReadLocal, Outcome::Found { .. })
        | (Action::Write { .. }, Outcome::Refused) => None,
        (Action::Write { .. }, Outcome::Found { .. })
        | (Action::Read | Action::ReadLocal, Outcome::Acknowledged { .. }) => return Err(Violation::Kind(number)),
    })
}

/// One record's search.
struct Search<'history> {
    key: &'history str,
    /// Open operations by number, with their effects; writes of unknown outcome stay open.
    open: BTreeMap<usize, Effect<'history>>,
    configurations: HashSet<Configuration<'history>>,
}

impl<'history> Search<'history> {
    fn new(key: &'history str) -> Self {
        let begin = Configuration { state: (0, ""), done: Vec::new() };
        Self { key, open: BTreeMap::new(), configurations: HashSet::from([begin]) }
    }

    /// Whether an operation that changes nothing has the right answer in a state.
    fn is_right(effect: &Effect<'_>, state: State<'_>) -> bool {
        match effect {
            Effect::Replace { .. } => false,
            Effect::Miss { expected } => *expected != state.0,
            Effect::Find { value } => value.unwrap_or((0, "")) == state,
        }
    }

    /// Lets every open operation take effect that changes nothing and is right.
    fn settle(&self, configuration: &mut Configuration<'history>) {
        for (number, effect) in &self.open {
            if Self::is_right(effect, configuration.state) {
                configuration.finish(*number);
            }
        }
    }

    fn invoke(&mut self, number: usize, effect: Effect<'history>) {
        self.open.insert(number, effect);
        if let Effect::Replace { .. } = effect {
            return;
        }
        self.configurations = std::mem::take(&mut self.configurations)
            .into_iter()
            .map(|mut configuration| {
                self.settle(&mut configuration);
                configuration
            })
            .collect();
    }

    /// The configurations that one more write makes of one.
    fn steps(&self, configuration: &Configuration<'history>) -> Vec<Configuration<'history>> {
        let mut next = Vec::new();
        for (number, effect) in &self.open {
            let Effect::Replace { expected, text, returns } = *effect else { continue };
            if expected != configuration.state.0 || configuration.has_done(*number) {
                continue;
            }
            let mut after = configuration.clone();
            after.state = (expected + 1, text);
            if returns {
                after.finish(*number);
            }
            self.settle(&mut after);
            next.push(after);
        }
        next
    }

    /// An operation has returned: only configurations remain in which it has taken effect, if need be after others.
    fn finish(&mut self, number: usize) -> Result<(), Violation> {
        let mut remaining = HashSet::new();
        let mut seen = HashSet::new();
        let mut examined: Vec<_> = std::mem::take(&mut self.configurations).into_iter().collect();
        while let Some(mut configuration) = examined.pop() {
            if let Ok(place) = configuration.done.binary_search(&number) {
                configuration.done.remove(place);
                remaining.insert(configuration);
            } else {
                for next in self.steps(&configuration) {
                    if seen.insert(next.clone()) {
                        examined.push(next);
                    }
                }
            }
            if remaining.len() + seen.len() > CONFIGURATIONS_MAX {
                return Err(Violation::Undecided { key: self.key.to_owned(), operation: number });
            }
        }
        self.open.remove(&number);
        self.configurations = remaining;
        let Some(lowest) = self.configurations.iter().map(|configuration| configuration.state.0).min() else {
            return Err(Violation::NoOrder { key: self.key.to_owned(), operation: number });
        };
        // What names a version that is gone in every configuration will not take effect any more.
        self.open.retain(
            |_, effect| !matches!(effect, Effect::Replace { expected, returns: false, .. } if *expected < lowest),
        );
        Ok(())
    }
}

/// Checks a history.
///
/// # Errors
/// The first [`Violation`] of the first record that has one.
pub fn check(history: &History) -> Result<(), Violation> {
    let mut by_key: BTreeMap<&str, Vec<(usize, &Operation, Effect<'_>)>> = BTreeMap::new();
    for (number, operation) in history.operations.iter().enumerate() {
        if operation.returned_ns < operation.invoked_ns {
            return Err(Violation::Clock(number));
        }
        if let Some(effect) = effect(number, operation)? {
            by_key.entry(&operation.key).or_default().push((number, operation, effect));
        }
    }
    by_key.into_iter().try_for_each(|(key, operations)| check_one(key, &operations))
}

/// Checks the operations on one record.
fn check_one<'history>(
    key: &'history str,
    operations: &[(usize, &'history Operation, Effect<'history>)],
) -> Result<(), Violation> {
    // At the same moment questions come before answers: then neither came first.
    let mut events: Vec<(u64, bool, usize, Effect<'_>)> = Vec::with_capacity(2 * operations.len());
    for (number, operation, effect) in operations {
        events.push((operation.invoked_ns, false, *number, *effect));
        if !matches!(effect, Effect::Replace { returns: false, .. }) {
            events.push((operation.returned_ns, true, *number, *effect));
        }
    }
    events.sort_by_key(|(time, returns, number, _)| (*time, *returns, *number));
    let mut search = Search::new(key);
    for (_, returns, number, effect) in events {
        if returns {
            search.finish(number)?;
        } else {
            search.invoke(number, effect);
        }
    }
    Ok(())
}
