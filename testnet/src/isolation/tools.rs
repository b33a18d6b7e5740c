//! `ip` and `tc` as they are on every Linux: exact commands in, their own words out when they fail.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::error::TestnetError;

/// Runs `ip` with arguments.
pub(super) fn ip<'argument>(arguments: impl IntoIterator<Item = &'argument str>) -> Result<(), TestnetError> {
    run("ip", arguments, "").map(drop)
}

/// Runs lines of `ip` in a namespace; the first that fails ends them.
pub(super) fn batch(namespace: &str, lines: &str) -> Result<(), TestnetError> {
    run("ip", ["-n", namespace, "-batch", "-"], lines).map(drop)
}

/// Runs `tc` in a namespace; what it printed.
pub(super) fn tc<'argument>(
    namespace: &'argument str,
    arguments: impl IntoIterator<Item = &'argument str>,
) -> Result<String, TestnetError> {
    run("tc", ["-n", namespace].into_iter().chain(arguments), "")
}

fn run<'argument>(
    tool: &str,
    arguments: impl IntoIterator<Item = &'argument str>,
    input: &str,
) -> Result<String, TestnetError> {
    let arguments: Vec<&str> = arguments.into_iter().collect();
    let failed = |cause: String| TestnetError::Isolation { command: format!("{tool} {}", arguments.join(" ")), cause };
    let start = || -> std::io::Result<std::process::Output> {
        let mut child = Command::new(tool)
            .args(&arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // It may have failed before it read everything; its own words say why.
            let _ = stdin.write_all(input.as_bytes());
        }
        child.wait_with_output()
    };
    let output = start().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => failed(format!("`{tool}` is not installed (Debian's package iproute2)")),
        _ => failed(error.to_string()),
    })?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_fails_is_quoted_with_its_command() {
        let error = run("ls", ["/nowhere/at/all"], "").unwrap_err();
        assert_eq!(error.code(), "testnet-isolation");
        let text = error.to_string();
        assert!(text.contains("ls /nowhere/at/all") && text.contains("No such file"), "{text}");
        let text = run("no-such-tool-anywhere", [], "").unwrap_err().to_string();
        assert!(text.contains("is not installed"), "{text}");
        assert_eq!(run("cat", [], "as it is").unwrap(), "as it is");
    }
}
