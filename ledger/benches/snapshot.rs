//! Size and seconds of a snapshot: taking, cutting and hashing its parts, receiving, and building a ledger from them:
//! `cargo bench -p galen-ledger --bench snapshot`. The state has `rows=N` rows of 110 bytes that do not compress, in 2^20
//! buckets. Peak memory is that of building alone.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark ends at the first fault")]

use std::time::Instant;

use galen_ledger::install::Incoming;
use galen_ledger::snapshot::{self, BaseProof};
use galen_ledger::{BlockCommit, Ledger, LedgerOptions, StateWrite};
use galen_types::certificate::VoterSet;
use galen_types::hash::Context;
use galen_types::{Block, BlockHeader, Certificate, Hash, Timestamp, merkle};

/// Rows that one block writes.
const BLOCK_ROWS: u64 = 250_000;

fn main() {
    // `cargo bench` says so; as a test it only shows that it still runs.
    let measured = std::env::args().any(|argument| argument == "--bench");
    let given = std::env::args().find_map(|argument| Some(argument.strip_prefix("rows=")?.parse().unwrap()));
    let rows: u64 = given.unwrap_or(if measured { 1_000_000 } else { 20_000 });
    let folder = tempfile::tempdir().unwrap();
    let options = LedgerOptions::new(Hash([1; 32]), "accounts".parse().unwrap(), 20);
    let source = Ledger::open(&folder.path().join("source"), &options).unwrap();
    let voters = VoterSet::new(0, Hash::ZERO, Vec::new());
    source.initialise(&source.prepare_state(Vec::new()).unwrap(), &voters).unwrap();
    let mut number = 0;
    while number < rows {
        let until = rows.min(number + BLOCK_ROWS);
        let mut writes: Vec<StateWrite> = (number..until).map(row).collect();
        writes.sort();
        let state = source.prepare_state(writes).unwrap();
        let block = Block { header: header(&source, state.root(), &voters), transactions: Vec::new() };
        let commit = BlockCommit { block: &block, receipts: &[], events: &[], next_voters: None };
        source.commit(&commit, &state).unwrap();
        number = until;
    }
    let started = Instant::now();
    let taken = snapshot::take(&source, &folder.path().join("snapshots")).unwrap();
    let (take, manifest) = (started.elapsed(), taken.manifest);
    let certificate =
        Certificate { height: manifest.header.height, header: manifest.header.hash(), signatures: Vec::new() };
    drop(source);
    let proof = BaseProof { genesis_voters: voters, epoch_ends: Vec::new(), trail: Vec::new(), certificate };
    let snapshot = snapshot::SnapshotSource::open(&taken.path).unwrap();
    let started = Instant::now();
    let mut incoming = Incoming::begin(&folder.path().join("incoming"), manifest.clone(), proof).unwrap();
    for index in incoming.missing(0, usize::MAX) {
        incoming.accept(index, &snapshot.part(index).unwrap().unwrap()).unwrap();
    }
    let receive = started.elapsed();
    drop(snapshot);
    // Starts the count of the greatest memory anew.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = memory("VmRSS:");
    let started = Instant::now();
    let path = folder.path().join("ledger");
    let built = incoming.build(&path, &options, Hash::ZERO, &mut |_| {}).unwrap();
    let build = started.elapsed();
    let peak = memory("VmHWM:");
    let started = Instant::now();
    built.put_in_place(&mut |_| {}).unwrap();
    let place = started.elapsed();
    assert_eq!(Ledger::open(&path, &options).unwrap().tip().unwrap().header.unwrap(), manifest.header);
    println!("rows={} mib={:.1} parts={}", manifest.rows, manifest.bytes as f64 / 1048576.0, manifest.parts.len());
    println!("take_s={:.2} paused_ms={:.1}", take.as_secs_f64(), taken.paused.as_secs_f64() * 1e3);
    println!("serve_and_receive_s={:.2}", receive.as_secs_f64());
    println!("build_s={:.2} build_rows_per_s={:.0}", build.as_secs_f64(), rows as f64 / build.as_secs_f64());
    println!("memory_before={before} build_memory_peak={peak} put_in_place_ms={:.1}", place.as_secs_f64() * 1e3);
}

/// What the system says of this process's memory.
fn memory(line: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status.lines().find_map(|text| text.strip_prefix(line)).unwrap().trim().to_owned()
}

fn row(number: u64) -> StateWrite {
    let mut value = vec![0; 100];
    let mut hasher = Context::Proposal.hasher();
    hasher.update(&number.to_le_bytes()).finalize_xof().fill(&mut value);
    let mut key = vec![b'k', b'/'];
    key.extend_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    (key, Some(value))
}

fn header(ledger: &Ledger, state_root: Hash, voters: &VoterSet) -> BlockHeader {
    let tip = ledger.tip().unwrap();
    let nothing = merkle::root(std::iter::empty());
    BlockHeader {
        genesis: ledger.genesis_hash(),
        chain: ledger.chain().clone(),
        height: tip.height + 1,
        parent: tip.hash,
        time: Timestamp(tip.height + 1),
        epoch: 0,
        voter_set: voters.hash(),
        next_voter_set: voters.hash(),
        rules_version: 1,
        proposer: "node-1.harlem".parse().unwrap(),
        raft_term: 1,
        raft_index: tip.height + 1,
        transactions_root: nothing,
        receipts_root: nothing,
        history_root: ledger.history_root().unwrap(),
        state_root,
    }
}
