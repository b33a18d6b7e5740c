//! Reading the ledger from tasks: on a blocking thread, one moment of it at a time; and what a recorded transaction is to
//! those who are to release something against it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use galen_types::api::Finality;
use galen_types::{
    AccountName, Call, DecodedTransaction, MemberName, NodeName, Receipt, Signer, Timestamp, TransactionId,
};

use super::error::state_unusable;
use crate::http::services::{ChainService as _, ChainView, ErrorKind, ServiceError};
use crate::runtime::{Chain, LedgerChainView};

/// Nodes of a member that are looked at.
const NODES_MAX: usize = 64;

/// How long a peer's receipt may take to become certified here: the peer may be a few blocks ahead.
const CERTIFIED_WITHIN: Duration = Duration::from_secs(10);

/// Reads one moment of the ledger on a blocking thread.
pub(crate) async fn read<T, F>(chain: &Chain, read: F) -> Result<T, ServiceError>
where
    F: FnOnce(&dyn ChainView) -> Result<T, ServiceError> + Send + 'static,
    T: Send + 'static,
{
    let ledger = Arc::clone(&chain.ledger);
    blocking(move || {
        let view = LedgerChainView::new(&ledger).map_err(|error| ServiceError::internal(&error))?;
        read(&view)
    })
    .await
}

/// Runs what blocks on a thread where it may.
pub(crate) async fn blocking<T, F>(work: F) -> Result<T, ServiceError>
where
    F: FnOnce() -> Result<T, ServiceError> + Send + 'static,
    T: Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(ServiceError::internal(&error)),
    }
}

/// The time by which rules are judged: the newest block's.
pub(crate) fn block_time(view: &dyn ChainView) -> Result<Timestamp, ServiceError> {
    Ok(view.header(view.height())?.map_or(Timestamp(0), |header| header.time))
}

/// A call that an account made, that was done, and that is certified.
#[derive(Debug)]
pub(crate) struct CertifiedCall {
    /// Who made it.
    pub(crate) account: AccountName,
    /// What was asked.
    pub(crate) call: Call,
    /// What became of it.
    pub(crate) receipt: Receipt,
    /// Its block's time.
    pub(crate) time: Timestamp,
}

/// The certified, applied call of an account; everything else releases nothing.
pub(crate) fn certified_call(view: &dyn ChainView, id: &TransactionId) -> Result<CertifiedCall, ServiceError> {
    let unknown = || ServiceError::new(ErrorKind::NotFound, "receipt-unknown", format!("there is no receipt of {id}"));
    let stored = view.transaction(id)?.ok_or_else(unknown)?;
    let length = stored.bytes.len();
    let decoded = DecodedTransaction::decode(stored.bytes, length).map_err(|error| ServiceError::internal(&error))?;
    let Signer::Account(account) = decoded.body.signer else { return Err(unknown()) };
    if !stored.receipt.is_applied() {
        return Err(ServiceError::new(
            ErrorKind::Forbidden,
            "receipt-refused",
            "the call was refused; it releases nothing",
        ));
    }
    if stored.place.height > view.certified_height() {
        return Err(ServiceError::new(
            ErrorKind::Unavailable,
            "not-certified",
            "the receipt is not certified here yet; it will be in a moment",
        ));
    }
    let header = view.header(stored.place.height)?.ok_or_else(unknown)?;
    Ok(CertifiedCall { account, call: decoded.body.call, receipt: stored.receipt, time: header.time })
}

/// Waits until this node has a transaction certified; whether it came to that in time.
pub(crate) async fn wait_certified(chain: &Chain, id: TransactionId) -> Result<bool, ServiceError> {
    let status = chain.wait(id, Finality::Certified, Instant::now() + CERTIFIED_WITHIN).await?;
    Ok(status.is_some_and(|status| status.finality == Finality::Certified))
}

/// The registered nodes of a member but this one, those that are connected first.
pub(crate) async fn other_nodes(chain: &Chain, member: MemberName) -> Result<Vec<NodeName>, ServiceError> {
    let own = chain.node.clone();
    let mut nodes = read(chain, move |view| {
        let nodes = galen_contracts::query::list_nodes(view.state(), Some(&member), None, NODES_MAX);
        let nodes = nodes.map_err(state_unusable)?.into_iter().map(|node| node.name);
        Ok(nodes.filter(|name| *name != own).collect::<Vec<_>>())
    })
    .await?;
    nodes.sort_by_key(|node| !chain.network.is_connected(node));
    Ok(nodes)
}
