//! The log writer thread: owns the ordering log, writes and syncs what the ordering thread hands out. Whatever gathered
//! during one sync goes into the next (group commit). After a failed write or sync nothing is tried again: the node stops.

use std::sync::mpsc::{Receiver, SyncSender};

use galen_consensus::vfs::RealVfs;
use galen_consensus::{Extent, Log, Persist};
use tokio::sync::watch;

use super::fatal::Shutdown;
use super::metrics::RuntimeMetrics;
use super::ordering::OrderingInput;

/// Runs until the ordering thread drops its end, or a write fails.
pub(super) fn run(
    mut log: Log<RealVfs>,
    writes: &Receiver<Vec<Persist>>,
    ordering: &SyncSender<OrderingInput>,
    extent: &watch::Sender<Extent>,
    shutdown: &Shutdown,
    metrics: &RuntimeMetrics,
) {
    while let Ok(mut batch) = writes.recv() {
        while let Ok(more) = writes.try_recv() {
            batch.extend(more);
        }
        let Some(token) = batch.last().map(|persist| persist.token) else { continue };
        let started = std::time::Instant::now();
        if let Err(error) = log.append(&batch) {
            let _ = ordering.send(OrderingInput::PersistFailed(error.to_string()));
            shutdown.fail(error.code(), format_args!("the ordering log cannot be written: {error}"));
            return;
        }
        extent.send_replace(log.extent());
        metrics.log_sync_seconds.observe(started.elapsed().as_secs_f64());
        if ordering.send(OrderingInput::Persisted(token)).is_err() {
            return;
        }
    }
}
