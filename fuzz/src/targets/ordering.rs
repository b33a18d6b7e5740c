//! Frames between orderers, each with its sender's clock, into an orderer that runs: what a peer's bytes really meet first.
//!
//! An input is a script, as that of [`super::consensus`]; here whatever is to be written is durable at once, and clocks differ
//! and jump.

use bytes::Bytes;
use galen_chain::clocks::{with_clock, without_clock};
use galen_chain::limits::PROPOSED_AHEAD_MS_MAX;
use galen_chain::orderer::BatchLimits;
use galen_chain::signatures::VerifiedCache;
use galen_chain::{Group, Orderer, OrdererConfig, OrdererEffects};
use galen_consensus::{CoreConfig, EntryKind, Membership, RaftId, Recovered, Role};
use galen_types::{Batch, DecodedTransaction, Encoding as _, NodeName, Timestamp};

use super::consensus::{adapt, harmless};
use crate::chain::Chain;
use crate::hold;
use crate::random::Random;
use crate::script::{Reader, Writer};
use crate::shared::consortium::{FOUNDED, MEMBERS, name};
use crate::target::{Limits, Target, Trace};

const VOTERS: u64 = 3;
const LEARNER: u64 = 4;
/// Bytes of a batch at most: less than a block's, so that scripts stay short.
const BATCH_BYTES_MAX: usize = 16 << 10;

/// What a script does.
enum Step<'a> {
    Tick(u8),
    Frame(u64, &'a [u8]),
    Adapted(u64, u8, &'a [u8]),
    /// A transaction of the chain, by its place.
    Submit(u8),
    /// The node's own clock goes so many seconds ahead, or back.
    Clock(i8),
    Apply,
    Read,
}

fn steps<'a>(mut parts: Reader<'a>) -> impl Iterator<Item = Step<'a>> {
    std::iter::from_fn(move || {
        Some(match parts.byte()? % 7 {
            0 => Step::Tick(parts.byte()? % 32),
            1 => Step::Frame(parts.peer()?, parts.bytes()?),
            2 => Step::Adapted(parts.peer()?, parts.byte()?, parts.bytes()?),
            3 => Step::Submit(parts.byte()?),
            4 => Step::Clock(parts.byte()?.cast_signed()),
            5 => Step::Apply,
            _ => Step::Read,
        })
    })
}

/// An orderer with what must hold of it.
struct Subject {
    orderer: Orderer,
    name: NodeName,
    clock: Timestamp,
    /// The latest that its clock ever said.
    latest: Timestamp,
    ordered: u64,
    sent: Vec<(RaftId, Bytes)>,
}

impl Subject {
    /// Position 0 to 2: that voter; 3: the learner.
    fn new(position: u8) -> Self {
        let nodes = MEMBERS.map(|member| name::<NodeName>(&format!("node-1.{member}")));
        let own = usize::from(position);
        let founders = Membership::new((1..=VOTERS).map(RaftId), [RaftId(LEARNER)]);
        let mut core = CoreConfig::new(RaftId(own as u64 + 1), founders, 7 ^ own as u64);
        core.append_bytes_max = 4096;
        let config = OrdererConfig {
            core,
            node: nodes[own].clone(),
            batch_limits: BatchLimits { transactions: 3, bytes: BATCH_BYTES_MAX },
            compact_entries: 8,
            compact_bytes: 1 << 20,
        };
        let known = Group { ids: (1..).map(RaftId).zip(nodes.clone()).collect(), ..Group::default() };
        let orderer = Orderer::new(config, Recovered::default(), 0, &known, FOUNDED).expect("it is sound");
        let name = nodes[own].clone();
        Self { orderer, name, clock: FOUNDED, latest: FOUNDED, ordered: 0, sent: Vec::new() }
    }

