//! Keys and bytes of files for clients of this node: from its own store, or from the owner's node.

use std::io;
use std::ops::Range;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _};
use galen_filestore::{StoreError, Verification, VerifiedReader, WrappedKey, wrap_key};
use galen_p2p::{FileReader, RequestError};
use galen_types::api::DownloadTicket;
use galen_types::member::Account;
use galen_types::{Encoding, MemberName, NodeName, Timestamp, TransactionId};
use tokio::io::AsyncReadExt as _;

use super::Files;
use super::check::{MISSING, finding_at};
use super::error::{range_invalid, store_failed, wrap_failed};
use super::protocol::{ContentRequest, KeyRequest};
use super::reading::{other_nodes, read};
use super::release::{Release, release_of};
use super::tampering::TamperingReports;
use crate::http::services::{ByteRange, ByteStream, ErrorKind, FileContent, ServiceError};
use crate::runtime::kinds;

/// How long the owner's node may take to release a key; it may have to wait for a certificate.
const KEY_DEADLINE: Duration = Duration::from_secs(15);
/// Bytes passed on at a time.
const PIECE_BYTES: usize = 64 << 10;

impl Files {
    /// What a transaction releases, by this node's ledger.
    pub(super) async fn released(&self, transaction: TransactionId) -> Result<Release, ServiceError> {
        read(&self.chain, move |view| release_of(view, &transaction, Timestamp::now())).await
    }

    async fn released_to(&self, transaction: TransactionId, account: &Account) -> Result<Release, ServiceError> {
        let release = self.released(transaction).await?;
        if release.account == account.name {
            return Ok(release);
        }
        Err(ServiceError::new(ErrorKind::NotFound, "receipt-unknown", "the download is another account's"))
    }

    /// The file key, wrapped to whom it is released; `None` when this node does not keep the file.
    pub(super) async fn wrapped_key(&self, release: &Release) -> Result<Option<WrappedKey>, ServiceError> {
        let ciphertext = release.content.ciphertext;
        if release.version.dataset.member != *self.member() {
            return Ok(None);
        }
        let Some(secrets) = self.secrets(ciphertext).await? else { return Ok(None) };
        let wrapped = wrap_key(&secrets.key, &release.encryption_key, &ciphertext);
        wrapped.map(Some).map_err(|error| wrap_failed(&error))
    }

    /// A range of a file from the own store; `None` when this node does not keep it.
    pub(super) async fn stored(
        &self,
        release: &Release,
        range: Range<u64>,
    ) -> Result<Option<VerifiedReader>, ServiceError> {
        if release.version.dataset.member != *self.member() {
            return Ok(None);
        }
        let ciphertext = release.content.ciphertext;
        // Found wrong before: said at once, and not where the bytes break off. Its owner may have put it right since.
        if self.reports.is_reported(&release.version) {
            match self.store.verify(&ciphertext, |_, _| ()).await.map_err(|error| store_failed(&error))? {
                Verification::Tampered { offset } => {
                    return Err(store_failed(&StoreError::Tampered { ciphertext, offset }));
                }
                Verification::Intact { .. } => self.reports.intact(&release.version),
                Verification::Missing => {}
            }
        }
        let error = match self.store.get_range(&ciphertext, range).await {
            Ok(reader) => return Ok(Some(reader)),
            Err(error) => error,
        };
        if matches!(error, StoreError::Missing { .. }) && self.secrets(ciphertext).await?.is_none() {
            return Ok(None);
        }
        report(&self.reports, release, &error);
        Err(store_failed(&error))
    }

    pub(super) async fn ticket(
        &self,
        transaction: TransactionId,
        account: Account,
    ) -> Result<DownloadTicket, ServiceError> {
        let release = self.released_to(transaction, &account).await?;
        let wrapped = match self.wrapped_key(&release).await? {
            Some(wrapped) => wrapped,
            None => self.ask_key(transaction, &release.version.dataset.member).await?,
        };
        let wrapped_key = BASE64.encode(wrapped.as_bytes());
        let Release { version, decision, content, .. } = release;
        Ok(DownloadTicket { transaction, version, decision, content, wrapped_key })
    }

    async fn ask_key(&self, transaction: TransactionId, owner: &MemberName) -> Result<WrappedKey, ServiceError> {
        let request = Bytes::from(KeyRequest { transaction }.encode());
        let mut failure = None;
        for node in other_nodes(&self.chain, owner.clone()).await? {
            match self.network.request(&node, kinds::DOWNLOAD_KEY, request.clone(), KEY_DEADLINE).await {
                Ok(bytes) => return WrappedKey::from_bytes(&bytes).map_err(|error| wrap_failed(&error)),
                Err(error) => failure = Some(more_telling(failure, error)),
            }
        }
        Err(owner_failed(owner, failure))
    }

