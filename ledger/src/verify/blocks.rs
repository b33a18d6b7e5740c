//! Headers link, transactions and receipts give their roots, and history and indexes say what the blocks say.

use std::collections::BTreeSet;

use galen_types::certificate::VoterSet;
use galen_types::encoding::Encoding as _;
use galen_types::merkle::{self, MountainRange};
use galen_types::transaction::SignedTransaction;
use galen_types::{Block, BlockHeader, Hash, Receipt, TransactionId};

use super::finding::{Findings, Problem};
use super::sweep::{Sweep, require};
use super::{FoundRecovery, Rules, Run, Step};
use crate::commit::completed_nodes;
use crate::constants::STORED_VALUE_BYTES_MAX;
use crate::store::bytes::{HistoryPosition, Key as _, Location};
use crate::store::column::{Column, Events, Headers, History, Receipts, TransactionIndex, Transactions, VoterSets};
use crate::store::{Reader, Span};
use crate::{handover, history};

/// What the headers say of the chain as a whole.
pub(super) struct Chain {
    pub(super) tip: Option<BlockHeader>,
    pub(super) history: MountainRange,
    /// The state root of the tip; before the first block, the one of the genesis.
    pub(super) state_root: Option<Hash>,
    /// Last blocks of epochs.
    pub(super) handovers: Vec<u64>,
    /// First blocks of epochs that no header announced.
    pub(super) recoveries: Vec<u64>,
}

/// Rows of transactions and receipts, read in step with the headers.
struct Bodies<'reader> {
    transactions: Sweep<'reader, Transactions>,
    receipts: Sweep<'reader, Receipts>,
}

pub(super) fn verify(reader: &Reader<'_>, run: &mut Run<'_>, rules: &mut dyn Rules) -> Chain {
    let mut chain = Chain {
        tip: None,
        history: MountainRange::default(),
        state_root: None,
        handovers: Vec::new(),
        recoveries: Vec::new(),
    };
    let span = run.span;
    // Above a gap at the genesis, the first header's parent and epoch rest on the headers above it and on the base's proof.
    let whole = span.headers_from == 1;
    let (mut parent, mut next_height) = (whole.then_some(run.options.ledger.genesis_hash), span.headers_from);
    let mut headers = Sweep::<Headers>::new(reader, &mut run.findings);
    let mut bodies =
        Bodies { transactions: Sweep::new(reader, &mut run.findings), receipts: Sweep::new(reader, &mut run.findings) };
    let mut voters = Some(run.options.genesis_voters.clone());
    check_genesis_voters(reader, run);
    let mut events = 0;
    while let Some(row) = headers.next(&mut run.findings) {
        let height = row.key;
        while next_height < height {
            run.findings.add::<Headers>(&next_height.bytes(), Problem::Missing);
            next_height += 1;
        }
        next_height = height.saturating_add(1);
        let Some(header) = row.value else { continue };
        check_header(run, &header, height, parent.as_ref(), chain.tip.as_ref());
        if parent.is_some() {
            check_epoch(reader, run, rules, &header, &mut chain);
        }
        check_voters(reader, run, &header, &mut voters);
        let hash = header.hash();
        if !whole && height == span.base_height {
            chain.history = base_history(reader, run, height);
        }
        if whole || height >= span.base_height {
            let root = chain.history.root();
            run.findings.check::<Headers, _>(&row.key_bytes, "history root", &header.history_root, &root);
            check_history(reader, run, &chain.history, hash);
            chain.history.append(hash);
        } else {
            check_history_node(reader, run, &HistoryPosition { level: 0, index: height.saturating_sub(1) }, &hash);
        }
        parent = Some(hash);
        if height >= span.bodies_from {
            let receipts = check_bodies(reader, run, &mut bodies, &header);
            events += check_events(reader, run, rules, &header, &receipts);
        }
        chain.tip = Some(header);
        run.report.height = height;
        run.progress(rules, Step::Blocks, height, None);
    }
    chain.state_root = chain.tip.as_ref().map(|header| header.state_root);
    run.report.events = events;
    check_strays(reader, run, rules, &mut bodies, &chain);
    chain
}

