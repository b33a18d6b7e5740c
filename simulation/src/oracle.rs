//! What must hold after every event, between all nodes: checked on what each node shows, and remembered independently of
//! it.
//!
//! Election safety (one leader a term), committed entries never change (state machine safety, log matching for what is
//! committed), leader completeness (who leads anew knows every committed entry), one header a height, each transaction at
//! most once, nobody votes in ordering who never was in the voter set under that number, one valid certificate a height by that height's own voters, the end of each epoch certified by itself, the log cut
//! only below durable, applied and certified blocks. Names of the Raft properties: Ongaro, Ousterhout, "In Search of an
//! Understandable Consensus Algorithm" (USENIX ATC 2014), figure 3.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use galen_chain::OrderedBatch;
use galen_consensus::{RaftId, Role};
use galen_types::hash::Context;
use galen_types::{BlockHeader, DecodedTransaction, Hash, TransactionId, VoterSet};

use crate::cluster::Cluster;
use crate::node::{Frame, Node};

/// Frames remembered, so that hostile peers can alter them.
const HEARD_KEPT: usize = 64;

/// What all nodes showed so far.
#[derive(Default)]
pub(crate) struct Oracle {
    leaders: BTreeMap<u64, RaftId>,
    /// Ordered entries: term and hash of the bytes, by index.
    entries: BTreeMap<u64, (u64, Hash)>,
    headers: BTreeMap<u64, (Hash, BlockHeader)>,
    /// Voters by epoch.
    voters: BTreeMap<u64, VoterSet>,
    transactions: BTreeMap<TransactionId, (u64, usize)>,
    /// Numbers in ordering of nodes that were in the voter set under them.
    voted: BTreeSet<RaftId>,
    nodes: BTreeMap<usize, Shown>,
    pub(crate) checks: BTreeMap<&'static str, u64>,
    /// Everything that was delivered.
    hasher: blake3::Hasher,
    pub(crate) events: u64,
    heard: VecDeque<Vec<u8>>,
    /// The ordering index of the last recovery's block: logs begin there without a certificate.
    recovered_at: u64,
}

/// What a node showed when it was last looked at.
#[derive(Default, Clone, Copy)]
struct Shown {
    starts: u64,
    height: u64,
    certified: u64,
    term: u64,
    commit: u64,
    leads: u64,
    snapshot: u64,
}

impl Oracle {
    /// Takes a delivered frame into the trace.
    pub(crate) fn trace(&mut self, step: u64, from: usize, to: usize, frame: &Frame) {
        let bytes = frame.bytes();
        self.events += 1;
        for number in [step, from as u64, to as u64, bytes.len() as u64] {
            self.hasher.update(&number.to_le_bytes());
        }
        self.hasher.update(&bytes);
        if matches!(frame, Frame::Raft(..)) {
            self.heard.push_back(bytes[8..].to_vec());
            if self.heard.len() > HEARD_KEPT {
                self.heard.pop_front();
            }
        }
    }

    /// One of the last frames between orderers.
    pub(crate) fn heard(&self, pick: u64) -> Option<Vec<u8>> {
        let place = usize::try_from(pick % (self.heard.len().max(1) as u64)).ok()?;
        self.heard.get(place).cloned()
    }

    /// Stands for everything that was delivered.
    pub(crate) fn trace_hash(&self) -> Hash {
        Hash(*self.hasher.finalize().as_bytes())
    }

    /// Takes the last header, and with it the last state, into the trace.
    pub(crate) fn trace_end(&mut self, tip: &Hash) {
        self.hasher.update(tip.as_bytes());
    }

    fn checked(&mut self, what: &'static str) {
        *self.checks.entry(what).or_default() += 1;
    }

    /// A recovery keeps blocks up to `height`, whose entry is `index`: what stood beyond was given up.
    pub(crate) fn branch(&mut self, height: u64, index: u64) {
        self.leaders.clear();
        self.entries.retain(|entry, _| *entry <= index);
        self.headers.retain(|header, _| *header <= height);
        self.transactions.retain(|_, place| place.0 <= height);
        let epoch = self.headers.get(&height).map_or(0, |(_, header)| galen_ledger::next_epoch(header));
        self.voters.retain(|known, _| *known <= epoch);
        self.nodes.clear();
        self.recovered_at = index + 1;
    }

    /// Forgets what a node showed: its disk is another.
    pub(crate) fn forget(&mut self, place: usize) {
        self.nodes.remove(&place);
    }

    /// An entry that a node is to execute.
    pub(crate) fn ordered(&mut self, node: &str, batch: &OrderedBatch) {
        let entry = (batch.term, Hash::of(Context::Commitment, &batch.bytes));
        let known = *self.entries.entry(batch.index).or_insert(entry);
        assert_eq!(known, entry, "{node} orders another entry at index {}", batch.index);
        self.checked("committed entries never change");
    }

    /// These numbers are the voters' after some block.
    pub(crate) fn voted(&mut self, numbers: Vec<RaftId>) {
        self.voted.extend(numbers);
    }

    /// Looks at a node after an event.
    pub(crate) fn look(&mut self, node: &Node) {
        let mut shown = self.nodes.get(&node.place).copied().unwrap_or_default();
        if shown.starts != node.starts {
            shown = Shown { starts: node.starts, term: shown.term, ..Shown::default() };
            if node.new_number {
                shown.term = 0;
            }
        }
        self.look_at_ordering(node, &mut shown);
        self.look_at_chain(node, &mut shown);
        self.nodes.insert(node.place, shown);
    }

