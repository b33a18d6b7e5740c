//! Going on without a lost quorum.

use galen_contracts::{EventQuery, index_entries, query};
use galen_types::certificate::Voter;
use galen_types::member::{NodeRole, Role, Standing};
use galen_types::proposal::ProposedChange;
use galen_types::receipt::Operation;
use galen_types::recovery::{Recovery, RecoverySignature, SignedRecovery};
use galen_types::vocabulary::ReasonCode;
use galen_types::{Call, Hash, MemberName, NodeName, TransactionId};

use crate::support::{Consortium, encryption_key, name, new_account, new_node, public_key, secret_key};

const REASON: ReasonCode = ReasonCode::Administrative;

/// A recovery whose block comes next.
pub(crate) fn recovery(chain: &Consortium, voters: &[&str]) -> Recovery {
    Recovery {
        genesis: chain.block.genesis,
        lineage: query::get_lineage(&chain.state).unwrap(),
        height: chain.block.height,
        header: Hash::ZERO,
        made: chain.now(),
        abandoned: others(chain, voters),
        voters: voters.iter().map(|voter| Voter { node: name(voter), key: chain.node(voter).key }).collect(),
    }
}

/// The active members that none of these nodes belongs to.
fn others(chain: &Consortium, voters: &[&str]) -> Vec<MemberName> {
    let named = |member: &MemberName| voters.iter().any(|voter| name::<NodeName>(voter).member == *member);
    let members = query::list_members(&chain.state, None, 100).unwrap().into_iter();
    let active = members.filter(|member| member.standing == Standing::Active).map(|member| member.name);
    active.filter(|member| !named(member)).collect()
}

/// Signed with the keys of the accounts' names.
pub(crate) fn signed(recovery: Recovery, accounts: &[&str]) -> SignedRecovery {
    let sign = |account: &&str| RecoverySignature::sign(&recovery, name(account), &secret_key(account));
    SignedRecovery { signatures: accounts.iter().map(sign).collect(), recovery }
}

fn recover(recovery: SignedRecovery) -> Call {
    Call::Recover { recovery: Box::new(recovery) }
}

/// The remaining members go on with their voter and a promoted observer; the others' voters lose their numbers and come
/// back as learners.
#[test]
fn the_remaining_members_go_on_with_fresh_numbers() {
    let mut chain = Consortium::new();
    chain.done("admin@hennepin", Call::DemoteNode { node: name("node-1.hennepin") });
    let (before, next) = (chain.epoch(), 5);
    let mut recovery = recovery(&chain, &["node-1.harlem", "node-1.hennepin"]);
    // It has no voter and agrees.
    recovery.abandoned.retain(|member| *member != name("kentucky"));
    chain.block.recovery = true;
    let (hash, document) = (recovery.hash(), recovery.clone());
    let signed = signed(recovery, &["admin@harlem", "admin@hennepin", "admin@kentucky"]);
    let (id, recorded) = chain.recorded("admin@harlem", recover(signed));
    chain.block.recovery = false;
    assert_eq!(recorded.outcome, galen_types::Outcome::Applied);
    assert_eq!((recorded.events[0].operation, recorded.events[0].subject), (Operation::Recover, Some(hash)));
    assert_eq!(chain.voters(), ["node-1.harlem", "node-1.hennepin"]);
    assert_eq!(chain.epoch(), before + 1);
    assert_eq!(query::get_lineage(&chain.state).unwrap(), hash);
    assert_eq!(query::get_voter_set(&chain.state).unwrap(), document.voter_set(before + 1));
    assert_eq!(query::list_recoveries(&chain.state, hash, 9).unwrap(), [document]);
    let numbers = |node: &str| (chain.node(node).role, chain.node(node).raft_id);
    assert_eq!(numbers("node-1.harlem"), (NodeRole::Voter, next));
    assert_eq!(numbers("node-1.hennepin"), (NodeRole::Voter, next + 1));
    assert_eq!(numbers("node-1.kentucky"), (NodeRole::Voter, 0));
    let ordering: Vec<_> = query::list_ordering(&chain.state).unwrap().iter().map(|entry| entry.raft_id).collect();
    assert_eq!(ordering, [next, next + 1]);
    assert!(galen_contracts::group_keys_changed(recorded.writes.keys()));
    // The act is found by who did it.
    let entries = index_entries(chain.block.height, 0, &recorded.receipt(TransactionId(id)));
    let prefix = EventQuery::Operator(name("admin@harlem")).prefix();
    assert!(entries.iter().any(|key| key.starts_with(&prefix)));
    // A voter that was left out comes back the usual way; hennepin's place as its one voter is taken.
    chain.join_voters("node-1.kentucky");
    assert_eq!(chain.voters(), ["node-1.harlem", "node-1.hennepin", "node-1.kentucky"]);
    assert_eq!(chain.epoch(), before + 2);
    assert_eq!(query::get_voter_set(&chain.state).unwrap().lineage, hash);
    chain.done("admin@hennepin", Call::AddNode(new_node("node-2", "hennepin", NodeRole::Observer)));
    let change = ProposedChange::SetNodeRole { node: name("node-2.hennepin"), role: NodeRole::Voter };
    chain.refused("member-voters-too-many", "admin@harlem", Call::Propose(change));
}

/// Every signature counts: one that is not an active administrator's, under its key of now, refuses the whole.
#[test]
fn only_active_administrators_sign_with_their_keys_of_now() {
    let voters = ["node-1.harlem", "node-1.hennepin"];
    let refused = |code: &str, prepare: &dyn Fn(&mut Consortium), accounts: &[&str]| {
        let mut chain = Consortium::new();
        prepare(&mut chain);
        chain.block.recovery = true;
        let call = recover(signed(recovery(&chain, &voters), accounts));
        chain.refused(code, accounts[0], call);
    };
    let (two, nothing) = (["admin@harlem", "admin@hennepin"], |_: &mut Consortium| {});
    refused("recovery-unsigned", &nothing, &two[..1]);
    refused("not-administrator", &nothing, &["admin@harlem", "owner@hennepin"]);
    refused("account-unknown", &nothing, &["admin@harlem", "nobody@hennepin"]);
    refused("recovery-signatures-malformed", &nothing, &["admin@harlem", "admin@hennepin", "admin@harlem"]);
    let rotate = |chain: &mut Consortium| {
        let (key, encryption_key) = (public_key("later"), encryption_key("later"));
        chain.done("admin@hennepin", Call::RotateAccountKey { account: name("admin@hennepin"), key, encryption_key });
    };
    refused("recovery-signature", &rotate, &two);
    let suspend = |chain: &mut Consortium| {
        chain.done("admin@hennepin", Call::AddAccount(new_account("second", "hennepin", &[Role::Admin])));
        chain.done("second@hennepin", Call::SuspendAccount { account: name("admin@hennepin"), reason: REASON });
    };
    refused("account-not-active", &suspend, &two);
    let member = |chain: &mut Consortium| {
        chain.pass(ProposedChange::SuspendMember { member: name("hennepin"), reason: REASON });
    };
    refused("member-not-active", &member, &two);
    let node = |chain: &mut Consortium| {
        chain.done("admin@hennepin", Call::RemoveNode { node: name("node-1.hennepin"), reason: REASON });
    };
    refused("node-removed", &node, &two);
}
