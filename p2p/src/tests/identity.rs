//! Two processes with one key, and ledgers that went through different recoveries.

use std::sync::mpsc as blocking;
use std::time::{Duration, Instant};

use galen_types::{Hash, NodeName};

use super::{Node, config, connected, name, registry, until_logged};
use crate::NetworkEvent;
use crate::limits::LIVENESS_PROBE_TIMEOUT;

/// A second process of `member`: the same key and name at another port.
async fn second_process(member: &str, peers: &[&Node]) -> Node {
    let mut config = config(member);
    config.registry = registry(peers);
    Node::start_with(config).await
}

fn duplicate(event: NetworkEvent) -> Option<NodeName> {
    match event {
        NetworkEvent::DuplicateIdentity { by } => Some(by),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_with_a_living_node_s_key_is_refused_and_told() {
    let [harlem, hennepin] = connected(["harlem", "hennepin"]).await;
    let since = harlem.handle.peers()[0].connection.as_ref().unwrap().since;
    let mut second = second_process("hennepin", &[&harlem]).await;
    assert_eq!(second.expect("word of the duplicate", duplicate).await, name("harlem"));
    assert_eq!(second.handle.connected_count(), 0);
    harlem.until("counted", |handle| handle.counters().duplicate_identities >= 1).await;
    assert!(second.handle.counters().duplicate_identities >= 1);
    assert_eq!(second.handle.peers()[0].refusal.as_ref().unwrap().code(), "duplicate-identity");
    until_logged(&["duplicate-identity", "another process with its key", "node-1.hennepin"]).await;

    // The first was not disturbed; once it has stopped, the second is welcome, without a probe's delay.
    assert_eq!(harlem.handle.peers()[0].connection.as_ref().unwrap().since, since);
    hennepin.handle.shutdown().await;
    harlem.until("noticed", |handle| !handle.is_connected(&name("hennepin"))).await;
    let mut again = config("hennepin");
    again.registry = registry(&[&harlem]);
    second.handle.shutdown().await;
    let start = Instant::now();
    let third = Node::start_with(again).await;
    harlem.until_connected("hennepin").await;
    assert!(start.elapsed() < LIVENESS_PROBE_TIMEOUT, "{:?}", start.elapsed());
    third.until_connected("harlem").await;
}

/// A node on a runtime of its own, which can be stopped as a whole, as by a debugger or a machine that hangs: its
/// connections stand, and nothing answers.
struct Freezable {
    freeze: tokio::sync::oneshot::Sender<blocking::Receiver<()>>,
    told: tokio::sync::oneshot::Receiver<NodeName>,
}

fn start_freezable(config: crate::NetworkConfig) -> Freezable {
    let (freeze, frozen) = tokio::sync::oneshot::channel::<blocking::Receiver<()>>();
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let mut node = Node::start_with(config).await;
            frozen.await.unwrap().recv().unwrap();
            let _ = tell.send(node.expect("word of the duplicate", duplicate).await);
            node.handle.shutdown().await;
        });
    });
    Freezable { freeze, told }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_hangs_is_superseded_and_learns_it_when_it_wakes() {
    let harlem = Node::start("harlem").await;
    let mut frozen_config = config("hennepin");
    frozen_config.registry = registry(&[&harlem]);
    let mut all = crate::PeerRegistry::new([harlem.entry(), super::entry_of("hennepin", vec![])]).unwrap();
    harlem.handle.set_registry(all.clone()).await;
    let frozen = start_freezable(frozen_config);
    harlem.until_connected("hennepin").await;
    let (thaw, thawed) = blocking::channel();
    frozen.freeze.send(thawed).unwrap();

    let since = harlem.handle.peers()[0].connection.as_ref().unwrap().since;
    let second = second_process("hennepin", &[&harlem]).await;
    second.until_connected("harlem").await;
    harlem
        .until("superseded", |handle| {
            handle.peers()[0].connection.as_ref().is_some_and(|connection| connection.since > since)
                || handle.counters().connections_superseded >= 1
        })
        .await;
    assert!(harlem.handle.is_connected(&name("hennepin")));

    thaw.send(()).unwrap();
    let told = tokio::time::timeout(super::PATIENCE, frozen.told).await.unwrap().unwrap();
    assert_eq!(told, name("harlem"));
    assert!(second.handle.is_connected(&name("harlem")));
    all = registry(&[&harlem, &second]);
    harlem.handle.set_registry(all).await;
    assert!(harlem.handle.is_connected(&name("hennepin")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dials_in_both_directions_at_once_are_no_duplicates() {
    for _ in 0..5 {
        let [harlem, hennepin] = connected(["harlem", "hennepin"]).await;
        let both = [&harlem, &hennepin];
        // Each dials the other on top of what stands; both ends hold several connections of one process then.
        for (from, to) in [(&harlem, &hennepin), (&hennepin, &harlem)] {
            from.handle.set_registry(registry(&[])).await;
            to.handle.set_registry(registry(&[])).await;
        }
        tokio::join!(harlem.handle.set_registry(registry(&both)), hennepin.handle.set_registry(registry(&both)));
        harlem.until_connected("hennepin").await;
        hennepin.until_connected("harlem").await;
        for node in both {
            assert_eq!(node.handle.counters().duplicate_identities, 0);
            node.handle.shutdown().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_parts_those_who_hold_it_from_those_who_do_not() {
    let [harlem, hennepin] = connected(["harlem", "hennepin"]).await;
    let recovery = Hash([9; 32]);
    harlem.handle.set_lineage(recovery).await;
    hennepin.until("disconnected", |handle| !handle.is_connected(&name("harlem"))).await;
    for node in [&harlem, &hennepin] {
        node.until("refused", |handle| {
            handle.peers()[0].refusal.as_ref().is_some_and(|refusal| refusal.code() == "wrong-lineage")
        })
        .await;
        let refusal = node.handle.peers()[0].refusal.clone().unwrap();
        assert!(refusal.text().contains(&"09".repeat(32)) && refusal.text().contains(&"00".repeat(32)), "{refusal}");
        assert!(node.handle.counters().refused_wrong_lineage >= 1);
        assert!(!node.handle.is_connected(&name("harlem")) && !node.handle.is_connected(&name("hennepin")));
    }
    hennepin.handle.set_lineage(recovery).await;
    harlem.until_connected("hennepin").await;
    hennepin.until_connected("harlem").await;
    assert!(harlem.handle.peers()[0].refusal.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_difference_of_clocks_is_shown() {
    let [harlem, _hennepin] = connected(["harlem", "hennepin"]).await;
    let difference = harlem.handle.peers()[0].connection.as_ref().unwrap().clock_difference_ms;
    assert!(difference.unsigned_abs() < Duration::from_secs(10).as_millis().try_into().unwrap(), "{difference}");
}