    fn run(&mut self, step: &Step<'_>, trace: &mut Trace) -> Result<(), String> {
        let stopped = |error: &dyn std::fmt::Display| format!("the orderer stopped: {error}");
        match step {
            Step::Tick(count) => {
                for _ in 0..*count {
                    self.clock = self.clock.plus_ms(50);
                    self.latest = self.latest.max(self.clock);
                    self.orderer.tick(self.clock).map_err(|error| stopped(&error))?;
                    self.take(trace)?;
                }
            }
            Step::Frame(from, bytes) => self.message(*from, bytes.to_vec(), trace)?,
            Step::Adapted(from, how, bytes) => {
                let bytes = adapt(&self.orderer.status(), *from, *how, bytes);
                self.message(*from, bytes, trace)?;
            }
            Step::Submit(place) => {
                let accepted = transaction(*place).is_some_and(|transaction| self.orderer.submit(transaction).is_ok());
                trace.reach(accepted);
            }
            Step::Clock(seconds) => {
                self.clock = Timestamp(self.clock.0.saturating_add_signed(i64::from(*seconds) * 1_000));
                self.latest = self.latest.max(self.clock);
                self.orderer.set_now(self.clock);
            }
            Step::Apply => {
                self.orderer.applied(self.ordered, self.ordered, FOUNDED, &[]).map_err(|error| stopped(&error))?;
            }
            Step::Read => trace.reach(self.orderer.read().is_ok()),
        }
        self.take(trace)
    }

    /// A frame: refused without a trace, or taken; never does it stop the orderer.
    fn message(&mut self, from: u64, bytes: Vec<u8>, trace: &mut Trace) -> Result<(), String> {
        let before = self.orderer.status();
        let outcome = self.orderer.message(RaftId(from), bytes.into());
        harmless(outcome, &before, &self.orderer.status(), trace)
    }

    /// Takes what the orderer wants done until it wants nothing, and checks it.
    fn take(&mut self, trace: &mut Trace) -> Result<(), String> {
        loop {
            let effects = self.orderer.effects().map_err(|error| format!("the orderer stopped: {error}"))?;
            let OrdererEffects { persist, send, ordered, role, reads, snapshot_offer, .. } = effects;
            for entry in persist.iter().flat_map(|persist| &persist.entries) {
                if entry.kind == EntryKind::Data {
                    self.check_time(&entry.data, trace)?;
                }
            }
            for batch in ordered {
                hold!(batch.index == self.ordered + 1, "index {} is ordered after {}", batch.index, self.ordered);
                self.ordered = batch.index;
                trace.reach("ordered");
            }
            trace.reach((reads.len(), snapshot_offer.is_some(), role.map(|role| format!("{:?}", role.role))));
            self.sent.extend(send.into_iter().map(|message| (message.to, message.bytes)));
            let Some(token) = persist.last().map(|persist| persist.token) else { break };
            self.orderer.persisted(token).map_err(|error| format!("the orderer stopped: {error}"))?;
        }
        Ok(())
    }

    /// Nobody's clock carries the chain's time away: what is written is not from too far ahead, and what this node proposes
    /// itself is from no time that its own clock has not shown.
    fn check_time(&self, entry: &[u8], trace: &mut Trace) -> Result<(), String> {
        let Some(proposed) = entry.first_chunk().map(|bytes| Timestamp(u64::from_le_bytes(*bytes))) else {
            return Ok(());
        };
        let may = self.latest.plus_ms(PROPOSED_AHEAD_MS_MAX);
        hold!(proposed <= may, "a batch of {proposed} is written where the clock never said more than {}", self.latest);
        let batch = Batch::decode(entry, entry.len());
        trace.reach(batch.is_ok());
        let leads = self.orderer.status().role == Role::Leader;
        if leads && batch.is_ok_and(|batch| batch.proposer == self.name) {
            hold!(proposed <= self.latest, "it proposes {proposed}, its clock never said more than {}", self.latest);
        }
        Ok(())
    }
}

/// A signed transaction of the chain; `None` beyond the last.
fn transaction(place: u8) -> Option<galen_chain::signatures::VerifiedTransaction> {
    let chain = Chain::get();
    let bytes = chain.batches.get(usize::from(place))?;
    let bytes = Batch::decode(bytes, bytes.len()).ok()?.transactions.into_iter().next()?;
    let decoded = DecodedTransaction::decode(bytes, BATCH_BYTES_MAX).ok()?;
    let key = crate::shared::consortium::secret_key(&decoded.body.signer.to_string()).public_key();
    VerifiedCache::default().admit(vec![(decoded, Some(key))]).pop()?
}

/// The firewall, the clocks and `step` behind [`Orderer::message`].
pub struct Ordering;

impl Target for Ordering {
    fn seeds(&mut self) -> Vec<Vec<u8>> {
        (0..4).map(|position| record(position, 26)).collect()
    }

