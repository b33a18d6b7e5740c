//! Frames of peers into a core that runs: the firewall together with `step`.
//!
//! An input is a script: a first byte (which position the core starts from) and then operations, so that mutation also
//! reorders, doubles and drops. Frames come in two kinds: as they are, and adapted, where the numbers that an honest peer
//! in the core's present would send (receiver, sender, term, index, commit) are put in, so that more than the first check
//! is reached.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use galen_consensus::{
    CoreConfig, Effects, EntryKind, HardState, Membership, MembershipChange, MessageError, Payload, Persist, RaftCore,
    RaftId, Recovered, Role, SnapshotChange, Status,
};

use crate::hold;
use crate::random::Random;
use crate::script::{Reader, Writer};
use crate::target::{Limits, Target, Trace};

const VOTERS: u64 = 3;
const LEARNER: u64 = 4;
/// Where fields lie in a frame (`consensus/src/wire.rs`): to, from, term, log term, index, commit, commit term, hint.
const FIELDS: usize = 3;

/// What a script does.
enum Step<'a> {
    Tick(u8),
    Frame(u64, &'a [u8]),
    Adapted(u64, u8, &'a [u8]),
    Persist,
    Propose(&'a [u8]),
    Campaign,
    Apply,
    Transfer(u64),
    Read(&'a [u8]),
    Compact,
    Change(u8),
    Accept,
    Unreachable(u64),
}

struct Script<'a>(Reader<'a>);

impl<'a> Script<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Self(Reader(bytes))
    }
}

impl<'a> Iterator for Script<'a> {
    type Item = Step<'a>;

    fn next(&mut self) -> Option<Step<'a>> {
        let parts = &mut self.0;
        Some(match parts.byte()? % 13 {
            0 => Step::Tick(parts.byte()? % 32),
            1 => Step::Frame(parts.peer()?, parts.bytes()?),
            2 => Step::Adapted(parts.peer()?, parts.byte()?, parts.bytes()?),
            3 => Step::Persist,
            4 => Step::Propose(parts.bytes()?),
            5 => Step::Campaign,
            6 => Step::Apply,
            7 => Step::Transfer(parts.peer()?),
            8 => Step::Read(parts.bytes()?),
            9 => Step::Compact,
            10 => Step::Change(parts.byte()?),
            11 => Step::Accept,
            _ => Step::Unreachable(parts.peer()?),
        })
    }
}

/// A core with what must hold of it, and a disk that holds what it was told to write.
struct Subject {
    core: RaftCore,
    waiting: Vec<Persist>,
    hard_state: HardState,
    /// Entries on the disk: index to (term, hash).
    disk: BTreeMap<u64, (u64, blake3::Hash)>,
    /// Entries handed out to be written, whether they are on the disk or not.
    written: BTreeMap<u64, (u64, blake3::Hash)>,
    committed: BTreeMap<u64, (u64, blake3::Hash)>,
    /// The last entry that was handed out to be executed.
    last_committed: u64,
    /// The ledger is here: ahead of that after a snapshot's blocks were pulled.
    applied: u64,
    snapshot: u64,
    offer: Option<u64>,
    before: (u64, u64),
    sent: Vec<(RaftId, Bytes)>,
}

fn config(id: u64, position: u8) -> CoreConfig {
    let founders = Membership::new((1..=VOTERS).map(RaftId), [RaftId(LEARNER)]);
    let mut config = match position {
        // A node that joins, and knows no configuration.
        4 => CoreConfig::joining(RaftId(id), 7),
        _ => CoreConfig::new(RaftId(id), founders, 7 ^ id),
    };
    config.append_bytes_max = 4096;
    config.appends_in_flight_max = 8;
    config
}

