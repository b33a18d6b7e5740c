//! The folders that a loss of power may leave.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::recording::{Change, Initial, Name, Object, ROOT, Recording};

/// What a loss of power does to changes that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loss {
    /// All are lost.
    All,
    /// Those before a moment stay, in the order in which they came.
    Suffix,
    /// Each stays or goes by itself.
    Some,
    /// As [`Loss::Some`], and of each write only some sectors of 512 bytes stay.
    Sectors512,
    /// The same with sectors of 4,096 bytes.
    Sectors4096,
    /// Bytes stay; names that were not synced are lost.
    Names,
    /// Names and lengths stay; bytes that were not synced are zero.
    Zeroes,
}

impl Loss {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::All, Self::Suffix, Self::Some, Self::Sectors512, Self::Sectors4096, Self::Names, Self::Zeroes];
}

impl std::fmt::Display for Loss {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::All => "all",
            Self::Suffix => "suffix",
            Self::Some => "some",
            Self::Sectors512 => "sectors-512",
            Self::Sectors4096 => "sectors-4096",
            Self::Names => "names",
            Self::Zeroes => "zeroes",
        })
    }
}

/// How a change fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Not synced.
    Open,
    /// Synced.
    Durable,
    /// A sync of it failed: no later one makes it durable.
    Forsaken,
}

/// A folder as a loss of power leaves it.
#[derive(Debug)]
pub struct Image {
    objects: Vec<Left>,
}

#[derive(Debug)]
struct Left {
    is_folder: bool,
    mode: u32,
    bytes: Vec<u8>,
    names: BTreeMap<OsString, Object>,
}

impl Image {
    /// What a loss of power at a moment of the recording leaves. The same seed leaves the same.
    pub fn after(recording: &Recording, moment: usize, loss: Loss, seed: u64) -> Self {
        let changes = &recording.changes[..moment.min(recording.changes.len())];
        let mut image = Self { objects: recording.objects.iter().map(Left::of).collect() };
        let fates = fates(changes);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let open: Vec<usize> = (0..changes.len()).filter(|at| fates[*at] != Fate::Durable).collect();
        let suffix = open.get(random.random_range(0..=open.len())).copied().unwrap_or(changes.len());
        for (at, change) in changes.iter().enumerate() {
            if fates[at] == Fate::Durable {
                image.apply(change);
                continue;
            }
            match loss {
                Loss::All => {}
                Loss::Suffix if at >= suffix => {}
                Loss::Suffix => image.apply(change),
                Loss::Some if random.random() => {}
                Loss::Some => image.apply(change),
                Loss::Sectors512 => image.apply_sectors(change, 512, &mut random),
                Loss::Sectors4096 => image.apply_sectors(change, 4096, &mut random),
                Loss::Names if matches!(change, Change::Write { .. } | Change::Resize { .. }) => image.apply(change),
                Loss::Names => {}
                Loss::Zeroes => image.apply_length(change),
            }
        }
        image
    }

