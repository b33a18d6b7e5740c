//! Random changes of members, nodes and voters, several in a block, against what must always hold.

use std::collections::{BTreeMap, BTreeSet};

use galen_contracts::{keys, query};
use galen_types::application::sign_withdrawal;
use galen_types::member::{Node, NodeRole, Role, Standing};
use galen_types::proposal::{Ballot, ProposalState, ProposedChange};
use galen_types::receipt::Operation;
use galen_types::vocabulary::ReasonCode;
use galen_types::{Call, Outcome, Parameters, ProposalId, PublicKey};
use proptest::prelude::*;

use crate::recovery::{recovery, signed};
use crate::support::{Consortium, MEMBERS, encryption_key, name, new_account, new_node, public_key, secret_key, sign};

/// One step: which kind of call, by whose account, and three choices that the call makes of it; whether it stands in the
/// same block as the one before.
type Step = (u8, u8, u8, u8, bool);

const REASON: ReasonCode = ReasonCode::Administrative;
/// Founders, and institutions that may apply.
const INSTITUTIONS: [&str; 6] = ["harlem", "hennepin", "kentucky", "mississippi", "bellevue", "lincoln"];

/// What was seen so far.
#[derive(Default)]
struct Seen {
    proposals: Vec<ProposalId>,
    /// Every number in ordering that a node ever had, and whose it was.
    numbers: BTreeMap<u64, String>,
    /// Whose key each was, ever.
    owners: BTreeMap<String, String>,
    done: BTreeMap<Operation, usize>,
}

/// Few keys, so that calls try used ones too.
fn key(choice: u8) -> PublicKey {
    public_key(&format!("key {}", choice % 48))
}

fn change(chain: &Consortium, (second, third): (u8, u8), target: &str, node: &str) -> ProposedChange {
    let member = || name(target);
    match third % 7 {
        0 => ProposedChange::SuspendMember { member: member(), reason: REASON },
        1 => ProposedChange::RestoreMember { member: member() },
        2 if second % 4 == 0 => ProposedChange::RemoveMember { member: member(), reason: REASON },
        2 => ProposedChange::RestoreMember { member: member() },
        3 => ProposedChange::RemoveNode { node: name(node), reason: REASON },
        4 => {
            let (key, encryption_key) = (key(second), encryption_key("reset"));
            ProposedChange::ResetAdministrator { account: name(&format!("admin@{target}")), key, encryption_key }
        }
        5 => {
            let managing_agency = (second % 8 == 0).then(member);
            let parameters = Parameters { managing_agency, requests_open_max: second.into(), ..parameters() };
            chain.set_parameters(parameters, chain.block.height + u64::from(second % 64))
        }
        _ => ProposedChange::SetNodeRole { node: name(node), role: NodeRole::ALL[usize::from(second % 3)] },
    }
}

fn parameters() -> Parameters {
    // Short enough that time decides some of it.
    Parameters {
        proposal_lifetime_ms: 60_000,
        key_reset_delay_ms: 20_000,
        nodes_per_member_max: 3,
        voters_per_member_max: 2,
        applications_open_max: 2,
        requests_open_max: 1,
        ..Parameters::default()
    }
}

