//! Logging: one subscriber for the process, as text for people or JSON for machines, to standard error.
//!
//! What is logged is chosen by a filter in the syntax of `tracing_subscriber::EnvFilter`, e.g.
//! `info,galen_node::http=debug`; the environment variable [`FILTER_VARIABLE`] wins over the configuration.

use std::io;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Overrides [`LogSettings::filter`].
pub const FILTER_VARIABLE: &str = "GALEN_LOG";

/// How lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line of text an event.
    #[default]
    Text,
    /// One JSON object an event, with the fields of its spans.
    Json,
}

/// What is logged if nothing else is said. Gossip warns of each message that is judged after it left its memory, which
/// under load are many, and which nobody can do anything about.
const FILTER: &str = "info,libp2p_gossipsub=error";

/// The `[log]` table of a node's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// How lines are written.
    pub format: LogFormat,
    /// What is logged.
    pub filter: String,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: FILTER.to_owned() }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not one.
    #[error("the log filter `{filter}` cannot be read: {problem}; write it like `info` or `info,galen_node=debug`")]
    Filter {
        /// As given.
        filter: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The process logs already.
    #[error("logging is already set up in this process; set it up once, at start")]
    AlreadySet,
}

impl TelemetryError {
    /// A stable code for interfaces and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Filter { .. } => "log-filter-malformed",
            Self::AlreadySet => "log-already-set",
        }
    }
}

fn filter(settings: &LogSettings, variable: Option<String>) -> Result<EnvFilter, TelemetryError> {
    let text = variable.filter(|text| !text.trim().is_empty()).unwrap_or_else(|| settings.filter.clone());
    EnvFilter::builder()
        .parse(&text)
        .map_err(|error| TelemetryError::Filter { problem: error.to_string(), filter: text })
}

/// Sets up logging for the process.
///
/// # Errors
/// [`TelemetryError`] when the filter is malformed or logging was set up before.
pub fn start(settings: &LogSettings) -> Result<(), TelemetryError> {
    let filter = filter(settings, std::env::var(FILTER_VARIABLE).ok())?;
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_span_events(FmtSpan::NONE);
    match settings.format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).try_init(),
    }
    .map_err(|_| TelemetryError::AlreadySet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_filter_is_refused_with_an_example() {
        let settings = LogSettings { filter: "info,galen=nonsense=more".to_owned(), ..LogSettings::default() };
        let error = filter(&settings, None).unwrap_err();
        assert_eq!(error.code(), "log-filter-malformed");
        assert!(error.to_string().contains("galen_node=debug"), "{error}");
    }

    #[test]
    fn the_variable_wins_unless_it_is_blank() {
        let settings = LogSettings::default();
        assert_eq!(filter(&settings, Some("warn".to_owned())).unwrap().to_string(), "warn");
        assert_eq!(
            filter(&settings, Some(" ".to_owned())).unwrap().to_string(),
            filter(&settings, None).unwrap().to_string()
        );
    }
}
