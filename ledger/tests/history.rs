//! The chain before a snapshot is filled in downwards, checked, in steps that survive a restart; old blocks are pruned;
//! readers are told why a block is not there.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests assert by panicking")]

mod fixture;
mod past;

use std::path::Path;

use fixture::{FixtureRules, event_rows, genesis_state, grow, open, options, verify_options, voters};
use galen_ledger::install::Incoming;
use galen_ledger::snapshot::{self, BaseProof, EpochEndProof, SnapshotSource};
use galen_ledger::verify::{VerifyReport, verify_ledger};
use galen_ledger::{BlockCommit, EventSpan, Ledger};
use galen_types::BlockHeader;
use past::{Past, certify, transfer};

fn verify(path: &Path, execute: bool) -> VerifyReport {
    let (voters, state) = (voters(0), genesis_state());
    let scratch = tempfile::tempdir().unwrap();
    let options = verify_options(&voters, &state, execute.then_some(scratch.path()));
    verify_ledger(path, &options, &mut FixtureRules { steps: Vec::new() }).unwrap()
}

fn assert_sound(path: &Path) -> VerifyReport {
    let report = verify(path, false);
    assert!(report.is_sound(), "{:#?}", report.findings);
    report
}

fn header(ledger: &Ledger, height: u64) -> BlockHeader {
    ledger.view().unwrap().header(height).unwrap().unwrap()
}

fn headers(ledger: &Ledger, below: u64, count: u64) -> Vec<BlockHeader> {
    (below.saturating_sub(count).max(1)..below).rev().map(|height| header(ledger, height)).collect()
}

/// A source of 21 blocks, and a ledger installed from its snapshot at 21.
fn prepare(folder: &Path) -> (Ledger, Ledger) {
    let source = open(&folder.join("source"));
    for _ in 0..21 {
        grow(&source);
    }
    transfer(&source, folder, &folder.join("ledger"));
    (source, Ledger::open(&folder.join("ledger"), &options()).unwrap())
}

/// The next block of both.
fn grow_both(source: &Ledger, ledger: &Ledger) {
    let block = grow(source);
    assert_eq!(grow(ledger), block);
}

#[test]
fn history_is_filled_in_downwards_between_blocks_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let (source, mut ledger) = prepare(folder.path());
    drop(ledger);
    let report = assert_sound(&path);
    assert_eq!((report.headers_from, report.bodies_from), (21, 22));
    ledger = Ledger::open(&path, &options()).unwrap();
    // 64 headers are complete after block 64, whose node covers headers before the base.
    for below in [21, 16, 11, 6] {
        assert_eq!(ledger.fill_headers(&headers(&source, below, 5)).unwrap(), below - 5);
        grow_both(&source, &ledger);
        drop(ledger);
        assert_sound(&path);
        ledger = Ledger::open(&path, &options()).unwrap();
        assert_eq!(ledger.view().unwrap().history_from().unwrap(), below - 5);
    }
    for _ in 0..45 {
        grow_both(&source, &ledger);
    }
    for height in (1..=21_u64).rev() {
        assert_eq!(
            ledger.view().unwrap().absence(height).unwrap().map(|absence| absence.code()),
            Some("history-absent")
        );
        let past = Past::of(&source, height);
        assert_eq!(ledger.fill_bodies(&[past.commit()]).unwrap(), height);
        assert_eq!(ledger.view().unwrap().absence(height).unwrap(), None);
    }
    let (ours, theirs) = (ledger.view().unwrap(), source.view().unwrap());
    for height in 1..=70 {
        assert_eq!(ours.block(height).unwrap(), theirs.block(height).unwrap());
        assert_eq!(ours.receipts(height).unwrap(), theirs.receipts(height).unwrap());
        assert_eq!(ours.header_hash(height).unwrap(), theirs.header_hash(height).unwrap());
    }
    let all = EventSpan::default();
    assert_eq!(ours.event_scan(&all, 10_000).unwrap(), theirs.event_scan(&all, 10_000).unwrap());
    drop((ours, theirs));
    drop(ledger);
    // Whole again: it can be executed from the genesis.
    let report = verify(&path, true);
    assert!(report.is_sound(), "{:#?}", report.findings);
    assert_eq!((report.headers_from, report.bodies_from, report.executed), (1, 1, Some(70)));
}

#[test]
fn what_is_not_the_chains_past_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (source, ledger) = prepare(folder.path());
    let refused = |headers: &[BlockHeader], code: &str| {
        assert_eq!(ledger.fill_headers(headers).unwrap_err().code(), code);
        assert_eq!(ledger.view().unwrap().history_from().unwrap(), 21);
    };
    refused(&headers(&source, 20, 3), "history-height");
    let mut altered = headers(&source, 21, 3);
    altered[2].time.0 += 1;
    refused(&altered, "history-not-the-chains");
    let mut gap = headers(&source, 21, 4);
    gap.remove(1);
    refused(&gap, "history-height");
    let mut ascending = headers(&source, 21, 3);
    ascending.reverse();
    refused(&ascending, "history-height");
    refused(&vec![header(&source, 20); 5_000], "history-too-many");
    // Bodies need their headers first.
    let past = Past::of(&source, 20);
    assert_eq!(ledger.fill_bodies(&[past.commit()]).unwrap_err().code(), "history-height");
    ledger.fill_headers(&headers(&source, 21, 30)).unwrap();
    assert_eq!(ledger.fill_headers(&[header(&source, 1)]).unwrap_err().code(), "history-height");
    let refused = |past: &[BlockCommit<'_>], code: &str| {
        assert_eq!(ledger.fill_bodies(past).unwrap_err().code(), code);
        assert_eq!(ledger.view().unwrap().bodies_from().unwrap(), 22);
    };
    let (tip, past, before) = (Past::of(&source, 21), Past::of(&source, 20), Past::of(&source, 19));
    refused(&[past.commit()], "history-height");
    refused(&[tip.commit(), before.commit()], "history-height");
    let mut altered = Past::of(&source, 20);
    altered.receipts.swap(0, 1);
    refused(&[tip.commit(), altered.commit()], "history-not-the-chains");
    let mut altered = Past::of(&source, 20);
    altered.block.transactions.pop();
    refused(&[tip.commit(), altered.commit()], "history-not-the-chains");
    let mut altered = Past::of(&source, 20);
    altered.block.header.time.0 += 1;
    refused(&[tip.commit(), altered.commit()], "history-not-the-chains");
    assert_eq!(ledger.fill_bodies(&[tip.commit(), past.commit(), before.commit()]).unwrap(), 19);
}

