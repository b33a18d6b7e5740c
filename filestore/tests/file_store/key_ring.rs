use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use galen_filestore::{FileKey, KeyRing, Salt, VersionSecrets};
use galen_types::Hash;
use galen_types::member::EncryptionKey;
use x25519_dalek::{PublicKey, StaticSecret};

fn owner(seed: u8) -> (StaticSecret, EncryptionKey) {
    let secret = StaticSecret::from([seed; 32]);
    let public = EncryptionKey(PublicKey::from(&secret).to_bytes());
    (secret, public)
}

fn secrets(name: u8) -> VersionSecrets {
    VersionSecrets {
        ciphertext: Hash([name; 32]),
        key: FileKey::from_bytes([0xa1; 32]),
        salt: Salt::from_bytes([0xb2; 32]),
        plaintext_hash: Hash([0xc3; 32]),
    }
}

#[test]
fn secrets_come_back_to_their_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let ring = KeyRing::open(folder.path().join("ring")).unwrap();
    let ((secret, public), (other, _)) = (owner(1), owner(2));
    ring.insert(&secrets(1), &public).unwrap();
    ring.insert(&secrets(2), &public).unwrap();
    let ring = KeyRing::open(folder.path().join("ring")).unwrap();
    assert_eq!(ring.get(&Hash([1; 32]), &secret).unwrap(), secrets(1));
    assert_eq!(ring.get(&Hash([1; 32]), &other).unwrap_err().code(), "wrapped-key-not-opened");
    assert_eq!(ring.list().unwrap(), [Hash([1; 32]), Hash([2; 32])]);
    assert_eq!(ring.insert(&secrets(1), &public).unwrap_err().code(), "file-key-exists");
    assert_eq!(secrets(1).commitment(), Hash::commitment(&[0xb2; 32], &[0xc3; 32]));
}

#[test]
fn nothing_secret_stands_in_the_folder_in_the_clear() {
    let folder = tempfile::tempdir().unwrap();
    let ring = KeyRing::open(folder.path().join("ring")).unwrap();
    ring.insert(&secrets(1), &owner(1).1).unwrap();
    let path = folder.path().join("ring").join(format!("{}.json", Hash([1; 32])));
    let text = fs::read_to_string(&path).unwrap();
    for secret in ["a1a1", "b2b2", "c3c3"] {
        assert!(!text.contains(secret), "{text}");
    }
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let error = ring.get(&Hash([1; 32]), &owner(1).0).unwrap_err();
    assert!(error.to_string().contains("chmod 600"), "{error}");
    fs::set_permissions(folder.path().join("ring"), fs::Permissions::from_mode(0o750)).unwrap();
    assert_eq!(KeyRing::open(folder.path().join("ring")).unwrap_err().code(), "key-ring-open-to-others");
}

#[test]
fn erased_secrets_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let ring = KeyRing::open(folder.path().join("ring")).unwrap();
    let (secret, public) = owner(1);
    ring.insert(&secrets(1), &public).unwrap();
    assert!(ring.contains(&Hash([1; 32])).unwrap());
    assert!(ring.erase(&Hash([1; 32])).unwrap());
    assert!(!ring.erase(&Hash([1; 32])).unwrap());
    assert!(!ring.contains(&Hash([1; 32])).unwrap());
    assert_eq!(ring.get(&Hash([1; 32]), &secret).unwrap_err().code(), "file-key-missing");
    assert_eq!(fs::read_dir(folder.path().join("ring")).unwrap().count(), 0);
}

#[test]
fn each_change_of_an_entry_is_a_typed_error() {
    let folder = tempfile::tempdir().unwrap();
    let ring = KeyRing::open(folder.path().join("ring")).unwrap();
    let (secret, public) = owner(1);
    ring.insert(&secrets(1), &public).unwrap();
    let path = folder.path().join("ring").join(format!("{}.json", Hash([1; 32])));
    let good = fs::read(&path).unwrap();
    let refused = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).unwrap();
        match ring.get(&Hash([1; 32]), &secret) {
            // Upper-case digits and other blanks say the same.
            Ok(read) => assert_eq!(read, secrets(1), "{what}"),
            Err(error) => assert!(matches!(error.code(), "key-ring-damaged" | "wrapped-key-not-opened"), "{what}"),
        }
    };
    for position in 0..good.len() {
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[position] ^= 1 << bit;
            refused(&bytes, &format!("bit {bit} of byte {position}"));
        }
    }
    for length in 0..good.len() - 1 {
        refused(&good[..length], &format!("{length} bytes"));
    }
    refused(&[b' '; 10_000], "long");
    // Another entry under this name.
    ring.insert(&secrets(2), &public).unwrap();
    let other = folder.path().join("ring").join(format!("{}.json", Hash([2; 32])));
    fs::copy(other, &path).unwrap();
    let error = ring.get(&Hash([1; 32]), &secret).unwrap_err();
    assert!(error.to_string().contains("it is the entry of 0202"), "{error}");
}

#[test]
fn an_unfinished_write_is_deleted_at_open() {
    let folder = tempfile::tempdir().unwrap();
    let ring = folder.path().join("ring");
    KeyRing::open(&ring).unwrap();
    fs::write(ring.join(format!("{}.json.tmp", Hash([1; 32]))), "half").unwrap();
    assert!(KeyRing::open(&ring).unwrap().list().unwrap().is_empty());
    assert_eq!(fs::read_dir(&ring).unwrap().count(), 0);
}

/// Entries written by an earlier version must stay readable: this file never changes.
#[test]
fn the_format_is_pinned() {
    let folder = tempfile::tempdir().unwrap();
    let ring = KeyRing::open(folder.path().join("ring")).unwrap();
    let path = folder.path().join("ring").join(format!("{}.json", Hash([1; 32])));
    fs::write(&path, include_str!("../golden/key_ring_entry_v1.json")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(ring.get(&Hash([1; 32]), &owner(1).0).unwrap(), secrets(1));
}
