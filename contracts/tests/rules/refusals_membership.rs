//! The cases of refusals about members, nodes, voters and recoveries.

use galen_contracts::{keys, limits, query};
use galen_types::application::{Application, sign_withdrawal};
use galen_types::certificate::Voter;
use galen_types::member::{NodeRole, OrderingNode, Role};
use galen_types::proposal::ProposedChange;
use galen_types::recovery::{Recovery, SignedRecovery};
use galen_types::vocabulary::ReasonCode;
use galen_types::{Call, Encoding, Hash, Parameters};

use crate::recovery::{recovery, signed};
use crate::refusals::{Case, set_parameters};
use crate::support::{Consortium, encryption_key, name, new_account, new_node, public_key, secret_key, sign};

const REASON: ReasonCode = ReasonCode::Administrative;
const SPONSOR: &str = "node-1.harlem";

fn apply(chain: &Consortium, change: impl FnOnce(&mut Application)) -> (&'static str, Call) {
    let mut application = chain.application("bellevue", NodeRole::Voter);
    change(&mut application);
    (SPONSOR, Call::Apply { application: Box::new(sign(application)) })
}

fn propose(change: ProposedChange) -> (&'static str, Call) {
    ("admin@hennepin", Call::Propose(change))
}

fn add_node(node: &str, role: NodeRole) -> (&'static str, Call) {
    ("admin@harlem", Call::AddNode(new_node(node, "harlem", role)))
}

fn demote(node: &str) -> (&'static str, Call) {
    ("admin@harlem", Call::DemoteNode { node: name(node) })
}

/// A recovery by harlem and hennepin, altered before it is signed.
fn recover(chain: &mut Consortium, change: impl FnOnce(&mut Recovery)) -> (&'static str, Call) {
    chain.block.recovery = true;
    let mut recovery = recovery(chain, &["node-1.harlem", "node-1.hennepin"]);
    change(&mut recovery);
    ("admin@harlem", call(signed(recovery, &["admin@harlem", "admin@hennepin"])))
}

fn call(recovery: SignedRecovery) -> Call {
    Call::Recover { recovery: Box::new(recovery) }
}

