//! Looking at a port from outside, and being looked at.

use std::time::Duration;

use galen_types::Hash;
use galen_types::member::NodeRole;
use zeroize::Zeroizing;

use super::{Node, PATIENCE, connected, entry_of, name, seed};
use crate::address::tcp_address;
use crate::{Multiaddr, PROTOCOL_VERSION, PeerRegistry, ProbeError, ProbeOrigin, ProbeReport, probe};

fn origin(member: &str) -> ProbeOrigin {
    ProbeOrigin {
        node_key: Zeroizing::new(seed(member)),
        genesis: Hash([3; 32]),
        chain: "main".to_owned(),
        node: name(member),
        role: NodeRole::Observer,
        lineage: Hash::ZERO,
        software_version: "0.1.0-test".to_owned(),
    }
}

fn control(node: &Node) -> Multiaddr {
    tcp_address(node.handle.listen_addresses()[0])
}

async fn look(node: &Node, origin: ProbeOrigin) -> Result<ProbeReport, ProbeError> {
    probe(&control(node), Some(node.entry().1.public_key), origin, PATIENCE).await
}

fn refusal_of(report: &ProbeReport) -> Option<&str> {
    report.refusal.as_ref().map(crate::Refusal::code)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_tells_who_answers_and_whether_it_would_let_us_in() {
    let [harlem, hennepin] = connected(["harlem", "hennepin"]).await;
    // Asking beside the running node alarms nobody.
    let report = look(&harlem, origin("hennepin")).await.unwrap();
    assert_eq!((report.public_key, report.protocol), (harlem.entry().1.public_key, PROTOCOL_VERSION));
    assert_eq!(report.refusal, None);
    let node = report.node.unwrap();
    assert_eq!((node.name, node.software_version), (name("harlem").to_string(), "0.1.0-test".to_owned()));
    assert!(node.clock_difference_ms.abs() < 10_000);
    assert_eq!(harlem.handle.counters().duplicate_identities, 0);
    assert!(harlem.handle.is_connected(&name("hennepin")) && hennepin.handle.is_connected(&name("harlem")));
    assert!(harlem.handle.peers()[0].refusal.is_none());

    let stranger = look(&harlem, origin("ohio")).await.unwrap();
    assert_eq!(refusal_of(&stranger), Some("not-registered"));
    assert_eq!(stranger.node, None, "strangers learn nothing");
    let other_chain = ProbeOrigin { genesis: Hash([4; 32]), ..origin("hennepin") };
    assert_eq!(refusal_of(&look(&harlem, other_chain).await.unwrap()), Some("wrong-genesis"));
    let recovered = ProbeOrigin { lineage: Hash([4; 32]), ..origin("hennepin") };
    assert_eq!(refusal_of(&look(&harlem, recovered).await.unwrap()), Some("wrong-lineage"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_of_something_else_says_what_is_wrong() {
    let [harlem, hennepin] = connected(["harlem", "hennepin"]).await;
    let expected = Some(hennepin.entry().1.public_key);
    let code = async |address: &Multiaddr, expected| {
        probe(address, expected, origin("hennepin"), PATIENCE).await.unwrap_err().code()
    };
    assert_eq!(code(&control(&harlem), expected).await, "wrong-key");
    assert_eq!(code(&tcp_address(harlem.handle.bulk_listen_addresses()[0]), None).await, "not-a-node");
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp_address(silent.local_addr().unwrap());
    let slow = probe(&address, None, origin("hennepin"), Duration::from_millis(200)).await.unwrap_err();
    assert!(slow.to_string().contains("200 ms"), "{slow}");
    drop(silent);
    assert_eq!(code(&address, None).await, "unreachable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_dials_back_to_the_registered_address_and_not_too_often() {
    let [harlem, hennepin] = connected(["harlem", "hennepin"]).await;
    hennepin.handle.ask_dial_back(&name("harlem")).await.unwrap();
    let soon = hennepin.handle.ask_dial_back(&name("harlem")).await.unwrap_err();
    assert_eq!(soon.code(), "dial-back-too-soon");
    assert_eq!(hennepin.handle.ask_dial_back(&name("ohio")).await.unwrap_err().code(), "not-connected");

    // Harlem is registered with an address at which nobody listens, then with none.
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp_address(closed.local_addr().unwrap());
    drop(closed);
    let moved = PeerRegistry::new([hennepin.entry(), entry_of("harlem", vec![address.clone()])]).unwrap();
    hennepin.handle.set_registry(moved).await;
    let unreachable = harlem.handle.ask_dial_back(&name("hennepin")).await.unwrap_err();
    assert_eq!(unreachable.code(), "unreachable");
    assert!(unreachable.to_string().contains(&address.to_string()), "{unreachable}");
    let without = PeerRegistry::new([hennepin.entry(), entry_of("harlem", vec![])]).unwrap();
    hennepin.handle.set_registry(without).await;
    assert_eq!(harlem.handle.ask_dial_back(&name("hennepin")).await.unwrap_err().code(), "no-address");
    assert!(harlem.handle.is_connected(&name("hennepin")), "a live connection is kept");
}