impl Subject {
    /// Position 0 to 2: that voter; 3: the learner; 4: a node that joins.
    fn new(position: u8) -> Self {
        let id = if position == 4 { 6 } else { u64::from(position) + 1 };
        let mut core =
            RaftCore::new(config(id, position), Recovered::default(), 0).expect("the configuration is sound");
        for peer in 1..=VOTERS {
            core.admit(RaftId(peer));
        }
        Self {
            core,
            waiting: Vec::new(),
            hard_state: HardState::default(),
            disk: BTreeMap::new(),
            written: BTreeMap::new(),
            committed: BTreeMap::new(),
            last_committed: 0,
            applied: 0,
            snapshot: 0,
            offer: None,
            before: (0, 0),
            sent: Vec::new(),
        }
    }

    fn run(&mut self, step: &Step<'_>, trace: &mut Trace) -> Result<(), String> {
        let stopped = |error: &dyn std::fmt::Display| format!("the core stopped: {error}");
        match step {
            Step::Tick(count) => {
                for _ in 0..*count {
                    self.core.tick().map_err(|error| stopped(&error))?;
                    self.take(trace)?;
                }
            }
            Step::Frame(from, bytes) => self.message(*from, bytes.to_vec(), trace)?,
            Step::Adapted(from, how, bytes) => {
                let bytes = adapt(&self.core.status(), *from, *how, bytes);
                self.message(*from, bytes, trace)?;
            }
            Step::Persist => self.persist()?,
            Step::Propose(data) => {
                let outcome = self.core.propose(Bytes::copy_from_slice(data));
                trace.reach(outcome.is_ok());
            }
            Step::Campaign => self.core.campaign().map_err(|error| stopped(&error))?,
            Step::Apply => {
                self.applied = self.applied.max(self.last_committed);
                self.core.applied(self.applied).map_err(|error| stopped(&error))?;
            }
            Step::Transfer(to) => trace.reach(self.core.transfer_leader(RaftId(*to)).is_ok()),
            Step::Read(context) => trace.reach(self.core.read_index(context).is_ok()),
            Step::Compact => trace.reach(self.core.compact(self.applied, Bytes::from_static(b"block")).is_ok()),
            Step::Change(what) => {
                let mut change = MembershipChange::default();
                let node = RaftId(u64::from(what % 8));
                match what / 8 % 3 {
                    0 => change.voters.insert(node),
                    1 => change.learners.insert(node),
                    _ => change.removed.insert(node),
                };
                trace.reach(self.core.propose_conf_change(change).is_ok());
            }
            Step::Accept => {
                if let Some(index) = self.offer.take() {
                    self.applied = self.applied.max(index);
                    self.core.applied(self.applied).map_err(|error| stopped(&error))?;
                    trace.reach(self.core.accept_snapshot(index).is_ok());
                }
            }
            Step::Unreachable(peer) => {
                self.core.report_unreachable(RaftId(*peer)).map_err(|error| stopped(&error))?;
            }
        }
        self.take(trace)
    }

    /// A frame: refused without a trace, or taken; never does it stop the core.
    fn message(&mut self, from: u64, bytes: Vec<u8>, trace: &mut Trace) -> Result<(), String> {
        let before = self.core.status();
        let outcome = self.core.message(RaftId(from), bytes.into());
        let after = self.core.status();
        let is_refused = outcome.is_err();
        harmless(outcome, &before, &after, trace)?;
        let count = |status: &Status| status.refusals.values().sum::<u64>();
        hold!(!is_refused || count(&after) == count(&before) + 1, "a refused frame is not counted");
        Ok(())
    }

    /// Everything handed out to be written is on the disk.
    fn persist(&mut self) -> Result<(), String> {
        let Some(last) = self.waiting.last().map(|persist| persist.token) else { return Ok(()) };
        self.waiting.clear();
        self.disk.clone_from(&self.written);
        self.core.persisted(last).map_err(|error| format!("the core stopped: {error}"))
    }

