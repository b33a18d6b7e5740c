//! One value, one encoding: for every wire type, reading gives back what was written, and nothing else is read.

mod common;

use std::fmt::Debug;

use common::{examples, strategies};
use galen_types::certificate::CERTIFICATE_BYTES_MAX;
use galen_types::merkle::{ListProof, MountainRange};
use galen_types::*;
use proptest::prelude::*;

const LIMIT: usize = 1 << 20;

/// What must hold for any value; `place` and `flip` choose a byte to damage.
fn has_one_encoding<T>(value: &T, place: usize, flip: u8) -> Result<(), TestCaseError>
where
    T: Encoding + PartialEq + Debug,
{
    let bytes = value.encode();
    // At the limit it is read, one byte beyond it is not.
    let read = T::decode(&bytes, bytes.len());
    prop_assert_eq!(read.as_ref(), Ok(value));
    let oversize = T::decode(&bytes, bytes.len() - 1);
    prop_assert_eq!(oversize, Err(DecodeError::Oversize { size: bytes.len(), limit: bytes.len() - 1 }));
    for trailing in [0, 1, flip] {
        let longer = [bytes.as_slice(), &[trailing]].concat();
        prop_assert!(T::decode(&longer, LIMIT).is_err(), "a trailing byte is read");
    }
    let cut = place % bytes.len();
    prop_assert!(T::decode(&bytes[..cut], LIMIT).is_err(), "cut to {cut} bytes it is still read");
    let mut damaged = bytes.clone();
    damaged[cut] ^= flip;
    if let Ok(other) = T::decode(&damaged, LIMIT) {
        prop_assert_ne!(&other, value);
        prop_assert_eq!(other.encode(), damaged);
    }
    Ok(())
}

macro_rules! one_encoding {
    ($($name:ident: $strategy:expr;)+) => {
        proptest! {
            $(
                #[test]
                fn $name(value in $strategy, place in any::<usize>(), flip in 1_u8..) {
                    has_one_encoding(&value, place, flip)?;
                }
            )+
        }
    };
}

one_encoding! {
    calls: strategies::call();
    transaction_bodies: strategies::body();
    signed_transactions: strategies::signed();
    batches: strategies::batch();
    headers: strategies::header();
    blocks: strategies::block();
    receipts: strategies::receipt();
    header_signatures: strategies::header_signature();
    certificates: strategies::certificate();
    voter_sets: strategies::voter_set();
    geneses: strategies::genesis();
    parameters: strategies::parameters();
    applications: strategies::application();
    recoveries: strategies::recovery();
    decisions: strategies::decision();
    timestamps: strategies::time();
    signers: strategies::signer();
    versions: strategies::version();
    columns: strategies::column();
    keys: strategies::key();
    signatures: strategies::signature();
    list_proofs: (any::<u64>(), any::<u64>(), prop::collection::vec(strategies::hash(), 0..5))
        .prop_map(|(index, length, siblings)| ListProof { index, length, siblings });
    mountain_ranges: prop::collection::vec(strategies::hash(), 0..40).prop_map(|hashes| {
        let mut range = MountainRange::default();
        hashes.into_iter().for_each(|hash| range.append(hash));
        range
    });
}

proptest! {
    /// Bytes from outside: an error or a value, and a value only from its own encoding.
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        fn canonical<T: Encoding>(bytes: &[u8]) -> bool {
            T::decode(bytes, LIMIT).map_or(true, |value| value.encode() == bytes)
        }
        prop_assert!(canonical::<Call>(&bytes));
        prop_assert!(canonical::<SignedTransaction>(&bytes));
        prop_assert!(canonical::<Batch>(&bytes));
        prop_assert!(canonical::<Block>(&bytes));
        prop_assert!(canonical::<Receipt>(&bytes));
        prop_assert!(canonical::<Certificate>(&bytes));
        prop_assert!(canonical::<Genesis>(&bytes));
        prop_assert!(DecodedTransaction::decode(bytes, LIMIT).is_err());
    }

    /// The JSON of the interfaces reads back as the same value.
    #[test]
    fn json_reads_back(call in strategies::call(), receipt in strategies::receipt(), genesis in strategies::genesis()) {
        let json = serde_json::to_string(&call).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<Call>(&json).expect(&json), call);
        let json = serde_json::to_string(&receipt).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<Receipt>(&json).expect(&json), receipt);
        let json = serde_json::to_string(&genesis).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<Genesis>(&json).expect(&json), genesis);
    }
}

