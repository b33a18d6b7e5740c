//! The checkers themselves: they accept what is linearizable and reject what is not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests assert by panicking")]

use std::collections::BTreeMap;

use galen_histories::corrupt::{Caught, Corruption};
use galen_histories::synthetic::{Size, genuine};
use galen_histories::{Action, History, Operation, Outcome, Place, Random, Value, by_chain, by_search};

#[test]
fn genuine_histories_are_accepted() {
    let mut operations = 0;
    for seed in 0..500 {
        let history = genuine(seed, Size { clients: 2 + (seed % 15) as u32, ..Size::default() });
        assert_eq!(by_chain::check(&history), Ok(()), "seed {seed}");
        assert_eq!(by_search::check(&history), Ok(()), "seed {seed}");
        operations += history.operations.len();
    }
    assert_eq!(operations, 60_000);
}

#[test]
fn a_thousand_corrupted_histories_are_rejected() {
    // By kind: how many, rejected by the chain, rejected by the search.
    let mut counts: BTreeMap<Corruption, [u32; 3]> = BTreeMap::new();
    let mut seed = 0;
    for number in 0..1_000 {
        let kind = Corruption::ALL[number % Corruption::ALL.len()];
        let corrupted = loop {
            seed += 1;
            let history = genuine(seed, Size::default());
            if let Some(corrupted) = kind.apply(&history, &mut Random(seed)) {
                break corrupted;
            }
            assert!(seed < 20_000, "{kind:?} finds nothing to corrupt");
        };
        let (by_chain, by_search) = (by_chain::check(&corrupted), by_search::check(&corrupted));
        assert!(by_chain.is_err(), "{kind:?} of seed {seed} is accepted by the chain");
        if kind.caught() == Caught::ByBoth {
            assert!(by_search.is_err(), "{kind:?} of seed {seed} is accepted by the search");
        }
        let count = counts.entry(kind).or_default();
        *count = [count[0] + 1, count[1] + u32::from(by_chain.is_err()), count[2] + u32::from(by_search.is_err())];
    }
    for (kind, [all, by_chain, by_search]) in &counts {
        println!("{kind:?}: {all} histories, by_chain rejects {by_chain}, by_search rejects {by_search}");
    }
    assert_eq!(counts.len(), Corruption::ALL.len());
}

#[test]
fn a_history_is_read_back_from_its_lines() {
    let history = genuine(7, Size::default());
    let text = history.to_lines();
    assert_eq!(History::from_lines(&text).unwrap(), history);
    let error = History::from_lines(&format!("{text}nonsense\n")).unwrap_err();
    assert_eq!(error.line, text.lines().count() + 1);
}

fn operation(client: u32, invoked_ns: u64, returned_ns: u64, action: Action, outcome: Outcome) -> Operation {
    Operation { client, node: "a".to_owned(), key: "k".to_owned(), invoked_ns, returned_ns, action, outcome }
}

fn write(client: u32, times: (u64, u64), expected: u32, text: &str, outcome: Outcome) -> Operation {
    let action = Action::Write { id: text.to_owned(), expected, text: text.to_owned() };
    operation(client, times.0, times.1, action, outcome)
}

fn read(client: u32, times: (u64, u64), found: Option<(u32, &str)>) -> Operation {
    let value = found.map(|(version, text)| Value { version, text: text.to_owned() });
    operation(client, times.0, times.1, Action::Read, Outcome::Found { height: 0, value })
}

const DONE: Outcome = Outcome::Acknowledged { place: Place { height: 1, index: 0 }, applied: true };
const MISSED: Outcome = Outcome::Acknowledged { place: Place { height: 1, index: 1 }, applied: false };

fn searched(operations: Vec<Operation>) -> bool {
    by_search::check(&History { operations, ..History::default() }).is_ok()
}

#[test]
fn the_search_orders_what_overlaps_and_nothing_else() {
    // A write that overlaps two reads may come between them, but not before one that found nothing later.
    assert!(searched(vec![write(1, (0, 9), 0, "x", DONE), read(2, (1, 2), None), read(2, (3, 4), Some((1, "x")))]));
    assert!(!searched(vec![write(1, (0, 9), 0, "x", DONE), read(2, (1, 2), Some((1, "x"))), read(2, (3, 4), None)]));
    // A write of unknown outcome may take effect late, or never, but not twice.
    let unknown = || write(1, (0, 1), 0, "x", Outcome::Unknown);
    assert!(searched(vec![unknown(), read(2, (5, 6), None), read(2, (7, 8), Some((1, "x")))]));
    assert!(searched(vec![
        unknown(),
        read(2, (5, 6), None),
        write(2, (7, 8), 0, "y", DONE),
        read(2, (9, 10), Some((1, "y")))
    ]));
    assert!(!searched(vec![unknown(), write(2, (2, 3), 0, "y", DONE), read(2, (5, 6), Some((1, "x")))]));
    // A refused write needs a reason.
    assert!(!searched(vec![write(1, (0, 1), 0, "x", MISSED)]));
    assert!(searched(vec![write(1, (0, 5), 0, "x", MISSED), write(2, (1, 9), 0, "y", DONE)]));
    assert!(!searched(vec![write(1, (0, 5), 0, "x", MISSED), write(2, (6, 9), 0, "y", DONE)]));
    // It may need several writes before it.
    let chained = vec![
        write(1, (0, 20), 1, "b", DONE),
        write(2, (1, 20), 0, "a", DONE),
        write(3, (2, 20), 2, "c", DONE),
        read(4, (3, 4), Some((3, "c"))),
    ];
    assert!(searched(chained.clone()));
    assert!(!searched(chained[1..].to_vec()), "nobody wrote version 2");
}

#[test]
fn large_histories_take_no_long_time() {
    let history = genuine(1, Size { clients: 30, nodes: 5, keys: 16, operations: 50_000 });
    assert_eq!(by_chain::check(&history), Ok(()));
    assert_eq!(by_search::check(&history), Ok(()));
}
