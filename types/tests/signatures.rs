//! One rule of validity (ZIP-215) on every path. The crafted keys and signatures here are those that libraries judge
//! differently alone and in batches; a chain whose nodes did so would fork.
#![allow(clippy::expect_used, reason = "tests assert by panicking")]

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use ed25519_dalek::Verifier as _;
use galen_types::signature::{Claim, verify_all};
use galen_types::{Hash, PublicKey, SecretKey, Signature};
use proptest::prelude::*;
use sha2::{Digest as _, Sha512};

/// RFC 8032's challenge: SHA-512 of R, the key as given, and the message.
fn challenge(point: &[u8; 32], key: &[u8; 32], hash: &Hash) -> Scalar {
    let digest = Sha512::new().chain_update(point).chain_update(key).chain_update(hash.as_bytes()).finalize();
    Scalar::from_bytes_mod_order_wide(&digest.into())
}

fn claim(key: [u8; 32], point: [u8; 32], scalar: [u8; 32], hash: Hash) -> Claim {
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&point);
    signature[32..].copy_from_slice(&scalar);
    Claim { key: PublicKey::Ed25519(key), hash, signature: Signature::Ed25519(signature) }
}

/// A signature under a key with a torsion part, made with a nonce point that may have one too.
fn mixed_torsion(secret: u64, key_torsion: usize, point_torsion: usize, hash: Hash) -> Claim {
    let (secret, nonce) = (Scalar::from(secret + 2), Scalar::from(secret + 1_000));
    let compress = |scalar: &Scalar, torsion: usize| -> [u8; 32] {
        (ED25519_BASEPOINT_POINT * scalar + EIGHT_TORSION[torsion]).compress().to_bytes()
    };
    let (key, point) = (compress(&secret, key_torsion), compress(&nonce, point_torsion));
    let scalar = nonce + challenge(&point, &key, &hash) * secret;
    claim(key, point, scalar.to_bytes(), hash)
}

/// How `ed25519-dalek`'s single verification judges: without the cofactor.
fn naive(claim: &Claim) -> bool {
    let Signature::Ed25519(signature) = claim.signature;
    ed25519_dalek::VerifyingKey::from_bytes(claim.key.as_bytes())
        .is_ok_and(|key| key.verify(claim.hash.as_bytes(), &ed25519_dalek::Signature::from_bytes(&signature)).is_ok())
}

fn single(claim: &Claim) -> bool {
    claim.key.verify(&claim.hash, &claim.signature).is_ok()
}

fn honest(seed: u8, hash: Hash) -> Claim {
    let key = SecretKey::from_seed(&[seed; 32]);
    Claim { key: key.public_key(), hash, signature: key.sign(&hash) }
}

fn forged(seed: u8, hash: Hash) -> Claim {
    Claim { hash: Hash([seed; 32]), ..honest(seed, hash) }
}

