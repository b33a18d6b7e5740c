//! Snapshots of the fixture's chain, and the way from one ledger to another.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "each test file uses a part; tests assert by panicking"
)]

use std::path::Path;

use galen_ledger::install::{Incoming, InstallProgress};
use galen_ledger::snapshot::{BaseProof, EpochEnd, EpochEndProof, SnapshotSource};
use galen_ledger::{BlockCommit, Ledger, LedgerOptions, Row, SnapshotError, state_root_of};
use galen_types::{Block, Certificate, Hash, Receipt};

use crate::fixture::{
    HANDOVER, certificate, commit, event_rows, genesis_state, next_block, options, transaction, voters,
};

/// Commits a block that also writes rows of 1 KiB, so that the state has several parts.
pub fn grow_wide(ledger: &Ledger, rows: u32) -> Block {
    let height = ledger.tip().unwrap().height + 1;
    let (mut block, mut made) = next_block(ledger, vec![transaction(100 * height)]);
    for row in 0..rows {
        let key = [b"w", height.to_be_bytes().as_slice(), &row.to_be_bytes()].concat();
        let value: Vec<u8> =
            (0..32).flat_map(|_| *Hash::of(galen_types::hash::Context::Proposal, &key).as_bytes()).collect();
        made.writes.push((key, Some(value)));
    }
    made.writes.sort();
    block.header.state_root = ledger.prepare_state(made.writes.clone()).unwrap().root();
    commit(ledger, &block, made);
    block
}

/// Certifies a height.
pub fn certify(ledger: &Ledger, height: u64) -> Certificate {
    let block = ledger.view().unwrap().block(height).unwrap().unwrap();
    let certificate = certificate(&block);
    ledger.put_certificate(&certificate).unwrap();
    certificate
}

/// Why the header at a height is to be believed.
pub fn proof(ledger: &Ledger, height: u64) -> BaseProof {
    let view = ledger.view().unwrap();
    let mut epoch_ends = Vec::new();
    if height >= HANDOVER {
        let block = view.block(HANDOVER).unwrap().unwrap();
        epoch_ends.push(EpochEnd {
            last: block.header.clone(),
            proof: EpochEndProof::Certificate(certificate(&block)),
            next: voters(1),
        });
    }
    let block = view.block(height).unwrap().unwrap();
    BaseProof { genesis_voters: voters(0), epoch_ends, trail: Vec::new(), certificate: certificate(&block) }
}

/// Fetches the parts that are missing.
pub fn receive(source: &SnapshotSource, incoming: &mut Incoming) {
    for index in incoming.missing(0, usize::MAX) {
        incoming.accept(index, &source.part(index).unwrap().unwrap()).unwrap();
    }
}

pub fn genesis_root() -> Hash {
    state_root_of(&genesis_state(), options().state_bucket_bits).unwrap()
}

/// Builds a ledger from what was received and puts it in place.
pub fn install(
    incoming: &mut Incoming,
    ledger: &Path,
    options: &LedgerOptions,
    progress: &mut dyn FnMut(InstallProgress),
) -> Result<(), SnapshotError> {
    incoming.build(ledger, options, genesis_root(), progress)?.put_in_place(progress)
}

/// Takes a snapshot of `source` and installs it in `target`.
pub fn transfer(source: &Ledger, folder: &Path, target: &Path) {
    let height = galen_ledger::snapshot::take(source, &folder.join("taken")).unwrap().manifest.header.height;
    let snapshot = galen_ledger::snapshot::open(&folder.join("taken"), height).unwrap();
    let proof = proof(source, height);
    let mut incoming = Incoming::begin(&folder.join("incoming"), snapshot.manifest().clone(), proof).unwrap();
    receive(&snapshot, &mut incoming);
    install(&mut incoming, target, &options(), &mut |_| {}).unwrap();
    incoming.discard().unwrap();
}

/// Every row of the state.
pub fn state(ledger: &Ledger) -> Vec<Row> {
    let view = ledger.view().unwrap();
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let after = rows.last().map(|(key, _)| key.clone());
        let more = view.state_scan(&[], after.as_deref(), 10_000).unwrap();
        if more.is_empty() {
            return rows;
        }
        rows.extend(more);
    }
}

/// A block as another ledger gives it for filling in.
pub struct Past {
    pub block: Block,
    pub receipts: Vec<Receipt>,
    pub events: Vec<Row>,
}

impl Past {
    pub fn of(ledger: &Ledger, height: u64) -> Self {
        let view = ledger.view().unwrap();
        let block = view.block(height).unwrap().unwrap();
        let receipts = view.receipts(height).unwrap();
        let events = event_rows(&block.header, &receipts);
        Self { block, receipts, events }
    }

    pub fn commit(&self) -> BlockCommit<'_> {
        BlockCommit { block: &self.block, receipts: &self.receipts, events: &self.events, next_voters: None }
    }
}
