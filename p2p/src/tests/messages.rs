//! Every kind of message between nodes that agree.

use std::time::Duration;

use bytes::Bytes;

use super::{Node, connected, name};
use crate::limits::{RAFT_FRAME_BYTES_MAX, REQUEST_BYTES_MAX, response_bytes_max};
use crate::{NetworkEvent, Refusal, Topic};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_arrive_in_order_from_each_peer() {
    let [mut harlem, hennepin, kentucky] = connected(["harlem", "hennepin", "kentucky"]).await;
    for number in 0..500_u32 {
        for node in [&hennepin, &kentucky] {
            node.handle.send_raft(&name("harlem"), Bytes::copy_from_slice(&number.to_le_bytes())).unwrap();
        }
        hennepin.handle.send_transactions(&name("harlem"), Bytes::copy_from_slice(&number.to_le_bytes())).unwrap();
    }
    let mut next = [0_u32; 3];
    while next != [500; 3] {
        let (lane, bytes) = harlem
            .expect("frame", |event| match event {
                NetworkEvent::Raft { from, bytes } => Some((usize::from(from == name("kentucky")), bytes)),
                NetworkEvent::Transactions { from, bytes } => {
                    assert_eq!(from, name("hennepin"));
                    Some((2, bytes))
                }
                _ => None,
            })
            .await;
        assert_eq!(bytes, next[lane].to_le_bytes().as_slice());
        next[lane] += 1;
    }
    let counters = harlem.handle.counters();
    assert_eq!((counters.raft_frames_received, counters.transactions_frames_received), (1000, 500));
    assert_eq!(counters.raft_frames_dropped, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_frame_passes_and_a_larger_one_is_not_sent() {
    let [mut harlem, hennepin] = connected(["harlem", "hennepin"]).await;
    let largest = Bytes::from(vec![5; RAFT_FRAME_BYTES_MAX]);
    hennepin.handle.send_raft(&name("harlem"), largest.clone()).unwrap();
    let received = harlem
        .expect("frame", |event| match event {
            NetworkEvent::Raft { bytes, .. } => Some(bytes),
            _ => None,
        })
        .await;
    assert!(received == largest);
    let larger = Bytes::from(vec![5; RAFT_FRAME_BYTES_MAX + 1]);
    assert_eq!(hennepin.handle.send_raft(&name("harlem"), larger).unwrap_err().code(), "frame-oversize");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_to_a_peer_that_is_not_there_are_refused_and_counted() {
    let [harlem, _hennepin] = connected(["harlem", "hennepin"]).await;
    let error = harlem.handle.send_raft(&name("kentucky"), Bytes::new()).unwrap_err();
    assert_eq!(error.code(), "not-connected");
    assert_eq!(harlem.handle.counters().raft_frames_dropped, 1);
}

/// Answers requests by what they ask: kind 1 echoes, 2 refuses, 3 leaves unanswered, 4 answers too much, 5 waits.
fn serve_requests(mut node: Node) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Some(event) = node.events.recv().await {
            let NetworkEvent::Request { from, kind, bytes, reply, .. } = event else { continue };
            assert_eq!(from, name("harlem"));
            match kind {
                1 => reply.answer(bytes),
                2 => reply.refuse(Refusal::new("height-unknown", "no block at that height")),
                3 => drop(reply),
                4 => reply.answer(Bytes::from(vec![0; response_bytes_max(kind) + 1])),
                _ => kept.push(reply),
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_answered_refused_or_time_out() {
    let [harlem, hennepin] = connected(["harlem", "hennepin"]).await;
    let server = serve_requests(hennepin);
    let ask = async |kind: u16, body: Bytes, deadline: Duration| {
        let answer = harlem.handle.request(&name("hennepin"), kind, body, deadline).await;
        answer.map_err(|error| error.code().to_owned())
    };
    let long = Duration::from_secs(20);
    let body = Bytes::from(vec![9; REQUEST_BYTES_MAX]);
    assert!(ask(1, body.clone(), long).await.unwrap() == body);
    assert_eq!(ask(2, Bytes::new(), long).await.unwrap_err(), "height-unknown");
    assert_eq!(ask(3, Bytes::new(), long).await.unwrap_err(), "unanswered");
    assert_eq!(ask(4, Bytes::new(), long).await.unwrap_err(), "response-oversize");
    assert_eq!(ask(5, Bytes::new(), Duration::from_millis(200)).await.unwrap_err(), "deadline");
    let larger = Bytes::from(vec![9; REQUEST_BYTES_MAX + 1]);
    assert_eq!(ask(1, larger, long).await.unwrap_err(), "request-oversize");
    let nobody = harlem.handle.request(&name("kentucky"), 1, Bytes::new(), long).await.unwrap_err();
    assert_eq!(nobody.code(), "not-connected");
    assert_eq!(harlem.handle.counters().requests_failed, 4);
    server.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_answer_of_block_sync_passes() {
    let [harlem, mut hennepin] = connected(["harlem", "hennepin"]).await;
    let block = Bytes::from(vec![7; response_bytes_max(1)]);
    let answer = block.clone();
    let server = tokio::spawn(async move {
        let reply = hennepin
            .expect("request", |event| match event {
                NetworkEvent::Request { reply, .. } => Some(reply),
                _ => None,
            })
            .await;
        reply.answer(answer);
        hennepin
    });
    let received = harlem.handle.request(&name("hennepin"), 1, Bytes::new(), Duration::from_secs(30)).await.unwrap();
    assert!(received == block);
    server.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gossip_reaches_every_node_once_with_its_author() {
    let [harlem, mut hennepin, mut kentucky] = connected(["harlem", "hennepin", "kentucky"]).await;
    // Subscriptions travel by gossip too, so the first messages may find nobody: publish until each node has one.
    let publisher = {
        let handle = harlem.handle.clone();
        tokio::spawn(async move {
            for number in 0..u32::MAX {
                let bytes = Bytes::copy_from_slice(&number.to_le_bytes());
                handle.publish(Topic::Signatures, bytes).unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
    };
    for node in [&mut hennepin, &mut kentucky] {
        let mut seen = Vec::new();
        while seen.len() < 20 {
            let bytes = node
                .expect("gossip", |event| match event {
                    NetworkEvent::Gossip { topic, author, bytes, validation, .. } => {
                        assert_eq!((topic, author), (Topic::Signatures, name("harlem")));
                        validation.accept();
                        Some(bytes)
                    }
                    _ => None,
                })
                .await;
            assert!(!seen.contains(&bytes), "delivered twice");
            seen.push(bytes);
        }
    }
    publisher.abort();
    let large = Bytes::from(vec![0; Topic::Signatures.bytes_max() + 1]);
    assert_eq!(harlem.handle.publish(Topic::Signatures, large).unwrap_err().code(), "gossip-oversize");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_shows_every_registered_peer() {
    let [mut harlem, hennepin] = connected(["harlem", "hennepin"]).await;
    let version = harlem
        .expect("connection", |event| match event {
            NetworkEvent::PeerConnected { node, software_version, .. } if node == name("hennepin") => {
                Some(software_version)
            }
            _ => None,
        })
        .await;
    assert_eq!(version, "0.1.0-test");
    harlem
        .until("pinged", |handle| {
            handle.peers().iter().any(|peer| {
                peer.node == name("hennepin")
                    && peer.connection.as_ref().is_some_and(|connection| connection.round_trip.is_some())
            })
        })
        .await;
    assert_eq!(harlem.handle.peers().len(), 1, "not itself");
    hennepin.handle.shutdown().await;
    let gone = harlem
        .expect("end", |event| match event {
            NetworkEvent::PeerDisconnected { node } => Some(node),
            _ => None,
        })
        .await;
    assert_eq!(gone, name("hennepin"));
    assert!(harlem.handle.peers()[0].connection.is_none());
}
