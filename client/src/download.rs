//! Downloading a file: ask on the chain, wait for the certified receipt, fetch the ciphertext (resuming where a
//! connection broke), check it against the chain, decrypt it here. The final name appears only on the whole file.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use galen_filestore::{FileKey, WrappedKey, decrypt, unwrap_key};
use galen_types::access::Decision;
use galen_types::api::DownloadTicket;
use galen_types::dataset::VersionContent;
use galen_types::vocabulary::Purpose;
use galen_types::{Call, Hash, TransactionId, VersionName};
use reqwest::StatusCode;
use reqwest::header::CONTENT_RANGE;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _, BufReader, BufWriter};
use tokio::time::sleep;
use tokio_util::io::InspectReader;

use crate::client::Client;
use crate::error::ClientError;
use crate::local_file::{TemporaryFile, folder_of};
use crate::progress::{OnProgress, Progress, Stage};
use crate::transaction::Wait;
use crate::transport::{Failure, Outgoing, Signing};

/// How often in a row the transfer is taken up again without a single new byte.
const FRUITLESS_ATTEMPTS: u32 = 5;
/// Pause before a broken transfer is taken up again.
const RESUME_PAUSE: Duration = Duration::from_millis(200);
/// Bytes read or written at a time.
const BLOCK_BYTES: usize = 256 << 10;

/// A downloaded file.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Downloaded {
    /// The version.
    pub version: VersionName,
    /// The transaction that recorded the access.
    pub transaction: TransactionId,
    /// What permitted it.
    pub decision: Decision,
    /// BLAKE3 of the ciphertext, equal to the chain's.
    pub ciphertext: Hash,
    /// Bytes of the file.
    pub plaintext_bytes: u64,
}

impl Client {
    /// Downloads a version to `target`, replacing what is there only when everything was checked.
    ///
    /// # Errors
    /// [`ClientError::Denied`] when no grant and no rule permits it, [`ClientError::Integrity`] when what came is not
    /// what the chain says; otherwise what the requests or the local file give. Nothing is left behind.
    pub async fn download(
        &self,
        version: &VersionName,
        purpose: Purpose,
        target: &Path,
        on_progress: &OnProgress,
    ) -> Result<Downloaded, ClientError> {
        let folder = folder_of(target);
        // Before the access is recorded: a folder that cannot be written to must not cost a use of the grant.
        let (sealed, mut sealed_file) = TemporaryFile::create(folder).await?;
        on_progress(Progress { stage: Stage::Recording, done: 0, total: 0 });
        let call = Call::Download { version: version.clone(), purpose };
        let transaction = self.apply(call, Wait::Certified).await?.id;
        let url = self.url(&["v1", "downloads", &transaction.to_string()], &[]);
        let ticket: DownloadTicket = self
            .when_released(async || {
                let mut outgoing = Outgoing::get(url.clone(), Signing::Required);
                outgoing.timeout = Some(self.timeouts().request);
                self.exchange_json(outgoing).await
            })
            .await?;
        self.check_ticket(&ticket, &transaction, version).await?;
        let key = self.unwrap(&ticket)?;

        self.fetch(&ticket, &mut sealed_file, sealed.path(), on_progress).await?;
        let (opened, opened_file) = TemporaryFile::create(folder).await?;
        let file = decrypt_file(sealed_file, opened_file, &key, &ticket.content, on_progress).await?;
        opened.keep_as(file, target).await?;
        Ok(Downloaded {
            version: ticket.version,
            transaction,
            decision: ticket.decision,
            ciphertext: ticket.content.ciphertext,
            plaintext_bytes: ticket.content.plaintext_bytes,
        })
    }

    /// The ticket must be for what was asked, and say of the file what this client's own node finds on the chain.
    async fn check_ticket(
        &self,
        ticket: &DownloadTicket,
        transaction: &TransactionId,
        version: &VersionName,
    ) -> Result<(), ClientError> {
        if ticket.transaction != *transaction || ticket.version != *version {
            return Err(ClientError::Integrity(format!(
                "the ticket is for {} by {} instead of {version} by {transaction}",
                ticket.version, ticket.transaction
            )));
        }
        let recorded = match self.dataset(&version.dataset).await {
            Ok(detail) => detail.versions.into_iter().find(|recorded| recorded.number == version.version),
            // A grantee may be allowed to download a dataset that it may not otherwise see.
            Err(ClientError::Problem(problem)) if problem.status == 404 => return Ok(()),
            Err(error) => return Err(error),
        };
        match recorded {
            Some(recorded) if recorded.content == ticket.content => Ok(()),
            _ => Err(ClientError::Integrity(format!("the ticket says something else of {version} than the chain"))),
        }
    }

    fn unwrap(&self, ticket: &DownloadTicket) -> Result<FileKey, ClientError> {
        let (_, keys) = self.account().ok_or(ClientError::NoAccount)?;
        let bytes = BASE64
            .decode(&ticket.wrapped_key)
            .map_err(|_| ClientError::Answer("the wrapped key is no base64".to_owned()))?;
        let wrapped = WrappedKey::from_bytes(&bytes)?;
        Ok(unwrap_key(&wrapped, keys.encryption_secret(), &ticket.content.ciphertext)?)
    }

