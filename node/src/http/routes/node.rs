//! What the administrators of the node's own member ask of the node itself.

use std::sync::Arc;

use galen_types::api::{BackupMade, LeaderTransfer, LeaderTransferOrder, SnapshotMade};
use http::StatusCode;
use tokio::sync::OwnedSemaphorePermit;

use crate::http::app::Call;
use crate::http::body::RequestBody;
use crate::http::refusal::Refusal;
use crate::http::respond::{Response, json, json_with};
use crate::http::route::{Access, Handler, Route};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(
            "/v1/node/leader-transfer",
            "Hands leadership over to a voter; at the node that leads",
            Handler::Act(|call, body| Box::pin(transfer(call, body))),
        )
        .access(Access::Operator)
        .takes::<LeaderTransferOrder>()
        .gives::<LeaderTransfer>(),
        Route::post(
            "/v1/node/backup",
            "Writes a backup of the node's home into a new folder on its machine; the chain goes on",
            Handler::Act(|call, _| Box::pin(backup(call))),
        )
        .access(Access::Operator)
        .creates::<BackupMade>(),
        Route::post(
            "/v1/node/snapshot",
            "Takes a snapshot of the state at the certified height; the chain goes on",
            Handler::Act(|call, _| Box::pin(snapshot(call))),
        )
        .access(Access::Operator)
        .creates::<SnapshotMade>(),
    ]
}

async fn transfer(call: Arc<Call>, body: RequestBody) -> Result<Response, Refusal> {
    let LeaderTransferOrder { to } = body.json()?;
    let leader = call.app.services.operator.transfer_leadership(to).await?;
    json(&LeaderTransfer { leader })
}

/// One copy of the ledger at a time.
fn place(call: &Call) -> Result<OwnedSemaphorePermit, Refusal> {
    Arc::clone(&call.app.copies).try_acquire_owned().map_err(|_| Refusal::TooManyAtOnce("backups and snapshots"))
}

async fn backup(call: Arc<Call>) -> Result<Response, Refusal> {
    let _place = place(&call)?;
    let made = call.app.services.operator.backup().await?;
    let folder = made.folder.display().to_string();
    json_with(StatusCode::CREATED, &BackupMade { folder, height: made.height, bytes: made.bytes })
}

async fn snapshot(call: Arc<Call>) -> Result<Response, Refusal> {
    let _place = place(&call)?;
    let made = call.app.services.operator.snapshot().await?;
    let (height, header, rows, bytes) = (made.height, made.header, made.rows, made.bytes);
    json_with(StatusCode::CREATED, &SnapshotMade { height, header, rows, bytes })
}
