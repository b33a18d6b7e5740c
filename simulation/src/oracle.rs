//! What must hold after every event, between all nodes: checked on what each node shows, and remembered independently of
//! it.
//!
//! Election safety (one leader a term; one vote a voter and term, in `promises`), state machine safety (committed entries
//! never change), log matching, leader completeness (who leads anew holds every committed entry), one header a height, each
//! transaction at most once and as the model of the rules has it (`model`), block times that a majority's clocks allow,
//! nobody votes in ordering whose number no certified block named, one valid certificate a height by that height's own
//! voters, the end of each epoch certified by itself, no voter signs two headers, followers apply what is certified, the log
//! is cut only below durable, applied and certified blocks, what was acknowledged is on the disks of a majority. Names of
//! the Raft properties: Ongaro, Ousterhout, "In Search of an Understandable Consensus Algorithm" (USENIX ATC 2014), figure 3.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use galen_chain::{LedgerState, OrderedBatch};
use galen_consensus::{LogEnd, RaftId, Role};
use galen_types::hash::Context;
use galen_types::{BlockHeader, DecodedTransaction, Genesis, Hash, HeaderSignature, NodeName, TransactionId, VoterSet};

use crate::cluster::Cluster;
use crate::model::Model;
use crate::node::{Frame, Node};

/// Frames remembered, so that hostile peers can alter them.
const HEARD_KEPT: usize = 64;

/// Steps between two looks at a node's whole log.
const LOG_EVERY_STEPS: u64 = 40;

/// An entry's place in a log: index and term.
type Place = (u64, u64);

/// What all nodes showed so far.
#[derive(Default)]
pub(crate) struct Oracle {
    model: Model,
    /// For whom a number voted in a term.
    votes: BTreeMap<(RaftId, u64), RaftId>,
    /// The header that a voter signed, by height.
    signed: BTreeMap<u64, BTreeMap<NodeName, Hash>>,
    /// Entries of logs, committed or not: the hash of the bytes, and the term of the entry before.
    log_entries: BTreeMap<Place, (Hash, u64)>,
    /// Where candidates' logs ended, by candidate and term.
    candidates: BTreeMap<(RaftId, u64), LogEnd>,
    /// Up to which index a number acknowledged the log, by term.
    acknowledged_by: BTreeMap<RaftId, BTreeMap<u64, u64>>,
    /// A term in or before which an entry was committed.
    commit_terms: BTreeMap<u64, u64>,
    /// Acknowledgements that left.
    pub(crate) acknowledged: u64,
    /// The greatest height that some node holds certified.
    certified: u64,
    /// The height of the last recovery's block; 0 before any.
    recovery_height: u64,
    /// No block may be of a later time: what the clocks of a majority allow now.
    pub(crate) latest_time: u64,
    leaders: BTreeMap<u64, RaftId>,
    /// Ordered entries: term and hash of the bytes, by index.
    entries: BTreeMap<u64, (u64, Hash)>,
    headers: BTreeMap<u64, (Hash, BlockHeader)>,
    /// Voters by epoch.
    voters: BTreeMap<u64, VoterSet>,
    transactions: BTreeMap<TransactionId, (u64, usize)>,
    /// Numbers in ordering of the voters after a height.
    named: BTreeMap<u64, BTreeSet<RaftId>>,
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
    /// The highest height that it knew to be certified, also before a loss of power took the certificate.
    knew_certified: u64,
    term: u64,
    commit: u64,
    leads: u64,
    snapshot: u64,
    /// When its log was looked at.
    log_step: u64,
    follows: bool,
}

impl Oracle {
    pub(crate) fn new(genesis: &Genesis) -> Self {
        Self { model: Model::new(genesis), latest_time: u64::MAX, ..Self::default() }
    }

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

    pub(crate) fn checked(&mut self, what: &'static str) {
        *self.checks.entry(what).or_default() += 1;
    }

    /// A recovery keeps blocks up to `height`, whose entry is `index`, as this ledger has them: what stood beyond was given
    /// up.
    pub(crate) fn branch(&mut self, height: u64, index: u64, genesis: &Genesis, ledger: &galen_ledger::Ledger) {
        self.leaders.clear();
        self.votes.clear();
        self.candidates.clear();
        self.acknowledged_by.clear();
        self.commit_terms.clear();
        self.signed.retain(|signed, _| *signed <= height);
        self.log_entries.clear();
        self.entries.retain(|entry, _| *entry <= index);
        self.headers.retain(|header, _| *header <= height);
        self.transactions.retain(|_, place| place.0 <= height);
        let epoch = self.headers.get(&height).map_or(0, |(_, header)| galen_ledger::next_epoch(header));
        self.voters.retain(|known, _| *known <= epoch);
        self.named.retain(|named, _| *named <= height);
        self.nodes.clear();
        self.recovered_at = index + 1;
        self.recovery_height = height + 1;
        self.certified = self.certified.min(height);
        self.model = Model::new(genesis);
        let view = ledger.view().unwrap();
        for kept in 1..=height {
            let (header, block) = (view.header(kept).unwrap().unwrap(), view.block(kept).unwrap().unwrap());
            self.model.take(&header, &block, &view.receipts(kept).unwrap());
        }
    }