    /// Takes what the core wants done, and checks it.
    fn take(&mut self, trace: &mut Trace) -> Result<(), String> {
        let effects = self.core.effects().map_err(|error| format!("the core stopped: {error}"))?;
        let Effects { persist, send, committed, snapshot_offer, role, .. } = effects;
        for persist in &persist {
            self.check_write(persist)?;
        }
        self.waiting.extend(persist);
        for entry in committed {
            let Payload::Data(data) = &entry.payload else {
                trace.reach(matches!(entry.payload, Payload::Membership { .. }));
                self.commit(entry.index, None)?;
                continue;
            };
            self.commit(entry.index, Some((entry.term, blake3::hash(data))))?;
            trace.reach("committed");
        }
        if let Some(offer) = snapshot_offer {
            trace.reach("offer");
            hold!(offer.index > self.last_committed, "an offer of what is committed: {}", offer.index);
            self.offer = Some(offer.index);
        }
        if let Some(change) = role {
            trace.reach(format!("{:?}", change.role));
        }
        self.sent.extend(send.into_iter().map(|message| (message.to, message.bytes)));
        self.check_status()
    }

    fn check_write(&mut self, persist: &Persist) -> Result<(), String> {
        if let Some(SnapshotChange::Restored(meta)) = &persist.snapshot {
            hold!(meta.index > self.last_committed, "a restored snapshot lies below what is committed");
            self.written.clear();
            self.last_committed = meta.index.max(self.last_committed);
            self.snapshot = meta.index;
        } else if let Some(SnapshotChange::Compacted(meta)) = &persist.snapshot {
            hold!(meta.index <= self.last_committed, "the log is cut above what is committed");
            self.snapshot = meta.index;
        }
        for entry in &persist.entries {
            hold!(
                entry.index > self.last_committed,
                "entry {} is written again, {} are committed",
                entry.index,
                self.last_committed
            );
            let last = self.written.last_key_value().map_or(self.snapshot, |(index, _)| (*index).max(self.snapshot));
            hold!(entry.index <= last + 1, "entry {} leaves a gap after {last}", entry.index);
            self.written.split_off(&entry.index);
            let hash = if entry.kind == EntryKind::Data { blake3::hash(&entry.data) } else { blake3::hash(b"") };
            self.written.insert(entry.index, (entry.term, hash));
        }
        if let Some(state) = persist.hard_state {
            let old = self.hard_state;
            hold!(state.term >= old.term, "the term fell from {} to {}", old.term, state.term);
            let revoted = state.term == old.term && old.vote.is_some() && state.vote != old.vote;
            hold!(!revoted, "it voted twice in term {}: {:?} and {:?}", state.term, old.vote, state.vote);
            hold!(state.commit >= old.commit, "the commit fell from {} to {}", old.commit, state.commit);
            self.hard_state = state;
        }
        Ok(())
    }

    fn commit(&mut self, index: u64, data: Option<(u64, blake3::Hash)>) -> Result<(), String> {
        let last = self.last_committed.max(self.applied);
        // What the ledger holds already need not be handed out, a change of the configuration is nevertheless.
        hold!(index <= last + 1 && index > self.last_committed, "index {index} is committed after {last}");
        hold!(self.disk.contains_key(&index), "index {index} is committed and not on this disk");
        if let Some(data) = data {
            hold!(self.disk.get(&index) == Some(&data), "another entry than the written one is committed at {index}");
            self.committed.insert(index, data);
        }
        self.last_committed = index;
        Ok(())
    }

    fn check_status(&mut self) -> Result<(), String> {
        let status = self.core.status();
        hold!(status.snapshot <= status.commit, "the snapshot is above the commit: {status:?}");
        hold!(status.commit <= status.last, "the commit is above the log: {status:?}");
        hold!(status.durable <= status.last, "more is durable than there is: {status:?}");
        let (term, commit) = self.before;
        hold!(status.term >= term && status.commit >= commit, "term or commit fell: {term} {commit} {status:?}");
        self.before = (status.term, status.commit);
        let leads = status.role == Role::Leader;
        hold!(!leads || status.leader == Some(status.id), "it leads and names another: {status:?}");
        Ok(())
    }
}

