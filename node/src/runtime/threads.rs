//! A node's threads and tasks: a panic in any of them stops the node.

use super::fatal::Shutdown;
use super::start::StartError;

/// Stops the node when the thread or task that holds it panics: without it the others would only seem to work.
struct Watched {
    name: &'static str,
    shutdown: Shutdown,
}

impl Drop for Watched {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shutdown.fail("internal-error", format_args!("`{}` panicked; the lines above say where", self.name));
        }
    }
}

/// Starts a thread.
pub(super) fn thread(
    name: &'static str,
    shutdown: &Shutdown,
    body: impl FnOnce() + Send + 'static,
) -> Result<std::thread::JoinHandle<()>, StartError> {
    let watched = Watched { name, shutdown: shutdown.clone() };
    let builder = std::thread::Builder::new().name(name.to_owned());
    let spawned = builder.spawn(move || {
        let _watched = watched;
        body();
    });
    spawned.map_err(|error| StartError::System(error.to_string()))
}

/// A task that stops the node when it panics.
pub(super) async fn watched(name: &'static str, shutdown: Shutdown, task: impl Future<Output = ()>) {
    let _watched = Watched { name, shutdown };
    task.await;
}
