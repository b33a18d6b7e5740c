//! Nodes, their roles and keys, and the way of a voter into ordering and into the voter set.

use galen_contracts::{Verdict, VoidReason, execute, query};
use galen_types::member::{NodeAddress, NodeRole, Standing};
use galen_types::proposal::{ProposalState, ProposedChange};
use galen_types::vocabulary::ReasonCode;
use galen_types::{Call, Outcome, Parameters, Timestamp};

use crate::support::{Consortium, name, new_node, public_key};

const REASON: ReasonCode = ReasonCode::Administrative;

/// The table of `nodes.rs`, row by row.
#[test]
fn a_node_is_added_promoted_demoted_and_removed() {
    let mut chain = Consortium::with(Parameters { voters_per_member_max: 2, ..Parameters::default() });
    chain.done("admin@harlem", Call::AddNode(new_node("node-2", "harlem", NodeRole::Observer)));
    let set_role = |role| ProposedChange::SetNodeRole { node: name("node-2.harlem"), role };
    let demote = || Call::DemoteNode { node: name("node-2.harlem") };
    let roles = [NodeRole::Voter, NodeRole::Aggregator, NodeRole::Observer];
    for from in roles {
        for to in roles {
            if chain.node("node-2.harlem").role != from {
                chain.pass(set_role(from));
            }
            if from == to {
                chain.refused("node-role-unchanged", "admin@hennepin", Call::Propose(set_role(to)));
                continue;
            }
            chain.pass(set_role(to));
            let node = chain.node("node-2.harlem");
            assert_eq!((node.role, node.raft_id), (to, 0), "{from} to {to}");
        }
    }
    // Demoting needs no vote, and only its own administrators do it.
    for role in [NodeRole::Voter, NodeRole::Aggregator] {
        chain.pass(set_role(role));
        chain.refused("not-your-member", "admin@hennepin", demote());
        chain.refused("role-missing", "owner@harlem", demote());
        chain.done("admin@harlem", demote());
        chain.refused("node-role-unchanged", "admin@harlem", demote());
    }
    assert_eq!(chain.epoch(), 0, "a node that never joined the voters changes no epoch");
    let remove = || Call::RemoveNode { node: name("node-2.harlem"), reason: REASON };
    chain.refused("not-your-member", "admin@hennepin", remove());
    chain.done("admin@harlem", remove());
    assert_eq!(chain.node("node-2.harlem").standing, Standing::Left);
    for (signer, call) in [
        ("admin@harlem", remove()),
        ("admin@harlem", demote()),
        ("admin@harlem", Call::RotateNodeKey { node: name("node-2.harlem"), key: public_key("another") }),
        ("admin@hennepin", Call::Propose(set_role(NodeRole::Voter))),
        ("admin@hennepin", Call::Propose(ProposedChange::RemoveNode { node: name("node-2.harlem"), reason: REASON })),
    ] {
        chain.refused("node-removed", signer, call);
    }
    let mut again = new_node("node-2", "harlem", NodeRole::Observer);
    again.key = public_key("another");
    chain.refused("node-exists", "admin@harlem", Call::AddNode(again));
    let (_, verdict) = chain.call("node-2.harlem", Call::StartOrdering { replaces: 0 });
    assert_eq!(verdict, Verdict::Void(VoidReason::RemovedNode(name("node-2.harlem"))));
    // Another member's node is taken out by vote.
    chain.pass(ProposedChange::RemoveNode { node: name("node-1.kentucky"), reason: REASON });
    assert_eq!((chain.node("node-1.kentucky").standing, chain.node("node-1.kentucky").raft_id), (Standing::Left, 0));
    assert_eq!((chain.voters().len(), chain.epoch()), (3, 1));
}

