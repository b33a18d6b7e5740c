//! Offline verification of a ledger's folder: every value in every column family is recomputed from others.
//!
//! | column | covered by |
//! |---|---|
//! | `headers` | the next header's parent, the history nodes, certificates and signatures |
//! | `transactions`, `receipts` | the roots in their header |
//! | `transaction_index` | the ids of the stored transactions, both ways |
//! | `state` | the entries of the buckets, both ways |
//! | `state_buckets`, `state_leaves` | recomputed hashes up to the header's state root |
//! | `history` | recomputed from the headers |
//! | `voter_sets` | the genesis, the hashes in the headers, and execution |
//! | `certificates`, `own_signatures`, `signatures`, `evidence` | their signatures, under the epoch's voters |
//! | `events` | recomputed from the receipts by [`Rules::event_rows`] |
//! | `meta` | a checksum on each row, and the rest of the chain |
//!
//! With a scratch folder, every block is executed again by [`Rules::execute`], and its receipts, state root and voters
//! are compared. RocksDB's block checksums find flipped bits in the files themselves on the way.

mod base;
mod blocks;
pub(crate) mod finding;
mod meta_rows;
mod replay;
mod signatures;
mod state;
pub(crate) mod sweep;

use std::ops::Range;
use std::path::Path;

use galen_types::certificate::VoterSet;
use galen_types::{Block, BlockHeader, Hash, Receipt};

use crate::commit::StateWrite;
use crate::error::LedgerError;
use crate::ledger::{Ledger, LedgerOptions, check_settings};
use crate::meta::{HistorySpan, Settings};
use crate::store::column::VoterSets;
use crate::store::{Reader, Store};
use crate::view::Row;
use finding::Findings;
pub use finding::{Finding, Problem};
use sweep::require;

/// What verification needs to know of the contracts, and whom it tells how far it has come.
pub trait Rules {
    /// The rows of the event index that a block's receipts make.
    fn event_rows(&mut self, header: &BlockHeader, receipts: &[Receipt]) -> Vec<Row>;

    /// Executes a block on the state of its parent, which `scratch` holds.
    ///
    /// # Errors
    /// A text when the block cannot be executed.
    fn execute(&mut self, scratch: &Ledger, block: &Block) -> Result<Executed, String>;

    /// Judges a block whose voters its parent did not announce: only a recovery that goes on from the parent (its height
    /// and hash) explains it. Gives the recovery's hash.
    ///
    /// # Errors
    /// A text when the block holds no such recovery.
    fn recovery(&mut self, block: &Block) -> Result<Hash, String>;

    /// Called now and then.
    fn progress(&mut self, progress: Progress);
}

/// What executing a block made.
#[derive(Debug, Clone, Default)]
pub struct Executed {
    /// One receipt a transaction.
    pub receipts: Vec<Receipt>,
    /// In ascending order of key, each key once.
    pub writes: Vec<StateWrite>,
    /// The voters after this block's epoch, where this block decides them.
    pub next_voters: Option<VoterSet>,
}

/// What is being verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Headers, transactions, receipts, history and indexes; counts blocks.
    Blocks,
    /// Certificates and signatures; counts them.
    Signatures,
    /// State and its tree; counts keys.
    State,
    /// Executing every block again; counts blocks.
    Execution,
}

/// How far a step has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The step.
    pub step: Step,
    /// Units done.
    pub done: u64,
    /// Units in all, where known.
    pub total: Option<u64>,
}

/// What a chain must begin with; taken from the genesis document, never from the folder.
#[derive(Debug, Clone)]
pub struct VerifyOptions<'genesis> {
    /// Genesis hash, chain and tree size; also the memory to use.
    pub ledger: LedgerOptions,
    /// The voters of epoch 0.
    pub genesis_voters: &'genesis VoterSet,
    /// The state before the first block, in ascending order of key.
    pub genesis_state: &'genesis [StateWrite],
    /// An empty or absent folder for executing every block again; removed at the end. `None` leaves execution out.
    pub scratch: Option<&'genesis Path>,
}

/// A recovery that the chain went on by: its members' administrators gave up a lost quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundRecovery {
    /// The height of its block.
    pub height: u64,
    /// What names it; [`Hash::ZERO`] when the block's transactions are not held here.
    pub recovery: Hash,
}

