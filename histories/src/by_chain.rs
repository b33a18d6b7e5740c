//! Checks a history against the chain that came of it, in O(n log n).
//!
//! The chain is a total order of the writes; what is left to check is that it explains every answer (a write's place and
//! verdict, a read's value at its height) and that it extends real time: what had returned before another operation was
//! invoked stands before it. By the theorem of Herlihy and Wing (1990) a history whose operations have such an order is
//! linearizable. Reads that are not linearizable are only held to be true of the height that they name, not to tell of the
//! future, and not to go back at the node that was asked.

use std::collections::HashMap;

use crate::{Action, Entry, History, Operation, Outcome, Place, Value};

/// What is wrong. Operations are named by their place in [`History::operations`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The chain does not stand in order.
    #[error("the chain's entry at {0:?} does not stand after the one before it")]
    ChainOrder(Place),
    /// A transaction stands twice.
    #[error("{id} stands on the chain at {first:?} and at {again:?}")]
    Twice {
        /// The transaction.
        id: String,
        /// Where it stands first.
        first: Place,
        /// And where again.
        again: Place,
    },
    /// The rules did not do what they say.
    #[error("the write at {0:?} should have been judged otherwise by what the record held")]
    Verdict(Place),
    /// The chain holds a write that no client sent, or not so.
    #[error("the write at {0:?} was never sent like this")]
    NeverSent(Place),
    /// A write that was refused for good stands on the chain.
    #[error("operation {operation} was refused and stands on the chain at {place:?}")]
    Refused {
        /// The operation.
        operation: usize,
        /// Where it stands.
        place: Place,
    },
    /// An acknowledged write is not where it was said to be.
    #[error("operation {operation} was acknowledged at {acknowledged:?} (applied: {applied}); the chain has {found:?}")]
    Lost {
        /// The operation.
        operation: usize,
        /// Where it was said to stand.
        acknowledged: Place,
        /// What was said to have become of it.
        applied: bool,
        /// Where it stands.
        found: Option<Place>,
    },
    /// A read found what was not there at its height.
    #[error("operation {operation} found {found:?} at height {height}, where the chain has {expected:?}")]
    WrongValue {
        /// The operation.
        operation: usize,
        /// The height that its answer names.
        height: u64,
        /// What it found.
        found: Option<Value>,
        /// What was there.
        expected: Option<Value>,
    },
    /// A read names a height that the chain has not reached afterwards.
    #[error("operation {operation} names the height {height}, the chain ends at {tip}")]
    BeyondTip {
        /// The operation.
        operation: usize,
        /// The height that its answer names.
        height: u64,
        /// Where the chain ends.
        tip: u64,
    },
    /// An operation does not stand after what had returned before it was invoked.
    #[error(
        "operation {operation} stands at {stands:?}, not after {seen:?}, of which somebody knew before it was invoked"
    )]
    RealTime {
        /// The operation.
        operation: usize,
        /// Where it stands; a read behind all of its block.
        stands: Place,
        /// The last place that anybody had been told of.
        seen: Place,
    },
    /// A node went back.
    #[error(
        "operation {operation} was answered as of height {height}, after the same node had answered as of {before}"
    )]
    WentBack {
        /// The operation.
        operation: usize,
        /// The height that its answer names.
        height: u64,
        /// What an earlier answer named.
        before: u64,
    },
    /// An answer before its question.
    #[error("operation {0} returned before it was invoked")]
    Clock(usize),
    /// An answer that does not fit the question.
    #[error("operation {0} has an answer of another kind")]
    Kind(usize),
}

/// A place behind all of a block: where a read at that height stands.
fn behind(height: u64) -> Place {
    Place { height, index: u32::MAX }
}

/// What the chain says.
struct Chain<'history> {
    entries: HashMap<&'history str, &'history Entry>,
    /// What each record held from which height on, in ascending order.
    values: HashMap<&'history str, Vec<(u64, Value)>>,
}

impl<'history> Chain<'history> {
    /// Goes through the chain once: order, uniqueness, verdicts.
    fn read(chain: &'history [Entry]) -> Result<Self, Violation> {
        let mut entries: HashMap<&str, &Entry> = HashMap::with_capacity(chain.len());
        let mut values: HashMap<&str, Vec<(u64, Value)>> = HashMap::new();
        let mut last = None;
        for entry in chain {
            if last.is_some_and(|last| last >= entry.place) {
                return Err(Violation::ChainOrder(entry.place));
            }
            last = Some(entry.place);
            if let Some(first) = entries.insert(&entry.id, entry) {
                return Err(Violation::Twice { id: entry.id.clone(), first: first.place, again: entry.place });
            }
            let held = values.entry(&entry.key).or_default();
            let version = held.last().map_or(0, |(_, value)| value.version);
            if entry.applied != (version == entry.expected) {
                return Err(Violation::Verdict(entry.place));
            }
            if entry.applied {
                held.push((entry.place.height, Value { version: version + 1, text: entry.text.clone() }));
            }
        }
        Ok(Self { entries, values })
    }

    /// What a record held after a block.
    fn value(&self, key: &str, height: u64) -> Option<&Value> {
        let held = self.values.get(key)?;
        let count = held.partition_point(|(from, _)| *from <= height);
        Some(&held.get(count.checked_sub(1)?)?.1)
    }
}

/// Checks a history.
///
/// # Errors
/// The first [`Violation`].
pub fn check(history: &History) -> Result<(), Violation> {
    let chain = Chain::read(&history.chain)?;
    all_were_sent(history)?;
    for (number, operation) in history.operations.iter().enumerate() {
        if operation.returned_ns < operation.invoked_ns {
            return Err(Violation::Clock(number));
        }
        answer_is_true(&chain, history.tip, number, operation)?;
    }
    order_extends_real_time(&chain, &history.operations)?;
    nodes_do_not_go_back(&history.operations)
}

