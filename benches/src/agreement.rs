//! Whether nodes agree: the same certified chain on all of them, and in it, once, every transaction whose receipt a client
//! has, at the height and place that the receipt named.

use std::collections::HashMap;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use galen_client::{BlockOrder, Client, ClientError, collect_pages};
use galen_testnet::Testnet;
use galen_types::api::NodeStatus;
use galen_types::{Hash, TransactionId};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::acknowledged::Acknowledged;
use crate::error::BenchError;

/// Questions to a node at a time.
const ASKED_AT_A_TIME: usize = 8;
/// How often it is looked whether nodes have come to the same chain.
const LOOK: Duration = Duration::from_millis(100);
/// Differences that are told; more are not looked for.
const TOLD_MAX: usize = 20;

/// A node, and who asks it.
pub struct Asked {
    /// Its name.
    pub node: String,
    /// Without an account: accounts may not ask that often.
    pub anyone: Client,
    /// Several accounts, for none may ask as often as there are blocks.
    pub readers: Vec<Client>,
}

impl Asked {
    /// Every node of a testnet that takes part.
    ///
    /// # Errors
    /// [`BenchError`] when no client can be made.
    pub fn all(testnet: &Testnet) -> Result<Vec<Self>, BenchError> {
        let accounts = testnet.accounts()?;
        let of_node = |node| {
            // Administrators' keys may have been reset.
            let readers = accounts.iter().filter(|account| account.account.account.as_str() != "admin");
            let readers = readers.map(|account| testnet.client_at(node, &account.account)).collect::<Result<_, _>>()?;
            Ok(Self { node: node.name.to_string(), anyone: testnet.client(node)?, readers })
        };
        testnet.plan().present().map(of_node).collect()
    }
}

/// What nodes agree upon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Agreement {
    /// Nodes.
    pub nodes: usize,
    /// The height that all have, certified.
    pub height: u64,
    /// The hash of its header.
    pub header: Hash,
    /// Acknowledged transactions that were looked for on each node.
    pub acknowledged: usize,
}

/// Waits until the nodes have the same certified chain, and looks for every acknowledged transaction on each.
///
/// # Errors
/// [`BenchError::Disagreement`] naming what differs, or an answer that did not come.
pub async fn check(
    nodes: &[Asked],
    acknowledged: &[Acknowledged],
    patience: Duration,
) -> Result<Agreement, BenchError> {
    let settled = settled(nodes, patience).await?;
    let mut differences = Differences::default();
    let mut expected: Option<Vec<(u64, Hash)>> = None;
    for asked in nodes {
        let Some(reader) = asked.readers.first() else { continue };
        let blocks = collect_pages(usize::MAX, |paging| reader.blocks(BlockOrder::Ascending, paging)).await?;
        let headers: Vec<_> = blocks.iter().map(|block| (block.height, block.hash)).collect();
        let gapless = headers.iter().map(|(height, _)| *height).eq(1..=settled.chain.height);
        differences.note(gapless, || format!("{} has a gap", asked.node));
        let expected = expected.get_or_insert_with(|| headers.clone());
        differences.note(headers == *expected, || {
            let first = headers.iter().zip(expected.iter()).find(|(own, other)| own != other);
            format!("{} has another chain than {}: {first:?}", asked.node, nodes[0].node)
        });
        let questions = stream::iter(acknowledged).map(async |one| (one, asked.anyone.transaction(&one.id).await));
        let mut answers = std::pin::pin!(questions.buffer_unordered(ASKED_AT_A_TIME));
        while let Some((one, answer)) = answers.next().await {
            let there = matches!(&answer, Ok(status) if Acknowledged::of(status) == Some(*one));
            differences
                .note(there, || format!("{} was acknowledged as {one:?}; at {}: {answer:?}", one.id, asked.node));
        }
    }
    once(&nodes[0], settled.chain.height, acknowledged, &mut differences).await?;
    differences.end()?;
    Ok(Agreement {
        nodes: nodes.len(),
        height: settled.chain.height,
        header: settled.chain.header,
        acknowledged: acknowledged.len(),
    })
}

/// What was found to differ.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn note(&mut self, agrees: bool, difference: impl FnOnce() -> String) {
        if !agrees && self.0.len() < TOLD_MAX {
            self.0.push(difference());
        }
    }

    fn end(self) -> Result<(), BenchError> {
        if self.0.is_empty() { Ok(()) } else { Err(BenchError::Disagreement(self.0.join("; "))) }
    }
}

/// Waits until nodes have the same certified chain, whole; how it is then.
async fn settled(nodes: &[Asked], patience: Duration) -> Result<NodeStatus, BenchError> {
    let deadline = Instant::now() + patience;
    loop {
        let answers = futures::future::join_all(nodes.iter().map(|asked| asked.anyone.node_status())).await;
        if let Some(Ok(first)) = answers.first() {
            let of = |status: &NodeStatus| (status.chain.height, status.chain.header, status.chain.certified_height);
            let wanted = (first.chain.height, first.chain.header, first.chain.height);
            // A node that began from a snapshot fetches what was before it.
            let is_whole = |status: &NodeStatus| status.ordering.history_from == 1 && of(status) == wanted;
            if answers.iter().all(|answer| answer.as_ref().is_ok_and(is_whole)) {
                return Ok(first.clone());
            }
        }
        if Instant::now() >= deadline {
            let told = |(asked, answer): (&Asked, &Result<NodeStatus, ClientError>)| match answer {
                Ok(NodeStatus { chain, ordering, .. }) => format!(
                    "{}: height {}, certified {}, header {}, leader {}, whole from {}",
                    asked.node,
                    chain.height,
                    chain.certified_height,
                    chain.header,
                    chain.leader.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string),
                    ordering.history_from
                ),
                Err(error) => format!("{}: {error}", asked.node),
            };
            let told: Vec<_> = nodes.iter().zip(&answers).map(told).collect();
            let seconds = patience.as_secs();
            return Err(BenchError::Disagreement(format!(
                "the nodes do not come to the same certified chain within {seconds} s: {}",
                told.join("; ")
            )));
        }
        sleep(LOOK).await;
    }
}

/// That no transaction stands in the chain twice. Headers are equal on all nodes, so one node's blocks are all nodes'.
async fn once(
    asked: &Asked,
    height: u64,
    acknowledged: &[Acknowledged],
    differences: &mut Differences,
) -> Result<(), BenchError> {
    let mut places: HashMap<TransactionId, (u64, u32)> = HashMap::new();
    for (height, reader) in (1..=height).zip(asked.readers.iter().cycle()) {
        let block = reader.block(height).await?;
        for (index, id) in (0..).zip(block.transactions) {
            let first = places.insert(id, (height, index));
            differences.note(first.is_none(), || {
                format!("{id} stands in the chain twice: at {first:?} and at {:?}", (height, index))
            });
        }
    }
    for one in acknowledged {
        let place = places.get(&one.id).copied();
        differences.note(place == Some((one.height, one.index)), || {
            format!("{} was acknowledged at {:?} and stands at {place:?}", one.id, (one.height, one.index))
        });
    }
    Ok(())
}