    /// Forgets what a node showed: its disk is another. What it had known to be certified stays so.
    pub(crate) fn forget(&mut self, place: usize) {
        if let Some(shown) = self.nodes.get_mut(&place) {
            *shown = Shown { knew_certified: shown.knew_certified, ..Shown::default() };
        }
    }

    /// An entry that a node is to execute.
    pub(crate) fn ordered(&mut self, node: &str, term: u64, batch: &OrderedBatch) {
        self.commit_terms.entry(batch.index).or_insert(term);
        let entry = (batch.term, Hash::of(Context::Commitment, &batch.bytes));
        let known = *self.entries.entry(batch.index).or_insert(entry);
        assert_eq!(known, entry, "{node} orders another entry at index {}", batch.index);
        self.checked("committed entries never change");
    }

    /// These numbers are the voters' after a block.
    pub(crate) fn named(&mut self, height: u64, numbers: Vec<RaftId>) {
        self.named.entry(height).or_default().extend(numbers);
    }

    /// Whether a certified block, a recovery's, or the genesis names this number a voter's.
    fn is_named(&self, number: RaftId) -> bool {
        self.named.iter().any(|(height, numbers)| self.is_firm(*height) && numbers.contains(&number))
    }

    /// The chain's header at a height, where some node has shown it.
    pub(crate) fn header_at(&self, height: u64) -> Option<&BlockHeader> {
        self.headers.get(&height).map(|(_, header)| header)
    }

    /// The voters of an epoch, as the first node showed them that came to it.
    pub(crate) fn voters_of(&self, epoch: u64) -> Option<&VoterSet> {
        self.voters.get(&epoch)
    }

    /// The greatest height that some node holds certified.
    pub(crate) fn certified_height(&self) -> u64 {
        self.certified
    }

    /// Whether a majority was given up.
    pub(crate) fn was_recovered(&self) -> bool {
        self.recovery_height > 0
    }

    fn is_firm(&self, height: u64) -> bool {
        height <= self.certified || height == self.recovery_height
    }

    /// Whether a certified block, or a recovery's, leaves this number out of the voters.
    fn is_dropped(&self, number: RaftId) -> bool {
        self.named.iter().any(|(height, numbers)| self.is_firm(*height) && !numbers.contains(&number))
    }

    /// A request for votes that leaves a node.
    pub(crate) fn asks_for_votes(&mut self, candidate: RaftId, term: u64, log_end: LogEnd) {
        self.candidates.insert((candidate, term), log_end);
    }

    /// An acknowledgement that leaves a node.
    pub(crate) fn acknowledges(&mut self, voter: RaftId, term: u64, index: u64) {
        let known = self.acknowledged_by.entry(voter).or_default().entry(term).or_default();
        *known = index.max(*known);
    }

    /// The last committed entry that a voter has acknowledged: to a leader that held it, because it led when the entry was
    /// known to be committed or later.
    fn promised(&self, voter: RaftId) -> LogEnd {
        let acknowledged = self.acknowledged_by.get(&voter).into_iter().flatten();
        let ends = acknowledged.filter_map(|(term, last)| {
            let held = self.entries.range(..=last).rev().find(|(index, _)| self.commit_terms.get(index) <= Some(term));
            held.map(|(index, (term, _))| LogEnd { term: *term, index: *index })
        });
        ends.max().unwrap_or_default()
    }

    /// A vote that leaves a node.
    pub(crate) fn voted_for(&mut self, voter: RaftId, term: u64, candidate: RaftId) {
        let known = *self.votes.entry((voter, term)).or_insert(candidate);
        assert_eq!(known, candidate, "voter {voter} votes twice in term {term}");
        self.checked("one vote a voter and term");
        if let Some(log_end) = self.candidates.get(&(candidate, term)).copied() {
            let promised = self.promised(voter);
            assert!(
                log_end >= promised,
                "voter {voter} votes for {candidate}, whose log ends at {log_end:?}; it acknowledged {promised:?}, committed"
            );
            self.checked("no vote for who lacks what the voter acknowledged and was committed");
        }
    }

