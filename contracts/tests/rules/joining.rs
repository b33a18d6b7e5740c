//! Applications and admission, the managing agency, parameters and resets that come into force later.

use galen_contracts::{EventQuery, Verdict, index_entries, keys, query, signer_key};
use galen_types::application::sign_withdrawal;
use galen_types::member::{NodeRole, Role, Standing};
use galen_types::proposal::{Ballot, Effective, ProposalState, ProposedChange};
use galen_types::receipt::Operation;
use galen_types::vocabulary::ReasonCode;
use galen_types::{Call, Parameters, ProposalId, PublicKey, TransactionId};

use crate::support::{Consortium, encryption_key, name, new_account, new_node, public_key, secret_key, sign};

const REASON: ReasonCode = ReasonCode::Administrative;

fn vote(proposal: ProposalId, ballot: Ballot) -> Call {
    Call::Vote { proposal, ballot, reason: None }
}

fn counter(chain: &Consortium, key: &galen_contracts::keys::Key<u32>) -> u32 {
    let bytes = chain.state.0.get(key.as_bytes()).map_or([0; 4], |bytes| bytes.as_slice().try_into().unwrap());
    u32::from_le_bytes(bytes)
}

#[test]
fn an_institution_applies_is_admitted_and_becomes_a_voter() {
    let mut chain = Consortium::new();
    let proposal = chain.apply("bellevue", NodeRole::Voter);
    let pending = query::list_applications_open(&chain.state, chain.now()).unwrap();
    assert_eq!(pending.iter().map(|proposal| proposal.id).collect::<Vec<_>>(), [proposal]);
    assert_eq!(pending[0].proposer, name("node-1.harlem"));
    assert_eq!(query::get_member(&chain.state, &name("bellevue")).unwrap(), None);
    for member in ["harlem", "hennepin"] {
        chain.done(&format!("admin@{member}"), vote(proposal, Ballot::Approve));
    }
    let tally = query::tally(&chain.state, &query::get_proposal(&chain.state, proposal).unwrap().unwrap()).unwrap();
    assert_eq!((tally.approvals, tally.rejections, tally.needed, tally.members), (2, 0, 3, 4));
    let (id, recorded) = chain.recorded("admin@kentucky", vote(proposal, Ballot::Approve));
    let operations: Vec<_> = recorded.events.iter().map(|event| event.operation).collect();
    assert_eq!(operations, [Operation::Vote, Operation::ProposalPassed, Operation::AdmitMember]);
    assert!(recorded.events.iter().all(|event| event.member == Some(name("bellevue"))));
    // The newcomer's audit trail begins with the votes on it.
    let entries = index_entries(9, 0, &recorded.receipt(TransactionId(id)));
    let prefix = EventQuery::Member(name("bellevue")).prefix();
    assert_eq!(entries.iter().filter(|key| key.starts_with(&prefix)).count(), 3);

    assert_eq!(query::list_applications_open(&chain.state, chain.now()).unwrap(), []);
    let member = query::get_member(&chain.state, &name("bellevue")).unwrap().unwrap();
    assert_eq!((member.standing, member.admitted_height), (Standing::Active, chain.block.height));
    let node = chain.node("node-1.bellevue");
    assert_eq!((node.role, node.raft_id, node.standing), (NodeRole::Voter, 0, Standing::Active));
    assert_eq!(node.registered_height, chain.block.height);
    assert_eq!(counter(&chain, &keys::members_active()), 5);
    assert_eq!(counter(&chain, &keys::administrators_active(&name("bellevue"))), 1);
    assert_eq!(chain.epoch(), 0, "being admitted is not yet voting");
    // Its administrator and its node can sign from the next block on.
    chain.done("admin@bellevue", Call::AddAccount(new_account("owner", "bellevue", &[Role::Owner])));
    chain.publish("bellevue/opt");
    chain.join_voters("node-1.bellevue");
    assert_eq!((chain.node("node-1.bellevue").raft_id, chain.epoch()), (5, 1));
    assert!(chain.voters().contains(&"node-1.bellevue".to_owned()));
    // It votes on the next one.
    let next = chain.apply("lincoln", NodeRole::Observer);
    chain.decide(next, Ballot::Reject);
    assert_eq!(chain.proposal_state(next), ProposalState::Failed);
    assert_eq!(query::get_member(&chain.state, &name("lincoln")).unwrap(), None);
    // What failed leaves name and keys free.
    chain.admit("lincoln");
}

