use super::*;

/// Cheap, so that thousands of files are opened in a second.
const CHEAP: Cost = Cost { memory_kib: 8, iterations: 1, parallelism: 1 };

fn name() -> Signer {
    "alice@harlem".parse().unwrap()
}

fn password(text: &str) -> Password {
    Password::new(text.to_owned()).unwrap()
}

fn sealed() -> KeyFile {
    KeyFile::seal_at_cost(&name(), &KeyPair::from_seed(&[1; 32]), &password("correct horse"), CHEAP).unwrap()
}

/// What becomes of a text: the keys' public half, or nothing.
fn opened(text: &[u8]) -> Option<PublicKeys> {
    let file = KeyFile::parse(text).ok()?;
    file.open(&password("correct horse")).unwrap()?;
    Some(file.public_keys())
}

#[test]
fn keys_come_back_with_the_password_only() {
    let file = KeyFile::parse(sealed().to_text().as_bytes()).unwrap();
    let keys = file.open(&password("correct horse")).unwrap().unwrap();
    assert_eq!(keys.to_secrets(), KeyPair::from_seed(&[1; 32]).to_secrets());
    assert!(file.open(&password("correct hors")).unwrap().is_none());
}

#[test]
fn each_flipped_bit_is_refused() {
    let text = sealed().to_text().into_bytes();
    assert!(opened(&text).is_some());
    for bit in 0..text.len() * 8 {
        let mut damaged = text.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(opened(&damaged), None, "bit {} of byte {}", bit % 8, bit / 8);
    }
}

#[test]
fn each_truncation_is_refused() {
    let text = sealed().to_text().into_bytes();
    // The line break at the end is no part of the document.
    for length in 0..text.len() - 1 {
        assert_eq!(opened(&text[..length]), None, "{length} bytes");
    }
}

#[test]
fn each_readable_field_is_bound_to_the_secrets() {
    let text = sealed().to_text();
    let other = KeyPair::from_seed(&[2; 32]);
    let keys = KeyPair::from_seed(&[1; 32]);
    for (from, to) in [
        ("alice@harlem".to_owned(), "carol@harlem".to_owned()),
        (keys.public_key().to_string(), other.public_key().to_string()),
        (keys.encryption_key().to_string(), other.encryption_key().to_string()),
        ("\"iterations\": 1".to_owned(), "\"iterations\": 2".to_owned()),
    ] {
        let changed = text.replace(&from, &to);
        assert_ne!(changed, text);
        assert!(KeyFile::parse(changed.as_bytes()).is_ok(), "{from} is checked by the tag, not by the parser");
        assert_eq!(opened(changed.as_bytes()), None, "{from}");
    }
}

#[test]
fn costs_above_the_ceiling_are_refused_before_any_work() {
    let text = sealed().to_text();
    for (from, to) in [
        ("\"memory_kib\": 8", "\"memory_kib\": 4294967295"),
        ("\"memory_kib\": 8", "\"memory_kib\": 1048577"),
        ("\"memory_kib\": 8", "\"memory_kib\": 7"),
        ("\"memory_kib\": 8", "\"memory_kib\": -1"),
        ("\"iterations\": 1", "\"iterations\": 17"),
        ("\"iterations\": 1", "\"iterations\": 0"),
        ("\"parallelism\": 1", "\"parallelism\": 17"),
        ("\"parallelism\": 1", "\"parallelism\": 0"),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text);
        assert!(matches!(KeyFile::parse(changed.as_bytes()), Err(ParseError::Damaged(_))), "{to}");
    }
}

#[test]
fn a_later_version_and_unknown_fields_are_told_apart() {
    let text = sealed().to_text();
    let later = text.replace("\"version\": 1", "\"version\": 2");
    assert_eq!(KeyFile::parse(later.as_bytes()), Err(ParseError::UnknownVersion(2)));
    let more = text.replace("\"version\": 1", "\"version\": 1, \"note\": 3");
    assert!(matches!(KeyFile::parse(more.as_bytes()), Err(ParseError::Damaged(reason)) if reason.contains("note")));
}

#[test]
fn blanks_between_tokens_do_not_matter() {
    let compact: serde_json::Value = serde_json::from_str(&sealed().to_text()).unwrap();
    assert!(opened(compact.to_string().as_bytes()).is_some());
}

#[test]
fn the_profiles_are_the_documented_ones() {
    assert_eq!(KdfProfile::default().cost(), Cost { memory_kib: 65536, iterations: 3, parallelism: 4 });
    assert_eq!(KdfProfile::Testnet.cost(), Cost { memory_kib: 19456, iterations: 2, parallelism: 1 });
}

/// Key files must stay readable: this file never changes.
#[test]
fn the_format_is_pinned() {
    let text = include_str!("../../tests/golden/key_file_v1.json");
    let file = KeyFile::parse(text.as_bytes()).unwrap();
    assert_eq!(file.to_text(), text);
    let keys = file.open(&password("golden password")).unwrap().unwrap();
    assert_eq!(keys.to_secrets(), KeyPair::from_seed(&[42; 32]).to_secrets());
}
