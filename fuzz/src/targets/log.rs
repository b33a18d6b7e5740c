//! Segment files of the ordering log, mutated, and the log opened: it finds the damage, or gives back what was written.

use std::collections::HashSet;
use std::path::Path;

use bytes::Bytes;
use galen_consensus::vfs::{SimVfs, Vfs as _};
use galen_consensus::{
    CoreConfig, Entry, EntryKind, HardState, Identity, Log, LogOptions, Membership, MembershipAt, Persist,
    PersistToken, RaftCore, RaftId, Recovered, SnapshotChange, SnapshotMeta,
};

use crate::hold;
use crate::random::Random;
use crate::target::{Limits, Target, Trace};

const FOLDER: &str = "log";
const SEGMENT: LogOptions = LogOptions { segment_bytes: 700 };

fn identity() -> Identity {
    Identity { cluster: [7; 32], node: RaftId(1) }
}

/// The log's folder as one input: for each file its number (one byte), its length, its bytes.
fn pack(disk: &SimVfs) -> Vec<u8> {
    let mut input = Vec::new();
    for name in disk.list(Path::new(FOLDER)).expect("the simulated folder is there") {
        let Some(number) = name.strip_suffix(".log").and_then(|number| number.parse::<u64>().ok()) else { continue };
        let bytes = disk.read(&Path::new(FOLDER).join(&name)).expect("the simulated file is there");
        input.push(number as u8);
        input.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        input.extend_from_slice(&bytes);
    }
    input
}

fn files(mut input: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut files = Vec::new();
    while let [number, l0, l1, l2, l3, rest @ ..] = input {
        let length = (u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize).min(rest.len());
        files.push((*number, rest[..length].to_vec()));
        input = &rest[length..];
    }
    files
}

fn unpack(files: &[(u8, Vec<u8>)]) -> SimVfs {
    let disk = SimVfs::default();
    for (number, bytes) in files {
        disk.overwrite(&Path::new(FOLDER).join(format!("{number:020}.log")), bytes.clone());
    }
    disk
}

fn repack(files: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut input = Vec::new();
    for (number, bytes) in files {
        input.push(*number);
        input.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        input.extend_from_slice(bytes);
    }
    input
}

/// Log recovery.
pub struct LogRecovery {
    seeds: Vec<Vec<u8>>,
    entries: HashSet<(u64, u64, Bytes)>,
    states: HashSet<(u64, Option<RaftId>, u64)>,
    snapshots: HashSet<u64>,
}

impl Default for LogRecovery {
    fn default() -> Self {
        let (entries, states, snapshots) = (HashSet::new(), HashSet::new(), HashSet::new());
        let mut target = Self { seeds: Vec::new(), entries, states, snapshots };
        target.seeds = (0..6).map(|seed| pack(&target.write(seed * 6))).collect();
        target
    }
}

impl LogRecovery {
    /// Writes a log as a node does: entries, votes, a suffix replaced, a cut, a restored snapshot.
    fn write(&mut self, seed: u64) -> SimVfs {
        let mut random = Random::new(seed);
        let disk = SimVfs::default();
        let (mut log, _) = Log::open(disk.clone(), Path::new(FOLDER), identity(), SEGMENT).expect("a new log opens");
        let membership = Membership::new([RaftId(1), RaftId(2), RaftId(3)], []);
        let (mut last, mut term, mut commit, mut cut) = (0_u64, 1, 0, 0);
        for token in 0..12 + seed {
            let replaces = random.chance(150) && last > commit;
            if replaces {
                last -= 1;
            }
            term += u64::from(replaces || random.chance(200));
            let mut entries = Vec::new();
            for _ in 0..random.below(4) {
                last += 1;
                let data = vec![b'a' + random.below(26) as u8; 1 + random.below(60)];
                let entry = Entry { index: last, term, kind: EntryKind::Data, data: data.into() };
                self.entries.insert((entry.index, entry.term, entry.data.clone()));
                entries.push(entry);
            }
            // Cut below what an earlier batch made durable, as a node does.
            let durable = commit;
            commit = commit.max(last.saturating_sub(random.below(3) as u64));
            let state = HardState { term, vote: Some(RaftId(1 + random.below(3) as u64)), commit };
            self.states.insert((state.term, state.vote, state.commit));
            let snapshot = (random.chance(150) && durable > cut).then(|| {
                cut = durable;
                self.snapshots.insert(cut);
                SnapshotChange::Compacted(SnapshotMeta {
                    index: cut,
                    term,
                    membership: MembershipAt { index: 0, membership: membership.clone() },
                    context: Bytes::from_static(b"height and hash"),
                })
            });
            let first = MembershipAt { index: 0, membership: membership.clone() };
            let membership = (token == 0).then_some(first);
            let token = PersistToken(token + 1);
            log.append(&[Persist { token, snapshot, entries, membership, hard_state: Some(state) }])
                .expect("the simulated disk takes it");
        }
        disk
    }

