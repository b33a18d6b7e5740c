//! How the voters of a testnet are: who leads, whether each goes on.

use std::time::Duration;

use galen_testnet::Testnet;
use galen_types::NodeName;
use galen_types::api::Participation;
use tokio::time::{Instant, sleep};

use crate::error::BenchError;
use crate::steady::Steady;

/// How long a condition may take to come before a run is given up: many times what it takes on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long a node may take to say how it is.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

/// The voters of a testnet.
pub(crate) fn voters_of(testnet: &Testnet) -> Vec<NodeName> {
    testnet.plan().present().filter(|node| node.is_voter()).map(|node| node.name.clone()).collect()
}

/// Who leads, as a node knows it.
pub(crate) async fn leader_of(testnet: &Testnet, asked: Option<&NodeName>) -> Option<NodeName> {
    let client = testnet.client(testnet.node(&asked?.to_string()).ok()?).ok()?;
    tokio::time::timeout(ANSWER_PATIENCE, client.chain()).await.ok()?.ok()?.leader
}

/// Waits until all voters name the same leader and each acknowledges what is submitted from now on; the leader.
pub(crate) async fn all_well(testnet: &Testnet, load: &Steady, voters: &[NodeName]) -> Result<NodeName, BenchError> {
    let from = Instant::now();
    let deadline = from + PATIENCE;
    for voter in voters {
        let receipt = load.first(deadline, |receipt| receipt.submitted >= from && &receipt.node == voter).await;
        receipt.ok_or_else(|| BenchError::Stalled(format!("{voter} acknowledged nothing for {PATIENCE:?}")))?;
    }
    loop {
        let named = futures::future::join_all(voters.iter().map(|voter| leader_of(testnet, Some(voter)))).await;
        if let Some(Some(leader)) = named.first()
            && named.iter().all(|name| name.as_ref() == Some(leader))
        {
            return Ok(leader.clone());
        }
        if Instant::now() >= deadline {
            return Err(BenchError::Stalled(format!("the voters name different leaders: {named:?}")));
        }
        sleep(LOOK).await;
    }
}

/// Waits until a node that was started takes part in ordering as a voter.
pub(crate) async fn votes_again(testnet: &Testnet, name: &NodeName, deadline: Instant) -> Result<(), BenchError> {
    let client = testnet.client(testnet.node(&name.to_string())?)?;
    loop {
        let status = client.node_status().await;
        if status.as_ref().is_ok_and(|status| status.ordering.participation == Participation::Voting) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(BenchError::Stalled(format!("{name} does not vote again after it was killed: {status:?}")));
        }
        sleep(LOOK).await;
    }
}