    fn look_at_ordering(&mut self, node: &Node, shown: &mut Shown) {
        let Some(orderer) = node.orderer() else { return };
        let (role, status) = (orderer.role(), orderer.status());
        assert!(status.commit >= shown.commit, "{}: the commit index fell", node.name);
        shown.commit = status.commit;
        for number in &status.membership.voters {
            assert!(self.voted.contains(number), "{}: {number} votes in ordering, never by the chain", node.name);
        }
        if role.role == Role::Leader && shown.leads != role.term {
            shown.leads = role.term;
            let known = *self.leaders.entry(role.term).or_insert(status.id);
            assert_eq!(known, status.id, "two leaders in term {}", role.term);
            self.checked("one leader a term");
            let committed = self.entries.last_key_value().map_or(0, |(index, _)| *index);
            assert!(status.last >= committed, "{} leads without the committed entry {committed}", node.name);
            self.checked("a leader holds what is committed");
        }
        if status.snapshot > shown.snapshot {
            shown.snapshot = status.snapshot;
            let ledger = node.executor().ledger();
            let view = ledger.view().unwrap();
            let safe = ledger.durable_height().min(ledger.certified_height());
            let index = view.header(safe).unwrap().map_or(0, |header| header.raft_index);
            let cut = status.snapshot;
            assert!(cut <= index.max(self.recovered_at), "{}: log cut at {cut}, safe up to {index}", node.name);
            self.checked("the log is cut below certified and durable blocks");
        }
    }

    fn look_at_chain(&mut self, node: &Node, shown: &mut Shown) {
        let executor = node.executor();
        let (ledger, tip) = (executor.ledger(), executor.tip().height);
        let certified = ledger.certified_height();
        if tip == shown.height && certified == shown.certified {
            return;
        }
        let view = ledger.view().unwrap();
        self.voters.entry(0).or_insert_with(|| view.voter_set(0).unwrap().unwrap());
        for height in shown.height.min(tip) + 1..=tip {
            let header = view.header(height).unwrap().unwrap();
            let hash = header.hash();
            match self.headers.get(&height) {
                Some((known, _)) => assert_eq!(*known, hash, "{} has another block at height {height}", node.name),
                None => {
                    for (place, bytes) in view.block(height).unwrap().unwrap().transactions.into_iter().enumerate() {
                        let id = DecodedTransaction::decode(bytes, 1 << 20).unwrap().id;
                        let before = self.transactions.insert(id, (height, place));
                        assert_eq!(before, None, "{id} stands twice");
                    }
                    for epoch in [header.epoch, galen_ledger::next_epoch(&header)] {
                        let set = view.voter_set(epoch).unwrap();
                        let known = self.voters.entry(epoch).or_insert_with(|| set.clone().unwrap());
                        assert_eq!(Some(&*known), set.as_ref(), "{}: other voters of epoch {epoch}", node.name);
                    }
                    self.headers.insert(height, (hash, header));
                }
            }
            self.checked("one header a height, each transaction once");
        }
        shown.height = tip;
        assert!(certified >= shown.certified, "{}: the certified height fell", node.name);
        for height in shown.certified + 1..=certified {
            let Some((hash, header)) = self.headers.get(&height).cloned() else { continue };
            if let Some(certificate) = view.certificate(height).unwrap() {
                let set = &self.voters[&header.epoch];
                assert_eq!(certificate.header, hash, "{}: a certificate of another header", node.name);
                assert_eq!(set.hash(), header.voter_set, "epoch {}", header.epoch);
                let verified = certificate.verify(&header.genesis, set);
                assert!(verified.is_ok(), "{}: height {height}: {verified:?}", node.name);
                self.checked("certificates are of their height's voters");
            } else {
                // A recovery further up stands in for every certificate that is missing below it.
                let links = self.headers.range(height + 1..=certified);
                let recovered = links.into_iter().any(|(above, (_, header))| {
                    let parent = self.headers.get(&(above - 1));
                    parent.is_some_and(|(_, parent)| parent.next_voter_set != header.voter_set)
                });
                let handed_over = !galen_ledger::hands_over(&header) || height > certified || recovered;
                assert!(handed_over, "{}: epoch {} ended at {height} uncertified", node.name, header.epoch);
            }
        }
        shown.certified = certified;
    }
}

impl Cluster {
    /// Checks what must hold after an event of this node, unless it follows a chain that others gave up.
    pub(crate) fn observe(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        let (ordered, told) = (std::mem::take(&mut node.ordered_now), std::mem::take(&mut node.told_now));
        let voted = std::mem::take(&mut node.voted_now);
        if node.parted {
            return;
        }
        self.oracle.voted(voted);
        let node = &self.nodes[place];
        for batch in ordered {
            self.oracle.ordered(&node.name.to_string(), &batch);
        }
        self.oracle.look(&self.nodes[place]);
        // Opening logs takes time, so only some are looked at; where numbers change, who had to hold an entry is history.
        if self.world.spares == 0
            && let Some((index, term)) = told.last().copied()
            && self.step % 8 == place as u64 % 8
        {
            self.look_at_disks(place, index, term);
        }
    }
    /// What a client was told of stands on the disks of a majority, whatever their processes hold.
    fn look_at_disks(&mut self, place: usize, index: u64, term: u64) {
        let Some(orderer) = self.nodes[place].orderer() else { return };
        let voters = orderer.status().membership.voters;
        let holds = |id: &RaftId| {
            let node = self.nodes.iter().find(|node| node.raft_id == Some(*id));
            node.is_some_and(|node| node.holds_durably(index, term))
        };
        let held = voters.iter().filter(|id| holds(id)).count();
        assert!(
            held * 2 > voters.len(),
            "a client was told of entry {index}, which {held} of {} disks hold",
            voters.len()
        );
        *self.oracle.checks.entry("acknowledged is durable on a majority of disks").or_default() += 1;
    }
}
