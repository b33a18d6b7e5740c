//! Nodes come, go, and come back with another disk, while the chain runs: real nodes over real ports in one process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests assert by panicking")]

mod support;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use galen_client::{Client, ClientConfig, Wait};
use galen_node::home::NodeHome;
use galen_node::operate::join::JoinFile;
use galen_node::runtime::Node;
use galen_types::api::{ApplicationSubmission, NodeStatus, Participation};
use galen_types::application::{Application, Invitation, Offer};
use galen_types::member::{NewAccount, NewNode, NodeRole, Role};
use galen_types::proposal::{Ballot, ProposedChange};
use galen_types::vocabulary::ReasonCode;
use galen_types::{Call, Hash, ProposalId, Slug, Timestamp};

use support::{Consortium, MEMBERS, PATIENCE, address, free_ports, keys_of, make_home, name};

async fn status(consortium: &Consortium, node: &str) -> NodeStatus {
    let client = Client::new(ClientConfig::new(consortium.url(node))).unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        match client.node_status().await {
            Ok(status) => return status,
            // It may be starting anew.
            Err(error) => assert!(Instant::now() < deadline, "{node} does not answer: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until a node's status is as wanted.
async fn until(consortium: &Consortium, node: &str, what: &str, wanted: impl Fn(&NodeStatus) -> bool) -> NodeStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = status(consortium, node).await;
        if wanted(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "{node} is not {what}: {status:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn until_voting(consortium: &Consortium, node: &str) -> NodeStatus {
    until(consortium, node, "voting", |status| {
        status.ordering.participation == Participation::Voting && status.chain.ready
    })
    .await
}

/// Ordering follows the chain's voter set, on whoever leads.
async fn until_settled(consortium: &Consortium) {
    for (node, _, _) in &consortium.nodes {
        until(consortium, node, "settled", |status| !status.ordering.joint && !status.ordering.change_pending).await;
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

/// Makes so many blocks, each of one transaction.
async fn make_blocks(consortium: &Consortium, first: u64, count: u64) {
    let admin = consortium.client("admin@hennepin");
    for number in first..first + count {
        admin.apply(filler(number), Wait::Committed).await.unwrap();
    }
}

/// All nodes hold the same header at the height that the first has certified.
async fn assert_agree(consortium: &Consortium) {
    let first = &consortium.nodes[0].0;
    let height = status(consortium, first).await.chain.certified_height;
    let mut hashes = Vec::new();
    for (node, _, _) in &consortium.nodes {
        until(consortium, node, "as far", |status| status.chain.certified_height >= height).await;
        let client = Client::new(ClientConfig::new(consortium.url(node))).unwrap();
        let admin = client.block(height).await;
        if let Ok(block) = admin {
            hashes.push(block.hash);
        }
    }
    assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]), "{hashes:?}");
}

async fn vote(consortium: &Consortium, members: &[&str], proposal: ProposalId) {
    for member in members {
        let admin = consortium.client(&format!("admin@{member}"));
        let call = Call::Vote { proposal, ballot: Ballot::Approve, reason: None };
        admin.apply(call, Wait::Committed).await.unwrap();
    }
}

/// Applies for a new member, as `galen member apply` does; gives its node's home and the application.
async fn apply(consortium: &Consortium, member: &str, lag_blocks: u64) -> (NodeHome, ProposalId) {
    let node = format!("node-1.{member}");
    let ports = free_ports(2);
    let home = make_home(consortium.folder.path(), None, &node, ports[0], ports[1], &|config| {
        config.sync.snapshot_lag_blocks = lag_blocks;
    });
    let sponsor = Client::new(ClientConfig::new(consortium.url("node-1.harlem"))).unwrap();
    let genesis = sponsor.genesis_hash().await.unwrap();
    let (admin, keys) = (keys_of(&format!("admin@{member}")), keys_of(&node));
    let contacts = "call the operator".to_owned();
    let salt = [7; 32];
    let application = Application {
        genesis,
        member: name(member),
        administrator: NewAccount {
            account: name("admin"),
            key: admin.public_key(),
            encryption_key: admin.encryption_key(),
            roles: vec![Role::Admin],
        },
        node: NewNode {
            node: name("node-1"),
            key: keys.public_key(),
            role: NodeRole::Voter,
            address: address(ports[0]),
        },
        offers: vec![Offer::Datasets, Offer::Voting],
        contacts: Hash::commitment(&salt, contacts.as_bytes()),
        made: Timestamp::now(),
    };
    let application = application.sign(&admin.signing, &keys.signing);
    let invitation = consortium.client("admin@harlem").invitation().await.unwrap().invitation;
    let invitation: Invitation = invitation.parse().unwrap();
    let submission = ApplicationSubmission { application, contacts, salt, invitation: invitation.token };
    let received = sponsor.send_application(&submission).await.unwrap();
    // As after an interruption before the answer came: the node sends the application again.
    let join = JoinFile { submission: Some(Box::new(submission)), ..JoinFile::new(&invitation, name(&node)) };
    join.write(&home).unwrap();
    (home, received.proposal)
}

async fn join(consortium: &mut Consortium, member: &str, lag_blocks: u64) -> NodeStatus {
    let (home, proposal) = apply(consortium, member, lag_blocks).await;
    let starting = tokio::spawn({
        let home = home.clone();
        async move { Node::start(&home).await }
    });
    vote(consortium, &MEMBERS[..3], proposal).await;
    let running = starting.await.unwrap().unwrap();
    let node = format!("node-1.{member}");
    consortium.nodes.push((node.clone(), home, running));
    let status = until_voting(consortium, &node).await;
    until_settled(consortium).await;
    status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fifth_hospital_joins_votes_and_leaves() {
    let mut consortium = Consortium::start().await;
    make_blocks(&consortium, 0, 10).await;
    let joined = join(&mut consortium, "kansas", 2_000).await;
    assert!(joined.ordering.raft_id > 4, "{joined:?}");
    let harlem = status(&consortium, "node-1.harlem").await;
    assert_eq!((harlem.chain.voters.len(), harlem.chain.quorum), (5, 4));
    make_blocks(&consortium, 100, 3).await;
    assert_agree(&consortium).await;

    // It takes part like any other: with one of the five away, its vote is needed.
    consortium.stop_node("node-1.mississippi").await;
    make_blocks(&consortium, 200, 3).await;
    consortium.start_node("node-1.mississippi").await;

    // It leaves: cut off, and the others go on.
    let admin = consortium.client("admin@kansas");
    admin.apply(Call::Leave { reason: ReasonCode::Administrative }, Wait::Committed).await.unwrap();
    until(&consortium, "node-1.kansas", "retired", |status| {
        status.ordering.participation == Participation::Retired && status.chain.peers == 0
    })
    .await;
    let place = consortium.nodes.iter().position(|(node, _, _)| node == "node-1.kansas").unwrap();
    let (_, _, kansas) = consortium.nodes.remove(place);
    assert_eq!(kansas.stop().await, None);
    until(&consortium, "node-1.harlem", "without it", |status| status.chain.voters.len() == 4).await;
    until_settled(&consortium).await;
    make_blocks(&consortium, 300, 3).await;
    assert_agree(&consortium).await;
    consortium.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_catches_up_by_snapshot_and_fetches_the_past() {
    let mut consortium = Consortium::start().await;
    make_blocks(&consortium, 0, 130).await;
    join(&mut consortium, "kansas", 100).await;
    let home = consortium.nodes.last().unwrap().1.clone();
    let mut served = 0;
    for (node, _, _) in &consortium.nodes {
        let metrics = get(&format!("{}/metrics", consortium.url(node))).await;
        let line = metrics.lines().find(|line| line.starts_with("galen_snapshot_parts_served_total ")).unwrap();
        served += line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap();
    }
    assert!(served > 0, "it caught up by blocks");
    // What was before the snapshot comes later.
    until(&consortium, "node-1.kansas", "whole", |status| status.ordering.history_from == 1).await;
    assert_agree(&consortium).await;
    assert!(!home.snapshots().join("incoming").join("manifest").exists());
    consortium.stop().await;
}

async fn get(url: &str) -> String {
    reqwest::get(url).await.unwrap().text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wiped_old_and_logless_disks_come_back_under_a_new_number() {
    let mut consortium = Consortium::start().await;
    make_blocks(&consortium, 0, 5).await;
    let node = "node-1.mississippi";

    // An old copy of the whole home, the ordering log with it.
    consortium.stop_node(node).await;
    let home = consortium.stopped[0].1.clone();
    let old = consortium.folder.path().join("old");
    copy(home.root(), &old);
    consortium.start_node(node).await;
    make_blocks(&consortium, 100, 5).await;
    until(&consortium, node, "caught up", |status| status.chain.certified_height >= 10).await;
    consortium.stop_node(node).await;
    std::fs::remove_dir_all(home.root()).unwrap();
    copy(&old, home.root());
    consortium.start_node(node).await;
    let first = until_voting(&consortium, node).await.ordering.raft_id;
    assert!(first > 4, "{first}");
    until_settled(&consortium).await;

    // Its ordering log is lost.
    consortium.stop_node(node).await;
    std::fs::remove_dir_all(home.logs()).unwrap();
    consortium.start_node(node).await;
    let second = until_voting(&consortium, node).await.ordering.raft_id;
    assert!(second > first, "{second}");
    until_settled(&consortium).await;

    // The whole disk is lost.
    consortium.stop_node(node).await;
    std::fs::remove_dir_all(home.logs()).unwrap();
    std::fs::remove_dir_all(home.ledger()).unwrap();
    consortium.start_node(node).await;
    let third = until_voting(&consortium, node).await.ordering.raft_id;
    assert!(third > second, "{third}");
    until_settled(&consortium).await;
    make_blocks(&consortium, 200, 3).await;
    assert_agree(&consortium).await;

    // All at once: nobody waits for ever for the others' word.
    let names: Vec<String> = consortium.nodes.iter().map(|(node, _, _)| node.clone()).collect();
    for node in &names {
        consortium.stop_node(node).await;
    }
    while let Some((node, home)) = consortium.stopped.pop() {
        let running = Node::start(&home).await.unwrap();
        consortium.nodes.push((node, home, running));
    }
    until_voting(&consortium, node).await;
    make_blocks(&consortium, 300, 3).await;
    consortium.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_is_handed_over_and_a_voter_becomes_an_observer() {
    let consortium = Consortium::start().await;
    let leader = status(&consortium, "node-1.harlem").await.chain.leader.unwrap();
    let other = MEMBERS.iter().map(|member| format!("node-1.{member}")).find(|node| *node != leader.to_string());
    let other = other.unwrap();
    let admin = consortium.client(&format!("admin@{}", leader.member));
    let order = admin.transfer_leadership(Some(name(&other))).await.unwrap();
    assert_eq!(order.leader.to_string(), other);
    // The leader demotes itself.
    let leader = order.leader;
    let admin = consortium.client(&format!("admin@{}", leader.member));
    admin.apply(Call::DemoteNode { node: leader.clone() }, Wait::Committed).await.unwrap();
    until(&consortium, &other, "following", |status| {
        status.ordering.participation == Participation::Following && status.chain.voters.len() == 3
    })
    .await;
    until_settled(&consortium).await;
    make_blocks(&consortium, 0, 3).await;
    assert_agree(&consortium).await;
    consortium.stop().await;
}

async fn lead(consortium: &Consortium, node: &str) {
    let leader = until(consortium, node, "led", |status| status.chain.leader.is_some()).await.chain.leader.unwrap();
    if leader.to_string() != node {
        let admin = consortium.client(&format!("admin@{}", leader.member));
        admin.transfer_leadership(Some(name(node))).await.unwrap();
    }
    until(consortium, node, "leading", |status| status.chain.leader.as_ref().is_some_and(|it| it.to_string() == node))
        .await;
}

async fn demote(consortium: &Consortium, member: &str) {
    let admin = consortium.client(&format!("admin@{member}"));
    admin.apply(Call::DemoteNode { node: name(&format!("node-1.{member}")) }, Wait::Committed).await.unwrap();
}

/// Proposes a change and lets members vote until it has passed.
async fn pass(consortium: &Consortium, members: &[&str], change: ProposedChange) {
    let admin = consortium.client(&format!("admin@{}", members[0]));
    let proposed = admin.apply(Call::Propose(change), Wait::Committed).await.unwrap();
    for member in members {
        let call = Call::Vote { proposal: ProposalId(proposed.id.0), ballot: Ballot::Approve, reason: None };
        match consortium.client(&format!("admin@{member}")).apply(call, Wait::Committed).await {
            Err(error) if error.code() == "proposal-closed" => return,
            outcome => drop(outcome.unwrap()),
        }
    }
}

/// Ordering and certification go on at one node, which alone decides or needs no other than those that run.
async fn goes_on(consortium: &Consortium, member: &str, voters: usize, first: u64) {
    let node = format!("node-1.{member}");
    let settled = until(consortium, &node, "settled", |status| {
        let ordering = &status.ordering;
        status.chain.voters.len() == voters && !ordering.joint && !ordering.change_pending
    })
    .await;
    let admin = consortium.client(&format!("admin@{member}"));
    for number in first..first + 3 {
        admin.apply(filler(number), Wait::Certified).await.unwrap();
    }
    let height = settled.chain.height;
    until(consortium, &node, "certified", |status| status.chain.certified_height >= height + 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_of_two_voters_goes_on_alone_whether_the_other_was_demoted_or_removed() {
    let mut consortium = Consortium::start().await;
    for (member, voters) in [("mississippi", 3), ("kentucky", 2)] {
        demote(&consortium, member).await;
        goes_on(&consortium, "harlem", voters, voters as u64 * 100).await;
    }
    // The one that goes leads: it hands over, and is needed for its own going.
    let node = "node-1.hennepin";
    lead(&consortium, node).await;
    demote(&consortium, "hennepin").await;
    goes_on(&consortium, "harlem", 1, 400).await;
    until(&consortium, node, "following without a number", |status| {
        status.ordering.participation == Participation::Following && status.ordering.raft_id == 0
    })
    .await;
    assert!(!consortium.home(node).log(2).exists(), "it gave its number up");
    make_blocks(&consortium, 500, 3).await;

    // Promoted again, it votes under another number.
    let promoted = ProposedChange::SetNodeRole { node: name(node), role: NodeRole::Voter };
    pass(&consortium, &MEMBERS[..3], promoted).await;
    let number = until_voting(&consortium, node).await.ordering.raft_id;
    assert!(number > 4, "{number}");
    goes_on(&consortium, "harlem", 2, 600).await;

    // Removed, it is cut off but for ordering, and the change is made with its vote.
    lead(&consortium, "node-1.harlem").await;
    let admin = consortium.client("admin@hennepin");
    let remove = Call::RemoveNode { node: name(node), reason: ReasonCode::Administrative };
    admin.apply(remove, Wait::Committed).await.unwrap();
    goes_on(&consortium, "harlem", 1, 700).await;
    until(&consortium, node, "cut off", |status| status.chain.peers == 0).await;
    consortium.stop_node(node).await;
    goes_on(&consortium, "harlem", 1, 800).await;
    consortium.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_one_of_four_away_another_leaves_and_two_go_on_though_it_starts_anew_meanwhile() {
    let mut consortium = Consortium::start().await;
    make_blocks(&consortium, 0, 3).await;
    lead(&consortium, "node-1.harlem").await;
    consortium.stop_node("node-1.mississippi").await;
    let admin = consortium.client("admin@kentucky");
    admin.apply(Call::Leave { reason: ReasonCode::Administrative }, Wait::Committed).await.unwrap();
    // Its signature and its vote are needed: three of four. It comes back wherever the change is then.
    let place = consortium.nodes.iter().position(|(node, _, _)| node == "node-1.kentucky").unwrap();
    let (node, home, running) = consortium.nodes.remove(place);
    assert_eq!(running.stop().await, None);
    let running = Node::start(&home).await.unwrap();
    consortium.nodes.push((node, home, running));
    goes_on(&consortium, "harlem", 3, 100).await;
    until(&consortium, "node-1.kentucky", "cut off", |status| status.chain.peers == 0).await;
    consortium.stop_node("node-1.kentucky").await;
    goes_on(&consortium, "hennepin", 3, 200).await;
    consortium.start_node("node-1.mississippi").await;
    until_voting(&consortium, "node-1.mississippi").await;
    make_blocks(&consortium, 300, 3).await;
    assert_agree(&consortium).await;
    consortium.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_voter_of_a_suspended_and_restored_member_votes_under_another_number() {
    let consortium = Consortium::start().await;
    let (node, others) = ("node-1.hennepin", ["harlem", "kentucky", "mississippi"]);
    lead(&consortium, node).await;
    let suspend = ProposedChange::SuspendMember { member: name("hennepin"), reason: ReasonCode::Administrative };
    pass(&consortium, &others, suspend).await;
    goes_on(&consortium, "harlem", 3, 0).await;
    until(&consortium, node, "cut off", |status| {
        status.ordering.participation == Participation::Retired && status.chain.peers == 0
    })
    .await;
    pass(&consortium, &others, ProposedChange::RestoreMember { member: name("hennepin") }).await;
    let number = until_voting(&consortium, node).await.ordering.raft_id;
    assert!(number > 4, "{number}");
    goes_on(&consortium, "harlem", 4, 100).await;
    make_blocks(&consortium, 200, 3).await;
    assert_agree(&consortium).await;
    consortium.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_stop_the_chain_is_refused_with_the_count() {
    let mut consortium = Consortium::start().await;
    let away = "node-1.mississippi";
    consortium.stop_node(away).await;
    for member in ["hennepin", "kentucky"] {
        let admin = consortium.client(&format!("admin@{member}"));
        let deadline = Instant::now() + PATIENCE;
        while admin.peers().await.unwrap().iter().any(|peer| peer.connected && peer.node.to_string() == away) {
            assert!(Instant::now() < deadline, "the stopped node is taken for connected by {member}'s");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    // Three of four are enough; of the three that would remain two are there, which is enough too.
    demote(&consortium, "hennepin").await;
    goes_on(&consortium, "harlem", 3, 0).await;
    // And of the two that would remain one.
    let admin = consortium.client("admin@kentucky");
    let refused = admin.apply(Call::DemoteNode { node: name("node-1.kentucky") }, Wait::Committed).await.unwrap_err();
    assert_eq!(refused.code(), "quorum-would-be-lost", "{refused}");
    let said = refused.to_string();
    assert!(said.contains("of the 2 voters") && said.contains("1 are connected") && said.contains(away), "{said}");
    goes_on(&consortium, "harlem", 3, 100).await;
    consortium.start_node(away).await;
    until_voting(&consortium, away).await;
    demote(&consortium, "kentucky").await;
    goes_on(&consortium, "harlem", 2, 200).await;
    consortium.stop().await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    std::fs::set_permissions(to, from.metadata().unwrap().permissions()).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A consortium of three voters, harlem, hennepin and kentucky: mississippi's was demoted, and has left ordering too.
async fn three_voters() -> Consortium {
    let consortium = Consortium::start().await;
    let demoted = "node-1.mississippi";
    let admin = consortium.client("admin@mississippi");
    admin.apply(Call::DemoteNode { node: name(demoted) }, Wait::Certified).await.unwrap();
    until(&consortium, demoted, "following", |status| {
        status.ordering.participation == Participation::Following && status.ordering.detail.is_none()
    })
    .await;
    until_settled(&consortium).await;
    consortium
}

impl Consortium {
    /// Starts a stopped node without waiting until it is of use.
    async fn begin_node(&mut self, node: &str) {
        let place = self.stopped.iter().position(|(found, _)| found == node).unwrap();
        let (node, home) = self.stopped.remove(place);
        let running = Node::start(&home).await.unwrap();
        self.nodes.push((node, home, running));
    }

    /// Stops a node, copies its home and starts it again: a disk that will be old.
    async fn copy_disk(&mut self, node: &str) -> PathBuf {
        self.stop_node(node).await;
        let copied = self.folder.path().join("old");
        copy(self.stopped.last().unwrap().1.root(), &copied);
        self.start_node(node).await;
        until_voting(self, node).await;
        copied
    }

    /// Puts an older copy in the place of a stopped node's home.
    fn set_back(&self, node: &str, copied: &Path) {
        let (_, home) = self.stopped.iter().find(|(found, _)| found == node).unwrap();
        std::fs::remove_dir_all(home.root()).unwrap();
        copy(copied, home.root());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_three_voters_one_with_an_old_disk_waits_for_the_one_that_knows() {
    let mut consortium = three_voters().await;
    let [knows, old, away] = ["node-1.harlem", "node-1.hennepin", "node-1.kentucky"];
    // Whoever follows would know too.
    for follower in ["node-1.mississippi", "aggregator.harlem"] {
        consortium.stop_node(follower).await;
    }

    // What follows is acknowledged by two, and one of them forgets it.
    let copied = consortium.copy_disk(old).await;
    consortium.stop_node(away).await;
    make_blocks(&consortium, 0, 5).await;
    let before = status(&consortium, knows).await.chain.height;
    consortium.stop_node(old).await;
    consortium.stop_node(knows).await;
    consortium.set_back(old, &copied);

    // Two of three are a majority, but none of them knows.
    for node in [away, old] {
        consortium.begin_node(node).await;
    }
    until(&consortium, old, "waiting", |status| {
        let waits = status.ordering.detail.as_ref().is_some_and(|detail| detail.contains("--trust-disk"));
        status.ordering.participation == Participation::Checking && waits
    })
    .await;
    assert!(status(&consortium, old).await.chain.height < before);
    consortium.start_node(knows).await;
    let number = until_voting(&consortium, old).await.ordering.raft_id;
    assert!(number > 4, "{number}");
    assert!(status(&consortium, old).await.chain.height >= before);
    make_blocks(&consortium, 100, 3).await;
    assert_agree(&consortium).await;
    consortium.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_three_voters_none_waits_for_ever_for_one_that_gave_its_number_up() {
    let mut consortium = three_voters().await;
    let ([sound, other, old], witness) = (["node-1.harlem", "node-1.hennepin", "node-1.kentucky"], "aggregator.harlem");
    consortium.stop_node("node-1.mississippi").await;
    let copied = consortium.copy_disk(old).await;
    make_blocks(&consortium, 0, 5).await;
    let before = status(&consortium, sound).await.chain.certified_height;
    for node in [old, witness] {
        until(&consortium, node, "as far", |status| status.chain.certified_height >= before).await;
    }
    for node in [sound, other, old, witness] {
        consortium.stop_node(node).await;
    }
    consortium.set_back(old, &copied);

    // It is convicted by one that follows, and gives its number up before the other voters can ask it.
    consortium.begin_node(witness).await;
    consortium.begin_node(old).await;
    until(&consortium, old, "out of ordering", |status| status.ordering.participation == Participation::Stale).await;
    assert!(!consortium.home(old).log(3).exists(), "its number is given up");

    // Each of them needs the word of two others, and one of these is that node.
    for node in [sound, other] {
        consortium.begin_node(node).await;
    }
    for node in [sound, other] {
        until_voting(&consortium, node).await;
    }
    let number = until_voting(&consortium, old).await.ordering.raft_id;
    assert!(number > 4, "{number}");
    make_blocks(&consortium, 100, 3).await;
    assert_agree(&consortium).await;
    consortium.stop().await;
}
