//! A node that the chain has removed, while the ordering group still needs it: raft frames and nothing else.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::{LOG, Node, PATIENCE, config, connected, name, peer_id, registry};
use crate::limits::REQUEST_KIND_ORDERING;
use crate::sync::lock;
use crate::{Access, NetworkEvent, PeerRegistry, RequestError, SendError, Topic};

/// The registry of these nodes, in which kentucky leaves.
fn with_leaving_kentucky(nodes: &[&Node]) -> PeerRegistry {
    let entries = nodes.iter().map(|node| {
        let (node, mut entry) = node.entry();
        if node == name("kentucky") {
            entry.access = Access::OrderingOnly;
        }
        (node, entry)
    });
    PeerRegistry::new(entries).unwrap()
}

async fn ask(from: &Node, to: &str) -> Result<Bytes, RequestError> {
    ask_kind(from, to, 1).await
}

async fn ask_kind(from: &Node, to: &str, kind: u16) -> Result<Bytes, RequestError> {
    let to = name(to);
    let asked = from.handle.request(&to, kind, Bytes::new(), Duration::from_secs(60));
    timeout(PATIENCE, asked).await.unwrap()
}

async fn raft_passes(from: &Node, to: &mut Node, text: &'static str) {
    from.handle.send_raft(&name(&to.member), Bytes::from_static(text.as_bytes())).unwrap();
    let arrived = to.expect(text, |event| match event {
        NetworkEvent::Raft { bytes, from } => Some((from, bytes)),
        NetworkEvent::Request { from, .. } | NetworkEvent::Transactions { from, .. } => {
            assert_ne!(from, name("kentucky"), "it may not do that");
            None
        }
        NetworkEvent::Gossip { from, author, .. } => {
            assert!(from != name("kentucky") && author != name("kentucky"));
            None
        }
        _ => None,
    });
    assert_eq!(arrived.await, (name(&from.member), Bytes::from_static(text.as_bytes())));
}

/// Harlem does with kentucky nothing but ordering, whatever either tries.
async fn only_ordering_goes_on(harlem: &mut Node, hennepin: &mut Node, kentucky: &mut Node) {
    raft_passes(harlem, kentucky, "to the leaving").await;
    raft_passes(kentucky, harlem, "from the leaving").await;

    // A node that starts asks, before it orders, what is known of it.
    let asked = ask_kind(kentucky, "harlem", REQUEST_KIND_ORDERING);
    let answered = harlem.expect("question", |event| match event {
        NetworkEvent::Request { kind: REQUEST_KIND_ORDERING, reply, from, .. } if from == name("kentucky") => {
            reply.answer(Bytes::from_static(b"nothing"));
            Some(())
        }
        _ => None,
    });
    let (answer, ()) = tokio::join!(asked, answered);
    assert_eq!(answer.unwrap(), "nothing");
    assert!(matches!(ask_kind(harlem, "kentucky", REQUEST_KIND_ORDERING).await, Err(RequestError::Leaving(_))));

    // Kentucky does not know yet, and learns it from the answers.
    assert_eq!(ask(kentucky, "harlem").await.unwrap_err().code(), "leaving");
    let file = kentucky.handle.open_file(&name("harlem"), Bytes::from_static(b"x")).await;
    assert_eq!(file.unwrap_err().code(), "leaving");
    assert_eq!(kentucky.handle.ask_dial_back(&name("harlem")).await.unwrap_err().code(), "leaving");
    let received = harlem.handle.counters().transactions_frames_received;
    kentucky.handle.send_transactions(&name("harlem"), Bytes::from_static(b"transaction")).unwrap();
    kentucky.handle.publish(Topic::Announcements, Bytes::from_static(b"of the leaving")).unwrap();

    // Harlem asks nothing of it.
    assert!(matches!(ask(harlem, "kentucky").await, Err(RequestError::Leaving(_))));
    let file = harlem.handle.open_file(&name("kentucky"), Bytes::from_static(b"x")).await;
    assert!(matches!(file, Err(RequestError::Leaving(_))));
    assert!(matches!(harlem.handle.ask_dial_back(&name("kentucky")).await, Err(RequestError::Leaving(_))));
    let sent = harlem.handle.send_transactions(&name("kentucky"), Bytes::from_static(b"transaction"));
    assert!(matches!(sent, Err(SendError::Leaving(_))));

    // Gossip goes past it: of harlem's news, hennepin has the second, and kentucky neither.
    let before = kentucky.handle.counters().gossip_received;
    for news in [&b"first"[..], &b"second"[..]] {
        harlem.handle.publish(Topic::Announcements, Bytes::copy_from_slice(news)).unwrap();
    }
    hennepin
        .expect("second news", |event| match event {
            NetworkEvent::Gossip { bytes, .. } if bytes == "second" => Some(()),
            _ => None,
        })
        .await;
    // A frame later on the same connection: what was sent before it would have come.
    raft_passes(harlem, kentucky, "after the news").await;
    raft_passes(kentucky, harlem, "after all").await;
    assert_eq!(kentucky.handle.counters().gossip_received, before);
    assert_eq!(harlem.handle.counters().transactions_frames_received, received);
    let status = harlem.handle.peers().into_iter().find(|peer| peer.node == name("kentucky")).unwrap();
    assert_eq!((status.access, status.connection.is_some()), (Access::OrderingOnly, true));
}