#[test]
fn an_application_expires_and_makes_room() {
    let parameters = Parameters { applications_open_max: 2, ..Parameters::default() };
    let lifetime_ms = parameters.proposal_lifetime_ms;
    let mut chain = Consortium::with(parameters);
    let first = chain.apply("first", NodeRole::Voter);
    chain.apply("second", NodeRole::Voter);
    let third = Box::new(sign(chain.application("third", NodeRole::Voter)));
    chain.refused("applications-open-too-many", "node-1.harlem", Call::Apply { application: third });
    chain.wait_ms(lifetime_ms);
    chain.refused("proposal-closed", "admin@harlem", vote(first, Ballot::Approve));
    assert_eq!(query::list_applications_open(&chain.state, chain.now()).unwrap(), []);
    // The same name again, by another sponsor: the next application writes down that the two failed.
    let again = Box::new(sign(chain.application("first", NodeRole::Voter)));
    let (_, recorded) = chain.recorded("node-1.kentucky", Call::Apply { application: again });
    let events: Vec<_> =
        recorded.events.iter().map(|event| (event.operation, event.member.clone().unwrap().to_string())).collect();
    let expected = [
        (Operation::ProposalFailed, "first".to_owned()),
        (Operation::ProposalFailed, "second".to_owned()),
        (Operation::Apply, "first".to_owned()),
    ];
    assert_eq!(events, expected);
    assert_eq!(chain.proposal_state(first), ProposalState::Failed);
    assert_eq!(query::list_applications_open(&chain.state, chain.now()).unwrap().len(), 1);
}

/// That the institution takes back its application, signed by its administrator's key as this test knows it.
fn withdraw(proposal: ProposalId, seed: &str) -> Call {
    Call::WithdrawApplication { proposal, signature: sign_withdrawal(proposal, &secret_key(seed)) }
}

#[test]
fn an_applicant_takes_its_application_back_and_may_apply_again() {
    let mut chain = Consortium::new();
    let proposal = chain.apply("bellevue", NodeRole::Voter);
    chain.done("admin@harlem", vote(proposal, Ballot::Approve));
    // By its own key and for this application only, whoever's node brings it.
    chain.refused("withdrawal-signature", "node-1.harlem", withdraw(proposal, "admin@harlem"));
    let other = chain.apply("lincoln", NodeRole::Voter);
    let Call::WithdrawApplication { signature, .. } = withdraw(other, "admin@bellevue") else { unreachable!() };
    chain.refused("withdrawal-signature", "node-1.harlem", Call::WithdrawApplication { proposal, signature });
    chain.refused("node-required", "admin@harlem", withdraw(proposal, "admin@bellevue"));
    let parameters = Parameters { requests_open_max: 7, ..Parameters::default() };
    let change = chain.set_parameters(parameters, 0);
    let change = ProposalId(chain.done("admin@harlem", Call::Propose(change)));
    chain.refused("not-application", "node-1.harlem", withdraw(change, "admin@harlem"));

    let (_, recorded) = chain.recorded("node-1.kentucky", withdraw(proposal, "admin@bellevue"));
    let events: Vec<_> = recorded.events.iter().map(|event| (event.operation, event.member.clone())).collect();
    assert_eq!(events, [(Operation::WithdrawApplication, Some(name("bellevue")))]);
    assert_eq!(chain.proposal_state(proposal), ProposalState::Withdrawn);
    let open = query::list_applications_open(&chain.state, chain.now()).unwrap();
    assert_eq!(open.iter().map(|proposal| proposal.id).collect::<Vec<_>>(), [other]);
    chain.refused("proposal-closed", "admin@hennepin", vote(proposal, Ballot::Approve));
    chain.refused("proposal-closed", "node-1.harlem", withdraw(proposal, "admin@bellevue"));
    // Name and keys are free, and it can be admitted yet; then it is too late.
    let again = chain.apply("bellevue", NodeRole::Voter);
    chain.decide(again, Ballot::Approve);
    assert!(query::get_member(&chain.state, &name("bellevue")).unwrap().is_some());
    chain.refused("proposal-closed", "node-1.harlem", withdraw(again, "admin@bellevue"));
}

