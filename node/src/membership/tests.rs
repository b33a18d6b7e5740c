use std::collections::HashSet;
use std::time::Duration;

use super::contacts::{ContactsOpening, ContactsStore};
use galen_types::Hash;

#[test]
fn contacts_are_kept_by_their_commitment_until_they_are_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let store = ContactsStore::open(folder.path().join("membership")).unwrap();
    let text = "\u{1}".repeat(galen_types::api::CONTACTS_BYTES_MAX);
    let opening = ContactsOpening { salt: [7; 32], text };
    let (commitment, new) = store.keep(&opening).unwrap();
    assert!(new);
    assert_eq!(store.keep(&opening).unwrap(), (commitment, false));
    assert_eq!(commitment, Hash::commitment(&opening.salt, opening.text.as_bytes()));
    assert_eq!(store.get(&commitment).unwrap(), Some(opening));
    store.forget(&commitment).unwrap();
    assert_eq!(store.get(&commitment).unwrap(), None);
}

#[test]
fn contacts_go_with_the_end_of_their_application() {
    let folder = tempfile::tempdir().unwrap();
    let store = ContactsStore::open(folder.path().join("membership")).unwrap();
    let keep = |salt: u8| store.keep(&ContactsOpening { salt: [salt; 32], text: "call us".to_owned() }).unwrap().0;
    let (open, decided) = (keep(1), keep(2));
    let kept = HashSet::from([open]);
    assert_eq!(store.tidy(&kept, Duration::from_secs(600)).unwrap(), 0, "it may be on its way to the chain");
    assert_eq!(store.tidy(&kept, Duration::ZERO).unwrap(), 1);
    assert!(store.get(&open).unwrap().is_some());
    assert_eq!(store.get(&decided).unwrap(), None);
}
