//! Executes every block again, on a ledger of its own made from the genesis, and compares what it makes.

use std::path::Path;

use galen_types::{Block, BlockHeader};

use super::finding::Problem;
use super::meta_rows;
use super::{Rules, Run, Step};
use crate::commit::BlockCommit;
use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::meta::{GenesisRoot, MetaRow as _};
use crate::store::bytes::{Key as _, Location};
use crate::store::column::{Headers, Meta, Receipts, VoterSets};
use crate::store::{Reader, Store};
use crate::view::View;

/// Goes from the genesis up to the first block that does not come out the same: after it every state would differ.
pub(super) fn verify(path: &Path, scratch: &Path, run: &mut Run<'_>, rules: &mut dyn Rules) -> Result<(), LedgerError> {
    let options = run.options;
    let memory = &options.ledger;
    let store = Store::open_read_only(path, memory.block_cache_bytes, memory.write_buffer_bytes)?;
    let ledger = Ledger::open(scratch, memory)?;
    let genesis = ledger.prepare_state(options.genesis_state.to_vec())?;
    ledger.initialise(&genesis, options.genesis_voters)?;
    let reader = store.reader();
    if let Some(stored) = meta_rows::row::<GenesisRoot>(&reader, &mut run.findings) {
        let key = GenesisRoot::KEY.as_bytes();
        run.findings.check::<Meta, _>(key, "state root of the genesis", &stored.root, &genesis.root());
    }
    let height = run.report.height;
    let source = View::new(store.reader(), memory.genesis_hash)?;
    let mut executed = 0;
    while executed < height {
        let next = executed + 1;
        let same = match source.block(next) {
            Ok(Some(block)) => execute(&reader, &source, &ledger, run, rules, &block),
            // A missing or malformed header was found before.
            Ok(None) | Err(LedgerError::Damaged { .. }) => false,
            Err(error) => {
                run.findings.add_error::<Headers>(&next.bytes(), error);
                false
            }
        };
        if !same {
            break;
        }
        executed = next;
        run.progress(rules, Step::Execution, executed, Some(height));
    }
    run.report.executed = Some(executed);
    drop(source);
    drop(reader);
    drop(ledger);
    std::fs::remove_dir_all(scratch)
        .map_err(|error| LedgerError::Write(format!("`{}` cannot be removed: {error}", scratch.display())))
}

/// Executes one block; says whether it came out the same.
fn execute(
    reader: &Reader<'_>,
    source: &View<'_>,
    scratch: &Ledger,
    run: &mut Run<'_>,
    rules: &mut dyn Rules,
    block: &Block,
) -> bool {
    let header: &BlockHeader = &block.header;
    let key = header.height.bytes();
    let before = run.findings.total;
    let result = match rules.execute(scratch, block) {
        Ok(result) => result,
        Err(problem) => {
            run.findings.add::<Headers>(&key, Problem::Execution(problem));
            return false;
        }
    };
    let stored = source.receipts(header.height).unwrap_or_default();
    run.findings.check::<Receipts, _>(&key, "count", &stored.len(), &result.receipts.len());
    for ((index, stored), made) in (0..).zip(&stored).zip(&result.receipts) {
        if stored != made {
            let location = Location { height: header.height, index };
            let problem = Problem::differs("receipt's hash", stored.hash(), made.hash());
            run.findings.add::<Receipts>(&location.bytes(), problem);
        }
    }
    if let Some(set) = &result.next_voters
        && let Some(stored) = run.voters(reader, set.epoch)
    {
        run.findings.check::<VoterSets, _>(&set.epoch.bytes(), "hash", &stored.hash(), &set.hash());
    }
    let state = match scratch.prepare_state(result.writes) {
        Ok(state) => state,
        Err(error) => {
            run.findings.add::<Headers>(&key, Problem::Execution(error.to_string()));
            return false;
        }
    };
    run.findings.check::<Headers, _>(&key, "state root", &header.state_root, &state.root());
    if run.findings.total != before {
        return false;
    }
    let commit =
        BlockCommit { block, receipts: &result.receipts, events: &[], next_voters: result.next_voters.as_ref() };
    match scratch.commit(&commit, &state) {
        Ok(()) => true,
        Err(error) => {
            run.findings.add::<Headers>(&key, Problem::Execution(error.to_string()));
            false
        }
    }
}
