//! An auditor can read the verifier whole: it stays short, and what it depends on stays two libraries of cryptography.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests assert by panicking")]

use std::path::Path;

const LINES_MAX: usize = 2_000;
const DEPENDENCIES: [&str; 2] = ["blake3", "ed25519-zebra"];

fn lines(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| match path.is_dir() {
            true => lines(&path),
            false => std::fs::read_to_string(path).unwrap().lines().count(),
        })
        .sum()
}

#[test]
fn it_has_fewer_than_two_thousand_lines() {
    let count = lines(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!((1..LINES_MAX).contains(&count), "{count} lines");
}

#[test]
fn it_depends_on_two_libraries_and_on_nothing_of_this_project() {
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let tables: Vec<_> =
        manifest.lines().filter(|line| line.starts_with('[') && line.contains("dependencies")).collect();
    assert_eq!(tables, ["[dependencies]", "[dev-dependencies]"]);
    let (_, rest) = manifest.split_once("\n[dependencies]\n").unwrap();
    let lines = rest.lines().take_while(|line| !line.starts_with('['));
    let named = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let named: Vec<_> = named.map(|line| line.split(['.', ' ', '=']).next().unwrap()).collect();
    assert_eq!(named, DEPENDENCIES);
}
