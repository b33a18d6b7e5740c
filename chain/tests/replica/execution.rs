//! The executor alone: replays, void transactions, limits, restarts.

use galen_chain::executor::Executed;
use galen_chain::{Executor, LedgerState, Void};
use galen_contracts::{BlockContext, VoidReason};
use galen_types::member::Role;
use galen_types::proposal::{Ballot, ProposedChange};
use galen_types::{Call, DecodedTransaction, Outcome, Parameters, ProposalId, Timestamp, TransactionId};

use super::support::{Clients, FOUNDED, batch, executor, folder, genesis, genesis_with, ids, key, open_ledger};

fn recorded(executed: &Executed) -> Vec<TransactionId> {
    let receipts = executed.block.iter().flat_map(|block| block.receipts.iter());
    receipts.map(|receipt| receipt.transaction).collect()
}

#[test]
fn a_replay_gives_no_second_record_and_the_void_are_never_recorded() {
    let (genesis, folder) = (genesis(1), folder());
    let mut clients = Clients::new(&genesis);
    let ledger = open_ledger(folder.path(), &genesis);
    let mut replica = executor(ledger, &genesis, "node-1.harlem", true);
    let soon = FOUNDED.plus_ms(60_000);
    let (first, second) = (clients.next("harlem", soon), clients.next("harlem", soon));

    let executed = replica.execute(&batch(1, FOUNDED, &[&first, &second, &first])).unwrap();
    assert_eq!(recorded(&executed), ids(&[&first, &second]), "twice in a batch is once in the block");
    assert_eq!(replica.tip().time, FOUNDED.plus_ms(1), "a block is later than its parent");

    let call = first.body.call.clone();
    let forged = clients.sign_with(&key("someone else"), "admin@harlem", soon, call.clone());
    let unknown = clients.sign_with(&key("nobody"), "nobody@harlem", soon, call.clone());
    let over = clients.next("harlem", FOUNDED.plus_ms(5));
    let third = clients.next("harlem", soon);
    let executed = replica.execute(&batch(2, FOUNDED.plus_ms(6), &[&first, &forged, &unknown, &over, &third])).unwrap();
    assert_eq!(recorded(&executed), ids(&[&third]));
    let codes: Vec<_> = executed.void.iter().map(|(id, void)| (*id, void.code())).collect();
    let expected = [
        (first.id, "transaction-duplicate"),
        (forged.id, "transaction-bad-signature"),
        (unknown.id, "transaction-bad-signature"),
        (over.id, "transaction-expired"),
    ];
    let sorted = |mut list: Vec<(TransactionId, &'static str)>| {
        list.sort();
        list
    };
    assert_eq!(sorted(codes), sorted(expected.to_vec()));

    let executed = replica.execute(&batch(3, FOUNDED.plus_ms(7), &[&first, &third])).unwrap();
    assert!(executed.block.is_none() && executed.applied_index == 3, "nothing to record, no block");
    let mut garbage = batch(4, FOUNDED, &[]);
    garbage.bytes = bytes::Bytes::from_static(b"no batch");
    assert!(replica.execute(&garbage).unwrap().block.is_none());
    assert_eq!((replica.tip().height, replica.ledger().applied().unwrap().index), (2, 4));

    // After a restart too, and what is executed is passed over.
    let tip = replica.tip();
    drop(replica);
    let mut replica = executor(open_ledger(folder.path(), &genesis), &genesis, "node-1.harlem", true);
    assert_eq!(replica.tip(), tip);
    assert!(replica.execute(&batch(2, FOUNDED, &[&third])).unwrap().block.is_none());
    let executed = replica.execute(&batch(5, FOUNDED.plus_ms(8), &[&second])).unwrap();
    assert!(matches!(executed.void[..], [(_, Void::Rule(VoidReason::Duplicate))]));
    let view = replica.ledger().view().unwrap();
    assert_eq!(view.location(&forged.id).unwrap(), None);
}

#[test]
fn live_ids_are_dropped_once_they_have_expired() {
    let (genesis, folder) = (genesis(1), folder());
    let mut clients = Clients::new(&genesis);
    let mut replica = executor(open_ledger(folder.path(), &genesis), &genesis, "node-1.harlem", false);
    let live = |replica: &Executor| {
        // Those that a block in the far future would drop.
        let genesis = *replica.genesis_hash();
        let block =
            BlockContext { genesis, height: 1, time: Timestamp(u64::MAX), rules_version: 1, epoch: 0, recovery: false };
        galen_contracts::prune_live_ids(&LedgerState(replica.ledger().view().unwrap()), &block, None, 1_000)
            .unwrap()
            .deletions
            .len()
    };
    let early: Vec<_> = (0..10).map(|_| clients.next("harlem", FOUNDED.plus_ms(100))).collect();
    replica.execute(&batch(1, FOUNDED, &early.iter().collect::<Vec<_>>())).unwrap();
    assert_eq!(live(&replica), 10);
    let late = clients.next("harlem", FOUNDED.plus_ms(60_000));
    replica.execute(&batch(2, FOUNDED.plus_ms(101), &[&late])).unwrap();
    assert_eq!(live(&replica), 1);
}

fn limited() -> Parameters {
    Parameters { transaction_bytes_max: 4 << 10, block_transactions_max: 2, ..Parameters::default() }
}