/// Hennepin hears harlem's gossip: subscriptions have been exchanged.
async fn until_gossip_flows(from: &Node, to: &mut Node) {
    let publish = async {
        for number in 0_u32.. {
            let news = [from.member.as_bytes(), &number.to_le_bytes()].concat();
            from.handle.publish(Topic::Announcements, news.into()).unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let author = name(&from.member);
    let heard = to.expect("gossip", |event| match event {
        NetworkEvent::Gossip { author: by, .. } if by == author => Some(()),
        _ => None,
    });
    tokio::select! {
        () = heard => {}
        () = publish => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_leaves_keeps_its_raft_stream_and_loses_everything_else_at_once() {
    let [mut harlem, mut hennepin, mut kentucky] = connected(["harlem", "hennepin", "kentucky"]).await;
    until_gossip_flows(&harlem, &mut kentucky).await;
    until_gossip_flows(&kentucky, &mut harlem).await;
    raft_passes(&harlem, &mut kentucky, "before").await;
    raft_passes(&kentucky, &mut harlem, "before").await;

    // In flight: a request each way, a file that is half there, and transactions that nobody took.
    let request = |from: &Node, to: &str| {
        let (handle, to) = (from.handle.clone(), name(to));
        tokio::spawn(async move { handle.request(&to, 1, Bytes::new(), Duration::from_secs(60)).await })
    };
    let (theirs, ours) = (request(&kentucky, "harlem"), request(&harlem, "kentucky"));
    let opened = {
        let handle = kentucky.handle.clone();
        tokio::spawn(async move { handle.open_file(&name("harlem"), Bytes::from_static(b"x")).await.unwrap() })
    };
    let (mut held, mut sink) = (None, None);
    while held.is_none() || sink.is_none() {
        harlem
            .expect("request and file", |event| match event {
                NetworkEvent::Request { reply, .. } => {
                    held = Some(reply);
                    Some(())
                }
                NetworkEvent::File { sink: given, .. } => {
                    sink = Some(given);
                    Some(())
                }
                _ => None,
            })
            .await;
    }
    let mut sink = sink.unwrap();
    sink.write_all(b"half").await.unwrap();
    let mut file = timeout(PATIENCE, opened).await.unwrap().unwrap();
    kentucky.handle.send_transactions(&name("harlem"), Bytes::from_static(b"untaken")).unwrap();
    harlem.until("transactions in", |handle| handle.counters().transactions_frames_received == 1).await;
    let before = harlem.handle.counters();

    harlem.handle.set_registry(with_leaving_kentucky(&[&harlem, &hennepin, &kentucky])).await;
    let error = timeout(PATIENCE, ours).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.code(), "leaving");
    let error = timeout(PATIENCE, theirs).await.unwrap().unwrap().unwrap_err();
    assert!(["leaving", "stream-broken"].contains(&error.code()), "{error}");
    let mut part = Vec::new();
    assert!(timeout(PATIENCE, file.read_to_end(&mut part)).await.unwrap().is_err(), "the file ended");
    drop((held, sink));
    only_ordering_goes_on(&mut harlem, &mut hennepin, &mut kentucky).await;
    let after = harlem.handle.counters();
    assert_eq!(after.connections_closed, before.connections_closed, "the connection stays");
    assert_eq!(after.peers_removed, 0);

    // It is back: everything works again, both ways.
    harlem.handle.set_registry(registry(&[&harlem, &hennepin, &kentucky])).await;
    harlem.until_connected("kentucky").await;
    kentucky.until("connected", |handle| handle.is_connected(&name("harlem"))).await;
    until_gossip_flows(&harlem, &mut kentucky).await;
    until_gossip_flows(&kentucky, &mut harlem).await;
    let answered = request(&harlem, "kentucky");
    kentucky
        .expect("request", |event| match event {
            NetworkEvent::Request { reply, .. } => {
                reply.answer(Bytes::from_static(b"yes"));
                Some(())
            }
            _ => None,
        })
        .await;
    assert_eq!(timeout(PATIENCE, answered).await.unwrap().unwrap().unwrap(), "yes");

    // And when the group is without it, it is gone.
    harlem.handle.set_registry(with_leaving_kentucky(&[&harlem, &hennepin, &kentucky])).await;
    harlem.handle.set_registry(registry(&[&harlem, &hennepin])).await;
    assert!(!harlem.handle.is_connected(&name("kentucky")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_connects_while_it_leaves_is_let_in_for_ordering() {
    let (mut harlem, mut hennepin) = (Node::start("harlem").await, Node::start("hennepin").await);
    let mut kentucky = Node::start("kentucky").await;
    for node in [&harlem, &hennepin] {
        node.handle.set_registry(with_leaving_kentucky(&[&harlem, &hennepin, &kentucky])).await;
    }
    kentucky.handle.set_registry(registry(&[&harlem, &hennepin, &kentucky])).await;
    harlem.until_connected("kentucky").await;
    kentucky.until_connected("harlem").await;
    harlem.until_connected("hennepin").await;
    until_gossip_flows(&harlem, &mut hennepin).await;
    only_ordering_goes_on(&mut harlem, &mut hennepin, &mut kentucky).await;
    assert_eq!(kentucky.handle.counters().gossip_received, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_node_knocks_rarely_and_its_refusal_is_logged_once() {
    let [harlem, kentucky] = connected(["harlem", "kentucky"]).await;
    // Only here: other tests of the process log refusals of kentucky too.
    let mut removed = config("kansas");
    removed.registry = registry(&[&harlem]);
    let kansas = Node::start_with(removed).await;
    kansas.until("refused", |handle| handle.counters().dials_failed == 1).await;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(kansas.handle.counters().dials_failed, 1, "it waits");
    // A change of its own registry says that it may have come further: it asks again, and nobody logs it twice.
    kansas.handle.set_registry(registry(&[&harlem, &kentucky])).await;
    kansas.until("asked again", |handle| handle.counters().dials_failed >= 3).await;
    let log = String::from_utf8_lossy(&lock(&LOG)).into_owned();
    let lines = |text: &str| {
        let harlem = peer_id("harlem").to_string();
        log.lines()
            .filter(|line| line.contains("connection refused") && line.contains(text) && line.contains(&harlem))
            .count()
    };
    assert!(lines("your node's key is not registered here") >= 1);
    let kansas_id = peer_id("kansas").to_string();
    let by_harlem = log.lines().filter(|line| line.contains("connection refused") && line.contains(&kansas_id)).count();
    assert!(by_harlem <= 2, "once by harlem, once by kentucky: {by_harlem}");
    // As soon as it is known, the other side dials.
    harlem.handle.set_registry(registry(&[&harlem, &kentucky, &kansas])).await;
    kansas.until_connected("harlem").await;
}
