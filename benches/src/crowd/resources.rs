//! What a node's process holds, as the kernel counts it (proc(5)), and how many files this one may open.

use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::error::BenchError;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(250);

/// The most that a process held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Held {
    /// Open files and sockets.
    pub descriptors_max: u64,
    /// Memory that is not paged out, MiB.
    pub resident_mib_max: u64,
}

impl Held {
    fn now(pid: i32) -> Option<Self> {
        let descriptors_max = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: u64 = resident.split_whitespace().next()?.parse().ok()?;
        Some(Self { descriptors_max, resident_mib_max: kibibytes.div_ceil(1024) })
    }

    /// The greater of each.
    pub(super) fn max(self, other: Self) -> Self {
        Self {
            descriptors_max: self.descriptors_max.max(other.descriptors_max),
            resident_mib_max: self.resident_mib_max.max(other.resident_mib_max),
        }
    }
}

/// Looks at a process over and over.
pub(super) struct Watch(JoinHandle<()>, tokio::sync::watch::Receiver<Held>);

impl Watch {
    pub(super) fn start(pid: i32) -> Self {
        let (held, most) = tokio::sync::watch::channel(Held::default());
        let look = async move {
            while let Some(now) = Held::now(pid) {
                held.send_modify(|held| *held = held.max(now));
                sleep(LOOK).await;
            }
        };
        Self(tokio::spawn(look), most)
    }

    /// The most that it held since the start.
    pub(super) fn stop(self) -> Held {
        self.0.abort();
        *self.1.borrow()
    }
}

/// Lets this process open so many files.
pub(super) fn allow_descriptors(wanted: u64) -> Result<(), BenchError> {
    let failed = |error: nix::Error| BenchError::Options(format!("open files cannot be allowed: {error}"));
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(failed)?;
    if wanted > hard {
        return Err(BenchError::Options(format!(
            "so large a crowd takes {wanted} open files, and this process may have {hard}; raise the limit (`ulimit -Hn`), or let fewer come"
        )));
    }
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(wanted), hard).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_holds_files_and_memory_and_may_not_hold_any_number() {
        let own = i32::try_from(std::process::id()).unwrap();
        let held = Held::now(own).unwrap();
        assert!(held.descriptors_max >= 3 && held.resident_mib_max >= 1, "{held:?}");
        assert!(Held::now(-1).is_none());
        allow_descriptors(64).unwrap();
        assert!(allow_descriptors(u64::MAX).unwrap_err().to_string().contains("ulimit"));
    }
}
