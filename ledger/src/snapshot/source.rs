//! Serving a snapshot: its manifest, and its parts cut from the state's rows when they are asked for.

use std::path::{Path, PathBuf};

use galen_types::encoding::Encoding as _;
use wincode::{SchemaRead, SchemaWrite};

use super::manifest::{Manifest, Part, PartDigest};
use super::{DATABASE, INDEX, SnapshotError, check};
use crate::constants::{
    SNAPSHOT_CACHE_BYTES, SNAPSHOT_MANIFEST_BYTES_MAX, SNAPSHOT_PART_BYTES_MAX, SNAPSHOT_PARTS_MAX,
};
use crate::folder;
use crate::halt::Halt;
use crate::history;
use crate::ledger::Ledger;
use crate::meta;
use crate::store::column::{Headers, State};
use crate::store::{Span, Store};
use crate::view::Row;

/// What is kept beside a snapshot's rows.
#[derive(Debug, Clone, SchemaWrite, SchemaRead)]
struct Index {
    manifest: Manifest,
    /// Each part's first key.
    starts: Vec<Vec<u8>>,
}

/// Most bytes of a stored index: a key is shorter than 400 bytes.
const INDEX_BYTES_MAX: usize = SNAPSHOT_MANIFEST_BYTES_MAX + 400 * SNAPSHOT_PARTS_MAX;

/// Bytes that a row of a part takes beside its key and value: their lengths.
const ROW_FRAME_BYTES: usize = 16;
/// Bytes of an encoded part without rows: their number.
const PART_FRAME_BYTES: usize = 8;

/// A snapshot that is served. Shared by threads.
pub struct SnapshotSource {
    store: Store,
    path: PathBuf,
    index: Index,
}

/// Cuts rows into parts as they come.
struct Cutter {
    /// Bytes of a part beyond which it is cut.
    part_bytes: usize,
    rows: Vec<Row>,
    bytes: usize,
    starts: Vec<Vec<u8>>,
    digests: Vec<PartDigest>,
}

impl Cutter {
    fn new(part_bytes: usize) -> Self {
        Self { part_bytes, rows: Vec::new(), bytes: 0, starts: Vec::new(), digests: Vec::new() }
    }

    fn push(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), SnapshotError> {
        let bytes = ROW_FRAME_BYTES + key.len() + value.len();
        if !self.rows.is_empty() && PART_FRAME_BYTES + self.bytes + bytes > self.part_bytes {
            self.cut()?;
        }
        self.bytes += bytes;
        self.rows.push((key, value));
        Ok(())
    }

    fn cut(&mut self) -> Result<(), SnapshotError> {
        let Some((start, _)) = self.rows.first() else { return Ok(()) };
        if self.bytes > SNAPSHOT_PART_BYTES_MAX - PART_FRAME_BYTES || self.digests.len() == SNAPSHOT_PARTS_MAX {
            return Err(SnapshotError::Manifest("the state is larger than a snapshot may be"));
        }
        self.starts.push(start.clone());
        let part = Part { rows: std::mem::take(&mut self.rows) };
        self.digests.push(PartDigest::of(&part.encode(), part.rows.len()));
        self.bytes = 0;
        Ok(())
    }
}

/// Checks the copy of a ledger in `folder`, and writes beside it what serving it needs. Gives its height.
pub(super) fn index(folder: &Path, halt: &Halt, part_bytes: usize) -> Result<Manifest, SnapshotError> {
    // Compares the tree's leaves with the header's root, and applied height, headers and history with each other.
    let ledger = Ledger::open_read_only(&folder.join(DATABASE))?;
    let tip = ledger.tip()?;
    let header = tip.header.ok_or(SnapshotError::NoBlock)?;
    let mut cutter = Cutter::new(part_bytes);
    let rows = check::check_state(&ledger, halt, |key, value| cutter.push(key, value))?;
    cutter.cut()?;
    let history = history::range_before(&ledger.store.reader(), header.height)?;
    let bytes = cutter.digests.iter().map(|part| u64::from(part.bytes)).sum();
    let manifest = Manifest { header, history, parts: cutter.digests, rows, bytes };
    manifest.check()?;
    let index = Index { manifest, starts: cutter.starts };
    folder::write(&folder.join(INDEX), &index.encode())?;
    Ok(index.manifest)
}

impl SnapshotSource {
    /// Opens the snapshot in a folder.
    ///
    /// # Errors
    /// [`SnapshotError::Absent`] when there is none; when it cannot be read or is not what its index says.
    pub fn open(path: &Path) -> Result<Self, SnapshotError> {
        let absent = || SnapshotError::Absent { path: path.to_owned() };
        let bytes = folder::read(&path.join(INDEX), INDEX_BYTES_MAX)?.ok_or_else(absent)?;
        let unsound = |problem: &str| SnapshotError::Files {
            path: path.join(INDEX),
            problem: format!("it is damaged: {problem}"),
        };
        let index = Index::decode(&bytes, INDEX_BYTES_MAX).map_err(|error| unsound(&error.to_string()))?;
        index.manifest.check()?;
        if index.starts.len() != index.manifest.parts.len() {
            return Err(unsound("it names another number of parts"));
        }
        let store = Store::open_read_only(&path.join(DATABASE), SNAPSHOT_CACHE_BYTES, SNAPSHOT_CACHE_BYTES)?;
        let header = &index.manifest.header;
        let reader = store.reader();
        let height = meta::get::<meta::Progress>(&reader)?.map(|progress| progress.height);
        if height != Some(header.height) || reader.get::<Headers>(&header.height)?.as_ref() != Some(header) {
            return Err(unsound("it names another block than the copy beside it"));
        }
        drop(reader);
        Ok(Self { store, path: path.to_owned(), index })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The height of the block after which the state stands.
    pub fn height(&self) -> u64 {
        self.index.manifest.header.height
    }

    /// What it holds.
    pub fn manifest(&self) -> &Manifest {
        &self.index.manifest
    }

    /// The bytes of a part, as the manifest names them; `None` beyond the last.
    ///
    /// # Errors
    /// When the rows cannot be read, or are no longer those of the manifest.
    pub fn part(&self, index: u32) -> Result<Option<Vec<u8>>, SnapshotError> {
        let place = index as usize;
        let (Some(start), Some(digest)) = (self.index.starts.get(place), self.index.manifest.parts.get(place)) else {
            return Ok(None);
        };
        let span = Span { from: start.clone(), until: self.index.starts.get(place + 1).cloned(), reverse: false };
        let reader = self.store.reader();
        // One row more than there should be is enough to see that there are more.
        let rows = reader.sweep::<State>(span)?.take(digest.rows as usize + 1).collect::<Result<Vec<_>, _>>()?;
        let part = Part { rows };
        let bytes = part.encode();
        if PartDigest::of(&bytes, part.rows.len()) != *digest {
            let problem = format!("part {index} is no longer what the manifest names");
            return Err(SnapshotError::Unsound { height: self.height(), problem });
        }
        Ok(Some(bytes))
    }
}
