//! A sample of the points that `galen-crash` tries, on this build's program: killed, without power, on a failing disk, with
//! altered bytes. Linux on x86-64 only, as the tracer is.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests assert by panicking")]

use std::path::Path;

use galen_crash::campaign::{
    Failing, Report, Selection, alter_bytes, fail_calls, interrupt_commands, kill_at_calls, lose_power, rehearse,
};
use galen_crash::disk::{Image, Loss};
use galen_crash::life::{Chapter, Fault, Stage, play, reopen};

/// Decides which points are tried.
const SEED: u64 = 20_261_130;

fn stage() -> Stage {
    Stage::found(Path::new(env!("CARGO_BIN_EXE_galen")), 1).unwrap()
}

fn sample(points: usize) -> Selection {
    Selection::Sample { points, seed: SEED }
}

fn assert_sound(report: &Report) {
    assert!(report.failures.is_empty(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_or_one_without_power_keeps_what_it_acknowledged() {
    let stage = stage();
    let mut report = Report::default();
    for (chapter, played) in rehearse(&stage).await.unwrap() {
        kill_at_calls(&stage, chapter, &played, sample(3), None, &mut report).await.unwrap();
        lose_power(&stage, chapter, &played, sample(4), &mut report).await.unwrap();
    }
    assert_sound(&report);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_on_a_failing_disk_stops_by_name_or_keeps_its_promises() {
    let stage = stage();
    let mut report = Report::default();
    for (chapter, played) in rehearse(&stage).await.unwrap() {
        for failing in Failing::ALL {
            fail_calls(&stage, chapter, &played, failing, sample(1), &mut report).await.unwrap();
        }
    }
    assert_sound(&report);
}

#[tokio::test(flavor = "multi_thread")]
async fn altered_bytes_are_refused_by_name_and_interrupted_commands_completed() {
    let stage = stage();
    let mut report = Report::default();
    rehearse(&stage).await.unwrap();
    alter_bytes(&stage, sample(16), None, &mut report).await.unwrap();
    interrupt_commands(&stage, sample(1), &mut report).await.unwrap();
    assert_sound(&report);
}

/// What the others stand on: a node that leaves its syncs out is found out.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_sync_is_seen() {
    let stage = stage();
    for lying in [None, Some(String::new())] {
        let lies = lying.is_some();
        let played = play(&stage, Chapter::Begin, None, lying).await.unwrap().unwrap();
        assert!(!played.receipts.transactions.is_empty());
        stage.put(&Image::after(&played.recording, usize::MAX, Loss::All, SEED)).unwrap();
        match reopen(&stage, &played.receipts).await.unwrap() {
            Ok(()) => assert!(!lies, "nobody saw that syncs are missing"),
            Err(Fault::Lost { .. }) => assert!(lies, "nothing was missing"),
            Err(fault) => panic!("{fault}"),
        }
    }
}
