//! Where words go: data to stdout, everything else to stderr.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;
use serde_json::json;

use crate::arguments::Global;
use crate::error::CliError;
use crate::table::Table;

/// How to speak to whoever started us.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    verbose: bool,
}

/// A list as one JSON document.
#[derive(Serialize)]
struct Items<'list, Item> {
    items: &'list [Item],
}

impl Output {
    pub(crate) fn new(global: &Global) -> Self {
        Self { json: global.json, quiet: global.quiet, verbose: global.verbose > 0 }
    }

    /// Whether JSON is asked for.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Whether progress may be drawn.
    pub(crate) fn shows_progress(self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }

    /// Data: a document as JSON, or as `human` puts it.
    pub(crate) fn document(self, value: &impl Serialize, human: impl FnOnce() -> String) -> Result<(), CliError> {
        if self.json { self.json_line(value) } else { self.text(&human()) }
    }

    /// Data: a list as `{"items": [...]}` or as a table; `nothing` is said on stderr when it is empty.
    pub(crate) fn list<Item: Serialize>(
        self,
        items: &[Item],
        nothing: &str,
        table: impl FnOnce(&[Item]) -> Table,
    ) -> Result<(), CliError> {
        if self.json {
            return self.json_line(&Items { items });
        }
        if items.is_empty() {
            self.note(nothing);
            return Ok(());
        }
        self.text(&table(items).render())
    }

    /// Data: one line of JSON.
    pub(crate) fn json_line(self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string(value).map_err(|error| CliError::failed(error.to_string()))?;
        self.text(&text)
    }

    /// Data: text, with a line break at its end.
    pub(crate) fn text(self, text: &str) -> Result<(), CliError> {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        self.bytes(format!("{text}{end}").as_bytes())
    }

    /// Data: bytes as they are.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Result<(), CliError> {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
        written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => CliError::ClosedPipe,
            _ => CliError::Output(error),
        })
    }

    /// What a person wants to know besides the data.
    pub(crate) fn note(self, text: &str) {
        if !self.quiet {
            // Nothing can be said about a stderr that cannot be written.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// What only the curious want to know.
    pub(crate) fn detail(self, text: &str) {
        if self.verbose {
            self.note(text);
        }
    }

    /// What went wrong, and what to do.
    pub(crate) fn error(self, error: &CliError) {
        if matches!(error, CliError::ClosedPipe) {
            return;
        }
        let mut stderr = io::stderr().lock();
        let _ = if self.json {
            let document = json!({ "code": error.code(), "detail": error.to_string(), "hint": error.hint() });
            writeln!(stderr, "{document}")
        } else {
            writeln!(stderr, "error: {error}").and_then(|()| match error.hint() {
                Some(hint) => writeln!(stderr, "hint: {hint}"),
                None => Ok(()),
            })
        };
    }
}
