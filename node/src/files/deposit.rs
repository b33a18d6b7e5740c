//! Taking files in: the ciphertext, then its key.

use std::io::{self, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use galen_aggregate::{TableError, TableShape, inspect_csv};
use galen_filestore::{KeyRingError, VersionSecrets, WrappedKey, unwrap_key};
use galen_types::api::{FileKeyDeposit, StoredFile};
use galen_types::dataset::{FileFormat, VersionContent};
use galen_types::{AccountName, Hash};
use tokio_util::io::StreamReader;

use super::Files;
use super::card::CardOpening;
use super::error::{key_ring_failed, plaintext_failed, store_failed, wrap_failed};
use super::reading::blocking;
use crate::http::services::{ByteStream, ErrorKind, ServiceError};
use crate::runtime::free_space;

impl Files {
    /// Stores a ciphertext if it is the announced one.
    pub(super) async fn receive(
        &self,
        account: AccountName,
        ciphertext: Hash,
        bytes: u64,
        content: ByteStream,
    ) -> Result<StoredFile, ServiceError> {
        free_space(self.chain.ledger.path())
            .map_err(|problem| ServiceError::new(ErrorKind::StorageFull, "storage-full", problem))?;
        let stored = self.store.put_encrypted(StreamReader::new(content), &ciphertext, bytes).await;
        let stored = stored.map_err(|error| store_failed(&error))?;
        tracing::info!(%account, %ciphertext, bytes, "stored a file");
        Ok(StoredFile { ciphertext, ciphertext_bytes: stored.ciphertext_bytes })
    }

    /// Keeps a file's key and says what to publish. Depositing the same again gives the same answer.
    pub(super) async fn deposit(
        &self,
        account: AccountName,
        ciphertext: Hash,
        deposit: FileKeyDeposit,
    ) -> Result<VersionContent, ServiceError> {
        if deposit.dataset.member != *self.member() {
            let detail = format!("files of `{}` are kept by its own nodes", deposit.dataset.member);
            return Err(ServiceError::new(ErrorKind::Forbidden, "wrong-member", detail));
        }
        let malformed =
            || ServiceError::new(ErrorKind::Malformed, "wrapped-key-malformed", "the wrapped key is no base64");
        let wrapped = BASE64.decode(&deposit.wrapped_key).map_err(|_| malformed())?;
        let wrapped = WrappedKey::from_bytes(&wrapped).map_err(|error| wrap_failed(&error))?;
        let key =
            unwrap_key(&wrapped, self.keys.encryption_secret(), &ciphertext).map_err(|error| wrap_failed(&error))?;
        let stored = self.store.stat(&ciphertext).await.map_err(|error| store_failed(&error))?;

        let _reading = self.readings.acquire().await.map_err(|error| ServiceError::internal(&error))?;
        let reader =
            self.store.get_plaintext_blocking(&ciphertext, &key).await.map_err(|error| store_failed(&error))?;
        let read = blocking(move || read_through(reader).map_err(|error| plaintext_failed(&error))).await?;
        if read.hash != deposit.plaintext || read.bytes != deposit.plaintext_bytes {
            return Err(ServiceError::new(
                ErrorKind::Unprocessable,
                "plaintext-differs",
                "the decrypted file has another hash or length than the deposit says",
            )
            .with_hint("encrypt and send the file again"));
        }

        let (ring, salts, cards, keys) = (self.ring.clone(), self.salts.clone(), self.cards.clone(), self.keys.clone());
        let dataset = deposit.dataset.clone();
        let (commitment, card) = blocking(move || {
            let salt = salts.of(&deposit.dataset, &keys)?;
            // Checked before anything is kept.
            let opening = deposit.card.as_ref().map(|card| CardOpening::new(card, &salt)).transpose()?;
            let secrets = VersionSecrets { ciphertext, key, salt, plaintext_hash: read.hash };
            match ring.insert(&secrets, &keys.encryption_key()) {
                Err(error @ KeyRingError::Exists { .. }) => {
                    let kept =
                        ring.get(&ciphertext, keys.encryption_secret()).map_err(|error| key_ring_failed(&error))?;
                    if kept != secrets {
                        return Err(
                            key_ring_failed(&error).with_hint("it is of another dataset; encrypt the file anew")
                        );
                    }
                }
                inserted => inserted.map_err(|error| key_ring_failed(&error))?,
            }
            let card = opening.map(|opening| cards.keep(&opening)).transpose()?;
            Ok((secrets.commitment(), card))
        })
        .await?;
        tracing::info!(%account, %dataset, %ciphertext, "keeps a file's key");
        let (format, rows, columns) = match read.shape {
            Some(shape) => (FileFormat::Csv, shape.rows, shape.columns),
            None => (FileFormat::Opaque, 0, Vec::new()),
        };
        Ok(VersionContent {
            commitment,
            ciphertext,
            ciphertext_sha256: stored.ciphertext_sha256,
            ciphertext_bytes: stored.ciphertext_bytes,
            plaintext_bytes: read.bytes,
            format,
            rows,
            columns,
            data_use: Vec::new(),
            card,
        })
    }
}

/// What reading a plaintext once tells.
struct ReadThrough {
    bytes: u64,
    hash: Hash,
    /// Its columns, if it is a table.
    shape: Option<TableShape>,
}

/// Reads to the end, whatever the bytes are: a file that is no table is read on for its hash.
fn read_through(source: impl Read) -> io::Result<ReadThrough> {
    let mut source = Digesting { source, hasher: blake3::Hasher::new(), bytes: 0 };
    let shape = match inspect_csv(&mut source) {
        Ok(shape) => Some(shape),
        Err(TableError::Io(error)) => return Err(error),
        Err(_) => None,
    };
    io::copy(&mut source, &mut io::sink())?;
    Ok(ReadThrough { bytes: source.bytes, hash: Hash(*source.hasher.finalize().as_bytes()), shape })
}

/// Hashes what is read from it.
struct Digesting<R> {
    source: R,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_hashed_whole_table_or_not() {
        let table = b"Age,Group\n31,T\n42,C\n".as_slice();
        let read = read_through(table).unwrap();
        assert_eq!((read.bytes, read.hash), (20, Hash(*blake3::hash(table).as_bytes())));
        let shape = read.shape.unwrap();
        assert_eq!((shape.rows, shape.columns.len()), (2, 2));

        // A line that breaks the table near its begin: the rest counts all the same.
        let ragged = [b"Age,Group\n31\n".as_slice(), &vec![b'x'; 300_000]].concat();
        let read = read_through(ragged.as_slice()).unwrap();
        assert_eq!((read.bytes, read.hash), (300_013, Hash(*blake3::hash(&ragged).as_bytes())));
        assert_eq!(read.shape, None);
    }

    #[test]
    fn a_source_that_fails_is_no_opaque_file() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::InvalidData.into())
            }
        }
        let source = b"Age\n1\n".as_slice().chain(Failing);
        assert_eq!(read_through(source).err().unwrap().kind(), io::ErrorKind::InvalidData);
    }
}
