//! Stored bytes that rot: found by whoever reads them and by the scrub, never given out, and never signed from again.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests assert by panicking")]

mod fixture;

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use fixture::{
    FixtureRules, certificate, fill, genesis_state, grow, open, signature, verify_options, voter_key, voters,
};
use galen_ledger::install::{carry_sound_evidence, set_aside};
use galen_ledger::verify::{VerifyReport, scrub_copy, verify_ledger};
use galen_ledger::{Ledger, LedgerError, snapshot};
use galen_types::{Hash, HeaderSignature};
use rocksdb::{BottommostLevelCompaction, CompactOptions, DB, Options};

/// A copy of a ledger in use; its table files are the ledger's.
fn copy_of(ledger: &Ledger) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir_in(ledger.path().parent().unwrap()).unwrap();
    let copy = folder.path().join("copy");
    snapshot::copy(ledger, &copy).unwrap();
    (folder, copy)
}

fn scrub_of(copy: &Path) -> Result<VerifyReport, LedgerError> {
    let (voters, state) = (voters(0), genesis_state());
    let options = verify_options(&voters, &state, None);
    scrub_copy(copy, &options, &mut FixtureRules { steps: Vec::new() }, |_| true)
}

fn scrub(ledger: &Ledger) -> Result<VerifyReport, LedgerError> {
    let (_folder, copy) = copy_of(ledger);
    scrub_of(&copy)
}

/// Fills a ledger so that its rows are in table files.
fn fill_tables(path: &Path) {
    fill(&open(path));
    // Opening again moves the rows from the write-ahead log to table files.
    drop(open(path));
}

/// Puts the tables in their last form: nothing rewrites them in the background when the ledger is open.
fn settle(path: &Path) {
    let names = DB::list_cf(&Options::default(), path).unwrap();
    let database = DB::open_cf(&Options::default(), path, &names).unwrap();
    let mut forced = CompactOptions::default();
    forced.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
    for name in &names {
        database.compact_range_cf_opt(database.cf_handle(name).unwrap(), None::<&[u8]>, None::<&[u8]>, &forced);
    }
}

/// The largest table file of a column family, in a folder that nobody writes.
fn table_of(path: &Path, column: &str) -> Option<PathBuf> {
    let names = DB::list_cf(&Options::default(), path).ok()?;
    let database = DB::open_cf_for_read_only(&Options::default(), path, &names, false).ok()?;
    let files = database.live_files().ok()?.into_iter().filter(|file| file.column_family_name == column);
    let largest = files.max_by_key(|file| file.size)?;
    Some(path.join(largest.name.trim_start_matches('/')))
}

fn flip(path: &Path, place: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, place).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], place).unwrap();
}

#[test]
fn the_scrub_finds_a_flipped_byte_in_the_tables_of_every_column_family_while_the_ledger_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    fill_tables(&path);
    let ledger = open(&path);
    assert!(scrub(&ledger).unwrap().is_sound());
    let mut columns = DB::list_cf(&Options::default(), &path).unwrap();
    columns.retain(|column| column != "default");
    assert_eq!(columns.len(), 15, "{columns:?}");
    for column in &columns {
        let (_folder, copy) = copy_of(&ledger);
        let file = table_of(&copy, column).unwrap();
        // In the first rows.
        flip(&file, 12);
        let report = scrub_of(&copy).unwrap();
        let named = report.findings.iter().find(|finding| finding.column == column);
        let named = named.unwrap_or_else(|| panic!("`{column}`: {:#?}", report.findings));
        assert_eq!(named.problem.code(), "verify-unreadable", "{named}");
        flip(&file, 12);
        assert!(scrub_of(&copy).unwrap().is_sound());
    }
    grow(&ledger);
    assert!(scrub(&ledger).unwrap().is_sound());
}

#[test]
fn the_scrub_goes_at_the_pace_that_it_is_told_and_ends_when_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let ledger = open(&path);
    fill(&ledger);
    let copy = folder.path().join("copy");
    snapshot::copy(&ledger, &copy).unwrap();
    let (voters, state) = (voters(0), genesis_state());
    let options = verify_options(&voters, &state, None);
    let read = Arc::new(AtomicU64::new(0));
    let pace = Arc::clone(&read);
    let report = scrub_copy(&copy, &options, &mut FixtureRules { steps: Vec::new() }, move |bytes| {
        pace.fetch_add(bytes, Ordering::Relaxed);
        true
    });
    assert!(report.unwrap().is_sound());
    let all = read.load(Ordering::Relaxed);
    assert!(all > 20_000, "{all}");
    let counted = Arc::new(AtomicU64::new(0));
    let pace = Arc::clone(&counted);
    let report = scrub_copy(&copy, &options, &mut FixtureRules { steps: Vec::new() }, move |bytes| {
        pace.fetch_add(bytes, Ordering::Relaxed) + bytes < all / 2
    });
    assert!(report.is_err() || !report.unwrap().is_sound(), "what was not read is not called sound");
}

