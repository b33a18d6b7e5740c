//! The leader takes itself out, then a whole member leaves.

use std::time::Duration;

use galen_testnet::PlanOptions;
use galen_types::vocabulary::ReasonCode;
use galen_types::{Call, NodeName};

use crate::support::{Cluster, Load, PATIENCE, Shell, VOTERS, assert_once_everywhere, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_removes_itself_and_the_others_go_on() {
    let mut cluster = Cluster::start(PlanOptions { load_accounts: 4, ..PlanOptions::default() }).await;
    let leader: NodeName = cluster.leader(VOTERS[0]).await.parse().unwrap();
    let others: Vec<&str> = VOTERS.into_iter().filter(|node| *node != leader.to_string()).collect();
    let load = Load::paced(&cluster, &others, Duration::from_millis(20));
    load.more(40).await;

    let remove = Call::RemoveNode { node: leader.clone(), reason: ReasonCode::Administrative };
    cluster.administer(leader.member.as_str(), remove).await;
    let next = eventually("one of the others leads", PATIENCE, async || {
        let chain = cluster.chain(others[0]).await?;
        let led = chain.leader.filter(|named| named != &leader)?;
        (chain.voters.len() == 3 && !chain.voters.contains(&leader)).then_some(led)
    })
    .await;
    assert!(others.contains(&next.to_string().as_str()));
    eventually("ordering has followed the voter set", PATIENCE, async || {
        let ordering = cluster.ordering(&next.to_string()).await?;
        (!ordering.joint && !ordering.change_pending).then_some(())
    })
    .await;
    load.more(40).await;
    // Its process serves what it has, and is not asked any more.
    cluster.testnet.kill(&leader.to_string()).unwrap();
    cluster.testnet.retire(&leader).unwrap();

    // The member whose node leads then leaves; not the one whose accounts make the load.
    let shell = Shell::of(&cluster);
    let leaving = eventually("another member's node leads", PATIENCE, async || {
        let leader = cluster.chain(others[0]).await?.leader?;
        if leader.member.as_str() != "harlem" {
            return Some(leader);
        }
        shell.succeeds("galen --context admin@harlem node transfer-leadership");
        None
    })
    .await;
    shell.run(&format!("galen --context admin@{} member leave --yes", leaving.member));
    cluster.testnet.cut_off(&leaving.member).await.unwrap();
    cluster.testnet.kill(&leaving.to_string()).unwrap();
    load.more(40).await;
    cluster.testnet.forget(&leaving.member).unwrap();

    let acknowledged = load.stop().await;
    assert_once_everywhere(&cluster, &acknowledged).await;
    cluster.verify_ledgers();
}
