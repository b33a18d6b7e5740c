use bytes::Bytes;

use super::*;
use galen_types::member::NodeRole;

fn name(member: &str) -> NodeName {
    format!("node-1.{member}").parse().unwrap()
}

fn raft(member: &str, tag: u8) -> NetworkEvent {
    NetworkEvent::Raft { from: name(member), bytes: Bytes::copy_from_slice(&[tag]) }
}

fn transactions(member: &str) -> NetworkEvent {
    NetworkEvent::Transactions { from: name(member), bytes: Bytes::new() }
}

fn connected(member: &str) -> NetworkEvent {
    NetworkEvent::PeerConnected { node: name(member), role: NodeRole::Voter, software_version: String::new() }
}

fn pair() -> (Arc<Inbox>, NetworkEvents) {
    let inbox = Arc::new(Inbox::default());
    (Arc::clone(&inbox), NetworkEvents::new(inbox))
}

fn label(event: &NetworkEvent) -> String {
    match event {
        NetworkEvent::PeerConnected { node, .. } => format!("+{node}"),
        NetworkEvent::PeerDisconnected { node } => format!("-{node}"),
        NetworkEvent::Raft { from, bytes } => format!("raft {from} {}", bytes[0]),
        NetworkEvent::Transactions { from, .. } => format!("transactions {from}"),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn a_flooding_peer_fills_only_its_own_lane_and_others_take_turns() {
    let (inbox, mut events) = pair();
    let mut flood = 0;
    while inbox.try_send(Class::Raft, &name("harlem"), 1 << 20, raft("harlem", 0)).is_ok() {
        flood += 1;
    }
    assert_eq!(flood, INBOX_RAFT_BYTES_MAX / ((1 << 20) + INBOX_EVENT_OVERHEAD_BYTES));
    inbox.try_send(Class::Raft, &name("kentucky"), 1, raft("kentucky", 7)).unwrap();
    let first = [label(&events.recv().await.unwrap()), label(&events.recv().await.unwrap())];
    assert_eq!(first, ["raft node-1.harlem 0", "raft node-1.kentucky 7"]);
}

#[tokio::test]
async fn raft_goes_first_but_not_for_ever() {
    let (inbox, mut events) = pair();
    inbox.try_send(Class::Transactions, &name("harlem"), 1, transactions("harlem")).unwrap();
    for _ in 0..RAFT_EVENTS_IN_A_ROW_MAX + 10 {
        inbox.try_send(Class::Raft, &name("harlem"), 1, raft("harlem", 0)).unwrap();
    }
    inbox.tell_status(&name("hennepin"), connected("hennepin"));
    assert_eq!(label(&events.recv().await.unwrap()), "+node-1.hennepin");
    let mut before = 0;
    while label(&events.recv().await.unwrap()) != "transactions node-1.harlem" {
        before += 1;
    }
    assert_eq!(before, RAFT_EVENTS_IN_A_ROW_MAX);
}

#[tokio::test]
async fn a_waiting_sender_goes_on_when_its_lane_has_room_again() {
    let (inbox, mut events) = pair();
    let whole = INBOX_RAFT_BYTES_MAX;
    inbox.send(Class::Raft, &name("harlem"), whole, raft("harlem", 1)).await.unwrap();
    let waiting = {
        let inbox = Arc::clone(&inbox);
        tokio::spawn(async move { inbox.send(Class::Raft, &name("harlem"), whole, raft("harlem", 2)).await })
    };
    assert_eq!(label(&events.recv().await.unwrap()), "raft node-1.harlem 1");
    assert_eq!(label(&events.recv().await.unwrap()), "raft node-1.harlem 2");
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn unseen_comings_and_goings_are_folded() {
    let (inbox, mut events) = pair();
    let gone = || NetworkEvent::PeerDisconnected { node: name("harlem") };
    for _ in 0..100 {
        inbox.tell_status(&name("harlem"), gone());
        inbox.tell_status(&name("harlem"), connected("harlem"));
    }
    inbox.tell_status(&name("kentucky"), connected("kentucky"));
    inbox.tell_status(&name("kentucky"), NetworkEvent::PeerDisconnected { node: name("kentucky") });
    inbox.close();
    let mut seen = Vec::new();
    while let Some(event) = events.recv().await {
        seen.push(label(&event));
    }
    assert_eq!(seen.last().unwrap(), "+node-1.harlem");
    assert!(seen.len() <= 2, "{seen:?}");
}

#[tokio::test]
async fn senders_end_when_the_receiver_is_gone() {
    let (inbox, events) = pair();
    inbox.send(Class::Raft, &name("harlem"), INBOX_RAFT_BYTES_MAX, raft("harlem", 1)).await.unwrap();
    let waiting = {
        let inbox = Arc::clone(&inbox);
        tokio::spawn(async move { inbox.send(Class::Raft, &name("harlem"), 1, raft("harlem", 2)).await })
    };
    tokio::task::yield_now().await;
    drop(events);
    assert_eq!(waiting.await.unwrap(), Err(Gone));
    assert!(inbox.try_send(Class::Raft, &name("harlem"), 1, raft("harlem", 3)).is_err());
}
