//! The parts of a measurement that need no running node: calls, records, and what is refused before anything starts.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests assert by panicking; their names say what they test")]

use std::collections::BTreeSet;
use std::time::Duration;

use galen_bench::acknowledged::{Acknowledged, Record};
use galen_bench::workload::Calls;
use galen_bench::{BenchOptions, Workload};
use galen_types::{Call, Hash, Slug, TransactionId};

fn calls(client: usize, workload: Workload) -> Calls {
    Calls::new(Slug::parse("harlem").unwrap(), 7, client, "harlem/target".parse().unwrap(), workload).unwrap()
}

#[test]
fn no_two_publications_share_a_name() {
    let mut names = BTreeSet::new();
    for client in 0..3 {
        let mut calls = calls(client, Workload::Publish);
        for _ in 0..50 {
            let Call::PublishDataset { dataset, .. } = calls.next_call().unwrap() else {
                panic!("it is no publication")
            };
            assert!(names.insert(dataset));
        }
    }
}

#[test]
fn the_mixed_workload_does_both() {
    let mut calls = calls(0, Workload::Mixed);
    let kinds: Vec<_> = (0..4).map(|_| matches!(calls.next_call().unwrap(), Call::PublishDataset { .. })).collect();
    assert_eq!(kinds, [true, false, true, false]);
}

#[test]
fn a_record_grows_and_reads_as_json_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("receipts.jsonl");
    let acknowledged = |number: u8| Acknowledged {
        id: TransactionId(Hash([number; 32])),
        height: u64::from(number),
        index: u32::from(number),
    };
    for number in [1, 2] {
        let mut record = Record::open(&path).unwrap();
        record.add(&acknowledged(number)).unwrap();
        record.finish().unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let read: Vec<Acknowledged> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read, [acknowledged(1), acknowledged(2)]);
}

#[test]
fn numbers_that_do_not_go_are_refused() {
    let refused = |change: fn(&mut BenchOptions)| {
        let mut options = BenchOptions::default();
        change(&mut options);
        options.check().expect_err("it goes").to_string()
    };
    assert!(BenchOptions::default().check().is_ok());
    assert!(refused(|options| options.clients = 0).contains("--clients is 0"));
    assert!(refused(|options| options.accounts = 20_000).contains("--accounts is 20000"));
    assert!(refused(|options| options.rate = Some(0)).contains("--rate is 0"));
    assert!(refused(|options| options.duration = Duration::ZERO).contains("--duration"));
}