    /// A header's signature that leaves a node.
    pub(crate) fn signed(&mut self, signature: &HeaderSignature) {
        let (voter, height, header) = (&signature.voter, signature.height, signature.header);
        let known = *self.signed.entry(height).or_default().entry(voter.clone()).or_insert(header);
        assert_eq!(known, header, "{voter} signs two headers at height {height}");
        let held = self.headers.get(&height).map(|(hash, _)| *hash);
        assert!(held.is_none_or(|held| held == header), "{voter} signs another header at height {height}");
        self.checked("one header a voter and height, stored before it is sent");
    }

    /// Looks at the whole log on a node's disk: entries with the same index and term are the same in all logs, and so are
    /// those before them.
    fn look_at_log(&mut self, node: &Node, leads: bool) {
        let Some(log) = node.durable_log() else { return };
        let mut before = log.snapshot.as_ref().map_or((0, 0), |snapshot| (snapshot.index, snapshot.term));
        let mut terms = BTreeMap::from([before]);
        for entry in &log.entries {
            let found = (Hash::of(Context::Commitment, &entry.data), before.1);
            let known = *self.log_entries.entry((entry.index, entry.term)).or_insert(found);
            assert_eq!(known, found, "{}: the log differs at index {}, term {}", node.name, entry.index, entry.term);
            before = (entry.index, entry.term);
            terms.insert(entry.index, entry.term);
        }
        self.checked("logs with an entry in common agree up to it");
        if leads {
            let first = terms.first_key_value().map_or(0, |(index, _)| *index);
            for (index, (term, _)) in self.entries.range(first.max(1)..) {
                let held = terms.get(index);
                assert_eq!(held, Some(term), "{} leads without the committed entry {index}", node.name);
            }
            self.checked("a leader's log holds every committed entry");
        }
    }

    /// Looks at a node after an event.
    pub(crate) fn look(&mut self, node: &Node, step: u64) {
        let mut shown = self.nodes.get(&node.place).copied().unwrap_or_default();
        if shown.starts != node.starts {
            // Of a term that was not on the disk yet a crash leaves nothing.
            let knew_certified = if node.new_number { 0 } else { shown.knew_certified };
            shown = Shown { starts: node.starts, knew_certified, ..Shown::default() };
        }
        shown.knew_certified = shown.knew_certified.max(node.executor().ledger().certified_height());
        self.look_at_chain(node, &mut shown);
        self.look_at_ordering(node, &mut shown);
        if step >= shown.log_step + LOG_EVERY_STEPS {
            shown.log_step = step;
            self.look_at_log(node, false);
        }
        self.nodes.insert(node.place, shown);
    }