/// Whether a frame was taken, or refused without a trace; never does it stop whoever takes it.
pub(super) fn harmless(
    outcome: Result<(), MessageError>,
    before: &Status,
    after: &Status,
    trace: &mut Trace,
) -> Result<(), String> {
    match outcome {
        Ok(()) => {
            trace.accept();
            trace.reach("taken");
        }
        Err(MessageError::Refused(refusal)) => {
            trace.reach(refusal.code());
            let code = refusal.code();
            hold!(same(before, after), "a refused frame ({code}) changed something: {before:?} {after:?}");
        }
        Err(error) => return Err(format!("a frame stopped what took it: {error}")),
    }
    Ok(())
}

/// Whether a status is the same but for the counts of refusals.
fn same(before: &Status, after: &Status) -> bool {
    let key = |status: &Status| {
        (status.role, status.leader, status.term, status.commit, status.applied, status.snapshot, status.last)
    };
    let rest = |status: &Status| (status.durable, status.log_bytes, status.pending, status.membership.clone());
    key(before) == key(after) && rest(before) == rest(after)
}

/// Puts the core's present into a frame; the bits of `how` say which fields, and how far off.
pub(super) fn adapt(status: &Status, from: u64, how: u8, frame: &[u8]) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    let mut put = |field: usize, value: u64| {
        let at = FIELDS + field * 8;
        if let Some(place) = bytes.get_mut(at..at + 8) {
            place.copy_from_slice(&value.to_le_bytes());
        }
    };
    let off = u64::from(how >> 6);
    put(0, status.id.0);
    put(1, from);
    if how & 1 != 0 {
        put(2, status.term + off);
    }
    if how & 2 != 0 {
        put(3, status.term);
    }
    if how & 4 != 0 {
        put(4, (status.last + 1).saturating_sub(off));
    }
    if how & 8 != 0 {
        put(5, status.last.saturating_sub(off));
    }
    if how & 16 != 0 {
        put(4, status.commit.saturating_sub(off));
    }
    if how & 32 != 0 {
        put(7, status.last.saturating_sub(off));
    }
    bytes
}

/// The firewall together with `step`.
pub struct Consensus;

impl Target for Consensus {
    fn seeds(&mut self) -> Vec<Vec<u8>> {
        let mut seeds: Vec<_> = (0..4).map(|position| record(position, position.into(), 48)).collect();
        seeds.extend((0..3).map(|position| record(position, 10 + u64::from(position), 24)));
        seeds
    }

    fn reshape(&mut self, input: &[u8], other: &[u8], random: &mut Random) -> Option<Vec<u8>> {
        // Frames of the other script, adapted to where this one leads.
        let frames: Vec<(u64, Vec<u8>)> = Script::of(other.get(1..)?)
            .filter_map(|step| match step {
                Step::Frame(from, bytes) | Step::Adapted(from, _, bytes) => Some((from, bytes.to_vec())),
                _ => None,
            })
            .collect();
        if frames.is_empty() {
            return None;
        }
        // The input may be empty: mutation cuts a script down to nothing.
        let mut writer = Writer(input.get(..1 + random.below(input.len()))?.to_vec());
        for _ in 0..=random.below(8) {
            let (from, mut bytes) = frames[random.below(frames.len())].clone();
            if random.chance(300) {
                crate::mutation::mutate(&mut bytes, &frames[0].1, &[], 4096, random);
            }
            if random.chance(200)
                && let Some(kind) = bytes.get_mut(1)
            {
                *kind = random.below(20) as u8;
            }
            let from = if random.chance(800) { from as u8 } else { random.below(8) as u8 };
            writer.op_with(2, &[from, random.draw() as u8], &bytes);
            if random.chance(500) {
                writer.op([3, 6, 5, 9, 11][random.below(5)], &[]);
            }
        }
        Some(writer.0)
    }

