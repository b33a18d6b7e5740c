//! Stored files of the node's member: taken in, checked, given out against certified receipts.
//!
//! - `deposit`: uploads and their keys; a file is decrypted once to check it and to read its columns.
//! - `check`: comparing stored bytes with the chain.
//! - `release`: what a certified download releases, and to whom.
//! - `download`: keys and bytes for clients, from the own store or from the owner's node.
//! - `peers`: what other nodes ask.
//! - `cards`, `card`: titles and descriptions, kept off the chain.
//! - `scrub`: reading all of them again, in the background.
//! - `tampering`: reports to the chain.
//! - `documents`, `reading`: small files on disk, and reading the ledger; used by jobs too.
//!
//! On the disk, under `files/`: what `galen_filestore` keeps, `keys/` (the key ring), `salts/` and `cards/`.

mod card;
mod cards;
mod check;
mod deposit;
pub(crate) mod documents;
mod download;
pub(crate) mod error;
mod peers;
pub(crate) mod protocol;
pub(crate) mod reading;
mod release;
mod salts;
mod scrub;
mod tampering;
#[cfg(test)]
mod tests;

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use galen_filestore::{CipherError, FileStore, FileStoreOptions, KeyRing, KeyRingError, StoreError, VersionSecrets};
use galen_keys::KeyPair;
use galen_p2p::{NetworkHandle, Refusal, Responder};
use galen_types::api::{Card, DownloadTicket, FileKeyDeposit, FileVerification, StoredFile};
use galen_types::dataset::VersionContent;
use galen_types::member::Account;
use galen_types::{AccountName, DatasetName, Hash, MemberName, NodeName, TransactionId, VersionName};
use tokio::sync::Semaphore;

use card::{CARD_DOCUMENT_BYTES_MAX, CardCache, CardStore};
use documents::Documents;
use salts::{SALT_DOCUMENT_BYTES_MAX, Salts};
use tampering::TamperingReports;

use crate::home::NodeHome;
use crate::http::services::{ByteRange, ByteStream, FileContent, FileService, ServiceError};
use crate::runtime::{Chain, NodeSigner, kinds};

pub use documents::FolderError;
pub use error::FilesError;

/// Files that are decrypted and read through at once; others wait.
const READINGS_MAX: usize = 2;

/// Stored files and their keys.
pub struct Files {
    store: FileStore,
    ring: KeyRing,
    salts: Arc<Salts>,
    cards: Arc<CardStore>,
    cache: CardCache,
    keys: KeyPair,
    chain: Arc<Chain>,
    network: NetworkHandle,
    reports: TamperingReports,
    readings: Arc<Semaphore>,
}

/// Why a table cannot be read.
#[derive(Debug)]
pub(crate) enum TableFault {
    /// This node has no key for it: another node of the member keeps it, or it was erased.
    Elsewhere,
    /// Its bytes are not those that the chain names; what was found.
    Integrity(String),
    /// The store or the key ring failed; it may work later.
    Failed(String),
}

impl Files {
    /// Opens the files of a home.
    ///
    /// # Errors
    /// [`FilesError`] when a folder cannot be used or is in use.
    pub async fn open(
        home: &NodeHome,
        keys: KeyPair,
        chain: Arc<Chain>,
        network: NetworkHandle,
        signer: NodeSigner,
    ) -> Result<Arc<Self>, FilesError> {
        let folder = home.files();
        let store = FileStore::open(&folder, FileStoreOptions::default()).await?;
        let ring = KeyRing::open(folder.join("keys"))?;
        let salts = Documents::open(folder.join("salts"), SALT_DOCUMENT_BYTES_MAX)?;
        let cards = Documents::open(folder.join("cards"), CARD_DOCUMENT_BYTES_MAX)?;
        let reports = TamperingReports::new(signer, chain.shutdown.clone());
        Ok(Arc::new(Self {
            store,
            ring,
            salts: Arc::new(Salts::new(salts)),
            cards: Arc::new(CardStore(cards)),
            cache: CardCache::default(),
            keys,
            chain,
            network,
            reports,
            readings: Arc::new(Semaphore::new(READINGS_MAX)),
        }))
    }

    /// The member whose files are here.
    fn member(&self) -> &MemberName {
        &self.chain.node.member
    }

    /// The secrets of a file; `None` when this node has none.
    async fn secrets(&self, ciphertext: Hash) -> Result<Option<VersionSecrets>, ServiceError> {
        let (ring, keys) = (self.ring.clone(), self.keys.clone());
        reading::blocking(move || match ring.get(&ciphertext, keys.encryption_secret()) {
            Ok(secrets) => Ok(Some(secrets)),
            Err(KeyRingError::Missing { .. }) => Ok(None),
            Err(error) => Err(error::key_ring_failed(&error)),
        })
        .await
    }

