//! A quorum that is lost for good, and backups: what an operator does on stopped homes, then real nodes that go on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests assert by panicking")]

mod support;

use std::time::{Duration, Instant};

use galen_client::{Client, ClientConfig, Wait};
use galen_node::operate::backup::restore;
use galen_node::operate::join::JoinFile;
use galen_node::operate::recovery::{RecoverError, RecoveryFile, apply, check_holds_no_more, draft};
use galen_node::runtime::Node;
use galen_types::api::{NodeStatus, Participation};
use galen_types::application::Invitation;
use galen_types::member::{NewAccount, NewNode, NodeRole, Role};
use galen_types::{Call, Hash, Slug};

use support::{Consortium, PATIENCE, address, free_ports, keys_of, make_home, name};

async fn until(consortium: &Consortium, node: &str, what: &str, wanted: impl Fn(&NodeStatus) -> bool) -> NodeStatus {
    let client = Client::new(ClientConfig::new(consortium.url(node))).unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = client.node_status().await;
        match status {
            Ok(status) if wanted(&status) => return status,
            status => assert!(Instant::now() < deadline, "{node} is not {what}: {status:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn filler(number: u64) -> Call {
    let keys = keys_of(&format!("filler-{number}"));
    Call::AddAccount(NewAccount {
        account: name::<Slug>(&format!("filler-{number}")),
        key: keys.public_key(),
        encryption_key: keys.encryption_key(),
        roles: vec![Role::Researcher],
    })
}

async fn make_blocks(consortium: &Consortium, account: &str, first: u64, count: u64) {
    let admin = consortium.client(account);
    for number in first..first + count {
        admin.apply(filler(number), Wait::Certified).await.unwrap();
    }
}

/// Waits until a node and a peer have found that they belong to different branches of the chain.
async fn until_refused_for_its_lineage(consortium: &Consortium, node: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // It may be starting anew.
        let metrics = match reqwest::get(format!("{}/metrics", consortium.url(node))).await {
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        };
        let count = metrics.lines().find(|line| line.starts_with("galen_network_refused_wrong_lineage"));
        if count.is_some_and(|line| !line.ends_with(" 0")) {
            return;
        }
        assert!(Instant::now() < deadline, "{node} was not refused: {count:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_four_hospitals_go_on_after_the_others_are_lost() {
    let mut consortium = Consortium::start().await;
    make_blocks(&consortium, "admin@harlem", 0, 5).await;
    let height = until(&consortium, "node-1.harlem", "certified", |_| true).await.chain.certified_height;
    for node in ["node-1.harlem", "node-1.hennepin", "node-1.kentucky"] {
        until(&consortium, node, "as far", |status| status.chain.certified_height >= height).await;
    }
    let names: Vec<String> = consortium.nodes.iter().map(|(node, _, _)| node.clone()).collect();
    for node in &names {
        consortium.stop_node(node).await;
    }
    let home = |node: &str| consortium.stopped.iter().find(|(found, _)| found == node).unwrap().1.clone();
    let (harlem, hennepin) = (home("node-1.harlem"), home("node-1.hennepin"));
    let (kentucky, aggregator) = (home("node-1.kentucky"), home("aggregator.harlem"));

    let voters = vec![name("node-1.hennepin"), name("node-1.harlem")];
    let abandoned = vec![name("kentucky"), name("mississippi")];
    let drafted = draft(&harlem, voters, abandoned, &mut |_| {}).unwrap();
    assert_eq!(drafted.file.recovery.height, height);
    let signed = |member: &str| {
        let mut copy = drafted.file.clone();
        copy.sign(name(&format!("admin@{member}")), &keys_of(&format!("admin@{member}")).signing).unwrap();
        copy
    };
    // Not without each of them.
    let mut one = signed("harlem");
    let missing = one.complete(&name("admin@harlem"), &keys_of("admin@harlem").signing);
    assert!(matches!(missing, Err(RecoverError::Unsigned(_))), "{missing:?}");
    assert!(matches!(apply(&harlem, &one), Err(RecoverError::Incomplete)));
    let mut file = RecoveryFile::merge(vec![signed("hennepin"), one]).unwrap();
    file.complete(&name("admin@harlem"), &keys_of("admin@harlem").signing).unwrap();
    for home in [&harlem, &hennepin] {
        let applied = apply(home, &file).unwrap();
        assert!(applied.applied && applied.raft_id > 4, "{applied:?}");
        assert_eq!(apply(home, &file).unwrap(), applied, "again");
    }

    for (node, home) in [("node-1.harlem", &harlem), ("node-1.hennepin", &hennepin)] {
        let running = Node::start(home).await.unwrap();
        consortium.nodes.push((node.to_owned(), home.clone(), running));
    }
    for node in ["node-1.harlem", "node-1.hennepin"] {
        until(&consortium, node, "voting", |status| {
            status.ordering.participation == Participation::Voting && status.chain.voters.len() == 2
        })
        .await;
    }
    make_blocks(&consortium, "admin@harlem", 100, 3).await;

    // A node that holds no recovery is refused; with it, it follows, and orders again under a new number.
    let running = Node::start(&kentucky).await.unwrap();
    consortium.nodes.push(("node-1.kentucky".to_owned(), kentucky.clone(), running));
    until_refused_for_its_lineage(&consortium, "node-1.kentucky").await;
    let alone = until(&consortium, "node-1.kentucky", "up", |_| true).await;
    assert_eq!((alone.chain.peers, alone.chain.certified_height), (0, height));
    let (_, _, running) = consortium.nodes.pop().unwrap();
    assert_eq!(running.stop().await, None);
    for (node, home) in [("node-1.kentucky", &kentucky), ("aggregator.harlem", &aggregator)] {
        let applied = apply(home, &file).unwrap();
        assert_eq!(applied.raft_id, 0);
        let running = Node::start(home).await.unwrap();
        consortium.nodes.push((node.to_owned(), home.clone(), running));
    }
    let back = until(&consortium, "node-1.kentucky", "voting", |status| {
        status.ordering.participation == Participation::Voting && status.chain.voters.len() == 3
    })
    .await;
    assert!(back.ordering.raft_id > 6, "{back:?}");
    make_blocks(&consortium, "admin@kentucky", 200, 3).await;

    // Newcomers hold no file: their invitation vouches for the recovery. One comes by blocks, one by snapshot.
    newcomer(&mut consortium, "node-2", 2_000).await;
    make_blocks(&consortium, "admin@kentucky", 300, 110).await;
    newcomer(&mut consortium, "node-3", 100).await;
    consortium.stopped.clear();
    consortium.stop().await;
}

/// A further node of harlem, which knows the invitation only, catches up with what is certified.
async fn newcomer(consortium: &mut Consortium, node: &str, lag_blocks: u64) {
    let admin = consortium.client("admin@harlem");
    let (full, ports) = (format!("{node}.harlem"), free_ports(2));
    let record = NewNode {
        node: name(node),
        key: keys_of(&full).public_key(),
        role: NodeRole::Observer,
        address: address(ports[0]),
    };
    admin.apply(Call::AddNode(record), Wait::Certified).await.unwrap();
    let invitation = admin.invitation().await.unwrap();
    assert_ne!(invitation.lineage, Hash::ZERO);
    let mut invitation: Invitation = invitation.invitation.parse().unwrap();
    let configure = |config: &mut galen_node::config::NodeConfig| config.sync.snapshot_lag_blocks = lag_blocks;
    let home = make_home(consortium.folder.path(), None, &full, ports[0], ports[1], &configure);
    // One that vouches for another recovery leads nowhere.
    let right = std::mem::replace(&mut invitation.lineage, Hash([7; 32]));
    JoinFile::new(&invitation, name(&full)).write(&home).unwrap();
    let refused = Node::start(&home).await.err().unwrap();
    assert_eq!(refused.code(), "join-wrong-lineage", "{refused}");
    invitation.lineage = right;
    JoinFile::new(&invitation, name(&full)).write(&home).unwrap();
    let running = Node::start(&home).await.unwrap();
    consortium.nodes.push((full.clone(), home, running));
    let goal = until(consortium, "node-1.harlem", "certified", |_| true).await.chain.certified_height;
    let there = until(consortium, &full, "as far", |status| status.chain.certified_height >= goal).await;
    assert!(there.chain.peers > 0, "{there:?}");
}

/// The ledger of a survivor lacks blocks of which its ordering log has the entries: clients may have been told of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_the_ordering_log_holds_is_kept() {
    let mut consortium = Consortium::start().await;
    make_blocks(&consortium, "admin@kentucky", 0, 3).await;
    consortium.stop_node("node-1.harlem").await;
    let home = consortium.stopped[0].1.clone();
    let earlier = consortium.folder.path().join("earlier");
    copy_files(&home.ledger(), &earlier);
    consortium.start_node("node-1.harlem").await;
    make_blocks(&consortium, "admin@kentucky", 100, 4).await;
    let height = until(&consortium, "node-1.kentucky", "up", |_| true).await.chain.certified_height;
    until(&consortium, "node-1.harlem", "as far", |status| status.chain.certified_height >= height).await;
    let names: Vec<String> = consortium.nodes.iter().map(|(node, _, _)| node.clone()).collect();
    for node in &names {
        consortium.stop_node(node).await;
    }
    std::fs::remove_dir_all(home.ledger()).unwrap();
    copy_files(&earlier, &home.ledger());

    let abandoned = || ["hennepin", "kentucky", "mississippi"].map(name).to_vec();
    let drafted = draft(&home, vec![name("node-1.harlem")], abandoned(), &mut |_| {}).unwrap();
    assert!(drafted.from_log >= 4, "{drafted:?}");
    assert!(drafted.file.recovery.height >= height, "{drafted:?}");
    assert_eq!(drafted.must_sign, [name::<Slug>("harlem")]);
    assert!(drafted.report.height < height, "the home stays as it was");
    check_holds_no_more(&home, &drafted.file).unwrap();
    let mut shorter = drafted.file.clone();
    shorter.log_end.index -= 1;
    let refused = check_holds_no_more(&home, &shorter).unwrap_err();
    assert_eq!(refused.code(), "recovery-holds-more");

    let (account, keys) = (name("admin@harlem"), keys_of("admin@harlem").signing);
    let mut late = drafted.file.clone();
    late.recovery.made = galen_types::Timestamp::now().plus_ms(60_000);
    let refused = late.sign(name("admin@harlem"), &keys).unwrap_err();
    assert_eq!(refused.code(), "recovery-from-the-future");
    let mut file = drafted.file;
    file.sign(name("admin@harlem"), &keys).unwrap();
    file.complete(&account, &keys).unwrap();
    let applied = apply(&home, &file).unwrap();
    assert!(applied.applied && applied.height > height, "{applied:?}");
    consortium.start_node("node-1.harlem").await;
    until(&consortium, "node-1.harlem", "voting", |status| status.chain.certified_height >= applied.height).await;
    consortium.stopped.clear();
    consortium.stop().await;
}

fn copy_files(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_backup_comes_back_under_a_new_number() {
    let mut consortium = Consortium::start().await;
    make_blocks(&consortium, "admin@kentucky", 0, 5).await;
    let node = "node-1.mississippi";
    let made = consortium.client("admin@mississippi").backup().await.unwrap();
    make_blocks(&consortium, "admin@kentucky", 100, 5).await;
    consortium.stop_node(node).await;
    let home = consortium.stopped[0].1.clone();
    // The machine is lost; the backup was taken elsewhere.
    let elsewhere = consortium.folder.path().join("elsewhere");
    std::fs::rename(&made.folder, &elsewhere).unwrap();
    let password = std::fs::read(home.root().join("password")).unwrap();
    std::fs::remove_dir_all(home.root()).unwrap();
    let restored = restore(&elsewhere, &home).unwrap();
    assert_eq!(restored.ledger.height, made.height);
    assert!(!home.logs().exists());
    std::fs::write(home.root().join("password"), password).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(home.root().join("password"), mode).unwrap();
    consortium.start_node(node).await;
    let back = until(&consortium, node, "voting", |status| {
        status.ordering.participation == Participation::Voting && status.chain.voters.len() == 4
    })
    .await;
    assert!(back.ordering.raft_id > 4, "{back:?}");
    make_blocks(&consortium, "admin@mississippi", 200, 3).await;
    consortium.stop().await;
}