#[test]
fn old_blocks_are_pruned_and_headers_and_places_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let ledger = open(&path);
    for _ in 0..12 {
        grow(&ledger);
    }
    let id = ledger.view().unwrap().receipts(2).unwrap()[1].transaction;
    // Nothing that is not certified.
    assert_eq!(ledger.prune_bodies(9, 100, &mut event_rows).unwrap().blocks, 0);
    for height in [3, 10] {
        certify(&ledger, height);
    }
    let pruned = ledger.prune_bodies(7, 4, &mut event_rows).unwrap();
    assert_eq!((pruned.blocks, pruned.transactions, pruned.bodies_from), (4, 12, 5));
    assert_eq!(ledger.prune_bodies(7, 4, &mut event_rows).unwrap().bodies_from, 7);
    assert_eq!(ledger.prune_bodies(7, 4, &mut event_rows).unwrap().blocks, 0);
    assert_eq!(ledger.prune_bodies(99, 99, &mut event_rows).unwrap().bodies_from, 10);
    let view = ledger.view().unwrap();
    let location = view.location(&id).unwrap().unwrap();
    assert_eq!((location.height, location.index), (2, 1));
    assert_eq!(view.absence(2).unwrap().unwrap().code(), "pruned");
    assert!(view.receipt(&id).unwrap().is_none() && view.transaction_at(&location).unwrap().is_none());
    assert!(view.block(9).unwrap().is_none() && view.receipts(9).unwrap().is_empty());
    assert!(view.header(2).unwrap().is_some() && view.block(10).unwrap().is_some());
    assert_eq!(view.event_scan(&EventSpan::default(), 1_000).unwrap().len(), 9);
    drop(view);
    grow(&ledger);
    drop(ledger);
    let report = verify(&path, true);
    assert!(report.is_sound(), "{:#?}", report.findings);
    assert_eq!((report.headers_from, report.bodies_from, report.executed), (1, 10, None));
    assert_eq!(report.height, 13);
}

#[test]
fn pruned_blocks_can_be_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    let (source, ledger) = prepare(folder.path());
    grow_both(&source, &ledger);
    certify(&ledger, 22);
    ledger.fill_headers(&headers(&source, 21, 30)).unwrap();
    let (one, two) = (Past::of(&source, 21), Past::of(&source, 20));
    ledger.fill_bodies(&[one.commit(), two.commit()]).unwrap();
    assert_eq!(ledger.prune_bodies(22, 10, &mut event_rows).unwrap().bodies_from, 22);
    assert_eq!(ledger.view().unwrap().absence(21).unwrap().unwrap().code(), "pruned");
    assert_eq!(ledger.fill_bodies(&[one.commit(), two.commit()]).unwrap(), 20);
    assert_eq!(ledger.view().unwrap().block(20).unwrap(), Some(two.block.clone()));
    drop(ledger);
    assert_sound(&folder.path().join("ledger"));
}

#[test]
fn verification_finds_a_base_that_nobody_certified() {
    let folder = tempfile::tempdir().unwrap();
    let source = open(&folder.path().join("source"));
    for _ in 0..5 {
        grow(&source);
    }
    let taken = snapshot::take(&source, &folder.path().join("taken")).unwrap();
    let snapshot = SnapshotSource::open(&taken.path).unwrap();
    let install = |name: &str, alter: &dyn Fn(&mut BaseProof)| {
        let mut proof = past::proof(&source, 5);
        alter(&mut proof);
        let folder = folder.path().join(name);
        let mut incoming = Incoming::begin(&folder.join("incoming"), taken.manifest.clone(), proof).unwrap();
        past::receive(&snapshot, &mut incoming);
        past::install(&mut incoming, &folder.join("ledger"), &options(), &mut |_| {}).unwrap();
        verify(&folder.join("ledger"), false)
    };
    let report = install("good", &|_| {});
    assert!(report.is_sound(), "{:#?}", report.findings);
    assert_eq!((report.certified_height, report.headers_from), (5, 5));
    let unsound = |name: &str, alter: &dyn Fn(&mut BaseProof)| {
        let report = install(name, alter);
        assert!(report.findings.iter().any(|finding| finding.column == "meta"), "{name}: {:#?}", report.findings);
    };
    unsound("unsigned", &|proof| proof.certificate.signatures.clear());
    unsound("other-height", &|proof| proof.certificate.height = 4);
    unsound("unsigned-handover", &|proof| {
        let EpochEndProof::Certificate(certificate) = &mut proof.epoch_ends[0].proof else { panic!() };
        certificate.signatures.truncate(1);
    });
    unsound("trail", &|proof| proof.trail.push(header(&source, 3)));
    unsound("other-genesis-voters", &|proof| proof.genesis_voters.voters.truncate(3));
}
