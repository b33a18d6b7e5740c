//! A join that is killed again and again: at each point that can be seen from outside, and at random ones.

use std::path::Path;
use std::time::Duration;

use galen_testnet::PlanOptions;
use galen_types::NodeName;
use galen_types::api::Participation;
use galen_types::member::NodeRole;
use galen_types::proposal::Ballot;
use tokio::time::{Instant, sleep};

use crate::support::{Cluster, Load, VOTERS, assert_once_everywhere, noise, program};

const NODE: &str = "node-1.riverside";
/// How long a point may take to come. Some last for milliseconds: one that passed unseen is made up for by a kill right then.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of the ten, those that last until the node goes on, and are so seen always.
const SEEN_MIN: usize = 7;
/// Blocks behind which a node catches up by snapshot: the fewest that the configuration takes.
const SNAPSHOT_LAG_BLOCKS: u64 = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_join_that_is_killed_at_ten_points_is_completed() {
    let mut cluster = Cluster::start(PlanOptions { load_accounts: 4, ..PlanOptions::default() }).await;
    // Enough of a chain that the newcomer takes a snapshot and blocks after it.
    let load = Load::start(&cluster, &VOTERS);
    crate::support::eventually("there are enough blocks", crate::support::PATIENCE, async || {
        (cluster.chain(VOTERS[0]).await?.height > 2 * SNAPSHOT_LAG_BLOCKS).then_some(())
    })
    .await;
    let mut acknowledged = load.stop().await;
    let load = Load::paced(&cluster, &VOTERS, Duration::from_millis(40));

    let node = cluster.testnet.prepare_member("riverside", NodeRole::Voter).unwrap();
    let home = cluster.home(NODE);
    let lag = i64::try_from(SNAPSHOT_LAG_BLOCKS).unwrap();
    cluster.write_config(NODE, "sync", &[("snapshot_lag_blocks", lag.into())]);

    let mut seen = 0;
    // 1 and 2: it has applied and was just started; it has the genesis and waits for the votes.
    let proposal = cluster.testnet.apply(&node).await.unwrap();
    seen += kill_when(&cluster, &node, "it runs", async || cluster.process(NODE).is_some()).await;
    let has = |name: &str| home.join(name);
    let is_there = |path: &Path| path.exists();
    let genesis = has("genesis.toml");
    seen += kill_when(&cluster, &node, "genesis is there", async || is_there(&genesis)).await;
    cluster.testnet.vote(&proposal, Ballot::Approve).await.unwrap();
    cluster.testnet.admitted(&node.member).unwrap();

    // 3 to 5: it knows that it was admitted, the snapshot is on its way, the ledger was made from it.
    let peers = has("peers.toml");
    seen += kill_when(&cluster, &node, "it is admitted", async || is_there(&peers)).await;
    let incoming = has("snapshots").join("incoming");
    seen += kill_when(&cluster, &node, "a snapshot is on its way", async || is_there(&incoming)).await;
    seen +=
        kill_when(&cluster, &node, "half of the chain is there", async || height(&cluster).await > SNAPSHOT_LAG_BLOCKS)
            .await;
    // 6 to 8: its ordering log is begun, it is a learner, it is a voter.
    let log = has("log");
    seen += kill_when(&cluster, &node, "its ordering log is begun", async || has_number(&log)).await;
    seen += kill_when(&cluster, &node, "it is a learner", async || {
        cluster.place(NODE).await.is_some_and(|(part, _)| part == Participation::Learning)
    })
    .await;
    seen += kill_when(&cluster, &node, "it stands in the voter set", async || {
        let chain = cluster.chain(VOTERS[0]).await;
        chain.is_some_and(|chain| chain.voters.contains(&node))
    })
    .await;
    // 9 and 10: whenever.
    for turn in ["first", "second"] {
        let delay = Duration::from_millis(u64::from(noise(turn, 1)[0]) * 8);
        let until = Instant::now() + delay;
        seen += kill_when(&cluster, &node, "some time passed", async || Instant::now() >= until).await;
    }

    assert!(seen >= SEEN_MIN, "the node was killed at {seen} of the points");

    cluster.testnet.launch(&node, &program()).unwrap();
    cluster.votes(NODE).await;
    cluster.testnet.add_accounts(&node).await.unwrap();
    load.more(20).await;
    acknowledged.extend(load.stop().await);
    assert_once_everywhere(&cluster, &acknowledged).await;
    cluster.verify_ledgers();
}

/// Starts the node and kills it when something holds; 1 where it did, 0 where it was not seen.
async fn kill_when(cluster: &Cluster, node: &NodeName, what: &str, mut holds: impl AsyncFnMut() -> bool) -> usize {
    let process = cluster.testnet.launch(node, &program()).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut is_seen = holds().await;
    while !is_seen && Instant::now() < deadline {
        assert!(process.is_alive(), "the node ended by itself, before: {what}");
        sleep(Duration::from_millis(2)).await;
        is_seen = holds().await;
    }
    println!(
        "killed when {what}: {} left of the patience",
        deadline.saturating_duration_since(Instant::now()).as_millis()
    );
    process.kill();
    usize::from(is_seen)
}

async fn height(cluster: &Cluster) -> u64 {
    cluster.chain(NODE).await.map_or(0, |chain| chain.height)
}

/// Whether an ordering log was begun: its folder is named by the number.
fn has_number(logs: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(logs) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().parse::<u64>().is_ok())
}
