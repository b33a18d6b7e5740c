//! Disks that are lost, old or copied, and machines that are replaced: as the runbook says.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use galen_client::Paging;
use galen_testnet::PlanOptions;
use galen_types::Parameters;
use galen_types::api::Participation;

use crate::support::{Cluster, Load, PATIENCE, Section, Shell, VOTERS, assert_once_everywhere, eventually, program};

#[tokio::test(flavor = "multi_thread")]
async fn lost_old_and_copied_disks_come_back_as_new_learners_only() {
    let cluster = Cluster::start(PlanOptions { load_accounts: 4, ..PlanOptions::default() }).await;
    let load = Load::paced(&cluster, &VOTERS[..1], Duration::from_millis(20));
    load.more(40).await;
    let mut shell = Shell::of(&cluster);

    // A stale copy is made of one node, a backup of another; both go on.
    let (stale, restored, wiped, copied) = (VOTERS[1], VOTERS[2], VOTERS[3], VOTERS[1]);
    let copy = cluster.scratch().join("old-copy");
    cluster.testnet.kill(stale).unwrap();
    copy_folder(&cluster.home(stale), &copy);
    cluster.restart(stale).await;
    cluster.votes(stale).await;
    let mut backup = Section::of("runbook.md", "Restore a node from a backup");
    shell.set("NODE_HOME", cluster.home(restored).display());
    shell.set("BACKUP", cluster.scratch().join("backup").display());
    cluster.testnet.stop(restored).unwrap();
    shell.run(&backup.next());
    cluster.restart(restored).await;
    cluster.votes(restored).await;
    load.more(40).await;

    // Wiped.
    let mut disk = Section::of("runbook.md", "Wiped or damaged disk");
    let before = cluster.votes(wiped).await;
    cluster.testnet.kill(wiped).unwrap();
    shell.set("NODE_HOME", cluster.home(wiped).display());
    shell.run(&disk.next());
    disk.done();
    cluster.testnet.launch(&wiped.parse().unwrap(), &program()).unwrap();
    assert_is_new_learner(&cluster, wiped, before).await;
    load.more(20).await;

    // The old copy is put in place, as a virtual machine's snapshot would be.
    let before = cluster.votes(stale).await;
    cluster.testnet.kill(stale).unwrap();
    std::fs::remove_dir_all(cluster.home(stale)).unwrap();
    copy_folder(&copy, &cluster.home(stale));
    cluster.testnet.launch(&stale.parse().unwrap(), &program()).unwrap();
    assert_is_new_learner(&cluster, stale, before).await;
    load.more(20).await;

    // The backup.
    let before = cluster.votes(restored).await;
    cluster.testnet.kill(restored).unwrap();
    shell.set("NODE_HOME", cluster.home(restored).display());
    shell.run(&backup.next());
    backup.done();
    cluster.testnet.launch(&restored.parse().unwrap(), &program()).unwrap();
    assert_is_new_learner(&cluster, restored, before).await;
    load.more(20).await;

    // A second process with a copied home, while the first one lives: its keys alone, and all that is on its disk.
    let before = cluster.votes(copied).await;
    for all in [false, true] {
        let said = run_copy(&cluster, copied, all);
        assert!(said.contains("duplicate-identity"), "{said}");
        assert_eq!(cluster.place(copied).await, Some((Participation::Voting, before)), "the first is not disturbed");
    }

    let acknowledged = load.stop().await;
    assert_once_everywhere(&cluster, &acknowledged).await;
    cluster.verify_ledgers();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_whose_machine_is_lost_is_replaced_with_a_new_key() {
    let parameters = Some(Parameters { key_reset_delay_ms: 4_000, ..Parameters::default() });
    let cluster = Cluster::start(PlanOptions { load_accounts: 4, parameters, ..PlanOptions::default() }).await;
    let lost = VOTERS[3];
    let load = Load::paced(&cluster, &VOTERS[..3], Duration::from_millis(20));
    load.more(40).await;
    let before = cluster.votes(lost).await;
    let mut shell = Shell::of(&cluster);
    cluster.testnet.kill(lost).unwrap();
    let gone = cluster.scratch().join("gone");
    std::fs::rename(cluster.home(lost), &gone).unwrap();

    let mut section = Section::of("runbook.md", "Replace a node");
    let planned = cluster.testnet.node(lost).unwrap().clone();
    shell.set("NODE", lost);
    shell.set("MEMBER", &planned.name.member);
    shell.set("NODE_HOME", cluster.home(lost).display());
    shell.set("ANY_NODE", cluster.url(VOTERS[0]));
    shell.set("PASSWORD_FILE", cluster.testnet.folder().password().display());
    shell.set("ADDRESS", planned.address().unwrap());
    shell.set("HTTP", format!("127.0.0.1:{}", planned.http_port));
    shell.set("LISTEN", format!("/ip4/127.0.0.1/tcp/{}", planned.network_port));
    shell.set("LISTEN_FILES", format!("/ip4/127.0.0.1/tcp/{}", planned.files_port));
    shell.run(&section.next());
    cluster.testnet.launch(&planned.name, &program()).unwrap();
    let number = cluster.votes(lost).await;
    assert!(number > before.max(4), "{number}");
    shell.run(&section.next());
    section.done();
    load.more(20).await;

    // A key that may be known is replaced while the node runs.
    let mut section = Section::of("runbook.md", "Rotate a node's key");
    let rotated = VOTERS[1];
    shell.set("MEMBER", "hennepin");
    shell.set("NODE_HOME", cluster.home(rotated).display());
    shell.set("ANY_NODE", cluster.url(VOTERS[2]));
    let epoch = cluster.chain(VOTERS[0]).await.unwrap().epoch;
    shell.run(&section.next());
    section.done();
    eventually("the node votes with its new key", PATIENCE, async || {
        let chain = cluster.chain(VOTERS[0]).await?;
        (chain.epoch > epoch && chain.voters.len() == 4).then_some(())
    })
    .await;
    cluster.votes(rotated).await;
    load.more(20).await;
    reset_an_administrator(&cluster, &mut shell, &load).await;

    // The lost machine turns up again, with the old key.
    move_ports(&cluster, lost, &gone);
    let said = run_home(&gone);
    assert!(said.contains("not-registered"), "{said}");
    load.more(20).await;
    let acknowledged = load.stop().await;
    assert_once_everywhere(&cluster, &acknowledged).await;
    cluster.verify_ledgers();
}

/// The last administrator's key of a member is lost: the others give it a new one.
async fn reset_an_administrator(cluster: &Cluster, shell: &mut Shell, load: &Load) {
    shell.set("MEMBER", "kentucky");
    shell.set("OTHER", "harlem");
    shell.set("ANY_NODE", cluster.url(VOTERS[2]));
    let others = ["harlem", "hennepin", "mississippi"];
    // The key is not lost at all: whoever has it objects in time.
    let mut unwanted = Section::of("runbook.md", "Last administrator's key lost");
    shell.set("NEW_KEYS", cluster.scratch().join("unwanted-keys").display());
    shell.run(&unwanted.next());
    let printed = shell.run(&unwanted.next());
    let id = shell.approve(&printed, &cluster.url(VOTERS[0]), &others);
    shell.run(&format!("galen --context admin@kentucky --node {} member object {id}", cluster.url(VOTERS[0])));

    let mut section = Section::of("runbook.md", "Last administrator's key lost");
    shell.set("NEW_KEYS", cluster.scratch().join("new-keys").display());
    shell.run(&section.next());
    let printed = shell.run(&section.next());
    shell.approve(&printed, &cluster.url(VOTERS[0]), &others);
    // The delay is block time.
    load.more(20).await;
    let typed = section.next();
    eventually("the new key works", PATIENCE, async || shell.succeeds(&typed).then_some(())).await;
    section.done();
    shell.set("NEW_KEYS", cluster.scratch().join("unwanted-keys").display());
    assert!(!shell.succeeds(&typed), "what was objected to came into force");
    let old = cluster.client(VOTERS[2], "admin@kentucky").members(Paging::default()).await;
    assert!(old.is_err(), "the old key works still");
}

/// That a node votes again, under a number in ordering that it never had.
async fn assert_is_new_learner(cluster: &Cluster, node: &str, before: u64) {
    let after = eventually(&format!("{node} votes under a new number"), PATIENCE, async || {
        let (part, number) = cluster.place(node).await?;
        (part == Participation::Voting && number > before).then_some(number)
    })
    .await;
    assert!(after > 4);
    cluster.votes(node).await;
}

fn copy_folder(from: &Path, to: &Path) {
    let run = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(run.success());
}

/// Runs a copy of a living node's home, at ports of its own, until it ends by itself; what it said.
fn run_copy(cluster: &Cluster, node: &str, all: bool) -> String {
    let copy = cluster.scratch().join(if all { "clone" } else { "second" });
    std::fs::create_dir_all(&copy).unwrap();
    let home = cluster.home(node);
    let stored: &[&str] = if all { &["ledger", "log", "signed", "membership", "began"] } else { &[] };
    for name in ["genesis.toml", "node.toml", "keys"].iter().chain(stored) {
        copy_folder(&home.join(name), &copy.join(name));
    }
    move_ports(cluster, node, &copy);
    run_home(&copy)
}

/// Gives a home that was a node's other ports, as another machine has another address.
fn move_ports(cluster: &Cluster, node: &str, home: &Path) {
    let planned = cluster.testnet.node(node).unwrap();
    let config = home.join("node.toml");
    let mut text = std::fs::read_to_string(&config).unwrap();
    for port in [planned.http_port, planned.network_port, planned.files_port] {
        text = text.replace(&port.to_string(), &(port + 20).to_string());
    }
    std::fs::write(config, text).unwrap();
}

/// Runs a node that should end by itself, or be refused; what it said until then.
fn run_home(home: &Path) -> String {
    let log = home.with_extension("log");
    let file = std::fs::File::create(&log).unwrap();
    let mut child = Command::new(program())
        .args(["node", "run", "--home"])
        .arg(home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file)
        .spawn()
        .unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    tokio::task::block_in_place(|| {
        while child.try_wait().unwrap().is_none() && std::time::Instant::now() < deadline && !said().contains("refused")
        {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = child.kill();
        let _ = child.wait();
    });
    said()
}
