//! Who is let in, who is not, and what the log says about it.

use galen_types::Hash;

use super::{Node, config, connected, name, peer_id, registry, until_logged};
use crate::{NetworkEvent, NetworkHandle};

/// Two nodes that are registered with each other, the second named after the code and with a changed configuration;
/// returned once both know that code as the reason why they are not connected.
async fn refused(code: &str, change: impl FnOnce(&mut crate::NetworkConfig)) -> [Node; 2] {
    let harlem = Node::start("harlem").await;
    let mut config = config(code);
    change(&mut config);
    let other = Node::start_with(config).await;
    let both = registry(&[&harlem, &other]);
    harlem.handle.set_registry(both.clone()).await;
    other.handle.set_registry(both).await;
    for node in [&harlem, &other] {
        // Until both registries are in force, one side may be a stranger to the other.
        node.until(code, |handle| refusals(handle).iter().any(|refusal| refusal == code)).await;
        assert_eq!(node.handle.connected_count(), 0);
    }
    [harlem, other]
}

/// Why registered peers are not connected.
fn refusals(handle: &NetworkHandle) -> Vec<String> {
    handle.peers().iter().filter_map(|peer| peer.refusal.as_ref()).map(|refusal| refusal.code().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_genesis_is_refused_on_both_sides_with_the_reason_in_the_log() {
    let [harlem, other] = refused("wrong-genesis", |config| config.genesis = Hash([4; 32])).await;
    assert!(harlem.handle.counters().refused_wrong_genesis >= 1);
    assert!(other.handle.counters().refused_wrong_genesis >= 1);
    let theirs = format!("wrong genesis: theirs {}, ours {}", "04".repeat(32), "03".repeat(32));
    until_logged(&["wrong-genesis", &peer_id("wrong-genesis").to_string(), "127.0.0.1", &theirs]).await;
    let ours = format!("wrong genesis: theirs {}, ours {}", "03".repeat(32), "04".repeat(32));
    until_logged(&["wrong-genesis", &peer_id("harlem").to_string(), &ours]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_chain_is_refused_on_both_sides() {
    let [_harlem, _other] = refused("wrong-chain", |config| config.chain = "compute".to_owned()).await;
    until_logged(&["wrong chain: theirs `compute`, ours `main`", &peer_id("wrong-chain").to_string()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_goes_by_another_name_is_refused() {
    let [_harlem, _other] = refused("wrong-name", |config| config.node = "node-2.wrong-name".parse().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_is_refused_logged_and_told_why() {
    let [harlem, hennepin] = connected(["harlem", "hennepin"]).await;
    let stranger = Node::start("stranger").await;
    stranger.handle.set_registry(registry(&[&harlem, &stranger])).await;
    stranger.until("refused", |handle| refusals(handle) == ["not-registered"]).await;
    harlem.until("counted", |handle| handle.counters().refused_not_registered >= 1).await;
    until_logged(&["not-registered", &peer_id("stranger").to_string(), "127.0.0.1"]).await;
    assert_eq!(stranger.handle.connected_count(), 0);
    assert!(harlem.handle.is_connected(&name("hennepin")));
    drop(hennepin);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_let_in_once_it_is_registered_and_out_when_it_is_removed() {
    let [mut harlem, hennepin] = connected(["harlem", "hennepin"]).await;
    let mut kentucky = Node::start("kentucky").await;
    let all = registry(&[&harlem, &hennepin, &kentucky]);
    for node in [&kentucky, &harlem, &hennepin] {
        node.handle.set_registry(all.clone()).await;
    }
    let came = |member| {
        move |event| match event {
            NetworkEvent::PeerConnected { node, .. } if node == name(member) => Some(()),
            _ => None,
        }
    };
    kentucky.expect("connection", came("harlem")).await;
    harlem.expect("connection", came("kentucky")).await;
    hennepin.until_connected("kentucky").await;

    // Only harlem removes it: its own decision is enough.
    harlem.handle.set_registry(registry(&[&harlem, &hennepin])).await;
    let removed = |event| match event {
        NetworkEvent::PeerDisconnected { node } => Some(node),
        _ => None,
    };
    assert_eq!(harlem.expect("end", removed).await, name("kentucky"));
    assert_eq!(kentucky.expect("end", removed).await, name("harlem"));
    assert!(harlem.handle.send_raft(&name("kentucky"), bytes::Bytes::new()).is_err());
    assert!(harlem.handle.is_connected(&name("hennepin")));
    assert!(hennepin.handle.is_connected(&name("kentucky")));
    // It dials again and is a stranger now.
    harlem.until("refused", |handle| handle.counters().refused_not_registered >= 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_and_a_missing_address_are_clear_errors() {
    let harlem = Node::start("harlem").await;
    let mut taken = config("hennepin");
    taken.listen = vec![crate::address::tcp_address(harlem.handle.listen_addresses()[0])];
    let error = crate::Network::start(taken).await.err().unwrap();
    assert_eq!(error.code(), "cannot-listen");
    let mut none = config("hennepin");
    none.bulk_listen.clear();
    assert_eq!(crate::Network::start(none).await.err().unwrap().code(), "no-listen-address");
}
