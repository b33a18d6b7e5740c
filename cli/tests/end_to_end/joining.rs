//! A fifth hospital: joins, votes, is suspended and restored, is removed, and knocks again. All under load.

use std::time::Duration;

use galen_client::Wait;
use galen_testnet::PlanOptions;
use galen_types::api::Participation;
use galen_types::member::NodeRole;
use galen_types::proposal::{Ballot, ProposalState, ProposedChange};
use galen_types::vocabulary::ReasonCode;
use galen_types::{Call, Parameters, ProposalId};

use crate::support::{Cluster, Load, PATIENCE, VOTERS, assert_once_everywhere, eventually, program, publication};

const MEMBER: &str = "riverside";
const NODE: &str = "node-1.riverside";

#[tokio::test(flavor = "multi_thread")]
async fn a_fifth_hospital_joins_votes_is_suspended_restored_and_removed() {
    let mut cluster = Cluster::start(PlanOptions { load_accounts: 4, ..PlanOptions::default() }).await;
    let load = Load::paced(&cluster, &VOTERS, Duration::from_millis(20));
    load.more(40).await;

    let mut steps = Vec::new();
    let joined = cluster.testnet.add(MEMBER, NodeRole::Voter, &program(), &mut |step| steps.push(step)).await;
    assert_eq!(joined.unwrap_or_else(|error| panic!("{error}")).to_string(), NODE);
    for step in &steps {
        println!("{:8.2} s  {}", step.seconds, step.done);
    }
    assert_eq!(
        steps.iter().map(|step| step.step).collect::<Vec<_>>(),
        ["prepare", "apply", "vote", "launch", "join", "accounts"]
    );
    load.more(40).await;
    assert_its_signature_counts(&cluster).await;
    assert_its_ballot_decides(&cluster).await;

    // Suspended: no certificate waits for it, no block reaches it, its people are not heard.
    let reason = ReasonCode::Administrative;
    let change = ProposedChange::SuspendMember { member: MEMBER.parse().unwrap(), reason };
    cluster.decide("harlem", change).await;
    assert_cut_off(&cluster, &load).await;
    let unheard = cluster.client(VOTERS[0], "owner@riverside").apply(publication(), Wait::Committed).await;
    assert!(unheard.is_err(), "a suspended member's account was heard: {unheard:?}");

    cluster.decide("harlem", ProposedChange::RestoreMember { member: MEMBER.parse().unwrap() }).await;
    let raft_id = cluster.votes(NODE).await;
    assert!(raft_id > 5, "it votes as a new learner that caught up, not under its old number: {raft_id}");
    load.more(20).await;

    // Removed: the same, for good. It knocks again after a restart and hurts nobody.
    let proposal = cluster.testnet.propose_removal(&MEMBER.parse().unwrap()).await.unwrap();
    cluster.testnet.vote(&proposal, Ballot::Approve).await.unwrap();
    assert_cut_off(&cluster, &load).await;
    cluster.testnet.kill(NODE).unwrap();
    cluster.testnet.launch(&NODE.parse().unwrap(), &program()).unwrap();
    eventually("a node logs why the removed node is refused", PATIENCE, async || {
        let refused = |node: &&str| {
            cluster.log(node).lines().any(|line| line.contains("connection refused") && line.contains("not-registered"))
        };
        VOTERS.iter().any(refused).then_some(())
    })
    .await;
    load.more(20).await;
    assert!(cluster.place(NODE).await.is_none_or(|(part, _)| part != Participation::Voting));
    cluster.testnet.forget(&MEMBER.parse().unwrap()).unwrap();

    let acknowledged = load.stop().await;
    assert_once_everywhere(&cluster, &acknowledged).await;
    cluster.verify_ledgers();
}

/// That certificates carry the new voter's signature.
async fn assert_its_signature_counts(cluster: &Cluster) {
    let auditor = cluster.client(VOTERS[0], "auditor@harlem");
    eventually("a certificate carries the new voter's signature", PATIENCE, async || {
        let height = cluster.chain(VOTERS[0]).await?.certified_height;
        let certificate = auditor.block(height).await.ok()?.certificate?;
        certificate.signatures.iter().any(|part| part.voter.to_string() == NODE).then_some(())
    })
    .await;
}

/// That the new member's ballot is the one that decides: three of five are needed.
async fn assert_its_ballot_decides(cluster: &Cluster) {
    let in_force = cluster.client(NODE, "admin@riverside").parameters().await.unwrap();
    let based_on = in_force.hash();
    let parameters = Parameters { requests_open_max: 777, ..in_force };
    let change = ProposedChange::SetParameters { parameters, based_on, effective_height: 0 };
    let proposal = ProposalId(cluster.administer("harlem", Call::Propose(change)).await.id.0);
    let vote = || Call::Vote { proposal, ballot: Ballot::Approve, reason: None };
    let state = async || cluster.client(NODE, "admin@riverside").proposal(proposal).await.unwrap().state;
    cluster.administer("harlem", vote()).await;
    cluster.administer("hennepin", vote()).await;
    assert_eq!(state().await, ProposalState::Open);
    cluster.administer(MEMBER, vote()).await;
    assert_eq!(state().await, ProposalState::Passed);
    eventually("the parameter holds", PATIENCE, async || {
        let parameters = cluster.client(NODE, "admin@riverside").parameters().await.ok()?;
        (parameters.requests_open_max == 777).then_some(())
    })
    .await;
}

/// That the others certify without the node, have no connection with it, and give it nothing new.
async fn assert_cut_off(cluster: &Cluster, load: &Load) {
    let nodes = cluster.testnet.cut_off(&MEMBER.parse().unwrap()).await.unwrap();
    assert_eq!(nodes.len(), 1);
    // Each voter cuts it off on its own, with its own copy of the block that says so.
    let mut then = 0;
    for voter in VOTERS {
        let observed = cluster.client(voter, &format!("admin@{}", voter.split_once('.').unwrap().1));
        eventually("no connection with the node is left", PATIENCE, async || {
            let peers = observed.peers().await.ok()?;
            peers.iter().all(|peer| peer.node.to_string() != NODE || !peer.connected).then_some(())
        })
        .await;
        then = then.max(cluster.chain(voter).await.unwrap().height);
    }
    load.more(20).await;
    eventually("the others have gone on", PATIENCE, async || {
        (cluster.chain(VOTERS[0]).await?.height > then + 1).then_some(())
    })
    .await;
    // It may start anew meanwhile, since it has another part now.
    let there = eventually("it answers still", PATIENCE, async || Some(cluster.chain(NODE).await?.height)).await;
    assert!(there <= then, "it was given blocks after it was cut off: it has {there}, {then} were made by then");
}
