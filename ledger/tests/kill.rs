//! A process killed in the middle of commits leaves every column family at the same height. The test starts itself
//! again with a folder in the environment; that child commits until it is killed.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests assert by panicking")]

mod fixture;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use fixture::{FixtureRules, commit, genesis_state, next_block, open, signature, transaction, verify_options, voters};
use galen_ledger::BlockCommit;
use galen_ledger::verify::verify_ledger;

const FOLDER: &str = "GALEN_LEDGER_KILL_TEST_FOLDER";

/// Does nothing unless it is the child.
#[test]
fn child_commits_until_it_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let ledger = open(folder.as_ref());
    loop {
        let height = ledger.tip().unwrap().height + 1;
        let transactions = (0..200).map(|place| transaction(1_000 * height + place)).collect();
        let (block, made) = next_block(&ledger, transactions);
        commit(&ledger, &block, made);
        println!("committed {height}");
        if height.is_multiple_of(4) {
            ledger.record_own_signature(&signature(&block, 0)).unwrap();
            println!("signed {height}");
        }
    }
}

const FULL: &str = "GALEN_LEDGER_FULL_DISK_TEST_FOLDER";

/// Does nothing unless it is the child, whose files may not grow beyond a limit.
#[test]
fn child_commits_until_the_disk_is_full() {
    let Ok(folder) = std::env::var(FULL) else { return };
    let ledger = open(folder.as_ref());
    loop {
        let height = ledger.tip().unwrap().height + 1;
        let (block, made) = next_block(&ledger, (0..200).map(|place| transaction(1_000 * height + place)).collect());
        let state = ledger.prepare_state(made.writes).unwrap();
        let next_voters = made.next_voters.as_ref();
        let commit = BlockCommit { block: &block, receipts: &made.receipts, events: &[], next_voters };
        let Err(error) = ledger.commit(&commit, &state) else { continue };
        assert!(error.is_fatal() && error.code() == "ledger-write", "{error}");
        // The outcome of that write is unknown: whatever comes next is refused, whether the disk works again or not.
        assert_eq!(ledger.commit(&commit, &state).unwrap_err().code(), "ledger-stopped");
        assert_eq!(ledger.mark_applied(1_000_000, 1_000).unwrap_err().code(), "ledger-stopped");
        assert_eq!(ledger.sync().unwrap_err().code(), "ledger-stopped");
        assert_eq!(ledger.record_own_signature(&signature(&block, 0)).unwrap_err().code(), "ledger-stopped");
        println!("stopped after {}", ledger.tip().unwrap().height);
        return;
    }
}

#[test]
fn after_a_failed_write_nothing_is_written_until_the_process_starts_again() {
    let folder = tempfile::tempdir().unwrap();
    // The shell ignores the signal of the limit, so that writing fails with an error, as on a full disk.
    let output = Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 1500; exec \"$0\" --exact child_commits_until_the_disk_is_full --nocapture",
        ])
        .arg(std::env::current_exe().unwrap())
        .env(FULL, folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let height = text.lines().find_map(|line| line.split_once("stopped after ")?.1.trim().parse::<u64>().ok());
    let height = height.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    let ledger = open(folder.path());
    // The failed block may or may not be there; nothing before it is lost, and the chain goes on.
    let tip = ledger.tip().unwrap().height;
    assert!((height..=height + 1).contains(&tip), "{tip} after {height}");
    fixture::grow(&ledger);
}

#[test]
fn a_killed_process_leaves_one_consistent_height() {
    let folder = tempfile::tempdir().unwrap();
    let (mut committed, mut signed) = (0, 0);
    for round in 1..=4_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_commits_until_it_is_killed", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Another number of lines each round, so that the kill falls at other moments.
        let mut left = 3 + 2 * round;
        for line in &mut lines {
            let line = line.unwrap();
            let number = |word: &str| line.rsplit_once(word).and_then(|(_, number)| number.trim().parse::<u64>().ok());
            if let Some(height) = number("committed ") {
                committed = height;
                left -= 1;
            } else if let Some(height) = number("signed ") {
                signed = height;
            }
            if left == 0 {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let ledger = open(folder.path());
        let tip = ledger.tip().unwrap();
        assert!(tip.height >= committed, "block {committed} was committed, {} is the tip", tip.height);
        assert_eq!(ledger.view().unwrap().own_signature(signed).unwrap().is_some(), signed > 0);
        assert_eq!(ledger.applied().unwrap().index, tip.header.unwrap().raft_index);
        drop(ledger);
        let (voters, state) = (voters(0), genesis_state());
        let scratch = tempfile::tempdir().unwrap();
        let options = verify_options(&voters, &state, Some(scratch.path()));
        let report = verify_ledger(folder.path(), &options, &mut FixtureRules { steps: Vec::new() }).unwrap();
        assert!(report.is_sound(), "{:#?}", report.findings);
        assert_eq!(report.executed, Some(tip.height));
    }
}
