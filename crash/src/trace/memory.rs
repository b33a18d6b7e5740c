//! What a stopped thread's registers and memory say.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::Pid;

/// Most bytes of a path (PATH_MAX).
const PATH_BYTES_MAX: usize = 4096;

/// Reads a path that ends with a zero byte.
pub(super) fn path(pid: Pid, address: u64) -> std::io::Result<PathBuf> {
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let mut bytes = Vec::new();
    let mut chunk = [0_u8; 256];
    while bytes.len() < PATH_BYTES_MAX {
        // A chunk may reach into a page that is not there.
        let place = address + bytes.len() as u64;
        let read = memory.read_at(&mut chunk, place).or_else(|_| memory.read_at(&mut chunk[..1], place))?;
        match chunk[..read].iter().position(|byte| *byte == 0) {
            Some(end) => {
                bytes.extend_from_slice(&chunk[..end]);
                return Ok(OsString::from_vec(bytes).into());
            }
            None if read == 0 => break,
            None => bytes.extend_from_slice(&chunk[..read]),
        }
    }
    Err(std::io::ErrorKind::InvalidData.into())
}

/// The path of an open file as the kernel tells it; a removed file's ends in ` (deleted)`.
pub(super) fn open_path(pid: Pid, descriptor: i32) -> Option<PathBuf> {
    std::fs::read_link(descriptor_path(pid, descriptor)).ok()
}

/// Where an open file can be opened anew.
pub(super) fn descriptor_path(pid: Pid, descriptor: i32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/fd/{descriptor}"))
}

/// The position of an open file.
pub(super) fn position(pid: Pid, descriptor: i32) -> std::io::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{descriptor}"))?;
    let position = text.lines().find_map(|line| line.strip_prefix("pos:")?.trim().parse().ok());
    position.ok_or_else(|| std::io::ErrorKind::InvalidData.into())
}

/// A path given to a call, relative to a folder's descriptor or to the working folder, with links of its folder resolved.
pub(super) fn place(pid: Pid, folder: i32, path: &Path) -> std::io::Result<PathBuf> {
    let base = match folder {
        libc::AT_FDCWD => std::fs::read_link(format!("/proc/{pid}/cwd"))?,
        descriptor => std::fs::read_link(descriptor_path(pid, descriptor))?,
    };
    let whole = base.join(path);
    match (whole.parent(), whole.file_name()) {
        (Some(parent), Some(name)) => Ok(parent.canonicalize()?.join(name)),
        _ => whole.canonicalize(),
    }
}
