//! A process under ptrace(2): it stops before each system call that changes files under one folder, in whichever thread,
//! and again after it. What the call did goes into a [`Recording`]; a [`Strike`] ends the process there, or fails the call.

mod call;
mod filter;
mod memory;
mod strike;
mod tracer;

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::disk::Recording;
pub use call::Kind;
pub use strike::{Action, Strike, Struck};

/// What is started under the tracer.
#[derive(Debug)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<std::ffi::OsString>,
    /// Variables set beside the inherited ones.
    pub environment: Vec<(String, std::ffi::OsString)>,
    /// Where its output and error output go.
    pub output: File,
    /// What is done to it.
    pub strike: Option<Strike>,
    /// Syncs of files whose path holds this text do nothing and say that they did: a program in which the sync is
    /// missing.
    pub lying_syncs: Option<String>,
}

/// Why a process could not be traced to its end.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The filter of system calls.
    #[error("the filter of system calls cannot be made: {0}")]
    Filter(String),
    /// The program does not start.
    #[error("{program} cannot be started: {cause}")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// The system's words.
        cause: std::io::Error,
    },
    /// ptrace(2) or waitpid(2) is refused.
    #[error("the process cannot be traced ({0}); containers may forbid it: allow SYS_PTRACE")]
    Ptrace(#[from] nix::Error),
    /// What a call did cannot be read back.
    #[error("what the process did with {path} cannot be read: {cause}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// The system's words.
        cause: std::io::Error,
    },
    /// A call changed files in a way that the recording does not know.
    #[error("the process changed {path} by {call}, which is not modelled")]
    Unmodelled {
        /// The call.
        call: &'static str,
        /// Which file.
        path: PathBuf,
    },
    /// The thread that traces is gone.
    #[error("the tracing thread ended")]
    Gone,
}

/// How a traced process ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Its exit status or signal.
    pub status: ExitStatus,
    /// The kinds of its calls under the folder, in order.
    pub calls: Vec<Kind>,
    /// Where the strike fell, if it did.
    pub struck: Option<Struck>,
}

/// A process that runs under the tracer. It is killed when this is dropped before its end.
#[derive(Debug)]
pub struct Traced {
    pid: Pid,
    end: Receiver<Result<Ended, TraceError>>,
    ended: bool,
}

impl Traced {
    /// Starts a process; what it changes under the recording's folder goes into the recording.
    ///
    /// # Errors
    /// [`TraceError`] when it does not start.
    pub fn start(launch: Launch, recording: Arc<Mutex<Recording>>) -> Result<Self, TraceError> {
        let (started, starting) = std::sync::mpsc::channel();
        let (done, end) = std::sync::mpsc::channel();
        // The thread that starts a process is the one that may trace it.
        std::thread::spawn(move || {
            let end = tracer::Tracer::start(launch, recording).and_then(|tracer| {
                let _ = started.send(tracer.pid());
                tracer.run()
            });
            drop(started);
            let _ = done.send(end);
        });
        match starting.recv() {
            Ok(pid) => Ok(Self { pid, end, ended: false }),
            Err(_) => Err(end.recv().ok().and_then(Result::err).unwrap_or(TraceError::Gone)),
        }
    }

    /// Sends a signal, unless it is gone.
    pub fn signal(&self, signal: Signal) {
        if !self.ended {
            let _ = nix::sys::signal::kill(self.pid, signal);
        }
    }

    /// Waits for its end; `None` when it has not come within `patience`.
    ///
    /// # Errors
    /// [`TraceError`] when it could not be traced to its end.
    pub fn wait(&mut self, patience: Duration) -> Option<Result<Ended, TraceError>> {
        match self.end.recv_timeout(patience) {
            Ok(end) => {
                self.ended = true;
                Some(end)
            }
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => None,
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => Some(Err(TraceError::Gone)),
        }
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        if !self.ended {
            // Until it is gone its files are locked.
            let _ = self.end.recv_timeout(Duration::from_secs(20));
        }
    }
}

fn lock(recording: &Mutex<Recording>) -> std::sync::MutexGuard<'_, Recording> {
    recording.lock().unwrap_or_else(PoisonError::into_inner)
}
