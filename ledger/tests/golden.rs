//! The stored bytes of every column family are pinned. A change of them needs a new format version and a way to read
//! the old one.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests assert by panicking")]

mod fixture;

use std::fmt::Write as _;

use fixture::{fill, open};
use rocksdb::{DB, IteratorMode, Options};

#[test]
fn stored_formats_are_those_of_the_golden_file() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    fill(&ledger);
    drop(ledger);
    let names = DB::list_cf(&Options::default(), folder.path()).unwrap();
    let database = DB::open_cf(&Options::default(), folder.path(), &names).unwrap();
    let mut text = String::new();
    for name in names.iter().filter(|name| *name != "default") {
        let handle = database.cf_handle(name).unwrap();
        // Two rows show the format; all rows of `meta` have formats of their own.
        let rows = if name == "meta" { 10 } else { 2 };
        for row in database.iterator_cf(handle, IteratorMode::Start).take(rows) {
            let (key, value) = row.unwrap();
            writeln!(text, "{name} {} {}", hex::encode(key), hex::encode(value)).unwrap();
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/stored_formats.txt");
    if std::env::var_os("GALEN_WRITE_GOLDEN").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(path).unwrap());
}
