//! The store: immutable objects named by the BLAKE3 hash of their (encrypted) bytes, each with its hash tree beside it.
//!
//! A put streams into `temporary/`, syncs, and then renames: the tree first, the object after it, so that an object
//! that can be seen is whole, durable and can be verified. What a crash leaves behind (temporary files, trees without
//! an object) is deleted at the next open. A folder is used by one process at a time.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path as FolderPath, PathBuf};
use std::sync::Arc;

use futures::TryStreamExt as _;
use galen_types::Hash;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, local::LocalFileSystem};
use tokio::io::AsyncRead;

use crate::atomic_file::{private_folder, sync_folder};
use crate::digest::{CiphertextDigest, CiphertextHasher};
use crate::encrypt::EncryptingSource;
use crate::error::{CipherError, StoreError};
use crate::file_key::FileKey;
use crate::outboard::{FOOTER_BYTES, Footer};
use crate::pieces::{Pieces, RawSource};
use crate::upload::Upload;

const OBJECTS: &str = "objects";
const OUTBOARDS: &str = "outboards";
const TEMPORARY: &str = "temporary";

/// Pieces (64 KiB) processed before other tasks of the thread get a turn.
const PIECES_PER_TURN: u32 = 16;

/// Settings of a store.
#[derive(Debug, Clone, Copy)]
pub struct FileStoreOptions {
    /// The largest ciphertext taken, in bytes.
    pub max_file_bytes: u64,
}

impl Default for FileStoreOptions {
    /// 1 TiB a file.
    fn default() -> Self {
        Self { max_file_bytes: 1 << 40 }
    }
}

/// A file that was encrypted into the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// BLAKE3 of the ciphertext: the file's name here and on the chain.
    pub ciphertext: Hash,
    /// SHA-256 of the ciphertext.
    pub ciphertext_sha256: Hash,
    /// Bytes of ciphertext.
    pub ciphertext_bytes: u64,
    /// Bytes of plaintext.
    pub plaintext_bytes: u64,
    /// BLAKE3 of the plaintext, for the salted commitment; never published itself.
    pub plaintext_hash: Hash,
    /// The key it is encrypted under; kept nowhere yet: wrap it into the key ring.
    pub key: FileKey,
}

/// A ciphertext in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredCiphertext {
    /// BLAKE3 of the ciphertext: its name.
    pub ciphertext: Hash,
    /// SHA-256 of the ciphertext.
    pub ciphertext_sha256: Hash,
    /// Bytes of ciphertext.
    pub ciphertext_bytes: u64,
}

/// A file as listed, without a look into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredObject {
    /// The file's name.
    pub ciphertext: Hash,
    /// Bytes stored.
    pub bytes: u64,
}

/// The store of encrypted files. Clones share it.
#[derive(Debug, Clone)]
pub struct FileStore {
    pub(crate) objects: Arc<dyn ObjectStore>,
    folder: Arc<Folder>,
    options: FileStoreOptions,
}

/// The local folder, locked while the store lives.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    _lock: File,
}

impl FileStore {
    /// Opens the store in a folder, which is made if it is not there, and deletes what a crash left behind.
    ///
    /// # Errors
    /// When another process has it open, or the folder cannot be used.
    pub async fn open(folder: impl AsRef<FolderPath>, options: FileStoreOptions) -> Result<Self, StoreError> {
        let path = folder.as_ref().to_owned();
        let lock = prepare_folder(&path)?;
        // With `fsync`, every object and every folder entry is synced before a put or rename returns.
        let objects = LocalFileSystem::new_with_prefix(&path)?.with_fsync(true);
        let store = Self { objects: Arc::new(objects), folder: Arc::new(Folder { path, _lock: lock }), options };
        store.delete_outboards_without_object().await?;
        Ok(store)
    }

    /// Encrypts a file under a fresh key and stores it, in one pass.
    ///
    /// # Errors
    /// When the source fails, the file is too large, or the store cannot write.
    pub async fn put<R>(&self, plaintext: R) -> Result<StoredFile, StoreError>
    where
        R: AsyncRead + Unpin + Send,
    {
        let key = FileKey::generate().map_err(CipherError::from)?;
        let mut source = EncryptingSource::new(plaintext, &key)?;
        let digest = self.store_pieces(&mut source, self.options.max_file_bytes, |_| Ok(())).await?;
        let plaintext = source.plaintext();
        Ok(StoredFile {
            ciphertext: digest.hash,
            ciphertext_sha256: digest.sha256,
            ciphertext_bytes: digest.bytes,
            plaintext_bytes: plaintext.bytes,
            plaintext_hash: plaintext.hash,
            key,
        })
    }