#[test]
fn a_reader_that_meets_rot_gets_an_error_and_the_owner_is_told_first_and_nothing_is_written_or_signed_after() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    fill_tables(&path);
    settle(&path);
    // Nothing reads the bytes of old transactions when a ledger is opened.
    flip(&table_of(&path, "transactions").unwrap(), 12);
    let ledger = open(&path);
    let told = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&told);
    ledger.on_damage(Box::new(move |error| notes.lock().unwrap().push(error.clone())));
    let next = grow(&ledger);
    let error = ledger.view().unwrap().block(1).unwrap_err();
    assert_eq!(error.code(), "ledger-unreadable");
    assert!(error.is_damage() && error.is_fatal());
    assert!(error.to_string().contains("`transactions`"), "{error}");
    assert_eq!(told.lock().unwrap().len(), 1);
    assert!(ledger.damage().unwrap().is_damage());
    let signing = ledger.record_own_signature(&signature(&next, 0)).unwrap_err();
    assert!(signing.is_damage(), "{signing}");
    assert!(ledger.put_certificate(&certificate(&next)).unwrap_err().is_damage());
    let _ = ledger.view().unwrap().block(2);
    assert_eq!(told.lock().unwrap().len(), 1, "the first is what is noted down");
    // Offline, the finding is the same.
    drop(ledger);
    let (voters, state) = (voters(0), genesis_state());
    let report =
        verify_ledger(&path, &verify_options(&voters, &state, None), &mut FixtureRules { steps: Vec::new() }).unwrap();
    assert!(report.findings.iter().any(|finding| finding.column == "transactions"), "{:#?}", report.findings);
}

#[test]
fn a_value_altered_with_its_checksum_is_found_against_the_certified_roots() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    fill_tables(&path);
    let alter = |column: &str, key: &[u8]| {
        let names = DB::list_cf(&Options::default(), &path).unwrap();
        let database = DB::open_cf(&Options::default(), &path, &names).unwrap();
        let handle = database.cf_handle(column).unwrap();
        let mut value = database.get_cf(handle, key).unwrap().unwrap();
        let last = value.len() - 1;
        value[last] ^= 1;
        database.put_cf(handle, key, value).unwrap();
    };
    alter("state", &[b'g', 150]);
    let ledger = open(&path);
    let report = scrub(&ledger).unwrap();
    assert!(report.findings.iter().any(|finding| finding.column == "state"), "{:#?}", report.findings);
    drop(ledger);
    alter("state", &[b'g', 150]);
    // A block's bytes are compared with its header whenever they are read.
    let place = [&3_u64.to_be_bytes()[..], &1_u32.to_be_bytes()[..]].concat();
    alter("transactions", &place);
    let ledger = open(&path);
    let report = scrub(&ledger).unwrap();
    assert!(report.findings.iter().any(|finding| finding.place == "height 3"), "{:#?}", report.findings);
    assert!(ledger.view().unwrap().block(2).is_ok());
    let error = ledger.view().unwrap().block(3).unwrap_err();
    assert_eq!(error.code(), "ledger-damaged");
    assert!(error.to_string().contains("`transactions` at height 3"), "{error}");
}

/// What a cut leaves may open, without what the lost part named.
#[test]
fn a_manifest_cut_short_never_passes_for_a_whole_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    fill_tables(&path);
    let manifest = std::fs::read_to_string(path.join("CURRENT")).unwrap().trim().to_owned();
    let whole = std::fs::read(path.join(&manifest)).unwrap();
    let mut found = 0;
    for kept in [whole.len() / 4, whole.len() / 2, whole.len() * 3 / 4, whole.len() - 40, whole.len() - 3] {
        let cut = folder.path().join(format!("cut-{kept}"));
        std::fs::create_dir(&cut).unwrap();
        for entry in std::fs::read_dir(&path).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), cut.join(entry.file_name())).unwrap();
        }
        std::fs::write(cut.join(&manifest), &whole[..kept]).unwrap();
        let (voters, state) = (voters(0), genesis_state());
        let options = verify_options(&voters, &state, None);
        match scrub_copy(&cut, &options, &mut FixtureRules { steps: Vec::new() }, |_| true) {
            Ok(report) if report.is_sound() => assert_eq!((report.height, report.transactions), (5, 15)),
            Ok(_) => found += 1,
            Err(error) => {
                assert!(error.is_damage(), "{error}");
                found += 1;
            }
        }
    }
    assert!(found >= 3, "{found}");
}

