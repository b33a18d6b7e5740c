//! Frames on their way, and links that are cut.

use std::collections::{BTreeMap, BTreeSet};

use crate::node::Frame;

/// A frame on its way.
pub(crate) struct Letter {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) frame: Frame,
    /// How often the receiver had started when it was sent: frames between orderers do not outlive their connection.
    pub(crate) starts: u64,
    /// How often the sender had.
    pub(crate) sent_by: u64,
    /// Nobody honest made it.
    pub(crate) hostile: bool,
}

#[derive(Default)]
pub(crate) struct Network {
    sequence: u64,
    /// By the step at which they arrive, then in the order sent.
    on_the_way: BTreeMap<(u64, u64), Letter>,
    /// From whom to whom nothing comes through.
    cut: BTreeSet<(usize, usize)>,
    pub(crate) cut_until: u64,
    /// By receiver and sender: how often the sender had started, in what was heard of it last.
    heard: BTreeMap<(usize, usize), u64>,
}

impl Network {
    pub(crate) fn put(&mut self, due: u64, letter: Letter) {
        self.sequence += 1;
        self.on_the_way.insert((due, self.sequence), letter);
    }

    /// Everything that arrives up to this step.
    pub(crate) fn take_due(&mut self, step: u64) -> Vec<Letter> {
        let later = self.on_the_way.split_off(&(step + 1, 0));
        std::mem::replace(&mut self.on_the_way, later).into_values().collect()
    }

    /// Whether the letter is of a life of its sender before one that its receiver has heard of: a node's new connection ends
    /// those of its former process.
    pub(crate) fn is_superseded(&mut self, letter: &Letter) -> bool {
        let heard = self.heard.entry((letter.to, letter.from)).or_default();
        *heard = letter.sent_by.max(*heard);
        letter.sent_by < *heard
    }

    pub(crate) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut.contains(&(from, to))
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.cut.is_empty()
    }

    /// Cuts links until a step.
    pub(crate) fn cut(&mut self, links: impl IntoIterator<Item = (usize, usize)>, until: u64) {
        self.cut.extend(links);
        self.cut_until = until;
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }
}
