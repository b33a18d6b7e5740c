use std::sync::Arc;

use libp2p::StreamProtocol;
use tokio::sync::mpsc;
use tokio_util::compat::TokioAsyncReadCompatExt;
use zeroize::Zeroizing;

use super::*;
use crate::access::Access;
use crate::identity::keypair_of;
use crate::registry::{PeerRegistry, RegisteredPeer};
use crate::shared::ControlPort;

fn peer(seed: u8) -> (PeerId, RegisteredPeer) {
    let pair = keypair_of(&Zeroizing::new([seed; 32])).unwrap().public();
    let id = pair.to_peer_id();
    let public_key = pair.try_into_ed25519().unwrap().to_bytes();
    (id, RegisteredPeer { public_key, addresses: vec![], role: NodeRole::Voter, access: Access::Full })
}

fn name(text: &str) -> NodeName {
    text.parse().unwrap()
}

/// A node `node-1.MEMBER` that knows both nodes of these tests.
fn context(member: &str) -> HandshakeContext {
    let own = name(&format!("node-1.{member}"));
    let registry =
        PeerRegistry::new([(name("node-1.harlem"), peer(1).1), (name("node-1.kentucky"), peer(2).1)]).unwrap();
    HandshakeContext {
        hello: Hello {
            genesis: Hash([9; 32]),
            chain: "main".to_owned(),
            node: format!("node-1.{member}"),
            role: NodeRole::Voter,
            software_version: "0.1.0".to_owned(),
            plane: Plane::Control,
            bulk_port: 7,
            incarnation: 1,
            lineage: Hash::ZERO,
            clock_ms: 0,
        },
        own: Arc::new(Own::new(Hash::ZERO)),
        registry: Arc::new(SharedRegistry::new(registry, own)),
        book: Arc::new(Book::default()),
        metrics: Arc::new(Metrics::default()),
        inbox: Arc::new(Inbox::default()),
        // Nobody is connected in these tests.
        liveness: Arc::new(Liveness::new(ControlPort { commands: mpsc::channel(1).0 }, StreamProtocol::new("/alive"))),
    }
}

fn address() -> Multiaddr {
    "/ip4/10.0.0.1/tcp/1".parse().unwrap()
}

/// Runs both ends over a pipe; the first is harlem's.
async fn meet(harlem: &HandshakeContext, kentucky: &HandshakeContext) -> [Result<(), HandshakeError>; 2] {
    let (here, there) = tokio::io::duplex(64 * 1024);
    let (mut here, mut there) = (here.compat(), there.compat());
    let address = address();
    let (first, second) =
        tokio::join!(harlem.hold(&mut here, peer(2).0, &address), kentucky.hold(&mut there, peer(1).0, &address));
    [first, second]
}

fn codes(results: [Result<(), HandshakeError>; 2]) -> [String; 2] {
    results.map(|result| result.map_or_else(|error| error.code().to_owned(), |()| "ok".to_owned()))
}

#[tokio::test]
async fn equal_chains_accept_each_other_and_remember_the_facts() {
    let (harlem, kentucky) = (context("harlem"), context("kentucky"));
    assert_eq!(codes(meet(&harlem, &kentucky).await), ["ok", "ok"]);
    let facts = harlem.book.establish(peer(2).0, Plane::Control, &address()).unwrap();
    assert_eq!((facts.bulk_port, facts.software_version.as_str()), (7, "0.1.0"));
}

#[tokio::test]
async fn a_bulk_handshake_does_not_change_what_the_control_plane_said() {
    let (harlem, kentucky) = (context("harlem"), context("kentucky"));
    assert_eq!(codes(meet(&harlem, &kentucky).await), ["ok", "ok"]);
    harlem.book.establish(peer(2).0, Plane::Control, &address()).unwrap();
    let bulk = |context: HandshakeContext| HandshakeContext {
        hello: Hello { plane: Plane::Bulk, bulk_port: 0, ..context.hello },
        ..context
    };
    let (harlem, kentucky) = (bulk(harlem), bulk(kentucky));
    assert_eq!(codes(meet(&harlem, &kentucky).await), ["ok", "ok"]);
    harlem.book.establish(peer(2).0, Plane::Bulk, &address()).unwrap();
    assert_eq!(harlem.book.facts(&peer(2).0).unwrap().bulk_port, 7);
}

#[tokio::test]
async fn each_mismatch_has_its_own_reason_on_both_sides() {
    type Change = fn(&mut Hello);
    let changes: [(Change, &str); 4] = [
        (|hello| hello.genesis = Hash([8; 32]), "wrong-genesis"),
        (|hello| hello.chain = "other".to_owned(), "wrong-chain"),
        (|hello| hello.plane = Plane::Bulk, "wrong-plane"),
        (|hello| hello.node = "node-9.kentucky".to_owned(), "wrong-name"),
    ];
    for (change, code) in changes {
        let (harlem, mut kentucky) = (context("harlem"), context("kentucky"));
        change(&mut kentucky.hello);
        assert_eq!(codes(meet(&harlem, &kentucky).await), [code, code]);
        assert_eq!(harlem.book.refusal(&peer(2).0).unwrap().code(), code);
        if kentucky.hello.plane == Plane::Control {
            assert_eq!(kentucky.book.refusal(&peer(1).0).unwrap().code(), code);
        }
    }
}