fn call_of((kind, who, second, third, _): Step, chain: &Consortium, seen: &Seen) -> (String, Call) {
    let member = INSTITUTIONS[usize::from(who % 6)];
    let suspended = query::list_members(&chain.state, None, 10)
        .unwrap()
        .into_iter()
        .find(|member| member.standing == Standing::Suspended && third % 7 == 1)
        .map(|member| member.name.to_string());
    let target = suspended.as_deref().unwrap_or(INSTITUTIONS[usize::from(second % 6)]);
    let names = ["node-1", "node-2", "aggregator"];
    let own = format!("{}.{member}", names[usize::from(third % 3)]);
    let others = format!("{}.{target}", names[usize::from(third / 3 % 3)]);
    let raft_id = query::get_node(&chain.state, &name(&own)).unwrap().map_or(0, |node| node.raft_id);
    // Now and then a number that is not the node's.
    let raft_id = if second % 16 == 0 { u64::from(third % 8) } else { raft_id };
    let admin = format!("admin@{member}");
    let picked = seen.proposals.len().checked_sub(1).map(|last| seen.proposals[last.saturating_sub(second.into())]);
    match kind % 16 {
        0 => {
            let mut application = chain.application(target, NodeRole::ALL[usize::from(third % 2)]);
            application.node.key = public_key(&format!("node-1.{target}"));
            (format!("node-1.{member}"), Call::Apply { application: Box::new(sign(application)) })
        }
        1 if third % 8 == 0 => (admin, Call::Leave { reason: REASON }),
        1 | 2 => {
            let mut new = new_node(names[usize::from(third % 3)], member, NodeRole::Observer);
            new.key = key(second);
            (admin, Call::AddNode(new))
        }
        3 if third % 4 == 0 => (admin, Call::RemoveNode { node: name(&own), reason: REASON }),
        3 if third % 2 == 0 => (admin, Call::DemoteNode { node: name(&own) }),
        3 => (admin, Call::RotateNodeKey { node: name(&own), key: key(second) }),
        4 | 5 => (own, Call::StartOrdering { replaces: raft_id }),
        6 | 7 => (own, Call::JoinVoters { raft_id }),
        8 => {
            let account = name(&format!("{}@{member}", ["admin", "owner"][usize::from(third % 2)]));
            (admin, Call::RotateAccountKey { account, key: key(second), encryption_key: encryption_key("rotated") })
        }
        9 => {
            let mut new = new_account("second", member, &[Role::Admin]);
            new.key = key(second);
            (admin, Call::AddAccount(new))
        }
        10 => (admin, Call::ObjectToReset { proposal: picked.unwrap_or(ProposalId(galen_types::Hash::ZERO)) }),
        11 if third % 2 == 0 => {
            let open = query::list_applications_open(&chain.state, chain.now()).unwrap();
            let proposal = open.first().map_or(ProposalId(galen_types::Hash::ZERO), |proposal| proposal.id);
            let applicant = open.first().map_or("nobody".to_owned(), |proposal| match &proposal.change {
                ProposedChange::AdmitMember { application } => format!("admin@{}", application.application.member),
                _ => "nobody".to_owned(),
            });
            let signature = sign_withdrawal(proposal, &secret_key(&applicant));
            (own, Call::WithdrawApplication { proposal, signature })
        }
        11 | 12 => (admin, Call::Propose(change(chain, (second, third), target, &others))),
        _ => {
            let ballot = if third % 8 == 0 { Ballot::Reject } else { Ballot::Approve };
            // Mostly what is open.
            let open = seen.proposals.iter().filter(|id| chain.proposal_state(**id) == ProposalState::Open);
            let open: Vec<_> = open.copied().collect();
            let proposal = open.get(usize::from(second) % open.len().max(1)).copied().or(picked);
            let proposal = proposal.unwrap_or(ProposalId(galen_types::Hash::ZERO));
            (admin, Call::Vote { proposal, ballot, reason: None })
        }
    }
}

fn number(chain: &Consortium, key: &keys::Key<u32>) -> usize {
    let bytes = chain.state.0.get(key.as_bytes()).map_or([0; 4], |bytes| bytes.as_slice().try_into().unwrap());
    u32::from_le_bytes(bytes) as usize
}

