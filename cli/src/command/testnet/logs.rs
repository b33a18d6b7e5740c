use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::error::CliError;
use crate::output::Output;

/// How often it is looked whether the log has grown.
const LOOK: Duration = Duration::from_millis(200);

/// Prints a log line by line; with `follow` until interrupted.
pub(super) async fn print(path: &Path, follow: bool, output: Output) -> Result<(), CliError> {
    let failed = |error: std::io::Error| CliError::file(path, &error);
    let mut reader = BufReader::new(File::open(path).map_err(failed)?);
    let mut line = Vec::new();
    loop {
        let read = reader.read_until(b'\n', &mut line).map_err(failed)?;
        // A line that is still being written is shown whole, once it is.
        let whole = line.last() == Some(&b'\n');
        if !line.is_empty() && (whole || !follow) {
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches('\n');
            if output.is_json() { output.json_line(&json!({ "line": text }))? } else { output.text(text)? }
            line.clear();
        }
        match (read, follow) {
            (0, false) => return Ok(()),
            (0, true) => tokio::time::sleep(LOOK).await,
            _ => {}
        }
    }
}
