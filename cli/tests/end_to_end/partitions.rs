//! The network between nodes is cut while voters come and go.

use std::time::Duration;

use galen_client::Wait;
use galen_testnet::PlanOptions;
use galen_testnet::relay::Relays;
use galen_types::Call;
use galen_types::member::NodeRole;
use galen_types::proposal::Ballot;

use crate::support::{Cluster, Load, PATIENCE, VOTERS, assert_once_everywhere, eventually, program};

const MEMBER: &str = "riverside";
const NODE: &str = "node-1.riverside";
const AGGREGATOR: &str = "aggregator.harlem";
/// What the newcomer's messages take.
const LATENCY: Duration = Duration::from_millis(150);
/// Longer than an election takes.
const CUT: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread")]
async fn voters_come_and_go_while_the_network_is_cut() {
    let mut cluster = Cluster::make(PlanOptions { load_accounts: 4, relays: true, ..PlanOptions::default() }).await;
    let mut relays = Relays::start(&cluster.testnet).await.unwrap();
    cluster.testnet.up(&program(), &|_| {}).await.unwrap();
    let load = Load::paced(&cluster, &VOTERS, Duration::from_millis(20));
    load.more(20).await;
    let node = cluster.testnet.prepare_member(MEMBER, NodeRole::Voter).unwrap();
    relays.add(&cluster.testnet, cluster.testnet.node(NODE).unwrap()).await.unwrap();
    let proposal = cluster.testnet.apply(&node).await.unwrap();
    cluster.testnet.vote(&proposal, Ballot::Approve).await.unwrap();
    cluster.testnet.admitted(&node.member).unwrap();
    let epoch = cluster.chain(VOTERS[0]).await.unwrap().epoch;
    // On its slow line there is always something new when an answer has come.
    for voter in VOTERS {
        relays.delay(NODE, voter, LATENCY);
    }
    cluster.testnet.launch(&node, &program()).unwrap();

    // The leader is cut off at the moment at which the chain names the fifth voter and ordering does not have it yet.
    let leader = eventually("the chain names five voters", PATIENCE, async || {
        let chain = cluster.chain(VOTERS[0]).await?;
        (chain.epoch > epoch).then_some(chain.leader?.to_string())
    })
    .await;
    let mut others: Vec<&str> = VOTERS.into_iter().chain([NODE, AGGREGATOR]).collect();
    others.retain(|other| *other != leader);
    relays.split(&[&leader], &others);
    let of_majority = others[0];
    eventually("the others elect a leader and go on", PATIENCE, async || {
        let chain = cluster.chain(of_majority).await?;
        (chain.leader?.to_string() != leader).then_some(())
    })
    .await;
    tokio::time::sleep(CUT).await;
    relays.heal();
    cluster.votes(NODE).await;
    cluster.testnet.add_accounts(&node).await.unwrap();
    load.more(20).await;

    // On the way out: whoever leads is not heard by one voter, and two halves do not hear each other for a while.
    let proposal = cluster.testnet.propose_removal(&node.member).await.unwrap();
    let leader = cluster.leader(VOTERS[0]).await;
    let deaf = VOTERS.into_iter().find(|other| *other != leader).unwrap();
    relays.cut_one_way(&leader, deaf);
    // At the leader: who does not hear it may not learn what became of a ballot.
    for member in ["harlem", "hennepin", "kentucky"] {
        let administrator = cluster.client(&leader, &format!("admin@{member}"));
        let vote = Call::Vote { proposal, ballot: Ballot::Approve, reason: None };
        administrator.apply(vote, Wait::Committed).await.unwrap();
    }
    relays.split(&VOTERS[..2], &[VOTERS[2], VOTERS[3], NODE]);
    tokio::time::sleep(CUT).await;
    relays.heal();
    cluster.testnet.cut_off(&node.member).await.unwrap();
    load.more(20).await;
    cluster.testnet.forget(&node.member).unwrap();

    let acknowledged = load.stop().await;
    assert_once_everywhere(&cluster, &acknowledged).await;
    cluster.verify_ledgers();
}
