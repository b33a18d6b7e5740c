//! What is never recorded, and the ids that say what was.

use galen_contracts::{Verdict, VoidReason, prune_live_ids, query, signer_key, void_reason};
use galen_types::member::Role;
use galen_types::proposal::{Ballot, ProposedChange};
use galen_types::vocabulary::ReasonCode;
use galen_types::{Call, Hash, Parameters, ProposalId};

use crate::support::{Consortium, content, decoded, name, new_account, public_key};

fn publish(dataset: &str) -> Call {
    Call::PublishDataset { dataset: name(dataset), content: content(dataset), discoverable: false }
}

/// Executes an altered transaction and gives the reason why it is void.
fn void_of(chain: &mut Consortium, alter: impl FnOnce(&mut galen_types::TransactionBody)) -> VoidReason {
    let mut body = chain.transaction("owner@harlem", publish("opt")).body;
    alter(&mut body);
    let before = chain.state.clone();
    let transaction = decoded(body);
    let early = void_reason(&chain.state, &chain.block, &transaction).unwrap();
    match chain.run(&transaction) {
        Verdict::Void(reason) => {
            assert_eq!(early, Some(reason.clone()));
            assert_eq!(chain.state, before);
            reason
        }
        Verdict::Recorded(recorded) => panic!("recorded: {:?}", recorded.outcome),
    }
}

#[test]
fn what_nobody_is_bound_by_is_void() {
    let mut chain = Consortium::new();
    let reason = void_of(&mut chain, |body| body.chain = Hash::ZERO);
    assert_eq!(reason, VoidReason::WrongChain);
    let time = chain.now();
    let reason = void_of(&mut chain, |body| body.valid_until = time);
    assert!(matches!(reason, VoidReason::Expired { .. }));
    let reason = void_of(&mut chain, |body| body.valid_until = body.valid_until.plus_ms(600_000));
    assert_eq!(reason, VoidReason::HorizonExceeded { horizon_ms: 600_000 });
    for stranger in ["nobody@harlem", "owner@nowhere", "node-9.harlem", "node-1.nowhere"] {
        let reason = void_of(&mut chain, |body| body.signer = name(stranger));
        assert_eq!(reason, VoidReason::UnknownSigner(name(stranger)));
        assert_eq!(signer_key(&chain.state, &name(stranger)).unwrap(), None);
    }
    let codes = [reason.code(), VoidReason::Duplicate.code()];
    assert!(codes.iter().all(|code| code.starts_with("transaction-")));
}

#[test]
fn a_transaction_is_valid_at_its_last_time_and_at_the_horizon() {
    let mut chain = Consortium::new();
    for (dataset, ahead_ms) in [("now", 0), ("horizon", 600_000)] {
        let mut body = chain.transaction("owner@harlem", publish(dataset)).body;
        body.valid_until = chain.now().plus_ms(ahead_ms);
        assert!(matches!(chain.run(&decoded(body)), Verdict::Recorded(_)));
    }
}

#[test]
fn a_replay_is_void_for_done_and_refused_calls_until_it_expires() {
    let mut chain = Consortium::new();
    for _ in ["done", "refused: it exists"] {
        let transaction = chain.transaction("owner@harlem", publish("opt"));
        assert!(matches!(chain.run(&transaction), Verdict::Recorded(_)));
        chain.wait_ms(59_000);
        // Pruning keeps what could still be sent.
        assert!(
            prune_live_ids(&chain.state, &chain.block, None, 100)
                .unwrap()
                .deletions
                .keys()
                .all(|key| !key.ends_with(&transaction.id.0.0))
        );
        assert_eq!(chain.run(&transaction), Verdict::Void(VoidReason::Duplicate));
        chain.wait_ms(1_001);
        let deletions = prune_live_ids(&chain.state, &chain.block, None, 100).unwrap().deletions;
        assert_eq!(deletions.len(), 1);
        chain.state.apply(deletions);
        assert!(matches!(chain.run(&transaction), Verdict::Void(VoidReason::Expired { .. })));
    }
}

