//! Making a history wrong in a known way: what each checker must reject. Each kind picks what it changes so that the
//! result is wrong for certain, whatever else the history holds.

use crate::{Action, Entry, History, Operation, Outcome, Place, Random, Value};

/// Which checkers reject it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caught {
    /// [`by_chain`](crate::by_chain): the operations alone could be right.
    ByChain,
    /// Both.
    ByBoth,
}

/// A way to be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Corruption {
    /// An acknowledged write is not on the chain.
    LostWrite,
    /// A write stands twice.
    DuplicatedWrite,
    /// Two acknowledgements name each other's places.
    SwappedAcknowledgements,
    /// An acknowledgement names the place beside its own.
    MisplacedAcknowledgement,
    /// Two writes to a record stand in the wrong order.
    ReorderedWrites,
    /// A write is applied that the rules refuse, or the other way round.
    WrongVerdict,
    /// A write that was refused is said to be applied: two replaced the same version.
    LostUpdate,
    /// A write that nobody sent stands on the chain.
    GhostWrite,
    /// A write stands on the chain after it was refused for good.
    RisenRefusal,
    /// A write of unknown outcome that somebody has seen is gone.
    VanishedWrite,
    /// A linearizable read finds what an acknowledged write had replaced before.
    StaleRead,
    /// A linearizable read finds nothing after an acknowledged write.
    ForgetfulRead,
    /// A linearizable read names a height below what was told before, with that height's true value.
    StaleHeight,
    /// Of two linearizable reads one after the other, the later finds the older value.
    BackwardReads,
    /// A read finds what is written only after it returned.
    FutureRead,
    /// A read finds what nobody wrote.
    InventedRead,
    /// A plain read finds another value than its height's.
    FalseLocalRead,
    /// A node answers as of a lower height than before, with that height's true value.
    NodeWentBack,
    /// A read names a height that was never reached.
    HeightBeyondTip,
    /// A read happened before the write that it found.
    TimeTravel,
    /// An answer comes before its question.
    BackwardClock,
}

impl Corruption {
    /// Every kind.
    pub const ALL: [Self; 21] = [
        Self::LostWrite,
        Self::DuplicatedWrite,
        Self::SwappedAcknowledgements,
        Self::MisplacedAcknowledgement,
        Self::ReorderedWrites,
        Self::WrongVerdict,
        Self::LostUpdate,
        Self::GhostWrite,
        Self::RisenRefusal,
        Self::VanishedWrite,
        Self::StaleRead,
        Self::ForgetfulRead,
        Self::StaleHeight,
        Self::BackwardReads,
        Self::FutureRead,
        Self::InventedRead,
        Self::FalseLocalRead,
        Self::NodeWentBack,
        Self::HeightBeyondTip,
        Self::TimeTravel,
        Self::BackwardClock,
    ];

    /// Which checkers reject it.
    #[must_use]
    pub fn caught(self) -> Caught {
        match self {
            Self::LostUpdate
            | Self::StaleRead
            | Self::ForgetfulRead
            | Self::BackwardReads
            | Self::FutureRead
            | Self::InventedRead
            | Self::TimeTravel
            | Self::BackwardClock => Caught::ByBoth,
            Self::LostWrite
            | Self::DuplicatedWrite
            | Self::SwappedAcknowledgements
            | Self::MisplacedAcknowledgement
            | Self::ReorderedWrites
            | Self::WrongVerdict
            | Self::GhostWrite
            | Self::RisenRefusal
            | Self::VanishedWrite
            | Self::StaleHeight
            | Self::FalseLocalRead
            | Self::NodeWentBack
            | Self::HeightBeyondTip => Caught::ByChain,
        }
    }

