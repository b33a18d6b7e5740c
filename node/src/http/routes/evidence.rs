//! Evidence of lying voters. Every member may have it: it names nodes, and no data.

use std::sync::Arc;

use galen_types::api::Evidence;
use http::StatusCode;

use crate::http::app::Call;
use crate::http::limits::EVIDENCE_ITEMS_MAX;
use crate::http::query::Parameter;
use crate::http::refusal::Refusal;
use crate::http::respond::{OCTETS, Response, bytes, json};
use crate::http::route::{Handler, Route};
use crate::http::services::ChainView;
use crate::proving::ProofQuestion;

use super::proofs::deadline;

const FROM: Parameter = Parameter::new("from", "The lowest height; 1 if not said");

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/v1/evidence",
            "Voters that signed another header than the certified one, by height: at most 1000, go on with `from`",
            Handler::Read(list),
        )
        .query(&[FROM])
        .gives_list::<Evidence>(),
        Route::get(
            "/v1/evidence/{height}/{node}",
            "The offline proof that a voter signed another header than the certified one at a height",
            Handler::Act(|call, _| Box::pin(file(call))),
        )
        .gives_octets(),
    ]
}

fn list(call: &Call, view: &dyn ChainView) -> Result<Response, Refusal> {
    let from: Option<u64> = call.query.get("from")?;
    json(&view.evidence(from.unwrap_or(1), EVIDENCE_ITEMS_MAX)?)
}

async fn file(call: Arc<Call>) -> Result<Response, Refusal> {
    let question = ProofQuestion::Evidence { height: call.path(0, "height")?, voter: call.path(1, "node")? };
    Ok(bytes(StatusCode::OK, OCTETS, call.chain().prove(question, deadline()).await?))
}