#[test]
fn pruning_is_bounded_and_takes_the_oldest_first() {
    let mut chain = Consortium::new();
    let first = chain.transaction("owner@harlem", publish("a"));
    chain.run(&first);
    for dataset in ["b", "c"] {
        chain.done("owner@harlem", publish(dataset));
    }
    chain.wait_ms(120_000);
    let deletions = prune_live_ids(&chain.state, &chain.block, None, 1).unwrap().deletions;
    assert_eq!(deletions.len(), 1);
    assert!(deletions.iter().all(|(key, value)| key.ends_with(&first.id.0.0) && value.is_none()));
    assert_eq!(prune_live_ids(&chain.state, &chain.block, None, 9).unwrap().deletions.len(), 3);
}

#[test]
fn suspended_accounts_and_members_have_no_signature() {
    let mut chain = Consortium::new();
    assert_eq!(signer_key(&chain.state, &name("owner@harlem")).unwrap(), Some(public_key("owner@harlem")));
    assert_eq!(signer_key(&chain.state, &name("node-1.harlem")).unwrap(), Some(public_key("node-1.harlem")));
    let suspend = Call::SuspendAccount { account: name("owner@harlem"), reason: ReasonCode::KeyCompromised };
    chain.done("admin@harlem", suspend);
    assert_eq!(signer_key(&chain.state, &name("owner@harlem")).unwrap(), None);
    let (_, verdict) = chain.call("owner@harlem", publish("opt"));
    assert_eq!(verdict, Verdict::Void(VoidReason::SuspendedSigner(name("owner@harlem"))));

    let change = ProposedChange::SuspendMember { member: name("harlem"), reason: ReasonCode::TermsBroken };
    let proposal = ProposalId(chain.done("admin@hennepin", Call::Propose(change)));
    for member in ["hennepin", "kentucky", "mississippi"] {
        chain.done(&format!("admin@{member}"), Call::Vote { proposal, ballot: Ballot::Approve, reason: None });
    }
    for signer in ["admin@harlem", "node-1.harlem"] {
        assert_eq!(signer_key(&chain.state, &name(signer)).unwrap(), None);
        let (_, verdict) = chain.call(signer, publish("opt"));
        assert_eq!(verdict, Verdict::Void(VoidReason::SuspendedMember(name("harlem"))));
    }
}

#[test]
fn refused_calls_are_recorded_up_to_the_quota_of_a_minute() {
    let mut chain = Consortium::with(Parameters { refusals_per_minute_max: 2, ..Parameters::default() });
    // Start at the beginning of a minute.
    chain.wait_ms(60_000 - chain.now().0 % 60_000);
    let refused = || Call::AddAccount(new_account("owner", "harlem", &[Role::Owner]));
    for _ in 0..2 {
        chain.refused("account-exists", "admin@harlem", refused());
    }
    let before = chain.state.clone();
    let (_, verdict) = chain.call("admin@harlem", refused());
    assert!(matches!(verdict, Verdict::Void(VoidReason::RefusalQuotaExhausted { limit: 2, .. })));
    assert_eq!(chain.state, before);
    // Others, and calls that are done, are not concerned; the next minute starts anew.
    chain.refused("role-missing", "owner@harlem", refused());
    chain.done("admin@harlem", Call::AddAccount(new_account("second", "harlem", &[Role::Owner])));
    chain.wait_ms(60_000);
    chain.refused("account-exists", "admin@harlem", refused());
}

#[test]
fn rules_of_a_later_version_stop_the_node() {
    let mut chain = Consortium::new();
    let transaction = chain.transaction("owner@harlem", publish("opt"));
    chain.block.rules_version = 2;
    assert!(galen_contracts::execute(&chain.state, &chain.block, &transaction).is_err());
}

#[test]
fn a_damaged_record_stops_the_node() {
    let mut chain = Consortium::new();
    let transaction = chain.transaction("owner@harlem", publish("opt"));
    let key = galen_contracts::keys::account(&name("owner@harlem")).into_bytes();
    chain.state.0.get_mut(&key).unwrap().push(0);
    assert!(galen_contracts::execute(&chain.state, &chain.block, &transaction).is_err());
    assert!(query::get_account(&chain.state, &name("owner@harlem")).is_err());
}
