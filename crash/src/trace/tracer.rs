//! The loop that runs a process from stop to stop.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::call::{Call, Kind};
use super::strike::{Action, Strike, Struck};
use super::{Ended, Launch, TraceError, filter, lock, memory};
use crate::disk::Recording;

pub(super) struct Tracer {
    leader: Pid,
    root: PathBuf,
    recording: Arc<Mutex<Recording>>,
    strike: Option<Strike>,
    lying_syncs: Option<String>,
    /// How many calls counted so far.
    counted: usize,
    /// Whether the strike's error is there to stay.
    lasting: Option<Errno>,
    struck: Option<Struck>,
    calls: Vec<Kind>,
    /// Threads that were seen stopping once: the first stop of a new one is its birth.
    born: HashSet<Pid>,
    /// Calls that are being made.
    underway: HashMap<Pid, Underway>,
    status: Option<ExitStatus>,
}

/// A call that is being made.
struct Underway {
    call: Call,
    /// The moment of its beginning.
    begun: usize,
    /// What its file, or the name that goes, stands for.
    object: Option<usize>,
    /// What it returns, where it is not made at all.
    instead: Option<i64>,
    /// Whether a sync says what is not true.
    lies: bool,
}

impl Tracer {
    pub(super) fn start(launch: Launch, recording: Arc<Mutex<Recording>>) -> Result<Self, TraceError> {
        let program = filter::program()?;
        let failed = |cause| TraceError::Spawn { program: launch.program.clone(), cause };
        let mut command = Command::new(&launch.program);
        command
            .args(&launch.arguments)
            .envs(launch.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stderr(launch.output.try_clone().map_err(failed)?)
            .stdout(launch.output.try_clone().map_err(failed)?);
        let prepare = move || {
            seccompiler::apply_filter(&program).map_err(|_| std::io::Error::last_os_error())?;
            Ok(ptrace::traceme()?)
        };
        #[expect(unsafe_code, reason = "runs between fork and exec: two system calls, no allocation, no lock")]
        // SAFETY: `prepare` makes system calls only, which are safe after a fork of a program with threads.
        unsafe {
            command.pre_exec(prepare);
        }
        let child = command.spawn().map_err(failed)?;
        let leader = Pid::from_raw(i32::try_from(child.id()).map_err(|error| failed(std::io::Error::other(error)))?);
        // It stops once the program is in place.
        waitpid(leader, Some(WaitPidFlag::__WALL))?;
        ptrace::setoptions(
            leader,
            ptrace::Options::PTRACE_O_TRACESECCOMP
                | ptrace::Options::PTRACE_O_TRACESYSGOOD
                | ptrace::Options::PTRACE_O_TRACECLONE
                | ptrace::Options::PTRACE_O_TRACEFORK
                | ptrace::Options::PTRACE_O_TRACEVFORK
                | ptrace::Options::PTRACE_O_TRACEEXEC
                | ptrace::Options::PTRACE_O_EXITKILL,
        )?;
        let root = lock(&recording).root().to_path_buf();
        Ok(Self {
            leader,
            root,
            recording,
            strike: launch.strike,
            lying_syncs: launch.lying_syncs,
            counted: 0,
            lasting: None,
            struck: None,
            calls: Vec::new(),
            born: HashSet::from([leader]),
            underway: HashMap::new(),
            status: None,
        })
    }

    pub(super) fn pid(&self) -> Pid {
        self.leader
    }

    /// Runs the process to its end.
    pub(super) fn run(mut self) -> Result<Ended, TraceError> {
        go_on(self.leader, None, false)?;
        let result = self.turn();
        if result.is_err() {
            let _ = nix::sys::signal::kill(self.leader, Signal::SIGKILL);
            while waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)).is_ok() {}
        }
        result?;
        let status = self.status.ok_or(TraceError::Gone)?;
        Ok(Ended { status, calls: self.calls, struck: self.struck })
    }

    fn turn(&mut self) -> Result<(), TraceError> {
        loop {
            let stop = match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)) {
                Ok(stop) => stop,
                Err(Errno::EINTR) => continue,
                Err(Errno::ECHILD) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            match stop {
                WaitStatus::Exited(pid, code) if pid == self.leader => {
                    self.status = Some(ExitStatus::from_raw(code << 8));
                }
                WaitStatus::Signaled(pid, signal, _) if pid == self.leader => {
                    self.status = Some(ExitStatus::from_raw(signal as i32));
                }
                WaitStatus::PtraceEvent(pid, _, libc::PTRACE_EVENT_SECCOMP) => {
                    self.born.insert(pid);
                    let returns = gone_is_fine(self.enter(pid), false)?;
                    go_on(pid, None, returns)?;
                }
                WaitStatus::PtraceSyscall(pid) => {
                    gone_is_fine(self.leave(pid), ())?;
                    go_on(pid, None, false)?;
                }
                WaitStatus::PtraceEvent(pid, _, _) => go_on(pid, None, false)?,
                WaitStatus::Stopped(pid, signal) => {
                    let is_birth = self.born.insert(pid) && signal == Signal::SIGSTOP;
                    go_on(pid, (!is_birth).then_some(signal), false)?;
                }
                _ => {}
            }
        }
    }

    /// Before a call: whether its return is waited for.
    fn enter(&mut self, pid: Pid) -> Result<bool, TraceError> {
        let mut registers = ptrace::getregs(pid)?;
        let arguments = [registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9];
        let number = i64::from_ne_bytes(registers.orig_rax.to_ne_bytes());
        let Some(call) = Call::read(pid, number, arguments, &self.root) else { return Ok(false) };
        if let Call::Unmodelled { call, path } = call {
            return Err(TraceError::Unmodelled { call, path });
        }
        let Some(kind) = call.kind() else { return Ok(false) };
        let (begun, object) = {
            let recording = lock(&self.recording);
            let object = match &call {
                Call::Write { descriptor, .. } | Call::Sync { descriptor, .. } => {
                    recording.object(&memory::descriptor_path(pid, *descriptor))
                }
                Call::Resize { file, .. } => recording.object(file),
                Call::Remove { path } => recording.object(path),
                _ => None,
            };
            (recording.moment(), object)
        };
        self.calls.push(kind);
        let lies = kind == Kind::Sync
            && self.lying_syncs.as_deref().is_some_and(|text| call.path().to_string_lossy().contains(text));
        let mut instead = lies.then_some(0);
        if let Some(strike) = self.strike.clone().filter(|strike| strike.counts(kind, call.path())) {
            self.counted += 1;
            if self.counted == strike.at {
                self.struck = Some(Struck { kind, path: call.path().to_path_buf() });
                match strike.action {
                    Action::Kill => {
                        // The call may be a child's of the process.
                        for process in [self.leader, pid] {
                            let _ = nix::sys::signal::kill(process, Signal::SIGKILL);
                        }
                        return Ok(false);
                    }
                    Action::Fail { error, lasts } => {
                        instead = Some(-i64::from(error as i32));
                        self.lasting = lasts.then_some(error);
                    }
                    Action::Halve { error } => {
                        self.lasting = Some(error);
                        if matches!(number, libc::SYS_write | libc::SYS_pwrite64) && registers.rdx > 1 {
                            registers.rdx /= 2;
                            ptrace::setregs(pid, registers)?;
                        } else {
                            instead = Some(-i64::from(error as i32));
                        }
                    }
                }
            } else if let Some(error) = self.lasting {
                instead = Some(-i64::from(error as i32));
            }
        }
        if let Some(result) = instead {
            // A call of this number is not made; what it returns stands here already.
            registers.orig_rax = u64::MAX;
            registers.rax = u64::from_ne_bytes(result.to_ne_bytes());
            ptrace::setregs(pid, registers)?;
        }
        self.underway.insert(pid, Underway { call, begun, object, instead, lies });
        Ok(true)
    }

    /// After a call.
    fn leave(&mut self, pid: Pid) -> Result<(), TraceError> {
        let Some(Underway { call, begun, object, instead, lies }) = self.underway.remove(&pid) else { return Ok(()) };
        let mut registers = ptrace::getregs(pid)?;
        if let Some(result) = instead {
            let result = u64::from_ne_bytes(result.to_ne_bytes());
            if registers.rax != result {
                registers.rax = result;
                ptrace::setregs(pid, registers)?;
            }
        }
        let result = i64::from_ne_bytes(registers.rax.to_ne_bytes());
        let mut recording = lock(&self.recording);
        if result < 0 {
            if let (Call::Sync { .. }, Some(object)) = (&call, object) {
                recording.synced(object, begun, false);
            }
            return Ok(());
        }
        let done = match &call {
            Call::Open { path, is_new: true, .. } => recording.made(path),
            Call::Open { path, .. } => recording.object(path).map(|file| recording.resized(file, 0)),
            Call::MakeFolder { path } => recording.made(path),
            Call::Rename { from, to } => recording.moved(from, to),
            Call::Link { to, .. } => recording.linked(to),
            Call::Remove { path } => object.and_then(|object| recording.removed(path, object)),
            Call::Sync { .. } if lies => Some(()),
            Call::Sync { .. } => object.map(|object| recording.synced(object, begun, true)),
            Call::Resize { file, path } => {
                let metadata = file.metadata().map_err(|cause| TraceError::Read { path: path.clone(), cause })?;
                object.map(|object| recording.resized(object, metadata.len()))
            }
            Call::Write { descriptor, path, at } => {
                let failed = |cause| TraceError::Read { path: path.clone(), cause };
                let mut bytes = vec![0; usize::try_from(result).unwrap_or(0)];
                let offset = match at {
                    Some(at) => *at,
                    None => memory::position(pid, *descriptor).map_err(failed)?.saturating_sub(result.unsigned_abs()),
                };
                let file = File::open(memory::descriptor_path(pid, *descriptor)).map_err(failed)?;
                file.read_exact_at(&mut bytes, offset).map_err(failed)?;
                object.map(|object| recording.wrote(object, offset, bytes))
            }
            Call::Unmodelled { .. } => Some(()),
        };
        done.ok_or_else(|| TraceError::Unmodelled {
            call: "a call on a file that came from elsewhere",
            path: call.path().to_path_buf(),
        })
    }
}

/// Lets a stopped thread go on, with a signal for it, until its call returns if that is wanted.
fn go_on(pid: Pid, signal: Option<Signal>, until_return: bool) -> Result<(), TraceError> {
    let went = if until_return { ptrace::syscall(pid, signal) } else { ptrace::cont(pid, signal) };
    gone_is_fine(went.map_err(TraceError::from), ())
}

/// A thread may be killed while it is stopped.
fn gone_is_fine<T>(result: Result<T, TraceError>, gone: T) -> Result<T, TraceError> {
    match result {
        Err(TraceError::Ptrace(Errno::ESRCH)) => Ok(gone),
        other => other,
    }
}
