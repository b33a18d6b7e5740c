//! Submitting transactions, and what became of them.
//!
//! A submission needs no authentication of its own: the transaction is signed. Its bytes go to the mempool as they came;
//! only calls that may take voters out are looked into first, because the chain may stop by them ([`quorum`]).

use std::sync::Arc;
use std::time::Instant;

use galen_types::api::{Finality, Problem, TransactionStatus};
use galen_types::{Encoding, Signer, TransactionId};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::block_time;
use crate::http::app::Call;
use crate::http::body::RequestBody;
use crate::http::consistency::{self, TIMEOUT};
use crate::http::limits::{BATCH_BODY_BYTES_MAX, BATCH_TRANSACTIONS_MAX, TRANSACTION_BODY_BYTES_MAX};
use crate::http::query::Parameter;
use crate::http::quorum;
use crate::http::refusal::Refusal;
use crate::http::respond::{Response, json, json_with};
use crate::http::route::{Access, Handler, Route};
use crate::http::services::{ErrorKind, ServiceError};
use crate::http::visibility::Viewer;

const WAIT: Parameter = Parameter::new("wait", "How far to wait for: `none`, `committed` (if not said) or `certified`");

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(
            "/v1/transactions",
            "Submits the bytes of one signed transaction; 202 with wait=none, 504 `outcome-unknown` when the time runs out",
            Handler::Act(|call, body| Box::pin(submit(call, body))),
        )
        .access(Access::Open)
        .query(&[WAIT, TIMEOUT])
        .octets(TRANSACTION_BODY_BYTES_MAX)
        .gives::<TransactionStatus>(),
        Route::post(
            "/v1/transactions/batch",
            "Submits up to 1000 signed transactions, encoded as a list of byte strings; answers in order",
            Handler::Act(|call, body| Box::pin(submit_batch(call, body))),
        )
        .access(Access::Open)
        .query(&[WAIT, TIMEOUT])
        .octets(BATCH_BODY_BYTES_MAX)
        .gives_list::<BatchItem>(),
        Route::get(
            "/v1/transactions/{id}",
            "How far a transaction has come; its body and events for those who may see them",
            Handler::Act(|call, _| Box::pin(status(call))),
        )
        .access(Access::Optional)
        .query(&[WAIT])
        .consistent()
        .gives::<TransactionStatus>(),
    ]
}

/// How far to wait for, and until when. `unsaid` is meant where the client does not say.
fn patience(call: &Call, unsaid: Finality) -> Result<(Finality, Instant), Refusal> {
    let wait = match call.query.text("wait") {
        None => unsaid,
        Some("none") => Finality::Pending,
        Some("committed") => Finality::Committed,
        Some("certified") => Finality::Certified,
        Some(_) => {
            let problem = "it must be `none`, `committed` or `certified`".to_owned();
            return Err(Refusal::ParameterInvalid { name: "wait", problem });
        }
    };
    Ok((wait, Instant::now() + consistency::patience(&call.query)?))
}

/// Counts failed signatures against the address, as failed authentications are.
fn count_failure(call: &Call, error: &ServiceError) {
    if error.kind == ErrorKind::Unauthenticated {
        call.app.gate.failed(call.address);
    }
}

/// The answer to a submission: the sender knows what it sent.
fn answered(mut status: TransactionStatus) -> TransactionStatus {
    status.body = None;
    status
}

async fn submit(call: Arc<Call>, body: RequestBody) -> Result<Response, Refusal> {
    let (wait, deadline) = patience(&call, Finality::Committed)?;
    call.app.gate.check_address(call.address)?;
    let bytes = body.bytes().to_vec();
    drop(body);
    quorum::keep(&call, &bytes).await?;
    let status = call.chain().submit(bytes, wait, deadline).await.inspect_err(|error| count_failure(&call, error))?;
    let code = if status.finality == Finality::Pending { StatusCode::ACCEPTED } else { StatusCode::OK };
    json_with(code, &answered(status))
}

/// One answer of a batch.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum BatchItem {
    /// It was taken.
    Status(Box<TransactionStatus>),
    /// It was not.
    Problem(Problem),
}

async fn submit_batch(call: Arc<Call>, body: RequestBody) -> Result<Response, Refusal> {
    let (wait, deadline) = patience(&call, Finality::Committed)?;
    call.app.gate.check_address(call.address)?;
    let transactions = Vec::<Vec<u8>>::decode(body.bytes(), BATCH_BODY_BYTES_MAX)
        .map_err(|error| Refusal::BodyMalformed(error.to_string()))?;
    drop(body);
    if !(1..=BATCH_TRANSACTIONS_MAX).contains(&transactions.len()) {
        let problem = format!("it holds {} transactions; 1 to {BATCH_TRANSACTIONS_MAX} are taken", transactions.len());
        return Err(Refusal::BodyMalformed(problem));
    }
    let (mut kept, mut refused) = (Vec::with_capacity(transactions.len()), Vec::new());
    for bytes in transactions {
        match quorum::keep(&call, &bytes).await {
            Ok(()) => {
                kept.push(bytes);
                refused.push(None);
            }
            Err(refusal) => refused.push(Some(refusal)),
        }
    }
    let mut results = call.chain().submit_many(kept, wait, deadline).await.into_iter();
    let items: Vec<_> = refused
        .into_iter()
        .filter_map(|refusal| match refusal {
            Some(refusal) => Some(BatchItem::Problem(refusal.problem())),
            None => results.next().map(|result| match result {
                Ok(status) => BatchItem::Status(Box::new(answered(status))),
                Err(error) => {
                    count_failure(&call, &error);
                    BatchItem::Problem(Refusal::Service(error).problem())
                }
            }),
        })
        .collect();
    json(&items)
}

async fn status(call: Arc<Call>) -> Result<Response, Refusal> {
    let (wait, deadline) = patience(&call, Finality::Pending)?;
    let id: TransactionId = call.path(0, "id")?;
    // What is looked at afterwards holds at least this; a transaction that is found stands at its own height.
    call.read_height.note(call.chain().status().height);
    let status = call.chain().wait(id, wait, deadline).await?;
    if let Some(height) = status.as_ref().and_then(|status| status.height) {
        call.read_height.note(height);
    }
    let mut status = status.ok_or(Refusal::NotFound("transaction"))?;
    let signer = status.body.as_ref().map(|body| body.signer.clone());
    let seen = match (signer, call.account.is_some()) {
        (Some(signer), true) => {
            let receipt = status.receipt.clone();
            call.read(move |call, view| sees(call, view, &signer, receipt.as_ref())).await?
        }
        _ => false,
    };
    if !seen {
        status.body = None;
        if let Some(receipt) = &mut status.receipt {
            receipt.events.clear();
        }
    }
    json(&status)
}

fn sees(
    call: &Call,
    view: &dyn crate::http::services::ChainView,
    signer: &Signer,
    receipt: Option<&galen_types::Receipt>,
) -> Result<bool, Refusal> {
    let viewer = Viewer { state: view.state(), now: block_time(call, view)?, account: call.account()? };
    Ok(viewer.sees_transaction(signer, receipt)?)
}
