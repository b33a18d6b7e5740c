//! Connections that want nothing, or want it very slowly, crowd one node's doors.

use std::time::Duration;

use galen_bench::crowd::{self, CrowdOptions, Visit};
use galen_testnet::PlanOptions;

use crate::support::{Cluster, PATIENCE, VOTERS, eventually};

/// What the node's server allows itself: see `docs/operate.md`.
const HTTP_CONNECTIONS_MAX: u64 = 4_096;
/// Of one address, in set-up at the network between nodes.
const STRANGERS_MAX: u64 = 64;
/// Everything else that a node has open: its store, its peers.
const OTHER_DESCRIPTORS_MAX: u64 = 1_500;
/// Far above what so many connections need, far below what a leak would.
const RESIDENT_MIB_MAX: u64 = 1_024;

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_client_is_served_beside_a_crowd_and_the_slow_are_sent_away() {
    let cluster = Cluster::start(PlanOptions::default()).await;
    let options = CrowdOptions {
        idle: 4_500,
        slow: 300,
        strangers: 300,
        rounds: 1,
        alone: Duration::from_secs(1),
        // Longer than the longest deadline of a connection.
        beside: Duration::from_secs(35),
        clients: 2,
    };
    let restarted = VOTERS[3];
    let visit = crowd::run(&cluster.testnet, &options, &|_| {});
    // A member comes back while strangers hold the doors of the network between nodes.
    let member = async {
        tokio::time::sleep(options.alone + Duration::from_secs(12)).await;
        cluster.testnet.kill(restarted).unwrap();
        cluster.restart(restarted).await;
        cluster.votes(restarted).await;
    };
    let (report, ()) = tokio::join!(visit, member);
    let report = report.unwrap_or_else(|error| panic!("{error}"));
    let beside = &report.beside[0];
    assert_eq!((beside.failed, &beside.first_failure), (0, &None), "{report}");
    // How many and how fast is the machine's business.
    assert!(beside.reads.count > 0 && beside.transactions.count > 0 && beside.newcomers.count > 0, "{report}");
    assert!(beside.held.descriptors_max <= HTTP_CONNECTIONS_MAX + STRANGERS_MAX + OTHER_DESCRIPTORS_MAX, "{report}");
    assert!(beside.held.resident_mib_max <= RESIDENT_MIB_MAX, "{report}");
    for visit in [Visit::SlowHead, Visit::SlowBody, Visit::SlowReader, Visit::Stranger] {
        let visits = report.visits[&visit];
        assert!(visits.taken > 0 && visits.ended > 0, "{visit:?}: {report}");
    }
    let idle = report.visits[&Visit::Idle];
    // Connections that the system accepted and the node has not seen yet look open from here.
    assert!(idle.open_max < options.idle as u64 && idle.ended > 0, "{report}");
    // Nothing of the crowd stays.
    let process = cluster.process(VOTERS[0]).unwrap();
    eventually("the crowd's connections are closed", PATIENCE, async || {
        let open = std::fs::read_dir(format!("/proc/{}/fd", process.pid)).ok()?.count() as u64;
        (open <= OTHER_DESCRIPTORS_MAX).then_some(())
    })
    .await;
}
