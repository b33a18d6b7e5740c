//! An offline check of a ledger's folder: every stored value is recomputed, and every block executed again from the
//! founding document.

use std::path::Path;

use galen_contracts::BlockContext;
use galen_ledger::verify::{Executed, Rules, VerifyOptions};
use galen_ledger::{Ledger, LedgerError, LedgerOptions, Row};
use galen_types::{Block, BlockHeader, DecodedTransaction, Genesis, Hash, Receipt};

pub use galen_ledger::verify::{Finding, FoundRecovery, Problem, Progress, Step, VerifyReport};

use crate::executor::LedgerState;
use crate::executor::execute::{event_index, run};
use crate::executor::founding_writes;
use crate::recovery::HeldRecovery;
use crate::signatures::VerifiedCache;

/// The rules as verification calls them.
struct ReExecution<'progress> {
    genesis: Hash,
    founders: Hash,
    verified: VerifiedCache,
    pruned_to: Option<Vec<u8>>,
    on_progress: &'progress mut dyn FnMut(Progress),
}

impl Rules for ReExecution<'_> {
    fn event_rows(&mut self, header: &BlockHeader, receipts: &[Receipt]) -> Vec<Row> {
        event_index(header.height, receipts)
    }

    fn execute(&mut self, scratch: &Ledger, block: &Block) -> Result<Executed, String> {
        let state = LedgerState(scratch.view().map_err(|error| error.to_string())?);
        let parent = scratch.tip().map_err(|error| error.to_string())?;
        let announced = parent
            .header
            .as_ref()
            .map_or((0, self.founders), |header| (galen_ledger::next_epoch(header), header.next_voter_set));
        let recovery = block.header.voter_set != announced.1;
        if recovery {
            let held = recovery_of(block, &self.genesis)?;
            if !held.continues(parent.height, &parent.hash) {
                return Err(String::from("its recovery goes on from another header"));
            }
        }
        let context = BlockContext {
            genesis: self.genesis,
            height: block.header.height,
            time: block.header.time,
            rules_version: block.header.rules_version,
            epoch: announced.0,
            recovery,
        };
        let decode = |bytes: &Vec<u8>| DecodedTransaction::decode(bytes.clone(), bytes.len());
        let transactions: Vec<_> =
            block.transactions.iter().map(decode).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        let run = run(&state, &context, &self.verified, self.pruned_to.as_deref(), transactions);
        let run = run.map_err(|error| error.to_string())?;
        self.pruned_to = run.pruned_to.or(self.pruned_to.take());
        match run.void.first() {
            Some((id, reason)) => Err(format!("transaction {id} stands in the block and is void: {reason}")),
            None => Ok(Executed { receipts: run.receipts, writes: run.writes, next_voters: run.next_voters }),
        }
    }

    fn recovery(&mut self, block: &Block) -> Result<Hash, String> {
        let held = recovery_of(block, &self.genesis)?;
        if held.recovery.height.checked_add(1) != Some(block.header.height)
            || held.recovery.header != block.header.parent
        {
            return Err(String::from("its recovery goes on from another header"));
        }
        Ok(held.hash)
    }

    fn progress(&mut self, progress: Progress) {
        (self.on_progress)(progress);
    }
}

/// The recovery that a recovery block holds, and nothing else.
fn recovery_of(block: &Block, genesis: &Hash) -> Result<HeldRecovery, String> {
    let [transaction] = block.transactions.as_slice() else {
        return Err(String::from("it does not hold one recovery and nothing else"));
    };
    HeldRecovery::from_bytes(transaction, genesis).map_err(|error| error.to_string())
}

/// Checks the ledger in a folder against the founding document. With a scratch folder (which must not exist yet), every
/// block is executed again in it.
///
/// # Errors
/// [`LedgerError`] when there is no ledger, it belongs to another chain, or it is open elsewhere. What is wrong inside is
/// in the report.
pub fn verify_folder(
    folder: &Path,
    genesis: &Genesis,
    scratch: Option<&Path>,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<VerifyReport, LedgerError> {
    with_rules(genesis, scratch, on_progress, |options, rules| {
        galen_ledger::verify::verify_ledger(folder, options, rules)
    })
}

/// Checks a copy of a running node's ledger against the founding document, read from the medium at the pace that `pace`
/// allows ([`galen_ledger::verify::scrub_copy`]); no block is executed.
///
/// # Errors
/// As [`verify_folder`].
pub fn scrub_copy(
    folder: &Path,
    genesis: &Genesis,
    pace: impl Fn(u64) -> bool + Send + Sync + 'static,
) -> Result<VerifyReport, LedgerError> {
    with_rules(genesis, None, &mut |_| {}, |options, rules| {
        galen_ledger::verify::scrub_copy(folder, options, rules, pace)
    })
}

fn with_rules(
    genesis: &Genesis,
    scratch: Option<&Path>,
    on_progress: &mut dyn FnMut(Progress),
    verify: impl FnOnce(&VerifyOptions<'_>, &mut dyn Rules) -> Result<VerifyReport, LedgerError>,
) -> Result<VerifyReport, LedgerError> {
    let genesis_hash = genesis.hash();
    let voters = genesis.voter_set();
    let state = founding_writes(genesis);
    let options = VerifyOptions {
        ledger: LedgerOptions::new(genesis_hash, genesis.chain.clone(), genesis.state_bucket_bits),
        genesis_voters: &voters,
        genesis_state: &state,
        scratch,
    };
    let mut rules = ReExecution {
        genesis: genesis_hash,
        founders: voters.hash(),
        verified: VerifiedCache::default(),
        pruned_to: None,
        on_progress,
    };
    verify(&options, &mut rules)
}
