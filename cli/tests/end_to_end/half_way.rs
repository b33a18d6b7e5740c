//! Ordering is caught between two sets of voters: that is shown, nothing is lost, and a leader of a later term finishes the
//! change.

use std::time::Duration;

use galen_client::Wait;
use galen_testnet::PlanOptions;
use galen_types::Call;
use galen_types::member::NodeRole;
use galen_types::proposal::ProposedChange;
use nix::sys::signal::Signal;

use crate::support::{
    Acknowledged, Cluster, PATIENCE, VOTERS, assert_once_everywhere, eventually, publication, raw_http,
};

/// A paused voter counts as there until an election's time has passed; within that the change must have begun. On a busy
/// machine it may come too late, and then waits without having begun.
const ATTEMPTS: usize = 5;
/// Longer than an election takes.
const STUCK: Duration = Duration::from_secs(3);

/// What a node's metrics page says of one.
async fn metric(cluster: &Cluster, node: &str, name: &str) -> Option<f64> {
    let port = cluster.testnet.node(node).unwrap().http_port;
    let page = raw_http::send(port, b"GET /metrics HTTP/1.0\r\nHost: x\r\n\r\n").await;
    page.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_caught_half_way_is_shown_and_finished_by_the_next_leader() {
    let cluster = Cluster::start(PlanOptions::default()).await;
    let [harlem, hennepin, kentucky, mississippi] = VOTERS;
    let settled = async |voters: usize| {
        eventually(&format!("ordering follows {voters} voters"), PATIENCE, async || {
            let (chain, ordering) = (cluster.chain(harlem).await?, cluster.ordering(harlem).await?);
            let leader = cluster.ordering(&chain.leader?.to_string()).await?;
            let done = [ordering, leader].iter().all(|one| !one.joint && !one.change_pending);
            (chain.voters.len() == voters && done && chain.certified_height == chain.height).then_some(())
        })
        .await;
    };
    cluster.administer("mississippi", Call::DemoteNode { node: mississippi.parse().unwrap() }).await;
    settled(3).await;
    let owner = cluster.client(harlem, "owner@harlem");
    let mut acknowledged = Vec::new();
    let mut publish = async || {
        let status = owner.apply(publication(), Wait::Committed).await.unwrap();
        acknowledged.push(Acknowledged { id: status.id, height: status.height.unwrap(), index: status.index.unwrap() });
    };
    publish().await;

    // Two of three vote for it; between the sets both of the two that remain are needed, and one of them stands still.
    let paused = cluster.process(hennepin).unwrap();
    let mut attempt = 0;
    loop {
        attempt += 1;
        assert!(attempt <= ATTEMPTS, "the change never began while the others took the paused voter for there");
        eventually("harlem leads", PATIENCE, async || {
            let leader = cluster.leader(harlem).await;
            if leader == harlem {
                return Some(());
            }
            let admin = cluster.client(&leader, &leader.replace("node-1.", "admin@"));
            // It may take longer than the node waits, or another leads meanwhile.
            let _ = admin.transfer_leadership(Some(harlem.parse().unwrap())).await;
            None
        })
        .await;
        paused.signal(Signal::SIGSTOP);
        let admin = cluster.client(harlem, "admin@kentucky");
        admin.apply(Call::DemoteNode { node: kentucky.parse().unwrap() }, Wait::Committed).await.unwrap();
        let began = eventually("the change has begun or waits", PATIENCE, async || {
            let ordering = cluster.ordering(harlem).await?;
            (ordering.joint || ordering.blocked_by.is_some()).then_some(ordering.joint)
        })
        .await;
        if began {
            break;
        }
        paused.signal(Signal::SIGCONT);
        settled(2).await;
        let change = ProposedChange::SetNodeRole { node: kentucky.parse().unwrap(), role: NodeRole::Voter };
        cluster.decide("harlem", change).await;
        settled(3).await;
    }
    tokio::time::sleep(STUCK).await;
    assert_eq!(
        metric(&cluster, harlem, "galen_membership_joint").await,
        Some(1.0),
        "it is shown for as long as it lasts"
    );
    assert!(cluster.ordering(harlem).await.unwrap().joint);

    // The process that began it is gone. Both that remain are needed, so one of them finishes it in a later term.
    let term = metric(&cluster, harlem, "galen_ordering_term").await.unwrap();
    cluster.process(harlem).unwrap().kill();
    paused.signal(Signal::SIGCONT);
    cluster.restart(harlem).await;
    settled(2).await;
    assert!(metric(&cluster, harlem, "galen_ordering_term").await.unwrap() > term);
    assert_eq!(metric(&cluster, harlem, "galen_membership_joint").await, Some(0.0));
    assert_eq!(metric(&cluster, harlem, "galen_membership_change_pending_seconds").await, Some(0.0));
    publish().await;
    assert_once_everywhere(&cluster, &acknowledged).await;
    cluster.verify_ledgers();
}