fn check_invariants(chain: &Consortium, seen: &mut Seen) {
    let state = &chain.state;
    let members = query::list_members(state, None, 100).unwrap();
    let active: BTreeSet<_> =
        members.iter().filter(|member| member.standing == Standing::Active).map(|member| member.name.clone()).collect();
    assert!(!active.is_empty(), "somebody is left to vote");
    assert_eq!(number(chain, &keys::members_active()), active.len());
    if let Some(agency) = query::get_parameters(state).unwrap().managing_agency {
        assert!(active.contains(&agency), "the managing agency takes part");
    }
    let nodes = query::list_nodes(state, None, None, 1_000).unwrap();
    for member in &members {
        let of: Vec<&Node> =
            nodes.iter().filter(|node| node.name.member == member.name && node.standing == Standing::Active).collect();
        assert_eq!(number(chain, &keys::nodes_active(&member.name)), of.len());
        let voting = of.iter().filter(|node| node.role == NodeRole::Voter).count();
        assert_eq!(number(chain, &keys::voter_nodes(&member.name)), voting);
        assert!(of.len() <= 3 && voting <= 2, "limits hold");
        let accounts = query::list_accounts(state, Some(&member.name), None, 100).unwrap();
        let managing =
            accounts.iter().filter(|account| account.standing == Standing::Active && account.has_role(Role::Admin));
        assert_eq!(number(chain, &keys::administrators_active(&member.name)), managing.count());
        assert_eq!(state.0.contains_key(keys::member_left(&member.name).as_bytes()), member.standing == Standing::Left);
    }
    // Who orders: the list, the records and the voter set agree, and only those who may are in it.
    let ordering = query::list_ordering(state).unwrap();
    let listed: BTreeMap<_, _> = ordering.iter().map(|entry| (entry.raft_id, entry.node.clone())).collect();
    assert!(ordering.is_sorted_by(|left, right| left.raft_id < right.raft_id));
    let recorded: BTreeMap<_, _> =
        nodes.iter().filter(|node| node.raft_id != 0).map(|node| (node.raft_id, node.name.clone())).collect();
    assert_eq!(listed, recorded);
    let retired = query::list_retired(state).unwrap();
    let mut named: Vec<_> = ordering.iter().chain(&retired).map(|entry| &entry.node).collect();
    named.sort_unstable();
    assert!(retired.len() <= 64 && named.is_sorted_by(|left, right| left < right), "a node has one number at most");
    for node in nodes.iter().filter(|node| node.raft_id != 0) {
        assert!(
            node.role == NodeRole::Voter && node.standing == Standing::Active && active.contains(&node.name.member)
        );
        let first = seen.numbers.entry(node.raft_id).or_insert_with(|| node.name.to_string());
        assert_eq!(*first, node.name.to_string(), "a number in ordering is never another's");
    }
    let set = query::get_voter_set(state).unwrap();
    assert!(!set.voters.is_empty() && set.voters.is_sorted_by(|left, right| left.node < right.node));
    for voter in &set.voters {
        let node = chain.node(&voter.node.to_string());
        assert!(node.raft_id != 0 && node.key == voter.key, "voters order, under their keys of now");
    }
    // A key has one owner for ever.
    let keys_of = nodes.iter().map(|node| (node.key, node.name.to_string()));
    let accounts = query::list_accounts(state, None, None, 1_000).unwrap();
    let keys_of = keys_of.chain(accounts.iter().map(|account| (account.key, account.name.to_string())));
    for (key, owner) in keys_of {
        let first = seen.owners.entry(key.to_string()).or_insert_with(|| owner.clone());
        assert_eq!(*first, owner, "a key is never used twice");
    }
    // The lists of what is open and of what is scheduled agree with the proposals.
    let scheduled: BTreeSet<_> = query::list_scheduled(state).unwrap().iter().map(|proposal| proposal.id).collect();
    let now = chain.now();
    let pending: BTreeSet<_> =
        query::list_applications_open(state, now).unwrap().iter().map(|proposal| proposal.id).collect();
    assert!(pending.len() <= 2);
    for id in &seen.proposals {
        let proposal = query::get_proposal(state, *id).unwrap().unwrap();
        assert_eq!(scheduled.contains(id), proposal.state == ProposalState::Scheduled);
        let applies = matches!(proposal.change, ProposedChange::AdmitMember { .. });
        let open = query::proposal_state_at(&proposal, now) == ProposalState::Open;
        assert_eq!(pending.contains(id), applies && open);
    }
}

