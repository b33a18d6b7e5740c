//! A node that was away for longer than the others keep their ordering logs: what it missed is only in blocks.

use galen_testnet::PlanOptions;

use crate::support::{Cluster, Load, PATIENCE, VOTERS, assert_once_everywhere, eventually};

/// Entries after which the ordering logs are cut.
const COMPACT_ENTRIES: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_catches_up_from_blocks_and_votes_again() {
    let options = PlanOptions { load_accounts: 4, compact_entries: Some(COMPACT_ENTRIES), ..PlanOptions::default() };
    let cluster = Cluster::start(options).await;
    let leader = cluster.leader(VOTERS[0]).await;
    let others: Vec<&str> = VOTERS.into_iter().filter(|node| *node != leader).collect();
    let absent = others[0];
    assert!(cluster.testnet.kill(absent).unwrap());
    let before = cluster.chain(&leader).await.unwrap().height;

    let present: Vec<&str> = VOTERS.into_iter().filter(|node| *node != absent).collect();
    let load = Load::start(&cluster, &present);
    eventually("several logs' worth of blocks are made", PATIENCE, async || {
        let made = cluster.chain(&leader).await?.height - before;
        (made >= 5 * COMPACT_ENTRIES as u64).then_some(())
    })
    .await;
    cluster.restart(absent).await;
    load.more(50).await;
    let mut acknowledged = load.stop().await;
    assert_once_everywhere(&cluster, &acknowledged).await;

    // Three of four certify: with another one gone, nothing is certified without the node that came back.
    assert!(cluster.testnet.kill(others[1]).unwrap());
    let load = Load::start(&cluster, &[absent]);
    load.more(20).await;
    acknowledged.extend(load.stop().await);
    let height = cluster.chain(absent).await.unwrap().height;
    eventually("blocks are certified with the vote of the node that came back", PATIENCE, async || {
        (cluster.chain(absent).await?.certified_height >= height).then_some(())
    })
    .await;
    cluster.restart(others[1]).await;
    assert_once_everywhere(&cluster, &acknowledged).await;
}
