//! A keystore as its users see it: on a disk, with permissions, crashes and mistakes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests assert by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use galen_keys::{KdfProfile, KeyError, KeyPair, Keystore, Password, PasswordSource};
use galen_types::hash::Context;
use galen_types::{Hash, Signer};

fn name(text: &str) -> Signer {
    text.parse().unwrap()
}

fn password(text: &str) -> Password {
    Password::new(text.to_owned()).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

struct Scene {
    folder: tempfile::TempDir,
    store: Keystore,
}

fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let store = Keystore::open(folder.path().join("keys")).unwrap();
    Scene { folder, store }
}

fn create(store: &Keystore, of: &str) -> KeyPair {
    store.create(&name(of), &password("first"), KdfProfile::Testnet).unwrap()
}

#[test]
fn created_keys_load_sign_and_are_closed_to_others() {
    let Scene { folder, store } = scene();
    let keys = create(&store, "alice@harlem");
    let loaded = store.load(&name("alice@harlem"), &password("first")).unwrap();
    assert_eq!(loaded.encryption_key(), keys.encryption_key());
    assert_eq!(loaded.encryption_secret().to_bytes(), keys.encryption_secret().to_bytes());
    let hash = Hash::of(Context::HttpRequest, b"content");
    keys.public_key().verify(&hash, &loaded.signing.sign(&hash)).unwrap();
    assert_eq!(mode(&folder.path().join("keys")), 0o700);
    assert_eq!(mode(&folder.path().join("keys/alice@harlem.json")), 0o600);
}

#[test]
fn the_standard_profile_loads() {
    let Scene { store, folder: _folder } = scene();
    let keys = store.create(&name("node-1.harlem"), &password("p"), KdfProfile::Standard).unwrap();
    let loaded = store.load(&name("node-1.harlem"), &password("p")).unwrap();
    assert_eq!(loaded.public_key(), keys.public_key());
}

#[test]
fn a_wrong_password_and_a_missing_key_are_told_apart() {
    let Scene { store, folder: _folder } = scene();
    create(&store, "alice@harlem");
    let wrong = store.load(&name("alice@harlem"), &password("second")).unwrap_err();
    assert_eq!(wrong.code(), "key-wrong-password");
    let missing = store.load(&name("bob@harlem"), &password("first")).unwrap_err();
    assert_eq!(missing.code(), "key-missing");
    assert!(missing.to_string().contains("create or import it"), "{missing}");
}

#[test]
fn keys_are_never_overwritten() {
    let Scene { folder, store } = scene();
    let keys = create(&store, "alice@harlem");
    let again = store.create(&name("alice@harlem"), &password("first"), KdfProfile::Testnet).unwrap_err();
    assert_eq!(again.code(), "key-exists");
    let exported = folder.path().join("exported.json");
    store.export(&name("alice@harlem"), &exported).unwrap();
    assert_eq!(store.import(&exported).unwrap_err().code(), "key-exists");
    assert!(store.export(&name("alice@harlem"), &exported).is_err());
    assert_eq!(store.load(&name("alice@harlem"), &password("first")).unwrap().public_key(), keys.public_key());
}

#[test]
fn exported_keys_are_imported_elsewhere_under_their_name() {
    let Scene { folder, store } = scene();
    let keys = create(&store, "alice@harlem");
    let exported = folder.path().join("some-name.json");
    store.export(&name("alice@harlem"), &exported).unwrap();
    assert_eq!(mode(&exported), 0o600);
    let other = Keystore::open(folder.path().join("other")).unwrap();
    assert_eq!(other.import(&exported).unwrap().public_key, keys.public_key());
    assert_eq!(other.load(&name("alice@harlem"), &password("first")).unwrap().public_key(), keys.public_key());
}

#[test]
fn a_changed_password_replaces_the_old_one() {
    let Scene { store, folder: _folder } = scene();
    let keys = create(&store, "alice@harlem");
    let refused = store.change_password(&name("alice@harlem"), &password("wrong"), &password("second"));
    assert_eq!(refused.unwrap_err().code(), "key-wrong-password");
    store.change_password(&name("alice@harlem"), &password("first"), &password("second")).unwrap();
    assert!(store.load(&name("alice@harlem"), &password("first")).is_err());
    assert_eq!(store.load(&name("alice@harlem"), &password("second")).unwrap().public_key(), keys.public_key());
}

#[test]
fn an_unfinished_write_leaves_the_old_file_and_does_not_stand_in_the_way() {
    let Scene { folder, store } = scene();
    create(&store, "alice@harlem");
    let left_over = folder.path().join("keys/alice@harlem.json.tmp");
    fs::write(&left_over, "{\"version\"").unwrap();
    store.load(&name("alice@harlem"), &password("first")).unwrap();
    assert_eq!(store.list().unwrap().len(), 1);
    store.change_password(&name("alice@harlem"), &password("first"), &password("second")).unwrap();
    store.load(&name("alice@harlem"), &password("second")).unwrap();
    assert!(!left_over.exists());
    assert_eq!(mode(&folder.path().join("keys/alice@harlem.json")), 0o600);
}

