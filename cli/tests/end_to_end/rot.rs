//! Bytes on a node's disk rot: while it runs, at rest, in its ordering log, and in every copy at once.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use galen_testnet::PlanOptions;
use galen_types::api::Participation;
use rocksdb::{DB, Options};

use crate::support::{Cluster, Load, PATIENCE, Shell, VOTERS, assert_once_everywhere, eventually, program};

/// Entries after which the ordering logs are cut.
const COMPACT_ENTRIES: usize = 10;
/// Between two transactions of a client: a busy node is scrubbed slowly.
const PACE: Duration = Duration::from_millis(500);

/// A testnet whose nodes read everything again each second.
async fn cluster(patience_seconds: i64) -> Cluster {
    let options = PlanOptions { load_accounts: 4, compact_entries: Some(COMPACT_ENTRIES), ..PlanOptions::default() };
    let cluster = Cluster::make(options).await;
    for node in cluster.nodes() {
        let values = [("period_seconds", 1.into()), ("repair_patience_seconds", patience_seconds.into())];
        cluster.write_config(&node, "scrub", &values);
    }
    cluster.testnet.up(&program(), &|_| {}).await.unwrap();
    cluster
}

/// Changes one byte of a file where it lies, as a medium does.
fn flip(path: &Path, place: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, place).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], place).unwrap();
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    files.sort();
    files
}

/// Alters the last byte of the first row of a stopped node's column from a key on, checksums and all.
fn alter(home: &Path, column: &str, from: &[u8]) {
    let path = home.join("ledger");
    let names = DB::list_cf(&Options::default(), &path).unwrap();
    let database = DB::open_cf(&Options::default(), &path, &names).unwrap();
    let handle = database.cf_handle(column).unwrap();
    let mode = rocksdb::IteratorMode::From(from, rocksdb::Direction::Forward);
    let (key, value) = database.iterator_cf(handle, mode).next().unwrap().unwrap();
    let mut value = value.to_vec();
    *value.last_mut().unwrap() ^= 1;
    database.put_cf(handle, key, value).unwrap();
}

