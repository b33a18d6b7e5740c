//! The network between nodes breaks in every way that networks do, processes stand still, disks are slow; by namespaces of
//! the kernel where they are permitted, else by relays between the nodes.

use std::collections::BTreeSet;
use std::time::Duration;

use galen_bench::faults::{self, FaultOptions, Scenario};
use galen_testnet::PlanOptions;
use galen_testnet::fault::Lines;
use galen_testnet::isolation::Isolation;

use crate::support::{Cluster, PATIENCE, Shell, VOTERS, aloud, eventually, program};

/// What is played here: one of each kind. `galen testnet faults` plays all.
const PLAYED: [Scenario; 13] = [
    Scenario::IsolatedLeader,
    Scenario::Partition,
    Scenario::DeafLeader,
    Scenario::MuteLeader,
    Scenario::OneWay,
    Scenario::Cut,
    Scenario::Bridge,
    Scenario::Flapping,
    Scenario::LinkDown,
    Scenario::SlowLink,
    Scenario::PausedLeader,
    Scenario::SlowDisk,
    Scenario::SlowLeaderDisk,
];

#[tokio::test(flavor = "multi_thread")]
async fn a_majority_goes_on_a_minority_promises_nothing_and_all_agree_when_it_is_mended() {
    let cluster = Cluster::make_breakable(PlanOptions::default()).await;
    let lines = Lines::start(&cluster.testnet).await.unwrap();
    cluster.testnet.up(&program(), &|_| {}).await.unwrap();
    let options = FaultOptions {
        scenarios: PLAYED.to_vec(),
        hold: Duration::from_secs(3),
        pause: Duration::from_secs(12),
        per_second_at_voter: 10,
        ..FaultOptions::default()
    };
    let mut on_played = |played: &faults::Played| println!("{played}");
    let report = faults::run(&cluster.testnet, &lines, &program(), &options, &mut on_played).await;
    let report = report.unwrap_or_else(|error| panic!("{error}"));
    for left_out in &report.left_out {
        aloud(&format!("LEFT OUT: {}: {}", left_out.scenario, left_out.cause));
    }
    // Nothing is left out but what the machine does not permit.
    let namespaces = Isolation::permitted().is_ok();
    assert_eq!(report.lines, if namespaces { "namespaces" } else { "relays" });
    let slow_disks = galen_testnet::slow_disk::permitted(&cluster.testnet).is_ok();
    let is_playable = |scenario: &Scenario| match scenario {
        Scenario::SlowDisk | Scenario::SlowLeaderDisk => slow_disks,
        scenario => namespaces || !scenario.needs_namespaces(),
    };
    let playable: Vec<_> = PLAYED.into_iter().filter(is_playable).collect();
    assert_eq!(report.played.iter().map(|played| played.scenario).collect::<Vec<_>>(), playable, "{report}");
    assert_eq!(report.played.len() + report.left_out.len(), PLAYED.len());
    assert_eq!(report.ledgers_verified, 5);
    assert!(report.agreement.acknowledged >= playable.len() * VOTERS.len(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_isolated_testnet_is_broken_and_mended_by_hand_and_leaves_nothing_behind() {
    let cluster = Cluster::make(PlanOptions { isolated: true, ..PlanOptions::default() }).await;
    let dir = cluster.testnet.folder().root().display().to_string();
    if let Err(error) = Isolation::permitted() {
        aloud(&format!("NO NETWORK NAMESPACES: {error}. Only the refusal is tested."));
        let refused = cluster.testnet.up(&program(), &|_| {}).await.unwrap_err();
        assert_eq!(refused.code(), "testnet-isolation");
        return;
    }
    let names = || {
        let mark = format!("galen-{}-", cluster.testnet.plan().id());
        let entries = std::fs::read_dir("/run/netns").unwrap();
        entries.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(&mark)).count()
    };
    let mut shell = Shell::of(&cluster);
    shell.set("DIR", dir);
    assert_eq!(names(), 6, "one for each node, one for the switch");
    let leader = cluster.leader(VOTERS[0]).await;
    let other = VOTERS.into_iter().find(|voter| *voter != leader).unwrap();
    shell.run("galen testnet fault partition leader --dir \"$DIR\"");
    eventually("the others elect a leader", PATIENCE, async || {
        (cluster.chain(other).await?.leader?.to_string() != leader).then_some(())
    })
    .await;
    let (code, said) = shell.fails("galen testnet fault one-way nobody harlem --dir \"$DIR\"");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("node-1.harlem"), "it says which nodes there are: {said}");
    shell.run("galen testnet fault heal --dir \"$DIR\"");
    eventually("the former leader follows", PATIENCE, async || {
        let (there, here) = (cluster.chain(other).await?, cluster.chain(&leader).await?);
        (here.leader.is_some() && here.leader == there.leader).then_some(())
    })
    .await;
    // A bridge: whoever is on one side has no way to the other, and the one between has one to all.
    let (code, said) = shell.fails("galen testnet fault bridge harlem harlem --dir \"$DIR\"");
    assert!(code == 2 && said.contains("on each side"), "exit {code}: {said}");
    shell.run("galen testnet fault bridge harlem hennepin --dir \"$DIR\"");
    let cut_off_from = |node: &str| {
        let place = cluster.testnet.plan().nodes.iter().position(|planned| planned.name.to_string() == node).unwrap();
        let namespace = format!("galen-{}-{place}", cluster.testnet.plan().id());
        let routes = shell.run(&format!("ip -n {namespace} route show type blackhole"));
        let planned = cluster.testnet.plan().nodes.iter();
        let cut = planned.filter(|other| routes.contains(&format!("{} ", other.address_isolated.unwrap())));
        cut.map(|other| other.name.to_string()).collect::<BTreeSet<_>>()
    };
    let named = |nodes: &[&str]| nodes.iter().map(|node| (*node).to_owned()).collect::<BTreeSet<_>>();
    let other_side = named(&["node-1.kentucky", "node-1.mississippi", "aggregator.harlem"]);
    assert_eq!(cut_off_from("node-1.hennepin"), other_side);
    for node in &other_side {
        assert_eq!(cut_off_from(node), named(&["node-1.hennepin"]));
    }
    assert_eq!(cut_off_from("node-1.harlem"), named(&[]));
    shell.run("galen testnet fault heal --dir \"$DIR\"");
    assert_eq!(cut_off_from("node-1.hennepin"), named(&[]));
    let (_, said) = shell.fails("galen testnet add riverside --dir \"$DIR\"");
    assert!(said.contains("--isolated"), "{said}");
    // Whatever ends the nodes, their namespaces are found by the testnet's folder.
    for node in cluster.nodes() {
        cluster.process(&node).unwrap().kill();
    }
    assert_eq!(names(), 6);
    shell.run("galen testnet down --dir \"$DIR\"");
    assert_eq!(names(), 0);
}
