//! Writing an object of unknown length in constant memory, under a temporary name.

use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _, PutPayload};

/// Bytes sent at a time: above S3's lower limit of 5 MiB a part.
const PART_BYTES: usize = 8 << 20;

/// An object being written; nothing shows under its name before [`Upload::complete`].
pub(crate) struct Upload {
    path: Path,
    parts: Box<dyn MultipartUpload>,
    buffer: Vec<u8>,
}

impl Upload {
    pub(crate) async fn start(store: &dyn ObjectStore, path: Path) -> object_store::Result<Self> {
        let parts = store.put_multipart(&path).await?;
        Ok(Self { path, parts, buffer: Vec::new() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> object_store::Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PART_BYTES {
            self.send_part().await?;
        }
        Ok(())
    }

    /// Makes the object whole and durable under its temporary name.
    pub(crate) async fn complete(&mut self) -> object_store::Result<()> {
        self.send_part().await?;
        self.parts.complete().await.map(drop)
    }

    /// Gives the object up; its parts are deleted as far as the store lets us.
    pub(crate) async fn abort(&mut self) {
        // What remains is cleaned at the next open (a folder) or by the bucket's rule for incomplete uploads (S3).
        let _ = self.parts.abort().await;
    }

    async fn send_part(&mut self) -> object_store::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let part = std::mem::take(&mut self.buffer);
        self.parts.put_part(PutPayload::from(part)).await
    }
}