/// All crafted claims, and whether ZIP-215 accepts each.
fn crafted() -> Vec<(Claim, bool)> {
    let mut claims = Vec::new();
    for torsion in 0..64_usize {
        let hash = Hash([u8::try_from(torsion).expect("below 64"); 32]);
        claims.push((mixed_torsion(torsion as u64, torsion / 8, torsion % 8, hash), true));
        // Key and nonce of small order, scalar zero: valid for every message.
        let small = |place: usize| EIGHT_TORSION[place].compress().to_bytes();
        claims.push((claim(small(torsion / 8), small(torsion % 8), [0; 32], hash), true));
    }
    // Encodings that are not reduced modulo p: y = p and y = p + 1 mean y = 0 and y = 1, points of small order.
    for low in [0xed, 0xee] {
        let mut unreduced = [0xff; 32];
        (unreduced[0], unreduced[31]) = (low, 0x7f);
        claims.push((claim(unreduced, unreduced, [0; 32], Hash([9; 32])), true));
    }
    // A scalar that is not reduced modulo the group's order would be a second signature over the same hash.
    let good = honest(5, Hash([5; 32]));
    let Signature::Ed25519(bytes) = good.signature;
    let mut carry = 0_u16;
    let mut scalar = [0; 32];
    for (place, byte) in scalar.iter_mut().enumerate() {
        let sum = u16::from(bytes[32 + place]) + u16::from(ORDER[place]) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    let point = std::array::from_fn(|place| bytes[place]);
    claims.push((claim(*good.key.as_bytes(), point, scalar, good.hash), false));
    // A key that is no curve point: y = 2.
    let mut no_point = [0; 32];
    no_point[0] = 2;
    assert!(curve25519_dalek::edwards::CompressedEdwardsY(no_point).decompress().is_none());
    claims.push((claim(no_point, [1; 32], [0; 32], Hash([1; 32])), false));
    claims
}

/// The order of the group, 2^252 + 27742317777372353535851937790883648493, in little-endian bytes.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

#[test]
fn single_verification_follows_zip_215() {
    for (place, (claim, expected)) in crafted().iter().enumerate() {
        assert_eq!(single(claim), *expected, "crafted claim {place}");
    }
}

/// The crafted claims are worth the name: without the cofactor most of the valid ones are refused, so a library that
/// verifies singly without it and in batches with it would contradict itself.
#[test]
fn naive_verification_judges_them_otherwise() {
    let differing = crafted().iter().filter(|(claim, expected)| naive(claim) != *expected).count();
    assert!(differing >= 50, "only {differing} differ");
}

#[test]
fn batches_judge_as_single_verification_does_with_any_neighbours() {
    let crafted: Vec<Claim> = crafted().into_iter().map(|(claim, _)| claim).collect();
    for claim in &crafted {
        let neighbours = [honest(1, claim.hash), honest(2, Hash([2; 32])), forged(3, claim.hash), crafted[1]];
        for batch in [
            vec![*claim],
            vec![*claim, neighbours[0]],
            vec![neighbours[1], *claim, neighbours[0]],
            vec![*claim, neighbours[2]],
            vec![*claim, *claim, neighbours[3]],
        ] {
            let expected: Vec<bool> = batch.iter().map(single).collect();
            assert_eq!(verify_all(&batch), expected);
        }
    }
    let expected: Vec<bool> = crafted.iter().map(single).collect();
    assert_eq!(verify_all(&crafted), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Any mixture, across the border of a batch too.
    #[test]
    fn any_mixture_is_judged_one_by_one(choices in prop::collection::vec((0..3_u8, 0..130_usize), 0..300)) {
        let crafted = crafted();
        let pick = |(kind, place): &(u8, usize)| {
            let seed = u8::try_from(*place).expect("below 130");
            match kind {
                0 => crafted[*place].0,
                1 => honest(seed, Hash([seed; 32])),
                _ => forged(seed, Hash([seed ^ 0x80; 32])),
            }
        };
        // Mostly valid ones first, so that whole batches pass as well as fail.
        let claims: Vec<Claim> = choices.iter().map(pick).collect();
        let expected: Vec<bool> = claims.iter().map(single).collect();
        prop_assert_eq!(verify_all(&claims), expected);
    }

    #[test]
    fn a_signature_holds_for_its_hash_and_key_only(seed in any::<[u8; 32]>(), hash in any::<[u8; 32]>(), bit in 0..512_usize) {
        let (key, hash) = (SecretKey::from_seed(&seed), Hash(hash));
        let signature = key.sign(&hash);
        prop_assert!(key.public_key().verify(&hash, &signature).is_ok());
        let Signature::Ed25519(mut bytes) = signature;
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(key.public_key().verify(&hash, &Signature::Ed25519(bytes)).is_err());
        let mut other = hash;
        other.0[bit / 16] ^= 1;
        prop_assert!(key.public_key().verify(&other, &signature).is_err());
    }
}

#[test]
fn batches_of_all_sizes_pass_and_find_the_one_forgery() {
    for size in [0, 1, 2, 255, 256, 257, 600] {
        let mut claims: Vec<Claim> =
            (0..size).map(|place| honest(u8::try_from(place % 200).expect("small"), Hash([7; 32]))).collect();
        assert!(verify_all(&claims).iter().all(|valid| *valid));
        if let Some(last) = claims.last_mut() {
            *last = forged(9, Hash([7; 32]));
            let verdicts = verify_all(&claims);
            assert_eq!(verdicts.iter().filter(|valid| !**valid).count(), 1);
            assert_eq!(verdicts.last(), Some(&false));
        }
    }
}

/// RFC 8032, section 7.1, test 1 gives the key; the signature is over a hash instead of the empty message.
#[test]
fn keys_are_those_of_rfc_8032() {
    let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let seed: Hash = seed.parse().expect("a seed");
    let key = SecretKey::from_seed(&seed.0);
    let expected = "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    assert_eq!(key.public_key().to_string(), expected);
    assert_eq!(expected.parse(), Ok(key.public_key()));
    assert!(!format!("{key:?}").contains(&seed.to_string()), "a secret is printed");
    assert_eq!(*key.seed(), seed.0);
}

#[test]
fn texts_of_keys_and_signatures_are_exact() {
    let key = SecretKey::from_seed(&[3; 32]);
    let signature = key.sign(&Hash([4; 32]));
    let text = signature.to_string();
    assert_eq!(text.parse(), Ok(signature));
    for wrong in [text.to_uppercase(), text.replace("ed25519:", ""), format!("{text}0"), format!("{text} ")] {
        assert!(wrong.parse::<Signature>().is_err(), "{wrong}");
    }
    let text = key.public_key().to_string();
    for wrong in [text.to_uppercase(), text.replace("ed25519", "x25519"), format!("{text}0"), String::new()] {
        assert!(wrong.parse::<PublicKey>().is_err(), "{wrong}");
    }
    // Any 32 bytes are a key in text; whether it is a point shows when it verifies.
    assert!(EdwardsPoint::default().compress().to_bytes() != *key.public_key().as_bytes());
}