fn check_header(
    run: &mut Run<'_>,
    header: &BlockHeader,
    height: u64,
    parent: Option<&Hash>,
    before: Option<&BlockHeader>,
) {
    let key = height.bytes();
    let findings = &mut run.findings;
    findings.check::<Headers, _>(&key, "height", &header.height, &height);
    if let Some(parent) = parent {
        findings.check::<Headers, _>(&key, "parent", &header.parent, parent);
    }
    findings.check::<Headers, _>(&key, "genesis hash", &header.genesis, &run.options.ledger.genesis_hash);
    findings.check::<Headers, _>(&key, "chain", &header.chain, &run.options.ledger.chain);
    let Some(before) = before else { return };
    let follows = |what, stored: u64, least: u64| {
        (stored < least).then(|| Problem::differs(what, stored, format!("at least {least}")))
    };
    let ordered = [
        follows("time", header.time.0, before.time.0.saturating_add(1)),
        follows("term of the ordering log", header.raft_term, before.raft_term),
        follows("index of the ordering log", header.raft_index, before.raft_index.saturating_add(1)),
    ];
    for problem in ordered.into_iter().flatten() {
        findings.add::<Headers>(&key, problem);
    }
}

/// The header is of the epoch that its parent announced, or its block holds the recovery that explains another.
fn check_epoch(reader: &Reader<'_>, run: &mut Run<'_>, rules: &mut dyn Rules, header: &BlockHeader, chain: &mut Chain) {
    let key = header.height.bytes();
    let founders = run.options.genesis_voters.hash();
    let (mut epoch, voters) = handover::announced(chain.tip.as_ref(), founders);
    if header.voter_set != voters && header.height < run.span.bodies_from {
        // What explains it was pruned or not fetched; that voters certified it is checked with the certificates.
        epoch = epoch.saturating_add(1);
        chain.recoveries.push(header.height);
        let voters = run.voters(reader, header.epoch);
        let recovery = voters.map_or(Hash::ZERO, |voters| voters.lineage);
        run.report.recoveries.push(FoundRecovery { height: header.height, recovery });
    } else if header.voter_set != voters {
        let rows = reader.rows::<Transactions>(Span::prefix(&key));
        let transactions = rows.and_then(|rows| rows.map(|row| row.map(|(_, bytes)| bytes)).collect());
        let block = Block { header: header.clone(), transactions: transactions.unwrap_or_default() };
        match rules.recovery(&block) {
            Ok(recovery) => {
                epoch = epoch.saturating_add(1);
                chain.recoveries.push(header.height);
                run.report.recoveries.push(FoundRecovery { height: header.height, recovery });
            }
            Err(problem) => run.findings.add::<Headers>(
                &key,
                Problem::differs(
                    "voter set",
                    header.voter_set,
                    format!("the announced one, {voters}; no recovery explains it: {problem}"),
                ),
            ),
        }
    }
    run.findings.check::<Headers, _>(&key, "epoch", &header.epoch, &epoch);
    if handover::hands_over(header) {
        chain.handovers.push(header.height);
        run.report.handovers += 1;
        let next = handover::next_epoch(header);
        if let Some(set) = run.voters(reader, next) {
            let key = next.bytes();
            run.findings.check::<VoterSets, _>(&key, "hash", &set.hash(), &header.next_voter_set);
        }
    }
}

fn check_genesis_voters(reader: &Reader<'_>, run: &mut Run<'_>) {
    let expected = run.options.genesis_voters;
    if let Some(stored) = require::<VoterSets>(reader, &mut run.findings, &0) {
        run.findings.check::<VoterSets, _>(&0_u64.bytes(), "hash", &stored.hash(), &expected.hash());
    }
}

/// The header names the voters of its epoch; the set is looked up when the epoch changes.
fn check_voters(reader: &Reader<'_>, run: &mut Run<'_>, header: &BlockHeader, voters: &mut Option<VoterSet>) {
    if voters.as_ref().is_none_or(|set| set.epoch != header.epoch) {
        *voters = run.voters(reader, header.epoch);
    }
    if let Some(set) = voters {
        let key = header.epoch.bytes();
        run.findings.check::<VoterSets, _>(&key, "hash", &set.hash(), &header.voter_set);
    }
}

