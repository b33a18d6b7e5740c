//! The file store as its users see it, on a real folder.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests assert by panicking")]

mod cipher;
mod crash;
mod key_ring;
mod memory;
mod store;
mod tamper;
mod wrap;

use std::path::{Path, PathBuf};

use galen_filestore::{FileStore, FileStoreOptions, StoredFile};
use galen_types::Hash;

/// Sizes around every boundary: chunk (64 KiB of plaintext), group (16 KiB of ciphertext), window (1 MiB), part (8 MiB).
const SIZES: [usize; 14] = [
    0,
    1,
    15,
    16 * 1024 - 80,
    16 * 1024 - 79,
    64 * 1024 - 1,
    64 * 1024,
    64 * 1024 + 1,
    128 * 1024,
    1024 * 1024 - 64,
    1024 * 1024 + 17,
    3 * 1024 * 1024,
    5 * 1024 * 1024 + 12_345,
    9 * 1024 * 1024 + 1,
];

/// Bytes without a short period, the same each time.
fn content(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    blake3::Hasher::new().update(&size.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

struct Scene {
    folder: tempfile::TempDir,
    store: FileStore,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await;
        Self { folder, store }
    }

    async fn put(&self, size: usize) -> StoredFile {
        self.store.put(&content(size)[..]).await.unwrap()
    }

    fn object(&self, name: &Hash) -> PathBuf {
        self.folder.path().join("objects").join(name.to_string())
    }

    fn outboard(&self, name: &Hash) -> PathBuf {
        self.folder.path().join("outboards").join(name.to_string())
    }
}

async fn open(folder: &Path) -> FileStore {
    FileStore::open(folder, FileStoreOptions::default()).await.unwrap()
}

/// All of a stored file's ciphertext, or a part of it.
async fn read(mut reader: galen_filestore::VerifiedReader) -> Result<Vec<u8>, galen_filestore::StoreError> {
    let mut bytes = Vec::new();
    while let Some(piece) = reader.next().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}