/// Waits until a node has repaired itself so many times and votes again.
async fn repaired(cluster: &Cluster, node: &str, times: usize) -> u64 {
    eventually(&format!("{node} repairs itself"), PATIENCE, async || {
        (cluster.log(node).matches("the ledger is repaired").count() >= times).then_some(())
    })
    .await;
    let number = cluster.votes(node).await;
    assert!(!cluster.home(node).join("damage/ledger.toml").exists());
    number
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rots_on_one_node_is_found_and_repaired_from_the_others() {
    let cluster = cluster(60).await;
    let load = Load::paced(&cluster, &VOTERS[..2], PACE);
    load.more(20).await;
    let victim = VOTERS[2];
    let number = cluster.votes(victim).await;

    // An older ledger beside a log that was cut since: what was promised is in the log, so it catches up and goes on.
    let (ledger, old) = (cluster.home(victim).join("ledger"), cluster.scratch().join("old-ledger"));
    cluster.testnet.kill(victim).unwrap();
    let copied = std::process::Command::new("cp").arg("-a").arg(&ledger).arg(&old).status().unwrap();
    assert!(copied.success());
    cluster.restart(victim).await;
    load.more(3 * COMPACT_ENTRIES).await;
    cluster.votes(victim).await;
    cluster.testnet.stop(victim).unwrap();
    std::fs::remove_dir_all(&ledger).unwrap();
    std::fs::rename(&old, &ledger).unwrap();
    cluster.launch(victim);
    eventually("it has followed", PATIENCE, async || {
        cluster.log(victim).contains("its ledger has come to where its log begins").then_some(())
    })
    .await;
    assert_eq!(cluster.votes(victim).await, number);

    // A table file of a running node. The scrub itself moves rows there.
    let flipped = eventually("the node has read all it stores", PATIENCE, async || {
        let has_read = cluster.log(victim).contains("all that is stored was read again");
        let largest = files(&ledger, "sst").into_iter().max_by_key(|file| file.metadata().map_or(0, |file| file.len()));
        largest.filter(|file| has_read && file.exists())
    })
    .await;
    flip(&flipped, 12);
    assert_eq!(repaired(&cluster, victim, 1).await, number, "its ordering log is sound: its number stays");
    assert!(cluster.log(victim).contains("ledger-unreadable") || cluster.log(victim).contains("ledger-damaged"));
    assert!(cluster.home(victim).join("ledger.damaged/CURRENT").exists(), "it is kept to be looked at");
    let kept = verified(&cluster.home(victim).join("ledger.damaged"), &cluster.home(victim).join("genesis.toml"));
    assert!(kept.contains("cannot be read"), "the command finds it too: {kept}");
    load.more(5).await;

    // A value of the state, with its checksum, while the node is stopped.
    cluster.testnet.stop(victim).unwrap();
    alter(&cluster.home(victim), "state", b"");
    let found = verified(&cluster.home(victim), &cluster.home(victim).join("genesis.toml"));
    assert!(found.contains("wrong: state"), "{found}");
    cluster.launch(victim);
    assert_eq!(repaired(&cluster, victim, 2).await, number);
    load.more(5).await;

    // Its ordering log, at rest: that number never votes again.
    cluster.testnet.stop(victim).unwrap();
    let segment = files(&cluster.home(victim).join(format!("log/{number}")), "log").remove(0);
    flip(&segment, segment.metadata().unwrap().len() / 2);
    cluster.launch(victim);
    let second = eventually("the node votes under a new number", PATIENCE, async || {
        let (part, now) = cluster.place(victim).await?;
        (part == Participation::Voting && now != number).then_some(now)
    })
    .await;
    assert!(cluster.log(victim).contains("log-damaged"));
    load.more(5).await;

    // And while it runs: the scrub finds it.
    let segment = files(&cluster.home(victim).join(format!("log/{second}")), "log").remove(0);
    flip(&segment, segment.metadata().unwrap().len() / 2);
    eventually("the node follows without that number", PATIENCE, async || {
        let given_up =
            cluster.log(victim).contains("found_by=Scrub") && !cluster.home(victim).join("damage/log.toml").exists();
        // The chain lets nobody change its part in voting twice within a minute.
        (given_up && cluster.place(victim).await?.0 == Participation::Stale).then_some(())
    })
    .await;
    load.more(5).await;

    let acknowledged = load.stop().await;
    assert_once_everywhere(&cluster, &acknowledged).await;
    for node in VOTERS {
        assert!(!cluster.log(node).contains("signed another header"), "{node}");
    }
    cluster.verify_ledgers();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_file_that_rots_is_found_by_the_scrub_recorded_and_not_given_out() {
    let cluster = cluster(60).await;
    let shell = Shell::of(&cluster);
    let rows: String = (0..20_000).map(|row| format!("{row},{}\n", 20 + row % 60)).collect();
    shell.write("visits.csv", &format!("visit,age\n{rows}"));
    shell.run("galen --context owner@harlem data add visits.csv --name visits");
    shell.run("galen --context owner@harlem data get harlem/visits --out before.csv && cmp visits.csv before.csv");
    let objects = cluster.home(VOTERS[0]).join("files/objects");
    let stored = std::fs::read_dir(&objects).unwrap().flatten().map(|entry| entry.path());
    let stored = stored.max_by_key(|path| path.metadata().map_or(0, |found| found.len())).unwrap();
    let damaged = || {
        let status = shell.run("galen --json --context admin@harlem node status");
        serde_json::from_str::<serde_json::Value>(&status).unwrap()["storage"]["files_damaged"].as_u64()
    };
    assert_eq!(damaged(), Some(0));
    flip(&stored, stored.metadata().unwrap().len() / 2);
    eventually("the scrub finds it", PATIENCE, async || (damaged() == Some(1)).then_some(())).await;
    assert!(cluster.log(VOTERS[0]).contains("the scrub finds a stored file wrong"));
    // The history of the dataset, at another member's node.
    eventually("it stands on the chain", PATIENCE, async || {
        let history = shell.run("galen --context auditor@kentucky data history harlem/visits");
        history.contains("tamper").then_some(())
    })
    .await;
    let (_, said) = shell.fails("galen --context owner@harlem data get harlem/visits --out after.csv");
    assert!(said.contains("not the one that the chain names"), "{said}");
    assert!(!shell.succeeds("test -e after.csv"), "no part of it is given out");
    // The owner puts the original back.
    flip(&stored, stored.metadata().unwrap().len() / 2);
    eventually("the scrub finds it whole", PATIENCE, async || (damaged() == Some(0)).then_some(())).await;
    shell.run("galen --context owner@harlem data get harlem/visits --out again.csv && cmp visits.csv again.csv");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_every_copy_is_bad_the_nodes_stop_and_name_the_height() {
    let cluster = cluster(3).await;
    let load = Load::paced(&cluster, &VOTERS, PACE);
    load.more(20).await;
    let acknowledged = load.stop().await;
    assert_once_everywhere(&cluster, &acknowledged).await;
    let bad = 7_u64;
    for node in cluster.nodes() {
        cluster.testnet.stop(&node).unwrap();
        alter(&cluster.home(&node), "transactions", &bad.to_be_bytes());
    }
    for node in cluster.nodes() {
        cluster.launch(&node);
    }
    for node in cluster.nodes() {
        eventually(&format!("{node} stops"), PATIENCE, async || cluster.process(&node).is_none().then_some(())).await;
        let log = cluster.log(&node);
        let last = log.lines().rev().find(|line| line.contains("ledger-damaged-no-copy")).unwrap_or_default();
        assert!(last.contains(&format!("`transactions` at height {bad}")), "{node}: {last}\n{log}");
        assert!(last.contains("restore"), "{last}");
    }
    // Again: the note is there, and it neither orders nor signs.
    let node = VOTERS[0];
    cluster.launch(node);
    eventually("it stops again", PATIENCE, async || cluster.process(node).is_none().then_some(())).await;
    let log = cluster.log(node);
    assert!(log.matches("ledger-damaged-no-copy").count() >= 2, "{log}");
    assert!(cluster.home(node).join("ledger.damaged/CURRENT").exists());
}

/// What `galen ledger verify` says of a folder that is not sound.
fn verified(folder: &Path, genesis: &Path) -> String {
    let verify = ["ledger", "verify", "--no-execution", "--genesis"];
    let run = std::process::Command::new(program()).args(verify).arg(genesis).arg(folder).output().unwrap();
    assert!(!run.status.success());
    String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr)
}
