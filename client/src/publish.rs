//! Publishing a file: encrypt it here, hand the ciphertext and the wrapped key to the member's own node, compare what
//! the node read with what was sent, and record the version on the chain.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::StreamExt as _;
use galen_filestore::{EncryptedDigest, FileKey, encrypt, wrap_key};
use galen_types::api::{Card, FileKeyDeposit, StoredFile, TransactionStatus};
use galen_types::dataset::VersionContent;
use galen_types::vocabulary::DataUse;
use galen_types::{Call, DatasetName, Hash, VersionName};
use reqwest::Method;
use tokio::fs::File;
use tokio::io::{BufReader, BufWriter};
use tokio_util::io::{InspectReader, ReaderStream};

use crate::client::Client;
use crate::error::ClientError;
use crate::local_file::TemporaryFile;
use crate::progress::{OnProgress, Progress, Stage};
use crate::transaction::Wait;
use crate::transport::{Content, Failure, Outgoing, Signing};

/// How often an upload is started anew when the connection breaks.
const UPLOAD_ATTEMPTS: u32 = 3;
/// Bytes read and sent at a time.
const BLOCK_BYTES: usize = 256 << 10;

/// What to publish a file as.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The dataset, of the account's own member.
    pub dataset: DatasetName,
    /// The newest version so far when this is the next one; `None` for a new dataset.
    pub previous: Option<u32>,
    /// One permission, then modifiers.
    pub data_use: Vec<DataUse>,
    /// Title, description and contact, which stay off the chain.
    pub card: Option<Card>,
    /// Whether every member's accounts may discover a new dataset at once.
    pub discoverable: bool,
    /// Where the ciphertext is kept while it is uploaded; the system's temporary folder where it is not said.
    pub temporary_folder: Option<PathBuf>,
}

/// A published file.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Published {
    /// The new version.
    pub version: VersionName,
    /// What the chain says of it.
    pub content: VersionContent,
    /// The transaction with its receipt.
    pub transaction: TransactionStatus,
}

impl Client {
    /// Publishes a file in constant memory, whatever its size.
    ///
    /// # Errors
    /// [`ClientError::Integrity`] when the node read something else than what was sent, [`ClientError::Denied`] when a
    /// rule of the chain refuses the version; otherwise what reading, encrypting or the requests give.
    pub async fn publish_file(
        &self,
        path: &Path,
        publication: Publication,
        on_progress: &OnProgress,
    ) -> Result<Published, ClientError> {
        let key = FileKey::generate()?;
        let folder = publication.temporary_folder.clone().unwrap_or_else(std::env::temp_dir);
        let (ciphertext, digest) = encrypt_to_temporary(path, &folder, &key, on_progress).await?;
        self.upload(ciphertext.path(), &digest, on_progress).await?;
        drop(ciphertext);

        on_progress(Progress { stage: Stage::Checking, done: 0, total: 0 });
        let node_key = self.chain_here().await?.encryption_key;
        let wrapped = wrap_key(&key, &node_key, &digest.ciphertext)?;
        let deposit = FileKeyDeposit {
            dataset: publication.dataset.clone(),
            wrapped_key: BASE64.encode(wrapped.as_bytes()),
            plaintext: digest.plaintext_hash,
            plaintext_bytes: digest.plaintext_bytes,
            card: publication.card.clone(),
        };
        let segments = ["v1", "files", &digest.ciphertext.to_string(), "key"];
        let mut content: VersionContent = self.send_json(Method::PUT, &segments, &deposit, None).await?;
        compare(&content, &digest, publication.card.is_some())?;
        content.data_use = publication.data_use;

        on_progress(Progress { stage: Stage::Recording, done: 0, total: 0 });
        let number = publication.previous.map_or(1, |previous| previous.saturating_add(1));
        let call = match publication.previous {
            None => Call::PublishDataset {
                dataset: publication.dataset.dataset.clone(),
                content: content.clone(),
                discoverable: publication.discoverable,
            },
            Some(previous) => {
                Call::UpdateDataset { dataset: publication.dataset.clone(), previous, content: content.clone() }
            }
        };
        let transaction = self.apply(call, Wait::Committed).await?;
        Ok(Published { version: VersionName { dataset: publication.dataset, version: number }, content, transaction })
    }

