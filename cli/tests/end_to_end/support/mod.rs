//! Testnets that end with their test, waiting for conditions, load, and comparing chains.

mod chains;
mod cluster;
mod load;
pub(crate) mod raw_http;
mod runbook;
mod shell;

pub(crate) use chains::{Acknowledged, assert_once_everywhere, assert_once_on};
pub(crate) use cluster::{Cluster, VOTERS, program, stand_alone};
pub(crate) use load::{Load, publication};
pub(crate) use runbook::Section;
pub(crate) use shell::Shell;

use std::io::Write as _;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long a condition may take to come: many times what it takes on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `look` gives something; a test whose condition never comes fails and says which.
pub(crate) async fn eventually<T>(what: &str, patience: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Bytes that look random and are the same in every run.
pub(crate) fn noise(seed: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Says something that is not to be overlooked, also when the test passes.
pub(crate) fn aloud(text: &str) {
    // Not by a macro that prints, whose text is kept back while the test passes.
    std::io::stderr().write_all(format!("\n!!! {text}\n\n").as_bytes()).unwrap();
}