    /// Fetches the ciphertext into `file` and checks length and hash.
    async fn fetch(
        &self,
        ticket: &DownloadTicket,
        file: &mut File,
        path: &Path,
        on_progress: &OnProgress,
    ) -> Result<(), ClientError> {
        let mut transfer = Transfer { done: 0, hasher: blake3::Hasher::new(), total: ticket.content.ciphertext_bytes };
        let mut fruitless = 0;
        while transfer.done < transfer.total {
            let before = transfer.done;
            let failure = match self.fetch_some(ticket, &mut transfer, file, path, on_progress).await {
                Ok(()) => None,
                Err(failure) if failure.is_temporary() => Some(failure),
                Err(failure) => return Err(failure.error),
            };
            fruitless = if transfer.done > before { 0 } else { fruitless + 1 };
            if transfer.done == transfer.total {
                break;
            }
            if fruitless >= FRUITLESS_ATTEMPTS {
                return Err(failure.map_or_else(
                    || {
                        ClientError::Integrity(format!(
                            "the file ended after {} of {} bytes",
                            transfer.done, transfer.total
                        ))
                    },
                    |failure| failure.error,
                ));
            }
            sleep(failure.and_then(|failure| failure.retry_after).unwrap_or(RESUME_PAUSE)).await;
        }
        file.flush().await.map_err(|source| ClientError::io(path, source))?;
        let found = Hash(*transfer.hasher.finalize().as_bytes());
        if found == ticket.content.ciphertext {
            Ok(())
        } else {
            let expected = ticket.content.ciphertext;
            Err(ClientError::Integrity(format!("what came has the hash {found} instead of {expected} on the chain")))
        }
    }

    /// One connection's worth of the file, from where the last one broke.
    async fn fetch_some(
        &self,
        ticket: &DownloadTicket,
        transfer: &mut Transfer,
        file: &mut File,
        path: &Path,
        on_progress: &OnProgress,
    ) -> Result<(), Failure> {
        let segments = ["v1", "downloads", &ticket.transaction.to_string(), "content"];
        let mut outgoing = Outgoing::get(self.url(&segments, &[]), Signing::Required);
        outgoing.range_start = transfer.done;
        let mut response = self.exchange(outgoing).await?;
        let resumed = response.status() == StatusCode::PARTIAL_CONTENT
            && response
                .headers()
                .get(CONTENT_RANGE)
                .and_then(|value| value.to_str().ok())
                .is_some_and(|value| value.starts_with(&format!("bytes {}-", transfer.done)));
        if transfer.done > 0 && !resumed {
            transfer.restart(file).await.map_err(|source| ClientError::io(path, source))?;
        }
        loop {
            let chunk = response.chunk().await.map_err(|error| Failure {
                error: self.unreachable(&error),
                delivered: true,
                retry_after: None,
            })?;
            let Some(chunk) = chunk else { return Ok(()) };
            if transfer.done + chunk.len() as u64 > transfer.total {
                let error = ClientError::Integrity(format!("the file is longer than its {} bytes", transfer.total));
                return Err(error.into());
            }
            file.write_all(&chunk).await.map_err(|source| ClientError::io(path, source))?;
            transfer.hasher.update(&chunk);
            transfer.done += chunk.len() as u64;
            on_progress(Progress { stage: Stage::Downloading, done: transfer.done, total: transfer.total });
        }
    }
}

/// What has come of a file.
struct Transfer {
    done: u64,
    hasher: blake3::Hasher,
    total: u64,
}

impl Transfer {
    /// For a node that does not go on from where it was asked to.
    async fn restart(&mut self, file: &mut File) -> std::io::Result<()> {
        file.set_len(0).await?;
        file.rewind().await?;
        self.done = 0;
        self.hasher.reset();
        Ok(())
    }
}

async fn decrypt_file(
    mut sealed: File,
    opened: File,
    key: &FileKey,
    content: &VersionContent,
    on_progress: &OnProgress,
) -> Result<File, ClientError> {
    let seek = |source| ClientError::Cipher(galen_filestore::CipherError::Read(source));
    sealed.rewind().await.map_err(seek)?;
    let (mut done, total) = (0, content.ciphertext_bytes);
    let reader = InspectReader::new(BufReader::with_capacity(BLOCK_BYTES, sealed.take(total)), |bytes: &[u8]| {
        done += bytes.len() as u64;
        on_progress(Progress { stage: Stage::Decrypting, done, total });
    });
    let mut writer = BufWriter::with_capacity(BLOCK_BYTES, opened);
    let plaintext = decrypt(reader, &mut writer, key).await?;
    if plaintext.bytes == content.plaintext_bytes {
        Ok(writer.into_inner())
    } else {
        let (found, expected) = (plaintext.bytes, content.plaintext_bytes);
        Err(ClientError::Integrity(format!("the decrypted file has {found} bytes instead of {expected} on the chain")))
    }
}
