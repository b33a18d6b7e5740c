//! Waiting transactions: bounds, fairness, order, expiry, places.

use galen_chain::{Mempool, MempoolRefusal, limits};
use galen_types::hash::Context;
use galen_types::member::Role;
use galen_types::{Call, DecodedTransaction, Hash, Signature, Timestamp, TransactionBody, TransactionId};

use super::support::{name, new_account};

/// A transaction as the mempool sees it; nothing in it is checked there.
fn waiting(number: u64, signer: &str, bytes: usize) -> DecodedTransaction {
    DecodedTransaction {
        id: TransactionId(Hash::of(Context::Commitment, &number.to_le_bytes())),
        body: TransactionBody {
            chain: Hash::ZERO,
            signer: name(signer),
            salt: [0; 16],
            valid_until: Timestamp(1_000 + number),
            call: Call::AddAccount(new_account("someone", "harlem", &[Role::Owner])),
        },
        signature: Signature::Ed25519([0; 64]),
        bytes: vec![0; bytes],
    }
}

fn with(count: u64) -> Mempool {
    let mut mempool = Mempool::default();
    (0..count).for_each(|number| assert_eq!(mempool.insert(waiting(number, "a@harlem", 100)), Ok(true)));
    mempool
}

fn id(number: u64) -> TransactionId {
    waiting(number, "a@harlem", 0).id
}

fn taken(batch: &[(TransactionId, bytes::Bytes)]) -> Vec<TransactionId> {
    batch.iter().map(|(id, _)| *id).collect()
}

#[test]
fn one_signer_cannot_fill_it_and_everybody_together_cannot_overfill_it() {
    let mut mempool = Mempool::default();
    let mut number = 0;
    let mut fill = |mempool: &mut Mempool, signer: &str, bytes: usize| {
        let mut count = 0;
        loop {
            number += 1;
            match mempool.insert(waiting(number, signer, bytes)) {
                Ok(inserted) => assert!(inserted),
                Err(refusal) => return (count, refusal),
            }
            count += 1;
        }
    };
    let many = limits::MEMPOOL_SIGNER_TRANSACTIONS_MAX;
    assert_eq!(fill(&mut mempool, "a@harlem", 100), (many, MempoolRefusal::SignerFull));
    assert_eq!(fill(&mut mempool, "b@harlem", 100), (many, MempoolRefusal::SignerFull));
    assert_eq!(
        fill(&mut mempool, "c@harlem", 100),
        (limits::MEMPOOL_TRANSACTIONS_MAX - 2 * many, MempoolRefusal::Full)
    );
    mempool.remove(&id(1));
    assert_eq!(mempool.insert(waiting(1, "d@harlem", 100)), Ok(true));

    let mut mempool = Mempool::default();
    let large = limits::MEMPOOL_SIGNER_BYTES_MAX / 4;
    assert_eq!(fill(&mut mempool, "a@harlem", large), (4, MempoolRefusal::SignerFull));
    assert_eq!(fill(&mut mempool, "b@harlem", large), (4, MempoolRefusal::SignerFull));
    let left = (limits::MEMPOOL_BYTES_MAX - 2 * limits::MEMPOOL_SIGNER_BYTES_MAX) / large;
    assert_eq!(fill(&mut mempool, "c@harlem", large), (left, MempoolRefusal::Full));
}

#[test]
fn batches_are_first_in_first_out_and_bounded_in_number_and_bytes() {
    let mut mempool = with(5);
    assert_eq!(mempool.insert(waiting(3, "a@harlem", 100)), Ok(false), "it waits already");
    assert_eq!(taken(&mempool.take_batch(2, 1_000)), [id(0), id(1)]);
    assert_eq!(taken(&mempool.take_batch(10, 250)), [id(2), id(3)]);
    assert_eq!(taken(&mempool.take_batch(10, 50)), [id(4)], "one always fits, or it would block all others");
    assert!(!mempool.has_queued() && mempool.len() == 5);
}

#[test]
fn what_a_batch_did_not_settle_is_queued_again() {
    let mut mempool = with(3);
    let batch = taken(&mempool.take_batch(3, 1_000));
    mempool.remove(&id(1));
    mempool.requeue_batch(&batch);
    assert_eq!(taken(&mempool.take_batch(3, 1_000)), [id(0), id(2)]);
}

#[test]
fn what_was_sent_to_the_leader_is_sent_again_after_a_while() {
    let mut mempool = with(2);
    assert_eq!(mempool.take_for_leader(7).len(), 2);
    mempool.remove(&id(0));
    mempool.requeue_forwarded(7 + limits::FORWARD_AGAIN_TICKS - 1);
    assert!(!mempool.has_queued());
    mempool.requeue_forwarded(7 + limits::FORWARD_AGAIN_TICKS);
    assert_eq!(mempool.take_for_leader(40).len(), 1);
    // Queued anew by a change of leader, it is not queued twice by the timer.
    mempool.requeue_all();
    mempool.requeue_forwarded(1_000);
    assert_eq!(taken(&mempool.take_batch(9, 1_000)), [id(1)]);
    assert!(!mempool.has_queued());
}

#[test]
fn the_expired_go_wherever_they_are() {
    let mut mempool = with(6);
    mempool.take_batch(2, 1_000);
    assert_eq!(mempool.expire(Timestamp(1_000)), [], "valid until a block's own time");
    assert_eq!(mempool.expire(Timestamp(1_003)), [id(0), id(1), id(2)]);
    assert_eq!(mempool.len(), 3);
    assert_eq!(taken(&mempool.take_batch(9, 1_000)), [id(3), id(4), id(5)]);
    assert_eq!(mempool.insert(waiting(0, "a@harlem", 100)), Ok(true), "forgotten is forgotten");
}
