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
//! | `voter_sets` | the genesis, the hash in the headers, and execution |
//! | `certificates`, `own_signatures`, `signatures`, `evidence` | their signatures, under the epoch's voters |
//! | `events` | recomputed from the receipts by [`Rules::event_rows`] |
//! | `meta` | a checksum on each row, and the rest of the chain |
//!
//! With a scratch folder, every block is executed again by [`Rules::execute`], and its receipts, state root and voters
//! are compared. RocksDB's block checksums find flipped bits in the files themselves on the way.

mod blocks;
mod finding;
mod meta_rows;
mod replay;
mod signatures;
mod state;
mod sweep;

use std::path::Path;

use galen_types::certificate::VoterSet;
use galen_types::{Block, BlockHeader, Receipt};

use crate::commit::StateWrite;
use crate::error::LedgerError;
use crate::ledger::{Ledger, LedgerOptions, check_settings};
use crate::meta::Settings;
use crate::store::Store;
use crate::view::Row;
use finding::Findings;
pub use finding::{Finding, Problem};

/// What verification needs to know of the contracts, and whom it tells how far it has come.
pub trait Rules {
    /// The rows of the event index that a block's receipts make.
    fn event_rows(&mut self, header: &BlockHeader, receipts: &[Receipt]) -> Vec<Row>;

    /// Executes a block on the state of its parent, which `scratch` holds.
    ///
    /// # Errors
    /// A text when the block cannot be executed.
    fn execute(&mut self, scratch: &Ledger, block: &Block) -> Result<Executed, String>;

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
    /// Blocks that were executed again with the same result; `None` when left out.
    pub executed: Option<u64>,
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
    let mut run = Run { options, findings: Findings::default(), report: VerifyReport::default() };
    {
        let reader = store.reader();
        let stored = meta_rows::settings(&reader, &mut run);
        if let Some(stored) = &stored {
            check_settings(path, stored, &Settings::of(memory))?;
        }
        let chain = blocks::verify(&reader, &mut run, rules);
        signatures::verify(&reader, &mut run, rules);
        state::verify(&reader, &mut run, rules, chain.state_root);
        meta_rows::verify(&reader, &mut run, &chain);
    }
    drop(store);
    if let Some(scratch) = options.scratch {
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
}

impl Run<'_> {
    /// Calls back every so many units.
    fn progress(&self, rules: &mut dyn Rules, step: Step, done: u64, total: Option<u64>) {
        if done.is_multiple_of(PROGRESS_EVERY) || Some(done) == total {
            rules.progress(Progress { step, done, total });
        }
    }
}
