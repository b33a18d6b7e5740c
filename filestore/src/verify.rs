//! Checking a whole stored file: what the scrubber and `galen data verify` do.

use galen_types::Hash;
use object_store::ObjectStoreExt as _;

use crate::digest::CiphertextHasher;
use crate::error::StoreError;
use crate::outboard::Footer;
use crate::read::WINDOW_BYTES;
use crate::store::{FileStore, object_path, outboard_path};
use crate::upload::Upload;

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// Every byte is the one the name stands for.
    Intact {
        /// Bytes of ciphertext.
        bytes: u64,
        /// Whether the hash tree beside the file was damaged and has been made anew.
        outboard_rebuilt: bool,
    },
    /// The file is not the one the name stands for.
    Tampered {
        /// Every byte before this one is right; 0 when the hash tree is damaged too, so that no place can be named.
        offset: u64,
    },
    /// There is no such file.
    Missing,
}

impl FileStore {
    /// Reads and checks a whole file. `progress` is called with the bytes checked so far and the file's size.
    ///
    /// # Errors
    /// When the store itself fails; a wrong or missing file is an answer, not an error.
    pub async fn verify(
        &self,
        ciphertext: &Hash,
        mut progress: impl FnMut(u64, u64) + Send,
    ) -> Result<Verification, StoreError> {
        match self.verify_by_tree(ciphertext, &mut progress).await {
            Ok(bytes) => Ok(Verification::Intact { bytes, outboard_rebuilt: false }),
            Err(StoreError::Missing { .. }) => Ok(Verification::Missing),
            Err(StoreError::Tampered { offset, .. }) => Ok(Verification::Tampered { offset }),
            Err(StoreError::OutboardDamaged { .. }) => match self.rebuild_outboard(ciphertext, &mut progress).await {
                Ok(Some(bytes)) => Ok(Verification::Intact { bytes, outboard_rebuilt: true }),
                Ok(None) => Ok(Verification::Tampered { offset: 0 }),
                Err(StoreError::Missing { .. }) => Ok(Verification::Missing),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    async fn verify_by_tree(
        &self,
        ciphertext: &Hash,
        progress: &mut (impl FnMut(u64, u64) + Send),
    ) -> Result<u64, StoreError> {
        let mut reader = self.get(ciphertext).await?;
        let size = reader.size();
        while reader.next().await?.is_some() {
            progress(size - reader.remaining_bytes(), size);
            tokio::task::yield_now().await;
        }
        Ok(size)
    }

    /// Hashes the whole file; if it is the one its name stands for, stores its tree anew and gives its length.
    async fn rebuild_outboard(
        &self,
        ciphertext: &Hash,
        progress: &mut (impl FnMut(u64, u64) + Send),
    ) -> Result<Option<u64>, StoreError> {
        let mut outboard = self.start_upload().await?;
        match self.hash_into(ciphertext, &mut outboard, progress).await {
            Ok(Some(bytes)) => {
                outboard.complete().await?;
                self.objects.rename(outboard.path(), &outboard_path(ciphertext)).await?;
                Ok(Some(bytes))
            }
            other => {
                outboard.abort().await;
                other
            }
        }
    }

    async fn hash_into(
        &self,
        ciphertext: &Hash,
        outboard: &mut Upload,
        progress: &mut (impl FnMut(u64, u64) + Send),
    ) -> Result<Option<u64>, StoreError> {
        let size = self.object_bytes(ciphertext).await?;
        let mut hasher = CiphertextHasher::with_outboard();
        let mut done = 0;
        while done < size {
            let window = done..size.min(done + WINDOW_BYTES);
            done = window.end;
            hasher.update(&self.objects.get_range(&object_path(ciphertext), window).await?);
            outboard.write(&hasher.take_pairs()).await?;
            progress(done, size);
            tokio::task::yield_now().await;
        }
        let digest = hasher.finish();
        if digest.hash != *ciphertext {
            return Ok(None);
        }
        outboard.write(&hasher.take_pairs()).await?;
        outboard.write(&Footer { sha256: digest.sha256, bytes: digest.bytes }.encode(ciphertext)).await?;
        Ok(Some(size))
    }
}