    /// Opens a version's plaintext, each byte checked against the chain's hash; for a thread that may block.
    pub(crate) async fn open_table(&self, ciphertext: Hash) -> Result<impl Read + Send + 'static, TableFault> {
        let secrets = match self.secrets(ciphertext).await {
            Ok(Some(secrets)) => secrets,
            Ok(None) => return Err(TableFault::Elsewhere),
            Err(error) => return Err(TableFault::Failed(error.to_string())),
        };
        match self.store.get_plaintext_blocking(&ciphertext, &secrets.key).await {
            Ok(reader) => Ok(reader),
            Err(error) => Err(self.store_fault(&error).await),
        }
    }

    /// What it means that reading an opened table failed.
    pub(crate) async fn table_fault(&self, error: &std::io::Error) -> TableFault {
        if let Some(error) = StoreError::of_io(error) {
            return self.store_fault(error).await;
        }
        match error::cipher_error_of(error) {
            // The bytes are the chain's, so what was published is not what its key opens.
            Some(error @ (CipherError::WrongKey | CipherError::NotEncrypted | CipherError::Damaged { .. })) => {
                TableFault::Integrity(error.to_string())
            }
            _ => TableFault::Failed(error.to_string()),
        }
    }

    async fn store_fault(&self, error: &StoreError) -> TableFault {
        match error {
            StoreError::Tampered { offset, .. } => TableFault::Integrity(check::finding_at(*offset)),
            StoreError::Missing { .. } => TableFault::Integrity(check::MISSING.to_owned()),
            StoreError::OutboardDamaged { ciphertext } => {
                // Whether the file itself is whole; if so, its tree is made anew and the next attempt succeeds.
                match self.store.verify(ciphertext, |_, _| {}).await {
                    Ok(verification) => match check::finding(&verification) {
                        Some(finding) => TableFault::Integrity(finding),
                        None => TableFault::Failed("its hash tree was damaged and is made anew".to_owned()),
                    },
                    Err(error) => TableFault::Failed(error.to_string()),
                }
            }
            _ => TableFault::Failed(error.to_string()),
        }
    }

    /// Records on the chain that a version's stored bytes are not the chain's.
    pub(crate) async fn report_tampering(&self, version: &VersionName, finding: &str) {
        self.reports.report(version, finding).await;
    }

    /// Answers a peer's request of kind [`kinds::CARD`] or [`kinds::DOWNLOAD_KEY`].
    pub async fn answer(&self, from: NodeName, kind: u16, bytes: Bytes, reply: Responder) {
        let answer = async {
            match kind {
                kinds::CARD => self.give_cards(&from, &bytes).await,
                kinds::DOWNLOAD_KEY => self.give_key(&from, &bytes).await,
                _ => Err(Refusal::new("unknown-kind", "this node does not know that kind of request")),
            }
        };
        tokio::select! {
            () = self.chain.shutdown.stopping() => {}
            answer = answer => match answer {
                Ok(bytes) => reply.answer(bytes),
                Err(refusal) => {
                    tracing::debug!(%from, kind, %refusal, "a request about files is refused");
                    reply.refuse(refusal);
                }
            }
        }
    }
}

impl FileService for Files {
    fn receive_upload(
        &self,
        account: AccountName,
        ciphertext: Hash,
        bytes: u64,
        content: ByteStream,
    ) -> BoxFuture<'_, Result<StoredFile, ServiceError>> {
        Box::pin(self.receive(account, ciphertext, bytes, content))
    }

    fn deposit_key(
        &self,
        account: AccountName,
        ciphertext: Hash,
        deposit: FileKeyDeposit,
    ) -> BoxFuture<'_, Result<VersionContent, ServiceError>> {
        Box::pin(self.deposit(account, ciphertext, deposit))
    }

    fn verify(&self, dataset: DatasetName) -> BoxFuture<'_, Result<FileVerification, ServiceError>> {
        Box::pin(self.check(dataset))
    }

    fn download_ticket(
        &self,
        transaction: TransactionId,
        account: Account,
    ) -> BoxFuture<'_, Result<DownloadTicket, ServiceError>> {
        Box::pin(self.ticket(transaction, account))
    }

    fn download_content(
        &self,
        transaction: TransactionId,
        account: Account,
        range: Option<ByteRange>,
    ) -> BoxFuture<'_, Result<FileContent, ServiceError>> {
        Box::pin(self.content(transaction, account, range))
    }

    fn cards(&self, datasets: Vec<DatasetName>) -> BoxFuture<'_, Vec<Option<Card>>> {
        Box::pin(self.find_cards(datasets))
    }
}
