//! Reading a stored file, or a range of it, with every byte checked against the file's name before it is released.

use std::collections::HashMap;
use std::io;
use std::ops::Range;

use bao_tree::iter::BaoChunk;
use bao_tree::{BaoTree, ChunkNum, ChunkRanges};
use blake3::hazmat::{ChainingValue, HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root};
use bytes::Bytes;
use futures::{Stream, TryStreamExt as _};
use galen_types::Hash;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use tokio::io::AsyncRead;
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::decrypt::{DecryptingRead, DecryptingReader};
use crate::error::StoreError;
use crate::file_key::FileKey;
use crate::outboard::{GROUP_BYTES, PAIR_BYTES, tree};
use crate::store::{FileStore, object_path, outboard_path};

/// Bytes read and checked at a time; a multiple of the group, and a power of two so that windows are whole subtrees.
pub(crate) const WINDOW_BYTES: u64 = 1 << 20;
/// Bytes that BLAKE3 calls a chunk.
const HASH_CHUNK_BYTES: u64 = 1024;

/// A stored file, or a range of it, that is checked while it is read. After an error it yields no more.
#[derive(Debug)]
pub struct VerifiedReader {
    store: FileStore,
    ciphertext: Hash,
    tree: BaoTree,
    remaining: Range<u64>,
}

impl FileStore {
    /// Opens a whole file for reading.
    ///
    /// # Errors
    /// [`StoreError::Missing`]; [`StoreError::Tampered`] when its length is wrong already;
    /// [`StoreError::OutboardDamaged`]; or when the store fails.
    pub async fn get(&self, ciphertext: &Hash) -> Result<VerifiedReader, StoreError> {
        let stored = self.object_bytes(ciphertext).await?;
        let bytes = self.footer(ciphertext).await?.bytes;
        if stored != bytes {
            return Err(StoreError::Tampered { ciphertext: *ciphertext, offset: last_group(stored.min(bytes)) });
        }
        Ok(VerifiedReader { store: self.clone(), ciphertext: *ciphertext, tree: tree(bytes), remaining: 0..bytes })
    }

    /// Opens a range of a file's ciphertext for reading; only the range and its path in the hash tree are read.
    ///
    /// # Errors
    /// As [`FileStore::get`], and [`StoreError::RangeInvalid`] when the file has no such range.
    pub async fn get_range(&self, ciphertext: &Hash, range: Range<u64>) -> Result<VerifiedReader, StoreError> {
        let mut reader = self.get(ciphertext).await?;
        let size = reader.size();
        if range.start > range.end || range.end > size {
            return Err(StoreError::RangeInvalid { start: range.start, end: range.end, size });
        }
        reader.remaining = range;
        Ok(reader)
    }

    /// Opens a file's plaintext for asynchronous reading. Errors of this store come as the inner error of the
    /// `io::Error`; [`StoreError::of_io`] finds them.
    ///
    /// # Errors
    /// As [`FileStore::get`]. A wrong key shows at the first read.
    pub async fn get_plaintext(
        &self,
        ciphertext: &Hash,
        key: &FileKey,
    ) -> Result<DecryptingReader<impl AsyncRead + Send + Unpin + 'static + use<>>, StoreError> {
        Ok(DecryptingReader::new(self.get(ciphertext).await?.into_async_read(), key.clone()))
    }

    /// Opens a file's plaintext for blocking reading, e.g. by a table reader on a thread of its own (never on a thread
    /// of the runtime, which it would block). To be called within the runtime, which goes on doing the reading.
    ///
    /// # Errors
    /// As [`FileStore::get_plaintext`].
    pub async fn get_plaintext_blocking(
        &self,
        ciphertext: &Hash,
        key: &FileKey,
    ) -> Result<DecryptingRead<impl io::Read + Send + 'static + use<>>, StoreError> {
        let reader = self.get(ciphertext).await?.into_async_read();
        Ok(DecryptingRead::new(SyncIoBridge::new(reader), key.clone()))
    }
}

impl VerifiedReader {
    /// Bytes of the whole file.
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Bytes that are still to come.
    pub fn remaining_bytes(&self) -> u64 {
        self.remaining.end - self.remaining.start
    }

