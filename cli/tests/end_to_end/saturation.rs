//! More load than the machine carries: nodes fall behind, and what is executed is certified all the same.

use std::collections::BTreeMap;
use std::time::Duration;

use galen_testnet::PlanOptions;
use tokio::time::{Instant, sleep};

use crate::support::{Cluster, Load, PATIENCE, VOTERS, assert_once_everywhere, eventually};

/// How long the load lasts.
const LOAD: Duration = Duration::from_secs(20);
/// How long a node may certify nothing under it: many times what a certificate takes there.
const STANDSTILL_MAX: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread")]
async fn certification_keeps_up_with_more_load_than_the_machine_carries() {
    let cluster = Cluster::start(PlanOptions { load_accounts: 96, ..PlanOptions::default() }).await;
    let load = Load::start(&cluster, &VOTERS);
    load.more(100).await;
    let began = Instant::now();
    let mut moved: BTreeMap<&str, (u64, Instant)> = VOTERS.map(|voter| (voter, (0, began))).into();
    let mut longest = Duration::ZERO;
    while began.elapsed() < LOAD {
        for voter in VOTERS {
            let Some(chain) = cluster.chain(voter).await else { continue };
            let (height, since) = moved.get_mut(voter).unwrap();
            let still = since.elapsed();
            if chain.certified_height > *height {
                longest = longest.max(still);
                (*height, *since) = (chain.certified_height, Instant::now());
            }
            assert!(
                still < STANDSTILL_MAX,
                "{voter} has executed {} blocks and certified nothing after {height} for {STANDSTILL_MAX:?}",
                chain.height
            );
        }
        sleep(Duration::from_millis(100)).await;
    }
    let acknowledged = load.stop().await;
    println!("{} acknowledged; certification stood still for {longest:?} at most", acknowledged.len());
    eventually("every node has certified all that it executed", PATIENCE, async || {
        for voter in VOTERS {
            let chain = cluster.chain(voter).await?;
            if chain.certified_height < chain.height {
                return None;
            }
        }
        Some(())
    })
    .await;
    assert_once_everywhere(&cluster, &acknowledged).await;
}
