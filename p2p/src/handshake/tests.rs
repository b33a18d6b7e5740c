use std::sync::Arc;

use tokio_util::compat::TokioAsyncReadCompatExt;
use zeroize::Zeroizing;

use super::*;
use crate::identity::keypair_of;
use crate::registry::{PeerRegistry, RegisteredPeer};

fn peer(seed: u8) -> (PeerId, RegisteredPeer) {
    let pair = keypair_of(&Zeroizing::new([seed; 32])).unwrap().public();
    let id = pair.to_peer_id();
    let public_key = pair.try_into_ed25519().unwrap().to_bytes();
    (id, RegisteredPeer { public_key, addresses: vec![], role: NodeRole::Voter })
}

fn name(text: &str) -> NodeName {
    text.parse().unwrap()
}

/// A node `node-1.MEMBER` that knows both nodes of these tests.
fn context(member: &str) -> HandshakeContext {
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
        },
        registry: Arc::new(SharedRegistry::new(registry)),
        book: Arc::new(Book::default()),
        metrics: Arc::new(Metrics::default()),
    }
}

/// Runs both ends over a pipe; the first is harlem's.
async fn meet(harlem: &HandshakeContext, kentucky: &HandshakeContext) -> [Result<(), HandshakeError>; 2] {
    let (here, there) = tokio::io::duplex(64 * 1024);
    let (mut here, mut there) = (here.compat(), there.compat());
    let address = "/ip4/10.0.0.1/tcp/1".parse().unwrap();
    let (first, second) =
        tokio::join!(harlem.run(&mut here, peer(2).0, &address), kentucky.run(&mut there, peer(1).0, &address));
    [first, second]
}

fn codes(results: [Result<(), HandshakeError>; 2]) -> [String; 2] {
    results.map(|result| result.map_or_else(|error| error.code().to_owned(), |()| "ok".to_owned()))
}

#[tokio::test]
async fn equal_chains_accept_each_other_and_remember_the_facts() {
    let (harlem, kentucky) = (context("harlem"), context("kentucky"));
    assert_eq!(codes(meet(&harlem, &kentucky).await), ["ok", "ok"]);
    let facts = harlem.book.facts(&peer(2).0).unwrap();
    assert_eq!((facts.bulk_port, facts.software_version.as_str()), (7, "0.1.0"));
}

#[tokio::test]
async fn a_bulk_handshake_does_not_change_what_the_control_plane_said() {
    let (harlem, kentucky) = (context("harlem"), context("kentucky"));
    assert_eq!(codes(meet(&harlem, &kentucky).await), ["ok", "ok"]);
    let bulk = |context: HandshakeContext| HandshakeContext {
        hello: Hello { plane: Plane::Bulk, bulk_port: 0, ..context.hello },
        ..context
    };
    let (harlem, kentucky) = (bulk(harlem), bulk(kentucky));
    assert_eq!(codes(meet(&harlem, &kentucky).await), ["ok", "ok"]);
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
            let result = harlem.run(&mut here, peer(2).0, &address).await;
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
    bytes.extend(2_u32.to_le_bytes());
    bytes.extend([0xff; 8]);
    assert!(matches!(against_bytes(&bytes).await, HandshakeError::ProtocolVersion { theirs: 2, ours: 1 }));
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
