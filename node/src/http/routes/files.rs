//! Bringing files in: the ciphertext, then its key. Only at the node of the owner's member, which is where files stay.

use std::sync::Arc;

use galen_types::Hash;
use galen_types::api::{FileKeyDeposit, StoredFile};
use galen_types::dataset::VersionContent;
use galen_types::member::Role;
use http::StatusCode;
use http::header::CONTENT_LENGTH;

use crate::http::app::Call;
use crate::http::body::RequestBody;
use crate::http::query::Parameter;
use crate::http::refusal::Refusal;
use crate::http::respond::{Response, json, json_with};
use crate::http::route::{Access, Handler, Route};

const OWNERS: Access = Access::Roles(&[Role::Owner]);

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(
            "/v1/files",
            "Uploads a ciphertext. The request is signed over `ciphertext` in place of the body's hash, which it is",
            Handler::Act(|call, body| Box::pin(upload(call, body))),
        )
        .access(OWNERS)
        .query(&[
            Parameter::needed("ciphertext", "BLAKE3 of the ciphertext"),
            Parameter::needed("bytes", "Bytes of the ciphertext"),
        ])
        .upload()
        .creates::<StoredFile>(),
        Route::put(
            "/v1/files/{ciphertext}/key",
            "Deposits an uploaded file's key; answers with what to publish",
            Handler::Act(|call, body| Box::pin(deposit_key(call, body))),
        )
        .access(OWNERS)
        .takes::<FileKeyDeposit>()
        .gives::<VersionContent>(),
    ]
}

fn check_member(call: &Call) -> Result<(), Refusal> {
    let own = &call.chain().node().member;
    if &call.account()?.name.member == own { Ok(()) } else { Err(Refusal::WrongMember(format!("the member `{own}`"))) }
}

async fn upload(call: Arc<Call>, body: RequestBody) -> Result<Response, Refusal> {
    check_member(&call)?;
    let (ciphertext, bytes) = (call.query.need::<Hash>("ciphertext")?, call.query.need::<u64>("bytes")?);
    let announced = call.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if let Some(got) = announced.filter(|length| *length != bytes) {
        return Err(Refusal::BodyLength { announced: bytes, got });
    }
    let _permit = Arc::clone(&call.app.uploads).try_acquire_owned().map_err(|_| Refusal::TooManyAtOnce("uploads"))?;
    let RequestBody::Upload(content) = body else { return Err(Refusal::Internal) };
    let account = call.account()?.name.clone();
    let stored = call.app.services.files.receive_upload(account, ciphertext, bytes, content).await?;
    json_with(StatusCode::CREATED, &stored)
}

async fn deposit_key(call: Arc<Call>, body: RequestBody) -> Result<Response, Refusal> {
    check_member(&call)?;
    let ciphertext: Hash = call.path(0, "ciphertext")?;
    let deposit: FileKeyDeposit = body.json()?;
    let account = call.account()?.name.clone();
    if deposit.dataset.member != account.member {
        return Err(Refusal::ParameterInvalid {
            name: "dataset",
            problem: format!("it must be one of the member `{}`", account.member),
        });
    }
    json(&call.app.services.files.deposit_key(account, ciphertext, deposit).await?)
}
