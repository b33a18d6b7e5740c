//! The registry follows the chain while traffic flows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use galen_types::member::NodeRole;
use tokio::time::timeout;

use super::{Node, PATIENCE, config, connected, entry_of, name, peer_id, registry, until_logged};
use crate::identity::keypair_of;
use crate::sync::read;
use crate::{NetworkEvent, PeerRegistry};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_leaves_loses_everything_at_once_and_is_refused_when_it_knocks() {
    let [mut harlem, hennepin, kentucky] = connected(["harlem", "hennepin", "kentucky"]).await;
    // A request of kentucky's waits at harlem, one of harlem's at kentucky, and a file is open.
    let ask = |from: &Node, to: &str| {
        let (handle, to) = (from.handle.clone(), name(to));
        tokio::spawn(async move { handle.request(&to, 1, Bytes::new(), Duration::from_secs(60)).await })
    };
    let theirs = ask(&kentucky, "harlem");
    let ours = ask(&harlem, "kentucky");
    let file = {
        let handle = kentucky.handle.clone();
        tokio::spawn(async move { handle.open_file(&name("harlem"), Bytes::from_static(b"x")).await.map(drop) })
    };
    let mut kept = Vec::new();
    while kept.len() < 2 {
        kept.push(
            harlem
                .expect("request and file", |event| match event {
                    NetworkEvent::Request { .. } | NetworkEvent::File { .. } => Some(event),
                    _ => None,
                })
                .await,
        );
    }
    // And frames of it that harlem has not taken.
    for _ in 0..10 {
        kentucky.handle.send_raft(&name("harlem"), Bytes::from_static(b"late")).unwrap();
    }
    harlem.until("frames in", |handle| handle.counters().raft_frames_received == 10).await;

    harlem.handle.set_registry(registry(&[&harlem, &hennepin])).await;
    assert!(!harlem.handle.is_connected(&name("kentucky")), "at once");
    for request in [theirs, ours] {
        let error = timeout(PATIENCE, request).await.unwrap().unwrap().unwrap_err();
        assert!(["not-connected", "stream-broken"].contains(&error.code()), "{error}");
    }
    assert!(timeout(PATIENCE, file).await.unwrap().unwrap().is_err());
    kentucky.until("disconnected", |handle| !handle.is_connected(&name("harlem"))).await;
    harlem.until("refused", |handle| handle.counters().refused_not_registered >= 1).await;
    until_logged(&["not-registered", &peer_id("kentucky").to_string()]).await;
    assert_eq!(harlem.handle.counters().peers_removed, 1);
    assert_eq!(harlem.handle.shared.book.pages(), 1, "only hennepin is remembered");

    // Nothing of it comes out any more but that it is gone.
    drop(kept);
    hennepin.handle.send_raft(&name("harlem"), Bytes::from_static(b"last")).unwrap();
    harlem
        .expect("hennepin's frame", |event| match event {
            NetworkEvent::Raft { from, .. } => {
                assert_eq!(from, name("hennepin"), "a frame of a node that had left");
                Some(())
            }
            _ => None,
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_joining_node_follows_before_it_knows_itself_to_be_registered() {
    let [harlem, hennepin] = connected(["harlem", "hennepin"]).await;
    let mut bootstrap = config("ohio");
    bootstrap.registry = registry(&[&harlem, &hennepin]);
    bootstrap.role = NodeRole::Observer;
    let ohio = Node::start_with(bootstrap).await;
    ohio.until("refused", |handle| handle.peers().iter().all(|peer| peer.refusal.is_some())).await;

    // The chain has it now; it still has only its bootstrap peers.
    for node in [&harlem, &hennepin] {
        node.handle.set_registry(registry(&[&harlem, &hennepin, &ohio])).await;
    }
    for member in ["harlem", "hennepin"] {
        ohio.until_connected(member).await;
    }
    assert_eq!(ohio.handle.peers().len(), 2);
    ohio.handle.request(&name("harlem"), 1, Bytes::new(), Duration::from_millis(50)).await.unwrap_err();
    harlem.until("asked", |handle| handle.counters().requests_received == 1).await;
    // Another key stands under its own name (it was replaced): it talks to no copy of itself, and goes on.
    let (_, replaced) = entry_of("somebody", vec![crate::address::tcp_address(ohio.handle.listen_addresses()[0])]);
    let others = PeerRegistry::new([harlem.entry(), hennepin.entry(), (name("ohio"), replaced)]).unwrap();
    ohio.handle.set_registry(others).await;
    assert_eq!(ohio.handle.connected_count(), 2);
    assert_eq!(ohio.handle.peers().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_key_closes_the_old_connection_and_dials_the_new() {
    let [mut harlem, hennepin] = connected(["harlem", "hennepin"]).await;
    // Hennepin's new key is that of another seed, at another port.
    let mut renewed = config("hennepin");
    renewed.node_key = zeroize::Zeroizing::new(super::seed("hennepin's new key"));
    renewed.registry = registry(&[&harlem]);
    let new_key = keypair_of(&renewed.node_key).unwrap().public().try_into_ed25519().unwrap().to_bytes();
    let new = Node::start_with(renewed).await;
    harlem.expect("coming", |event| matches!(event, NetworkEvent::PeerConnected { .. }).then_some(())).await;
    let pending = {
        let handle = harlem.handle.clone();
        tokio::spawn(async move { handle.request(&name("hennepin"), 1, Bytes::new(), Duration::from_secs(60)).await })
    };
    hennepin.until("asked", |handle| handle.counters().requests_received == 1).await;

    let (node, mut entry) = new.entry();
    entry.public_key = new_key;
    harlem.handle.set_registry(PeerRegistry::new([harlem.entry(), (node, entry)]).unwrap()).await;
    let error = timeout(PATIENCE, pending).await.unwrap().unwrap().unwrap_err();
    assert!(["not-connected", "stream-broken"].contains(&error.code()), "{error}");
    new.until_connected("harlem").await;
    harlem.until_connected("hennepin").await;
    assert_eq!(harlem.handle.peers()[0].peer_id, crate::peer_id_of(&new_key).unwrap());
    hennepin.until("disconnected", |handle| !handle.is_connected(&name("harlem"))).await;
    harlem.expect("going", |event| matches!(event, NetworkEvent::PeerDisconnected { .. }).then_some(())).await;
    harlem.expect("coming", |event| matches!(event, NetworkEvent::PeerConnected { .. }).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_address_or_role_keeps_a_live_connection() {
    let [harlem, hennepin] = connected(["harlem", "hennepin"]).await;
    let before = harlem.handle.peers()[0].connection.as_ref().unwrap().since;
    let (node, mut entry) = hennepin.entry();
    entry.role = NodeRole::Observer;
    entry.addresses = vec!["/ip4/127.0.0.1/tcp/9".parse().unwrap()];
    harlem.handle.set_registry(PeerRegistry::new([harlem.entry(), (node, entry)]).unwrap()).await;
    let peer = &harlem.handle.peers()[0];
    assert_eq!((peer.role, peer.connection.as_ref().unwrap().since), (NodeRole::Observer, before));
    assert_eq!(harlem.handle.counters().connections_closed, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_address_ends_a_dial_that_hangs() {
    // Kentucky is first registered where something accepts and is silent: that dial would last ten seconds.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let harlem = Node::start("harlem").await;
    let kentucky = Node::start("kentucky").await;
    let wrong = entry_of("kentucky", vec![crate::address::tcp_address(silent.local_addr().unwrap())]);
    harlem.handle.set_registry(PeerRegistry::new([harlem.entry(), wrong]).unwrap()).await;
    let _accepted = timeout(PATIENCE, silent.accept()).await.unwrap().unwrap();
    let mut passive = config("kentucky");
    passive.registry = PeerRegistry::new([entry_of("harlem", vec![])]).unwrap();
    kentucky.handle.set_registry(passive.registry).await;
    let start = std::time::Instant::now();
    harlem.handle.set_registry(registry(&[&harlem, &kentucky])).await;
    harlem.until_connected("kentucky").await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_changes_under_traffic_leaks_nothing_and_settles() {
    let members = ["harlem", "hennepin", "kentucky", "ohio"];
    let nodes = connected(members).await;
    let [harlem, hennepin, kentucky, ohio] = nodes;
    let all = registry(&[&harlem, &hennepin, &kentucky, &ohio]);
    let handles: Vec<_> =
        [&harlem, &hennepin, &kentucky, &ohio].map(|node| (node.member.clone(), node.handle.clone())).into();
    // Everybody answers, and takes what comes.
    let mut takers = Vec::new();
    let calm = Arc::new(AtomicBool::new(false));
    for mut node in [harlem, hennepin, kentucky, ohio] {
        takers.push(tokio::spawn(async move {
            while let Some(event) = node.events.recv().await {
                match event {
                    NetworkEvent::Request { bytes, reply, .. } => reply.answer(bytes),
                    NetworkEvent::Gossip { validation, .. } => validation.accept(),
                    _ => {}
                }
            }
        }));
    }
    let mut senders = Vec::new();
    for (member, handle) in handles.clone() {
        let calm = Arc::clone(&calm);
        senders.push(tokio::spawn(async move {
            let mut number = 0_u32;
            while !calm.load(Ordering::Relaxed) {
                number += 1;
                let bytes = Bytes::copy_from_slice(&number.to_le_bytes());
                let _ = handle.publish(crate::Topic::Announcements, bytes.clone());
                for peer in members.iter().filter(|peer| **peer != member) {
                    let _ = handle.send_raft(&name(peer), bytes.clone());
                    let _ = handle.send_transactions(&name(peer), bytes.clone());
                    let _ = handle.request(&name(peer), 1, bytes.clone(), Duration::from_millis(200)).await;
                }
                tokio::task::yield_now().await;
            }
        }));
    }
    // Two hundred changes: nodes leave, come back, change address and role, each node in its own order.
    for round in 0..50_u32 {
        for (index, (member, handle)) in handles.iter().enumerate() {
            let choice = blake3::hash(&[round.to_le_bytes(), u32::try_from(index).unwrap().to_le_bytes()].concat());
            let mut entries: Vec<_> =
                all.iter().map(|(node, _, registered)| (node.clone(), registered.clone())).collect();
            let victim = usize::from(choice.as_bytes()[0]) % entries.len();
            match choice.as_bytes()[1] % 4 {
                0 => drop(entries.remove(victim)),
                1 => entries[victim].1.role = NodeRole::Observer,
                2 => entries[victim].1.addresses.push("/ip4/127.0.0.1/tcp/9".parse().unwrap()),
                _ => entries[victim].1.public_key = entry_of(&format!("{member} {round}"), vec![]).1.public_key,
            }
            handle.set_registry(PeerRegistry::new(entries).unwrap()).await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for (_, handle) in &handles {
        handle.set_registry(all.clone()).await;
    }
    for (member, handle) in &handles {
        let wait = async {
            while handle.connected_count() != 3 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{member}: {:?}", handle.peers()));
    }
    calm.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.await.unwrap();
    }
    // Traffic flows between every two, and what is kept is what four nodes need.
    for (member, handle) in &handles {
        for peer in members.iter().filter(|peer| *peer != member) {
            let ask = async {
                while handle.request(&name(peer), 1, Bytes::new(), Duration::from_secs(2)).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            timeout(PATIENCE, ask).await.unwrap_or_else(|_| panic!("{member} does not reach {peer}"));
        }
        assert!(handle.shared.book.pages() <= 3);
        assert_eq!(read(&handle.shared.sessions).len(), 3);
        // Two tasks of the planes, and per session two writers and two readers; anything more ends by itself.
        let settle = async {
            while handle.shared.tasks.len() > 2 + 3 * 4 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, settle).await.unwrap_or_else(|_| panic!("{member}: {} tasks", handle.shared.tasks.len()));
        assert_eq!(handle.counters().duplicate_identities, 0);
    }
    for (_, handle) in &handles {
        handle.shutdown().await;
        assert_eq!(handle.shared.tasks.len(), 0);
    }
    for taker in takers {
        timeout(PATIENCE, taker).await.unwrap().unwrap();
    }
}