#[test]
fn only_nodes_bring_applications_and_a_key_taken_meanwhile_fails_them() {
    let mut chain = Consortium::new();
    let application = || Box::new(sign(chain.application("bellevue", NodeRole::Voter)));
    let (first, second) = (application(), application());
    chain.refused("node-required", "admin@harlem", Call::Apply { application: first });
    let mut taken = second.application.clone();
    taken.administrator.key = public_key("admin@kentucky");
    let taken =
        taken.sign(&crate::support::secret_key("admin@kentucky"), &crate::support::secret_key("node-1.bellevue"));
    chain.refused("key-in-use", "node-1.harlem", Call::Apply { application: Box::new(taken) });
    let mut same = second.application.clone();
    same.node.key = public_key("admin@bellevue");
    let both = crate::support::secret_key("admin@bellevue");
    chain.refused("key-in-use", "node-1.harlem", Call::Apply { application: Box::new(same.sign(&both, &both)) });
    let proposal = ProposalId(chain.done("node-1.harlem", Call::Apply { application: second }));
    // Whoever reads the application cannot make it fail by taking a key of it, in any way that gives keys away.
    for key in ["admin@bellevue", "node-1.bellevue"].map(public_key) {
        for (signer, call) in takings(key) {
            chain.refused("key-reserved", signer, call);
        }
    }
    chain.decide(proposal, Ballot::Approve);
    assert_eq!(chain.proposal_state(proposal), ProposalState::Passed);
    for key in ["admin@bellevue", "node-1.bellevue"].map(public_key) {
        for (signer, call) in takings(key) {
            chain.refused("key-in-use", signer, call);
        }
    }
    let reserved = chain.state.0.keys().filter(|key| key[0] == 0x18).count();
    assert_eq!(reserved, 0, "what is decided keeps nothing");
}

/// Every call that would give a key to somebody.
fn takings(key: PublicKey) -> Vec<(&'static str, Call)> {
    let encryption_key = encryption_key("thief");
    let mut account = new_account("thief", "harlem", &[Role::Owner]);
    account.key = key;
    let mut node = new_node("thief", "harlem", NodeRole::Observer);
    node.key = key;
    let reset = ProposedChange::ResetAdministrator { account: name("admin@hennepin"), key, encryption_key };
    vec![
        ("admin@harlem", Call::AddAccount(account)),
        ("owner@harlem", Call::RotateAccountKey { account: name("owner@harlem"), key, encryption_key }),
        ("admin@harlem", Call::AddNode(node)),
        ("admin@harlem", Call::RotateNodeKey { node: name("node-1.harlem"), key }),
        ("admin@harlem", Call::Propose(reset)),
    ]
}

/// A key is kept for a proposal no longer than that can still take effect.
#[test]
fn what_is_over_lets_go_of_its_keys() {
    let (key, encryption_key) = (public_key("found"), encryption_key("found"));
    let reset = || ProposedChange::ResetAdministrator { account: name("admin@kentucky"), key, encryption_key };
    let mut chain = Consortium::new();
    let rejected = ProposalId(chain.done("admin@harlem", Call::Propose(reset())));
    chain.refused("key-reserved", "admin@hennepin", Call::Propose(reset()));
    chain.decide(rejected, Ballot::Reject);
    // Expired: whether or not a call has written that down.
    let expired = ProposalId(chain.done("admin@harlem", Call::Propose(reset())));
    chain.wait_ms(Parameters::default().proposal_lifetime_ms + 1);
    let objected = chain.pass(reset());
    assert_eq!(chain.proposal_state(objected), ProposalState::Scheduled);
    for (signer, call) in takings(key) {
        chain.refused("key-reserved", signer, call);
    }
    // Writing down that the former one expired does not touch what is another's by now.
    let other = ProposedChange::RemoveMember { member: name("mississippi"), reason: REASON };
    chain.done("admin@harlem", Call::Propose(other));
    assert_eq!(chain.proposal_state(expired), ProposalState::Failed);
    chain.refused("key-reserved", "admin@harlem", Call::Propose(reset()));
    chain.done("admin@kentucky", Call::ObjectToReset { proposal: objected });
    let (signer, call) = takings(key).remove(0);
    chain.done(signer, call);
}