/// The table of `ordering.rs`, row by row.
#[test]
fn a_voter_gets_a_fresh_number_catches_up_and_joins() {
    let mut chain = Consortium::new();
    let node = "node-1.harlem";
    let start = |replaces| Call::StartOrdering { replaces };
    let join = |raft_id| Call::JoinVoters { raft_id };
    let of =
        |chain: &Consortium, number| query::get_node_by_raft_id(&chain.state, number).unwrap().map(|node| node.name);
    assert_eq!(of(&chain, 1), Some(name(node)));
    // Its disk was wiped: a fresh number, out of the voter set until it has caught up.
    chain.refused("raft-id-outdated", node, start(2));
    chain.done(node, start(1));
    assert_eq!((chain.node(node).raft_id, chain.epoch(), chain.voters().len()), (5, 1, 3));
    assert_eq!((of(&chain, 1), of(&chain, 5)), (None, Some(name(node))));
    chain.refused("raft-id-outdated", node, start(1));
    chain.refused("raft-id-outdated", node, join(1));
    chain.refused("raft-id-outdated", node, join(0));
    // Again, before it joined: it changes no epoch.
    chain.wait_ms(60_000);
    chain.done(node, start(5));
    assert_eq!((chain.node(node).raft_id, chain.epoch()), (6, 1));
    chain.done(node, join(6));
    assert_eq!((chain.epoch(), chain.voters().len()), (2, 4));
    chain.refused("already-voter", node, join(6));
    chain.refused("account-required", node, Call::DemoteNode { node: name(node) });
    chain.refused("node-required", "admin@harlem", start(6));
    // Demoted: no number; promoted: it starts anew.
    chain.done("admin@harlem", Call::DemoteNode { node: name(node) });
    assert_eq!((chain.node(node).raft_id, chain.epoch()), (0, 3));
    chain.refused("voter-role-missing", node, start(0));
    chain.refused("voter-role-missing", node, join(6));
    chain.pass(ProposedChange::SetNodeRole { node: name(node), role: NodeRole::Voter });
    chain.refused("raft-id-outdated", node, join(6));
    chain.join_voters(node);
    assert_eq!((chain.node(node).raft_id, chain.epoch()), (7, 4));
    let numbers: Vec<_> = query::list_ordering(&chain.state).unwrap().iter().map(|entry| entry.raft_id).collect();
    assert_eq!(numbers, [2, 3, 4, 7]);
}

/// Who is taken out stays listed until it has another number; what a node itself gave up is gone at once.
#[test]
fn a_number_that_was_taken_away_stays_listed_as_retired() {
    let mut chain = Consortium::new();
    let retired = |chain: &Consortium| {
        let listed = query::list_retired(&chain.state).unwrap().into_iter();
        listed.map(|entry| (entry.raft_id, entry.node.to_string(), entry.retired_height)).collect::<Vec<_>>()
    };
    let entry = |number, member: &str, height| (number, format!("node-1.{member}"), height);
    chain.done("admin@harlem", Call::DemoteNode { node: name("node-1.harlem") });
    let demoted = entry(1, "harlem", chain.block.height);
    assert_eq!(retired(&chain), std::slice::from_ref(&demoted));
    assert_eq!(query::get_node_by_raft_id(&chain.state, 1).unwrap(), None);
    chain.pass(ProposedChange::SuspendMember { member: name("kentucky"), reason: REASON });
    let suspended = entry(3, "kentucky", chain.block.height);
    assert_eq!(retired(&chain), [demoted.clone(), suspended.clone()]);
    // Each on its own: nobody else's row changes.
    chain.done("admin@mississippi", Call::RemoveNode { node: name("node-1.mississippi"), reason: REASON });
    let removed = entry(4, "mississippi", chain.block.height);
    assert_eq!(retired(&chain), [demoted, suspended.clone(), removed.clone()]);
    // Promoted, and restored: listed until they ask for another number.
    chain.pass(ProposedChange::SetNodeRole { node: name("node-1.harlem"), role: NodeRole::Voter });
    chain.pass(ProposedChange::RestoreMember { member: name("kentucky") });
    assert_eq!(retired(&chain).len(), 3);
    chain.done("node-1.harlem", Call::StartOrdering { replaces: 0 });
    assert_eq!(retired(&chain), [suspended, removed.clone()]);
    chain.done("node-1.kentucky", Call::StartOrdering { replaces: 0 });
    assert_eq!(retired(&chain), std::slice::from_ref(&removed));
    // A lost disk: nobody can speak under that number any more.
    chain.wait_ms(60_000);
    chain.done("node-1.harlem", Call::StartOrdering { replaces: 5 });
    assert_eq!(retired(&chain), [removed]);
}