#[test]
fn what_others_can_read_is_refused_with_the_remedy() {
    let Scene { folder, store } = scene();
    create(&store, "alice@harlem");
    let (keys, file) = (folder.path().join("keys"), folder.path().join("keys/alice@harlem.json"));
    set_mode(&file, 0o640);
    let error = store.load(&name("alice@harlem"), &password("first")).unwrap_err();
    assert_eq!(error.code(), "key-file-open-to-others");
    assert!(error.to_string().contains(&format!("mode 640); close it: chmod 600 {}", file.display())), "{error}");
    set_mode(&file, 0o600);
    set_mode(&keys, 0o755);
    let error = Keystore::open(&keys).unwrap_err();
    assert!(error.to_string().contains(&format!("chmod 700 {}", keys.display())), "{error}");
}

#[test]
fn damaged_and_foreign_files_are_listed_with_their_fault() {
    let Scene { folder, store } = scene();
    create(&store, "alice@harlem");
    create(&store, "node-1.harlem");
    let keys = folder.path().join("keys");
    fs::rename(keys.join("node-1.harlem.json"), keys.join("node-2.harlem.json")).unwrap();
    for (file, content) in [("long", vec![b' '; 9000]), ("broken", b"{}".to_vec()), ("binary", vec![0xff; 50])] {
        let path = keys.join(format!("{file}.json"));
        fs::write(&path, content).unwrap();
        set_mode(&path, 0o600);
    }
    let codes: Vec<_> = store
        .list()
        .unwrap()
        .iter()
        .map(|listed| match &listed.keys {
            Ok(keys) => keys.name.to_string(),
            Err(error) => error.code().to_owned(),
        })
        .collect();
    let damaged = "key-file-damaged";
    assert_eq!(codes, ["alice@harlem", damaged, damaged, damaged, damaged]);
    let renamed = store.load(&name("node-2.harlem"), &password("first")).unwrap_err();
    assert!(renamed.to_string().contains("should be called"), "{renamed}");
}

#[test]
fn a_seed_always_gives_the_same_two_different_keys() {
    let keys = KeyPair::from_seed(&[5; 32]);
    // Testnets depend on it: these keys never change.
    assert_eq!(
        format!("{keys:?}"),
        "KeyPair(of ed25519:cc516617ec569cdf1a3876ad6a5e2ec66d168359aeabbfd3c74ca4d6f282b197, \
         x25519:6ca008c8978490afe425a40ae8dd2c14857ad3e565a12687aae9bd1e5701fc1d)"
    );
    assert_ne!(keys.signing.seed().as_slice(), keys.encryption_secret().as_bytes().as_slice());
    assert_ne!(keys.public_key(), KeyPair::from_seed(&[6; 32]).public_key());
    assert_ne!(KeyPair::generate().unwrap().public_key(), KeyPair::generate().unwrap().public_key());
}

#[test]
fn secrets_are_not_printed() {
    let keys = KeyPair::from_seed(&[5; 32]);
    let shown = format!("{keys:?} {:?} {:?}", password("hidden word"), keys.signing);
    assert!(!shown.contains(&hex::encode(keys.signing.seed())));
    assert!(!shown.contains(&hex::encode(keys.encryption_secret().as_bytes())));
    assert!(!shown.contains("hidden word"));
}

#[test]
fn a_password_is_read_from_a_private_file_without_its_line_break() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    let source = PasswordSource::File(path.clone());
    assert_eq!(source.read("").unwrap_err().code(), "key-file-io");
    for (content, expected) in [("a b\n", Some("a b")), ("a\r\n", Some("a")), ("a\n\n", Some("a\n")), ("\n", None)] {
        fs::write(&path, content).unwrap();
        set_mode(&path, 0o600);
        assert_eq!(source.read_new("").ok(), expected.map(password), "{content:?}");
    }
    fs::write(&path, vec![b'x'; 5000]).unwrap();
    assert_eq!(source.read("").unwrap_err().code(), "key-file-damaged");
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert_eq!(source.read("").unwrap_err().code(), "password-unusable");
    set_mode(&path, 0o644);
    assert_eq!(source.read("").unwrap_err().code(), "key-file-open-to-others");
}

#[test]
fn a_password_that_is_missing_is_asked_for_with_the_remedy() {
    let unset = PasswordSource::Environment("GALEN_TEST_NO_SUCH_VARIABLE".to_owned());
    assert!(matches!(unset.read(""), Err(KeyError::Password(text)) if text.contains("GALEN_TEST_NO_SUCH_VARIABLE")));
    // Set by the package manager for every test.
    let set = PasswordSource::Environment("CARGO_PKG_NAME".to_owned());
    assert_eq!(set.read("").unwrap(), password("galen-keys"));
    // A test's standard input may be a terminal; only without one is the answer known.
    if !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        assert!(matches!(PasswordSource::Prompt.read(""), Err(KeyError::Password(text)) if text.contains("terminal")));
    }
}
