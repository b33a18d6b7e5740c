use galen_filestore::{FileKey, WrapError, WrappedKey, unwrap_key, wrap_key};
use galen_types::Hash;
use galen_types::member::EncryptionKey;
use x25519_dalek::{PublicKey, StaticSecret};

fn secret(seed: u8) -> StaticSecret {
    StaticSecret::from([seed; 32])
}

fn public(seed: u8) -> EncryptionKey {
    EncryptionKey(PublicKey::from(&secret(seed)).to_bytes())
}

const FILE: Hash = Hash([6; 32]);

#[test]
fn a_wrapped_key_opens_for_its_recipient_and_file_only() {
    let key = FileKey::generate().unwrap();
    let wrapped = wrap_key(&key, &public(1), &FILE).unwrap();
    assert_eq!(unwrap_key(&wrapped, &secret(1), &FILE).unwrap(), key);
    assert_eq!(unwrap_key(&wrapped, &secret(2), &FILE), Err(WrapError::NotOpened));
    assert_eq!(unwrap_key(&wrapped, &secret(1), &Hash([7; 32])), Err(WrapError::NotOpened));
    assert_ne!(wrap_key(&key, &public(1), &FILE).unwrap(), wrapped, "each wrapping is another one");
}

#[test]
fn each_flipped_bit_and_each_other_length_is_refused() {
    let wrapped = *wrap_key(&FileKey::generate().unwrap(), &public(1), &FILE).unwrap().as_bytes();
    for bit in 0..wrapped.len() * 8 {
        let mut damaged = wrapped;
        damaged[bit / 8] ^= 1 << (bit % 8);
        let damaged = WrappedKey::from_bytes(&damaged).unwrap();
        assert!(unwrap_key(&damaged, &secret(1), &FILE).is_err(), "bit {bit}");
    }
    for length in (0..wrapped.len()).chain([wrapped.len() + 1]) {
        let bytes: Vec<u8> = wrapped.iter().copied().chain([0]).take(length).collect();
        assert_eq!(WrappedKey::from_bytes(&bytes), Err(WrapError::Malformed));
    }
}

#[test]
fn points_of_small_order_are_refused_on_both_sides() {
    // Zero and one are such points: with them every shared secret is zero (RFC 7748, section 6.1).
    for point in [0, 1] {
        let mut bytes = [0; 32];
        bytes[0] = point;
        let refused = wrap_key(&FileKey::generate().unwrap(), &EncryptionKey(bytes), &FILE);
        assert_eq!(refused, Err(WrapError::UnsafeKey));
        let mut wrapped = *wrap_key(&FileKey::generate().unwrap(), &public(1), &FILE).unwrap().as_bytes();
        wrapped[1..33].copy_from_slice(&bytes);
        let wrapped = WrappedKey::from_bytes(&wrapped).unwrap();
        assert_eq!(unwrap_key(&wrapped, &secret(1), &FILE), Err(WrapError::NotOpened));
    }
}

#[test]
fn a_wrapped_key_travels_as_text() {
    let wrapped = wrap_key(&FileKey::generate().unwrap(), &public(1), &FILE).unwrap();
    let text = serde_json::to_string(&wrapped).unwrap();
    assert_eq!(text.len(), 2 * 81 + 2);
    assert_eq!(serde_json::from_str::<WrappedKey>(&text).unwrap(), wrapped);
    for bad in ["\"\"", "\"zz\"", "\"00\"", "3", "null"] {
        assert!(serde_json::from_str::<WrappedKey>(bad).is_err(), "{bad}");
    }
}

/// Keys wrapped by an earlier version must stay readable: these bytes never change.
#[test]
fn the_format_is_pinned() {
    let text = include_str!("../golden/wrapped_key_v1.json");
    let wrapped: WrappedKey = serde_json::from_str(text).unwrap();
    assert_eq!(unwrap_key(&wrapped, &secret(1), &FILE).unwrap(), FileKey::from_bytes([9; 32]));
}
