//! The network between nodes is cut while voters come and go.

use std::time::Duration;

use galen_client::Wait;
use galen_testnet::PlanOptions;
use galen_testnet::fault::{Fault, Lines};
use galen_testnet::relay::Relays;
use galen_types::api::Participation;
use galen_types::member::NodeRole;
use galen_types::proposal::{Ballot, ProposedChange};
use galen_types::{Call, NodeName};

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

/// In namespaces of the kernel, where nobody can join: a voter becomes an observer, and a voter again.
#[tokio::test(flavor = "multi_thread")]
async fn a_voter_is_demoted_and_promoted_while_the_kernels_network_is_cut() {
    let cluster = Cluster::make_breakable(PlanOptions { load_accounts: 4, ..PlanOptions::default() }).await;
    let lines = Lines::start(&cluster.testnet).await.unwrap();
    cluster.testnet.up(&program(), &|_| {}).await.unwrap();
    let load = Load::paced(&cluster, &VOTERS, Duration::from_millis(20));
    load.more(20).await;
    let changed: NodeName = VOTERS[3].parse().unwrap();
    let settled = async |what: &str, voters: usize, part: Participation| {
        eventually(what, PATIENCE, async || {
            let leader = cluster.chain(VOTERS[0]).await?.leader?.to_string();
            let (chain, ordering) = (cluster.chain(&leader).await?, cluster.ordering(&leader).await?);
            let (found, _) = cluster.place(VOTERS[3]).await?;
            let done = chain.voters.len() == voters && !ordering.joint && !ordering.change_pending;
            (done && found == part).then_some(())
        })
        .await;
    };

    // Whoever leads is cut off as soon as the chain names three voters, wherever ordering is with that then.
    let leader = cluster.leader(VOTERS[0]).await;
    let administrator = cluster.client(&leader, "admin@mississippi");
    administrator.apply(Call::DemoteNode { node: changed.clone() }, Wait::Committed).await.unwrap();
    Fault::Partition { side: vec![leader.parse().unwrap()] }.apply(&cluster.testnet, Some(&lines)).unwrap();
    let other = VOTERS[..3].iter().find(|voter| **voter != leader).unwrap();
    eventually("the others elect a leader", PATIENCE, async || {
        (cluster.chain(other).await?.leader?.to_string() != leader).then_some(())
    })
    .await;
    tokio::time::sleep(CUT).await;
    lines.heal().unwrap();
    settled("three vote", 3, Participation::Following).await;
    load.more(20).await;

    // Promoted, while one voter does not hear who leads.
    cluster.decide("harlem", ProposedChange::SetNodeRole { node: changed, role: NodeRole::Voter }).await;
    let leader = cluster.leader(VOTERS[0]).await;
    let deaf = VOTERS[..3].iter().find(|voter| **voter != leader).unwrap();
    let fault = Fault::OneWay { from: leader.parse().unwrap(), to: deaf.parse().unwrap() };
    fault.apply(&cluster.testnet, Some(&lines)).unwrap();
    tokio::time::sleep(CUT).await;
    lines.heal().unwrap();
    settled("four vote", 4, Participation::Voting).await;
    assert!(cluster.votes(VOTERS[3]).await > 4, "under another number");
    load.more(20).await;

    let acknowledged = load.stop().await;
    assert_once_everywhere(&cluster, &acknowledged).await;
    cluster.verify_ledgers();
}
