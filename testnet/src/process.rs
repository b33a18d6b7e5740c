//! A node as a process: started detached from the terminal, known by its pid and start time, so that a pid given anew to
//! another program is never signalled.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use galen_types::NodeName;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::TestnetError;
use crate::folder::Folder;

/// How long a node may take to stop when asked before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked whether it did.
const STOP_LOOK: Duration = Duration::from_millis(20);

/// A process of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeProcess {
    /// Its pid.
    pub pid: i32,
    /// When the kernel started it, in clock ticks since boot.
    started: u64,
}

impl NodeProcess {
    /// The living process of a node, if there is one.
    pub fn find(folder: &Folder, node: &NodeName) -> Option<Self> {
        let text = std::fs::read_to_string(folder.pid(node)).ok()?;
        let (pid, started) = text.trim().split_once(' ')?;
        let process = Self { pid: pid.parse().ok()?, started: started.parse().ok()? };
        process.is_alive().then_some(process)
    }

    /// Starts a node's process: `program node run --home HOME`.
    ///
    /// # Errors
    /// [`TestnetError`] when it cannot be started.
    pub fn start(folder: &Folder, node: &NodeName, program: &Path) -> Result<Self, TestnetError> {
        Self::spawn(folder, node, program, None)
    }

    /// The same with a listening socket on which it serves HTTP.
    ///
    /// # Errors
    /// [`TestnetError`] when it cannot be started.
    pub fn start_with_socket(
        folder: &Folder,
        node: &NodeName,
        program: &Path,
        http: TcpListener,
    ) -> Result<Self, TestnetError> {
        Self::spawn(folder, node, program, Some(http))
    }

    fn spawn(
        folder: &Folder,
        node: &NodeName,
        program: &Path,
        http: Option<TcpListener>,
    ) -> Result<Self, TestnetError> {
        let log_path = folder.log(node);
        let file_error = |error| TestnetError::file(&log_path, error);
        let log = File::options().create(true).append(true).open(&log_path).map_err(file_error)?;
        let error_log = log.try_clone().map_err(file_error)?;
        let failed = |cause: std::io::Error| TestnetError::Process { node: node.clone(), cause: cause.to_string() };
        let child = Command::new(program)
            .args(["node", "run", "--home"])
            .arg(folder.home(node).root())
            .args(http.is_some().then_some("--http-on-stdin"))
            .stdin(http.map_or_else(Stdio::null, |socket| OwnedFd::from(socket).into()))
            .stdout(log)
            .stderr(error_log)
            // A group of its own: an interrupt typed at the terminal is not meant for it.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let pid = i32::try_from(child.id()).map_err(|error| failed(std::io::Error::other(error)))?;
        let started = start_time(pid).unwrap_or(0);
        let path = folder.pid(node);
        std::fs::write(&path, format!("{pid} {started}\n")).map_err(|error| TestnetError::file(&path, error))?;
        reap_when_done(child);
        Ok(Self { pid, started })
    }

    /// Whether it lives, or has threads that still end: until the last one is gone its files are locked.
    pub fn is_alive(&self) -> bool {
        start_time(self.pid) == Some(self.started)
    }

    /// Ends it at once, as a crash would (SIGKILL), and waits until it is gone.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
        self.wait_gone(STOP_PATIENCE);
    }

    /// Asks it to stop (SIGTERM) and waits; kills it when it does not.
    pub fn stop(&self) {
        self.signal(Signal::SIGTERM);
        // One that is paused would not hear it.
        self.signal(Signal::SIGCONT);
        if !self.wait_gone(STOP_PATIENCE) {
            self.kill();
        }
    }

    /// Sends a signal, unless it is gone.
    pub fn signal(&self, signal: Signal) {
        if self.is_alive() {
            // It may end between the look and the signal; then there is nothing to do.
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }

    fn wait_gone(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.is_alive() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(STOP_LOOK);
        }
        true
    }
}

/// Collects the exit status, so that an ended node does not stay behind as a zombie of a long-running starter.
fn reap_when_done(mut child: std::process::Child) {
    std::thread::spawn(move || {
        let _ = child.wait();
    });
}

/// When the kernel started a process, if it runs: field 22 of `/proc/PID/stat` (proc(5)). A zombie does not run, unless
/// it is only the first thread of a process whose other threads still end.
fn start_time(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let threads: u32 = fields.get(17)?.parse().ok()?;
    match *fields.first()? {
        "Z" | "X" if threads <= 1 => None,
        _ => fields.get(19)?.parse().ok(),
    }
}

/// The end of a log: at most so many lines of its last 16 KiB.
pub fn tail(path: &Path, lines: usize) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(16 << 10)))?;
        let mut bytes = Vec::new();
        file.take(16 << 10).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_else(|error| format!("(cannot be read: {error})"));
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_given_anew_to_another_program_is_not_taken_for_the_node() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Folder::new(folder.path());
        let node: NodeName = "node-1.harlem".parse().unwrap();
        assert_eq!(NodeProcess::find(&folder, &node), None);
        std::fs::create_dir_all(folder.home(&node).root()).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let started = start_time(own).unwrap();
        std::fs::write(folder.pid(&node), format!("{own} {started}\n")).unwrap();
        assert_eq!(NodeProcess::find(&folder, &node), Some(NodeProcess { pid: own, started }));
        std::fs::write(folder.pid(&node), format!("{own} {}\n", started + 1)).unwrap();
        assert_eq!(NodeProcess::find(&folder, &node), None);
    }

    #[test]
    fn the_tail_of_a_log_is_its_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let text: String = (0..10_000).map(|line| format!("line {line}\n")).collect();
        std::fs::write(&path, text).unwrap();
        assert_eq!(tail(&path, 2), "line 9998\nline 9999");
        assert!(tail(&folder.path().join("none"), 2).starts_with("(cannot be read"));
    }
}