/// Three of four must approve; two have, one has not, and the fourth is suspended: two of three are enough, but nobody's
/// first ballot is left to say so.
#[test]
fn the_same_ballot_again_decides_once_members_have_gone() {
    let mut chain = Consortium::new();
    let parameters = Parameters { requests_open_max: 7, ..Parameters::default() };
    let proposal = ProposalId(chain.done("admin@harlem", Call::Propose(chain.set_parameters(parameters, 0))));
    chain.done("admin@harlem", vote(proposal, Ballot::Approve));
    chain.done("admin@hennepin", vote(proposal, Ballot::Approve));
    chain.done("admin@kentucky", vote(proposal, Ballot::Reject));
    chain.refused("already-voted", "admin@harlem", vote(proposal, Ballot::Approve));
    let suspend = ProposedChange::SuspendMember { member: name("mississippi"), reason: REASON };
    chain.pass(suspend);
    assert_eq!(chain.proposal_state(proposal), ProposalState::Open);
    chain.refused("already-voted", "admin@harlem", vote(proposal, Ballot::Reject));
    chain.done("admin@kentucky", vote(proposal, Ballot::Reject));
    assert_eq!(chain.proposal_state(proposal), ProposalState::Passed, "whoever asks for the count, it is the same");
    let record = query::get_proposal(&chain.state, proposal).unwrap().unwrap();
    assert_eq!(record.ballots.len(), 3, "a ballot counts once");
}

/// What was voted on once is not undone by a vote that did not know it, and what waits can be taken back.
#[test]
fn a_later_change_of_parameters_takes_the_place_of_one_that_waits() {
    let mut chain = Consortium::new();
    let parameters = |most| Parameters { requests_open_max: most, ..Parameters::default() };
    let at = |chain: &Consortium| chain.block.height + 100;
    let failed = |chain: &Consortium, proposal: ProposalId| {
        assert_eq!(chain.proposal_state(proposal), ProposalState::Failed);
    };
    let first = chain.pass(chain.set_parameters(parameters(7), at(&chain)));
    let before = chain.set_parameters(parameters(9), 0);
    let open = ProposalId(chain.done("admin@harlem", Call::Propose(before)));
    // Another that waits.
    let second = chain.pass(chain.set_parameters(parameters(8), at(&chain)));
    failed(&chain, first);
    // Those in force, to take it back. It says so in the audit trail.
    let keep = ProposalId(chain.done("admin@harlem", Call::Propose(chain.set_parameters(Parameters::default(), 0))));
    chain.done("admin@harlem", vote(keep, Ballot::Approve));
    chain.done("admin@hennepin", vote(keep, Ballot::Approve));
    let (_, recorded) = chain.recorded("admin@kentucky", vote(keep, Ballot::Approve));
    let taken_back = recorded.events.iter().find(|event| event.subject == Some(second.0)).unwrap();
    assert_eq!(taken_back.operation, Operation::ProposalFailed);
    assert_eq!(taken_back.rule, Some(name("parameters-changed")));
    failed(&chain, second);
    assert_eq!(query::list_scheduled(&chain.state).unwrap(), []);
    // Nothing waits any more, so to keep those in force is no change.
    chain.refused(
        "parameters-unchanged",
        "admin@harlem",
        Call::Propose(chain.set_parameters(Parameters::default(), 0)),
    );
    // One at once.
    let third = chain.pass(chain.set_parameters(parameters(8), at(&chain)));
    let now = Parameters { nodes_per_member_max: 9, ..Parameters::default() };
    chain.pass(chain.set_parameters(now.clone(), 0));
    failed(&chain, third);
    assert_eq!(query::get_parameters(&chain.state).unwrap(), now);
    // One that was proposed before it goes by parameters that are not in force any more: at once, and for later.
    chain.decide(open, Ballot::Approve);
    failed(&chain, open);
    assert_eq!(query::get_parameters(&chain.state).unwrap(), now);
}

