//! Raft's own log lines, over to `tracing`.

use slog::{Drain, Level, Logger, Never, OwnedKVList, Record};

/// Passes raft's lines of level info and above to `tracing`. Raft's debug lines print whole messages, with the entries
/// in them, and are dropped.
struct TracingDrain;

impl Drain for TracingDrain {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, _values: &OwnedKVList) -> Result<(), Never> {
        match record.level() {
            Level::Critical | Level::Error => {
                tracing::error!(target: "galen_consensus::raft", "{}", record.msg())
            }
            Level::Warning => tracing::warn!(target: "galen_consensus::raft", "{}", record.msg()),
            Level::Info => tracing::debug!(target: "galen_consensus::raft", "{}", record.msg()),
            Level::Debug | Level::Trace => {}
        }
        Ok(())
    }
}

/// The logger that raft is given.
pub(crate) fn raft_logger(id: u64) -> Logger {
    Logger::root(TracingDrain, slog::o!("node" => id))
}