fn check_history(reader: &Reader<'_>, run: &mut Run<'_>, before: &MountainRange, hash: Hash) {
    for (position, node) in completed_nodes(before, hash) {
        check_history_node(reader, run, &position, &node);
    }
}

fn check_history_node(reader: &Reader<'_>, run: &mut Run<'_>, position: &HistoryPosition, node: &Hash) {
    if let Some(stored) = require::<History>(reader, &mut run.findings, position) {
        run.findings.check::<History, _>(&position.bytes(), "hash", &stored, node);
    }
}

/// The mountain range that a ledger's base begins with: its root is compared with the base's header.
fn base_history(reader: &Reader<'_>, run: &mut Run<'_>, base: u64) -> MountainRange {
    history::range_before(reader, base).unwrap_or_else(|error| {
        run.findings.add_error::<History>(&base.bytes(), error);
        MountainRange::default()
    })
}

/// Checks the transactions and receipts of a block against its roots and against the index; gives the receipts.
fn check_bodies(reader: &Reader<'_>, run: &mut Run<'_>, bodies: &mut Bodies<'_>, header: &BlockHeader) -> Vec<Receipt> {
    let height = header.height;
    let findings = &mut run.findings;
    let transactions = rows_of(&mut bodies.transactions, findings, height);
    let receipt_rows = rows_of(&mut bodies.receipts, findings, height);
    let key = height.bytes();
    let root = merkle::root(transactions.iter().map(Vec::as_slice));
    findings.check::<Transactions, _>(&key, "root", &root, &header.transactions_root);
    let root = merkle::root(receipt_rows.iter().map(Vec::as_slice));
    findings.check::<Receipts, _>(&key, "root", &root, &header.receipts_root);
    findings.check::<Receipts, _>(&key, "count", &receipt_rows.len(), &transactions.len());
    let mut receipts = Vec::with_capacity(receipt_rows.len());
    for (index, bytes) in (0..).zip(&receipt_rows) {
        // Malformed ones are reported by the sweep.
        let Ok(receipt) = Receipt::decode(bytes, STORED_VALUE_BYTES_MAX) else { continue };
        let location = Location { height, index };
        if let Some(id) = transactions.get(index as usize).and_then(|bytes| transaction_id(bytes)) {
            findings.check::<Receipts, _>(&location.bytes(), "transaction", &receipt.transaction, &id);
            if let Some(stored) = require::<TransactionIndex>(reader, findings, &id)
                && stored != location
            {
                let problem = Problem::differs("location", print(&stored), print(&location));
                findings.add::<TransactionIndex>(&id.bytes(), problem);
            }
        }
        receipts.push(receipt);
    }
    run.report.transactions += transactions.len() as u64;
    receipts
}

