//! System calls by what they do to files.

use std::path::{Path, PathBuf};

use nix::unistd::Pid;

use super::memory;

/// What a call does to files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Makes a file.
    Create,
    /// Makes a folder.
    MakeFolder,
    /// Writes bytes.
    Write,
    /// Changes a file's length.
    Resize,
    /// Makes a file's bytes, or a folder's names, durable.
    Sync,
    /// Renames.
    Rename,
    /// Gives a file another name.
    Link,
    /// Takes a name away.
    Remove,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Create, Self::MakeFolder, Self::Write, Self::Resize, Self::Sync, Self::Rename, Self::Link, Self::Remove];

    /// Those that a full disk fails.
    pub const NEED_SPACE: [Self; 4] = [Self::Create, Self::MakeFolder, Self::Write, Self::Link];
}

impl std::fmt::Display for Kind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Create => "create",
            Self::MakeFolder => "make-folder",
            Self::Write => "write",
            Self::Resize => "resize",
            Self::Sync => "sync",
            Self::Rename => "rename",
            Self::Link => "link",
            Self::Remove => "remove",
        })
    }
}

/// A call with what it names, before it is made.
#[derive(Debug, Clone)]
pub(super) enum Call {
    /// Opens a file, and makes or empties it.
    Open { path: PathBuf, is_new: bool, truncates: bool },
    /// Writes at a place, or at the file's position.
    Write { descriptor: i32, path: PathBuf, at: Option<u64> },
    /// Changes a file's length.
    Resize { path: PathBuf, file: PathBuf },
    /// Makes a file or folder durable.
    Sync { descriptor: i32, path: PathBuf },
    /// Makes a folder.
    MakeFolder { path: PathBuf },
    /// Renames.
    Rename { from: PathBuf, to: PathBuf },
    /// Gives a file another name.
    Link { from: PathBuf, to: PathBuf },
    /// Takes a name away.
    Remove { path: PathBuf },
    /// Something else that changes files.
    Unmodelled { call: &'static str, path: PathBuf },
}

impl Call {
    /// What it does; `None` when it changes nothing that is recorded.
    pub(super) fn kind(&self) -> Option<Kind> {
        match self {
            Self::Open { is_new: true, .. } => Some(Kind::Create),
            Self::Open { truncates: true, .. } | Self::Resize { .. } => Some(Kind::Resize),
            Self::Open { .. } | Self::Unmodelled { .. } => None,
            Self::Write { .. } => Some(Kind::Write),
            Self::Sync { .. } => Some(Kind::Sync),
            Self::MakeFolder { .. } => Some(Kind::MakeFolder),
            Self::Rename { .. } => Some(Kind::Rename),
            Self::Link { .. } => Some(Kind::Link),
            Self::Remove { .. } => Some(Kind::Remove),
        }
    }

    /// The file that it changes.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Open { path, .. }
            | Self::Write { path, .. }
            | Self::Resize { path, .. }
            | Self::Sync { path, .. }
            | Self::MakeFolder { path }
            | Self::Remove { path }
            | Self::Unmodelled { path, .. } => path,
            Self::Rename { to, .. } | Self::Link { to, .. } => to,
        }
    }

    /// Reads a call from a stopped thread; `None` when it is none, or changes nothing under `root`.
    pub(super) fn read(pid: Pid, number: i64, arguments: [u64; 6], root: &Path) -> Option<Self> {
        let call = Reader { pid, arguments, root }.call(number)?;
        let is_inside = match &call {
            Self::Rename { from, to } | Self::Link { from, to } => from.starts_with(root) || to.starts_with(root),
            call => call.path().starts_with(root),
        };
        is_inside.then_some(call)
    }
}

/// How room that was set aside is given back.
const BEHIND_THE_END: i32 = libc::FALLOC_FL_KEEP_SIZE | libc::FALLOC_FL_PUNCH_HOLE;

struct Reader<'trace> {
    pid: Pid,
    arguments: [u64; 6],
    root: &'trace Path,
}

