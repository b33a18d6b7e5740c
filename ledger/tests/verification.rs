//! Verification finds every altered value in every column family, and nothing in a sound folder.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests assert by panicking")]

mod fixture;

use std::path::Path;

use fixture::{FixtureRules, fill, genesis_state, open, verify_options, voters};
use galen_ledger::verify::{Step, VerifyReport, verify_ledger};
use rocksdb::{DB, IteratorMode, Options};

fn verify(path: &Path, execute: bool) -> VerifyReport {
    let (voters, state) = (voters(0), genesis_state());
    let scratch = tempfile::tempdir().unwrap();
    let options = verify_options(&voters, &state, execute.then_some(scratch.path()));
    verify_ledger(path, &options, &mut FixtureRules { steps: Vec::new() }).unwrap()
}

fn raw(path: &Path) -> (DB, Vec<String>) {
    let names = DB::list_cf(&Options::default(), path).unwrap();
    let database = DB::open_cf(&Options::default(), path, &names).unwrap();
    (database, names.into_iter().filter(|name| name != "default").collect())
}

#[test]
fn a_sound_ledger_has_no_findings() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    fill(&ledger);
    drop(ledger);
    let (voters, state) = (voters(0), genesis_state());
    let scratch = tempfile::tempdir().unwrap();
    let options = verify_options(&voters, &state, Some(scratch.path()));
    let mut rules = FixtureRules { steps: Vec::new() };
    let report = verify_ledger(folder.path(), &options, &mut rules).unwrap();
    assert!(report.is_sound(), "{:#?}", report.findings);
    assert_eq!((report.height, report.certified_height, report.executed), (5, 4, Some(5)));
    assert_eq!((report.transactions, report.events, report.certificates, report.signatures), (15, 15, 3, 11));
    assert_eq!(report.state_keys, 200 - 5 + 1 + 15);
    assert!(rules.steps.iter().any(|progress| progress.step == Step::Execution && progress.done == 5));
    assert!(!scratch.path().exists());
}

/// Each byte would take minutes with RocksDB's opening; first, last and some in between of every row's value.
#[test]
fn a_flipped_byte_in_any_column_family_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    fill(&ledger);
    drop(ledger);
    let (database, columns) = raw(folder.path());
    drop(database);
    assert_eq!(columns.len(), 15);
    for column in &columns {
        let (database, _) = raw(folder.path());
        let handle = database.cf_handle(column).unwrap();
        let rows: Vec<_> = database.iterator_cf(handle, IteratorMode::Start).map(Result::unwrap).collect();
        assert!(!rows.is_empty(), "`{column}` is empty: the fixture must fill it");
        drop(database);
        // The first, a middle and the last row; in each the first, a middle and the last byte.
        for row in [0, rows.len() / 2, rows.len() - 1] {
            let (key, value) = &rows[row];
            for place in [0, value.len() / 2, value.len() - 1] {
                let mut altered = value.to_vec();
                altered[place] ^= 0x40;
                let (database, _) = raw(folder.path());
                database.put_cf(database.cf_handle(column).unwrap(), key, &altered).unwrap();
                drop(database);
                let report = verify(folder.path(), false);
                let named = report.findings.iter().any(|finding| finding.column == column);
                assert!(named, "byte {place} of row {row} in `{column}`: {:#?}", report.findings);
                let (database, _) = raw(folder.path());
                database.put_cf(database.cf_handle(column).unwrap(), key, value).unwrap();
            }
        }
    }
    assert!(verify(folder.path(), true).is_sound());
}

#[test]
fn missing_and_superfluous_rows_are_found_in_every_column_family() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    fill(&ledger);
    drop(ledger);
    let (database, columns) = raw(folder.path());
    drop(database);
    // Whether a signature or certificate was ever there, nothing else says; nor whether a mark of syncing was.
    let optional = ["certificates", "own_signatures", "signatures", "evidence"];
    for column in &columns {
        let (database, _) = raw(folder.path());
        let handle = database.cf_handle(column).unwrap();
        let (key, value) = database.iterator_cf(handle, IteratorMode::End).next().unwrap().unwrap();
        database.delete_cf(handle, &key).unwrap();
        drop(database);
        if !optional.contains(&column.as_str()) {
            assert!(!verify(folder.path(), true).is_sound(), "a row missing from `{column}` was not found");
        }
        let (database, _) = raw(folder.path());
        let handle = database.cf_handle(column).unwrap();
        database.put_cf(handle, &key, &value).unwrap();
        let mut other = key.to_vec();
        other[key.len() / 2] ^= 0x01;
        database.put_cf(handle, &other, &value).unwrap();
        drop(database);
        assert!(!verify(folder.path(), true).is_sound(), "a superfluous row in `{column}` was not found");
        let (database, _) = raw(folder.path());
        database.delete_cf(database.cf_handle(column).unwrap(), &other).unwrap();
    }
    assert!(verify(folder.path(), true).is_sound());
}

#[test]
fn a_flipped_byte_in_the_files_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    fill(&ledger);
    drop(ledger);
    // Opening again moves the rows from the write-ahead log to table files.
    drop(open(folder.path()));
    let tables: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sst"))
        .collect();
    assert!(tables.len() >= 10, "{tables:?}");
    for table in tables {
        let sound = std::fs::read(&table).unwrap();
        let mut altered = sound.clone();
        altered[20] ^= 1;
        std::fs::write(&table, &altered).unwrap();
        let (voters, state) = (voters(0), genesis_state());
        let result = verify_ledger(
            folder.path(),
            &verify_options(&voters, &state, None),
            &mut FixtureRules { steps: Vec::new() },
        );
        assert!(result.is_err() || result.is_ok_and(|report| !report.is_sound()), "{}", table.display());
        std::fs::write(&table, &sound).unwrap();
    }
    assert!(verify(folder.path(), true).is_sound());
}

#[test]
fn a_chain_whose_execution_differs_is_found() {
    struct Altered(FixtureRules);
    impl galen_ledger::verify::Rules for Altered {
        fn event_rows(
            &mut self,
            header: &galen_types::BlockHeader,
            receipts: &[galen_types::Receipt],
        ) -> Vec<galen_ledger::Row> {
            self.0.event_rows(header, receipts)
        }

        fn execute(
            &mut self,
            scratch: &galen_ledger::Ledger,
            block: &galen_types::Block,
        ) -> Result<galen_ledger::verify::Executed, String> {
            let mut made = self.0.execute(scratch, block)?;
            if block.header.height == 4 {
                made.writes.last_mut().unwrap().1 = None;
            }
            Ok(made)
        }

        fn recovery(&mut self, block: &galen_types::Block) -> Result<galen_types::Hash, String> {
            self.0.recovery(block)
        }

        fn progress(&mut self, _progress: galen_ledger::verify::Progress) {}
    }
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    fill(&ledger);
    drop(ledger);
    let (voters, state) = (voters(0), genesis_state());
    let scratch = tempfile::tempdir().unwrap();
    let options = verify_options(&voters, &state, Some(scratch.path()));
    let report = verify_ledger(folder.path(), &options, &mut Altered(FixtureRules { steps: Vec::new() })).unwrap();
    let found: Vec<_> = report.findings.iter().map(|finding| (finding.column, finding.place.as_str())).collect();
    assert_eq!(found, [("headers", "height 4")]);
    assert_eq!(report.executed, Some(3));
}