    pub(super) async fn content(
        &self,
        transaction: TransactionId,
        account: Account,
        range: Option<ByteRange>,
    ) -> Result<FileContent, ServiceError> {
        let release = self.released_to(transaction, &account).await?;
        let bytes = release.content.ciphertext_bytes;
        let range = match range {
            None => 0..bytes,
            Some(range) => range.within(bytes).ok_or_else(range_invalid)?,
        };
        let stream = match self.stored(&release, range.clone()).await? {
            Some(reader) => stored_stream(reader, release, self.reports.clone()),
            None => {
                let (reader, node) = self.ask_content(transaction, &release, &range).await?;
                passed_on(reader, node, range.end - range.start)
            }
        };
        Ok(FileContent { bytes, range, stream })
    }

    async fn ask_content(
        &self,
        transaction: TransactionId,
        release: &Release,
        range: &Range<u64>,
    ) -> Result<(FileReader, NodeName), ServiceError> {
        let owner = &release.version.dataset.member;
        let request = Bytes::from(ContentRequest { transaction, start: range.start, end: range.end }.encode());
        let mut failure = None;
        for node in other_nodes(&self.chain, owner.clone()).await? {
            match self.network.open_file(&node, request.clone()).await {
                Ok(reader) => return Ok((reader, node)),
                Err(error) => failure = Some(more_telling(failure, error)),
            }
        }
        Err(owner_failed(owner, failure))
    }
}

/// Of several nodes' failures the one to tell: a refusal with a reason before nodes that were not reached.
fn more_telling(before: Option<RequestError>, next: RequestError) -> RequestError {
    let reason = |error: &RequestError| matches!(error, RequestError::Refused(refusal) if refusal.code() != super::peers::ELSEWHERE);
    match before {
        Some(before) if reason(&before) || !reason(&next) => before,
        _ => next,
    }
}

fn owner_failed(owner: &MemberName, failure: Option<RequestError>) -> ServiceError {
    let (kind, code) = match &failure {
        Some(RequestError::Refused(refusal)) => match refusal.code() {
            "download-expired" => (ErrorKind::Gone, "download-expired"),
            "download-permission-lost" => (ErrorKind::Forbidden, "download-permission-lost"),
            "not-certified" => (ErrorKind::Unavailable, "not-certified"),
            "integrity-failure" => (ErrorKind::PeerFailed, "integrity-failure"),
            "busy" => (ErrorKind::Unavailable, "owner-busy"),
            _ => (ErrorKind::PeerFailed, "owner-refused"),
        },
        _ => (ErrorKind::PeerFailed, "owner-unreachable"),
    };
    let detail = match failure {
        Some(RequestError::Refused(refusal)) => format!("the nodes of `{owner}` refuse: {}", refusal.text()),
        Some(error) => format!("no node of `{owner}` gives the file: {error}"),
        None => format!("`{owner}` has no other node that could give the file"),
    };
    let error = ServiceError::new(kind, code, detail);
    if kind == ErrorKind::PeerFailed { error.with_hint("try again later, or ask the owner") } else { error }
}

/// Reports what makes a read fail when the stored bytes are to blame.
pub(super) fn report(reports: &TamperingReports, release: &Release, error: &StoreError) {
    match error {
        StoreError::Tampered { offset, .. } => reports.report_soon(release.version.clone(), finding_at(*offset)),
        StoreError::Missing { .. } => reports.report_soon(release.version.clone(), MISSING.to_owned()),
        _ => tracing::warn!(version = %release.version, %error, "a stored file cannot be read"),
    }
}

/// The verified bytes as a stream; a client whose stream ends in an error never takes it for whole.
fn stored_stream(reader: VerifiedReader, release: Release, reports: TamperingReports) -> ByteStream {
    let stream = reader.into_stream().map_err(move |error| {
        report(&reports, &release, &error);
        io::Error::from(error)
    });
    stream.boxed()
}

/// Bytes of the owner's node, as many as promised. They are ciphertext; the client checks them against the chain.
fn passed_on(reader: FileReader, node: NodeName, bytes: u64) -> ByteStream {
    let stream = futures::stream::try_unfold((reader, bytes), |(mut reader, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let mut piece = BytesMut::with_capacity(PIECE_BYTES);
        (&mut reader).take(left.min(PIECE_BYTES as u64)).read_buf(&mut piece).await?;
        if piece.is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        let left = left.saturating_sub(piece.len() as u64);
        Ok(Some((piece.freeze(), (reader, left))))
    });
    stream.inspect_err(move |error| tracing::warn!(%node, %error, "the owner's node broke a transfer off")).boxed()
}