fn run(steps: &[Step]) -> Seen {
    let mut chain = Consortium::with(parameters());
    let mut seen = Seen::default();
    check_invariants(&chain, &mut seen);
    let mut at_block_start = query::get_voter_set(&chain.state).unwrap();
    for step in steps {
        let (signer, call) = call_of(*step, &chain, &seen);
        let block = chain.block.clone();
        let mut transaction = chain.transaction(&signer, call);
        if step.4 && block.height > 0 {
            // The block before goes on.
            chain.block = block;
            transaction.body.valid_until = chain.block.time.plus_ms(60_000);
        } else {
            at_block_start = query::get_voter_set(&chain.state).unwrap();
            assert_eq!(chain.block.epoch, at_block_start.epoch);
        }
        let before = query::get_voter_set(&chain.state).unwrap();
        let verdict = chain.run(&transaction);
        let after = query::get_voter_set(&chain.state).unwrap();
        // Whatever changes the voters in a block makes the one epoch after the block's own; nothing else does.
        if before.voters == after.voters {
            assert_eq!(before.epoch, after.epoch);
        } else {
            assert_eq!(after.epoch, chain.block.epoch + 1);
        }
        assert!(after.epoch == at_block_start.epoch || after.epoch == at_block_start.epoch + 1);
        if let galen_contracts::Verdict::Recorded(recorded) = verdict
            && recorded.outcome == Outcome::Applied
        {
            for event in &recorded.events {
                *seen.done.entry(event.operation).or_default() += 1;
            }
            if matches!(transaction.body.call, Call::Propose(_) | Call::Apply { .. }) {
                seen.proposals.push(ProposalId(transaction.id.0));
            }
        }
        check_invariants(&chain, &mut seen);
    }
    recover_at_the_end(&mut chain, &mut seen);
    seen
}

/// From any state, one member with an active administrator under its first key can go on alone.
fn recover_at_the_end(chain: &mut Consortium, seen: &mut Seen) {
    let fit = MEMBERS.into_iter().find_map(|member| {
        // The recovery's own block may be the one from which a new key holds; what it is, is judged as of a late time.
        let late = chain.block.time.plus_ms(1_000_000_000);
        let account = query::get_account_due(&chain.state, &name(&format!("admin@{member}")), late).unwrap()?;
        let node = query::get_node(&chain.state, &name(&format!("node-1.{member}"))).unwrap()?;
        let active = query::get_member(&chain.state, &name(member)).unwrap()?.standing == Standing::Active;
        let can_sign = account.standing == Standing::Active && account.key == public_key(&format!("admin@{member}"));
        let can_vote = node.standing == Standing::Active && node.role != NodeRole::Aggregator;
        let limit = node.role == NodeRole::Voter || number(chain, &keys::voter_nodes(&name(member))) < 2;
        (active && can_sign && can_vote && limit).then(|| format!("node-1.{member}"))
    });
    let Some(node) = fit else { return };
    let account = node.replace("node-1.", "admin@");
    let epoch = chain.epoch();
    chain.block.recovery = true;
    let recovery = signed(recovery(chain, &[&node]), &[&account]);
    chain.done(&account, Call::Recover { recovery: Box::new(recovery) });
    assert_eq!((chain.voters(), chain.epoch()), (vec![node], epoch + 1));
    *seen.done.entry(Operation::Recover).or_default() += 1;
    check_invariants(chain, seen);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_changes_keep_the_invariants(steps in prop::collection::vec(any::<Step>(), 0..160)) {
        run(&steps);
    }
}

/// The random calls reach what they are meant to test: each kind is done, not only refused.
#[test]
fn random_changes_do_something() {
    let mut seed = 1u64;
    let mut byte = || {
        // Knuth's linear congruential generator (MMIX).
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed.to_be_bytes()[0]
    };
    let mut done = BTreeMap::<Operation, usize>::new();
    for _ in 0..24 {
        let steps: Vec<Step> = (0..240).map(|_| (byte(), byte(), byte(), byte(), byte() % 2 == 0)).collect();
        for (operation, count) in run(&steps).done {
            *done.entry(operation).or_default() += count;
        }
    }
    let expected = [
        Operation::Apply,
        Operation::AdmitMember,
        Operation::MemberLeft,
        Operation::SuspendMember,
        Operation::RestoreMember,
        Operation::SetParameters,
        Operation::ProposalScheduled,
        Operation::AddNode,
        Operation::RemoveNode,
        Operation::SetNodeRole,
        Operation::RotateNodeKey,
        Operation::StartOrdering,
        Operation::JoinVoters,
        Operation::Recover,
    ];
    for operation in expected {
        assert!(done.contains_key(&operation), "{operation} is never done: {done:?}");
    }
}