/// The rows of one height in their order; rows of heights without a header are strays.
fn rows_of<C>(sweep: &mut Sweep<'_, C>, findings: &mut Findings, height: u64) -> Vec<Vec<u8>>
where
    C: Column<Key = Location>,
{
    let mut rows = Vec::new();
    while let Some(row) = sweep.next_if(findings, |key| key.height <= height) {
        if row.key.height < height {
            findings.add::<C>(&row.key_bytes, Problem::Stray);
            continue;
        }
        if row.key.index as usize != rows.len() {
            findings.check::<C, _>(&row.key_bytes, "place", &(row.key.index as usize), &rows.len());
        }
        rows.push(row.value_bytes);
    }
    rows
}

fn transaction_id(bytes: &[u8]) -> Option<TransactionId> {
    SignedTransaction::decode(bytes, STORED_VALUE_BYTES_MAX).ok().map(|transaction| transaction.id())
}

fn print(location: &Location) -> String {
    format!("height {} place {}", location.height, location.index)
}

fn check_events(
    reader: &Reader<'_>,
    run: &mut Run<'_>,
    rules: &mut dyn Rules,
    header: &BlockHeader,
    receipts: &[Receipt],
) -> u64 {
    let mut found = 0;
    for (key, value) in rules.event_rows(header, receipts) {
        if let Some(stored) = require::<Events>(reader, &mut run.findings, &key) {
            found += 1;
            if stored != value {
                let problem = Problem::differs("value", super::state::print(&stored), super::state::print(&value));
                run.findings.add::<Events>(&key, problem);
            }
        }
    }
    found
}

/// Rows that no block accounts for.
fn check_strays(reader: &Reader<'_>, run: &mut Run<'_>, rules: &mut dyn Rules, bodies: &mut Bodies<'_>, chain: &Chain) {
    let findings = &mut run.findings;
    while let Some(row) = bodies.transactions.next(findings) {
        findings.add::<Transactions>(&row.key_bytes, Problem::Stray);
    }
    while let Some(row) = bodies.receipts.next(findings) {
        findings.add::<Receipts>(&row.key_bytes, Problem::Stray);
    }
    let mut history = Sweep::<History>::new(reader, findings);
    while let Some(row) = history.next(findings) {
        let leaves = u32::from(row.key.level);
        let end = 1_u64.checked_shl(leaves).and_then(|width| row.key.index.checked_add(1)?.checked_mul(width));
        if end.is_none_or(|end| end > chain.history.length()) {
            findings.add::<History>(&row.key_bytes, Problem::Stray);
        } else if let Some(stored) = row.value
            && let Some(joined) = joined_halves(reader, &row.key)
        {
            findings.check::<History, _>(&row.key_bytes, "hash", &stored, &joined);
        }
    }
    let mut index = Sweep::<TransactionIndex>::new(reader, findings);
    while let Some(row) = index.next(findings) {
        let Some(location) = row.value else { continue };
        if (1..run.span.bodies_from).contains(&location.height) {
            // Its transaction was pruned.
            continue;
        }
        let stored = reader.get::<Transactions>(&location).ok().flatten();
        if stored.and_then(|bytes| transaction_id(&bytes)) != Some(row.key) {
            findings.add::<TransactionIndex>(&row.key_bytes, Problem::Stray);
        }
    }
    let last_epoch = chain.tip.as_ref().map_or(0, handover::next_epoch);
    let mut sets = Sweep::<VoterSets>::new(reader, findings);
    while let Some(row) = sets.next(findings) {
        if let Some(set) = row.value {
            findings.check::<VoterSets, _>(&row.key_bytes, "epoch", &set.epoch, &row.key);
        }
        if row.key > last_epoch {
            findings.add::<VoterSets>(&row.key_bytes, Problem::Stray);
        }
    }
    check_event_strays(reader, run, rules);
}

/// A node of the mountain range from its two halves, where both are held.
fn joined_halves(reader: &Reader<'_>, position: &HistoryPosition) -> Option<Hash> {
    let level = position.level.checked_sub(1)?;
    let half = |index| reader.get::<History>(&HistoryPosition { level, index }).ok().flatten();
    let left = position.index.checked_mul(2)?;
    Some(merkle::node(&half(left)?, &half(left + 1)?))
}

/// Events are compared in the order of blocks; only when the index has more rows are the superfluous ones looked for,
/// because that takes all keys in memory.
fn check_event_strays(reader: &Reader<'_>, run: &mut Run<'_>, rules: &mut dyn Rules) {
    let mut rows = 0;
    let mut events = Sweep::<Events>::new(reader, &mut run.findings);
    while events.next(&mut run.findings).is_some() {
        rows += 1;
    }
    if rows == run.report.events {
        return;
    }
    let mut expected = BTreeSet::new();
    let mut findings = Findings::default();
    let mut headers = Sweep::<Headers>::new(reader, &mut findings);
    let mut receipts = Sweep::<Receipts>::new(reader, &mut findings);
    while let Some(row) = headers.next(&mut findings) {
        let mut of_block = Vec::new();
        while let Some(receipt) = receipts.next_if(&mut findings, |key| key.height <= row.key) {
            of_block.extend(receipt.value);
        }
        if let Some(header) = row.value {
            expected.extend(rules.event_rows(&header, &of_block).into_iter().map(|(key, _)| key));
        }
    }
    let mut events = Sweep::<Events>::new(reader, &mut findings);
    while let Some(row) = events.next(&mut findings) {
        if !expected.contains(&row.key) {
            run.findings.add::<Events>(&row.key_bytes, Problem::Stray);
        }
    }
}