#[test]
fn what_changes_the_voters_in_one_block_makes_one_epoch() {
    let mut chain = Consortium::new();
    let first = chain.transaction("admin@harlem", Call::DemoteNode { node: name("node-1.harlem") });
    let (height, time) = (chain.block.height, chain.block.time);
    let mut second = chain.transaction("admin@hennepin", Call::DemoteNode { node: name("node-1.hennepin") });
    (chain.block.height, chain.block.time) = (height, time);
    second.body.valid_until = first.body.valid_until;
    chain.run(&first);
    chain.run(&second);
    assert_eq!((chain.voters().len(), chain.epoch()), (2, 1));
}

#[test]
fn the_last_voter_stays() {
    let mut chain = Consortium::new();
    for member in ["hennepin", "kentucky", "mississippi"] {
        chain.done(&format!("admin@{member}"), Call::DemoteNode { node: name(&format!("node-1.{member}")) });
    }
    let last = || name("node-1.harlem");
    let (member, reason) = (name("harlem"), REASON);
    for (signer, call) in [
        ("admin@harlem", Call::DemoteNode { node: last() }),
        ("admin@harlem", Call::RemoveNode { node: last(), reason }),
        ("admin@harlem", Call::Leave { reason }),
        ("node-1.harlem", Call::StartOrdering { replaces: 1 }),
        ("admin@hennepin", Call::Propose(ProposedChange::SuspendMember { member, reason })),
        ("admin@hennepin", Call::Propose(ProposedChange::RemoveNode { node: last(), reason })),
    ] {
        chain.refused("last-voter", signer, call);
    }
    // A change that was fine when it was proposed fails when it would take the last voter away.
    chain.pass(ProposedChange::SetNodeRole { node: name("node-1.hennepin"), role: NodeRole::Voter });
    chain.join_voters("node-1.hennepin");
    let change = ProposedChange::RemoveNode { node: last(), reason };
    let proposal = galen_types::ProposalId(chain.done("admin@kentucky", Call::Propose(change)));
    chain.done("admin@hennepin", Call::DemoteNode { node: name("node-1.hennepin") });
    chain.decide(proposal, galen_types::proposal::Ballot::Approve);
    assert_eq!(chain.proposal_state(proposal), ProposalState::Failed);
    assert_eq!(chain.voters(), ["node-1.harlem"]);
}

#[test]
fn a_node_moves_and_changes_its_key() {
    let mut chain = Consortium::new();
    let address = |port: u16| NodeAddress::parse(&format!("/ip4/127.0.0.1/tcp/{port}")).unwrap();
    let set = |port| Call::SetNodeAddress { node: name("node-1.harlem"), address: address(port) };
    chain.done("admin@harlem", set(7200));
    chain.done("node-1.harlem", set(7201));
    chain.refused("address-unchanged", "node-1.harlem", set(7201));
    chain.refused("account-required", "aggregator.harlem", set(7202));
    chain.refused("not-your-member", "admin@hennepin", set(7202));
    assert_eq!((chain.node("node-1.harlem").address, chain.epoch()), (address(7201), 0));
    // A voter's new key is in the set of the next epoch; its number stays.
    let rotate = |node: &str, seed: &str| Call::RotateNodeKey { node: name(node), key: public_key(seed) };
    chain.done("admin@harlem", rotate("node-1.harlem", "fresh"));
    let set = query::get_voter_set(&chain.state).unwrap();
    assert_eq!((set.epoch, set.key_of(&name("node-1.harlem"))), (1, Some(&public_key("fresh"))));
    assert_eq!(chain.node("node-1.harlem").raft_id, 1);
    assert_eq!(galen_contracts::signer_key(&chain.state, &name("node-1.harlem")).unwrap(), Some(public_key("fresh")));
    // Another node's key changes no epoch.
    chain.done("admin@harlem", rotate("aggregator.harlem", "fresh too"));
    assert_eq!(chain.epoch(), 1);
    chain.refused("key-in-use", "admin@harlem", rotate("node-1.harlem", "node-1.harlem"));
}