/// What comes into force at the start of a block is in the audit trail, with the rule where it failed.
#[test]
fn what_comes_into_force_later_leaves_an_event() {
    let mut chain = Consortium::new();
    let (key, encryption_key) = (public_key("found"), encryption_key("found"));
    let reset = |member: &str, key| ProposedChange::ResetAdministrator {
        account: name(&format!("admin@{member}")),
        key,
        encryption_key,
    };
    let done = chain.pass(reset("kentucky", key));
    let failed = chain.pass(reset("mississippi", public_key("late")));
    chain.done("admin@mississippi", Call::Leave { reason: REASON });
    let parameters = Parameters { requests_open_max: 7, ..Parameters::default() };
    let changed = chain.pass(chain.set_parameters(parameters, chain.block.height + 20));
    assert_eq!(chain.begun, []);
    chain.block.height += 20;
    chain.wait_ms(Parameters::default().key_reset_delay_ms);
    let transaction =
        chain.transaction("admin@kentucky", Call::AddAccount(new_account("b", "kentucky", &[Role::Owner])));
    let told: Vec<_> = chain.begun.iter().map(|event| (event.operation, event.subject, event.rule.clone())).collect();
    assert_eq!(
        told,
        [
            (Operation::ResetAdministrator, Some(done.0), None),
            (Operation::ProposalFailed, Some(failed.0), Some(name("member-left"))),
            (Operation::SetParameters, Some(changed.0), None),
        ]
    );
    assert_eq!(chain.begun[0].account, Some(name("admin@kentucky")));
    assert!(chain.begun.iter().all(|event| event.operator == name("admin@hennepin")), "who proposed it");
    // The block's first transaction carries them.
    let Verdict::Recorded(recorded) = chain.run(&transaction) else { panic!("void") };
    let receipt = recorded.after(chain.begun.clone()).receipt(transaction.id);
    assert_eq!(receipt.events[..3], chain.begun[..]);
    assert_eq!(receipt.events[3].operation, Operation::AddAccount);
    let prefix = EventQuery::Operation(Operation::ResetAdministrator).prefix();
    assert_eq!(index_entries(9, 0, &receipt).iter().filter(|entry| entry.starts_with(&prefix)).count(), 1);
}

#[test]
fn a_managing_agency_decides_alone_and_stays() {
    let parameters = Parameters { managing_agency: Some(name("harlem")), ..Parameters::default() };
    let mut chain = Consortium::with(parameters.clone());
    let proposal = chain.apply("bellevue", NodeRole::Observer);
    for member in ["hennepin", "kentucky", "mississippi"] {
        chain.done(&format!("admin@{member}"), vote(proposal, Ballot::Reject));
    }
    assert_eq!(chain.proposal_state(proposal), ProposalState::Open);
    chain.done("admin@harlem", vote(proposal, Ballot::Approve));
    assert_eq!(chain.proposal_state(proposal), ProposalState::Passed);
    let (member, reason) = (name("harlem"), REASON);
    chain.refused("managing-agency", "admin@hennepin", Call::Propose(ProposedChange::SuspendMember { member, reason }));
    let member = name("harlem");
    chain.refused("managing-agency", "admin@hennepin", Call::Propose(ProposedChange::RemoveMember { member, reason }));
    // A reset of its own administrator's key is the members' to decide, for it could not.
    let (key, encryption_key) = (public_key("found"), encryption_key("found"));
    let reset = ProposedChange::ResetAdministrator { account: name("admin@harlem"), key, encryption_key };
    let proposal = ProposalId(chain.done("admin@hennepin", Call::Propose(reset)));
    for member in ["hennepin", "kentucky", "mississippi"] {
        chain.done(&format!("admin@{member}"), vote(proposal, Ballot::Approve));
    }
    assert_eq!(chain.proposal_state(proposal), ProposalState::Scheduled);
    // It hands over, and may go; its successor may not.
    let parameters = Parameters { managing_agency: Some(name("hennepin")), ..parameters };
    let change = chain.set_parameters(parameters, 0);
    let proposal = ProposalId(chain.done("admin@kentucky", Call::Propose(change)));
    chain.done("admin@harlem", vote(proposal, Ballot::Approve));
    chain.done("admin@harlem", Call::Leave { reason });
    chain.refused("managing-agency", "admin@hennepin", Call::Leave { reason });
}

