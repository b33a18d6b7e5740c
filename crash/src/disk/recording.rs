//! What happened to the files and names under a folder, in order.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A file or folder, whatever its names.
pub(super) type Object = usize;

/// A name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub(super) folder: Object,
    pub(super) name: OsString,
}

/// A change, or a sync.
#[derive(Debug, Clone)]
pub enum Change {
    /// Bytes were written.
    Write {
        /// To this file.
        file: Object,
        /// From this byte on.
        offset: u64,
        /// These.
        bytes: Vec<u8>,
    },
    /// A file has another length.
    Resize {
        /// The file.
        file: Object,
        /// Its bytes.
        length: u64,
    },
    /// A name stands for an object.
    Enter {
        /// The name.
        name: Name,
        /// The object.
        object: Object,
    },
    /// A name is gone.
    Leave {
        /// The name.
        name: Name,
        /// What it stood for.
        object: Object,
    },
    /// An object has another name.
    Move {
        /// The old name.
        from: Name,
        /// The new one.
        to: Name,
        /// The object.
        object: Object,
    },
    /// An object's changes are durable, those before `begun`; or can never be, as the sync failed.
    Sync {
        /// The object.
        object: Object,
        /// The number of changes when the sync began.
        begun: usize,
        /// Whether it succeeded.
        succeeded: bool,
    },
}

/// What an object was when the recording began, or when it was made: empty then.
#[derive(Debug, Clone)]
pub(super) struct Initial {
    pub(super) is_folder: bool,
    pub(super) mode: u32,
    pub(super) bytes: Vec<u8>,
    pub(super) names: Vec<(OsString, Object)>,
}

/// The changes of everything under a folder since the recording began.
#[derive(Debug, Clone)]
pub struct Recording {
    root: PathBuf,
    pub(super) objects: Vec<Initial>,
    pub(super) changes: Vec<Change>,
    /// Device and inode of each object that lives.
    inodes: HashMap<(u64, u64), Object>,
}

/// The object of a folder that a recording began with.
pub(super) const ROOT: Object = 0;

impl Recording {
    /// Begins with what lies under a folder, which counts as durable.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn begin(root: &Path) -> std::io::Result<Self> {
        let root = root.canonicalize()?;
        let mut recording =
            Self { root: root.clone(), objects: Vec::new(), changes: Vec::new(), inodes: HashMap::new() };
        recording.take_in(&root)?;
        Ok(recording)
    }

    fn take_in(&mut self, path: &Path) -> std::io::Result<Object> {
        let metadata = path.symlink_metadata()?;
        if let Some(known) = self.inodes.get(&key(&metadata)) {
            return Ok(*known);
        }
        let object = self.add(&metadata);
        if metadata.is_dir() {
            let mut names = Vec::new();
            for entry in std::fs::read_dir(path)? {
                let entry = entry?;
                names.push((entry.file_name(), self.take_in(&entry.path())?));
            }
            self.objects[object].names = names;
        } else {
            self.objects[object].bytes = std::fs::read(path)?;
        }
        Ok(object)
    }

    fn add(&mut self, metadata: &std::fs::Metadata) -> Object {
        let object = self.objects.len();
        self.inodes.insert(key(metadata), object);
        self.objects.push(Initial {
            is_folder: metadata.is_dir(),
            mode: metadata.mode() & 0o7777,
            bytes: Vec::new(),
            names: Vec::new(),
        });
        object
    }

    /// The folder, with links resolved.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// How many changes there were so far: the moment of now.
    pub fn moment(&self) -> usize {
        self.changes.len()
    }

    /// The changes so far.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// What a path stands for now.
    pub fn object(&self, path: &Path) -> Option<Object> {
        self.inodes.get(&key(&path.metadata().ok()?)).copied()
    }

    fn name(&self, path: &Path) -> Option<Name> {
        Some(Name { folder: self.object(path.parent()?)?, name: path.file_name()?.to_owned() })
    }

    /// A file or folder was made.
    pub(crate) fn made(&mut self, path: &Path) -> Option<()> {
        let metadata = path.metadata().ok()?;
        let name = self.name(path)?;
        let object = self.add(&metadata);
        self.changes.push(Change::Enter { name, object });
        Some(())
    }

    /// An object got a further name.
    pub(crate) fn linked(&mut self, path: &Path) -> Option<()> {
        let change = Change::Enter { name: self.name(path)?, object: self.object(path)? };
        self.changes.push(change);
        Some(())
    }

    /// An object was renamed.
    pub(crate) fn moved(&mut self, from: &Path, to: &Path) -> Option<()> {
        let change = Change::Move { from: self.name(from)?, to: self.name(to)?, object: self.object(to)? };
        self.changes.push(change);
        Some(())
    }

    /// A name of an object was taken away.
    pub(crate) fn removed(&mut self, path: &Path, object: Object) -> Option<()> {
        let change = Change::Leave { name: self.name(path)?, object };
        self.changes.push(change);
        Some(())
    }

    /// Bytes were written.
    pub(crate) fn wrote(&mut self, file: Object, offset: u64, bytes: Vec<u8>) {
        self.changes.push(Change::Write { file, offset, bytes });
    }

    /// A file's length was changed.
    pub(crate) fn resized(&mut self, file: Object, length: u64) {
        self.changes.push(Change::Resize { file, length });
    }

    /// An object was synced, by a call that began at a moment.
    pub(crate) fn synced(&mut self, object: Object, begun: usize, succeeded: bool) {
        self.changes.push(Change::Sync { object, begun, succeeded });
    }
}

fn key(metadata: &std::fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