impl Reader<'_> {
    fn call(&self, number: i64) -> Option<Call> {
        let here = libc::AT_FDCWD;
        Some(match number {
            libc::SYS_open => self.open(self.named(here, 0)?, self.int(1)),
            libc::SYS_creat => self.open(self.named(here, 0)?, libc::O_CREAT | libc::O_TRUNC),
            libc::SYS_openat => self.open(self.named(self.int(0), 1)?, self.int(2)),
            libc::SYS_write | libc::SYS_writev => self.write(0, None)?,
            libc::SYS_pwrite64 | libc::SYS_pwritev => self.write(0, Some(self.arguments[3]))?,
            libc::SYS_copy_file_range if self.arguments[3] == 0 => self.write(2, None)?,
            libc::SYS_sendfile => self.write(0, None)?,
            libc::SYS_ftruncate => Call::Resize { file: self.descriptor(0), path: self.opened(0)? },
            libc::SYS_truncate => {
                let path = self.named(here, 0)?;
                Call::Resize { file: path.clone(), path }
            }
            // Room that is set aside and not seen changes nothing.
            libc::SYS_fallocate if self.int(1) == libc::FALLOC_FL_KEEP_SIZE => return None,
            // Nor does giving back room behind the file's end.
            libc::SYS_fallocate if self.int(1) == BEHIND_THE_END && self.is_behind_the_end() => return None,
            libc::SYS_fallocate if self.int(1) == 0 => Call::Resize { file: self.descriptor(0), path: self.opened(0)? },
            libc::SYS_fsync | libc::SYS_fdatasync => Call::Sync { descriptor: self.int(0), path: self.opened(0)? },
            libc::SYS_rename => Call::Rename { from: self.named(here, 0)?, to: self.named(here, 1)? },
            libc::SYS_renameat | libc::SYS_renameat2 => {
                Call::Rename { from: self.named(self.int(0), 1)?, to: self.named(self.int(2), 3)? }
            }
            libc::SYS_link => Call::Link { from: self.named(here, 0)?, to: self.named(here, 1)? },
            libc::SYS_linkat => Call::Link { from: self.named(self.int(0), 1)?, to: self.named(self.int(2), 3)? },
            libc::SYS_unlink | libc::SYS_rmdir => Call::Remove { path: self.named(here, 0)? },
            libc::SYS_unlinkat => Call::Remove { path: self.named(self.int(0), 1)? },
            libc::SYS_mkdir => Call::MakeFolder { path: self.named(here, 0)? },
            libc::SYS_mkdirat => Call::MakeFolder { path: self.named(self.int(0), 1)? },
            libc::SYS_symlink => Call::Unmodelled { call: "symlink", path: self.named(here, 1)? },
            libc::SYS_symlinkat => Call::Unmodelled { call: "symlinkat", path: self.named(self.int(1), 2)? },
            libc::SYS_fallocate => Call::Unmodelled { call: "fallocate", path: self.opened(0)? },
            libc::SYS_pwritev2 => Call::Unmodelled { call: "pwritev2", path: self.opened(0)? },
            libc::SYS_copy_file_range => Call::Unmodelled { call: "copy_file_range", path: self.opened(2)? },
            libc::SYS_mmap => Call::Unmodelled { call: "mmap", path: self.opened(4)? },
            libc::SYS_sync | libc::SYS_syncfs => Call::Unmodelled { call: "sync", path: self.root.to_path_buf() },
            libc::SYS_io_uring_enter => Call::Unmodelled { call: "io_uring", path: self.root.to_path_buf() },
            _ => return None,
        })
    }

    fn int(&self, argument: usize) -> i32 {
        // The kernel takes the lower half of the register.
        #[expect(clippy::cast_possible_truncation, reason = "as the kernel does")]
        let int = self.arguments[argument] as i32;
        int
    }

    /// The path that an argument names, relative to a folder.
    fn named(&self, folder: i32, argument: usize) -> Option<PathBuf> {
        // What cannot be resolved is not there: the call fails by itself.
        memory::place(self.pid, folder, &memory::path(self.pid, self.arguments[argument]).ok()?).ok()
    }

    /// The path of the file that an argument's descriptor has open; `None` of a socket, a pipe, ...
    fn opened(&self, argument: usize) -> Option<PathBuf> {
        memory::open_path(self.pid, self.int(argument)).filter(|path| path.is_absolute())
    }

    /// Whether the place that fallocate(2) is given lies behind the file's end.
    fn is_behind_the_end(&self) -> bool {
        self.descriptor(0).metadata().is_ok_and(|metadata| self.arguments[2] >= metadata.len())
    }

    fn descriptor(&self, argument: usize) -> PathBuf {
        memory::descriptor_path(self.pid, self.int(argument))
    }

    fn open(&self, path: PathBuf, flags: i32) -> Call {
        let is_new = flags & libc::O_CREAT != 0 && path.symlink_metadata().is_err();
        Call::Open { path, is_new, truncates: flags & libc::O_TRUNC != 0 }
    }

    fn write(&self, argument: usize, at: Option<u64>) -> Option<Call> {
        Some(Call::Write { descriptor: self.int(argument), path: self.opened(argument)?, at })
    }
}
