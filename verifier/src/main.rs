//! `galen-verify FILE GENESIS [--recovery HASH]...`: checks an offline proof against the hash of a founding
//! document. Exit code 0: it holds; 1: it does not; 2: wrong usage.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use galen_verifier::{Hash, PROOF_BYTES_MAX, Trust, hash_from_hex, verify};

const USAGE: &str = "usage: galen-verify FILE GENESIS [--recovery HASH]...
  FILE      a proof, made by `galen proof get`
  GENESIS   the hash of the chain's founding document (`galen genesis hash my-genesis.toml`), or a file that begins with it
  HASH      a recovery after a lost quorum that the members told you of";

/// Most bytes looked at of a file that holds a hash.
const HASH_FILE_BYTES_MAX: u64 = 128;

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(text) => match std::io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(Problem::Usage(text)) => said(&text, 2),
        Err(Problem::Refused(text)) => said(&text, 1),
    }
}

enum Problem {
    Usage(String),
    Refused(String),
}

fn said(text: &str, code: u8) -> ExitCode {
    // Nothing can be said about an error stream that cannot be written.
    let _ = writeln!(std::io::stderr(), "{text}");
    code.into()
}

fn run(arguments: impl Iterator<Item = String>) -> Result<String, Problem> {
    let usage = || Problem::Usage(USAGE.to_owned());
    let (mut places, mut recoveries) = (Vec::new(), Vec::new());
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--recovery" => {
                let hash = arguments.next().as_deref().and_then(hash_from_hex);
                recoveries.push(hash.ok_or_else(usage)?);
            }
            option if option.starts_with('-') => return Err(usage()),
            _ => places.push(argument),
        }
    }
    let [file, genesis] = places.as_slice() else { return Err(usage()) };
    let trust = Trust { genesis: trusted(genesis)?, recoveries };
    let bytes = read(file, PROOF_BYTES_MAX as u64 + 1)?;
    let verdict = verify(&bytes, &trust);
    let verdict = verdict.map_err(|refusal| Problem::Refused(format!("not proven ({}): {refusal}", refusal.code())));
    Ok(verdict?.to_string())
}

/// The first `most` bytes of a file.
fn read(path: &str, most: u64) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(most).read_to_end(&mut bytes))
        .map_err(|error| Problem::Usage(format!("{path}: {error}")))?;
    Ok(bytes)
}

/// A hash as it is given, or as a file begins with it.
fn trusted(text: &str) -> Result<Hash, Problem> {
    if let Some(hash) = hash_from_hex(text) {
        return Ok(hash);
    }
    let bytes = read(text, HASH_FILE_BYTES_MAX)?;
    let first = std::str::from_utf8(&bytes).ok().and_then(|text| text.split_whitespace().next());
    first.and_then(hash_from_hex).ok_or_else(|| {
        Problem::Usage(format!(
            "{text} does not begin with a hash. Of a founding document, give the hash: `galen genesis hash {text}`"
        ))
    })
}