#[test]
fn parameters_hold_from_their_height_on() {
    let mut chain = Consortium::new();
    let effective_height = chain.block.height + 20;
    let parameters = Parameters { requests_open_max: 7, ..Parameters::default() };
    let change = chain.set_parameters(parameters.clone(), effective_height);
    let proposal = chain.pass(change);
    assert_eq!(chain.proposal_state(proposal), ProposalState::Scheduled);
    let scheduled = query::list_scheduled(&chain.state).unwrap();
    assert_eq!(scheduled[0].effective, Some(Effective::Height(effective_height)));
    while chain.block.height < effective_height - 1 {
        chain.next_block();
        assert_eq!(query::get_parameters(&chain.state).unwrap(), Parameters::default());
    }
    chain.next_block();
    assert_eq!(query::get_parameters(&chain.state).unwrap(), parameters);
    assert_eq!(chain.proposal_state(proposal), ProposalState::Passed);
    assert_eq!(query::list_scheduled(&chain.state).unwrap(), []);
    // A height that is over means at once; a change that cannot be done when it is due has failed.
    let change = |chain: &Consortium, agency: &str, effective_height| {
        let parameters = Parameters { managing_agency: Some(name(agency)), ..Parameters::default() };
        chain.set_parameters(parameters, effective_height)
    };
    let effective_height = chain.block.height + 10;
    let proposal = chain.pass(change(&chain, "mississippi", effective_height));
    chain.done("admin@mississippi", Call::Leave { reason: REASON });
    while chain.block.height < effective_height {
        chain.next_block();
    }
    assert_eq!(chain.proposal_state(proposal), ProposalState::Failed);
    assert_eq!(query::get_parameters(&chain.state).unwrap(), parameters);
    let height = chain.block.height;
    let proposal = chain.pass(change(&chain, "harlem", height));
    assert_eq!(chain.proposal_state(proposal), ProposalState::Passed);
}