/// The start of a block costs one read where nothing is due, and doing it twice changes nothing.
#[test]
fn the_start_of_a_block_does_what_is_due_once() {
    let mut chain = Consortium::new();
    let begin = |chain: &Consortium| galen_contracts::begin_block(&chain.state, &chain.block).unwrap().writes;
    assert!(begin(&chain).is_empty());
    let parameters = Parameters { requests_open_max: 7, ..Parameters::default() };
    let effective_height = chain.block.height + 100;
    chain.pass(chain.set_parameters(parameters, effective_height));
    assert!(begin(&chain).is_empty());
    (chain.block.height, chain.block.time) = (effective_height, Timestamp(chain.now().0 + 1));
    let writes = begin(&chain);
    assert!(galen_contracts::group_keys_changed(writes.keys()));
    chain.state.apply(writes);
    assert!(begin(&chain).is_empty());
    // Publishing data does not make anybody read the group again.
    let publish =
        Call::PublishDataset { dataset: name("opt"), content: crate::support::content("opt"), discoverable: true };
    let transaction = chain.transaction("owner@harlem", publish);
    let Verdict::Recorded(recorded) = execute(&chain.state, &chain.block, &transaction).unwrap() else {
        panic!("void")
    };
    assert!(!galen_contracts::group_keys_changed(recorded.writes.keys()));
}

/// Each of these may begin an epoch that everybody steps through for ever, so no member makes them without end.
#[test]
fn a_member_changes_a_voting_node_once_a_minute() {
    let mut chain = Consortium::new();
    let restart = |chain: &mut Consortium| {
        let replaces = chain.node("node-1.harlem").raft_id;
        chain.transaction("node-1.harlem", Call::StartOrdering { replaces })
    };
    let rotate = |key: &str| Call::RotateNodeKey { node: name("node-1.harlem"), key: public_key(key) };
    let first = restart(&mut chain);
    assert!(matches!(chain.run(&first), Verdict::Recorded(recorded) if recorded.outcome == Outcome::Applied));
    // A lost disk at once; the next one later. It joins whenever it has caught up.
    let second = restart(&mut chain);
    chain.refused_transaction("voting-changed-lately", &second);
    let raft_id = chain.node("node-1.harlem").raft_id;
    chain.done("node-1.harlem", Call::JoinVoters { raft_id });
    chain.refused("voting-changed-lately", "admin@harlem", rotate("second"));
    // Another node has a minute of its own; what is no part of voting is not held back.
    chain.done("node-1.kentucky", Call::StartOrdering { replaces: 3 });
    chain.done("admin@harlem", Call::RotateNodeKey { node: name("aggregator.harlem"), key: public_key("machine") });
    chain.wait_ms(60_000);
    chain.done("admin@harlem", rotate("third"));
    let third = restart(&mut chain);
    chain.refused_transaction("voting-changed-lately", &third);
    chain.wait_ms(60_000);
    let fourth = restart(&mut chain);
    assert!(matches!(chain.run(&fourth), Verdict::Recorded(recorded) if recorded.outcome == Outcome::Applied));
}