    fn reshape(&mut self, input: &[u8], other: &[u8], random: &mut Random) -> Option<Vec<u8>> {
        // Frames of the other script, adapted to where this one leads, and with other clocks.
        let frames: Vec<(u64, Vec<u8>)> = steps(Reader(other.get(1..)?))
            .filter_map(|step| match step {
                Step::Frame(from, bytes) | Step::Adapted(from, _, bytes) => Some((from, bytes.to_vec())),
                _ => None,
            })
            .collect();
        if frames.is_empty() {
            return None;
        }
        let mut writer = Writer(input.get(..1 + random.below(input.len()))?.to_vec());
        for _ in 0..=random.below(8) {
            let (from, mut bytes) = random.pick(&frames).clone();
            if random.chance(500)
                && let Some((frame, clock)) = without_clock(bytes.clone().into())
            {
                let clock = match random.below(4) {
                    0 => Timestamp(random.draw()),
                    1 => Timestamp(u64::MAX),
                    2 => clock.plus_ms(random.below(100_000) as u64),
                    _ => Timestamp(clock.0.saturating_sub(random.below(100_000) as u64)),
                };
                bytes = with_clock(frame, clock).to_vec();
            }
            if random.chance(300) {
                crate::mutation::mutate(&mut bytes, &frames[0].1, &[], 4096, random);
            }
            let from = if random.chance(800) { from as u8 } else { random.below(8) as u8 };
            writer.op_with(2, &[from, random.draw() as u8], &bytes);
            match random.below(4) {
                0 => writer.op(0, &[random.below(20) as u8]),
                1 => writer.op(3, &[random.below(12) as u8]),
                2 => writer.op(4, &[random.draw() as u8]),
                _ => writer.op(5, &[]),
            }
        }
        Some(writer.0)
    }

    fn run(&mut self, input: &[u8], trace: &mut Trace) -> Result<(), String> {
        let Some((position, script)) = input.split_first() else { return Ok(()) };
        let mut subject = Subject::new(position % 4);
        for step in steps(Reader(script)).take(2_000) {
            subject.run(&step, trace)?;
        }
        // It still works.
        subject.run(&Step::Tick(30), trace)
    }

    fn limits(&self) -> Limits {
        Limits { memory_bytes: 4 << 20, memory_bytes_per_byte: 256, ..Limits::default() }
    }
}

/// A script of what really happened to one node of a group.
fn record(position: u8, length: u64) -> Vec<u8> {
    let mut random = Random::new(u64::from(position) * 100 + length);
    let mut nodes: Vec<Subject> = (0..4).map(Subject::new).collect();
    let mut writer = Writer(vec![position]);
    let mut network: Vec<(usize, u64, Bytes)> = Vec::new();
    let mut trace = Trace::default();
    let mut act = |nodes: &mut Vec<Subject>, place: usize, step: Step<'_>| {
        if place == usize::from(position) {
            match &step {
                Step::Tick(count) => writer.op(0, &[*count]),
                Step::Frame(from, bytes) => writer.op_with(1, &[*from as u8], bytes),
                Step::Submit(place) => writer.op(3, &[*place]),
                Step::Clock(seconds) => writer.op(4, &[seconds.cast_unsigned()]),
                Step::Apply => writer.op(5, &[]),
                Step::Read => writer.op(6, &[]),
                Step::Adapted(..) => {}
            }
        }
        nodes[place].run(&step, &mut trace).expect("an honest group keeps its invariants");
    };
    for step in 0..length {
        for (to, from, bytes) in std::mem::take(&mut network) {
            if to < nodes.len() && !random.chance(30) {
                act(&mut nodes, to, Step::Frame(from, &bytes));
            }
        }
        for place in 0..nodes.len() {
            act(&mut nodes, place, Step::Tick(2));
            let leads = nodes[place].orderer.status().role == Role::Leader;
            if leads && random.chance(200) {
                act(&mut nodes, place, Step::Submit((step % 12) as u8));
            }
            if leads && random.chance(100) {
                act(&mut nodes, place, Step::Read);
            }
            if random.chance(50) {
                act(&mut nodes, place, Step::Clock(random.below(20) as i8 - 10));
            }
            act(&mut nodes, place, Step::Apply);
            let from = place as u64 + 1;
            let sent = std::mem::take(&mut nodes[place].sent);
            network.extend(sent.into_iter().map(|(to, bytes)| (to.0 as usize - 1, from, bytes)));
        }
    }
    writer.0
}
