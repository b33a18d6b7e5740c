//! One of four voters lies, over real ports, to real nodes: in what it signs, in what it says in ordering, and as leader. The
//! others stay certified and go on, and know which it was.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests assert by panicking")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use galen_client::{Client, ClientConfig, Wait};
use galen_node::proving::{ProofQuestion, evidence_in_folder, prove_in_folder};
use galen_types::api::{Evidence, NodeStatus, Participation};
use galen_types::member::{NewAccount, Role};
use galen_types::{Batch, Call, Encoding as _, Genesis, Slug, Timestamp};
use galen_verifier::{Fact, Trust, verify};

use support::liar::{LIE, Liar, Lies, liar_name};
use support::{Consortium, PATIENCE, keys_of, name};

const HONEST: [&str; 3] = ["node-1.harlem", "node-1.hennepin", "node-1.kentucky"];
const LIAR: &str = "node-1.mississippi";

fn filler(number: u64) -> Call {
    let keys = keys_of(&format!("filler-{number}"));
    Call::AddAccount(NewAccount {
        account: name::<Slug>(&format!("filler-{number}")),
        key: keys.public_key(),
        encryption_key: keys.encryption_key(),
        roles: vec![Role::Researcher],
    })
}

/// Blocks, each certified before the next: whatever the liar does meanwhile, with patience for elections.
async fn go_on(consortium: &Consortium, account: &str, first: u64, count: u64) {
    let admin = consortium.client(account);
    let deadline = Instant::now() + PATIENCE;
    for number in first..first + count {
        let transaction = admin.prepare(filler(number)).await.unwrap();
        while let Err(error) = admin.send(&transaction, Wait::Certified).await {
            assert!(Instant::now() < deadline, "no block any more: {error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn until(consortium: &Consortium, node: &str, what: &str, wanted: impl Fn(&NodeStatus) -> bool) -> NodeStatus {
    let client = Client::new(ClientConfig::new(consortium.url(node))).unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        match client.node_status().await {
            Ok(status) if wanted(&status) => return status,
            status => assert!(Instant::now() < deadline, "{node} is not {what}: {status:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn member_of(node: &str) -> &str {
    node.split_once('.').unwrap().1
}

/// Waits until a node knows enough evidence; whatever it knows accuses the liar and nobody else.
async fn evidence(consortium: &Consortium, node: &str, wanted: impl Fn(&[Evidence]) -> bool) -> Vec<Evidence> {
    let client = consortium.client(&format!("owner@{}", member_of(node)));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = client.evidence(1).await.unwrap();
        assert!(found.iter().all(|found| found.voter == liar_name()), "{node} accuses another: {found:?}");
        if wanted(&found) {
            return found;
        }
        assert!(Instant::now() < deadline, "{node} knows of too little: {found:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A consortium of which one voter is the liar.
async fn with_liar(lies: Lies) -> (Consortium, Arc<Liar>) {
    let mut consortium = Consortium::start().await;
    go_on(&consortium, "admin@harlem", 0, 1).await;
    consortium.stop_node(LIAR).await;
    let home = consortium.stopped[0].1.clone();
    let liar = Liar::start(&home, LIAR, keys_of(LIAR).signing, lies).await;
    for node in HONEST {
        let deadline = Instant::now() + PATIENCE;
        while !liar.network.is_connected(&name(node)) {
            assert!(Instant::now() < deadline, "{node} does not let the liar in");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    (consortium, liar)
}

/// What anybody finds who has the file and the founding document.
fn assert_proves(file: &[u8], genesis: &Genesis, found: &Evidence) {
    let trust = Trust { genesis: genesis.hash().0, recoveries: Vec::new() };
    let verdict = verify(file, &trust).unwrap();
    let accused = Fact::Deviated { voter: LIAR.to_owned(), header: found.signed.0, both: found.both };
    assert_eq!((verdict.block.height, verdict.facts.as_slice()), (found.height, [accused].as_slice()));
    assert_eq!(verdict.block.hash, found.certified.0);
    for place in (0..file.len()).step_by(7) {
        let mut altered = file.to_vec();
        altered[place] ^= 0x10;
        assert!(verify(&altered, &trust).is_err(), "byte {place}");
    }
    assert!(verify(file, &Trust { genesis: [7; 32], recoveries: Vec::new() }).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_that_signs_lies_is_known_and_shown_and_the_others_stay_certified() {
    let (mut consortium, liar) =
        with_liar(Lies { another: true, both: true, certificates: true, ..Lies::default() }).await;
    go_on(&consortium, "admin@harlem", 10, 6).await;
    let genesis = consortium.client("admin@harlem").genesis().await.unwrap();
    let mut number = 100;
    for node in HONEST {
        let enough = |found: &[Evidence]| found.len() >= 3 && found.iter().any(|found| found.both);
        // The right signature is kept where it comes before the certificate, so it may take more blocks until it does.
        let deadline = Instant::now() + PATIENCE;
        while !enough(&evidence(&consortium, node, |_| true).await) {
            assert!(Instant::now() < deadline, "{node} never knows both");
            go_on(&consortium, "admin@harlem", number, 1).await;
            number += 1;
        }
        let found = evidence(&consortium, node, enough).await;
        assert!(found.iter().all(|found| found.signed == LIE), "{found:?}");
        assert!(consortium.metric(node, "galen_chain_evidence").await >= 3.0);
        let client = consortium.client(&format!("admin@{}", member_of(node)));
        for found in &found {
            let file = client.evidence_proof(found.height, &found.voter).await.unwrap();
            assert_proves(&file, &genesis, found);
        }
        let none = client.evidence_proof(found[0].height, &name("node-1.harlem")).await.unwrap_err();
        assert_eq!(none.code(), "proof-no-evidence");
        let detail = client.node(&liar_name()).await.unwrap();
        assert!(detail.evidence >= 3 && client.node(&name("node-1.harlem")).await.unwrap().evidence == 0);
    }
    // Also when one of them starts again, and the liar says that its log has no end.
    liar.tell(Lies { another: true, endless: true, ..Lies::default() });
    let before = evidence(&consortium, HONEST[0], |_| true).await.len();
    consortium.restart(HONEST[0]).await;
    go_on(&consortium, "admin@kentucky", 20, 2).await;
    evidence(&consortium, HONEST[0], |found| found.len() >= before).await;
    // What a stopped home holds is the same.
    consortium.stop_node(HONEST[1]).await;
    let home = consortium.stopped.last().unwrap().1.clone();
    let kept = evidence_in_folder(&home.ledger()).unwrap();
    assert!(kept.len() >= 3 && kept.iter().all(|found| found.voter == liar_name()), "{kept:?}");
    let question = ProofQuestion::Evidence { height: kept[0].height, voter: liar_name() };
    let file = prove_in_folder(&home.ledger(), &genesis, &question).unwrap().to_file();
    assert_proves(&file, &genesis, &kept[0]);
    liar.network.shutdown().await;
    consortium.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_that_raves_in_ordering_shuts_nobody_out() {
    let (mut consortium, liar) = with_liar(Lies { endless: true, ..Lies::default() }).await;
    // While one is away, the terms of the others are pushed further than one message may lead.
    consortium.stop_node("node-1.kentucky").await;
    let deadline = Instant::now() + PATIENCE;
    while consortium.metric("node-1.harlem", "galen_ordering_term").await < f64::from(3 << 20) {
        assert!(Instant::now() < deadline, "the terms do not rise");
        liar.rave(1 << 20).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    consortium.start_node("node-1.kentucky").await;
    let height = until(&consortium, "node-1.harlem", "up", |_| true).await.chain.height;
    until(&consortium, "node-1.kentucky", "as far", |status| {
        status.ordering.participation == Participation::Voting && status.chain.certified_height >= height
    })
    .await;
    // The three go on without the liar, so each of them votes; also when each was started again while it spoke.
    for node in HONEST {
        consortium.restart(node).await;
    }
    liar.network.shutdown().await;
    go_on(&consortium, "admin@kentucky", 20, 3).await;
    for node in HONEST {
        evidence(&consortium, node, <[Evidence]>::is_empty).await;
    }
    consortium.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_lies_is_replaced_and_moves_neither_time_nor_state() {
    let (consortium, liar) = with_liar(Lies { another: true, ..Lies::default() }).await;
    let transactions = |consortium: &Consortium| {
        let admin = consortium.client("admin@harlem");
        async move { admin.prepare(filler(99)).await.unwrap() }
    };
    let genuine = transactions(&consortium).await.bytes.to_vec();
    let mut forged = genuine.clone();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let now = Timestamp::now();
    let batch = |proposed, transactions| Batch { proposed, proposer: name("node-1.harlem"), transactions }.encode();
    let day = 86_400_000;
    // Bytes that are no batch, transactions that nobody signed, a batch of yesterday, and one of tomorrow.
    let lies = [
        b"no batch at all".to_vec(),
        batch(now, vec![b"nothing".to_vec(), genuine.clone(), forged, genuine]),
        batch(Timestamp(now.0 - day), Vec::new()),
        batch(now.plus_ms(day), Vec::new()),
    ];
    for (number, lie) in (0..).zip(lies) {
        lead(&consortium, &liar).await;
        assert!(liar.propose(lie));
        // It says nothing any more, or nothing that the others take: they elect another.
        go_on(&consortium, "admin@harlem", 10 + 10 * number, 2).await;
    }
    let mut headers = Vec::new();
    for node in HONEST {
        let status = until(&consortium, node, "at rest", |status| {
            status.chain.certified_height == status.chain.height && status.chain.leader != Some(liar_name())
        })
        .await;
        assert!(status.chain.time < Timestamp::now().plus_ms(40_000), "the chain's time moved: {status:?}");
        evidence(&consortium, node, |found| !found.is_empty()).await;
        headers.push((status.chain.height, status.chain.header));
    }
    headers.sort_unstable();
    headers.dedup();
    assert!(headers.windows(2).all(|pair| pair[0].0 != pair[1].0), "two headers of one height: {headers:?}");
    let admin = consortium.client("admin@harlem");
    assert!(admin.account_record(&name("filler-99@harlem")).await.is_ok(), "what was genuine in it is recorded once");
    liar.network.shutdown().await;
    consortium.stop().await;
}

/// Makes the liar leader: by whoever leads now, as an operator does.
async fn lead(consortium: &Consortium, liar: &Liar) {
    let deadline = Instant::now() + PATIENCE;
    while !liar.leads() {
        assert!(Instant::now() < deadline, "the liar does not lead");
        let status = until(consortium, HONEST[0], "led", |status| status.chain.leader.is_some()).await;
        let leader = status.chain.leader.unwrap();
        if leader != liar_name() {
            let admin = consortium.client(&format!("admin@{}", leader.member));
            let _refused = admin.transfer_leadership(Some(liar_name())).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