    fn run(&mut self, input: &[u8], trace: &mut Trace) -> Result<(), String> {
        let Some((position, script)) = input.split_first() else { return Ok(()) };
        let mut subject = Subject::new(position % 5);
        for step in Script::of(script).take(2_000) {
            subject.run(&step, trace)?;
        }
        // It still works: time passes, what waits becomes durable.
        for _ in 0..30 {
            subject.run(&Step::Tick(1), trace)?;
            subject.run(&Step::Persist, trace)?;
        }
        Ok(())
    }

    fn limits(&self) -> Limits {
        Limits { memory_bytes: 4 << 20, memory_bytes_per_byte: 256, ..Limits::default() }
    }
}

/// A script of what really happened to one node of a group: elections, entries, changes, a cut log.
fn record(position: u8, seed: u64, steps: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut nodes: Vec<Subject> = (0..4).map(Subject::new).collect();
    let mut writer = Writer(vec![position]);
    let mut network: Vec<(usize, u64, Bytes)> = Vec::new();
    let mut trace = Trace::default();
    let mut cut_off = BTreeSet::new();
    let recorded = usize::from(position);
    let mut act = |nodes: &mut Vec<Subject>, writer: &mut Writer, place: usize, step: Step<'_>| {
        if place == recorded {
            match &step {
                Step::Tick(count) => writer.op(0, &[*count]),
                Step::Frame(from, bytes) => writer.op_with(1, &[*from as u8], bytes),
                Step::Persist => writer.op(3, &[]),
                Step::Propose(data) => writer.op_with(4, &[], data),
                Step::Apply => writer.op(6, &[]),
                Step::Read(context) => writer.op_with(8, &[], context),
                Step::Transfer(to) => writer.op(7, &[*to as u8]),
                Step::Compact => writer.op(9, &[]),
                Step::Change(what) => writer.op(10, &[*what]),
                Step::Accept => writer.op(11, &[]),
                Step::Campaign => writer.op(5, &[]),
                Step::Adapted(..) | Step::Unreachable(_) => {}
            }
        }
        nodes[place].run(&step, &mut trace).expect("an honest group keeps its invariants");
    };
    for step in 0..steps {
        for (to, from, bytes) in std::mem::take(&mut network) {
            if to < nodes.len() && !cut_off.contains(&to) && !cut_off.contains(&(from as usize - 1)) {
                act(&mut nodes, &mut writer, to, Step::Frame(from, &bytes));
            }
        }
        for place in 0..nodes.len() {
            act(&mut nodes, &mut writer, place, Step::Tick(1));
            if random.chance(900) {
                act(&mut nodes, &mut writer, place, Step::Persist);
            }
            let leads = nodes[place].core.status().role == Role::Leader;
            if leads && random.chance(400) {
                let data = [b'a' + (step % 26) as u8; 24];
                act(&mut nodes, &mut writer, place, Step::Propose(&data[..1 + random.below(20)]));
            }
            if leads && step % 20 == 15 {
                act(&mut nodes, &mut writer, place, Step::Change((random.below(3) * 8 + 1 + random.below(5)) as u8));
            }
            if leads && step % 40 == 35 {
                act(&mut nodes, &mut writer, place, Step::Transfer(1 + random.below(3) as u64));
            }
            if leads && random.chance(50) {
                act(&mut nodes, &mut writer, place, Step::Read(b"read"));
            }
            act(&mut nodes, &mut writer, place, Step::Apply);
            if random.chance(60) {
                act(&mut nodes, &mut writer, place, Step::Compact);
            }
            if nodes[place].offer.is_some() {
                act(&mut nodes, &mut writer, place, Step::Accept);
            }
            let from = place as u64 + 1;
            let sent = std::mem::take(&mut nodes[place].sent);
            network.extend(sent.into_iter().map(|(to, bytes)| (to.0 as usize - 1, from, bytes)));
        }
        if step % 30 == 15 {
            cut_off = BTreeSet::from([random.below(4)]);
        } else if step % 30 == 29 {
            cut_off.clear();
        }
    }
    writer.0
}
