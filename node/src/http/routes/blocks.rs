//! Blocks.

use galen_types::BlockHeader;
use galen_types::api::{BlockDetail, BlockSummary, Page};
use galen_types::{Encoding, Receipt, TransactionId};
use galen_types::{SignedTransaction, TransactionBody};

use super::viewer;
use crate::http::app::Call;
use crate::http::limits::TRANSACTION_BODY_BYTES_MAX;
use crate::http::query::Parameter;
use crate::http::refusal::Refusal;
use crate::http::respond::{Response, json};
use crate::http::route::{Handler, Route};
use crate::http::services::{ChainView, ServiceError};
use crate::http::visibility::Viewer;

const ORDER: Parameter = Parameter::new("order", "By height: `asc` (if not said) or `desc`");

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/blocks", "Blocks by height", Handler::Read(list))
            .query(&[ORDER])
            .paged()
            .gives_page::<BlockSummary>(),
        Route::get(
            "/v1/blocks/{height}",
            "A block with its transactions' ids and the receipts that the account may see",
            Handler::Read(detail),
        )
        .gives::<BlockDetail>(),
    ]
}

fn summary(view: &dyn ChainView, header: &BlockHeader) -> Result<BlockSummary, Refusal> {
    Ok(BlockSummary {
        height: header.height,
        hash: header.hash(),
        time: header.time,
        transactions: view.transaction_count(header.height)?,
        proposer: header.proposer.clone(),
    })
}

fn list(call: &Call, view: &dyn ChainView) -> Result<Response, Refusal> {
    let limit = call.query.limit()? as u64;
    let start_after: Option<u64> = call.query.get("start_after")?;
    let newest = view.height();
    let descending = match call.query.text("order") {
        None | Some("asc") => false,
        Some("desc") => true,
        Some(_) => {
            return Err(Refusal::ParameterInvalid { name: "order", problem: "it must be `asc` or `desc`".to_owned() });
        }
    };
    let heights: Vec<u64> = if descending {
        let first = start_after.map_or(newest, |after| newest.min(after.saturating_sub(1)));
        (1..=first).rev().take(call.query.limit()?).collect()
    } else {
        let first = start_after.map_or(1, |after| after.saturating_add(1)).max(1);
        (first..=newest.min(first.saturating_add(limit - 1))).collect()
    };
    let mut items = Vec::with_capacity(heights.len());
    for height in &heights {
        // Blocks below the oldest that is kept are left out.
        if let Some(header) = view.header(*height)? {
            items.push(summary(view, &header)?);
        }
    }
    let last = heights.last().copied().unwrap_or(0);
    let more = if descending { last > 1 } else { last != 0 && last < newest };
    json(&Page { height: newest, items, next: more.then(|| last.to_string()) })
}

fn visible(viewer: &Viewer<'_>, bytes: &[u8], receipt: &Receipt) -> Result<bool, Refusal> {
    let body = SignedTransaction::decode(bytes, TRANSACTION_BODY_BYTES_MAX)
        .and_then(|signed| TransactionBody::decode(&signed.body, TRANSACTION_BODY_BYTES_MAX))
        .map_err(|error| Refusal::Service(ServiceError::internal(&error)))?;
    Ok(viewer.sees_transaction(&body.signer, Some(receipt))?)
}

fn detail(call: &Call, view: &dyn ChainView) -> Result<Response, Refusal> {
    let height: u64 = call.path(0, "height")?;
    let block = view.block(height)?.ok_or(Refusal::NotFound("block"))?;
    let viewer = viewer(call, view)?;
    let transactions: Vec<TransactionId> = block.receipts.iter().map(|receipt| receipt.transaction).collect();
    let mut receipts = Vec::new();
    for (bytes, receipt) in block.transactions.iter().zip(block.receipts) {
        if visible(&viewer, bytes, &receipt)? {
            receipts.push(receipt);
        }
    }
    json(&BlockDetail {
        hash: block.header.hash(),
        header: block.header,
        transactions,
        receipts,
        certificate: view.certificate(height)?,
    })
}
