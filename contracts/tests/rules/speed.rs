//! What a publication costs: run in release with `--ignored --nocapture`.

use std::time::Instant;

use galen_contracts::{Verdict, execute};
use galen_types::Call;

use crate::support::{Consortium, content, name};

#[test]
#[ignore = "a measurement; meaningful in release only"]
fn a_publication_takes_less_than_15_microseconds() {
    let mut chain = Consortium::new();
    let publish = |index: usize| Call::PublishDataset {
        dataset: name(&format!("dataset-{index}")),
        content: content(&index.to_string()),
        discoverable: true,
    };
    let transactions: Vec<_> = (0..20_000).map(|index| chain.transaction("owner@harlem", publish(index))).collect();
    chain.block.time = transactions[0].body.valid_until;
    let (mut executing, mut applying) = (std::time::Duration::ZERO, std::time::Duration::ZERO);
    for mut transaction in transactions {
        transaction.body.valid_until = chain.block.time;
        let start = Instant::now();
        let verdict = execute(&chain.state, &chain.block, &transaction).unwrap();
        executing += start.elapsed();
        let Verdict::Recorded(recorded) = verdict else { panic!("void") };
        let start = Instant::now();
        chain.state.apply(recorded.writes);
        applying += start.elapsed();
    }
    let (each, writes) = (executing / 20_000, applying / 20_000);
    println!("a publication executes in {each:?} over a map in memory, which takes its writes in {writes:?}");
    assert!(each.as_micros() < 15);
}
