use std::collections::HashMap;
use std::time::Duration;

use galen_client::{BlockOrder, Client, collect_pages};
use galen_types::TransactionId;
use galen_types::api::ChainStatus;

use super::{Cluster, eventually};

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
    let nodes = cluster.nodes();
    let settled = eventually("all nodes have the same certified chain", Duration::from_secs(60), async || {
        let mut statuses: Vec<ChainStatus> = Vec::new();
        for node in &nodes {
            statuses.push(cluster.chain(node).await?);
        }
        let first = statuses.first()?;
        let same = |status: &ChainStatus| {
            (status.height, status.header, status.certified_height) == (first.height, first.header, first.height)
        };
        statuses.iter().all(same).then(|| first.clone())
    })
    .await;
    let mut expected: Option<Vec<_>> = None;
    for node in &nodes {
        let client = cluster.client(node, "auditor@harlem");
        let blocks = collect_pages(usize::MAX, |paging| client.blocks(BlockOrder::Ascending, paging)).await.unwrap();
        let headers: Vec<_> = blocks.iter().map(|block| (block.height, block.hash)).collect();
        let heights: Vec<u64> = headers.iter().map(|(height, _)| *height).collect();
        assert_eq!(heights, (1..=settled.height).collect::<Vec<_>>(), "{node} has a gap");
        assert_eq!(headers, *expected.get_or_insert_with(|| headers.clone()), "{node} has another chain");
        // Without an account: accounts may not ask that often.
        let anyone = cluster.testnet.client(cluster.testnet.node(node).unwrap()).unwrap();
        for one in acknowledged {
            let status =
                anyone.transaction(&one.id).await.unwrap_or_else(|error| panic!("{node}, {}: {error}", one.id));
            assert_eq!((status.height, status.index), (Some(one.height), Some(one.index)), "{node} moved {}", one.id);
        }
    }
    assert_once(cluster, settled.height, acknowledged).await;
}

/// That no transaction stands in the chain twice. Headers are equal on all nodes, so one node's blocks are all nodes'.
async fn assert_once(cluster: &Cluster, height: u64, acknowledged: &[Acknowledged]) {
    // Several accounts, for none may ask as often as there are blocks.
    let clients: Vec<Client> = cluster
        .testnet
        .accounts()
        .unwrap()
        .iter()
        .map(|account| cluster.client("node-1.harlem", &account.account.to_string()))
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
