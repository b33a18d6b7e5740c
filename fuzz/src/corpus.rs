//! The files: `corpus/TARGET/` holds valid encodings and inputs that reached something, `crashes/TARGET/` every input
//! that once was a finding.

use std::path::{Path, PathBuf};

use crate::campaign::Finding;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Where a target's corpus lies.
pub fn folder(target: &str) -> PathBuf {
    root().join("corpus").join(target)
}

/// Where a target's former findings lie.
pub fn crashes(target: &str) -> PathBuf {
    root().join("crashes").join(target)
}

/// The inputs in a folder, by name; none where there is no folder.
pub fn read(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .map(|entry| entry.path())
        .filter_map(|path| std::fs::read(&path).ok().map(|bytes| (path, bytes)))
        .collect();
    files.sort();
    files
}

/// A name for an input.
pub fn name_of(input: &[u8]) -> String {
    blake3::hash(input).to_hex().as_str()[..16].to_owned()
}

/// Writes an input under its own name.
///
/// # Panics
/// When the folder cannot be written.
pub fn keep(folder: &Path, input: &[u8]) -> PathBuf {
    std::fs::create_dir_all(folder).expect("the folder can be made");
    let path = folder.join(name_of(input));
    std::fs::write(&path, input).expect("the input can be written");
    path
}

/// Keeps a finding and says how to see it again.
pub fn report(target: &str, finding: &Finding) -> String {
    let path = keep(&crashes(target), &finding.input);
    format!(
        "{target}: {}\n  input of {} bytes, in {}\n  see it again: cargo run -p galen-fuzz -- replay {target} {}",
        finding.cause,
        finding.input.len(),
        path.display(),
        path.display(),
    )
}
