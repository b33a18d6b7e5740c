//! Peers that break the rules, die, or sleep.

use std::time::Duration;

use bytes::Bytes;
use futures::{AsyncReadExt, AsyncWriteExt};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Node, PATIENCE, config, connected, name, peer_id, registry};
use crate::address::tcp_address;
use crate::limits::{REQUEST_KINDS_SYNC_END, REQUESTS_PER_PEER_MAX, SYNC_REQUESTS_PER_PEER_MAX};
use crate::{NetworkEvent, SendError};

/// Sends a frame from one node and waits for it at the other.
async fn raft_passes(from: &Node, to: &mut Node) {
    let token = Bytes::from(format!("{:?}", std::time::Instant::now()));
    let sender = from.member.clone();
    let wait = async {
        loop {
            // A stream that broke may take a frame with it; Raft would send again, too.
            let _ = from.handle.send_raft(&name(&to.member), token.clone());
            let found = timeout(Duration::from_millis(500), async {
                while let Some(event) = to.events.recv().await {
                    if matches!(&event, NetworkEvent::Raft { from, bytes } if *from == name(&sender) && *bytes == token)
                    {
                        return;
                    }
                }
            });
            if found.await.is_ok() {
                return;
            }
        }
    };
    timeout(PATIENCE, wait).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_bytes_at_both_ports_are_harmless() {
    let [mut harlem, hennepin] = connected(["harlem", "hennepin"]).await;
    let ports = [harlem.handle.listen_addresses()[0], harlem.handle.bulk_listen_addresses()[0]];
    for port in ports {
        for round in 0..20_u32 {
            let mut random = blake3::Hasher::new().update(&round.to_le_bytes()).finalize_xof();
            let mut bytes = vec![0; 100 * (round as usize + 1)];
            random.fill(&mut bytes);
            if round % 2 == 1 {
                // Past the first negotiation, garbage meets Noise.
                let mut polite = b"\x13/multistream/1.0.0\n\x07/noise\n".to_vec();
                polite.extend(bytes);
                bytes = polite;
            }
            let mut stream = TcpStream::connect(port).await.unwrap();
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            // The node closes, by itself or because we did; nothing is waited for longer than set-up may take.
            let mut sink = Vec::new();
            let _ = timeout(PATIENCE, stream.read_to_end(&mut sink)).await.unwrap();
        }
    }
    harlem.until("failed connections counted", |handle| handle.counters().inbound_failed >= 40).await;
    raft_passes(&hennepin, &mut harlem).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversize_frame_ends_its_stream_and_nothing_else() {
    let [mut harlem, hennepin] = connected(["harlem", "hennepin"]).await;
    let shared = &hennepin.handle.shared;
    let mut stream = shared.control.open(peer_id("harlem"), shared.protocols.raft.clone()).await.unwrap();
    stream.write_all(&u32::MAX.to_le_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let mut sink = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut sink)).await.expect("the stream is closed");
    harlem.until("counted", |handle| handle.counters().frames_oversize == 1).await;
    assert!(harlem.handle.is_connected(&name("hennepin")));
    raft_passes(&hennepin, &mut harlem).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_every_stream_of_a_member_is_harmless() {
    let [mut harlem, hennepin] = connected(["harlem", "hennepin"]).await;
    let shared = &hennepin.handle.shared;
    let addresses = shared.bulk_addresses(&shared.session(&name("harlem")).unwrap());
    for round in 0..10_u32 {
        let mut garbage = vec![0; 4000];
        blake3::Hasher::new().update(&round.to_le_bytes()).finalize_xof().fill(&mut garbage);
        for protocol in [&shared.protocols.raft, &shared.protocols.transactions, &shared.protocols.request] {
            let mut stream = shared.control.open(peer_id("harlem"), protocol.clone()).await.unwrap();
            let _ = stream.write_all(&garbage).await;
            let _ = stream.close().await;
        }
        let file = shared.bulk.open(peer_id("harlem"), addresses.clone(), shared.protocols.file.clone());
        let mut stream = file.await.unwrap();
        let _ = stream.write_all(&garbage).await;
        let _ = stream.close().await;
    }
    raft_passes(&hennepin, &mut harlem).await;
    raft_passes(&harlem, &mut { hennepin }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_beyond_the_limit_are_refused_with_a_code_at_both_ends() {
    let [harlem, hennepin] = connected(["harlem", "hennepin"]).await;
    let shared = &hennepin.handle.shared;
    // A peer that ignores the limit: streams opened by hand, each held with half a request.
    let mut held = Vec::new();
    for _ in 0..REQUESTS_PER_PEER_MAX {
        let mut stream = shared.control.open(peer_id("harlem"), shared.protocols.request.clone()).await.unwrap();
        stream.write_all(&[1]).await.unwrap();
        stream.flush().await.unwrap();
        held.push(stream);
    }
    let session = harlem.handle.shared.session(&name("hennepin")).unwrap();
    harlem.until("busy", |_| session.requests_in.available_permits() == 0).await;
    let one_more = hennepin.handle.request(&name("harlem"), 1, Bytes::new(), Duration::from_secs(20)).await;
    assert_eq!(one_more.unwrap_err().code(), "busy");
    assert!(harlem.handle.counters().requests_refused >= 1);
    drop(held);
    harlem.until("free again", |_| session.requests_in.available_permits() == REQUESTS_PER_PEER_MAX).await;

    // A peer that keeps the limit refuses its own callers.
    let flood: Vec<_> = (0..REQUESTS_PER_PEER_MAX + 5)
        .map(|_| {
            let handle = hennepin.handle.clone();
            tokio::spawn(async move { handle.request(&name("harlem"), 1, Bytes::new(), Duration::from_secs(2)).await })
        })
        .collect();
    let mut busy = 0;
    for request in flood {
        busy += usize::from(request.await.unwrap().unwrap_err().code() == "busy");
    }
    // On a busy machine the other end may count one as in progress for a moment longer, and refuse in its turn.
    assert!((5..REQUESTS_PER_PEER_MAX).contains(&busy), "{busy}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_requests_of_blocks_are_answered_at_once_and_the_rest_wait_their_turn() {
    let [mut harlem, hennepin] = connected(["harlem", "hennepin"]).await;
    let ask = |kind: u16| {
        let handle = hennepin.handle.clone();
        tokio::spawn(async move { handle.request(&name("harlem"), kind, Bytes::new(), Duration::from_secs(30)).await })
    };
    let sync: Vec<_> = (0..SYNC_REQUESTS_PER_PEER_MAX * 2).map(|_| ask(1)).collect();
    let mut replies = Vec::new();
    while replies.len() < SYNC_REQUESTS_PER_PEER_MAX {
        replies.push(harlem.expect("request", request).await.1);
    }
    // All have come in, no more are handed out, and requests of other kinds pass them.
    let session = harlem.handle.shared.session(&name("hennepin")).unwrap();
    let left = REQUESTS_PER_PEER_MAX - 2 * SYNC_REQUESTS_PER_PEER_MAX;
    harlem.until("in", |_| session.requests_in.available_permits() == left).await;
    let other = ask(REQUEST_KINDS_SYNC_END);
    let (kind, reply) = harlem.expect("request", request).await;
    assert_eq!(kind, REQUEST_KINDS_SYNC_END);
    reply.answer(Bytes::new());
    other.await.unwrap().unwrap();
    for reply in replies {
        reply.answer(Bytes::new());
    }
    for _ in 0..SYNC_REQUESTS_PER_PEER_MAX {
        harlem.expect("request", request).await.1.answer(Bytes::new());
    }
    for answer in sync {
        answer.await.unwrap().unwrap();
    }
}

fn request(event: NetworkEvent) -> Option<(u16, crate::Responder)> {
    match event {
        NetworkEvent::Request { kind, reply, .. } => Some((kind, reply)),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flooding_peer_holds_up_nobody_but_itself() {
    let [mut harlem, hennepin, kentucky] = connected(["harlem", "hennepin", "kentucky"]).await;
    // Harlem's embedder takes nothing. Hennepin sends until its own queue is full: memory is bounded on both sides.
    let frame = Bytes::from(vec![1; 1 << 20]);
    let mut sent = 0;
    let fill = async {
        let mut full_in_a_row = 0;
        while full_in_a_row < 20 {
            match hennepin.handle.send_raft(&name("harlem"), frame.clone()) {
                Ok(()) => {
                    sent += 1;
                    full_in_a_row = 0;
                }
                Err(SendError::Full(_)) => {
                    full_in_a_row += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(other) => panic!("{other}"),
            }
        }
    };
    timeout(PATIENCE, fill).await.unwrap();
    assert!(sent < 200, "{sent} MiB were taken and not received");

    kentucky.handle.send_raft(&name("harlem"), Bytes::from_static(b"vote")).unwrap();
    harlem
        .until("kentucky's frame in", |handle| {
            let peers = handle.peers();
            let kentucky = peers.iter().find(|peer| peer.node == name("kentucky")).unwrap();
            kentucky.connection.as_ref().unwrap().counters.raft_frames_received == 1
        })
        .await;
    let mut before = 0;
    harlem
        .expect("kentucky's frame", |event| match event {
            NetworkEvent::Raft { from, .. } if from == name("kentucky") => Some(()),
            NetworkEvent::Raft { .. } => {
                before += 1;
                None
            }
            _ => None,
        })
        .await;
    assert!(before <= 1, "{before} frames of the flood came first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_peer_is_connected_again() {
    let [mut harlem, hennepin] = connected(["harlem", "hennepin"]).await;
    raft_passes(&hennepin, &mut harlem).await;
    for _ in 0..2 {
        let mut again = config("hennepin");
        again.listen = hennepin.handle.listen_addresses().iter().copied().map(tcp_address).collect();
        again.registry = registry(&[&harlem, &hennepin]);
        hennepin.handle.shutdown().await;
        harlem.until("disconnected", |handle| !handle.is_connected(&name("hennepin"))).await;
        let hennepin = Node::start_with(again).await;
        harlem.until_connected("hennepin").await;
        hennepin.until_connected("harlem").await;
        raft_passes(&hennepin, &mut harlem).await;
        hennepin.handle.shutdown().await;
        harlem.until("disconnected", |handle| !handle.is_connected(&name("hennepin"))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_came_up_later_is_found_and_a_silent_one_blocks_nobody() {
    // A port that accepts and never says a word, registered as kentucky's.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let [harlem, hennepin] = [Node::start("harlem").await, Node::start("hennepin").await];
    let kentucky = Node::start("kentucky").await;
    let (node, mut entry) = kentucky.entry();
    entry.addresses = vec![tcp_address(silent.local_addr().unwrap())];
    let with_silent = crate::PeerRegistry::new([harlem.entry(), hennepin.entry(), (node, entry)]).unwrap();
    harlem.handle.set_registry(with_silent.clone()).await;
    hennepin.handle.set_registry(with_silent).await;
    harlem.until_connected("hennepin").await;

    // Its address is corrected: no pause is waited out.
    harlem.handle.set_registry(registry(&[&harlem, &hennepin, &kentucky])).await;
    kentucky.handle.set_registry(registry(&[&harlem, &hennepin, &kentucky])).await;
    harlem.until_connected("kentucky").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_shutdown_events_end_and_calls_fail() {
    let [mut harlem, _hennepin] = connected(["harlem", "hennepin"]).await;
    harlem.handle.shutdown().await;
    let rest = async { while harlem.events.recv().await.is_some() {} };
    timeout(PATIENCE, rest).await.expect("events end");
    assert!(harlem.handle.send_raft(&name("hennepin"), Bytes::new()).is_err());
    let request = harlem.handle.request(&name("hennepin"), 1, Bytes::new(), Duration::from_secs(1)).await;
    assert_eq!(request.unwrap_err().code(), "not-connected");
    assert_eq!(harlem.handle.publish(crate::Topic::Blocks, Bytes::new()).unwrap_err().code(), "network-stopped");
    assert!(TcpStream::connect(harlem.handle.listen_addresses()[0]).await.is_err(), "the port is free");
}