pub(crate) const CASES: &[(&str, Case)] = &[
    ("member-left", |chain| {
        chain.done("admin@kentucky", Call::Leave { reason: REASON });
        propose(ProposedChange::RemoveMember { member: name("kentucky"), reason: REASON })
    }),
    ("recovery-only", |chain| {
        chain.block.recovery = true;
        demote("aggregator.harlem")
    }),
    ("last-voter", |chain| {
        for member in ["hennepin", "kentucky", "mississippi"] {
            chain.done(&format!("admin@{member}"), Call::DemoteNode { node: name(&format!("node-1.{member}")) });
        }
        demote("node-1.harlem")
    }),
    ("managing-agency", |chain| {
        let agency = Parameters { managing_agency: Some(name("harlem")), ..Parameters::default() };
        *chain = Consortium::with(agency);
        ("admin@harlem", Call::Leave { reason: REASON })
    }),
    ("managing-agency-unknown", |_| set_parameters(|parameters| parameters.managing_agency = Some(name("nowhere")))),
    ("schedule-full", |chain| {
        let change = |most: usize| {
            let seed = format!("reset {most}");
            let (key, encryption_key) = (public_key(&seed), encryption_key(&seed));
            ProposedChange::ResetAdministrator { account: name("admin@mississippi"), key, encryption_key }
        };
        for most in 0..limits::RESETS_SCHEDULED_MAX {
            chain.pass(change(most));
        }
        // Parameters have a place of their own.
        let parameters = Parameters { requests_open_max: 7, ..Parameters::default() };
        chain.pass(chain.set_parameters(parameters, chain.block.height + 1_000));
        let proposal = galen_types::ProposalId(chain.done("admin@harlem", Call::Propose(change(100))));
        let vote = Call::Vote { proposal, ballot: galen_types::proposal::Ballot::Approve, reason: None };
        for member in ["harlem", "hennepin"] {
            chain.done(&format!("admin@{member}"), vote.clone());
        }
        ("admin@kentucky", vote)
    }),
    ("parameters-changed", |chain| {
        let parameters = |most| Parameters { requests_open_max: most, ..Parameters::default() };
        let (first, second) = (chain.set_parameters(parameters(7), 0), chain.set_parameters(parameters(8), 0));
        chain.pass(first);
        propose(second)
    }),
    ("effective-height-too-far", |chain| {
        let parameters = Parameters { requests_open_max: 7, ..Parameters::default() };
        propose(chain.set_parameters(parameters, chain.block.height + 1_000_002))
    }),
    ("key-reserved", |chain| {
        chain.apply("bellevue", NodeRole::Observer);
        let mut thief = new_account("thief", "harlem", &[Role::Owner]);
        thief.key = public_key("node-1.bellevue");
        ("admin@harlem", Call::AddAccount(thief))
    }),
    ("application-repeated", |chain| {
        let application = Box::new(sign(chain.application("bellevue", NodeRole::Voter)));
        let bring = Call::Apply { application };
        let proposal = galen_types::ProposalId(chain.done(SPONSOR, bring.clone()));
        chain.decide(proposal, galen_types::proposal::Ballot::Reject);
        (SPONSOR, bring)
    }),
    ("withdrawal-signature", |chain| {
        let proposal = chain.apply("bellevue", NodeRole::Voter);
        let signature = sign_withdrawal(proposal, &secret_key("admin@harlem"));
        (SPONSOR, Call::WithdrawApplication { proposal, signature })
    }),
    ("not-application", |chain| {
        let (signer, call) = propose(ProposedChange::SuspendMember { member: name("kentucky"), reason: REASON });
        let proposal = galen_types::ProposalId(chain.done(signer, call));
        (SPONSOR, Call::WithdrawApplication { proposal, signature: sign_withdrawal(proposal, &secret_key("any")) })
    }),
    ("voting-changed-lately", |chain| {
        chain.done(SPONSOR, Call::StartOrdering { replaces: 1 });
        (SPONSOR, Call::StartOrdering { replaces: chain.node(SPONSOR).raft_id })
    }),
    ("not-administrator", |_| {
        let (key, encryption_key) = (public_key("new"), encryption_key("new"));
        propose(ProposedChange::ResetAdministrator { account: name("owner@harlem"), key, encryption_key })
    }),
    ("reset-not-scheduled", |chain| {
        let (key, encryption_key) = (public_key("new"), encryption_key("new"));
        let change = ProposedChange::ResetAdministrator { account: name("admin@harlem"), key, encryption_key };
        let (signer, call) = propose(change);
        let proposal = galen_types::ProposalId(chain.done(signer, call));
        ("admin@harlem", Call::ObjectToReset { proposal })
    }),
    ("application-required", |chain| {
        let application = Box::new(sign(chain.application("bellevue", NodeRole::Voter)));
        propose(ProposedChange::AdmitMember { application })
    }),
    ("application-wrong-chain", |chain| apply(chain, |application| application.genesis = Hash::ZERO)),
    ("application-outdated", |chain| {
        apply(chain, |application| application.made = application.made.plus_ms(3_601_001))
    }),
    ("application-without-administrator", |chain| {
        apply(chain, |application| application.administrator.roles = vec![Role::Owner])
    }),
    ("application-node-role", |chain| apply(chain, |application| application.node.role = NodeRole::Aggregator)),
    ("offers-malformed", |chain| apply(chain, |application| application.offers.reverse())),
    ("application-signature", |chain| {
        let application = chain.application("bellevue", NodeRole::Voter);
        let application = application.sign(&secret_key("admin@bellevue"), &secret_key("another"));
        (SPONSOR, Call::Apply { application: Box::new(application) })
    }),
    ("member-exists", |chain| {
        chain.done("admin@kentucky", Call::Leave { reason: REASON });
        let application = Box::new(sign(chain.application("kentucky", NodeRole::Voter)));
        (SPONSOR, Call::Apply { application })
    }),
    ("application-open", |chain| {
        chain.apply("bellevue", NodeRole::Observer);
        apply(chain, |_| {})
    }),
    ("applications-open-too-many", |chain| {
        let parameters = Parameters { applications_open_max: 1, ..Parameters::default() };
        *chain = Consortium::with(parameters);
        chain.apply("first", NodeRole::Voter);
        ("node-1.kentucky", apply(chain, |_| {}).1)
    }),
    ("applications-of-sponsor-too-many", |chain| {
        let parameters = Parameters { applications_per_sponsor_max: 1, ..Parameters::default() };
        *chain = Consortium::with(parameters);
        chain.apply("first", NodeRole::Voter);
        apply(chain, |_| {})
    }),
    ("node-exists", |_| add_node("node-1", NodeRole::Observer)),
    ("node-unknown", |_| demote("node-9.harlem")),
    ("node-removed", |chain| {
        chain.done("admin@harlem", Call::RemoveNode { node: name("aggregator.harlem"), reason: REASON });
        demote("aggregator.harlem")
    }),
    ("node-role-voted", |_| add_node("node-2", NodeRole::Voter)),
    ("node-role-unchanged", |chain| {
        let (signer, call) = add_node("node-2", NodeRole::Observer);
        chain.done(signer, call);
        demote("node-2.harlem")
    }),
    ("nodes-too-many", |chain| {
        *chain = Consortium::with(Parameters { nodes_per_member_max: 2, ..Parameters::default() });
        add_node("node-2", NodeRole::Observer)
    }),
    ("member-voters-too-many", |_| {
        propose(ProposedChange::SetNodeRole { node: name("aggregator.harlem"), role: NodeRole::Voter })
    }),
    ("address-unchanged", |chain| {
        let node = chain.node("node-1.harlem");
        (SPONSOR, Call::SetNodeAddress { node: node.name, address: node.address })
    }),
    ("voter-role-missing", |_| ("aggregator.harlem", Call::StartOrdering { replaces: 0 })),
    ("raft-id-outdated", |_| (SPONSOR, Call::StartOrdering { replaces: 0 })),
    ("already-voter", |_| (SPONSOR, Call::JoinVoters { raft_id: 1 })),
    ("voters-too-many", |chain| {
        chain.admit("bellevue");
        // So many members are not admitted one by one: the state is set to say so.
        let entry = |raft_id| OrderingNode { raft_id, node: name(&format!("node-{raft_id}.many")), retired_height: 0 };
        let full: Vec<_> = (1..=limits::VOTERS_MAX as u64).map(entry).collect();
        chain.state.0.insert(keys::ordering().into_bytes(), full.encode());
        ("node-1.bellevue", Call::StartOrdering { replaces: 0 })
    }),
    ("recovery-not-ordered", |chain| {
        let call = recover(chain, |_| {});
        chain.block.recovery = false;
        call
    }),
    ("recovery-mismatch", |chain| recover(chain, |recovery| recovery.height += 1)),
    ("recovery-voters-malformed", |chain| recover(chain, |recovery| recovery.voters.reverse())),
    ("recovery-node-unfit", |chain| recover(chain, |recovery| recovery.voters[0].node = name("aggregator.harlem"))),
    ("recovery-signatures-malformed", |chain| {
        // Signed by the second one's account.
        ("admin@hennepin", recover(chain, |_| {}).1)
    }),
    ("recovery-signature", |chain| {
        let (signer, call) = recover(chain, |_| {});
        let Call::Recover { mut recovery } = call else { panic!("a recovery") };
        recovery.recovery.made = recovery.recovery.made.plus_ms(1);
        (signer, Call::Recover { recovery })
    }),
    ("recovery-unsigned", |chain| {
        let voter = Voter { node: name("node-1.kentucky"), key: chain.node("node-1.kentucky").key };
        recover(chain, |recovery| recovery.voters.insert(2, voter))
    }),
    ("recovery-lineage", |chain| recover(chain, |recovery| recovery.lineage = Hash([1; 32]))),
    ("recovery-node-key", |chain| recover(chain, |recovery| recovery.voters[1].key = public_key("stolen"))),
    ("recovery-members-missing", |chain| recover(chain, |recovery| recovery.abandoned.truncate(1))),
    ("recovery-abandons-signer", |chain| recover(chain, |recovery| recovery.abandoned.insert(0, name("harlem")))),
];

/// A full schedule is the only thing that refuses a ballot after it was counted: the proposal stays open, and the same
/// ballot can be cast once there is room.
#[test]
fn a_ballot_that_finds_the_schedule_full_can_be_cast_again() {
    let mut chain = Consortium::new();
    let case = CASES.iter().find(|(code, _)| *code == "schedule-full").unwrap().1;
    let (signer, call) = case(&mut chain);
    chain.refused("schedule-full", signer, call.clone());
    assert_eq!(query::list_scheduled(&chain.state).unwrap().len(), limits::RESETS_SCHEDULED_MAX + 1);
    let Call::Vote { proposal, .. } = call else { panic!("a ballot") };
    chain.wait_ms(Parameters::default().key_reset_delay_ms);
    chain.done("admin@harlem", Call::AddAccount(new_account("later", "harlem", &[Role::Auditor])));
    assert_eq!(query::list_scheduled(&chain.state).unwrap().len(), 1, "the parameters");
    chain.done(signer, Call::Vote { proposal, ballot: galen_types::proposal::Ballot::Approve, reason: None });
}