#[tokio::test]
async fn a_wrong_genesis_is_reported_from_each_side_s_view() {
    let (harlem, mut kentucky) = (context("harlem"), context("kentucky"));
    kentucky.hello.genesis = Hash([8; 32]);
    let [first, second] = meet(&harlem, &kentucky).await;
    assert!(first.unwrap_err().to_string().starts_with(&format!("wrong genesis: theirs {}", "08".repeat(32))));
    assert!(second.unwrap_err().to_string().starts_with(&format!("wrong genesis: theirs {}", "09".repeat(32))));
}

#[tokio::test]
async fn another_lineage_is_refused_with_both_hashes_from_each_side_s_view() {
    let (harlem, kentucky) = (context("harlem"), context("kentucky"));
    kentucky.own.set_lineage(Hash([8; 32]));
    let [first, second] = meet(&harlem, &kentucky).await.map(Result::unwrap_err);
    assert_eq!((first.code(), second.code()), ("wrong-lineage", "wrong-lineage"));
    let (none, theirs) = ("00".repeat(32), "08".repeat(32));
    assert!(first.to_string().contains(&format!("in their ledger is {theirs}, in ours {none}")), "{first}");
    assert!(second.to_string().contains(&format!("in their ledger is {none}, in ours {theirs}")), "{second}");
    assert!(harlem.metrics.snapshot().refused_wrong_lineage == 1);
    assert!(kentucky.metrics.snapshot().refused_wrong_lineage == 1);
}

#[tokio::test]
async fn the_role_told_is_the_registry_s() {
    let (harlem, mut kentucky) = (context("harlem"), context("kentucky"));
    kentucky.hello.role = NodeRole::Aggregator;
    assert_eq!(kentucky.own_hello().role, NodeRole::Voter);
    kentucky.registry.replace(PeerRegistry::new([(name("node-1.harlem"), peer(1).1)]).unwrap());
    assert_eq!(kentucky.own_hello().role, NodeRole::Aggregator, "until it is registered, what it was started as");
    assert_eq!(codes(meet(&harlem, &kentucky).await), ["ok", "ok"], "a difference is no reason to refuse");
}

#[tokio::test]
async fn a_second_process_replaces_one_that_does_not_answer() {
    let (harlem, mut kentucky) = (context("harlem"), context("kentucky"));
    assert_eq!(codes(meet(&harlem, &kentucky).await), ["ok", "ok"]);
    harlem.book.establish(peer(2).0, Plane::Control, &address()).unwrap();
    kentucky.hello.incarnation = 2;
    assert_eq!(codes(meet(&harlem, &kentucky).await), ["ok", "ok"]);
    harlem.book.establish(peer(2).0, Plane::Control, &address()).unwrap();
    assert_eq!(harlem.book.live_incarnation(&peer(2).0), Some(2));
}

#[tokio::test]
async fn a_stranger_is_told_so_and_nothing_else() {
    let (harlem, kentucky) = (context("harlem"), context("kentucky"));
    harlem.registry.replace(PeerRegistry::default());
    assert_eq!(codes(meet(&harlem, &kentucky).await), ["not-registered", "not-registered"]);
    assert_eq!(harlem.metrics.snapshot().refused_not_registered, 1);
}

/// Sends raw bytes as the peer and returns what the node made of them, and the node's second answer.
async fn against_bytes(bytes: &[u8]) -> HandshakeError {
    let harlem = context("harlem");
    let (here, there) = tokio::io::duplex(64 * 1024);
    let (mut here, mut there) = (here.compat(), there.compat());
    let address = "/ip4/10.0.0.1/tcp/1".parse().unwrap();
    let attack = async {
        let _ = there.write_all(bytes).await;
        let _ = there.close().await;
        let mut sink = vec![];
        let _ = there.read_to_end(&mut sink).await;
    };
    let (result, ()) = tokio::join!(
        async {
            let result = harlem.hold(&mut here, peer(2).0, &address).await;
            drop(here);
            result
        },
        attack
    );
    result.unwrap_err()
}

#[tokio::test]
async fn another_protocol_version_is_named_whatever_follows_it() {
    let mut bytes = 12_u32.to_le_bytes().to_vec();
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend([0xff; 8]);
    assert!(matches!(against_bytes(&bytes).await, HandshakeError::ProtocolVersion { theirs: 1, ours: 2 }));
}

#[tokio::test]
async fn malformed_openings_are_errors() {
    let huge = u32::MAX.to_le_bytes().to_vec();
    let mut garbage = 24_u32.to_le_bytes().to_vec();
    garbage.extend(PROTOCOL_VERSION.to_le_bytes());
    garbage.extend([0xee; 20]);
    for bytes in [huge, garbage, vec![1, 0, 0, 0, 5], vec![0, 0, 0, 0]] {
        assert_eq!(against_bytes(&bytes).await.code(), "handshake-malformed", "{bytes:?}");
    }
    assert_eq!(against_bytes(&[]).await.code(), "handshake-broken");
}
