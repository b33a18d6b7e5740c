//! Nodes killed with SIGKILL while clients write.

use galen_testnet::PlanOptions;

use crate::support::{Cluster, Load, PATIENCE, VOTERS, assert_once_everywhere, eventually};

fn options() -> PlanOptions {
    PlanOptions { load_accounts: 8, ..PlanOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_others_go_on_when_the_leader_is_killed_and_it_comes_back() {
    let cluster = Cluster::start(options()).await;
    let leader = cluster.leader(VOTERS[0]).await;
    let others: Vec<&str> = VOTERS.into_iter().filter(|node| *node != leader).collect();
    let load = Load::start(&cluster, &VOTERS);
    load.more(100).await;
    assert!(cluster.testnet.kill(&leader).unwrap());
    let next = eventually("another node leads", PATIENCE, async || {
        let named = cluster.chain(others[0]).await?.leader?.to_string();
        (named != leader).then_some(named)
    })
    .await;
    assert!(others.contains(&next.as_str()));
    load.more(100).await;
    cluster.restart(&leader).await;
    load.more(100).await;
    let acknowledged = load.stop().await;
    assert_once_everywhere(&cluster, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_all_voters_are_killed() {
    let cluster = Cluster::start(options()).await;
    let mut acknowledged = Vec::new();
    for _ in 0..2 {
        let load = Load::start(&cluster, &VOTERS);
        load.more(150).await;
        let processes: Vec<_> = VOTERS.iter().map(|node| cluster.process(node).unwrap()).collect();
        for process in &processes {
            process.signal(nix::sys::signal::Signal::SIGKILL);
        }
        for process in &processes {
            process.kill();
        }
        acknowledged.extend(load.stop().await);
        cluster.testnet.up(&crate::support::program(), &|_| {}).await.unwrap();
    }
    // The chain goes on from there.
    let load = Load::start(&cluster, &VOTERS);
    load.more(20).await;
    acknowledged.extend(load.stop().await);
    assert_once_everywhere(&cluster, &acknowledged).await;
}