/// What was verified and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// The last block's height.
    pub height: u64,
    /// The highest height with a certificate that holds.
    pub certified_height: u64,
    /// Transactions whose bytes and receipts were checked.
    pub transactions: u64,
    /// Rows of the event index that were compared.
    pub events: u64,
    /// Keys of the state that were checked against the tree.
    pub state_keys: u64,
    /// Certificates that hold.
    pub certificates: u64,
    /// Signatures that hold, besides those in certificates.
    pub signatures: u64,
    /// Handovers from one voter set to the next, each certified by the old one below the certified height.
    pub handovers: u64,
    /// Recoveries that the chain went on by. Whether they were meant is for whoever reads this to judge.
    pub recoveries: Vec<FoundRecovery>,
    /// Blocks that were executed again with the same result; `None` when left out, or when transactions were pruned or
    /// not fetched: execution begins at the genesis.
    pub executed: Option<u64>,
    /// The lowest height whose header is held and was checked; 1 when the whole chain is here. Below it the ledger rests on
    /// a certified snapshot, whose proof was checked instead.
    pub headers_from: u64,
    /// The lowest height whose transactions, receipts and events are held and were checked.
    pub bodies_from: u64,
    /// What is wrong, at most [`FINDINGS_MAX`](crate::constants::FINDINGS_MAX).
    pub findings: Vec<Finding>,
    /// How many things are wrong in all.
    pub findings_total: u64,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings_total == 0
    }
}

/// Memory for the blocks that a scrub looks up.
const SCRUB_CACHE_BYTES: usize = 8 << 20;

/// Units of a step between two calls of [`Rules::progress`].
const PROGRESS_EVERY: u64 = 1_000;

/// Verifies the ledger in a folder; the node should be stopped.
///
/// # Errors
/// Only when the folder cannot be opened at all, or was made for another genesis. All else is a finding.
pub fn verify_ledger(
    path: &Path,
    options: &VerifyOptions<'_>,
    rules: &mut dyn Rules,
) -> Result<VerifyReport, LedgerError> {
    let memory = &options.ledger;
    let store = Store::open_read_only(path, memory.block_cache_bytes, memory.write_buffer_bytes)?;
    verify_store(path, store, options, rules)
}

/// Verifies a copy of a ledger ([`snapshot::copy`](crate::snapshot::copy)) as [`verify_ledger`] does, read from the medium
/// and not from the operating system's cache. `pace` is told of bytes as they are gone through and waits where that is too
/// fast; it returns `false` to end the reading, and what is reported then counts for nothing.
///
/// # Errors
/// As [`verify_ledger`].
pub fn scrub_copy(
    path: &Path,
    options: &VerifyOptions<'_>,
    rules: &mut dyn Rules,
    pace: impl Fn(u64) -> bool + Send + Sync + 'static,
) -> Result<VerifyReport, LedgerError> {
    let store = Store::open_to_scrub(path, SCRUB_CACHE_BYTES, Box::new(pace))?;
    verify_store(path, store, options, rules)
}

fn verify_store(
    path: &Path,
    store: Store,
    options: &VerifyOptions<'_>,
    rules: &mut dyn Rules,
) -> Result<VerifyReport, LedgerError> {
    let memory = &options.ledger;
    let mut run = Run {
        options,
        findings: Findings::default(),
        report: VerifyReport::default(),
        span: HistorySpan::default(),
        passed_over: Vec::new(),
    };
    {
        let reader = store.reader();
        let stored = meta_rows::settings(&reader, &mut run);
        if let Some(stored) = &stored {
            check_settings(path, stored, &Settings::of(memory))?;
        }
        run.span = meta_rows::span(&reader, &mut run);
        (run.report.headers_from, run.report.bodies_from) = (run.span.headers_from, run.span.bodies_from);
        base::verify(&reader, &mut run);
        let chain = blocks::verify(&reader, &mut run, rules);
        signatures::verify(&reader, &mut run, rules, &chain);
        state::verify(&reader, &mut run, rules, chain.state_root);
        meta_rows::verify(&reader, &mut run, &chain);
    }
    drop(store);
    let whole = run.span.headers_from == 1 && run.span.bodies_from == 1;
    if let Some(scratch) = options.scratch.filter(|_| whole) {
        replay::verify(path, scratch, &mut run, rules)?;
    }
    let mut report = run.report;
    report.findings_total = run.findings.total;
    report.findings = run.findings.kept;
    Ok(report)
}

/// A verification under way.
struct Run<'options> {
    options: &'options VerifyOptions<'options>,
    findings: Findings,
    report: VerifyReport,
    /// Which part of the chain is held.
    span: HistorySpan,
    /// Epochs below the base whose voters are not known: a recovery took their place before they certified anything.
    passed_over: Vec<Range<u64>>,
}

impl Run<'_> {
    /// The voters of an epoch, which must be held unless the epoch was passed over.
    fn voters(&mut self, reader: &Reader<'_>, epoch: u64) -> Option<VoterSet> {
        if self.passed_over.iter().any(|epochs| epochs.contains(&epoch)) {
            return reader.get::<VoterSets>(&epoch).ok().flatten();
        }
        require::<VoterSets>(reader, &mut self.findings, &epoch)
    }

    /// Calls back every so many units.
    fn progress(&self, rules: &mut dyn Rules, step: Step, done: u64, total: Option<u64>) {
        if done.is_multiple_of(PROGRESS_EVERY) || Some(done) == total {
            rules.progress(Progress { step, done, total });
        }
    }
}