/// The lifecycle of a reset, row by row.
#[test]
fn a_lost_administrators_key_is_reset_after_a_delay_unless_its_member_objects() {
    let delay_ms = Parameters::default().key_reset_delay_ms;
    let (key, encryption_key) = (public_key("found"), encryption_key("found"));
    let reset = || ProposedChange::ResetAdministrator { account: name("admin@kentucky"), key, encryption_key };
    let scheduled = || {
        let mut chain = Consortium::new();
        let proposal = ProposalId(chain.done("admin@harlem", Call::Propose(reset())));
        for member in ["harlem", "hennepin", "mississippi"] {
            assert_eq!(chain.proposal_state(proposal), ProposalState::Open);
            chain.done(&format!("admin@{member}"), vote(proposal, Ballot::Approve));
        }
        assert_eq!(chain.proposal_state(proposal), ProposalState::Scheduled);
        let due = chain.now().plus_ms(delay_ms);
        let record = query::get_proposal(&chain.state, proposal).unwrap().unwrap();
        assert_eq!(record.effective, Some(Effective::Time(due)));
        (chain, proposal, due)
    };
    let signing = |chain: &Consortium| signer_key(&chain.state, &name("admin@kentucky")).unwrap().unwrap();

    let (mut chain, proposal, due) = scheduled();
    chain.block.time = galen_types::Timestamp(due.0 - 1_001);
    chain.next_block();
    assert_eq!(signing(&chain), public_key("admin@kentucky"));
    chain.next_block();
    assert_eq!((chain.proposal_state(proposal), signing(&chain)), (ProposalState::Passed, key));
    assert_eq!(counter(&chain, &keys::administrators_active(&name("kentucky"))), 1);
    chain.refused("reset-not-scheduled", "admin@kentucky", Call::ObjectToReset { proposal });
    // The lost key is never used again.
    let mut thief = new_account("thief", "kentucky", &[Role::Owner]);
    thief.key = public_key("admin@kentucky");
    chain.refused("key-in-use", "admin@kentucky", Call::AddAccount(thief));

    // The administrator was suspended and lost its role meanwhile: it is one again.
    let (mut chain, proposal, due) = scheduled();
    chain.done("admin@kentucky", Call::AddAccount(new_account("second", "kentucky", &[Role::Admin])));
    let roles = vec![Role::Owner];
    chain.done("second@kentucky", Call::SetAccountRoles { account: name("admin@kentucky"), roles });
    chain.done("second@kentucky", Call::SuspendAccount { account: name("admin@kentucky"), reason: REASON });
    chain.block.time = due;
    chain.next_block();
    assert_eq!(chain.proposal_state(proposal), ProposalState::Passed);
    let account = query::get_account(&chain.state, &name("admin@kentucky")).unwrap().unwrap();
    assert_eq!((account.standing, account.roles), (Standing::Active, vec![Role::Admin, Role::Owner]));
    assert_eq!(counter(&chain, &keys::administrators_active(&name("kentucky"))), 2);

    let (mut chain, proposal, due) = scheduled();
    chain.refused("not-your-member", "admin@harlem", Call::ObjectToReset { proposal });
    chain.refused("role-missing", "owner@kentucky", Call::ObjectToReset { proposal });
    chain.done("admin@kentucky", Call::ObjectToReset { proposal });
    chain.block.time = due;
    chain.next_block();
    assert_eq!(
        (chain.proposal_state(proposal), signing(&chain)),
        (ProposalState::Objected, public_key("admin@kentucky"))
    );

    let (mut chain, proposal, due) = scheduled();
    chain.done("admin@kentucky", Call::Leave { reason: REASON });
    chain.block.time = due;
    chain.next_block();
    assert_eq!(chain.proposal_state(proposal), ProposalState::Failed);
    let account = query::get_account(&chain.state, &name("admin@kentucky")).unwrap().unwrap();
    assert_eq!(account.key, public_key("admin@kentucky"));
}

#[test]
fn a_key_stops_working_in_the_next_block_and_is_never_used_again() {
    let mut chain = Consortium::new();
    let (key, encryption_key) = (public_key("later"), encryption_key("later"));
    let account = || name("owner@harlem");
    chain.done("owner@harlem", Call::RotateAccountKey { account: account(), key, encryption_key });
    assert_eq!(signer_key(&chain.state, &name("owner@harlem")).unwrap(), Some(key));
    chain.done("admin@harlem", Call::RotateNodeKey { node: name("aggregator.harlem"), key: public_key("machine") });
    chain.done("admin@harlem", Call::SuspendAccount { account: name("researcher@harlem"), reason: REASON });
    chain.done("admin@harlem", Call::RemoveNode { node: name("aggregator.harlem"), reason: REASON });
    assert_eq!(signer_key(&chain.state, &name("researcher@harlem")).unwrap(), None);
    assert_eq!(signer_key(&chain.state, &name("aggregator.harlem")).unwrap(), None);
    for used in ["owner@harlem", "later", "aggregator.harlem", "machine", "researcher@harlem"] {
        let (key, mut new) = (public_key(used), new_account("new", "kentucky", &[Role::Owner]));
        new.key = key;
        chain.refused("key-in-use", "admin@kentucky", Call::AddAccount(new));
        let account = name("admin@kentucky");
        chain.refused("key-in-use", "admin@kentucky", Call::RotateAccountKey { account, key, encryption_key });
        let mut node = new_node("new", "kentucky", NodeRole::Observer);
        node.key = key;
        chain.refused("key-in-use", "admin@kentucky", Call::AddNode(node));
        let node = name("node-1.kentucky");
        chain.refused("key-in-use", "admin@kentucky", Call::RotateNodeKey { node, key });
        let account = name("admin@hennepin");
        let change = ProposedChange::ResetAdministrator { account, key, encryption_key };
        chain.refused("key-in-use", "admin@kentucky", Call::Propose(change));
    }
}