    /// Makes a history wrong; `None` where it holds nothing that can be wrong in this way.
    #[must_use]
    pub fn apply(self, history: &History, random: &mut Random) -> Option<History> {
        let mut corrupted = Corrupted { history: history.clone(), random };
        match self {
            Self::LostWrite => corrupted.lost_write(),
            Self::DuplicatedWrite => corrupted.duplicated_write(),
            Self::SwappedAcknowledgements => corrupted.swapped_acknowledgements(),
            Self::MisplacedAcknowledgement => corrupted.misplaced_acknowledgement(),
            Self::ReorderedWrites => corrupted.reordered_writes(),
            Self::WrongVerdict => corrupted.wrong_verdict(),
            Self::LostUpdate => corrupted.lost_update(),
            Self::GhostWrite => corrupted.ghost_write(),
            Self::RisenRefusal => corrupted.risen_refusal(),
            Self::VanishedWrite => corrupted.vanished_write(),
            Self::StaleRead => corrupted.stale_read(false),
            Self::ForgetfulRead => corrupted.stale_read(true),
            Self::StaleHeight => corrupted.stale_height(),
            Self::BackwardReads => corrupted.backward_reads(),
            Self::FutureRead => corrupted.future_read(),
            Self::InventedRead => corrupted.invented_read(),
            Self::FalseLocalRead => corrupted.false_local_read(),
            Self::NodeWentBack => corrupted.node_went_back(),
            Self::HeightBeyondTip => corrupted.height_beyond_tip(),
            Self::TimeTravel => corrupted.time_travel(),
            Self::BackwardClock => corrupted.backward_clock(),
        }?;
        Some(corrupted.history)
    }
}

/// What a read found, and as of which height.
fn found(operation: &Operation) -> Option<(u64, Option<&Value>)> {
    match &operation.outcome {
        Outcome::Found { height, value } => Some((*height, value.as_ref())),
        Outcome::Acknowledged { .. } | Outcome::Refused | Outcome::Unknown => None,
    }
}

/// A linearizable read's answer.
fn found_for_sure(operation: &Operation) -> Option<(u64, Option<&Value>)> {
    found(operation).filter(|_| operation.action == Action::Read)
}

/// Where an acknowledged write stands, and whether it was applied.
fn acknowledged(operation: &Operation) -> Option<(Place, bool)> {
    match operation.outcome {
        Outcome::Acknowledged { place, applied } => Some((place, applied)),
        Outcome::Refused | Outcome::Unknown | Outcome::Found { .. } => None,
    }
}

/// Up to which height an answer tells.
fn told(operation: &Operation) -> Option<u64> {
    acknowledged(operation).map(|(place, _)| place.height).or(found(operation).map(|(height, _)| height))
}

struct Corrupted<'random> {
    history: History,
    random: &'random mut Random,
}