    /// The next bytes, at most 1 MiB; nothing at the end.
    ///
    /// # Errors
    /// [`StoreError::Tampered`] or [`StoreError::OutboardDamaged`] when bytes are not those the name stands for;
    /// [`StoreError::Missing`] when the file was deleted meanwhile; or when the store fails.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let Range { start, end } = self.remaining.clone();
        if start >= end {
            return Ok(None);
        }
        self.remaining = end..end;
        let group = GROUP_BYTES as u64;
        let stop = end.min((start / WINDOW_BYTES + 1) * WINDOW_BYTES);
        let window = (start / group * group)..self.size().min(stop.div_ceil(group) * group);
        let bytes = self.read_window(&window).await?;
        self.check_window(&window, &bytes).await?;
        self.remaining = stop..end;
        // A window fits in memory, so that these offsets fit as well.
        let (from, to) = (offset_in(&window, start), offset_in(&window, stop));
        Ok(Some(bytes.slice(from..to)))
    }

    /// The rest as a stream, which ends after the first error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, StoreError>> + Send + 'static {
        futures::stream::try_unfold(
            self,
            |mut reader| async move { Ok(reader.next().await?.map(|bytes| (bytes, reader))) },
        )
    }

    /// The rest as an asynchronous reader. [`StoreError::of_io`] finds the cause in its errors.
    pub fn into_async_read(self) -> impl AsyncRead + Send + Unpin + 'static {
        StreamReader::new(Box::pin(self.into_stream().map_err(io::Error::from)))
    }

    async fn read_window(&self, window: &Range<u64>) -> Result<Bytes, StoreError> {
        match self.store.objects.get_range(&object_path(&self.ciphertext), window.clone()).await {
            Ok(bytes) => Ok(bytes),
            Err(object_store::Error::NotFound { .. }) => Err(StoreError::Missing { ciphertext: self.ciphertext }),
            Err(error) => {
                // The file may have been cut since it was opened.
                let stored = self.store.object_bytes(&self.ciphertext).await?;
                if stored < window.end { Err(self.tampered(last_group(stored))) } else { Err(error.into()) }
            }
        }
    }

    /// Walks down from the file's name to every group of the window.
    async fn check_window(&self, window: &Range<u64>, bytes: &[u8]) -> Result<(), StoreError> {
        let chunks = ChunkNum(window.start / HASH_CHUNK_BYTES)..ChunkNum(window.end.div_ceil(HASH_CHUNK_BYTES));
        let ranges = ChunkRanges::from(chunks);
        let steps: Vec<BaoChunk> =
            self.tree.ranges_pre_order_chunks_iter_ref(&ranges, 0).map(|step| step.without_ranges()).collect();
        let pairs = self.read_pairs(&steps).await?;
        let mut expected: Vec<ChainingValue> = vec![self.ciphertext.0];
        for step in steps {
            let hash = expected.pop().unwrap_or_default();
            match step {
                BaoChunk::Parent { node, is_root, left, right, .. } => {
                    let damaged = StoreError::OutboardDamaged { ciphertext: self.ciphertext };
                    let position = self.tree.post_order_offset(node).map(|offset| offset.value());
                    let Some((left_hash, right_hash)) = position.and_then(|position| pairs.get(&position)) else {
                        return Err(damaged);
                    };
                    if merge(left_hash, right_hash, is_root) != hash {
                        return Err(damaged);
                    }
                    if right {
                        expected.push(*right_hash);
                    }
                    if left {
                        expected.push(*left_hash);
                    }
                }
                BaoChunk::Leaf { start_chunk, size, is_root, .. } => {
                    let offset = start_chunk.to_bytes();
                    let start = offset_in(window, offset);
                    let group = bytes.get(start..start + size);
                    if group.is_none_or(|group| hash_group(offset, group, is_root) != hash) {
                        return Err(self.tampered(offset));
                    }
                }
            }
        }
        Ok(())
    }

    /// The hash pairs of the steps' inner nodes, by their position in the outboard.
    async fn read_pairs(&self, steps: &[BaoChunk]) -> Result<HashMap<u64, (ChainingValue, ChainingValue)>, StoreError> {
        let mut positions: Vec<u64> = steps
            .iter()
            .filter_map(|step| match step {
                BaoChunk::Parent { node, .. } => self.tree.post_order_offset(*node).map(|offset| offset.value()),
                BaoChunk::Leaf { .. } => None,
            })
            .collect();
        if positions.is_empty() {
            return Ok(HashMap::new());
        }
        positions.sort_unstable();
        let pair = PAIR_BYTES as u64;
        // Neighbours are read at once: the window's own subtree lies in one piece.
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for position in positions {
            match ranges.last_mut() {
                Some(range) if range.end == position * pair => range.end += pair,
                _ => ranges.push(position * pair..(position + 1) * pair),
            }
        }
        let path = outboard_path(&self.ciphertext);
        let parts = match self.store.objects.get_ranges(&path, &ranges).await {
            Ok(parts) => parts,
            Err(object_store::Error::NotFound { .. }) => {
                return Err(StoreError::OutboardDamaged { ciphertext: self.ciphertext });
            }
            Err(error) => return Err(error.into()),
        };
        let mut pairs = HashMap::new();
        for (range, part) in ranges.iter().zip(parts) {
            for (position, bytes) in (range.start / pair..).zip(part.as_chunks::<PAIR_BYTES>().0) {
                let (mut left, mut right) = ([0; 32], [0; 32]);
                left.copy_from_slice(&bytes[..32]);
                right.copy_from_slice(&bytes[32..]);
                pairs.insert(position, (left, right));
            }
        }
        Ok(pairs)
    }

    fn tampered(&self, offset: u64) -> StoreError {
        StoreError::Tampered { ciphertext: self.ciphertext, offset }
    }
}

impl StoreError {
    /// The store's error inside of a reader adapter's `io::Error`, if that is what it is.
    pub fn of_io(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

/// For the reader adapters, whose traits speak `io::Error`.
impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> Self {
        let kind = match error {
            StoreError::Missing { .. } => io::ErrorKind::NotFound,
            StoreError::Tampered { .. } | StoreError::OutboardDamaged { .. } => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// Where the group starts that holds the byte before `end`.
fn last_group(end: u64) -> u64 {
    end.saturating_sub(1) / GROUP_BYTES as u64 * GROUP_BYTES as u64
}

/// A position of the file, counted from the window's start.
fn offset_in(window: &Range<u64>, position: u64) -> usize {
    usize::try_from(position - window.start).unwrap_or(usize::MAX)
}

fn merge(left: &ChainingValue, right: &ChainingValue, is_root: bool) -> ChainingValue {
    if is_root {
        *merge_subtrees_root(left, right, Mode::Hash).as_bytes()
    } else {
        merge_subtrees_non_root(left, right, Mode::Hash)
    }
}

fn hash_group(offset: u64, group: &[u8], is_root: bool) -> ChainingValue {
    if is_root {
        return *blake3::hash(group).as_bytes();
    }
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(offset);
    hasher.update(group);
    hasher.finalize_non_root()
}