    /// Stores a file that was encrypted elsewhere, if its bytes are exactly the announced ones. Storing a file again
    /// replaces its bytes by the same ones, which heals a damaged file.
    ///
    /// # Errors
    /// [`StoreError::SizeMismatch`] (without reading on) or [`StoreError::HashMismatch`] when it is another file,
    /// [`StoreError::TooLarge`] when more is announced than this store takes; or when reading or writing fails.
    pub async fn put_encrypted<R>(
        &self,
        ciphertext: R,
        expected: &Hash,
        expected_bytes: u64,
    ) -> Result<StoredCiphertext, StoreError>
    where
        R: AsyncRead + Unpin + Send,
    {
        if expected_bytes > self.options.max_file_bytes {
            return Err(StoreError::TooLarge { limit: self.options.max_file_bytes });
        }
        let size_mismatch = |actual| StoreError::SizeMismatch { expected: expected_bytes, actual };
        let check = |digest: &CiphertextDigest| {
            if digest.bytes != expected_bytes {
                return Err(size_mismatch(digest.bytes));
            }
            if digest.hash != *expected {
                return Err(StoreError::HashMismatch { expected: *expected, actual: digest.hash });
            }
            Ok(())
        };
        let stored = self.store_pieces(&mut RawSource::new(ciphertext), expected_bytes, check).await;
        let digest = stored.map_err(|error| match error {
            StoreError::TooLarge { limit } => size_mismatch(limit + 1),
            error => error,
        })?;
        Ok(StoredCiphertext {
            ciphertext: digest.hash,
            ciphertext_sha256: digest.sha256,
            ciphertext_bytes: digest.bytes,
        })
    }

    /// Length and SHA-256 of a stored file, as they were when it was put.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::OutboardDamaged`], or when the store fails.
    pub async fn stat(&self, ciphertext: &Hash) -> Result<StoredCiphertext, StoreError> {
        self.object_bytes(ciphertext).await?;
        let footer = self.footer(ciphertext).await?;
        Ok(StoredCiphertext {
            ciphertext: *ciphertext,
            ciphertext_sha256: footer.sha256,
            ciphertext_bytes: footer.bytes,
        })
    }