impl Corrupted<'_> {
    /// One of the operations that fit.
    fn operation(&mut self, fits: impl Fn(&Operation) -> bool) -> Option<usize> {
        let fitting: Vec<_> =
            (0..self.history.operations.len()).filter(|number| fits(&self.history.operations[*number])).collect();
        self.random.pick(&fitting)
    }

    /// One of the pairs of operations that fit, the first returned before the second was invoked.
    fn pair(&mut self, fits: impl Fn(&Operation, &Operation) -> bool) -> Option<(usize, usize)> {
        let operations = &self.history.operations;
        let mut fitting = Vec::new();
        for (first, earlier) in operations.iter().enumerate() {
            for (second, later) in operations.iter().enumerate() {
                if earlier.returned_ns < later.invoked_ns && fits(earlier, later) {
                    fitting.push((first, second));
                }
            }
        }
        self.random.pick(&fitting)
    }

    /// Where a write stands on the chain.
    fn entry_of(&self, number: usize) -> Option<usize> {
        let Action::Write { id, .. } = &self.history.operations[number].action else { return None };
        self.history.chain.iter().position(|entry| entry.id == *id)
    }

    /// What a record held after a block.
    fn value(&self, key: &str, height: u64) -> Option<Value> {
        let of_key = |entry: &&Entry| entry.applied && entry.key == key && entry.place.height <= height;
        let last = self.history.chain.iter().rfind(of_key)?;
        Some(Value { version: last.expected + 1, text: last.text.clone() })
    }

    /// Has a read answer as of a height.
    fn answer(&mut self, number: usize, height: u64, value: Option<Value>) {
        self.history.operations[number].outcome = Outcome::Found { height, value };
    }

    fn append(&mut self, id: String, key: String, expected: u32, text: String) {
        self.history.tip += 1;
        let version = self.value(&key, u64::MAX).map_or(0, |value| value.version);
        let place = Place { height: self.history.tip, index: 0 };
        self.history.chain.push(Entry { place, id, key, expected, text, applied: version == expected });
    }

    fn lost_write(&mut self) -> Option<()> {
        let number = self.operation(|operation| acknowledged(operation).is_some())?;
        let entry = self.entry_of(number)?;
        self.history.chain.remove(entry);
        Some(())
    }

    fn duplicated_write(&mut self) -> Option<()> {
        let Entry { id, key, expected, text, .. } = self.random.pick(&self.history.chain)?;
        self.append(id, key, expected, text);
        Some(())
    }

    fn swapped_acknowledgements(&mut self) -> Option<()> {
        let one = self.operation(|operation| acknowledged(operation).is_some())?;
        let first = self.history.operations[one].outcome.clone();
        let other = self.operation(|operation| acknowledged(operation).is_some() && operation.outcome != first)?;
        self.history.operations[one].outcome = self.history.operations[other].outcome.clone();
        self.history.operations[other].outcome = first;
        Some(())
    }

    fn misplaced_acknowledgement(&mut self) -> Option<()> {
        let number = self.operation(|operation| acknowledged(operation).is_some())?;
        let by_height = self.random.chance(50);
        if let Outcome::Acknowledged { place, .. } = &mut self.history.operations[number].outcome {
            if by_height { place.height += 1 } else { place.index += 1 }
        }
        Some(())
    }

    fn reordered_writes(&mut self) -> Option<()> {
        let chain = &self.history.chain;
        let applied = |place: &usize| chain[*place].applied;
        let mut pairs = Vec::new();
        for first in (0..chain.len()).filter(applied) {
            let next = (first + 1..chain.len()).filter(applied).find(|second| chain[*second].key == chain[first].key);
            pairs.extend(next.map(|second| (first, second)));
        }
        let (first, second) = self.random.pick(&pairs)?;
        let chain = &mut self.history.chain;
        let (one, other) = (chain[first].clone(), chain[second].clone());
        chain[first] = Entry { place: one.place, ..other.clone() };
        chain[second] = Entry { place: other.place, ..one };
        Some(())
    }

    fn wrong_verdict(&mut self) -> Option<()> {
        let place = usize::try_from(self.random.below(self.history.chain.len() as u64)).ok()?;
        let entry = self.history.chain.get_mut(place)?;
        entry.applied = !entry.applied;
        let (id, now) = (entry.id.clone(), entry.applied);
        // Its client was told the same.
        for operation in &mut self.history.operations {
            if let (Action::Write { id: own, .. }, Outcome::Acknowledged { applied, .. }) =
                (&operation.action, &mut operation.outcome)
                && *own == id
            {
                *applied = now;
            }
        }
        Some(())
    }

    fn lost_update(&mut self) -> Option<()> {
        let operations = self.history.operations.clone();
        let replaced = |operation: &Operation| match operation.action {
            Action::Write { expected, .. } => Some((operation.key.clone(), expected)),
            Action::Read | Action::ReadLocal => None,
        };
        let number = self.operation(|operation| {
            acknowledged(operation).is_some_and(|(_, applied)| !applied)
                && operations.iter().any(|other| {
                    acknowledged(other).is_some_and(|(_, applied)| applied) && replaced(other) == replaced(operation)
                })
        })?;
        if let Outcome::Acknowledged { applied, .. } = &mut self.history.operations[number].outcome {
            *applied = true;
        }
        Some(())
    }

    fn ghost_write(&mut self) -> Option<()> {
        let entry = self.random.pick(&self.history.chain)?;
        let version = self.value(&entry.key, u64::MAX).map_or(0, |value| value.version);
        self.append("tx-ghost".to_owned(), entry.key, version, "ghost".to_owned());
        Some(())
    }

    fn risen_refusal(&mut self) -> Option<()> {
        let number = self.operation(|operation| {
            matches!((&operation.action, &operation.outcome), (Action::Write { .. }, Outcome::Refused))
        })?;
        let operation = self.history.operations[number].clone();
        let Action::Write { id, expected, text } = operation.action else { return None };
        self.append(id, operation.key, expected, text);
        Some(())
    }

    fn vanished_write(&mut self) -> Option<()> {
        let operations = self.history.operations.clone();
        let number = self.operation(|operation| {
            let Action::Write { text, .. } = &operation.action else { return false };
            let saw =
                |other: &Operation| found(other).is_some_and(|(_, value)| value.is_some_and(|it| it.text == *text));
            operation.outcome == Outcome::Unknown && operations.iter().any(saw)
        })?;
        let entry = self.entry_of(number)?;
        self.history.chain.remove(entry);
        Some(())
    }

    fn stale_read(&mut self, finds_nothing: bool) -> Option<()> {
        let (write, read) = self.pair(|write, read| {
            let applied = acknowledged(write).is_some_and(|(_, applied)| applied);
            applied && found_for_sure(read).is_some() && write.key == read.key
        })?;
        let (place, _) = acknowledged(&self.history.operations[write])?;
        let height = if finds_nothing { 0 } else { place.height - 1 };
        let value = self.value(&self.history.operations[read].key, height);
        self.answer(read, height, value);
        Some(())
    }

    fn stale_height(&mut self) -> Option<()> {
        let (earlier, read) = self
            .pair(|earlier, read| told(earlier).is_some_and(|height| height > 0) && found_for_sure(read).is_some())?;
        let height = told(&self.history.operations[earlier])? - 1;
        let value = self.value(&self.history.operations[read].key, height);
        self.answer(read, height, value);
        Some(())
    }

    fn backward_reads(&mut self) -> Option<()> {
        let (first, second) = self.pair(|first, second| match (found_for_sure(first), found_for_sure(second)) {
            (Some((_, before)), Some((_, after))) => first.key == second.key && before != after,
            _ => false,
        })?;
        let outcome = self.history.operations[first].outcome.clone();
        self.history.operations[first].outcome = self.history.operations[second].outcome.clone();
        self.history.operations[second].outcome = outcome;
        Some(())
    }

    fn future_read(&mut self) -> Option<()> {
        let (read, write) = self.pair(|read, write| {
            let applied = acknowledged(write).is_some_and(|(_, applied)| applied);
            applied && found_for_sure(read).is_some() && write.key == read.key
        })?;
        let (place, _) = acknowledged(&self.history.operations[write])?;
        let entry = self.history.chain[self.entry_of(write)?].clone();
        self.answer(read, place.height, Some(Value { version: entry.expected + 1, text: entry.text }));
        Some(())
    }

    fn invented_read(&mut self) -> Option<()> {
        let number = self.operation(|operation| found_for_sure(operation).is_some())?;
        let (height, value) = found(&self.history.operations[number])?;
        let version = value.map_or(1, |value| value.version);
        self.answer(number, height, Some(Value { version, text: "invented".to_owned() }));
        Some(())
    }

    fn false_local_read(&mut self) -> Option<()> {
        let number = self.operation(|operation| operation.action == Action::ReadLocal && found(operation).is_some())?;
        let (height, value) = found(&self.history.operations[number])?;
        let version = value.map_or(0, |value| value.version);
        let key = &self.history.operations[number].key;
        let other = |entry: &&Entry| entry.applied && entry.key == *key && entry.expected + 1 != version;
        let others: Vec<_> = self.history.chain.iter().filter(other).cloned().collect();
        let entry = self.random.pick(&others)?;
        self.answer(number, height, Some(Value { version: entry.expected + 1, text: entry.text }));
        Some(())
    }

    fn node_went_back(&mut self) -> Option<()> {
        let (earlier, read) = self.pair(|earlier, read| {
            earlier.node == read.node
                && told(earlier).is_some_and(|height| height > 0)
                && read.action == Action::ReadLocal
                && found(read).is_some()
        })?;
        let height = told(&self.history.operations[earlier])? - 1;
        let value = self.value(&self.history.operations[read].key, height);
        self.answer(read, height, value);
        Some(())
    }

    fn height_beyond_tip(&mut self) -> Option<()> {
        let number = self.operation(|operation| found(operation).is_some())?;
        let value = found(&self.history.operations[number])?.1.cloned();
        let height = self.history.tip + 1 + self.random.below(5);
        self.answer(number, height, value);
        Some(())
    }

    fn time_travel(&mut self) -> Option<()> {
        let operations = self.history.operations.clone();
        // By a write that somebody has seen for sure.
        let saw = |write: &Operation| {
            let Action::Write { text, .. } = &write.action else { return None };
            operations.iter().position(|read| {
                found_for_sure(read).is_some_and(|(_, value)| value.is_some_and(|value| value.text == *text))
            })
        };
        let write =
            self.operation(|write| acknowledged(write).is_some() && write.invoked_ns > 1 && saw(write).is_some())?;
        let read = saw(&operations[write])?;
        let before = operations[write].invoked_ns;
        let read = &mut self.history.operations[read];
        (read.invoked_ns, read.returned_ns) = (before - 2, before - 1);
        Some(())
    }

    fn backward_clock(&mut self) -> Option<()> {
        let number = self.operation(|operation| operation.invoked_ns > 0)?;
        let operation = &mut self.history.operations[number];
        operation.returned_ns = operation.invoked_ns - 1;
        Some(())
    }
}
