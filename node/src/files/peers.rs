//! What other nodes ask about files, each question judged by this node's own ledger.

use bytes::Bytes;
use galen_contracts::query::list_accounts;
use galen_p2p::{FileSink, Refusal};
use galen_types::member::{Account, Standing};
use galen_types::{DatasetName, Encoding, NodeName, Timestamp, TransactionId};
use tokio::io::AsyncWriteExt as _;

use super::Files;
use super::cards::promised;
use super::download::report;
use super::error::{refusal, state_unusable, store_failed};
use super::protocol::{
    CARDS_BYTES_MAX, CARDS_MAX, CardsAnswer, CardsRequest, ContentRequest, KeyRequest, REQUEST_BYTES_MAX,
};
use super::reading::{read, wait_certified};
use super::release::{Release, release_of};
use crate::http::services::{ChainView, ServiceError};
use crate::http::visibility::Viewer;

/// The code by which a node says that another node of its member keeps the file.
pub(super) const ELSEWHERE: &str = "file-elsewhere";

/// Accounts of an asking member that are looked at.
const ASKERS_MAX: usize = 256;

/// Whether one of the accounts takes part and may see a dataset.
fn visible_to(
    view: &dyn ChainView,
    now: Timestamp,
    accounts: &[Account],
    dataset: &DatasetName,
) -> Result<bool, ServiceError> {
    for account in accounts.iter().filter(|account| account.standing == Standing::Active) {
        let viewer = Viewer { state: view.state(), now, account };
        if viewer.sees_dataset(dataset).map_err(state_unusable)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn elsewhere() -> Refusal {
    Refusal::new(ELSEWHERE, "this node does not keep the file; ask another node of the member")
}

fn malformed(error: galen_types::DecodeError) -> Refusal {
    Refusal::new("request-malformed", error)
}

impl Files {
    /// Gives cards of datasets that some account of the asking node's member may see; others do not exist for it.
    pub(super) async fn give_cards(&self, from: &NodeName, bytes: &[u8]) -> Result<Bytes, Refusal> {
        let request = CardsRequest::decode(bytes, REQUEST_BYTES_MAX).map_err(malformed)?;
        if request.datasets.len() > CARDS_MAX {
            return Err(Refusal::new("cards-too-many", format_args!("ask for at most {CARDS_MAX} cards at once")));
        }
        let store = self.cards.clone();
        let (asker, now) = (from.member.clone(), self.chain.progress.borrow().time);
        let cards = read(&self.chain, move |view| {
            let accounts = list_accounts(view.state(), Some(&asker), None, ASKERS_MAX).map_err(state_unusable)?;
            let mut left = CARDS_BYTES_MAX;
            let mut cards = Vec::with_capacity(request.datasets.len());
            for dataset in &request.datasets {
                let commitment =
                    if visible_to(view, now, &accounts, dataset)? { promised(view, dataset)? } else { None };
                let opening = commitment.and_then(|commitment| store.get(&commitment));
                let opening = opening.filter(|opening| opening.length() <= left);
                left -= opening.as_ref().map_or(0, |opening| opening.length());
                cards.push(opening);
            }
            Ok(cards)
        });
        let cards = cards.await.map_err(|error| refusal(&error))?;
        Ok(CardsAnswer { cards }.encode().into())
    }

    pub(super) async fn give_key(&self, from: &NodeName, bytes: &[u8]) -> Result<Bytes, Refusal> {
        let request = KeyRequest::decode(bytes, REQUEST_BYTES_MAX).map_err(malformed)?;
        let release = self.released_by(from, request.transaction).await?;
        let wrapped = self.wrapped_key(&release).await.map_err(|error| refusal(&error))?.ok_or_else(elsewhere)?;
        tracing::info!(account = %release.account, version = %release.version, "gives a file's key out");
        Ok(Bytes::copy_from_slice(wrapped.as_bytes()))
    }

    /// Serves the bytes that a peer's client may download.
    pub async fn serve(&self, from: NodeName, request: Bytes, mut sink: FileSink) {
        let served = async {
            match self.send(&from, &request, &mut sink).await {
                Ok(()) => {}
                Err(refusal) => {
                    tracing::debug!(%from, %refusal, "a file is not given out");
                    sink.refuse(refusal).await;
                }
            }
        };
        tokio::select! {
            () = self.chain.shutdown.stopping() => {}
            () = served => {}
        }
    }

    async fn send(&self, from: &NodeName, request: &[u8], sink: &mut FileSink) -> Result<(), Refusal> {
        let ContentRequest { transaction, start, end } =
            ContentRequest::decode(request, REQUEST_BYTES_MAX).map_err(malformed)?;
        let release = self.released_by(from, transaction).await?;
        let stored = self.stored(&release, start..end).await.map_err(|error| refusal(&error))?;
        let mut reader = stored.ok_or_else(elsewhere)?;
        loop {
            match reader.next().await {
                Ok(Some(piece)) => {
                    if let Err(error) = sink.write_all(&piece).await {
                        return Err(Refusal::new("transfer-broken", error));
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    report(&self.reports, &release, &error);
                    return Err(refusal(&store_failed(&error)));
                }
            }
        }
        sink.shutdown().await.map_err(|error| Refusal::new("transfer-broken", error))
    }

    /// What a transaction releases through a peer: only to nodes of the account's or the owner's member.
    async fn released_by(&self, from: &NodeName, transaction: TransactionId) -> Result<Release, Refusal> {
        let release = async {
            // The peer may be some blocks ahead.
            wait_certified(&self.chain, transaction).await?;
            read(&self.chain, move |view| release_of(view, &transaction, Timestamp::now())).await
        };
        let release: Release = release.await.map_err(|error: ServiceError| refusal(&error))?;
        if from.member == release.account.member || from.member == release.version.dataset.member {
            Ok(release)
        } else {
            Err(Refusal::new("receipt-unknown", "the download was made by no account of your member"))
        }
    }
}
