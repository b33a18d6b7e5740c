//! What concurrent clients are told while nodes are killed, paused and cut off: checked against the chain, and by a search
//! that does not know it.

use std::time::Duration;

use galen_client::{ClientError, Wait};
use galen_histories::{Action, Outcome, by_chain, by_search};
use galen_testnet::PlanOptions;
use galen_testnet::fault::{Fault, Lines};
use galen_testnet::history::{RecordOptions, Recorder, play};
use galen_testnet::relay::Relays;
use galen_types::api::Consistency;
use nix::sys::signal::Signal;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::{Cluster, PATIENCE, VOTERS, eventually, program, publication};

/// How long nodes are killed and paused.
const FAULTS: Duration = Duration::from_secs(14);
/// Longer than an election takes.
const CUT: Duration = Duration::from_secs(4);
/// How long a read that nobody can confirm is waited for.
const HOPELESS: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_are_told_is_linearizable_while_nodes_die_sleep_and_part() {
    let options = PlanOptions { load_accounts: 6, relays: true, ..PlanOptions::default() };
    let cluster = Cluster::make(options).await;
    let lines = Lines::Relays(Relays::start(&cluster.testnet).await.unwrap());
    cluster.testnet.up(&program(), &|_| {}).await.unwrap();
    let recorder = Recorder::start(&cluster.testnet, &RecordOptions::default()).await.unwrap();
    let until = Instant::now() + FAULTS;
    let tell = |text: &str| println!("{text}");
    let faults = play(&cluster.testnet, &program(), 3, until, Some(&lines), &tell).await.unwrap();
    assert!(faults.leaders_killed + faults.leaders_paused > 0, "{faults:?}");
    // The leader on the one side, and its clients with it; the others elect another.
    let leader = cluster.leader(VOTERS[0]).await;
    Fault::Partition { side: vec![leader.parse().unwrap()] }.apply(&cluster.testnet, Some(&lines)).unwrap();
    tokio::time::sleep(CUT).await;
    lines.heal().unwrap();
    for node in cluster.nodes() {
        cluster.testnet.ready(cluster.testnet.node(&node).unwrap()).await.unwrap();
    }
    let answered = recorder.answered();
    eventually("clients are answered again", PATIENCE, async || (recorder.answered() > answered + 50).then_some(()))
        .await;
    let history = recorder.stop().await.unwrap();
    let told = history.operations.iter().filter(|one| !matches!(one.outcome, Outcome::Refused | Outcome::Unknown));
    println!("{} operations, {} answered, {faults:?}", history.operations.len(), told.clone().count());
    for action in [Action::Read, Action::ReadLocal] {
        assert!(told.clone().any(|one| one.action == action), "no {action:?} was answered");
    }
    assert!(told.clone().any(|one| matches!(one.action, Action::Write { .. })), "no write was answered");
    assert_eq!(by_chain::check(&history), Ok(()), "{}", history.to_lines());
    assert_eq!(by_search::check(&history), Ok(()), "{}", history.to_lines());
    cluster.verify_ledgers();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_slept_while_another_led_answers_no_linearizable_read_stale() {
    let cluster = Cluster::make(PlanOptions { relays: true, ..PlanOptions::default() }).await;
    let lines = Lines::Relays(Relays::start(&cluster.testnet).await.unwrap());
    cluster.testnet.up(&program(), &|_| {}).await.unwrap();
    let leader = cluster.leader(VOTERS[0]).await;
    let awake = VOTERS.into_iter().find(|node| *node != leader).unwrap();
    let read = cluster.client_with(&leader, "auditor@harlem", |config| {
        config.consistency = Consistency::Linearizable;
    });
    // Signing needs the node's name: it is asked for while the node is awake.
    read.chain().await.unwrap();
    let asleep = cluster.process(&leader).unwrap();
    asleep.signal(Signal::SIGSTOP);
    Fault::Partition { side: vec![leader.parse().unwrap()] }.apply(&cluster.testnet, Some(&lines)).unwrap();
    eventually("another leads", PATIENCE, async || {
        (cluster.chain(awake).await?.leader?.to_string() != leader).then_some(())
    })
    .await;
    let written = cluster.client(awake, "owner@harlem").apply(publication(), Wait::Committed).await.unwrap();
    // Asked while it sleeps and after it woke, alone: for a while it takes itself for the leader.
    let mut asked = JoinSet::new();
    for number in 0..20 {
        if number == 5 {
            asleep.signal(Signal::SIGCONT);
        }
        let read = read.clone();
        asked.spawn(async move { read.chain().await });
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    tokio::time::sleep(CUT).await;
    lines.heal().unwrap();
    for answered in asked.join_all().await {
        match answered {
            Ok(chain) => assert!(chain.height >= written.height.unwrap(), "{} of {:?}", chain.height, written.height),
            Err(ClientError::Problem(problem)) => assert_eq!(problem.code, "read-not-confirmed"),
            Err(error) => panic!("{error}"),
        }
    }
    let fresh = read.chain().await.unwrap();
    assert!(fresh.height >= written.height.unwrap(), "{} of {:?}", fresh.height, written.height);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_plain_reads_go_on_and_linearizable_ones_are_refused() {
    let cluster = Cluster::start(PlanOptions::default()).await;
    let (survivor, aggregator) = (VOTERS[0], "aggregator.harlem");
    let confirmed = |node: &str| {
        cluster.client_with(node, "auditor@harlem", |config| {
            config.consistency = Consistency::Linearizable;
            config.timeouts.request = HOPELESS;
        })
    };
    // One that orders, and one that asks those that do.
    for node in [survivor, aggregator] {
        confirmed(node).parameters().await.unwrap_or_else(|error| panic!("{node}: {error}"));
    }
    for node in &VOTERS[1..] {
        cluster.testnet.kill(node).unwrap();
    }
    for node in [survivor, aggregator] {
        match confirmed(node).parameters().await {
            Err(ClientError::Problem(problem)) => {
                assert_eq!((problem.status, problem.code.as_str()), (503, "read-not-confirmed"), "{node}");
                assert!(problem.hint.is_some());
            }
            other => panic!("{node}: {other:?}"),
        }
        cluster.client(node, "auditor@harlem").parameters().await.unwrap();
    }
    // None of them is ready before a quorum is.
    for node in &VOTERS[1..] {
        cluster.launch(node);
    }
    eventually("reads are confirmed again", PATIENCE, async || confirmed(aggregator).parameters().await.ok()).await;
}
