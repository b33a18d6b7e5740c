//! Nodes whose disk is slow: the kernel lets a process make only so many writes a second to the disk that holds the
//! testnet's folder (control groups: `blkio.throttle.write_iops_device` of version 1, `io.max` of version 2). A sync waits for
//! the writes before it, so that at 5 a second one takes 600 ms. Other processes on the same disk are not slowed.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use galen_types::NodeName;

use crate::error::TestnetError;
use crate::network::Testnet;
use crate::process::NodeProcess;

/// Where control groups are.
const CONTROL_GROUPS: &str = "/sys/fs/cgroup";

/// Lets the running process of a node make only so many writes a second, until [`release_all`] or its end.
///
/// # Errors
/// [`TestnetError`] when it does not run, or the system does not let it.
pub fn slow(testnet: &Testnet, node: &NodeName, writes_per_second: u32) -> Result<(), TestnetError> {
    let failed = |cause: String| TestnetError::SlowDisk { node: node.clone(), cause };
    let process = NodeProcess::find(testnet.folder(), node).ok_or_else(|| failed("it does not run".to_owned()))?;
    let groups = Hierarchy::find(Path::new(CONTROL_GROUPS))
        .ok_or_else(|| failed(format!("{CONTROL_GROUPS} has no control groups of disks")))?;
    let disk = disk_of(testnet.folder().root()).map_err(failed)?;
    groups
        .slow(&group_of(testnet, node), process.pid, &disk, writes_per_second)
        .map_err(|error| failed(format!("{error}; it needs root")))
}

/// Whether disks can be made slow here.
///
/// # Errors
/// What is missing.
pub fn permitted(testnet: &Testnet) -> Result<(), String> {
    disk_of(testnet.folder().root())?;
    let groups = Hierarchy::find(Path::new(CONTROL_GROUPS));
    let groups = groups.ok_or_else(|| format!("{CONTROL_GROUPS} has no control groups of disks"))?;
    let tried = groups.root.join(format!("galen-{}-try", testnet.plan().id()));
    std::fs::create_dir(&tried)
        .and_then(|()| std::fs::remove_dir(&tried))
        .map_err(|error| format!("{error}; it needs root"))
}

/// Lets every node write as fast as the disk can.
///
/// # Errors
/// [`TestnetError`] when the system does not let it.
pub fn release_all(testnet: &Testnet) -> Result<(), TestnetError> {
    let Some(groups) = Hierarchy::find(Path::new(CONTROL_GROUPS)) else { return Ok(()) };
    for node in &testnet.plan().nodes {
        let released = groups.release(&group_of(testnet, &node.name));
        released.map_err(|error| TestnetError::SlowDisk { node: node.name.clone(), cause: error.to_string() })?;
    }
    Ok(())
}

fn group_of(testnet: &Testnet, node: &NodeName) -> String {
    format!("galen-{}-{node}", testnet.plan().id())
}

/// The disk under a folder, `MAJOR:MINOR`.
fn disk_of(folder: &Path) -> Result<String, String> {
    use nix::sys::stat::{major, minor};
    let device = std::fs::metadata(folder).map_err(|error| error.to_string())?.dev();
    let (major, minor) = (major(device), minor(device));
    let entry = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
    if !entry.exists() {
        return Err(format!("{} lies on no disk of its own (a memory or stacked file system)", folder.display()));
    }
    // The kernel slows whole disks only.
    let whole = if entry.join("partition").exists() { entry.join("../dev") } else { entry.join("dev") };
    std::fs::read_to_string(&whole).map(|text| text.trim().to_owned()).map_err(|error| error.to_string())
}

/// The control groups of disks.
struct Hierarchy {
    root: PathBuf,
    /// Version 2: one hierarchy for everything.
    unified: bool,
}

impl Hierarchy {
    fn find(mounted: &Path) -> Option<Self> {
        if mounted.join("blkio/cgroup.procs").exists() {
            return Some(Self { root: mounted.join("blkio"), unified: false });
        }
        let controllers = std::fs::read_to_string(mounted.join("cgroup.controllers")).ok()?;
        let has_io = controllers.split_whitespace().any(|controller| controller == "io");
        has_io.then(|| Self { root: mounted.to_path_buf(), unified: true })
    }

    fn slow(&self, group: &str, pid: i32, disk: &str, writes_per_second: u32) -> std::io::Result<()> {
        let group = self.root.join(group);
        if self.unified {
            std::fs::write(self.root.join("cgroup.subtree_control"), "+io")?;
        }
        if !group.exists() {
            std::fs::create_dir(&group)?;
        }
        let (file, rule) = if self.unified {
            ("io.max", format!("{disk} wiops={writes_per_second}"))
        } else {
            ("blkio.throttle.write_iops_device", format!("{disk} {writes_per_second}"))
        };
        std::fs::write(group.join(file), rule)?;
        std::fs::write(group.join("cgroup.procs"), pid.to_string())
    }

    /// Moves the processes of a group to the root and removes the group, where there is one.
    fn release(&self, group: &str) -> std::io::Result<()> {
        let group = self.root.join(group);
        if !group.exists() {
            return Ok(());
        }
        for pid in std::fs::read_to_string(group.join("cgroup.procs"))?.split_whitespace() {
            match std::fs::write(self.root.join("cgroup.procs"), pid) {
                // It has just ended.
                Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => {}
                written => written?,
            }
        }
        std::fs::remove_dir(&group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that looks like control groups of either version; files stay where the kernel would take what is written.
    fn made(version: u8) -> (tempfile::TempDir, Hierarchy) {
        let folder = tempfile::tempdir().unwrap();
        if version == 1 {
            std::fs::create_dir(folder.path().join("blkio")).unwrap();
            std::fs::write(folder.path().join("blkio/cgroup.procs"), "").unwrap();
        } else {
            std::fs::write(folder.path().join("cgroup.controllers"), "cpuset io memory\n").unwrap();
        }
        let found = Hierarchy::find(folder.path()).unwrap();
        assert_eq!(found.unified, version == 2);
        (folder, found)
    }

    #[test]
    fn either_version_of_control_groups_is_told_what_it_understands() {
        let (folder, groups) = made(1);
        groups.slow("galen-x", 42, "254:0", 5).unwrap();
        let read = |path: &str| std::fs::read_to_string(folder.path().join(path)).unwrap();
        assert_eq!(read("blkio/galen-x/blkio.throttle.write_iops_device"), "254:0 5");
        assert_eq!(read("blkio/galen-x/cgroup.procs"), "42");
        let (folder, groups) = made(2);
        groups.slow("galen-x", 42, "254:0", 5).unwrap();
        let read = |path: &str| std::fs::read_to_string(folder.path().join(path)).unwrap();
        assert_eq!((read("cgroup.subtree_control"), read("galen-x/io.max")), ("+io".into(), "254:0 wiops=5".into()));
        assert!(groups.release("galen-other").is_ok(), "there is nothing to release");
    }

    #[test]
    fn without_control_groups_there_is_none_to_find() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Hierarchy::find(folder.path()).is_none());
        std::fs::write(folder.path().join("cgroup.controllers"), "hugetlb\n").unwrap();
        assert!(Hierarchy::find(folder.path()).is_none());
    }
}
