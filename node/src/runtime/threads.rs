//! A node's threads and tasks: a panic in any of them stops the node, and none of them keeps it from stopping.

use std::collections::HashMap;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::task::{Id, JoinSet};

use super::fatal::Shutdown;
use super::limits;
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

/// The threads of a node between two starts.
#[derive(Default)]
pub(super) struct Threads(Vec<(&'static str, JoinHandle<()>)>);

impl Threads {
    /// Starts a thread.
    pub(super) fn start(
        &mut self,
        name: &'static str,
        shutdown: &Shutdown,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<(), StartError> {
        let watched = Watched { name, shutdown: shutdown.clone() };
        let builder = std::thread::Builder::new().name(name.to_owned());
        let spawned = builder.spawn(move || {
            let _watched = watched;
            body();
        });
        self.0.push((name, spawned.map_err(|error| StartError::System(error.to_string()))?));
        Ok(())
    }

    /// Waits for the threads to end, each of which looks at `shutdown` by itself; `false` when some do not. A thread
    /// cannot be ended from outside: what it holds is held until the process ends.
    pub(super) async fn end(self, patience: Duration) -> bool {
        let mut left = self.0;
        let deadline = Instant::now() + patience;
        loop {
            left.retain(|(_, thread)| !thread.is_finished());
            if left.is_empty() {
                return true;
            }
            if Instant::now() >= deadline {
                let names: Vec<_> = left.iter().map(|(name, _)| *name).collect();
                tracing::error!(code = "threads-slow", threads = ?names, "threads of the node do not end");
                return false;
            }
            tokio::time::sleep(limits::CLOSE_PERIOD).await;
        }
    }
}

/// The tasks of a node between two starts.
pub(super) struct Tasks {
    set: JoinSet<()>,
    names: HashMap<Id, &'static str>,
    shutdown: Shutdown,
}

impl Tasks {
    pub(super) fn new(shutdown: Shutdown) -> Self {
        Self { set: JoinSet::new(), names: HashMap::new(), shutdown }
    }

    /// Starts a task that stops the node when it panics.
    pub(super) fn start(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let watched = Watched { name, shutdown: self.shutdown.clone() };
        let started = self.set.spawn(async move {
            let _watched = watched;
            task.await;
        });
        self.names.insert(started.id(), name);
    }

    /// Waits for the tasks to end, each of which looks at `shutdown` by itself; ends those that have not after `patience`.
    pub(super) async fn end(mut self, patience: Duration) {
        let all = async {
            while let Some(ended) = self.set.join_next_with_id().await {
                let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                self.names.remove(&id);
            }
        };
        if tokio::time::timeout(patience, all).await.is_err() {
            let names: Vec<_> = self.names.values().collect();
            tracing::warn!(code = "tasks-slow", tasks = ?names, "tasks of the node did not end in time and are ended");
            self.set.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_does_not_look_does_not_keep_the_node_from_stopping() {
        let shutdown = Shutdown::default();
        let mut tasks = Tasks::new(shutdown.clone());
        tasks.start("blind", std::future::pending());
        let looks = shutdown.clone();
        tasks.start("looks", async move { looks.stopping().await });
        shutdown.stop();
        tasks.end(Duration::from_millis(50)).await;
        assert_eq!(shutdown.cause(), None);
    }

    #[tokio::test]
    async fn a_thread_that_does_not_end_is_not_waited_for_for_ever() {
        let shutdown = Shutdown::default();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let mut threads = Threads::default();
        threads
            .start("blind", &shutdown, move || {
                let _ = held.recv();
            })
            .unwrap();
        assert!(!threads.end(Duration::from_millis(20)).await);
        drop(release);
        let mut threads = Threads::default();
        threads.start("ends", &shutdown, || {}).unwrap();
        assert!(threads.end(Duration::from_secs(60)).await);
    }

    #[tokio::test]
    async fn a_panic_stops_the_node() {
        let shutdown = Shutdown::default();
        let mut tasks = Tasks::new(shutdown.clone());
        tasks.start("fails", async { panic!("of the test") });
        shutdown.stopping().await;
        tasks.end(Duration::from_secs(60)).await;
        assert_eq!(shutdown.cause().map(|cause| cause.code), Some("internal-error"));
    }
}
