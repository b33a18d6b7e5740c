//! Nodes that do not hold the whole chain: what was pruned, what came before a snapshot, and fetching it later.

use galen_client::{BlockOrder, collect_pages};
use galen_testnet::PlanOptions;
use galen_types::Parameters;

use crate::support::{Cluster, Load, PATIENCE, Section, Shell, VOTERS, assert_once_on, eventually};

/// The fewest blocks that pruning leaves.
const KEPT_BLOCKS: u64 = 1_000;
/// Blocks behind which a node catches up by snapshot: the fewest that the configuration takes.
const SNAPSHOT_LAG_BLOCKS: i64 = 100;

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_pruned_skipped_and_fetched_later() {
    // Every transaction is a block of its own.
    let parameters = Some(Parameters { block_transactions_max: 1, ..Parameters::default() });
    let cluster = Cluster::start(PlanOptions { load_accounts: 8, parameters, ..PlanOptions::default() }).await;
    let (pruned, skipping) = (VOTERS[2], VOTERS[3]);
    let mut shell = Shell::of(&cluster);
    let load = Load::start(&cluster, &VOTERS[..2]);
    eventually("there are blocks enough to prune", PATIENCE, async || {
        (cluster.chain(VOTERS[0]).await?.height > KEPT_BLOCKS + 150).then_some(())
    })
    .await;
    let acknowledged = load.stop().await;
    let first = *acknowledged.iter().min_by_key(|one| one.height).unwrap();

    // One prunes: bodies go, headers stay.
    let kept = i64::try_from(KEPT_BLOCKS).unwrap();
    cluster.configure(pruned, "ledger", &[("keep_bodies_blocks", kept.into())]).await;
    eventually("old blocks are pruned, and no others", PATIENCE, async || {
        let (from, height) = (cluster.ordering(pruned).await?.history_from, cluster.chain(pruned).await?.height);
        assert!(height - from + 1 >= KEPT_BLOCKS, "too much was pruned: blocks from {from} on are held, of {height}");
        (height - from + 1 == KEPT_BLOCKS).then_some(())
    })
    .await;
    let at_pruned = cluster.client(pruned, "auditor@harlem");
    assert_eq!(at_pruned.block(1).await.unwrap_err().code(), "pruned");
    assert_eq!(at_pruned.transaction(&first.id).await.unwrap_err().code(), "pruned");
    let headers = async |node: &str| {
        let client = cluster.client(node, "auditor@harlem");
        let blocks = collect_pages(usize::MAX, |paging| client.blocks(BlockOrder::Ascending, paging)).await.unwrap();
        blocks.into_iter().map(|block| (block.height, block.hash)).collect::<Vec<_>>()
    };
    assert_eq!(headers(pruned).await, headers(VOTERS[0]).await, "a pruned node has all headers");

    // One starts from a snapshot that an operator had taken, and is not to fetch what was before.
    shell.run("galen --context admin@harlem ledger snapshot");
    cluster.testnet.stop(skipping).unwrap();
    let mut section = Section::of("runbook.md", "Wiped or damaged disk");
    shell.set("NODE_HOME", cluster.home(skipping).display());
    shell.run(&section.next());
    cluster.write_config(skipping, "sync", &[("snapshot_lag_blocks", SNAPSHOT_LAG_BLOCKS.into())]);
    cluster.write_config(skipping, "ledger", &[("history", "none".into())]);
    cluster.launch(skipping);
    cluster.votes(skipping).await;
    let from = cluster.ordering(skipping).await.unwrap().history_from;
    assert!(from > KEPT_BLOCKS, "it took every block from {from} on and no snapshot");
    let at_skipping = cluster.client(skipping, "auditor@harlem");
    assert_eq!(at_skipping.block(1).await.unwrap_err().code(), "history-absent");
    assert_eq!(at_skipping.transaction(&first.id).await.unwrap_err().code(), "not-found");

    // Asked to, it fetches it, although one of its peers has it no more.
    cluster.configure(skipping, "ledger", &[("history", "full".into())]).await;
    eventually("what was before the snapshot is fetched", PATIENCE, async || {
        (cluster.ordering(skipping).await?.history_from == 1).then_some(())
    })
    .await;
    let mut whole = cluster.nodes();
    whole.retain(|node| node != pruned);
    assert_once_on(&cluster, &whole, &acknowledged).await;
    cluster.verify_ledgers();
}
