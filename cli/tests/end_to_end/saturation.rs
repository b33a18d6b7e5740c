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
    // The certified height of each, and since when it was answered to be the same.
    let mut seen: BTreeMap<&str, (u64, Option<Instant>)> = VOTERS.map(|voter| (voter, (0, None))).into();
    let (mut longest, mut answers, mut heights_apart) = (Duration::ZERO, 0, 0);
    while began.elapsed() < LOAD {
        let mut heights = Vec::new();
        for voter in VOTERS {
            let Some(chain) = cluster.chain(voter).await else { continue };
            answers += 1;
            heights.push(chain.height);
            let (height, since) = seen.get_mut(voter).unwrap();
            if chain.certified_height > *height || chain.certified_height == chain.height {
                (*height, *since) = (chain.certified_height, None);
                continue;
            }
            let still = since.get_or_insert_with(Instant::now).elapsed();
            longest = longest.max(still);
            let (height, executed) = (chain.certified_height, chain.height);
            assert!(
                still < STANDSTILL_MAX,
                "{voter} has executed {executed} blocks, and certified no more than {height}"
            );
        }
        let apart = heights.iter().max().zip(heights.iter().min()).map_or(0, |(highest, lowest)| highest - lowest);
        heights_apart = apart.max(heights_apart);
        sleep(Duration::from_millis(100)).await;
    }
    assert!(answers > 4 * VOTERS.len(), "the nodes answered {answers} times only");
    let acknowledged = load.stop().await;
    println!(
        "{} acknowledged; nodes were up to {heights_apart} blocks apart; certification was seen to stand still for \
         {longest:?} at most",
        acknowledged.len()
    );
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