/// Every byte of every kind of call, damaged in every bit: refused, or another call with its own encoding.
#[test]
fn no_flipped_bit_gives_a_second_encoding() {
    for (name, call) in examples::calls() {
        let bytes = call.encode();
        for place in 0..bytes.len() {
            assert!(Call::decode(&bytes[..place], LIMIT).is_err(), "{name} cut to {place}");
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[place] ^= 1 << bit;
                if let Ok(other) = Call::decode(&damaged, LIMIT) {
                    assert_ne!(other, call, "{name} at {place}");
                    assert_eq!(other.encode(), damaged, "{name} at {place}");
                }
            }
        }
    }
}

/// A length that promises more than there is costs no memory to speak of.
#[test]
fn promised_lengths_are_not_believed() {
    for length in [u64::MAX, 1 << 40, 1 << 24, 300] {
        let mut bytes = examples::body(examples::calls()[0].1.clone()).sign(&examples::secret(1)).encode();
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        assert!(matches!(SignedTransaction::decode(&bytes, LIMIT), Err(DecodeError::Malformed(_))));
    }
}

#[test]
fn a_version_is_never_zero() {
    let version = VersionName { dataset: common::text("harlem/opt"), version: 1 };
    let mut bytes = version.encode();
    assert_eq!(VersionName::decode(&bytes, LIMIT), Ok(version));
    let number = bytes.len() - 4;
    bytes[number] = 0;
    assert!(matches!(VersionName::decode(&bytes, LIMIT), Err(DecodeError::Malformed(_))));
}

#[test]
fn names_are_checked_when_they_are_read() {
    let good = Call::RestoreAccount { account: common::text("bob@harlem") };
    let bytes = good.encode();
    // Tag, length, `bob`: an upper-case letter is no name.
    assert_eq!(&bytes[9..12], b"bob");
    let mut damaged = bytes.clone();
    damaged[9] = b'B';
    assert!(matches!(Call::decode(&damaged, LIMIT), Err(DecodeError::Malformed(_))));
}

#[test]
fn a_transaction_is_its_exact_bytes() {
    let key = examples::secret(examples::ACCOUNT_SEED);
    let signed = examples::body(examples::calls()[3].1.clone()).sign(&key);
    let decoded = DecodedTransaction::decode(signed.encode(), LIMIT).expect("a transaction");
    assert_eq!(decoded.id, signed.id());
    assert_eq!(decoded.bytes, signed.encode());
    assert_eq!(decoded.verify(&key.public_key()), Ok(()));
    assert!(decoded.verify(&examples::secret(1).public_key()).is_err());
    // A body with a trailing byte, honestly signed, is no transaction.
    let mut body = signed.body.clone();
    body.push(0);
    let id = Hash::of(galen_types::hash::Context::TransactionId, &body);
    let padded = SignedTransaction { body, signature: key.sign(&id) };
    assert!(matches!(DecodedTransaction::decode(padded.encode(), LIMIT), Err(DecodeError::Malformed(_))));
}

#[test]
fn a_certificate_of_a_thousand_long_names_fits_its_limit() {
    let slug = "a".repeat(63);
    let part = galen_types::certificate::VoterSignature {
        voter: common::text(&format!("{slug}.{slug}")),
        signature: Signature::Ed25519([0; 64]),
    };
    let largest = Certificate { height: 1, header: examples::hash(1), signatures: vec![part; 1_000] };
    let bytes = largest.encode();
    assert!(bytes.len() <= CERTIFICATE_BYTES_MAX, "{} bytes", bytes.len());
    assert_eq!(Certificate::decode(&bytes, CERTIFICATE_BYTES_MAX), Ok(largest));
}