    fn check(&self, recovered: &Recovered) -> Result<(), String> {
        let mut last = recovered.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
        if recovered.snapshot.is_some() {
            hold!(self.snapshots.contains(&last), "a cut at {last}, which never was");
        }
        for entry in &recovered.entries {
            hold!(entry.index == last + 1, "entry {} after {last}", entry.index);
            last = entry.index;
            let known = self.entries.contains(&(entry.index, entry.term, entry.data.clone()));
            hold!(known, "entry {} of term {} is not one that was written", entry.index, entry.term);
        }
        let state = recovered.hard_state;
        let known = self.states.contains(&(state.term, state.vote, state.commit)) || state == HardState::default();
        hold!(known, "a state that was never written: {state:?}");
        Ok(())
    }
}

impl Target for LogRecovery {
    fn seeds(&mut self) -> Vec<Vec<u8>> {
        self.seeds.clone()
    }

    fn reshape(&mut self, input: &[u8], other: &[u8], random: &mut Random) -> Option<Vec<u8>> {
        let mut files = files(input);
        let others = self::files(other);
        if files.is_empty() || others.is_empty() {
            return None;
        }
        let at = random.below(files.len());
        match random.below(6) {
            0 => drop(files.remove(at)),
            1 => files[at].1 = others[random.below(others.len())].1.clone(),
            2 => {
                let length = files[at].1.len();
                files[at].1.truncate(random.below(length + 1));
            }
            3 => {
                // Sectors that the disk lost.
                let start = random.below(files[at].1.len().max(1));
                files[at].1.iter_mut().skip(start).take(512).for_each(|byte| *byte = 0);
            }
            4 => files[at].0 = files[at].0.wrapping_add(1 + random.below(3) as u8),
            _ => {
                let bytes = &mut files[at].1;
                if !bytes.is_empty() {
                    let place = random.below(bytes.len());
                    bytes[place] ^= 1 << random.below(8);
                }
            }
        }
        Some(repack(&files))
    }

    fn run(&mut self, input: &[u8], trace: &mut Trace) -> Result<(), String> {
        let disk = unpack(&files(input));
        let open = |disk: &SimVfs| Log::open(disk.clone(), Path::new(FOLDER), identity(), SEGMENT);
        let (mut log, recovered) = match open(&disk) {
            Ok(opened) => opened,
            Err(error) => {
                trace.reach(error.code());
                return Ok(());
            }
        };
        trace.accept();
        trace.reach((recovered.torn.is_some(), recovered.snapshot.is_some(), recovered.entries.len()));
        self.check(&recovered)?;
        // What it holds is what it goes on to hold: it takes a write, and gives back both.
        let last = recovered.snapshot.as_ref().map_or(0, |snapshot| snapshot.index) + recovered.entries.len() as u64;
        // A torn write may have left an entry of a term whose number it took with it; a core begins at the entry's.
        let term = recovered.entries.last().map_or(1, |entry| entry.term).max(recovered.hard_state.term);
        let entry = Entry { index: last + 1, term, kind: EntryKind::Data, data: Bytes::from_static(b"next") };
        let hard_state = Some(HardState { term, ..recovered.hard_state });
        let next =
            Persist { token: PersistToken(1), snapshot: None, entries: vec![entry], membership: None, hard_state };
        log.append(&[next]).map_err(|error| format!("an opened log takes no write: {error}"))?;
        drop(log);
        let (_, again) = open(&disk).map_err(|error| format!("it opened once, not again: {error}"))?;
        hold!(again.entries.len() == recovered.entries.len() + 1, "what was written after recovery is gone");
        hold!(again.entries[..recovered.entries.len()] == recovered.entries, "the entries are others the second time");
        hold!(again.snapshot == recovered.snapshot, "the snapshot is another the second time");
        let applied = recovered.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
        let founders = Membership::new([RaftId(1), RaftId(2), RaftId(3)], []);
        match RaftCore::new(CoreConfig::new(RaftId(1), founders, 1), recovered, applied) {
            Ok(mut core) => core.tick().map_err(|error| format!("a recovered core stops: {error}"))?,
            Err(error) => trace.reach(error.code()),
        }
        Ok(())
    }

    fn limits(&self) -> Limits {
        Limits { memory_bytes: 2 << 20, ..Limits::default() }
    }
}