    fn look_at_ordering(&mut self, node: &Node, shown: &mut Shown) {
        let Some(orderer) = node.orderer() else { return };
        let (role, status) = (orderer.role(), orderer.status());
        let (taken, waiting) = (node.taken.len(), node.waiting());
        assert_eq!(waiting, taken, "{}: of {taken} transactions taken and not settled {waiting} wait", node.name);
        self.checked("who took a transaction keeps it until it is settled");
        assert!(status.commit >= shown.commit, "{}: the commit index fell", node.name);
        shown.commit = status.commit;
        assert!(status.term >= shown.term, "{}: the term fell", node.name);
        shown.term = status.term;
        for number in &status.membership.voters {
            assert!(self.is_named(*number), "{}: {number} votes in ordering, by no certified block", node.name);
        }
        // One that joins does not know the configuration yet.
        if !status.membership.voters.is_empty() {
            let founders = self.named.get(&0).into_iter().flatten();
            for number in founders.filter(|number| !status.membership.voters.contains(number)) {
                assert!(self.is_dropped(*number), "{}: {number} lost its vote, by no certified block", node.name);
            }
            self.checked("no founder loses its vote but by a certified block");
        }
        if role.role == Role::Leader && shown.leads != role.term {
            shown.leads = role.term;
            let known = *self.leaders.entry(role.term).or_insert(status.id);
            assert_eq!(known, status.id, "two leaders in term {}", role.term);
            self.checked("one leader a term");
            self.look_at_log(node, true);
        }
        if status.snapshot > shown.snapshot {
            shown.snapshot = status.snapshot;
            let ledger = node.executor().ledger();
            let view = ledger.view().unwrap();
            let safe = ledger.durable_height().min(shown.knew_certified);
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
        let follows = node.orderer().is_none();
        if tip == shown.height && certified == shown.certified {
            shown.follows = follows;
            return;
        }
        self.look_at_base(node, shown.height);
        self.certified = self.certified.max(certified);
        if follows && shown.follows && tip > shown.height {
            let firm = self.certified.max(self.recovery_height);
            assert!(tip <= firm, "{} follows to height {tip}, certified up to {firm}", node.name);
            self.checked("who follows applies certified blocks");
        }
        shown.follows = follows;
        let view = ledger.view().unwrap();
        self.voters.entry(0).or_insert_with(|| view.voter_set(0).unwrap().unwrap());
        // What a ledger lacks that began with a snapshot is below its first block.
        for height in (shown.height.min(tip) + 1).max(view.history_from().unwrap())..=tip {
            let header = view.header(height).unwrap().unwrap();
            let hash = header.hash();
            match self.headers.get(&height) {
                Some((known, _)) => assert_eq!(*known, hash, "{} has another block at height {height}", node.name),
                None => {
                    let block = view.block(height).unwrap().unwrap();
                    for (place, bytes) in block.transactions.iter().enumerate() {
                        let id = DecodedTransaction::decode(bytes.clone(), 1 << 20).unwrap().id;
                        let before = self.transactions.insert(id, (height, place));
                        assert_eq!(before, None, "{id} stands twice");
                    }
                    let downloads = self.model.take(&header, &block, &view.receipts(height).unwrap());
                    self.checked("signers, times and grants of a block are as the rules have them");
                    if height == tip {
                        let grants = self.model.compare(&LedgerState(ledger.view().unwrap()));
                        *self.checks.entry("grants compared with the model").or_default() += grants;
                    }
                    *self.checks.entry("downloads judged by the model").or_default() += downloads;
                    let parent = self.headers.get(&(height - 1)).map_or(0, |(_, parent)| parent.time.0);
                    let latest = self.latest_time.max(parent + 1);
                    assert!(
                        header.time.0 <= latest,
                        "block {height} is of {}, no majority's clock allows it",
                        header.time
                    );
                    self.checked("block times are such as a majority's clocks allow");
                    for (signer, signed) in self.signed.get(&height).into_iter().flatten() {
                        assert_eq!(*signed, hash, "{signer} signed another header at height {height}");
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
                // A recovery further up stands in for every certificate that is missing below it. A ledger that came by
                // snapshot may be certified at its first block by a certificate of a later one: see `bases`.
                let links = self.headers.range(height + 1..certified.saturating_add(1).max(height + 1));
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
        let named = std::mem::take(&mut node.named_now);
        if node.parted {
            node.served_now.clear();
            return;
        }
        let tip = node.executor().tip().height;
        self.check_reads(place);
        if !told.is_empty() {
            self.reads.told(tip);
        }
        for (height, numbers) in named {
            self.oracle.named(height, numbers);
        }
        let node = &self.nodes[place];
        for batch in ordered {
            let term = node.orderer().map_or(u64::MAX, |orderer| orderer.status().term);
            self.oracle.ordered(&node.name.to_string(), term, &batch);
        }
        self.oracle.look(&self.nodes[place], self.step);
        // Opening logs takes time, so only some are looked at.
        if let Some((index, term)) = told.last().copied()
            && self.step % 8 == place as u64 % 8
        {
            self.look_at_disks(place, index, term);
        }
    }

    /// What a client was told of stands on the disks of a majority of the voters, whatever their processes hold. While
    /// members change: of the voters of the configuration that the leader has too, because a change is committed by
    /// majorities of both sides that hold everything before it. A disk that was damaged meanwhile counts as holding what it
    /// held.
    fn look_at_disks(&mut self, place: usize, index: u64, term: u64) {
        let Some(orderer) = self.nodes[place].orderer() else { return };
        let membership = orderer.status().membership;
        let current = self.leader().and_then(|leader| self.nodes[leader].orderer());
        if membership.is_joint() || current.is_none_or(|leader| leader.status().membership != membership) {
            return;
        }
        let voters = membership.voters;
        let holds = |id: &RaftId| {
            let node = self.nodes.iter().find(|node| node.raft_id == Some(*id));
            self.damaged.contains_key(id) || node.is_some_and(|node| node.holds_durably(index, term))
        };
        let held = voters.iter().filter(|id| holds(id)).count();
        assert!(
            held * 2 > voters.len(),
            "a client was told of entry {index}, which {held} of {} disks hold",
            voters.len()
        );
        self.oracle.checked("acknowledged is durable on a majority of disks");
    }
}