/// Each write of the chain was sent by somebody, with that content.
fn all_were_sent(history: &History) -> Result<(), Violation> {
    let mut sent = HashMap::new();
    for operation in &history.operations {
        if let Action::Write { id, expected, text } = &operation.action {
            sent.insert(id.as_str(), (operation.key.as_str(), *expected, text.as_str()));
        }
    }
    let was_sent = |entry: &&Entry| sent.get(entry.id.as_str()) == Some(&(&entry.key, entry.expected, &entry.text));
    match history.chain.iter().find(|entry| !was_sent(entry)) {
        Some(entry) => Err(Violation::NeverSent(entry.place)),
        None => Ok(()),
    }
}

/// An answer is what the chain says at its place or height.
fn answer_is_true(chain: &Chain<'_>, tip: u64, number: usize, operation: &Operation) -> Result<(), Violation> {
    match (&operation.action, &operation.outcome) {
        (Action::Write { id, .. }, Outcome::Acknowledged { place, applied }) => {
            let found = chain.entries.get(id.as_str());
            if found.is_some_and(|entry| (entry.place, entry.applied) == (*place, *applied)) {
                return Ok(());
            }
            let found = found.map(|entry| entry.place);
            Err(Violation::Lost { operation: number, acknowledged: *place, applied: *applied, found })
        }
        (Action::Write { id, .. }, Outcome::Refused) => match chain.entries.get(id.as_str()) {
            Some(entry) => Err(Violation::Refused { operation: number, place: entry.place }),
            None => Ok(()),
        },
        (Action::Write { .. }, Outcome::Unknown)
        | (Action::Read | Action::ReadLocal, Outcome::Refused | Outcome::Unknown) => Ok(()),
        (Action::Read | Action::ReadLocal, Outcome::Found { height, value }) => {
            if *height > tip {
                return Err(Violation::BeyondTip { operation: number, height: *height, tip });
            }
            let expected = chain.value(&operation.key, *height);
            if expected == value.as_ref() {
                return Ok(());
            }
            let (found, expected) = (value.clone(), expected.cloned());
            Err(Violation::WrongValue { operation: number, height: *height, found, expected })
        }
        (Action::Write { .. }, Outcome::Found { .. })
        | (Action::Read | Action::ReadLocal, Outcome::Acknowledged { .. }) => Err(Violation::Kind(number)),
    }
}

/// Up to where an operation's answer tells of the chain.
fn told(operation: &Operation) -> Option<Place> {
    match &operation.outcome {
        Outcome::Acknowledged { place, .. } => Some(*place),
        Outcome::Found { height, .. } => Some(behind(*height)),
        Outcome::Refused | Outcome::Unknown => None,
    }
}

/// Where an operation stands, if it is held to real time: writes wherever they stand on the chain, whether their client
/// knows or not; linearizable reads behind their block.
fn stands(chain: &Chain<'_>, operation: &Operation) -> Option<Place> {
    match (&operation.action, &operation.outcome) {
        (Action::Write { id, .. }, _) => chain.entries.get(id.as_str()).map(|entry| entry.place),
        (Action::Read, Outcome::Found { height, .. }) => Some(behind(*height)),
        (Action::Read | Action::ReadLocal, _) => None,
    }
}

/// Operation numbers in ascending order of a time.
fn sorted(operations: &[Operation], time: impl Fn(&Operation) -> u64) -> Vec<usize> {
    let mut numbers: Vec<_> = (0..operations.len()).collect();
    numbers.sort_by_key(|number| time(&operations[*number]));
    numbers
}

/// Whoever was invoked after something had been told of stands behind that: a write strictly, a linearizable read in the
/// same block or after it.
fn order_extends_real_time(chain: &Chain<'_>, operations: &[Operation]) -> Result<(), Violation> {
    let mut returned = sorted(operations, |operation| operation.returned_ns).into_iter().peekable();
    let mut seen: Option<Place> = None;
    for number in sorted(operations, |operation| operation.invoked_ns) {
        let operation = &operations[number];
        while let Some(earlier) = returned.next_if(|earlier| operations[*earlier].returned_ns < operation.invoked_ns) {
            seen = seen.max(told(&operations[earlier]));
        }
        let (Some(stands), Some(seen)) = (stands(chain, operation), seen) else { continue };
        let follows = match operation.action {
            Action::Write { .. } => stands > seen,
            Action::Read | Action::ReadLocal => stands >= seen,
        };
        if !follows {
            return Err(Violation::RealTime { operation: number, stands, seen });
        }
    }
    Ok(())
}

/// A node that has answered as of a height answers as of no lower one afterwards.
fn nodes_do_not_go_back(operations: &[Operation]) -> Result<(), Violation> {
    let mut returned = sorted(operations, |operation| operation.returned_ns).into_iter().peekable();
    let mut seen: HashMap<&str, u64> = HashMap::new();
    for number in sorted(operations, |operation| operation.invoked_ns) {
        let operation = &operations[number];
        while let Some(earlier) = returned.next_if(|earlier| operations[*earlier].returned_ns < operation.invoked_ns) {
            let earlier = &operations[earlier];
            if let Some(place) = told(earlier) {
                let highest = seen.entry(&earlier.node).or_default();
                *highest = place.height.max(*highest);
            }
        }
        let Outcome::Found { height, .. } = &operation.outcome else { continue };
        if let Some(before) = seen.get(operation.node.as_str()).filter(|before| *before > height) {
            return Err(Violation::WentBack { operation: number, height: *height, before: *before });
        }
    }
    Ok(())
}
