//! Asking a person before something is done that is not easily undone.

use std::io::{self, IsTerminal as _, Write as _};

use crate::error::CliError;

/// Whether a person can be asked.
fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

fn answer(question: &str) -> Result<String, CliError> {
    let failed = |error: io::Error| CliError::failed(format!("the answer cannot be read: {error}"));
    let mut stderr = io::stderr().lock();
    write!(stderr, "{question} ").and_then(|()| stderr.flush()).map_err(failed)?;
    let mut line = String::new();
    io::stdin().read_line(&mut line).map_err(failed)?;
    Ok(line.trim().to_owned())
}

fn not_done() -> CliError {
    CliError::failed("nothing was done")
}

/// Asks y or N where a person looks on; programs have decided already, and `yes` says so.
pub(crate) fn confirm(question: &str, yes: bool) -> Result<(), CliError> {
    if yes || !is_terminal() {
        return Ok(());
    }
    let given = answer(&format!("{question} [y/N]"))?;
    if matches!(given.as_str(), "y" | "Y" | "yes") { Ok(()) } else { Err(not_done()) }
}

/// Has a name typed before what cannot be undone; a program must say it by `flag`.
pub(crate) fn confirm_by_name(what: &str, name: &str, yes: bool, flag: &str) -> Result<(), CliError> {
    if yes {
        return Ok(());
    }
    if !is_terminal() {
        return Err(CliError::usage(format!("{what}: this cannot be undone")).or_hint(format!("say so with {flag}")));
    }
    let given = answer(&format!("{what}: this cannot be undone.\nType `{name}` to go on:"))?;
    if given == name { Ok(()) } else { Err(not_done()) }
}