/// A transaction of many bytes, which a rule refuses.
fn large(clients: &mut Clients, bytes: usize) -> DecodedTransaction {
    let account = "admin@harlem".parse().unwrap();
    let call = Call::SetAccountRoles { account, roles: vec![Role::Owner; bytes] };
    clients.sign_with(&key("admin@harlem"), "admin@harlem", FOUNDED.plus_ms(60_000), call)
}

#[test]
fn what_is_above_a_blocks_limits_waits_and_what_is_above_the_chains_is_void() {
    let (genesis, folder) = (genesis_with(1, limited()), folder());
    let mut clients = Clients::new(&genesis);
    let mut replica = executor(open_ledger(folder.path(), &genesis), &genesis, "node-1.harlem", true);
    let all: Vec<_> = (0..4).map(|_| clients.next("harlem", FOUNDED.plus_ms(60_000))).collect();
    let oversize = large(&mut clients, 5_000);
    let executed = replica.execute(&batch(1, FOUNDED, &[&oversize, &all[0], &all[1], &all[2], &all[3]])).unwrap();
    assert_eq!(recorded(&executed), ids(&[&all[0], &all[1]]));
    assert!(matches!(&executed.void[..], [(id, Void::Oversize { .. })] if *id == oversize.id), "{:?}", executed.void);
    let executed = replica.execute(&batch(2, FOUNDED, &[&all[2], &all[3]])).unwrap();
    assert_eq!(recorded(&executed), ids(&[&all[2], &all[3]]), "neither recorded nor void before");
}

#[test]
fn new_parameters_hold_from_the_next_block() {
    let (genesis, folder) = (genesis_with(1, limited()), folder());
    let mut clients = Clients::new(&genesis);
    let mut replica = executor(open_ledger(folder.path(), &genesis), &genesis, "node-1.harlem", true);
    let admin = key("admin@harlem");
    let until = FOUNDED.plus_ms(60_000);
    let parameters = Parameters { block_transactions_max: 3, ..limited() };
    let change = Call::Propose(ProposedChange::SetParameters {
        parameters: parameters.clone(),
        based_on: limited().hash(),
        effective_height: 0,
    });
    let propose = clients.sign_with(&admin, "admin@harlem", until, change);
    let vote = Call::Vote { proposal: ProposalId(propose.id.0), ballot: Ballot::Approve, reason: None };
    let vote = clients.sign_with(&admin, "admin@harlem", until, vote);
    let executed = replica.execute(&batch(1, FOUNDED, &[&propose, &vote])).unwrap();
    let block = executed.block.unwrap();
    assert!(block.receipts.iter().all(|receipt| receipt.outcome == Outcome::Applied), "{:?}", block.receipts);
    assert_eq!(replica.parameters(), &parameters);
    let all: Vec<_> = (0..4).map(|_| clients.next("harlem", until)).collect();
    let executed = replica.execute(&batch(2, FOUNDED, &all.iter().collect::<Vec<_>>())).unwrap();
    assert_eq!(recorded(&executed).len(), 3);
}

/// On an idle chain a reset comes due in no block. The first transaction by the new key makes that block, is judged after
/// what came into force at its start, and carries the event.
#[test]
fn the_first_to_sign_after_a_reset_is_its_owner() {
    let parameters = Parameters { key_reset_delay_ms: 10_000, ..Parameters::default() };
    let (genesis, folder) = (genesis_with(1, parameters), folder());
    let mut clients = Clients::new(&genesis);
    let mut replica = executor(open_ledger(folder.path(), &genesis), &genesis, "node-1.harlem", true);
    let (lost, found) = (key("admin@harlem"), key("found"));
    let until = FOUNDED.plus_ms(60_000);
    let change = ProposedChange::ResetAdministrator {
        account: "admin@harlem".parse().unwrap(),
        key: found.public_key(),
        encryption_key: galen_types::member::EncryptionKey([9; 32]),
    };
    let propose = clients.sign_with(&lost, "admin@harlem", until, Call::Propose(change));
    let vote = Call::Vote { proposal: ProposalId(propose.id.0), ballot: Ballot::Approve, reason: None };
    let vote = clients.sign_with(&lost, "admin@harlem", until, vote);
    let executed = replica.execute(&batch(1, FOUNDED, &[&propose, &vote])).unwrap();
    assert_eq!(recorded(&executed), ids(&[&propose, &vote]));
    // Not yet; and nothing that is void makes a block.
    let call = propose.body.call.clone();
    let early = clients.sign_with(&found, "admin@harlem", until, call.clone());
    assert!(replica.execute(&batch(2, FOUNDED.plus_ms(9_000), &[&early])).unwrap().block.is_none());
    // From now on, the old key's signatures are void.
    let thief = clients.sign_with(&lost, "admin@harlem", until, call.clone());
    let owner = clients.sign_with(&found, "admin@harlem", until, call);
    let executed = replica.execute(&batch(3, FOUNDED.plus_ms(11_000), &[&thief, &owner])).unwrap();
    assert_eq!(recorded(&executed), ids(&[&owner]));
    assert_eq!(executed.void, [(thief.id, Void::BadSignature)]);
    let receipt = executed.block.unwrap().receipts[0].clone();
    let operations: Vec<_> = receipt.events.iter().map(|event| event.operation).collect();
    assert_eq!(operations[0], galen_types::receipt::Operation::ResetAdministrator, "{operations:?}");
    assert_eq!(receipt.events[0].subject, Some(propose.id.0));
    drop(replica);
    assert!(super::support::verify(folder.path(), &genesis, true).is_sound(), "executed again it is the same");
}
