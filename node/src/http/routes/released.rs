//! Data is given out only against a certified receipt of the account that asks.

use galen_types::api::Finality;
use galen_types::{Call as ChainCall, DecodedTransaction, Outcome, Signer, TransactionId};

use crate::http::app::Call;
use crate::http::limits::TRANSACTION_BODY_BYTES_MAX;
use crate::http::refusal::Refusal;
use crate::http::services::{ChainView, ServiceError};

/// The call of a transaction that the asking account signed, that was done, and that is certified here. A transaction of
/// someone else does not exist for it.
pub(super) fn certified_call(
    call: &Call,
    view: &dyn ChainView,
    id: &TransactionId,
    what: &'static str,
) -> Result<ChainCall, Refusal> {
    let stored = view.transaction(id)?.ok_or(Refusal::NotFound(what))?;
    let decoded = DecodedTransaction::decode(stored.bytes, TRANSACTION_BODY_BYTES_MAX)
        .map_err(|error| Refusal::Service(ServiceError::internal(&error)))?;
    if decoded.body.signer != Signer::Account(call.account()?.name.clone()) {
        return Err(Refusal::NotFound(what));
    }
    if let Outcome::Refused { rule, explanation } = stored.receipt.outcome {
        return Err(Refusal::ReceiptRefused { rule: rule.to_string(), explanation });
    }
    if stored.place.height > view.certified_height() {
        tracing::debug!(%id, finality = %Finality::Committed, "asked for before it is certified");
        return Err(Refusal::NotCertified);
    }
    Ok(decoded.body.call)
}
