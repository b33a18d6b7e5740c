use std::collections::HashMap;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use galen_client::{BlockOrder, Client, collect_pages};
use galen_types::TransactionId;
use galen_types::api::ChainStatus;
use tokio::time::{Instant, sleep};

use super::{Cluster, PATIENCE};

/// Questions to a node at a time.
const ASKED_AT_A_TIME: usize = 8;

/// A transaction whose receipt a client has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    pub(crate) id: TransactionId,
    pub(crate) height: u64,
    pub(crate) index: u32,
}

/// Waits until every node has the same certified chain; then that every acknowledged transaction stands in it, once, at
/// its height and place, on every node.
pub(crate) async fn assert_once_everywhere(cluster: &Cluster, acknowledged: &[Acknowledged]) {
    assert_once_on(cluster, &cluster.nodes(), acknowledged).await;
}

/// The same for some nodes only.
pub(crate) async fn assert_once_on(cluster: &Cluster, nodes: &[String], acknowledged: &[Acknowledged]) {
    let settled = settled(cluster, nodes).await;
    let mut expected: Option<Vec<_>> = None;
    for node in nodes {
        let client = cluster.client(node, "auditor@harlem");
        let blocks = collect_pages(usize::MAX, |paging| client.blocks(BlockOrder::Ascending, paging)).await.unwrap();
        let headers: Vec<_> = blocks.iter().map(|block| (block.height, block.hash)).collect();
        let heights: Vec<u64> = headers.iter().map(|(height, _)| *height).collect();
        assert_eq!(heights, (1..=settled.height).collect::<Vec<_>>(), "{node} has a gap");
        assert_eq!(headers, *expected.get_or_insert_with(|| headers.clone()), "{node} has another chain");
        // Without an account: accounts may not ask that often.
        let anyone = cluster.anyone(node);
        let asked = stream::iter(acknowledged).map(async |one| (one, anyone.transaction(&one.id).await));
        let mut answers = std::pin::pin!(asked.buffer_unordered(ASKED_AT_A_TIME));
        while let Some((one, answer)) = answers.next().await {
            let status = answer.unwrap_or_else(|error| panic!("{node}, {}: {error}", one.id));
            assert_eq!((status.height, status.index), (Some(one.height), Some(one.index)), "{node} moved {}", one.id);
        }
    }
    assert_once(cluster, &nodes[0], settled.height, acknowledged).await;
}

/// Waits until nodes have the same certified chain, whole; how it is then.
async fn settled(cluster: &Cluster, nodes: &[String]) -> ChainStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut seen = Vec::new();
        for node in nodes {
            // A node that began from a snapshot fetches what was before it.
            let history_from = cluster.ordering(node).await.map(|ordering| ordering.history_from);
            seen.push((cluster.chain(node).await, history_from));
        }
        if let Some((Some(first), _)) = seen.first() {
            let same = |(status, history_from): &(Option<ChainStatus>, Option<u64>)| {
                let of = |status: &ChainStatus| (status.height, status.header, status.certified_height);
                *history_from == Some(1) && status.as_ref().map(of) == Some((first.height, first.header, first.height))
            };
            if seen.iter().all(same) {
                return first.clone();
            }
        }
        let told: Vec<_> = nodes.iter().zip(&seen).collect();
        assert!(Instant::now() < deadline, "the nodes do not come to the same certified chain: {told:#?}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// That no transaction stands in the chain twice. Headers are equal on all nodes, so one node's blocks are all nodes'.
async fn assert_once(cluster: &Cluster, asked: &str, height: u64, acknowledged: &[Acknowledged]) {
    // Several accounts, for none may ask as often as there are blocks. Administrators' keys may have been reset.
    let clients: Vec<Client> = cluster
        .testnet
        .accounts()
        .unwrap()
        .iter()
        .filter(|account| account.account.account.as_str() != "admin")
        .map(|account| cluster.client(asked, &account.account.to_string()))
        .collect();
    let mut places: HashMap<TransactionId, (u64, u32)> = HashMap::new();
    for (height, client) in (1..=height).zip(clients.iter().cycle()) {
        let block = client.block(height).await.unwrap();
        assert_eq!(block.header.height, height);
        for (index, id) in (0..).zip(block.transactions) {
            assert_eq!(places.insert(id, (height, index)), None, "{id} stands in the chain twice");
        }
    }
    for one in acknowledged {
        assert_eq!(places.get(&one.id), Some(&(one.height, one.index)));
    }
}