/// The ledger rots unseen, the node signs a wrong header, and is repaired from peers whose chain has another.
#[test]
fn a_voter_never_signs_a_second_header_of_a_height_after_its_ledger_was_fetched_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("signed");
    let rotten = open(&folder.path().join("rotten"));
    rotten.keep_signed_mark(&mark).unwrap();
    // Not the blocks that the others make: their transactions differ.
    for height in 1..=4 {
        let (block, made) = fixture::next_block(&rotten, vec![fixture::transaction(9_000 + height)]);
        fixture::commit(&rotten, &block, made);
        rotten.record_own_signature(&signature(&block, 0)).unwrap();
    }
    drop(rotten);
    let repaired = open(&folder.path().join("repaired"));
    repaired.keep_signed_mark(&mark).unwrap();
    assert_eq!(repaired.last_signed_height().unwrap(), 4);
    for height in 1..=5 {
        let block = grow(&repaired);
        let signed = repaired.record_own_signature(&signature(&block, 0));
        if height <= 4 {
            assert_eq!(signed.unwrap_err().code(), "ledger-already-signed", "height {height}");
        } else {
            signed.unwrap();
        }
    }
    // And over a restart, and where the mark is of this very chain.
    drop(repaired);
    let again = open(&folder.path().join("repaired"));
    again.keep_signed_mark(&mark).unwrap();
    let block = grow(&again);
    again.record_own_signature(&signature(&block, 0)).unwrap();
    assert_eq!(again.last_signed_height().unwrap(), 6);
}

#[test]
fn a_crash_between_the_note_and_the_ledger_keeps_nobody_from_signing_the_same_header() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("signed");
    // Another folder stands for the ledger that did not get the signature.
    let (first, second) = (open(&folder.path().join("first")), open(&folder.path().join("second")));
    first.keep_signed_mark(&mark).unwrap();
    let mut last = None;
    for _ in 1..=3 {
        let block = grow(&first);
        first.record_own_signature(&signature(&block, 0)).unwrap();
        last = Some(grow(&second));
    }
    second.keep_signed_mark(&mark).unwrap();
    second.record_own_signature(&signature(&last.unwrap(), 0)).unwrap();
}

#[test]
fn of_a_ledger_that_was_set_aside_only_evidence_that_proves_itself_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let (path, aside) = (folder.path().join("ledger"), folder.path().join("ledger.damaged"));
    let rotten = open(&path);
    fill(&rotten);
    let sound = open(&folder.path().join("sound"));
    for _ in 1..=5 {
        grow(&sound);
    }
    let deviant = |place: u8, header: Hash, key: u8| {
        HeaderSignature::sign(
            &fixture::genesis_hash(),
            &voters(0).hash(),
            1,
            header,
            fixture::voter_name(place),
            &voter_key(key),
        )
    };
    // Forged; and, in its own wrong view, an honest voter's: of the header that is the chain's.
    rotten.put_signature(&deviant(2, Hash([8; 32]), 9)).unwrap();
    drop(rotten);
    let honest = sound.view().unwrap().header_hash(1).unwrap().unwrap();
    let names = DB::list_cf(&Options::default(), &path).unwrap();
    {
        use galen_types::Encoding as _;
        let database = DB::open_cf(&Options::default(), &path, &names).unwrap();
        let handle = database.cf_handle("evidence").unwrap();
        let key = [&1_u64.to_be_bytes()[..], honest.as_bytes(), fixture::voter_name(1).to_string().as_bytes()].concat();
        database.put_cf(handle, key, deviant(1, honest, 1).encode()).unwrap();
    }
    set_aside(&path, &aside).unwrap();
    assert!(!path.exists() && aside.join("CURRENT").exists());
    set_aside(&path, &aside).unwrap();
    assert_eq!(carry_sound_evidence(&aside, &sound).unwrap(), 1);
    let evidence = sound.view().unwrap().evidence(0, 10).unwrap();
    assert_eq!(evidence.len(), 1);
    assert_eq!((evidence[0].height, evidence[0].header), (2, Hash([9; 32])));
    assert_eq!(carry_sound_evidence(&folder.path().join("nothing"), &sound).unwrap(), 0);
}