    async fn upload(&self, path: &Path, digest: &EncryptedDigest, on_progress: &OnProgress) -> Result<(), ClientError> {
        let query =
            [("ciphertext", Some(digest.ciphertext.to_string())), ("bytes", Some(digest.ciphertext_bytes.to_string()))];
        let url = self.url(&["v1", "files"], &query);
        let mut attempt = 1;
        loop {
            let file = File::open(path).await.map_err(|source| ClientError::io(path, source))?;
            let content = Content::Stream {
                body: reqwest::Body::wrap_stream(counted(file, digest.ciphertext_bytes, on_progress.clone())),
                hash: digest.ciphertext,
                bytes: digest.ciphertext_bytes,
            };
            let outgoing = Outgoing::new(Method::POST, url.clone(), Signing::Required, content);
            match self.exchange_json::<StoredFile>(outgoing).await {
                Ok(stored) if stored.ciphertext == digest.ciphertext => return Ok(()),
                Ok(stored) => return Err(differs("stored file's hash", digest.ciphertext, stored.ciphertext)),
                Err(Failure { error: ClientError::Unreachable { .. }, delivered: true, .. })
                    if attempt < UPLOAD_ATTEMPTS =>
                {
                    attempt += 1;
                }
                Err(failure) => return Err(failure.error),
            }
        }
    }
}

fn counted(
    file: File,
    total: u64,
    on_progress: OnProgress,
) -> impl futures::Stream<Item = std::io::Result<bytes::Bytes>> + Send + 'static {
    let mut done = 0;
    ReaderStream::with_capacity(file, BLOCK_BYTES).inspect(move |block| {
        done += block.as_ref().map_or(0, bytes::Bytes::len) as u64;
        on_progress(Progress { stage: Stage::Uploading, done, total });
    })
}

async fn encrypt_to_temporary(
    path: &Path,
    folder: &Path,
    key: &FileKey,
    on_progress: &OnProgress,
) -> Result<(TemporaryFile, EncryptedDigest), ClientError> {
    let source = File::open(path).await.map_err(|source| ClientError::io(path, source))?;
    let metadata = source.metadata().await.map_err(|source| ClientError::io(path, source))?;
    if metadata.is_dir() {
        return Err(ClientError::io(path, std::io::ErrorKind::IsADirectory.into()));
    }
    let (total, done) = (metadata.len(), AtomicU64::new(0));
    let (temporary, file) = TemporaryFile::create(folder).await?;
    let reader = InspectReader::new(BufReader::with_capacity(BLOCK_BYTES, source), |bytes: &[u8]| {
        let done = done.fetch_add(bytes.len() as u64, Ordering::Relaxed) + bytes.len() as u64;
        on_progress(Progress { stage: Stage::Encrypting, done, total });
    });
    let digest = encrypt(reader, BufWriter::with_capacity(BLOCK_BYTES, file), key).await?;
    Ok((temporary, digest))
}

/// Compares what the node read with what was sent.
fn compare(content: &VersionContent, digest: &EncryptedDigest, card: bool) -> Result<(), ClientError> {
    if content.ciphertext != digest.ciphertext {
        return Err(differs("ciphertext's hash", digest.ciphertext, content.ciphertext));
    }
    if content.ciphertext_sha256 != digest.ciphertext_sha256 {
        return Err(differs("ciphertext's SHA-256", digest.ciphertext_sha256, content.ciphertext_sha256));
    }
    if content.ciphertext_bytes != digest.ciphertext_bytes || content.plaintext_bytes != digest.plaintext_bytes {
        return Err(ClientError::Integrity(format!(
            "the node read {} bytes of ciphertext and {} of plaintext instead of {} and {}",
            content.ciphertext_bytes, content.plaintext_bytes, digest.ciphertext_bytes, digest.plaintext_bytes
        )));
    }
    if content.card.is_some() != card {
        return Err(ClientError::Integrity("the node did not keep the card as it was given".to_owned()));
    }
    Ok(())
}

fn differs(what: &str, expected: Hash, found: Hash) -> ClientError {
    ClientError::Integrity(format!("the {what} is {found} at the node instead of {expected}"))
}
