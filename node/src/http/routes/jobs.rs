//! Compute jobs.

use std::sync::Arc;

use galen_contracts::keys;
use galen_contracts::query::{get_job, list_jobs_of, list_jobs_running};
use galen_types::api::{JobDetail, JobOpening, JobProgress};
use galen_types::job::{Job, JobState};
use galen_types::member::Role;
use galen_types::{AccountName, Call as ChainCall, Hash, JobId, TransactionId};
use http::{HeaderValue, StatusCode};

use super::released::certified_call;
use super::viewer;
use crate::http::app::Call;
use crate::http::body::RequestBody;
use crate::http::pages::{gather, records_by_id, resolve};
use crate::http::query::Parameter;
use crate::http::refusal::Refusal;
use crate::http::respond::{DIGEST, JSON, Response, bytes, json, nothing};
use crate::http::route::{Access, Handler, Route};
use crate::http::services::ChainView;

const SUBMITTER: Parameter = Parameter::new("submitter", "Only by this account");
const STATE: Parameter = Parameter::new("state", "Only in this state: running, finished or failed");
const RECEIPT: Parameter = Parameter::needed("receipt", "The transaction of the certified ReadResult receipt");

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(
            "/v1/jobs/openings",
            "Gives the node the filter that a job's commitment stands for, before the job is submitted",
            Handler::Act(|call, body| Box::pin(put_opening(call, body))),
        )
        .access(Access::Roles(&[Role::Researcher]))
        .takes::<JobOpening>(),
        Route::get(
            "/v1/jobs",
            "Jobs of the account's member and over its datasets; for auditors all. In the order submitted where a submitter or `running` is given, otherwise by id",
            Handler::Read(list),
        )
        .query(&[SUBMITTER, STATE])
        .paged()
        .gives_page::<Job>(),
        Route::get("/v1/jobs/{id}", "A job, by its id or its first 8 digits or more", Handler::Read(detail))
            .gives::<JobDetail>(),
        Route::get(
            "/v1/jobs/{id}/result",
            "The result document, exactly as hashed, against the certified ReadResult receipt of its submitter; digest in `Galen-Digest`",
            Handler::Act(|call, _| Box::pin(result(call))),
        )
        .query(&[RECEIPT])
        .gives_other(JSON),
    ]
}

async fn put_opening(call: Arc<Call>, body: RequestBody) -> Result<Response, Refusal> {
    let opening: JobOpening = body.json()?;
    let account = call.account()?.name.clone();
    call.app.services.jobs.put_opening(account, opening).await?;
    Ok(nothing())
}

fn list(call: &Call, view: &dyn ChainView) -> Result<Response, Refusal> {
    let viewer = viewer(call, view)?;
    let state = view.state();
    let submitter: Option<AccountName> = call.query.get("submitter")?;
    let wanted: Option<JobState> = call.query.get("state")?;
    let any = keys::job(JobId(Hash::ZERO));
    let mut page = gather(
        view.height(),
        call.query.get("start_after")?,
        call.query.limit()?,
        |after: Option<&JobId>, limit| {
            Ok(match (&submitter, wanted) {
                (Some(submitter), _) => list_jobs_of(state, submitter, after.copied(), limit)?,
                (None, Some(JobState::Running)) => list_jobs_running(state, after.copied(), limit)?,
                (None, _) => records_by_id(state, any.as_bytes(), after.map(|id| &id.0), limit)?,
            })
        },
        |job: &Job| job.id,
        |job| Ok(viewer.sees_job(job) && wanted.is_none_or(|wanted| job.state == wanted)),
    )?;
    page.items.sort_by_key(|job| (job.submitted, job.id));
    json(&page)
}

fn find(call: &Call, view: &dyn ChainView) -> Result<Job, Refusal> {
    let viewer = viewer(call, view)?;
    let any = keys::job(JobId(Hash::ZERO));
    resolve(view.state(), any.as_bytes(), "job", call.parameter(0), |job: &Job| job.id.0, |job| viewer.sees_job(job))
}

fn detail(call: &Call, view: &dyn ChainView) -> Result<Response, Refusal> {
    let job = find(call, view)?;
    let progress =
        JobProgress { answered: job.sites.iter().filter(|site| site.answer.is_some()).count(), sites: job.sites.len() };
    json(&JobDetail { height: view.height(), job, progress })
}

async fn result(call: Arc<Call>) -> Result<Response, Refusal> {
    let receipt: TransactionId = call.query.need("receipt")?;
    let job = call
        .read(move |call, view| {
            let job = find(call, view)?;
            match certified_call(call, view, &receipt, "receipt")? {
                ChainCall::ReadResult { job: read } if read == job.id => Ok(job.id),
                _ => Err(Refusal::NotFound("receipt")),
            }
        })
        .await?;
    let account = call.account()?.name.clone();
    let result = call.app.services.jobs.result(job, receipt, account).await?;
    let promised = call.read(move |_, view| Ok(get_job(view.state(), job)?.and_then(|job| job.result))).await?;
    if promised != Some(result.digest) {
        tracing::error!(%job, "a result document's digest is not the one on the chain");
        return Err(Refusal::Internal);
    }
    let mut response = bytes(StatusCode::OK, JSON, result.document);
    if let Ok(value) = HeaderValue::from_str(&result.digest.to_string()) {
        response.headers_mut().insert(DIGEST, value);
    }
    Ok(response)
}