    /// Every stored file, in the order of names.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(&self) -> Result<Vec<StoredObject>, StoreError> {
        let mut files: Vec<_> = self
            .objects
            .list(Some(&Path::from(OBJECTS)))
            .try_filter_map(|meta| async move {
                Ok(hash_of_path(&meta.location).map(|ciphertext| StoredObject { ciphertext, bytes: meta.size }))
            })
            .try_collect()
            .await?;
        files.sort_by_key(|file| file.ciphertext);
        Ok(files)
    }

    /// Deletes a file for good; whether there was one.
    ///
    /// # Errors
    /// When the store fails; part of the file may then be left, so call again.
    pub async fn delete(&self, ciphertext: &Hash) -> Result<bool, StoreError> {
        let existed = self.delete_object(&object_path(ciphertext)).await?;
        self.delete_object(&outboard_path(ciphertext)).await?;
        for name in [OBJECTS, OUTBOARDS] {
            let path = self.folder.path.join(name);
            sync_folder(&path).map_err(|source| StoreError::Folder { path, source })?;
        }
        Ok(existed)
    }

    async fn delete_object(&self, path: &Path) -> Result<bool, StoreError> {
        match self.objects.delete(path).await {
            Ok(()) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn delete_outboards_without_object(&self) -> Result<(), StoreError> {
        let files: BTreeSet<Hash> = self.list().await?.into_iter().map(|file| file.ciphertext).collect();
        let outboards: Vec<_> = self.objects.list(Some(&Path::from(OUTBOARDS))).try_collect().await?;
        for outboard in outboards {
            if hash_of_path(&outboard.location).is_none_or(|name| !files.contains(&name)) {
                self.delete_object(&outboard.location).await?;
            }
        }
        Ok(())
    }

    /// Streams the pieces into a temporary object and its outboard, and names both when `accept` lets them pass.
    async fn store_pieces<S>(
        &self,
        source: &mut S,
        limit: u64,
        accept: impl FnOnce(&CiphertextDigest) -> Result<(), StoreError> + Send,
    ) -> Result<CiphertextDigest, StoreError>
    where
        S: Pieces<Error = CipherError>,
    {
        let mut object = self.start_upload().await?;
        let mut outboard = self.start_upload().await?;
        let written = write_pieces(source, limit, accept, &mut object, &mut outboard).await;
        let digest = match written {
            Ok(digest) => digest,
            Err(error) => {
                object.abort().await;
                outboard.abort().await;
                return Err(error);
            }
        };
        outboard.complete().await?;
        object.complete().await?;
        self.objects.rename(outboard.path(), &outboard_path(&digest.hash)).await?;
        self.objects.rename(object.path(), &object_path(&digest.hash)).await?;
        Ok(digest)
    }

    /// A new object under a random temporary name.
    pub(crate) async fn start_upload(&self) -> Result<Upload, StoreError> {
        let mut name = [0; 16];
        getrandom::fill(&mut name).map_err(CipherError::from)?;
        let path = Path::from_iter([TEMPORARY, &hex::encode(name)]);
        Ok(Upload::start(self.objects.as_ref(), path).await?)
    }

    /// Bytes the stored object has now.
    pub(crate) async fn object_bytes(&self, ciphertext: &Hash) -> Result<u64, StoreError> {
        match self.objects.head(&object_path(ciphertext)).await {
            Ok(meta) => Ok(meta.size),
            Err(object_store::Error::NotFound { .. }) => Err(StoreError::Missing { ciphertext: *ciphertext }),
            Err(error) => Err(error.into()),
        }
    }

    /// The footer of a file's outboard, once the outboard was found to have the length that goes with it.
    pub(crate) async fn footer(&self, ciphertext: &Hash) -> Result<Footer, StoreError> {
        let damaged = StoreError::OutboardDamaged { ciphertext: *ciphertext };
        let path = outboard_path(ciphertext);
        let size = match self.objects.head(&path).await {
            Ok(meta) => meta.size,
            Err(object_store::Error::NotFound { .. }) => return Err(damaged),
            Err(error) => return Err(error.into()),
        };
        let Some(pairs) = size.checked_sub(FOOTER_BYTES as u64) else { return Err(damaged) };
        let bytes = self.objects.get_range(&path, pairs..size).await?;
        match Footer::decode(&bytes, ciphertext) {
            Some(footer) if crate::outboard::tree(footer.bytes).outboard_size() == pairs => Ok(footer),
            _ => Err(damaged),
        }
    }
}

async fn write_pieces<S>(
    source: &mut S,
    limit: u64,
    accept: impl FnOnce(&CiphertextDigest) -> Result<(), StoreError>,
    object: &mut Upload,
    outboard: &mut Upload,
) -> Result<CiphertextDigest, StoreError>
where
    S: Pieces<Error = CipherError>,
{
    let mut hasher = CiphertextHasher::with_outboard();
    let mut bytes = 0;
    let mut turn = 0;
    while let Some(piece) = source.next_piece().await? {
        bytes += piece.len() as u64;
        if bytes > limit {
            return Err(StoreError::TooLarge { limit });
        }
        hasher.update(&piece);
        object.write(&piece).await?;
        outboard.write(&hasher.take_pairs()).await?;
        turn = (turn + 1) % PIECES_PER_TURN;
        if turn == 0 {
            tokio::task::yield_now().await;
        }
    }
    let digest = hasher.finish();
    accept(&digest)?;
    outboard.write(&hasher.take_pairs()).await?;
    let footer = Footer { sha256: digest.sha256, bytes: digest.bytes };
    outboard.write(&footer.encode(&digest.hash)).await?;
    Ok(digest)
}

/// Makes the folder and its parts, takes its lock, and deletes left-over temporary files.
fn prepare_folder(path: &FolderPath) -> Result<File, StoreError> {
    let failed = |path: &FolderPath| {
        let path = path.to_owned();
        |source| StoreError::Folder { path, source }
    };
    private_folder(path).map_err(failed(path))?;
    let lock_path = path.join("lock");
    let lock = File::options().create(true).truncate(false).write(true).open(&lock_path).map_err(failed(&lock_path))?;
    lock.try_lock().map_err(|error| match error {
        std::fs::TryLockError::WouldBlock => StoreError::InUse(path.to_owned()),
        std::fs::TryLockError::Error(source) => StoreError::Folder { path: lock_path, source },
    })?;
    for name in [OBJECTS, OUTBOARDS, TEMPORARY] {
        let part = path.join(name);
        private_folder(&part).map_err(failed(&part))?;
        for entry in std::fs::read_dir(&part).map_err(failed(&part))? {
            let entry = entry.map_err(failed(&part))?;
            // The object store keeps unfinished writes beside their target, as `name#1`, and never lists them.
            if name == TEMPORARY || entry.file_name().to_string_lossy().contains('#') {
                std::fs::remove_file(entry.path()).map_err(failed(&entry.path()))?;
            }
        }
        sync_folder(&part).map_err(failed(&part))?;
    }
    sync_folder(path).map_err(failed(path))?;
    Ok(lock)
}

pub(crate) fn object_path(ciphertext: &Hash) -> Path {
    Path::from_iter([OBJECTS, &ciphertext.to_string()])
}

pub(crate) fn outboard_path(ciphertext: &Hash) -> Path {
    Path::from_iter([OUTBOARDS, &ciphertext.to_string()])
}

/// The name an object has, if it is one of ours.
fn hash_of_path(path: &Path) -> Option<Hash> {
    path.filename()?.parse().ok()
}