    /// Everything as it stood at a moment: what the end of a process leaves.
    pub fn at(recording: &Recording, moment: usize) -> Self {
        let mut image = Self { objects: recording.objects.iter().map(Left::of).collect() };
        recording.changes[..moment.min(recording.changes.len())].iter().for_each(|change| image.apply(change));
        image
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Write { file, offset, bytes } => self.write(*file, *offset, bytes),
            Change::Resize { file, length } => self.objects[*file].bytes.resize(size(*length), 0),
            Change::Enter { name, object } => self.enter(name, *object),
            Change::Leave { name, object } => self.leave(name, *object),
            Change::Move { from, to, object } => {
                self.leave(from, *object);
                self.enter(to, *object);
            }
            Change::Sync { .. } => {}
        }
    }

    /// Applies some sectors of a write, and other changes by the toss of a coin.
    fn apply_sectors(&mut self, change: &Change, sector: u64, random: &mut ChaCha8Rng) {
        let Change::Write { file, offset, bytes } = change else {
            if random.random() {
                self.apply(change);
            }
            return;
        };
        let end = offset + bytes.len() as u64;
        let mut start = *offset;
        while start < end {
            let next = ((start / sector + 1) * sector).min(end);
            if random.random() {
                self.write(*file, start, &bytes[size(start - offset)..size(next - offset)]);
            }
            start = next;
        }
    }

    /// Applies names and lengths, no bytes.
    fn apply_length(&mut self, change: &Change) {
        if let Change::Write { file, offset, bytes } = change {
            let end = size(*offset) + bytes.len();
            let content = &mut self.objects[*file].bytes;
            content.resize(content.len().max(end), 0);
        } else {
            self.apply(change);
        }
    }

    fn write(&mut self, file: Object, offset: u64, bytes: &[u8]) {
        let content = &mut self.objects[file].bytes;
        let (start, end) = (size(offset), size(offset) + bytes.len());
        content.resize(content.len().max(end), 0);
        content[start..end].copy_from_slice(bytes);
    }

    fn enter(&mut self, name: &Name, object: Object) {
        self.objects[name.folder].names.insert(name.name.clone(), object);
    }

    fn leave(&mut self, name: &Name, object: Object) {
        let names = &mut self.objects[name.folder].names;
        if names.get(&name.name) == Some(&object) {
            names.remove(&name.name);
        }
    }

    /// The same number for the same files; another one, most likely, for others.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash_folder(ROOT, &mut hasher);
        hasher.finish()
    }

    fn hash_folder(&self, object: Object, hasher: &mut DefaultHasher) {
        let left = &self.objects[object];
        left.names.len().hash(hasher);
        for (name, object) in &left.names {
            (name, self.objects[*object].is_folder).hash(hasher);
            if self.objects[*object].is_folder {
                self.hash_folder(*object, hasher);
            } else {
                self.objects[*object].bytes.hash(hasher);
            }
        }
    }

    /// Writes the image into a folder that does not exist yet.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_to(&self, folder: &Path) -> std::io::Result<()> {
        self.write_folder(ROOT, folder)
    }

    fn write_folder(&self, object: Object, path: &Path) -> std::io::Result<()> {
        let left = &self.objects[object];
        std::fs::DirBuilder::new().mode(left.mode).create(path)?;
        for (name, object) in &left.names {
            let (left, path) = (&self.objects[*object], path.join(name));
            if left.is_folder {
                self.write_folder(*object, &path)?;
            } else {
                let mut file = std::fs::OpenOptions::new();
                let mut file = file.write(true).create_new(true).mode(left.mode).open(&path)?;
                std::io::Write::write_all(&mut file, &left.bytes)?;
            }
        }
        Ok(())
    }
}

impl Left {
    fn of(initial: &Initial) -> Self {
        Self {
            is_folder: initial.is_folder,
            mode: initial.mode,
            bytes: initial.bytes.clone(),
            names: initial.names.iter().cloned().collect(),
        }
    }
}

/// How each change fared until the last one.
fn fates(changes: &[Change]) -> Vec<Fate> {
    let mut fates = vec![Fate::Open; changes.len()];
    let mut open: BTreeMap<Object, Vec<usize>> = BTreeMap::new();
    for (at, change) in changes.iter().enumerate() {
        match change {
            Change::Write { file, .. } | Change::Resize { file, .. } => open.entry(*file).or_default().push(at),
            Change::Enter { name, .. } | Change::Leave { name, .. } => open.entry(name.folder).or_default().push(at),
            Change::Move { from, to, .. } => {
                open.entry(from.folder).or_default().push(at);
                if to.folder != from.folder {
                    open.entry(to.folder).or_default().push(at);
                }
            }
            Change::Sync { object, begun, succeeded } => {
                fates[at] = Fate::Durable;
                let fate = if *succeeded { Fate::Durable } else { Fate::Forsaken };
                let waiting = open.entry(*object).or_default();
                for earlier in waiting.iter().filter(|earlier| **earlier < *begun) {
                    if fates[*earlier] == Fate::Open {
                        fates[*earlier] = fate;
                    }
                }
                waiting.retain(|earlier| *earlier >= *begun);
            }
        }
    }
    fates
}

/// Files of a traced process fit into memory.
fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
