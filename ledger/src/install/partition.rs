//! Entries of the state tree, sorted into files by the first byte of the key's hash: the first step of sorting them all
//! in bounded memory. Parts come in the order of keys, the tree stands in the order of their hashes.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use galen_types::Hash;

use crate::constants::{BUILD_ENTRIES_MAX, PARTITION_BUFFER_BYTES, PARTITIONS};
use crate::folder;
use crate::snapshot::SnapshotError;
use crate::tree::bucket::ENTRY_BYTES;
use crate::tree::prepare::Change;

/// The files, being written.
pub(super) struct Partitions {
    folder: PathBuf,
    files: Vec<BufWriter<File>>,
}

impl Partitions {
    pub(super) fn create(folder: &Path) -> Result<Self, SnapshotError> {
        folder::create(folder)?;
        let mut files = Vec::with_capacity(PARTITIONS);
        for partition in 0..PARTITIONS {
            let path = path(folder, partition);
            let file = File::create(&path).map_err(folder::failed(&path, "it cannot be created"))?;
            files.push(BufWriter::with_capacity(PARTITION_BUFFER_BYTES, file));
        }
        Ok(Self { folder: folder.to_owned(), files })
    }

    pub(super) fn add(&mut self, key: &Hash, value: &Hash) -> Result<(), SnapshotError> {
        let partition = usize::from(key.as_bytes()[0]);
        let file = &mut self.files[partition];
        let written = file.write_all(key.as_bytes()).and_then(|()| file.write_all(value.as_bytes()));
        written.map_err(folder::failed(&path(&self.folder, partition), "it cannot be written"))
    }

    /// Gives all entries, sorted within each chunk of at most [`BUILD_ENTRIES_MAX`], in the order of partitions. A
    /// partition is one chunk, unless keys were ground into it.
    pub(super) fn drain(
        self,
        mut each: impl FnMut(Vec<Change>) -> Result<(), SnapshotError>,
    ) -> Result<(), SnapshotError> {
        for (partition, file) in self.files.into_iter().enumerate() {
            let path = path(&self.folder, partition);
            let failed = |error: std::io::Error| folder::failed(&path, "it cannot be written")(error);
            file.into_inner().map_err(|error| failed(error.into_error()))?;
            let failed = folder::failed(&path, "it cannot be read");
            let mut file = BufReader::with_capacity(PARTITION_BUFFER_BYTES, File::open(&path).map_err(&failed)?);
            let mut chunk = Vec::new();
            let mut entry = [0; ENTRY_BYTES];
            let mut left = file.get_ref().metadata().map_err(&failed)?.len() / ENTRY_BYTES as u64;
            while left > 0 {
                left -= 1;
                file.read_exact(&mut entry).map_err(&failed)?;
                let (mut key, mut value) = (Hash::ZERO, Hash::ZERO);
                key.0.copy_from_slice(&entry[..32]);
                value.0.copy_from_slice(&entry[32..]);
                chunk.push((key, Some(value)));
                if chunk.len() == BUILD_ENTRIES_MAX || left == 0 {
                    chunk.sort_unstable_by_key(|(key, _)| *key);
                    each(std::mem::take(&mut chunk))?;
                }
            }
            std::fs::remove_file(&path).map_err(folder::failed(&path, "it cannot be removed"))?;
        }
        Ok(())
    }
}

fn path(folder: &Path, partition: usize) -> PathBuf {
    folder.join(format!("entries-{partition:03}"))
}
